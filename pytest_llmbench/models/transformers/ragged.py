"""Rows of any length in one cache, fed any number of tokens each in one pass, without padding.

The network sees one row of N tokens, those of all rows side by side, so its linear layers compute no padding, and
prompts are fed in the same pass in which other rows grow.  Only attention knows rows: a token's keys and values go
into the slot of their own row that is the token's position, and queries are put against those of their row.

Shapes are named in the comments: R rows, T tokens of the longest of them, N tokens of a pass, S slots of the cache.
"""

import inspect
import itertools
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from pytest_llmbench.models.transformers.batch import Kept
from pytest_llmbench.models.transformers.cpu_layers import attend_grouped, is_close
from pytest_llmbench.models.transformers.kv_cache import ROOM_SLOTS
from pytest_llmbench.models.transformers.libraries import attempt

RAGGED = "llmbench_ragged"
"""The name of `attend_ragged` among the attention implementations of transformers."""

WASTE_TOKENS = 16
"""So many tokens of padding in attention cost less than another call of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Neighbouring rows whose attention is computed together.

    Attributes:
        rows: their places in the cache.
        tokens: theirs among the N of the pass.
        shape: R and T.
        places: [R, T], of each token among those of the segment; None where no row is padded.
        is_real: [R, T], False where it is padding.
        mask: [R, 1, T, S], zero where a token sees a slot, else the least number.
    """

    rows: slice
    tokens: slice
    shape: tuple[int, int]
    places: Any
    is_real: Any
    mask: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What one pass feeds: the row [N] and the slot [N] of each token, and how its attention is computed."""

    segments: tuple[Segment, ...]
    rows: Any
    slots: Any
    n_rows: int
    n_slots: int


_NOW: ContextVar[Pass | None] = ContextVar("pass", default=None)
"""The pass that is being computed; layers and attention look here, for a network hands them nothing of ours."""


def _pass_now() -> Pass:
    now = _NOW.get()
    if now is None:
        raise RuntimeError("a ragged cache is fed outside of a pass")
    return now


class RaggedBatch:
    """Rows of different lengths and the cache of their keys and values; needs a network that is `ready_for_ragged`.

    Args:
        network: a causal language model.
        cache_argument: the name under which it takes a cache.
        n_rows: as many rows are expected.
    """

    def __init__(self, network: Any, cache_argument: str, n_rows: int):
        import transformers

        self._network = network
        self._cache_argument = cache_argument
        self._cache = transformers.DynamicCache(config=network.config)
        self._cache.layers = [_ragged_layer()(n_rows) for _ in self._cache.layers]
        self.lengths: list[int] = []

    def add(self, n_rows: int, kept: Kept, n_kept: int) -> None:
        """Append rows that begin with the first tokens of a kept sequence."""
        first = len(self.lengths)
        for layer, states in zip(self._cache.layers, kept.layers, strict=False) if n_kept else ():
            layer.begin(slice(first, first + n_rows), *(one[:, :, :n_kept] for one in states))
        self.lengths += [n_kept] * n_rows

    def repeat(self, places: Sequence[int]) -> None:
        """Append copies of rows."""
        first = len(self.lengths)
        self.lengths += [self.lengths[place] for place in places]
        for layer in self._cache.layers:
            layer.copy(places, first, max(self.lengths))

    def drop(self, place: int) -> None:
        """Drop a row; the last row takes its place."""
        last = self.lengths.pop()
        if place == len(self.lengths):
            return
        self.lengths[place] = last
        for layer in self._cache.layers:
            layer.copy([len(self.lengths)], place, last)

    def layers(self, place: int) -> list[tuple[Any, Any]]:
        """Return copies of the keys and values of a row, per layer."""
        used = (slice(place, place + 1), slice(None), slice(self.lengths[place]))
        return [(layer.roomy[0][used].clone(), layer.roomy[1][used].clone()) for layer in self._cache.layers]

    def feed(self, ids: Sequence[Sequence[int]], wanted: Sequence[int]) -> Any:
        """Append tokens to rows.

        Args:
            ids: of each row; none for rows that wait.
            wanted: after how many of its last tokens each row's logits are wanted.

        Returns:
            [sum of wanted, V], in the order of rows and tokens.
        """
        import torch

        device = self._network.device
        ends = list(itertools.accumulate(len(tokens) for tokens in ids))
        chosen = [place for end, n in zip(ends, wanted, strict=True) for place in range(end - n, end)]
        now = self._pass(ids)
        extra: dict[str, Any] = {self._cache_argument: self._cache, "logits_to_keep": torch.tensor(chosen)}
        before = _NOW.set(now)
        try:
            with torch.inference_mode():
                output = self._network(
                    input_ids=torch.tensor([list(itertools.chain.from_iterable(ids))], device=device),
                    attention_mask=now.segments[0].mask,
                    position_ids=now.slots[None],
                    use_cache=True,
                    **extra,
                )
        finally:
            _NOW.reset(before)
        self.lengths = [length + len(tokens) for length, tokens in zip(self.lengths, ids, strict=True)]
        return output.logits[0].float()

    def look_ahead(self, places: Sequence[int], ids: Sequence[Sequence[int]]) -> Any:
        """Return the logits [N, T, V] after each of T tokens that are fed to copies of some rows.

        The rows stay as they are; a row may be copied several times.
        """
        n_before = len(self.lengths)
        self.repeat(places)
        logits = self.feed([[]] * n_before + list(ids), [0] * n_before + [len(ids[0])] * len(ids))
        del self.lengths[n_before:]
        return logits.reshape(len(ids), len(ids[0]), -1)

    def _pass(self, ids: Sequence[Sequence[int]]) -> Pass:
        """Lay out a pass: which rows are computed together, and what each token sees."""
        import torch

        segments: list[Segment] = []
        start = 0
        for rows in _alike([len(tokens) for tokens in ids]):
            segments.append(self._segment(rows, [len(tokens) for tokens in ids[rows]], start))
            start = segments[-1].tokens.stop
        pairs = [(row, self.lengths[row] + place) for row, tokens in enumerate(ids) for place in range(len(tokens))]
        rows, slots = torch.tensor(pairs, device=self._network.device).unbind(1)
        n_slots = max(segment.mask.shape[-1] for segment in segments)
        return Pass(segments=tuple(segments), rows=rows, slots=slots, n_rows=len(ids), n_slots=n_slots)

    def _segment(self, rows: slice, n_tokens: Sequence[int], start: int) -> Segment:
        import torch

        device, longest = self._network.device, max(n_tokens)
        lengths = self.lengths[rows]
        n_slots = max(length + n for length, n in zip(lengths, n_tokens, strict=True))
        columns = torch.arange(longest, device=device)
        position = torch.tensor(lengths, device=device)[:, None] + columns  # [R, T]
        is_hidden = torch.arange(n_slots, device=device) > position[..., None]  # [R, T, S]
        mask = torch.zeros(is_hidden.shape, dtype=self._network.dtype, device=device)
        mask.masked_fill_(is_hidden, torch.finfo(mask.dtype).min)
        places = is_real = None
        if min(n_tokens) < longest:
            last = torch.tensor(n_tokens, device=device)[:, None] - 1
            firsts = torch.tensor([0, *itertools.accumulate(n_tokens[:-1])], device=device)[:, None]
            is_real = columns <= last
            places = firsts + torch.minimum(columns, last)
        return Segment(
            rows=rows,
            tokens=slice(start, start + sum(n_tokens)),
            shape=(len(n_tokens), longest),
            places=places,
            is_real=is_real,
            mask=mask[:, None],
        )


def _alike(n_tokens: Sequence[int]) -> list[slice]:
    """Divide rows into neighbours that are fed about equally many tokens; rows that are fed none are in no part."""
    parts: list[slice] = []
    n_real = longest = 0
    for row, n in enumerate(n_tokens):
        if n:
            longest, n_real = max(longest, n), n_real + n
            is_next = bool(parts) and parts[-1].stop == row
            if is_next and longest * (row + 1 - parts[-1].start) - n_real <= WASTE_TOKENS + n_real // 8:
                parts[-1] = slice(parts[-1].start, row + 1)
            else:
                parts.append(slice(row, row + 1))
                longest = n_real = n
    return parts


def attend_ragged(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **rest: Any
) -> tuple[Any, None]:
    """Compute the attention of a pass: queries [1, heads, N, width] against the cache [R, key heads, S, width].

    Outside a pass this is `attend_grouped`.
    """
    import torch

    now = _NOW.get()
    if now is None:
        return attend_grouped(module, query, key, value, attention_mask, scaling, **rest)
    if rest.get("position_bias") is not None or rest.get("softcap") is not None:
        raise NotImplementedError("attention with a bias or a soft cap")
    parts = [_attend(segment, query[0, :, segment.tokens], key, value, scaling) for segment in now.segments]
    return torch.cat(parts)[None], None


def _attend(segment: Segment, query: Any, key: Any, value: Any, scaling: float | None) -> Any:
    """Compute a segment's attention for its queries [heads, n, width]; gives [n, heads, width]."""
    import torch

    n_heads, _, width = query.shape
    n_slots = segment.mask.shape[-1]
    placed = query.reshape(n_heads, *segment.shape, width) if segment.places is None else query[:, segment.places]
    attended = torch.nn.functional.scaled_dot_product_attention(
        placed.transpose(0, 1),
        key[segment.rows, :, :n_slots],
        value[segment.rows, :, :n_slots],
        attn_mask=segment.mask,
        scale=scaling,
        enable_gqa=n_heads != key.shape[1],
    ).transpose(1, 2)  # [R, T, heads, width]
    return attended.reshape(-1, n_heads, width) if segment.places is None else attended[segment.is_real]


@cache
def _ragged_layer() -> Any:  # noqa: C901
    import torch
    from transformers.cache_utils import DynamicLayer

    class RaggedLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
        """The keys and values of one layer: two tensors [rows, heads, slots, width] with room to grow.

        What was never written is zero: a slot that is not seen has no weight, but no number times zero is one.
        """

        def __init__(self, n_rows: int) -> None:
            super().__init__()
            self.roomy: list[Any] = []
            self._n_rows = n_rows

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Write the keys and values [1, heads, N, width] of the pass; give those of all its rows."""
            del args, kwargs  # for other kinds of layers
            now = _pass_now()
            self._make_room(now.n_rows, now.n_slots, (key_states, value_states))
            for roomy, states in zip(self.roomy, (key_states, value_states), strict=True):
                roomy[now.rows, :, now.slots] = states[0].transpose(0, 1)
            keys, values = (roomy[: now.n_rows, :, : now.n_slots] for roomy in self.roomy)
            return keys, values

        def begin(self, rows: slice, keys: Any, values: Any) -> None:
            """Write keys and values [1, heads, S, width] at the beginning of rows."""
            with torch.inference_mode():
                self._make_room(rows.stop, keys.shape[-2], (keys, values))
                for roomy, states in zip(self.roomy, (keys, values), strict=True):
                    roomy[rows, :, : states.shape[-2]] = states

        def copy(self, places: Sequence[int], first: int, n_slots: int) -> None:
            """Copy the first slots of rows to as many rows from `first` on."""
            with torch.inference_mode():
                self._make_room(first + len(places), n_slots, self.roomy)
                for roomy in self.roomy:
                    roomy[first : first + len(places), :, :n_slots] = roomy[list(places), :, :n_slots]

        def get_seq_length(self) -> int:
            """Give no length: positions and masks are made outside."""
            return 0

        def _make_room(self, n_rows: int, n_slots: int, like: Sequence[Any]) -> None:
            old_rows, old_slots = (self.roomy[0].shape[0], self.roomy[0].shape[2]) if self.roomy else (0, 0)
            if n_rows <= old_rows and n_slots <= old_slots:
                return
            rows = max(n_rows, old_rows, self._n_rows)
            slots = old_slots if n_slots <= old_slots else n_slots + max(ROOM_SLOTS, n_slots // 4)
            for place, states in enumerate(like):
                roomy = states.new_zeros((rows, states.shape[1], slots, states.shape[3]))
                if old_rows:
                    roomy[:old_rows, :, :old_slots] = self.roomy[place]
                    self.roomy[place] = roomy
                else:
                    self.roomy.append(roomy)

    return RaggedLayer


def ready_for_ragged(network: Any, cache_argument: str) -> bool:
    """Let a network compute ragged passes, if it gives in them what it gives in plain ones.

    It keeps its attention where it does not.
    """
    import transformers
    from transformers.masking_utils import sdpa_mask

    named = inspect.signature(type(network).forward).parameters
    before = network.config._attn_implementation
    if before != "sdpa" or not {"position_ids", "logits_to_keep"} <= named.keys():
        return False
    transformers.AttentionInterface.register(RAGGED, attend_ragged)
    transformers.AttentionMaskInterface.register(RAGGED, sdpa_mask)

    def switch() -> bool:
        plain = _probed_plain(network)
        network.set_attn_implementation(RAGGED)
        # Some old code takes no other implementation, and only logs that.
        return network.config._attn_implementation == RAGGED and is_close(_probed(network, cache_argument), plain)

    if attempt(switch) is True:
        return True
    if network.config._attn_implementation == RAGGED:
        network.set_attn_implementation(before)
    return False


def _probed_plain(network: Any) -> Any:
    """Return the logits of two short rows, one of them padded on the left."""
    import torch

    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]])
    positions = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2]])
    ids = torch.arange(8).reshape(2, 4)
    with torch.inference_mode():
        logits = network(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return logits[mask.bool()].float()


def _probed(network: Any, cache_argument: str) -> Any:
    """Return the same logits from passes that feed the rows unequal pieces."""
    import torch

    batch = RaggedBatch(network, cache_argument, 1)
    batch.add(2, Kept(), 0)
    first = batch.feed([[0, 1], [5]], [2, 1])
    rest = batch.feed([[2, 3], [6, 7]], [2, 2])
    return torch.cat([first[:2], rest[:2], first[2:], rest[2:]])

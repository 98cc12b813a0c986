"""The decoding loop: rows of token ids in, continuations with their times out.

It is not `generate()` because a row must stop at its own strings, be stamped when its own
tokens come, leave the batch when it is done, and because nothing but the sampling of the
request may shape the answer (a checkpoint's `generation_config` may hold penalties).

Shapes are named in the comments: R rows of the batch, T tokens fed at once, S slots of the
cache, V the vocabulary.
"""

import inspect
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_llmbench.values import Sampling

PREFILL_TOKENS = 512
"""Prompt tokens fed at once: bounds memory, and the time until a halt is seen."""

WORTH_SHARING_TOKENS = 16
"""A shared beginning that is shorter is computed in every row: an extra pass would cost more."""

LEAD_TOKENS = 4
"""Prompt tokens decoded along with an answer, so that a space at its beginning is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt to be continued by at most `max_tokens` tokens; `seed` is of this row alone."""

    tokens: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What followed a row's prompt. Seconds count from the start of the batch."""

    text: str
    n_tokens: int
    finish_reason: str
    ttft_s: float
    latency_s: float


@dataclass(slots=True, kw_only=True)
class _Kept:
    """The keys and values of one sequence of tokens, per layer: ([1, heads, S, width], the same)."""

    tokens: tuple[int, ...] = ()
    layers: list[tuple[Any, Any]] = field(default_factory=list)


class Decoder:
    """Continues rows with one network.

    Args:
        network: a causal language model of transformers, in eval mode.
        tokenizer: its tokenizer.
        eos: the ids that end a text.
        is_sharing: compute a beginning that rows share once, and keep it for the rows to come.
            Needs plain attention over all that went before in every layer (`can_share`).
    """

    def __init__(self, network: Any, tokenizer: Any, eos: frozenset[int], *, is_sharing: bool):
        self._network = network
        self._tokenizer = tokenizer
        self._eos = eos
        self._is_sharing = is_sharing
        self._kept = _Kept()

    def forget(self) -> None:
        """Free the keys and values kept from earlier rows."""
        self._kept = _Kept()

    def decode(self, rows: Sequence[Row], halt: threading.Event) -> Iterator[tuple[int, Continuation]]:
        """Continue a batch of rows; give each one's index and continuation as it is finished.

        Ends early, between two tokens, when `halt` is set.
        """
        started = time.perf_counter()
        growing = [_Growing(index, row, self._tokenizer, self._eos) for index, row in enumerate(rows)]
        try:
            batch = self._prefill([row.tokens for row in rows], halt)
        except _Halted:
            return
        while not halt.is_set():
            tokens = _choose(batch.logits, growing)
            elapsed_s = time.perf_counter() - started
            for row, token in zip(growing, tokens, strict=True):
                row.take(token, elapsed_s)
            for row in growing:
                if row.finish_reason is not None:
                    yield row.index, row.continuation(elapsed_s)
            left = [place for place, row in enumerate(growing) if row.finish_reason is None]
            if not left:
                return
            if len(left) < len(growing):
                batch.keep(left)
                growing = [growing[place] for place in left]
            batch.feed([[row.tokens[-1]] for row in growing])

    def _prefill(self, prompts: Sequence[tuple[int, ...]], halt: threading.Event) -> "_Batch":
        """Feed the prompts, what they share only once."""
        shared = 0
        if self._is_sharing:
            common = _common_length(prompts)
            shared = min(common, _overlap(prompts[0], self._kept.tokens))
            if len(prompts) > 1 and common - shared >= WORTH_SHARING_TOKENS:
                alone = _Batch(self._network, 1, self._kept, shared)
                alone.feed_in_pieces([prompts[0][shared:common]], halt)
                self._kept = _Kept(tokens=prompts[0][:common], layers=alone.layers())
                shared = common
        batch = _Batch(self._network, len(prompts), self._kept, shared)
        batch.feed_in_pieces([prompt[shared:] for prompt in prompts], halt)
        if self._is_sharing and len(prompts) == 1:
            self._kept = _Kept(tokens=prompts[0], layers=batch.layers())
        return batch


class _Halted(Exception):
    """The run ended while prompts were being fed."""


class _Batch:
    """Rows in flight: their cache, the mask of its slots and the logits of the last token.

    Begins with the first `n_kept` tokens of a kept sequence in every row.
    """

    def __init__(self, network: Any, n_rows: int, kept: _Kept, n_kept: int):
        import torch
        import transformers

        self._network = network
        self._device = network.device
        named = inspect.signature(type(network).forward).parameters
        # Models without positions (ALiBi) do not name position_ids; some older code has no logits_to_keep.
        self._has_positions = "position_ids" in named
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in named else {}
        self._cache = transformers.DynamicCache(config=network.config)
        if n_kept:
            for place, (keys, values) in enumerate(kept.layers):
                # update() copies, so what is kept stays as it is.
                self._cache.update(
                    keys[:, :, :n_kept].expand(n_rows, -1, -1, -1),
                    values[:, :, :n_kept].expand(n_rows, -1, -1, -1),
                    place,
                )
        self._mask = torch.ones((n_rows, n_kept), dtype=torch.long, device=self._device)  # [R, S]
        self.logits: Any = None  # [R, V]

    def feed_in_pieces(self, rows: Sequence[Sequence[int]], halt: threading.Event) -> None:
        """Feed rows of unequal length, padded on the left.

        Raises:
            _Halted: the run has ended.
        """
        longest = max(len(row) for row in rows)
        for first in range(0, longest, PREFILL_TOKENS):
            if halt.is_set():
                raise _Halted
            # Left padding: the next token comes from the last column of every row.
            places = range(first - longest, min(first + PREFILL_TOKENS, longest) - longest)
            self.feed(
                [[row[place] if -place <= len(row) else 0 for place in places] for row in rows],
                [[int(-place <= len(row)) for place in places] for row in rows],
            )

    def feed(self, ids: Sequence[Sequence[int]], real: Sequence[Sequence[int]] | None = None) -> None:
        """Append T tokens to every row; `real` is 0 where one is padding."""
        import torch

        tokens = torch.tensor(ids, device=self._device)  # [R, T]
        added = torch.ones_like(tokens) if real is None else torch.tensor(real, device=self._device)
        self._mask = torch.cat([self._mask, added], dim=1)
        # From the mask, not from the slots: padding stands between a shared beginning and the rest.
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        extra = self._extra | ({"position_ids": positions} if self._has_positions else {})
        with torch.inference_mode():
            output = self._network(
                input_ids=tokens,
                attention_mask=self._mask,
                past_key_values=self._cache,
                use_cache=True,
                **extra,
            )
            self.logits = output.logits[:, -1].float()

    def keep(self, places: Sequence[int]) -> None:
        """Drop all rows but these."""
        import torch

        chosen = torch.tensor(places, device=self._device)
        self._mask = self._mask[chosen]
        self._cache.reorder_cache(chosen)

    def layers(self) -> list[tuple[Any, Any]]:
        """Give the keys and values per layer; feeding further tokens does not change them."""
        return [(layer.keys, layer.values) for layer in self._cache.layers]


class _Growing:
    """A row and what has followed it so far."""

    def __init__(self, index: int, row: Row, tokenizer: Any, eos: frozenset[int]):
        self.index = index
        self.sampling = row.sampling
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self.generator: Any = None
        if row.sampling.temperature > 0:
            import torch

            self.generator = torch.Generator().manual_seed(row.seed)
        self._max_tokens = row.max_tokens
        self._lead = list(row.tokens[-LEAD_TOKENS:])
        self._tokenizer = tokenizer
        self._eos = eos
        self._stop = tuple(stop for stop in row.sampling.stop if stop)
        # A token is at least a byte, so so many tokens hold the longest stop string wherever it ends.
        self._window = max((len(stop.encode()) for stop in self._stop), default=0) + 2 * LEAD_TOKENS
        self._ttft_s = 0.0

    def take(self, token: int, elapsed_s: float) -> None:
        """Append a token; decide whether it is the last."""
        if not self.tokens:
            self._ttft_s = elapsed_s
        self.tokens.append(token)
        if token in self._eos or self._has_stop():
            self.finish_reason = "stop"
        elif len(self.tokens) == self._max_tokens:
            self.finish_reason = "length"

    def continuation(self, elapsed_s: float) -> Continuation:
        """Give the finished text, cut before the first stop string."""
        is_ended = self.tokens[-1] in self._eos
        text = self._text(self.tokens[:-1] if is_ended else self.tokens)
        cut = min((place for stop in self._stop if (place := text.find(stop)) >= 0), default=len(text))
        return Continuation(
            text=text[:cut],
            n_tokens=len(self.tokens),
            finish_reason=str(self.finish_reason),
            ttft_s=self._ttft_s,
            latency_s=elapsed_s,
        )

    def _has_stop(self) -> bool:
        if not self._stop:
            return False
        tail = self._decoded(self.tokens[-self._window :])
        # The tail begins where a stop string cannot; the whole text is only read when it matters.
        return any(stop in tail for stop in self._stop) and any(stop in self._text(self.tokens) for stop in self._stop)

    def _text(self, tokens: list[int]) -> str:
        # Tokenizers of the SentencePiece kind drop the space before the first token they decode.
        lead = self._decoded(self._lead)
        whole = self._decoded(self._lead + tokens)
        return whole.removeprefix(lead) if whole.startswith(lead) else self._decoded(tokens)

    def _decoded(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def unsupported(network: Any) -> str | None:
    """Tell why the loop cannot drive a network, None if it can."""
    if network.config.is_encoder_decoder:
        return "it is an encoder with a decoder, not a causal language model"
    if "past_key_values" not in inspect.signature(type(network).forward).parameters:
        return "its architecture takes no past_key_values, so it would compute every prompt anew for each token"
    return None


def can_share(network: Any) -> bool:
    """Tell whether a kept beginning means the same to rows that go on differently.

    Padding between the beginning and the rest is masked, which is exact where attention sees all
    that went before; a sliding window counts slots, and a recurrent state has no slots at all.
    """
    import transformers
    from transformers.cache_utils import DynamicLayer

    layers = transformers.DynamicCache(config=network.config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


def _common_length(prompts: Sequence[tuple[int, ...]]) -> int:
    """Count the tokens all prompts begin with, leaving each at least one of its own."""
    # What the first and the last in lexical order share, those between share too.
    return min(_overlap(min(prompts), max(prompts)), min(len(prompt) for prompt in prompts) - 1)


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    limit = min(len(one), len(other))
    return next((place for place in range(limit) if one[place] != other[place]), limit)


def _choose(logits: Any, rows: Sequence[_Growing]) -> list[int]:
    """Choose each row's next token from the logits [R, V].

    Raises:
        FloatingPointError: the network does not compute numbers any more.
    """
    import torch

    best = logits.max(dim=-1)
    if bool(torch.isnan(best.values).any()):
        raise FloatingPointError('the network computes "not a number"; try dtype = "float32"')
    tokens: list[int] = best.indices.tolist()
    for place, row in enumerate(rows):
        if row.generator is not None:
            tokens[place] = _draw(logits[place], row.sampling, row.generator)
    return tokens


def _draw(logits: Any, sampling: Sampling, generator: Any) -> int:
    """Draw a token from the logits [V], on the CPU, so that a seed means the same everywhere.

    One uniform number picks a place in the cumulated distribution: the rounding by which batches
    of other shapes differ then changes a token only where that number falls on a border.
    """
    import torch

    shares = torch.softmax(logits.double().cpu() / sampling.temperature, dim=-1)
    if sampling.top_p is not None and sampling.top_p < 1:
        ordered, tokens = shares.sort(descending=True)
        # The smallest set that reaches top_p: a token is out if those before it reach it already.
        shares[tokens[ordered.cumsum(dim=-1) - ordered >= sampling.top_p]] = 0
    edges = shares.cumsum(dim=-1)
    place = torch.rand((), generator=generator, dtype=torch.float64) * edges[-1]
    return int(torch.searchsorted(edges, place, right=True).clamp(max=len(edges) - 1))

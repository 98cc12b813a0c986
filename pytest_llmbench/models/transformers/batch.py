"""Rows in flight: the cache of their keys and values, its mask, and the logits of their last tokens.

Shapes are named in the comments: R rows, T tokens fed at once, S slots of the cache, V the
vocabulary.
"""

import copy
import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_llmbench.models.transformers.kv_cache import growing_cache
from pytest_llmbench.models.transformers.libraries import attempt

CACHE_ARGUMENTS = ("cache", "past_key_values")
"""Names under which a network's forward takes its cache: since transformers 5.24, and before."""

PREFILL_TOKENS = 512
"""Prompt tokens fed at once: bounds memory, and the time until a halt is seen."""

NOT_A_NUMBER = 'the network computes "not a number"; try dtype = "float32"'


@dataclass(slots=True, kw_only=True)
class Kept:
    """The keys and values of one sequence of tokens, per layer: ([1, heads, S, width], the same).

    `n_used` is how many of the tokens rows have begun with so far.
    """

    tokens: tuple[int, ...] = ()
    n_used: int = 0
    layers: list[tuple[Any, Any]] = field(default_factory=list)


class Halted(Exception):
    """The run ended while prompts were being fed."""


class Batch:
    """Rows in flight: their cache, the mask of its slots and the logits of the last token.

    Begins with the first `n_kept` tokens of a kept sequence in every row.  `cache_argument` is the name under
    which the network takes its cache.
    """

    def __init__(self, network: Any, cache_argument: str, n_rows: int, kept: Kept, n_kept: int):
        import torch

        self._network = network
        self._cache_argument = cache_argument
        self._device = network.device
        named = inspect.signature(type(network).forward).parameters
        # Models without positions (ALiBi) do not name position_ids; some older code has no logits_to_keep.
        self._has_positions = "position_ids" in named
        self._can_choose_logits = "logits_to_keep" in named
        self._cache = growing_cache(network.config)
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
            Halted: the run has ended.
        """
        longest = max(len(row) for row in rows)
        # Recurrent layers take a prompt whole: some continue their state with single tokens only.
        size = longest if self._is_recurrent else PREFILL_TOKENS
        for first in range(0, longest, size):
            if halt.is_set():
                raise Halted
            # Left padding: the next token comes from the last column of every row.
            places = range(first - longest, min(first + size, longest) - longest)
            self.feed(
                [[row[place] if -place <= len(row) else 0 for place in places] for row in rows],
                [[int(-place <= len(row)) for place in places] for row in rows],
            )

    def feed(self, ids: Sequence[Sequence[int]], real: Sequence[Sequence[int]] | None = None) -> None:
        """Append T tokens to every row; `real` is 0 where one is padding."""
        self.logits = self._forward(ids, real, 1)[:, -1].float()

    def look_ahead(self, places: Sequence[int], ids: Sequence[Sequence[int]]) -> Any:
        """Return the logits [N, T, V] after each of T tokens that are fed to copies of some rows.

        The rows stay as they are; a row may be copied several times.
        """
        import torch

        ahead = copy.copy(self)
        ahead._cache = copy.copy(self._cache)
        ahead._cache.layers = [_copied(layer) for layer in self._cache.layers]
        ahead.keep(places)
        if not self._is_recurrent:
            return ahead._forward(ids, None, len(ids[0])).float()
        columns = [[[row[place]] for row in ids] for place in range(len(ids[0]))]
        return torch.cat([ahead._forward(column, None, 1) for column in columns], dim=1).float()

    def keep(self, places: Sequence[int]) -> None:
        """Drop all rows but these; a row named several times is there as often."""
        import torch

        chosen = torch.tensor(places, device=self._device)
        self._mask = self._mask[chosen]
        if self.logits is not None:
            self.logits = self.logits[chosen.to(self.logits.device)]
        self._cache.reorder_cache(chosen)

    def wait(self) -> None:
        """Return when the device has computed what was fed."""
        self.logits[:, :1].cpu()

    @property
    def _is_recurrent(self) -> bool:
        return any(hasattr(layer, "update_conv_state") for layer in self._cache.layers)

    def _forward(self, ids: Sequence[Sequence[int]], real: Sequence[Sequence[int]] | None, n_logits: int) -> Any:
        """Append T tokens to every row and give the logits [R, n_logits, V] of the last of them."""
        import torch

        tokens = torch.tensor(ids, device=self._device)  # [R, T]
        added = torch.ones_like(tokens) if real is None else torch.tensor(real, device=self._device)
        self._mask = torch.cat([self._mask, added], dim=1)
        # From the mask, not from the slots: padding stands between a shared beginning and the rest.
        positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        extra: dict[str, Any] = {self._cache_argument: self._cache}
        if self._has_positions:
            extra["position_ids"] = positions
        if self._can_choose_logits:
            extra["logits_to_keep"] = n_logits
        with torch.inference_mode():
            output = self._network(
                input_ids=tokens,
                attention_mask=self._mask,
                use_cache=True,
                **extra,
            )
        return output.logits[:, -n_logits:]

    def layers(self) -> list[tuple[Any, Any]]:
        """Return the keys and values per layer; feeding further tokens does not change them."""
        return [(layer.keys, layer.values) for layer in self._cache.layers]

    @property
    def cached_numbers(self) -> int:
        """How many numbers the cache holds; a sliding layer has one, its width, before it is fed."""
        states = [value for layer in self._cache.layers for value in vars(layer).values()]
        # Recurrent layers hold theirs by number.
        parts = [part for state in states for part in (state.values() if isinstance(state, dict) else [state])]
        return sum(part.numel() for part in parts if hasattr(part, "numel"))


def join(batches: Sequence[Batch], places: Sequence[Sequence[int]]) -> Batch:
    """Put batches into one, padded on the left; needs the kind of layers that `can_share`.

    Args:
        batches: not used any more after it.
        places: which rows of the whole those of each batch are.
    """
    import torch

    if len(batches) == 1:
        return batches[0]
    n_rows = sum(len(rows) for rows in places)
    n_slots = max(batch._mask.shape[1] for batch in batches)

    def gathered(parts: Sequence[Any], slots: int) -> Any:
        """Put tensors [rows, ..., slots, ...] into one."""
        shape = list(parts[0].shape)
        shape[0], shape[slots] = n_rows, n_slots
        whole = parts[0].new_zeros(shape)
        for part, rows in zip(parts, places, strict=True):
            target = whole.narrow(slots, n_slots - part.shape[slots], part.shape[slots])
            target[torch.tensor(rows, device=part.device)] = part
        return whole

    whole = copy.copy(batches[0])
    whole._mask = gathered([batch._mask for batch in batches], 1)
    whole.logits = batches[0].logits.new_zeros((n_rows, batches[0].logits.shape[1]))
    for batch, rows in zip(batches, places, strict=True):
        whole.logits[torch.tensor(rows, device=whole.logits.device)] = batch.logits.to(whole.logits.device)
    whole._cache = growing_cache(batches[0]._network.config)
    for place, layers in enumerate(zip(*(batch.layers() for batch in batches), strict=True)):
        whole._cache.update(
            gathered([keys for keys, _ in layers], 2), gathered([values for _, values in layers], 2), place
        )
    return whole


def _copied(layer: Any) -> Any:
    """Copy a layer of a cache, so that reordering and feeding the copy leaves the layer as it is."""
    twin = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, (list, dict)):  # recurrent layers hold their states so
            setattr(twin, name, copy.copy(value))
    return twin


def cache_argument(network: Any) -> str | None:
    """Find the name under which a network takes a cache, by feeding it a token; None if it uses none.

    Its signature is no proof: a forward that takes any keyword ignores those it does not know.
    """
    new, old = CACHE_ARGUMENTS
    # A library before the new name may raise anything for it; the same for the old name is a fault of the network.
    if attempt(lambda: _uses_cache(network, new)) is True:
        return new
    try:
        return old if _uses_cache(network, old) else None
    except TypeError:  # its forward has no such parameter
        return None


def _uses_cache(network: Any, argument: str) -> bool:
    batch = Batch(network, argument, 1, Kept(), 0)
    before = batch.cached_numbers
    batch.feed([[0]])
    return batch.cached_numbers > before


def can_share(network: Any) -> bool:
    """Return whether a kept beginning means the same to rows that go on differently.

    Padding between the beginning and the rest is masked, which is exact where attention sees all
    that went before; a sliding window counts slots, and a recurrent state has no slots at all.
    """
    import transformers
    from transformers.cache_utils import DynamicLayer

    layers = transformers.DynamicCache(config=network.config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

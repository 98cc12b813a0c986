"""Rows in flight: the cache of their keys and values, its mask, and the logits of their last tokens.

Shapes are named in the comments: R rows, T tokens fed at once, S slots of the cache, V the
vocabulary.
"""

import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PREFILL_TOKENS = 512
"""Prompt tokens fed at once: bounds memory, and the time until a halt is seen."""


@dataclass(slots=True, kw_only=True)
class Kept:
    """The keys and values of one sequence of tokens, per layer: ([1, heads, S, width], the same)."""

    tokens: tuple[int, ...] = ()
    layers: list[tuple[Any, Any]] = field(default_factory=list)


class Halted(Exception):
    """The run ended while prompts were being fed."""


class Batch:
    """Rows in flight: their cache, the mask of its slots and the logits of the last token.

    Begins with the first `n_kept` tokens of a kept sequence in every row.
    """

    def __init__(self, network: Any, n_rows: int, kept: Kept, n_kept: int):
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
            Halted: the run has ended.
        """
        longest = max(len(row) for row in rows)
        # Recurrent layers take a prompt whole: some continue their state with single tokens only.
        is_recurrent = any(hasattr(layer, "update_conv_state") for layer in self._cache.layers)
        size = longest if is_recurrent else PREFILL_TOKENS
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

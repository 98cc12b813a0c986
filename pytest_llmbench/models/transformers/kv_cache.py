"""A cache of keys and values that has room to grow.

Transformers' own (5.23) puts all that is there and one token more into new tensors at each step and layer,
a seventh of the time of decoding thirty rows of a small model.  Here a step writes into room left behind
the last slot, and everything is moved only when that room is used up.
"""

from functools import cache
from typing import Any

ROOM_SLOTS = 64
"""Least room taken at once; a quarter of what is there, where that is more."""


def growing_cache(config: Any) -> Any:
    """Make an empty cache for a network, whose plain layers have room; other kinds of layers stay as they are."""
    import transformers
    from transformers.cache_utils import DynamicLayer

    made = transformers.DynamicCache(config=config)
    made.layers = [_growing_layer()() if type(layer) is DynamicLayer else layer for layer in made.layers]
    return made


@cache
def _growing_layer() -> Any:
    import torch
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc, unused-ignore]
        """A plain layer whose `keys` and `values` are the used part of larger tensors.

        A slot that is used is never written again, so whoever holds `keys` sees them unchanged. Of two
        shallow copies of a layer only one may be fed, unless the other was reordered before.
        """

        def __init__(self) -> None:
            super().__init__()
            self._roomy: list[Any] = []  # tensors [R, heads, capacity, width]: of the keys, of the values
            self._seen: list[Any] = []  # what of them is used

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            """Append the keys and values [R, heads, T, width] of new tokens; give all of them."""
            del args, kwargs  # for other kinds of layers
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            used, added = self.get_seq_length(), key_states.shape[-2]
            is_ours = bool(self._seen) and self.keys is self._seen[0] and self.values is self._seen[1]
            if not is_ours or used + added > self._roomy[0].shape[-2]:
                capacity = used + added + max(ROOM_SLOTS, (used + added) // 4)
                old = (self.keys, self.values) if used else (None, None)
                new = (key_states, value_states)
                self._roomy = [_moved(*pair, capacity) for pair in zip(old, new, strict=True)]
            for roomy, states in zip(self._roomy, (key_states, value_states), strict=True):
                roomy.narrow(-2, used, added).copy_(states)
            self._see(used + added)
            return self.keys, self.values

        def reorder_cache(self, beam_idx: Any) -> None:
            """Keep these rows, in this order, and the room."""
            used = self.get_seq_length()
            if self._seen and self.keys is self._seen[0]:
                self._roomy = [roomy.index_select(0, beam_idx.to(roomy.device)) for roomy in self._roomy]
                self._see(used)
            else:
                super().reorder_cache(beam_idx)

        def _see(self, used: int) -> None:
            self._seen = [roomy.narrow(-2, 0, used) for roomy in self._roomy]
            self.keys, self.values = self._seen

    def _moved(old: Any, new: Any, capacity: int) -> Any:
        """Put what is there into a tensor with more slots, shaped for rows as those of `new`."""
        roomy = torch.empty((*new.shape[:-2], capacity, new.shape[-1]), dtype=new.dtype, device=new.device)
        if old is not None:
            roomy.narrow(-2, 0, old.shape[-2]).copy_(old)
        return roomy

    return GrowingLayer

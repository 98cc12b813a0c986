"""A cache with room to grow holds what transformers' own holds."""

import copy
from typing import Any

import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmbench.models.transformers.kv_cache import ROOM_SLOTS, growing_cache

CONFIG = transformers.LlamaConfig(num_hidden_layers=2, hidden_size=8, num_attention_heads=2, num_key_value_heads=1)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("feed"), st.integers(1, ROOM_SLOTS * 2)),
        st.tuples(st.just("keep"), st.lists(st.integers(0, 99), min_size=1, max_size=4)),
    ),
    min_size=1,
    max_size=8,
)


def same(one: Any, other: Any) -> bool:
    return all(
        torch.equal(mine.keys, theirs.keys) and torch.equal(mine.values, theirs.values)
        for mine, theirs in zip(one.layers, other.layers, strict=True)
    )


def feed(caches: tuple[Any, ...], n_rows: int, n_tokens: int) -> None:
    for layer in range(CONFIG.num_hidden_layers):
        keys, values = torch.randn(2, n_rows, 1, n_tokens, 4).unbind()
        for cache in caches:
            cache.update(keys, values, layer)


@settings(deadline=None, max_examples=50)
@given(steps=STEPS)
def test_same_as_the_plain_one(steps: list[tuple[str, Any]]) -> None:
    """Whatever is fed and whichever rows are kept, the keys and values are those of a plain cache."""
    ours, plain = growing_cache(CONFIG), transformers.DynamicCache(config=CONFIG)
    n_rows = 3
    feed((ours, plain), n_rows, 1)

    for what, argument in steps:
        if what == "feed":
            feed((ours, plain), n_rows, argument)
        else:
            rows = torch.tensor([place % n_rows for place in argument])
            n_rows = len(rows)
            ours.reorder_cache(rows)
            plain.reorder_cache(rows)

    assert same(ours, plain)
    assert ours.get_seq_length() == plain.get_seq_length()


def test_what_was_seen_stays() -> None:
    """Keys somebody holds are not changed by tokens fed later, in room left behind them or in new."""
    ours = growing_cache(CONFIG)
    feed((ours,), 2, 3)
    held = ours.layers[0].keys
    before = held.clone()

    feed((ours,), 2, 1)
    feed((ours,), 2, 2 * ROOM_SLOTS)

    assert torch.equal(held, before)


def test_a_reordered_copy_is_fed_apart() -> None:
    """A shallow copy whose rows were reordered may be fed, and the layer it was made of is as it was."""
    ours = growing_cache(CONFIG)
    feed((ours,), 2, 3)
    twin = copy.copy(ours)
    twin.layers = [copy.copy(layer) for layer in ours.layers]
    twin.reorder_cache(torch.tensor([1, 1, 0]))
    plain = copy.deepcopy(ours)

    feed((twin,), 3, 2)
    feed((ours, plain), 2, 1)

    assert same(ours, plain)
    assert twin.get_seq_length() == 5


def test_a_step_moves_nothing_while_there_is_room() -> None:
    """Single tokens are written behind what is there: its place in memory stays the same."""
    ours = growing_cache(CONFIG)
    feed((ours,), 2, 3)
    place = ours.layers[0].keys.data_ptr()

    for _ in range(ROOM_SLOTS):
        feed((ours,), 2, 1)

    assert ours.layers[0].keys.data_ptr() == place

"""Prompts that share a beginning are found, and batches hold rows of similar length."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.models.transformers.prefixes import Tokens, common_length, fill_batches, group_by_beginning

HEADLINES = tuple((*range(100), 200 + number) for number in range(5))
JOKES = tuple((0, 1, *range(300, 400), 500 + number, 7) for number in range(4))
PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=60).map(tuple), max_size=30)


def fed(groups: Sequence[Sequence[Tokens]]) -> int:
    """Count the tokens that are fed if each group's beginning is fed once."""
    return sum(
        common_length(group) + sum(len(prompt) - common_length(group) for prompt in group)
        if len(group) > 1
        else len(*group)
        for group in groups
    )


@pytest.mark.parametrize(
    ("prompts", "groups"),
    [
        ((), []),
        (HEADLINES, [HEADLINES]),
        (HEADLINES * 3, [HEADLINES]),
        ((*HEADLINES, *JOKES), [HEADLINES, JOKES]),
        ((*HEADLINES, (9, 9), (8,)), [HEADLINES, ((8,), (9, 9))]),
        # too little in common to be worth a pass
        (((1, 2, 3), (1, 2, 4), (5, 6), (5, 7)), [((1, 2, 3), (1, 2, 4), (5, 6), (5, 7))]),
        # two of many that begin alike have more in common, but not enough more
        (
            ((*range(100), 1, 1), *HEADLINES, (*range(100), 1, 2)),
            [((*range(100), 1, 1), (*range(100), 1, 2), *HEADLINES)],
        ),
        # a prompt that is the beginning of the others
        ((tuple(range(99)), *HEADLINES), [(tuple(range(99)), *HEADLINES)]),
    ],
)
def test_groups(prompts: tuple[Tokens, ...], groups: list[tuple[Tokens, ...]]) -> None:
    """Suites are groups; a beginning too short to be worth a pass makes none."""
    assert sorted(group_by_beginning(prompts)) == sorted(groups)


@given(prompts=PROMPTS)
def test_each_prompt_is_in_one_group(prompts: list[Tokens]) -> None:
    """Every different prompt is in exactly one group, and grouping never feeds more tokens than one group would."""
    groups = group_by_beginning(prompts)

    assert sorted(prompt for group in groups for prompt in group) == sorted(set(prompts))
    if prompts:
        assert fed(groups) <= fed([sorted(set(prompts))])


def test_many_nested_beginnings() -> None:
    """Thousands of prompts that each extend the one before are grouped without trouble."""
    groups = group_by_beginning([(1,) * length for length in range(1, 2000)])

    assert sum(len(group) for group in groups) == 1999


def test_batches_of_similar_length() -> None:
    """Rows are put together by length, samples of one prompt side by side, the earliest row's batch first."""
    prompts = [(1,) * length for length in (9, 2, 9, 2, 8, 3)]

    assert fill_batches(prompts, 2) == ((0, 2), (1, 3), (5, 4))


def test_batches_keep_the_order_of_the_plan() -> None:
    """A row is moved by less than a window, so that the first tests do not wait for the whole plan."""
    prompts = [(1,) * (1 + place * 7 % 101) for place in range(400)]

    batches = fill_batches(prompts, 4)

    assert sorted(place for batch in batches for place in batch) == list(range(400))
    assert all(place // 32 == number // 8 for number, batch in enumerate(batches) for place in batch)


def test_one_row_a_batch_is_the_order_of_the_plan() -> None:
    """Rows that are answered one by one come as they are asked."""
    prompts = [(1,) * length for length in (5, 3, 9, 1)]

    assert fill_batches(prompts, 1) == ((0,), (1,), (2,), (3,))

"""The check levenshtein."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.grading.checks.edits import within

WORDS = st.text(alphabet="abc", max_size=8)


def whole_table(left: str, right: str) -> int:
    """Give the distance by the usual table."""
    row = list(range(len(right) + 1))
    for number, one in enumerate(left, start=1):
        new = [number]
        for place, other in enumerate(right, start=1):
            new.append(min(row[place] + 1, new[-1] + 1, row[place - 1] + (one != other)))
        row = new
    return row[-1]


@given(left=WORDS, right=WORDS, most=st.integers(0, 9))
def test_the_band_gives_what_the_whole_table_gives(left: str, right: str, most: int) -> None:
    """The number of edits is right up to the limit, and None beyond it."""
    distance = whole_table(left, right)

    assert within(left, right, most) == (distance if distance <= most else None)


@pytest.mark.parametrize(("left", "right", "edits"), [("kitten", "sitting", 3), ("", "abc", 3), ("a", "a", 0)])
def test_well_known_distances(left: str, right: str, edits: int) -> None:
    """The textbook example, an empty text, and equal ones."""
    assert within(left, right, 5) == edits

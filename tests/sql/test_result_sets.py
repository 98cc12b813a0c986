"""The conventions by which two results are the same answer."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.sql import ties
from pytest_llmbench.sql.cells import plain
from pytest_llmbench.sql.explain import explain
from pytest_llmbench.sql.result_sets import Table, difference, matches

CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, 1.0, -2.25, 1e9]), st.sampled_from(["a", "b", "1"]),
    st.sampled_from([datetime(2024, 3, 5), datetime(2024, 3, 5, 14)]),
)  # fmt: skip


def table(*rows: tuple[Any, ...], single: bool = False, names: str = "c") -> Table:
    width = len(rows[0]) if rows else 1
    return Table(
        names=tuple(f"{names}{place}" for place in range(width)),
        rows=tuple(tuple(map(plain, row)) for row in rows),
        is_single=(single,) * width,
    )


def equal(got: Table, want: Table, *, ordered: bool = False, extra: bool = False) -> bool:
    return next(matches(got, want, is_ordered=ordered, may_have_extra_columns=extra), None) is not None


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (5, 5.0),
        (Decimal("5.00"), 5),
        ("09", 9),
        ("5", 5),
        ("0.25", 0.25),
        (0.33333333333, 1 / 3),
        (Decimal("1.20"), Decimal("1.2")),
        (Decimal("0.1"), 0.1),
        (Decimal("0.333333333333"), 1 / 3),
        (12.0, Decimal(12)),
        ("0.10", Decimal("0.1")),
        ({"a": 1, "B": 2}, {"b": 2, "A": 1}),
        ([{"a": 0.1 + 0.2}], [{"a": 0.3}]),
        ("Caf\u00e9", "Cafe\u0301"),
        (True, 1),
        ("true", True),
        (None, None),
        (float("nan"), float("nan")),
        (date(2024, 3, 6), datetime(2024, 3, 6)),
        ("2024-03-06", date(2024, 3, 6)),
        ("2024-03-06 00:00:00", date(2024, 3, 6)),
        ("2024-03-06T14:37:21", datetime(2024, 3, 6, 14, 37, 21)),
        ("14:37:21", time(14, 37, 21)),
        (timedelta(hours=24), timedelta(days=1)),
        ([1, 2], [1, 2.0]),
        (b"ab", "6162"),
    ],
)
def test_equal_values(got: object, want: object) -> None:
    """Values are equal across types that spell the same thing."""
    assert equal(table((got,)), table((want,)))


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (5, 6),
        (1000001, 1000000),
        (1000001.0, 1000000),
        (0.33, 1 / 3),
        ("a", "A"),
        ("a", "a "),
        ("09", "9"),
        (None, 0),
        (None, ""),
        (0, None),
        ("2024-03-06", datetime(2024, 3, 6, 1)),
        ("2024-02-30", datetime(2024, 3, 1)),
        ([1, 2], [2, 1]),
        ("x", 1),
        (0.3333333, 1 / 3),
        (Decimal("14000001.50"), Decimal("14000001.49")),
        (Decimal("14000001.5"), 14000001),
        (2460374.9167, 2460375.9167),
        ({"a": 1, "b": 2}, {"x": 1, "y": 2}),
        ({"a": 1, "b": 2}, [1, 2]),
        ([1], [1, 2]),
    ],
)
def test_different_values(got: object, want: object) -> None:
    """Whole numbers and decimals are exact, texts differ by case, NULL is only NULL, and a struct is no list."""
    assert not equal(table((got,)), table((want,)))


def test_single_precision_is_forgiven() -> None:
    """A REAL column carries seven digits; a DOUBLE that is off by as much is another number."""
    got, want = table((16777216.0,), single=True), table((16777217,))

    assert equal(got, want)
    assert equal(table((0.3333333,), single=True), table((1 / 3,)))
    assert not equal(table((16777216.0,)), want)


@pytest.mark.parametrize(
    ("got", "want", "same"),
    [
        ([(1,), (1,)], [(1,)], False),  # duplicates count
        ([(1,), (2,)], [(2,), (1,)], True),
        ([(1, "a")], [("a", 1)], True),
        ([(1, "a"), (2, "b")], [("a", 2), ("b", 1)], False),
        ([(1, 2), (3, 4)], [(2, 1), (4, 3)], True),
        ([(1, 2), (3, 4)], [(2, 1), (3, 4)], False),
        ([(1, 2)], [(1,)], False),
        ([(1,)], [(1, 2)], False),
    ],
)
def test_rows_are_a_multiset_and_columns_may_change_places(got: list[Any], want: list[Any], *, same: bool) -> None:
    """Duplicates count, order does not, and all rows share one arrangement of columns."""
    assert equal(table(*got, names="x"), table(*want)) is same


@pytest.mark.parametrize(
    ("names", "same"),
    [
        (("lowest", "highest"), False),
        (("Lowest", "HIGHEST"), False),
        (("highest", "lowest"), True),
        (("low", "highest"), True),
        (("lowest", "lowest"), True),
    ],
)
def test_columns_with_the_reference_s_names_pair_by_name(names: tuple[str, ...], *, same: bool) -> None:
    """Where both sides have the same column names, each once, crossed values are wrong; else columns pair freely."""
    want = Table(names=("lowest", "highest"), rows=((1, 9), (2, 8)))
    got = Table(names=names, rows=((9, 1), (8, 2)))

    assert equal(got, want) is same


def test_columns_pair_freely_where_a_name_stands_twice() -> None:
    """Names that both sides have do not say which column is meant if one of them has two of that name."""
    want = Table(names=("a", "b", "b"), rows=((1, 2, 3),))
    got = Table(names=("a", "a", "b"), rows=((1, 2, 3),))

    assert equal(got, want)


def test_rows_that_the_order_leaves_open_may_change_places() -> None:
    """Rows that the ORDER BY of the reference ties stand in any order among themselves, and only there."""
    want = Table(names=("a",), rows=((1,), (2,), (3,)), peers=(2, 1))

    assert equal(table((2,), (1,), (3,)), want, ordered=True)
    assert not equal(table((1,), (3,), (2,)), want, ordered=True)


def test_rows_within_the_tolerance_are_not_shown_as_different() -> None:
    """Of a thousand rows off by their last digits and one that is wrong, the wrong one alone is missing."""
    want = table(*((place, 3 * (place + 1) ** 0.5) for place in range(1000)))
    rows = [(place, number * (1 + 1e-13)) for place, number in want.rows]
    rows[700] = (700, 1.5)

    missing, unexpected = difference(table(*rows), want, (0, 1))

    assert missing == [want.rows[700]]
    assert unexpected == [(700, 1.5)]


def test_order_counts_where_it_is_asked_for() -> None:
    """The same rows in another order are another answer to a question that fixes one."""
    got, want = table((1,), (2,)), table((2,), (1,))

    assert equal(got, want)
    assert not equal(got, want, ordered=True)


def test_extra_columns_are_allowed_only_where_the_case_says_so() -> None:
    """An answer may have more columns than the reference if it may; never fewer."""
    got, want = table((1, "a", 7), (2, "b", 8)), table(("a",), ("b",))

    assert equal(got, want, extra=True)
    assert not equal(got, want)
    assert not equal(want, got, extra=True)


def test_numbers_apart_in_the_last_digit_pair_across_columns() -> None:
    """Rows whose sorting the rounding disturbs are still paired."""
    got = table((0.1 + 0.2, 1), (0.3, 2))
    want = table((0.3, 1), (0.1 + 0.2, 2))

    assert equal(got, want)


@given(
    st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=6)), st.randoms()
)
def test_permuting_rows_and_columns_changes_nothing(rows: list[tuple[Any, ...]], chance: Any) -> None:
    """A table equals itself with its rows and its columns in any order."""
    columns = list(range(len(rows[0])))
    chance.shuffle(columns)
    shuffled = [tuple(row[column] for column in columns) for row in rows]
    chance.shuffle(shuffled)

    assert equal(table(*shuffled, names="x"), table(*rows))


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4), st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4)
)
def test_comparison_is_symmetric(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
    """If an answer equals a reference, the reference equals the answer."""
    assert equal(table(*one), table(*other, names="x")) == equal(table(*other), table(*one, names="x"))


def test_difference_is_shown_with_the_columns_where_they_belong() -> None:
    """An answer whose columns stand in another order and that misses a row is told by that row alone."""
    want = Table(names=("name", "city"), rows=(("Ann", "Oslo"), ("Bob", "Rome"), ("Cid", None)))
    got = Table(names=("city", "name"), rows=(("Oslo", "Ann"), ("Rome", "Bob")))

    told = explain(got, want, counts=False, is_ordered=False)

    assert told.sentence == "has 2 rows where the reference has 3"
    assert told.difference == {"missing": [["Cid", None]], "unexpected": []}


def test_a_limit_of_many_equal_rows_is_looked_into_no_further() -> None:
    """Three of ten thousand rows without an order can be taken in 10^11 ways: the ways are not all made."""
    own = Table(names=("id",), rows=((0,), (1,), (2,)))
    probe = Table(names=("id",), rows=tuple((number,) for number in range(10_000)))

    found = ties.accepted("SELECT id FROM t LIMIT 3", own, lambda _: probe)

    assert found.tie is not None
    assert str(found.tie) == "LIMIT 3 takes 3 of 10000 rows with the same rank"
    assert 1 < len(found.tables) <= 200

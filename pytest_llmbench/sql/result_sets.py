"""Compare two query results by the published conventions (docs/sql.md).

Rows are a multiset, in order only where the question fixes one; duplicates count; column names do not,
and columns may stand in any order, one and the same on every instance.  NULL equals NULL.  Whole numbers are
equal only if they are the same, other numbers within 1e-6 of each other, relative; a number equals a text that spells
it if the columns differ in kind ('09' and 9); a day equals its midnight, and the text that spells either.
Source: execution accuracy of the Spider test suite (Zhong et al., 2020), which strips DISTINCT, calls any two
empty results equal and compares floats exactly; this does none of the three.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice, permutations
from typing import TypeAlias

Cell: TypeAlias = "bool | int | float | str | datetime | time | timedelta | tuple[Cell, ...] | None"
Row: TypeAlias = tuple[Cell, ...]

RELATIVE_TOLERANCE = 1e-6
"""A DOUBLE computed through a REAL is off by up to 6e-8; exact comparison rejects good answers."""

_MAX_ASSIGNMENTS = 5_000
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_DAY = re.compile(r"\s*\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?(?:Z|[+-]00(?::00)?)?\s*")
_ZONE = re.compile(r"(?<=:\d\d)(?:Z|[+-]00(?::00)?)$|(?<=\.\d)(?:Z|[+-]00(?::00)?)$")
_CLOCK = re.compile(r"\s*\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A query's result in plain values. `is_single` marks columns of single precision (REAL)."""

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    is_single: tuple[bool, ...] = ()


Assignment: TypeAlias = tuple[int, ...]
"""For each column of the reference, the place of the answer's column that stands for it."""


def plain(value: object) -> Cell:
    """Bring a value as DuckDB gives it to one of few plain kinds; a day becomes its midnight."""
    if value is None or isinstance(value, bool | int | str | time | timedelta):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None) - (value.utcoffset() or timedelta())
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, dict):
        return tuple(plain(item) for item in value.values())
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value.hex() if isinstance(value, bytes) else str(value)


def matches(got: Table, want: Table, *, is_ordered: bool, may_have_extra_columns: bool = False) -> Iterator[Assignment]:
    """Yield the ways in which an answer's columns stand for the reference's, as written first.

    Args:
        got: (n_rows, n_columns) values of the answer.
        want: (n_rows, n_columns) values of the reference.
        is_ordered: the order of the rows counts.
        may_have_extra_columns: the answer may have columns besides.
    """
    n_got, n_want = len(got.names), len(want.names)
    if len(got.rows) != len(want.rows) or n_got < n_want or (n_got > n_want and not may_have_extra_columns):
        return
    for assignment in islice(_candidates(got, want), _MAX_ASSIGNMENTS):
        if rows_match(got, want, assignment, is_ordered=is_ordered):
            yield assignment


def rows_match(got: Table, want: Table, assignment: Assignment, *, is_ordered: bool) -> bool:
    """Tell whether two results are the same rows under one assignment of columns."""
    if len(got.rows) != len(want.rows) or any(column >= len(got.names) for column in assignment):
        return False
    got_rows, want_rows = _aligned(got, want, assignment)
    if is_ordered:
        return all(map(_same_row, got_rows, want_rows))
    unmatched_got, unmatched_want = _without_equal(got_rows, want_rows)
    return _pair_off(unmatched_got, unmatched_want)


def difference(got: Table, want: Table, assignment: Assignment) -> tuple[list[Row], list[Row]]:
    """Give the rows of the reference that are missing in the answer, and those of the answer that are unexpected."""
    got_rows, want_rows = (
        _aligned(got, want, assignment) if len(assignment) == len(want.names) else (got.rows, want.rows)
    )
    unexpected, missing = _without_equal(got_rows, want_rows)
    for row in list(missing[:200]):
        near = next((other for other in unexpected if _same_row(row, other)), None)
        if near is not None:
            missing.remove(row)
            unexpected.remove(near)
    return missing, unexpected


def _candidates(got: Table, want: Table) -> Iterator[Assignment]:
    """Yield assignments worth a look at the rows: each pair of columns holds the same values."""
    n_got, n_want = len(got.names), len(want.names)
    as_written = tuple(range(n_want))
    yield as_written
    if n_got == 1:
        return
    fits = [[column for column in range(n_got) if _columns_match(got, want, column, place)] for place in range(n_want)]
    if all(fits):
        yield from (found for found in _choices(fits, n_got) if found != as_written)


def _choices(fits: Sequence[Sequence[int]], n_got: int) -> Iterator[Assignment]:
    """Yield every way to take a different column for each place."""
    if all(len(columns) == n_got for columns in fits):
        yield from permutations(range(n_got), len(fits))
        return

    def extend(chosen: Assignment) -> Iterator[Assignment]:
        if len(chosen) == len(fits):
            yield chosen
            return
        for column in fits[len(chosen)]:
            if column not in chosen:
                yield from extend((*chosen, column))

    yield from extend(())


def _columns_match(got: Table, want: Table, column: int, place: int) -> bool:
    one = Table(names=("",), rows=tuple((row[column],) for row in got.rows), is_single=_single(got, column))
    other = Table(names=("",), rows=tuple((row[place],) for row in want.rows), is_single=_single(want, place))
    return rows_match(one, other, (0,), is_ordered=False)


def _single(table: Table, column: int) -> tuple[bool, ...]:
    return (table.is_single[column],) if table.is_single else ()


def _aligned(got: Table, want: Table, assignment: Assignment) -> tuple[Sequence[Row], Sequence[Row]]:
    """Give both tables' rows with the answer's columns in the reference's places and kinds."""
    columns_got: list[Sequence[Cell]] = []
    columns_want: list[Sequence[Cell]] = []
    for place, column in enumerate(assignment):
        one = [row[column] for row in got.rows]
        other = [row[place] for row in want.rows]
        one, other = _one_kind(one, other)
        if any((*_single(got, column), *_single(want, place))):
            one, other = [_near(cell) for cell in one], [_near(cell) for cell in other]
        columns_got.append(one)
        columns_want.append(other)
    return list(zip(*columns_got, strict=True)), list(zip(*columns_want, strict=True))


class _Near(float):
    """A number of single precision: compared with tolerance even if it is whole."""


def _near(cell: Cell) -> Cell:
    return _Near(cell) if isinstance(cell, int | float) else cell


def _one_kind(one: list[Cell], other: list[Cell]) -> tuple[list[Cell], list[Cell]]:
    """Bring texts to the other side's kind where the sides differ: '09' beside 9, '2024-03-06' beside a day."""
    kinds_one, kinds_other = _kinds(one), _kinds(other)
    if kinds_one == {"text"} and kinds_other - {"text"}:
        return _read_as(one, kinds_other), other
    if kinds_other == {"text"} and kinds_one - {"text"}:
        return one, _read_as(other, kinds_one)
    return one, other


def _kinds(cells: Sequence[Cell]) -> set[str]:
    return {_kind(cell) for cell in cells if cell is not None}


def _kind(cell: Cell) -> str:
    if isinstance(cell, int | float):
        return "number"
    return {str: "text", datetime: "moment", time: "clock", timedelta: "span"}.get(type(cell), "other")


def _read_as(cells: Sequence[Cell], kinds: set[str]) -> list[Cell]:
    """Read texts as the one other kind there is; a text that does not spell it stays a text."""
    if len(kinds) != 1:
        return list(cells)
    (kind,) = kinds
    return [_spelled(cell, kind) if isinstance(cell, str) else cell for cell in cells]


def _spelled(cell: str, kind: str) -> Cell:
    if kind == "number" and _NUMBER.fullmatch(cell):
        value = float(cell)
        return int(cell) if re.fullmatch(r"\s*[+-]?\d+\s*", cell) else value
    if kind == "number" and cell.strip().lower() in ("true", "false"):
        return cell.strip().lower() == "true"
    try:
        if kind == "moment" and _DAY.fullmatch(cell):
            return datetime.fromisoformat(_ZONE.sub("", cell.strip()))
        if kind == "clock" and _CLOCK.fullmatch(cell):
            return time.fromisoformat(cell.strip())
    except ValueError:
        return cell  # 2024-02-30
    return cell


def _same_row(one: Row, other: Row) -> bool:
    return all(map(_same, one, other))


def _same(one: Cell, other: Cell) -> bool:
    """Tell whether two values of one kind are equal."""
    if isinstance(one, int | float) and isinstance(other, int | float):
        return _same_number(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def _same_number(one: int | float, other: int | float) -> bool:
    if one == other:
        return True
    if isinstance(one, int) and isinstance(other, int):
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    are_whole = all(isinstance(value, int) or value.is_integer() for value in (one, other))
    if are_whole and not isinstance(one, _Near) and not isinstance(other, _Near):
        return False
    return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12)


def _key(cell: Cell) -> object:
    """Give something hashable that equal values share, but for tolerance; True is 1 and 5.0 is 5."""
    if isinstance(cell, float) and math.isnan(cell):
        return "nan"
    if isinstance(cell, tuple):
        return ("tuple", *map(_key, cell))
    return cell if isinstance(cell, int | float) or cell is None else (type(cell).__name__, cell)


def _without_equal(one: Sequence[Row], other: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Take off the rows that both sides have exactly, as often as both have them."""
    count_one = Counter(tuple(map(_key, row)) for row in one)
    count_other = Counter(tuple(map(_key, row)) for row in other)
    return _rest(one, count_one - count_other), _rest(other, count_other - count_one)


def _rest(rows: Sequence[Row], surplus: Counter[tuple[object, ...]]) -> list[Row]:
    rest = []
    for row in rows:
        key = tuple(map(_key, row))
        if surplus[key] > 0:
            surplus[key] -= 1
            rest.append(row)
    return rest


def _pair_off(one: list[Row], other: list[Row]) -> bool:
    """Pair rows that differ only within the tolerance, nearest first, inside groups that share everything else."""
    if len(one) != len(other):
        return False
    groups: dict[tuple[object, ...], tuple[list[Row], list[Row]]] = {}
    for side, rows in enumerate((one, other)):
        for row in rows:
            exact = tuple("any number" if isinstance(cell, int | float) else _key(cell) for cell in row)
            groups.setdefault(exact, ([], []))[side].append(row)
    for left, right in groups.values():
        if len(left) != len(right):
            return False
        order = [index for index, cell in enumerate(left[0]) if isinstance(cell, int | float)]
        left.sort(key=lambda row: [row[index] for index in order])
        right.sort(key=lambda row: [row[index] for index in order])
        if not all(map(_same_row, left, right)) and not _pair_one_by_one(left, right):
            return False
    return True


def _pair_one_by_one(left: Sequence[Row], right: list[Row]) -> bool:
    """Give each row the first partner that is the same: sorting can part rows whose first numbers differ a little."""
    if len(left) > 500:
        return False
    free = list(right)
    for row in left:
        partner = next((index for index, other in enumerate(free) if _same_row(row, other)), None)
        if partner is None:
            return False
        free.pop(partner)
    return True

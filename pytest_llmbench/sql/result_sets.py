"""Compare two query results by the published conventions (docs/sql.md).

Rows are a multiset, in order only where the question fixes one; duplicates count.  Where both sides have the same
column names, columns pair by name; else names do not count, and columns may stand in any order, one and the same on
every instance.  A number equals a text that spells it if the columns differ in kind ('09' and 9); a day equals its
midnight, and the text that spells either.  When two values of one kind are equal: cells.py.
Source: execution accuracy of the Spider test suite (Zhong et al., 2020), which strips DISTINCT, calls any two
empty results equal and compares floats exactly; this does none of the three.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import accumulate, islice, permutations
from typing import TypeAlias

from pytest_llmbench.sql.cells import NUMBERS, Cell, Near, Row, is_same_row
from pytest_llmbench.sql.pairing import are_same_rows, unpaired

_MAX_ASSIGNMENTS = 5_000
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_DAY = re.compile(r"\s*\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)?(?:Z|[+-]00(?::00)?)?\s*")
_ZONE = re.compile(r"(?<=:\d\d)(?:Z|[+-]00(?::00)?)$|(?<=\.\d)(?:Z|[+-]00(?::00)?)$")
_CLOCK = re.compile(r"\s*\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A query's result in plain values.

    `is_single` marks columns of single precision (REAL).  `peers` are the sizes of the runs of rows that the query's
    ORDER BY does not put in an order among themselves; empty: each row has its place.
    """

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    is_single: tuple[bool, ...] = ()
    peers: tuple[int, ...] = ()


Assignment: TypeAlias = tuple[int, ...]
"""For each column of the reference, the place of the answer's column that stands for it."""


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
    if not is_ordered:
        return are_same_rows(got_rows, want_rows)
    if not want.peers:
        return all(map(is_same_row, got_rows, want_rows))
    ends = list(accumulate(want.peers))
    return all(
        are_same_rows(got_rows[start:end], want_rows[start:end]) for start, end in zip([0, *ends], ends, strict=False)
    )


def difference(got: Table, want: Table, assignment: Assignment) -> tuple[list[Row], list[Row]]:
    """Give the rows of the reference that are missing in the answer, and those of the answer that are unexpected."""
    got_rows, want_rows = (
        _aligned(got, want, assignment) if len(assignment) == len(want.names) else (got.rows, want.rows)
    )
    unexpected, missing = unpaired(got_rows, want_rows)
    return missing, unexpected


def _candidates(got: Table, want: Table) -> Iterator[Assignment]:
    """Yield assignments worth a look at the rows: each pair of columns holds the same values."""
    n_got, n_want = len(got.names), len(want.names)
    by_name = _by_name(got, want)
    if by_name is not None:
        yield by_name
        return
    as_written = tuple(range(n_want))
    yield as_written
    if n_got == 1:
        return
    fits = [[column for column in range(n_got) if _columns_match(got, want, column, place)] for place in range(n_want)]
    if all(fits):
        yield from (found for found in _choices(fits, n_got) if found != as_written)


def _by_name(got: Table, want: Table) -> Assignment | None:
    """Pair the columns by their names where both sides have the same ones, letter case aside, each once."""
    names = [name.lower() for name in got.names]
    wanted = [name.lower() for name in want.names]
    if len(set(names)) != len(names) or set(names) != set(wanted) or len(names) != len(wanted):
        return None
    return tuple(map(names.index, wanted))


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


def _near(cell: Cell) -> Cell:
    return Near(cell) if isinstance(cell, NUMBERS) else cell


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
    if isinstance(cell, NUMBERS):
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

"""Describe in a sentence and in up to three rows how a result differs from the reference's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from itertools import permutations

from pytest_llmbench.sql import result_sets
from pytest_llmbench.sql.cells import Cell, Entries, Row, Struct, is_same_row
from pytest_llmbench.sql.result_sets import Assignment, Table
from pytest_llmbench.values import Json

MAX_SHOWN_ROWS = 3
_MAX_SHOWN_CHARS = 200
_MAX_REARRANGED, _MAX_REARRANGED_ROWS = 4, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """A predicate ("counts 41 where the reference counts 17") and the rows that show it."""

    sentence: str
    difference: Mapping[str, Json]


def explain(got: Table, want: Table, *, counts: bool, is_ordered: bool) -> Readable:
    """Tell two results apart that are not the same.

    Args:
        got: the answer's result.
        want: the reference's.
        counts: both give one count.
        is_ordered: the order of the rows was asked for.
    """
    assignment = next(result_sets.matches(got, want, is_ordered=False, may_have_extra_columns=True), None)
    is_same_rows = assignment is not None and len(got.names) == len(want.names)
    missing, unexpected = result_sets.difference(got, want, assignment or _nearest(got, want))
    if is_same_rows and is_ordered:
        missing, unexpected = _out_of_place(got, want)
    sentence = _sentence(
        got, want, counts=counts, n_missing=len(missing), n_unexpected=len(unexpected), is_same_rows=is_same_rows
    )
    difference: dict[str, Json] = {
        "missing": [shown(row) for row in missing[:MAX_SHOWN_ROWS]],
        "unexpected": [shown(row) for row in unexpected[:MAX_SHOWN_ROWS]],
    }
    if len(got.names) != len(want.names):
        names = [name[:_MAX_SHOWN_CHARS] for name in got.names[:20]]
        difference["columns"] = {"reference": list(want.names), "answer": names}
    return Readable(sentence=sentence, difference=difference)


def _nearest(got: Table, want: Table) -> Assignment:
    """Give the arrangement of columns in which the fewest rows differ; none for another width."""
    width = len(want.names)
    if len(got.names) != width:
        return ()
    as_written = tuple(range(width))
    if not 1 < width <= _MAX_REARRANGED or max(len(got.rows), len(want.rows)) > _MAX_REARRANGED_ROWS:
        return as_written
    return min(permutations(as_written), key=lambda places: len(result_sets.difference(got, want, places)[0]))


def shown(row: Row) -> list[Json]:
    """Give a row as JSON can hold it, long texts cut."""
    return [_shown(cell) for cell in row]


def _shown(cell: Cell) -> Json:
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int):
        return cell if abs(cell) < 2**53 else str(cell)  # JSON readers keep no more digits
    if isinstance(cell, float):
        return float(cell) if cell - cell == 0 else str(cell)
    if isinstance(cell, Decimal):
        return str(cell) if len(cell.as_tuple().digits) > 15 else float(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ") if cell.time() != time() else cell.date().isoformat()
    text = _nested(cell) if isinstance(cell, tuple | Struct | Entries) else str(cell)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…"


def _nested(cell: "tuple[Cell, ...] | Struct | Entries") -> str:
    """Write a list, a struct or a map."""
    if isinstance(cell, Struct):
        return str({name or str(place): _shown(item) for place, (name, item) in enumerate(cell.fields)})
    if isinstance(cell, Entries):
        return "MAP " + str({str(_shown(key)): _shown(item) for key, item in cell.items})
    return str(list(map(_shown, cell)))


def _out_of_place(got: Table, want: Table) -> tuple[list[Row], list[Row]]:
    """Give the rows that stand in another place, pairwise."""
    pairs = [(other, one) for one, other in zip(got.rows, want.rows, strict=True) if not is_same_row(one, other)]
    return [other for other, _ in pairs], [one for _, one in pairs]


def _sentence(got: Table, want: Table, *, counts: bool, n_missing: int, n_unexpected: int, is_same_rows: bool) -> str:
    n_got, n_want = len(got.rows), len(want.rows)
    if len(got.names) != len(want.names) and not (n_got == n_want == 0):
        return f"has {counted(len(got.names), 'column')} where the reference has {len(want.names)}"
    if n_got == n_want == 1 and len(want.names) == 1:
        verb = "counts" if counts else "gives"
        return f"{verb} {_value(got.rows[0][0])} where the reference {verb} {_value(want.rows[0][0])}"
    if n_got > 10_000:
        return f"has more than 10,000 rows where the reference has {n_want:,}"
    if is_same_rows:
        return "has the right rows in another order"
    if n_got != n_want:
        return f"has {counted(n_got, 'row')} where the reference has {n_want:,}"
    return f"misses {counted(n_missing, 'row')} of {n_want:,} and has {n_unexpected:,} others"


def _value(cell: Cell) -> str:
    """Write one value as people read it."""
    if cell is None:
        return "NULL"
    value = _shown(cell)
    return f"'{value}'" if isinstance(cell, str) else str(value)


def counted(count: int, noun: str) -> str:
    """Write a count with its noun in the singular or plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

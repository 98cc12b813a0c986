"""How an SQL answer was read and by which rows it differs, as labelled texts."""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.values import Json


def differing_rows(parts: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield what the parts of a grade say of a result that differs; nothing for other grades.

    Rows are written as in a tuple of SQL, one a line.  A single value on each side is left out: the
    explanation holds it.
    """
    difference, sql = parts.get("difference"), parts.get("sql")
    if not isinstance(difference, Mapping):
        return
    sides = {name: _rows(difference.get(name)) for name in ("missing", "unexpected")}
    if any(len(rows) != 1 or len(rows[0]) != 1 for rows in sides.values()):
        for name, rows in sides.items():
            if rows:
                yield name, "\n".join(f"({', '.join(map(_cell, row))})" for row in rows)
    columns = difference.get("columns")
    if isinstance(columns, Mapping):
        names = {side: ", ".join(map(str, _cells(columns.get(side)))) for side in ("answer", "reference")}
        yield "columns", f"{names['answer']}\n(the reference: {names['reference']})"
    if isinstance(sql, str):
        yield "ran", f"{sql}\n(read as {parts.get('reading')}, on instance {parts.get('instance')})"


def _rows(found: Json) -> list[Sequence[Json]]:
    return [_cells(row) for row in _cells(found)]


def _cells(found: Json) -> Sequence[Json]:
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def _cell(value: Json) -> str:
    return "NULL" if value is None else str(value)

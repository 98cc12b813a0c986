"""Export a SQLite database as a database folder of the grader `sql`: schema.sql, database.toml, main/TABLE.parquet.

A column of SQLite may hold values of any kind.  Here it gets one type, from what is declared and what it holds; a cell
that does not fit is named, and the database is refused.  Source: https://sqlite.org/datatype3.html, section 3.1.
"""

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pytest_llmbench.importers.base import NotMapped, Place
from pytest_llmbench.importers.source import MAX_BYTES, Folder

NOW = "2024-03-05T14:37:21"
"""The moment of the only instance; queries that ask for the present moment are refused, so any will do."""

_INSTANCE = "main"
_MAX_ROWS = 2_000_000
_OUTER = "copy the rows that matter, or leave its cases out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A database: the files of its folder by their relative paths, and what a prompt shows of it."""

    path: Path
    files: Mapping[str, bytes]
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    name: str
    declared: str
    key: int


def opened(path: Path) -> sqlite3.Connection:
    """Open a file of SQLite so that nothing in it or beside it can change."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def exported(path: Path, folder: Folder) -> Exported:
    """Export a database.

    Raises:
        SourceFault: the file cannot be read, or is a pointer of Git LFS.
        NotMapped: it is too large, no database, or holds cells that do not fit.
    """
    place = Place(path=path)
    if path.stat().st_size > MAX_BYTES:
        raise NotMapped(f"this database has over {MAX_BYTES >> 20} MiB; {_OUTER}.", place)
    folder.note(path)
    try:
        with closing(opened(path)) as source:
            return _exported(source, place)
    except duckdb.Error as fault:
        first = str(fault).partition("\n")[0]
        raise NotMapped(f"DuckDB cannot store the rows of this ({first[:200]}); {_OUTER}.", place) from None
    except sqlite3.Error as fault:
        raise NotMapped(f"SQLite cannot read this ({fault}); save the database again.", place) from None


def _exported(source: sqlite3.Connection, place: Place) -> Exported:
    listed = source.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    ).fetchall()
    if not listed:
        raise NotMapped("this database has no table; copy the whole benchmark.", place)
    files: dict[str, bytes] = {}
    created = []
    n_rows = 0
    for table, sql in listed:
        if not table.strip(". ") or set(table) & set('/\\\0:*?"<>|') or sql.upper().startswith("CREATE VIRTUAL"):
            raise NotMapped(f'the table "{table}" cannot become a file; rename it, or store it as a table.', place)
        columns = [
            _Column(name=name, declared=declared or "", key=key)
            for _, name, declared, _, _, key in source.execute(f"PRAGMA table_info({_quoted(table)})")
        ]
        names = ", ".join(_quoted(column.name) for column in columns)
        rows = source.execute(f"SELECT {names} FROM {_quoted(table)}").fetchmany(_MAX_ROWS + 1)  # noqa: S608 - quoted
        n_rows += len(rows)
        if n_rows > _MAX_ROWS:
            raise NotMapped(f"this database has over {_MAX_ROWS:,} rows; {_OUTER}.", place)
        types = [_type(column, [row[number] for row in rows], table, place) for number, column in enumerate(columns)]
        created.append(_create(table, columns, types, rows))
        files[f"{_INSTANCE}/{table}.parquet"] = _parquet(columns, types, rows)
    files["schema.sql"] = "\n".join(created).encode()
    files["database.toml"] = f"[instances.{_INSTANCE}]\nnow = {NOW}\n".encode()
    return Exported(path=place.path, files=files, shown="\n".join(f"{sql.strip()};" for _, sql in listed))


def _type(column: _Column, cells: Sequence[object], table: str, place: Place) -> str:
    """Give the DuckDB type of a column.

    Raises:
        NotMapped: a cell does not fit what is declared, or numbers and texts are mixed.
    """
    declared = column.declared.upper()
    is_whole = "INT" in declared
    is_text = not is_whole and any(word in declared for word in ("CHAR", "CLOB", "TEXT"))
    is_real = not is_whole and not is_text and any(word in declared for word in ("REAL", "FLOA", "DOUB"))
    kinds = {type(cell) for cell in cells} - {type(None)}
    is_number = is_real or (not is_text and bool(kinds & {int, float}))
    fits = {int} if is_whole else {int, float} if is_number else {str}
    if not kinds <= fits:
        number, cell = next(
            (at, cell) for at, cell in enumerate(cells, 1) if cell is not None and type(cell) not in fits
        )
        what = "no value of its column" if not declared else f"no {declared}"
        message = f"{table}.{column.name}, row {number}: {str(cell)[:40]!r} is {what}, and a column has one type here"
        raise NotMapped(f"{message}; mend the cell, or leave the cases of the database out.", place)
    if is_whole or (is_number and not is_real and kinds == {int}):
        return "BIGINT"
    return "DOUBLE" if is_number else "VARCHAR"


def _create(table: str, columns: Sequence[_Column], types: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"  {_quoted(column.name)} {kind}" for column, kind in zip(columns, types, strict=True)]
    keys = [number for number, column in enumerate(columns) if column.key]
    # a primary key of SQLite may hold NULLs
    if keys and all(row[number] is not None for row in rows for number in keys):
        ordered = sorted(keys, key=lambda number: columns[number].key)
        lines.append(f"  PRIMARY KEY ({', '.join(_quoted(columns[number].name) for number in ordered)})")
    return f"CREATE TABLE {_quoted(table)} (\n" + ",\n".join(lines) + "\n);"


def _parquet(columns: Sequence[_Column], types: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """Write rows as Parquet, through a CSV file: row by row it would take minutes."""
    with tempfile.TemporaryDirectory(prefix="llmbench-import-") as scratch:
        given, made = Path(scratch) / "rows.csv", Path(scratch) / "rows.parquet"
        with given.open("w", encoding="utf-8", newline="") as file:
            file.writelines(_lines(rows))
        described = ", ".join(
            f"{_literal(column.name)}: {_literal(kind)}" for column, kind in zip(columns, types, strict=True)
        )
        with closing(duckdb.connect(config={"threads": "1", "memory_limit": "1GB"})) as connection:
            reader = (
                f"read_csv({_literal(str(given))}, header = false, delim = ',', quote = '\"', escape = '\"', "
                f"nullstr = 'N', allow_quoted_nulls = false, auto_detect = false, new_line = '\\n', "
                f"columns = {{{described}}})"
            )
            connection.execute(f"COPY (SELECT * FROM {reader}) TO {_literal(str(made))} (FORMAT parquet)")  # noqa: S608
        return made.read_bytes()


def _lines(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    for row in rows:
        cells = ("N" if cell is None else '"' + str(cell).replace('"', '""') + '"' for cell in row)
        yield ",".join(cells) + "\n"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

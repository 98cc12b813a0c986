"""Read the rows of a suite's data file: CSV, JSON lines or Parquet.

Every row knows where it stands: the line for CSV and JSON lines, the row for Parquet.
Values of CSV are texts; an empty field is no value.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case as written. `line` counts from 1; `has_lines` is False where it is a row number.

    `is_text`: its values are texts whatever they mean, as in CSV.  `checks` and `turns` are the YAML nodes of those,
    which know their lines; None elsewhere.  `turn` is the number of the turn that it is, where it is one of a case.
    """

    path: Path
    line: int
    values: Mapping[str, Json]
    has_lines: bool = True
    is_text: bool = False
    checks: object = None
    turns: object = None
    turn: int | None = None

    @property
    def place(self) -> str:
        """`line 7` or `row 7`."""
        return f"{'line' if self.has_lines else 'row'} {self.line}"

    def fault(self, message: str) -> SuiteFault:
        """Make a fault with the place of this row."""
        if self.has_lines:
            return SuiteFault(message, path=self.path, line=self.line)
        return SuiteFault(message, path=self.path, row=self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a data file is written: `columns` maps fields of a case to columns, or keys, that are called otherwise."""

    delimiter: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)

    def renamed(self, header: Sequence[str], path: Path, line: int | None = None) -> list[tuple[str, int]]:
        """Give the fields of a case, each with the place of its column.

        Raises:
            SuiteFault: a column does not exist, or a field has two.
        """
        for name, column in self.columns.items():
            if column not in header:
                message = f'`columns` takes {name} from "{column}", which is not here; there are: {", ".join(header)}.'
                raise SuiteFault(message, path=path, line=line)
        taken = set(self.columns.values())
        kept = [(name, place) for place, name in enumerate(header) if name not in taken]
        twice = next((name for name, _ in kept if name in self.columns), None)
        if twice is not None:
            other = self.columns[twice]
            message = f'`columns` takes {twice} from "{other}", and there is a column "{twice}" too; rename one.'
            raise SuiteFault(message, path=path, line=line)
        return [*kept, *((name, header.index(column)) for name, column in self.columns.items())]


def read_rows(path: Path, text_keys: frozenset[str], form: Form) -> list[Row]:
    """Read a data file by its ending; scalars under `text_keys` become texts.

    Raises:
        SuiteFault: it is empty, of no known kind, not UTF-8, or a row is broken.
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        rows = list(_csv_rows(path, form))
    elif kind in (".jsonl", ".ndjson"):
        rows = _json_rows(path, text_keys, form)
    elif kind == ".parquet":
        rows = list(_parquet_rows(path, text_keys, form))
    else:
        raise SuiteFault("a data file must end in .csv, .jsonl or .parquet.", path=path)
    if not rows:
        raise SuiteFault("this data file has no rows; a case stands in each.", path=path)
    return rows


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise SuiteFault(f"this file cannot be read: {fault.strerror}.", path=path) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = content[: fault.start].count(b"\n") + 1
        raise SuiteFault("this file is not UTF-8; save it as UTF-8.", path=path, line=line) from None


def allow_long_fields() -> None:
    """Have the module csv read fields of any length: its usual 131,072 characters are less than a long document."""
    csv.field_size_limit(2**31 - 1)  # what a C long holds on every system


def _csv_rows(path: Path, form: Form) -> Iterator[Row]:
    """Yield the rows; those without any text, such as the commas that a spreadsheet leaves, are none."""
    allow_long_fields()
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=form.delimiter, strict=True)
    header: list[str] | None = None
    places: list[tuple[str, int]] = []
    line = 1
    try:
        for fields in reader:
            start, line = line, reader.line_num + 1
            if not any(field.strip() for field in fields):
                continue
            if header is None:
                header, places = _header(path, start, fields, form)
                continue
            if len(fields) != len(header):
                way_out = (
                    "quote a field that holds the separator" if len(fields) > len(header) else "write the missing ones"
                )
                message = (
                    f"this row has {len(fields)} fields, the header has {len(header)} ({', '.join(header)}); {way_out}."
                )
                raise SuiteFault(message, path=path, line=start)
            values = {name: fields[place] for name, place in places if fields[place] != ""}
            yield Row(path=path, line=start, values=values, is_text=True)
    except csv.Error as fault:
        raise SuiteFault(f"this is not CSV: {fault}.", path=path, line=line) from None


def _header(path: Path, line: int, fields: list[str], form: Form) -> tuple[list[str], list[tuple[str, int]]]:
    """Give the names of the columns, and the fields of a case with the places of their columns."""
    header = [name.strip() for name in fields]
    wanted = form.columns.get("id", "id")
    if len(fields) == 1 and wanted != header[0]:
        separator = next((mark for mark in ";\t|," if wanted in map(str.strip, fields[0].split(mark))), None)
        if separator not in (None, form.delimiter):
            shown, written = ("tabs", "tab") if separator == "\t" else (f'"{separator}"', f'"{separator}"')
            message = f"the columns of this file are separated by {shown}; write `delimiter: {written}` in the suite."
            raise SuiteFault(message, path=path, line=line)
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise SuiteFault(f'the column "{twice}" occurs twice; take one out.', path=path, line=line)
    places = form.renamed(header, path, line)
    if "id" not in dict(places):
        message = (
            f"a data file needs a column id; this one has: {', '.join(header)}. The first line names the columns; if "
            "one of another name holds the ids, write `columns: {id: NAME}` in the suite."
        )
        raise SuiteFault(message, path=path, line=line)
    return header, places


def _json_rows(path: Path, text_keys: frozenset[str], form: Form) -> list[Row]:
    rows: list[tuple[int, dict[str, Any]]] = []
    # not splitlines: U+2028 may stand raw within a JSON text
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            found = json.loads(text, object_pairs_hook=_pairs)
        except json.JSONDecodeError as fault:
            raise SuiteFault(f"this is not JSON: {fault.msg} at column {fault.colno}.", path=path, line=line) from None
        except _Twice as fault:
            raise SuiteFault(f"{fault}", path=path, line=line) from None
        except ValueError:  # of Python, which reads no more than 4,300 digits
            message = "a number has too many digits to be read; write it as a text, in quotes."
            raise SuiteFault(message, path=path, line=line) from None
        except RecursionError:
            raise SuiteFault("this line is nested too deep; write it flatter.", path=path, line=line) from None
        if not isinstance(found, dict):
            raise SuiteFault("a line must hold one JSON object, a case.", path=path, line=line)
        rows.append((line, found))
    if form.columns:
        header = list(dict.fromkeys(key for _, found in rows for key in found))
        places = form.renamed(header, path)
        rows = [
            (line, {field: found[header[place]] for field, place in places if header[place] in found})
            for line, found in rows
        ]
    return [
        Row(path=path, line=line, values={k: as_text(v) if k in text_keys else v for k, v in found.items()})
        for line, found in rows
    ]


class _Twice(ValueError):
    """A key of a JSON object occurs twice."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Twice(f'the key "{next(k for k in keys if keys.count(k) > 1)}" occurs twice; take one out.')
    return found


def as_text(value: Any) -> Json:
    """Give a scalar as the text it is written as, anything else as it is."""
    found: Json = json.dumps(value) if isinstance(value, (bool, int, float)) else value
    return found


def _parquet_rows(path: Path, text_keys: frozenset[str], form: Form) -> Iterator[Row]:
    columns, rows = _read_parquet(path)
    places = form.renamed(columns, path)
    if "id" not in dict(places):
        raise SuiteFault(f"a data file needs a column id; this one has: {', '.join(columns)}.", path=path)
    for number, fields in enumerate(rows, start=1):
        plain = {field: plain_value(fields[place]) for field, place in places if fields[place] is not None}
        values = {key: as_text(value) if key in text_keys else value for key, value in plain.items()}
        yield Row(path=path, line=number, values=values, has_lines=False)


def plain_value(value: Any) -> Json:
    """Give a cell as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_value(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): plain_value(entry) for key, entry in value.items()}
    return str(value)


def _read_parquet(path: Path) -> tuple[Sequence[str], Sequence[Sequence[object]]]:
    """Give a Parquet file's column names and its rows.

    Raises:
        SuiteFault: it is not Parquet.
    """
    import duckdb

    with duckdb.connect() as connection:
        try:
            found = connection.read_parquet(str(path))
            return tuple(found.columns), found.fetchall()
        except duckdb.Error as fault:
            first_line = str(fault).splitlines()[0]
            raise SuiteFault(f"this is not a Parquet file that can be read: {first_line}.", path=path) from None

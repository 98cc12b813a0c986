"""Read `data` of a suite file, and the keys that describe it: `delimiter` and `columns`."""

from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.data_files import Form, Row, read_rows

KEYS = ("delimiter", "columns")
"""The keys that describe a data file."""

_TAB = {"tab", r"\t"}


def data_rows(table: yaml12.Table, text_keys: frozenset[str]) -> list[Row]:
    """Read the rows of the data file that a suite file names; none where it names none.

    Args:
        table: the suite file.
        text_keys: fields whose values are texts, whatever they look like.

    Raises:
        SuiteFault: there is no such file, it cannot be read, or one of the keys is wrong.
    """
    described = next((key for key in KEYS if key in table.entries), None)
    node = table.entries.get("data")
    if node is None:
        if described is not None:
            _fail(table, described, f"`{described}` describes a data file, and the suite has no `data`; take it out.")
        return []
    if yaml12.is_mapping(node):
        if described is not None:
            _fail(table, described, f"`{described}` describes a data file; for a data set, write it within `data`.")
        from pytest_llmbench.suites.datasets_rows import dataset_rows

        return dataset_rows(node, table.path, text_keys)
    file = table.path.parent / yaml12.text(node, table.path, "`data`")
    if file.is_dir():
        _fail(table, "data", f"{file} is a folder; name a file in it: .csv, .jsonl or .parquet.")
    if not file.is_file():
        _fail(table, "data", f"there is no data file {file}; `data` is a path relative to the suite file.")
    return read_rows(file, text_keys, Form(delimiter=_delimiter(table, file), columns=_columns(table)))


def _delimiter(table: yaml12.Table, file: Path) -> str:
    node = table.entries.get("delimiter")
    if node is None:
        return ","
    if file.suffix.lower() != ".csv":
        _fail(table, "delimiter", f"`delimiter` is for .csv files, and {file} is none; take it out.")
    given = yaml12.text(node, table.path, "`delimiter`")
    delimiter = "\t" if given in _TAB else given
    if len(delimiter) != 1 or delimiter in '"\r\n':
        _fail(table, "delimiter", f'`delimiter` must be one character, such as ";", or tab, not "{given}".')
    return delimiter


def _columns(table: yaml12.Table) -> MappingProxyType[str, str]:
    node = table.entries.get("columns")
    if node is None:
        return MappingProxyType({})
    found = yaml12.table(node, table.path, "`columns`")
    return MappingProxyType(
        {field: yaml12.text(column, table.path, f"the column of `{field}`") for field, column in found.entries.items()}
    )


def _fail(table: yaml12.Table, key: str, message: str) -> NoReturn:
    raise SuiteFault(message, path=table.path, line=table.key_lines[key])

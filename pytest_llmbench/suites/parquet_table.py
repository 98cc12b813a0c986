"""A table of Parquet files, read by DuckDB column by column: what a data set of such files needs of `datasets`.

The library would be imported for nothing else, and takes 130 MiB and 2 s.  The names of labels stand in the metadata
that `datasets` writes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self


class NoParquet(Exception):
    """A file is no Parquet file, or its columns differ from those of the first."""


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """The rows of some files; `rows` are the places of those that are kept, None for all."""

    files: tuple[str, ...]
    column_names: tuple[str, ...]
    features: Mapping[str, Any]
    count: int
    rows: tuple[int, ...] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, files: Sequence[str]) -> Self:
        """Read what the columns are called, and how many rows there are.

        Raises:
            NoParquet: a file cannot be read.
        """
        listed = list(files)
        shape = _query("SELECT * FROM read_parquet(?) LIMIT 0", listed)
        ((count,),) = _query("SELECT count(*) FROM read_parquet(?)", listed)[1]
        _, metadata = _query("SELECT value FROM parquet_kv_metadata(?) WHERE key = 'huggingface'", listed[:1])
        features = _features(metadata[0][0]) if metadata else {}
        return cls(tuple(files), shape[0], features, count)

    def __len__(self) -> int:
        return self.count if self.rows is None else len(self.rows)

    def select_columns(self, names: Sequence[str]) -> "ParquetTable":
        """Read some columns."""
        quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
        _, found = _query(f"SELECT {quoted} FROM read_parquet(?)", list(self.files))  # noqa: S608 - names are quoted
        kept = found if self.rows is None else [found[place] for place in self.rows]
        columns = {name: [row[place] for row in kept] for place, name in enumerate(names)}
        return ParquetTable(self.files, tuple(names), self.features, len(kept), None, columns)

    def select(self, places: Sequence[int]) -> "ParquetTable":
        """Keep the rows at some places, counted among those that are kept now."""
        rows = tuple(places if self.rows is None else (self.rows[place] for place in places))
        return ParquetTable(self.files, self.column_names, self.features, self.count, rows)

    def __getitem__(self, name: str) -> Sequence[Any]:
        return self.columns[name]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        columns = list(self.columns.values())
        return (dict(zip(self.columns, row, strict=True)) for row in zip(*columns, strict=True))


def _query(text: str, files: list[str]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Give the names of the columns of a query, and its rows."""
    import duckdb

    with duckdb.connect() as connection:
        try:
            connection.execute("SET preserve_insertion_order = true")
            found = connection.execute(text, [files])
            return tuple(column[0] for column in found.description or ()), found.fetchall()
        except duckdb.Error as fault:
            raise NoParquet(str(fault).splitlines()[0]) from None


def _features(metadata: bytes) -> dict[str, Any]:
    """Give the columns that hold labels, with their names."""
    try:
        features = json.loads(metadata)["info"]["features"]
        named = {name: one["names"] for name, one in features.items() if isinstance(one, dict) and "names" in one}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {name: SimpleNamespace(names=names) for name, names in named.items()}

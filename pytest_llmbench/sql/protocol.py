"""The values that the two processes exchange, and their JSON form.

`Question` and `Instance` go to the worker, `Evaluation` comes back.  JSON and not pickle: what a worker sends is read
without running any of it.  By hand and not with pydantic, which the worker does not import: with it the process started
a third later, and read its tasks no faster.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_llmbench.values import Json, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One filled database: its name, the moment it calls now (naive UTC), and its read-only file."""

    name: str
    now: datetime
    file: Path

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"name": self.name, "now": self.now.isoformat(sep=" "), "file": str(self.file)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Instance":
        """Read the JSON form."""
        return cls(name=value["name"], now=datetime.fromisoformat(value["now"]), file=Path(value["file"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where one instance's rows come from: one SQL file, or one file a table."""

    name: str
    now: datetime
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A database folder that was read; nothing is built yet."""

    name: str
    folder: Path
    schema: Path
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an answer is evaluated by.

    `is_ordered` None means: in order if the matched reference has a top-level ORDER BY.
    `limit_s` bounds what the queries of one answer may take together, in seconds.  `begins` is the word of the
    statement that the prompt ended in.
    """

    references: tuple[str, ...]
    instances: tuple[Instance, ...]
    is_ordered: bool | None = None
    may_have_extra_columns: bool = False
    dialect: str | None = None
    limit_s: float = 2.0
    begins: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        # not asdict, which copies each value on its own: it took half a millisecond an answer
        fields = {name: getattr(self, name) for name in self.__slots__}
        return fields | {"instances": [instance.to_json() for instance in self.instances]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Question":
        """Read the JSON form."""
        fields = dict(value)
        fields["references"] = tuple(fields["references"])
        fields["instances"] = tuple(Instance.from_json(instance) for instance in fields["instances"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What became of one answer.

    `reading` is the dialect it was read in, `sql` the DuckDB text that ran (its frozen moment is
    that of `instance`), `instance` the first one that separates it from the reference numbered
    `reference` (from 0), `difference` up to three rows either way.
    """

    reason: Reason
    explanation: str
    reading: str | None = None
    sql: str | None = None
    instance: str | None = None
    difference: Mapping[str, Json] | None = None
    reference: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Evaluation":
        """Read the JSON form."""
        return replace(cls(**value), reason=Reason(value["reason"]))

    @property
    def parts(self) -> Mapping[str, Json]:
        """The details a grade carries: those that are known."""
        names = ("reading", "sql", "instance", "difference", "reference")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one reference does on one instance: a fault, or how many rows and their digest, sorted and as they came.

    `is_sorted`: the query has a top-level ORDER BY.  `is_loose`: it selects a column that nothing groups by.  `tie`
    describes a LIMIT that takes some of several rows with the same rank.
    """

    fault: str | None = None
    is_sorted: bool = False
    is_loose: bool = False
    tie: str | None = None
    n_rows: int = 0
    rows_sha256: str = ""
    ordered_rows_sha256: str = ""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Trial":
        """Read the JSON form."""
        return cls(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of a database: name to column name to DuckDB type; and their primary keys. All names in lower case.

    `columns` is every column name of any table, with the type it has in the last table that has it.
    """

    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    primary_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the columns once: they are looked up for every node of every statement."""
        columns = {column: kind for columns in self.tables.values() for column, kind in columns.items()}
        object.__setattr__(self, "columns", columns)

"""Read the cases of a suite from a data set with the library `datasets`: a local folder, files, or a name of the hub.

`datasets` is the extra `[datasets]`, and is imported when a suite names one.  A name of the hub needs its revision,
which `llmbench lock` writes: else what a baseline was measured on could change unseen.  A part of a set is drawn with a
seed: the first rows of a set that is sorted are no sample of it.
"""

import hashlib
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import Field, ValidationError, model_validator

from pytest_llmbench.errors import Caught, SuiteFault, caught
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Text, chief_error, error_sentence, kept
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.data_files import Row, as_text, plain_value
from pytest_llmbench.suites.parquet_table import NoParquet, ParquetTable
from pytest_llmbench.values import Json

_MOST_ROWS = 1_000_000
"""A set with more needs a limit: each row is a test."""

_AT_ONCE = 1_000
"""Rows that are taken out of a table at a time."""

_NO_INPUTS = frozenset({"expected", "tags", "cluster", "xfail", "checks", "pass_score", "split"})
"""Fields of cases that are no inputs."""

_FILES = {"parquet": "parquet", "json": "json", "csv": "csv"}
_INSTALL = "`data: {dataset: ...}` needs the library datasets: pip install 'pytest-llmbench[datasets]'."


class DatasetKeys(Strict):
    """The keys of `data` for a data set.

    `columns` maps fields of a case to columns; `id: ""` makes an id of the inputs.  `where` keeps the rows that have
    these values.  `limit` rows are drawn with `seed`.  `labels` are read as their names (`text`) or numbers.
    """

    dataset: Text
    config: Text | None = None
    split: Text | None = None
    revision: Text | None = None
    columns: dict[str, str] | None = None
    where: dict[str, Any] | None = None
    limit: Annotated[int, Field(ge=1), kept(int)] | None = None
    seed: Annotated[int, Field(ge=0), kept(int)] | None = None
    labels: Literal["text", "number"] = "text"

    @model_validator(mode="after")
    def _is_drawn(self) -> Self:
        if self.limit is not None and self.seed is None:
            raise ValueError("`limit` needs a `seed`: the first rows of a set that is sorted are no sample of it")
        if self.seed is not None and self.limit is None:
            raise ValueError("`seed` is for `limit`; write both, or take it out")
        return self


def dataset_rows(node: yaml12.Node, suite: Path, text_keys: frozenset[str]) -> list[Row]:
    """Read the rows of the data set that a suite names.

    Args:
        node: the mapping under `data`.
        suite: the file; a folder or files are relative to its folder.
        text_keys: fields whose values are texts, whatever they look like.

    Raises:
        SuiteFault: a key is wrong, or the set cannot be read.
    """
    rows = list(_Reader(node, suite, text_keys).rows())
    _release()
    return rows


def _release() -> None:
    """Return what the table took to the system: the library of its tables keeps it for the next one."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()


class _Reader:
    def __init__(self, node: yaml12.Node, suite: Path, text_keys: frozenset[str]):
        self._node = node
        self._suite = suite
        self._text_keys = text_keys
        try:
            self.keys = DatasetKeys.model_validate(yaml12.value(node, suite))
        except ValidationError as fault:
            error = chief_error(fault)
            self._fail(f"data: {error_sentence(error, DatasetKeys)}", *map(str, error["loc"][:1]))

    def rows(self) -> Iterator[Row]:
        found = self._chosen(self._loaded())
        fields = self._fields(found.column_names)
        names = self._label_names(found, fields.values()) if self.keys.labels == "text" else {}
        columns = sorted(set(fields.values()) - {""})
        found = found.select_columns(columns)
        makes_id = fields.get("id") == ""
        given = [(field, column) for field, column in fields.items() if column]
        seen: dict[str, int] = {}
        for number, entry in enumerate(_entries(found), start=1):
            values: dict[str, Json] = {}
            for field, column in given:
                value = plain_value(entry[column])
                if value is None:
                    continue
                if column in names and isinstance(value, int):
                    value = names[column][value] if 0 <= value < len(names[column]) else str(value)
                values[field] = as_text(value) if field in self._text_keys else value
            if makes_id:
                digest = _hashed(values)
                count = seen[digest] = seen.get(digest, 0) + 1
                values = {"id": digest if count == 1 else f"{digest}-{count}", **values}
            yield Row(path=self._suite, line=number, values=values, has_lines=False)

    def _fail(self, message: str, *place: str) -> NoReturn:
        raise SuiteFault(message, path=self._suite, line=yaml12.line_at(self._node, place))

    def _loaded(self) -> Any:
        """Give the rows of the split.

        Raises:
            SuiteFault: the library is missing, or the set cannot be read.
        """
        name = self.keys.dataset
        kind, _, pattern = name.partition(":")
        if kind == "parquet" and pattern:
            try:
                return self._split(ParquetTable.of(self._files(pattern)))
            except NoParquet as fault:
                self._fail(f'the data set "{name}" cannot be read: {fault}.', "dataset")
        try:
            import datasets
        except ImportError:
            self._fail(_INSTALL)
        datasets.disable_progress_bars()
        folder = self._suite.parent / name
        options: dict[str, Any] = {}
        if kind in _FILES and pattern:
            found = caught(datasets.load_dataset, _FILES[kind], data_files=self._files(pattern))
        elif folder.is_dir() and ((folder / "state.json").exists() or (folder / "dataset_dict.json").exists()):
            found = caught(datasets.load_from_disk, str(folder))
        elif folder.is_dir():
            found = caught(datasets.load_dataset, str(folder), self.keys.config)
        elif name.startswith((".", "/")) or name.endswith("/"):
            self._fail(
                f"there is no folder {folder}; `dataset` is relative to the suite, or a name of the hub.", "dataset"
            )
        else:
            if self.keys.revision is None:
                self._fail(
                    f'"{name}" has no `revision`, and may change unseen; pin it: llmbench lock {self._suite}', "dataset"
                )
            options["revision"] = self.keys.revision
            found = caught(datasets.load_dataset, name, self.keys.config, **options)
        if isinstance(found, Caught):
            self._fail(
                f'the data set "{name}" cannot be read: {found.cause.splitlines()[0].rstrip(".")}. Without a network, '
                f"download it (hf download {name} --repo-type dataset --local-dir DIR) and write `dataset: ./DIR`.",
                "dataset",
            )
        return self._split(found)

    def _files(self, pattern: str) -> list[str]:
        try:
            files = sorted(str(path) for path in self._suite.parent.glob(pattern) if path.is_file())
        except (ValueError, NotImplementedError):
            files = []
        if not files:
            self._fail(f'no file matches "{pattern}"; the path is relative to the suite.', "dataset")
        return files

    def _split(self, found: Any) -> Any:
        if not isinstance(found, Mapping):
            if self.keys.split is not None:
                self._fail("this data set has no splits; take `split` out.", "split")
            return found
        names = list(found)
        if self.keys.split is None and len(names) > 1:
            self._fail(f"the data set has several splits: {', '.join(names)}; name one with `split`.", "dataset")
        split = self.keys.split or names[0]
        if split not in found:
            self._fail(f'the data set has no split "{split}"; it has: {", ".join(names)}.', "split")
        return found[split]

    def _chosen(self, found: Any) -> Any:
        """Keep the rows that are wanted."""
        columns = found.column_names
        where = self.keys.where or {}
        for column in where:
            if column not in columns:
                self._fail(
                    f'`where` names the column "{column}", which is not here; there are: {", ".join(columns)}.', "where"
                )
        if where:
            names = self._label_names(found, where)
            wanted = {
                column: names[column].index(value) if column in names and value in names[column] else value
                for column, value in where.items()
            }
            cells = [found.select_columns([column])[column] for column in wanted]
            rows = zip(*(list(column) for column in cells), strict=True)
            values = tuple(wanted.values())
            found = found.select([number for number, row in enumerate(rows) if row == values])
        count = len(found)
        if self.keys.limit is not None and self.keys.limit < count:
            drawn = random.Random(self.keys.seed).sample(range(count), self.keys.limit)  # noqa: S311 - a sample, no secret
            found = found.select(sorted(drawn))
        elif count > _MOST_ROWS:
            self._fail(f"the data set has {count:,} rows, each a test; write `limit` and `seed`.", "dataset")
        if not len(found):
            self._fail("no row of the data set is left; a case stands in each.", "where" if where else "dataset")
        return found

    def _fields(self, columns: Sequence[str]) -> dict[str, str]:
        """Give the column of each field of a case; an empty one for an id made of the inputs."""
        given = self.keys.columns
        if given is None:
            if "id" not in columns:
                self._fail(
                    f'a data set needs a column id; this one has: {", ".join(columns)}. Write `columns` with `id: ""` '
                    "for an id made of the inputs.",
                    "dataset",
                )
            return {name: name for name in columns}
        for field, column in given.items():
            if column not in columns and not (field == "id" and column == ""):
                self._fail(
                    f'`columns` takes {field} from "{column}", which is not here; there are: {", ".join(columns)}.',
                    "columns",
                )
        if "id" not in given and "id" not in columns:
            self._fail('`columns` needs an id: a column, or `id: ""` for one made of the inputs.', "columns")
        return {**({} if "id" in given else {"id": "id"}), **given}

    def _label_names(self, found: Any, columns: Any) -> dict[str, list[str]]:
        """Give the names of the columns that hold labels by number."""
        features = {column: getattr(found.features.get(column), "names", None) for column in columns if column}
        return {column: list(names) for column, names in features.items() if isinstance(names, list)}


def _entries(found: Any) -> Iterator[Mapping[str, Any]]:
    """Give the rows of a table; those of the library by many, which takes less memory than one by one."""
    if isinstance(found, ParquetTable):
        yield from found
        return
    for batch in found.iter(batch_size=_AT_ONCE):
        yield from (dict(zip(batch, cells, strict=True)) for cells in zip(*batch.values(), strict=True))


def is_hub_name(name: str, suite: Path) -> bool:
    """Return whether a data set is looked for on the hub: it is no folder beside the suite, and names no files."""
    kind, _, pattern = name.partition(":")
    is_path = name.startswith((".", "/")) or name.endswith("/") or (suite.parent / name).is_dir()
    return not is_path and not (kind in _FILES and pattern)


def _hashed(values: Mapping[str, Json]) -> str:
    """Give an id of the inputs of a row, wherever it stands: a reference that is mended is still that of the case."""
    inputs = {key: value for key, value in values.items() if key not in _NO_INPUTS}
    written = json.dumps(inputs, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]

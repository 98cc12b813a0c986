"""Read the YAML of a task with the line of each key, without executing anything of it.

For a task of the user's own it is checked here that building it runs no code and reads no file elsewhere: functions,
Python classes, scripts of data sets, pickles, and paths that leave the folder of the task and the working directory.
The templates of such a task are rendered in a sandbox (`child`).  Does not protect from a fault of the libraries that
read the data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.importers.base import NotMapped, Place, SourceFault, Unmapped
from pytest_llmbench.importers.lm_eval.task import TOOL, Code
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.suites import yaml12

_KEYS = frozenset({"dataset_path", "doc_to_text", "output_type", "include", "doc_to_target"})
_LOOKED_AT = 262_144
_MOST_INCLUDES = 20
_BUILDERS = frozenset({"json", "csv", "parquet", "text", "arrow"})
"""What `datasets` reads without running code, by the names in `dataset_path`."""

_PICKLES = frozenset({"pandas", "webdataset", "generator"})
"""What `datasets` reads by unpickling."""

_TRUST = "pass --trust-code to let the code of this task run"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFile:
    """The keys of a task, includes merged, and of each the file and node that it stands in."""

    path: Path
    values: Mapping[str, Any]
    origins: Mapping[str, tuple[Path, yaml12.Node]]

    def place(self, *steps: str | int) -> Place:
        """Give where a key stands, or what is below it; the beginning of the file where it does not stand at all."""
        path, node = self.origins.get(str(steps[0]) if steps else "", (self.path, None))
        return Place(path=path, line=1 if node is None else yaml12.line_at(node, steps))


def looks_like(path: Path) -> bool:
    """Tell whether a file looks like a task; reads little, and raises nothing."""
    if path.suffix.lower() not in (".yaml", ".yml") or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            node = yaml12.compose(file.read(_LOOKED_AT).decode("utf-8-sig"), path)
    except (OSError, UnicodeDecodeError, SuiteFault):
        return False
    if node is None or not yaml12.is_mapping(node):
        return False
    keys = {str(key.value) for key, _ in node.value}
    return "task" in keys and not keys.isdisjoint(_KEYS)


def read_task(path: Path, folder: Folder) -> TaskFile:
    """Read a task and what it includes.

    Raises:
        SourceFault: a file is no YAML, or no mapping.
        NotMapped: an include leaves the folder, or has a tag that is not known.
    """
    values: dict[str, Any] = {}
    origins: dict[str, tuple[Path, yaml12.Node]] = {}
    _read(path, folder, values, origins, depth=0)
    return TaskFile(path=path, values=values, origins=origins)


def _read(
    path: Path, folder: Folder, values: dict[str, Any], origins: dict[str, tuple[Path, yaml12.Node]], depth: int
) -> None:
    if depth > _MOST_INCLUDES:
        raise SourceFault(f"{path}: its includes are nested deeper than {_MOST_INCLUDES}.")
    try:
        node = yaml12.compose(folder.text(path), path)
        if node is None or not yaml12.is_mapping(node):
            raise SourceFault(f"{path}:1: this is no task of {TOOL}.")
        table = yaml12.table(node, path, "a task")
    except SuiteFault as fault:
        raise SourceFault(str(fault)) from None
    if "include" in table.entries:
        place = Place(path=path, line=table.key_lines["include"])
        included = _value(table.entries["include"], path)
        for name in included if isinstance(included, list) else [included]:
            inner = (path.parent / str(name)).resolve()
            if not inner.is_relative_to(folder.root.resolve()) or not inner.is_file():
                raise NotMapped(f"`include: {name}` is not there, or leaves the folder of the task.", place)
            _read(inner, folder, values, origins, depth + 1)
    for key, entry in table.entries.items():
        if key != "include":
            values[key], origins[key] = _value(entry, path), (path, node)


def _value(node: yaml12.Node, path: Path) -> Any:
    """Give the value of a node, functions as `Code`."""
    tag = str(node.tag)
    if tag == "!function":
        return Code(str(node.value))
    if tag.startswith("!"):
        raise NotMapped(f"the tag `{tag}` is not known.", Place(path=path, line=yaml12.line_of(node)))
    if yaml12.is_mapping(node):
        entries = yaml12.table(node, path, "this").entries
        return {key: _value(entry, path) for key, entry in entries.items()}
    return [_value(one, path) for one in node.value] if isinstance(node.value, list) else yaml12.value(node, path)


def code_faults(task: TaskFile) -> Iterator[Unmapped]:
    """Give each function of a task, which runs only where the user trusts it."""
    for key, value in task.values.items():
        for steps, name in _functions(value, (key,)):
            yield Unmapped(
                place=task.place(*steps), message=f"`{'.'.join(map(str, steps))}: !function {name}` is code; {_TRUST}."
            )
    for key in ("use_prompt", "unsafe_code"):
        if task.values.get(key):
            yield Unmapped(place=task.place(key), message=f"`{key}` brings code or templates from elsewhere; {_TRUST}.")
    kwargs = task.values.get("dataset_kwargs")
    if isinstance(kwargs, Mapping) and kwargs.get("trust_remote_code"):
        yield Unmapped(
            place=task.place("dataset_kwargs", "trust_remote_code"), message=f"`trust_remote_code`: {_TRUST}."
        )


def _functions(value: Any, steps: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, Code):
        yield steps, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _functions(entry, (*steps, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _functions(entry, (*steps, number))


def data_faults(task: TaskFile, folder: Path) -> Iterator[Unmapped]:
    """Give what of a task's data would run code, or lies elsewhere.

    Args:
        task: a task of the user's own.
        folder: the working directory, which the harness takes the paths of a task from.
    """
    name = task.values.get("dataset_path")
    if isinstance(name, str) and name not in _BUILDERS:
        path = folder / name
        if name.endswith(".py") or (path.is_dir() and any(path.rglob("*.py"))):
            yield Unmapped(place=task.place("dataset_path"), message=f'"{name}" has a script; {_TRUST}.')
        elif path.exists() or name.startswith((".", "/", "~")):
            yield from _outside(task, name, ("dataset_path",), folder)
        elif name in _PICKLES:
            yield Unmapped(
                place=task.place("dataset_path"), message=f'"{name}" reads pickles, which are code; {_TRUST}.'
            )
    kwargs = task.values.get("dataset_kwargs")
    for key in ("data_files", "data_dir", "cache_dir"):
        if isinstance(kwargs, Mapping) and key in kwargs:
            for steps, value in _texts(kwargs[key], ("dataset_kwargs", key)):
                yield from _outside(task, value, steps, folder)


def _texts(value: Any, steps: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield steps, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _texts(entry, (*steps, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _texts(entry, (*steps, number))


def _outside(task: TaskFile, name: str, steps: tuple[str | int, ...], folder: Path) -> Iterator[Unmapped]:
    if name.startswith("hf://"):
        return
    found = (folder / name).resolve()
    if "://" in name or not any(found.is_relative_to(one.resolve()) for one in (folder, task.path.parent)):
        message = f'"{name}" leaves the folder of the task and the working directory; copy it there.'
        yield Unmapped(place=task.place(*steps), message=message)


def data_files(task: TaskFile, folder: Path) -> list[Path]:
    """Give the files of data that a task names one by one, for the digest of what was read."""
    kwargs = task.values.get("dataset_kwargs")
    named = kwargs.get("data_files") if isinstance(kwargs, Mapping) else None
    return [path for _, name in _texts(named, ()) if (path := folder / name).is_file()]

"""Read the files of a source: only inside its folder, of bounded size, each value with its line.

Protects from paths and symbolic links that leave the folder, from YAML whose aliases unfold to more than there is
memory for, and from Git LFS pointers taken for data.  Does not protect from a source that changes while it is read.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.importers.base import NotMapped, Place, SourceFault
from pytest_llmbench.suites import yaml12

MAX_BYTES = 256 * 1024 * 1024
"""The largest file that is read."""

_MAX_VALUES = 3_000_000
_MAX_DEPTH = 60
_LFS = b"version https://git-lfs"
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(?:[Tt \t].*)?")
"""A plain scalar that the peers' YAML reads as a date, and YAML 1.2 as text."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a source with its place: a scalar, a list of values, or a mapping of texts to values.

    `odd` is what the peer reads a text as, where that is no text.
    """

    value: Any
    place: Place
    odd: str = ""

    def get(self, key: str) -> "Value | None":
        """Give what a mapping holds under a key; None where there is nothing, or a null."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return found if found is not None and found.value is not None else None

    @property
    def items(self) -> "Sequence[Value]":
        """The items of a list; one alone stands for a list of it."""
        return self.value if isinstance(self.value, list) else (self,)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a mapping."""
        return tuple(self.value) if isinstance(self.value, dict) else ()

    def plain(self) -> Any:
        """Give it without places.

        Raises:
            NotMapped: there is a scalar in it that the peer does not read as text, and YAML 1.2 does.
        """
        if self.odd:
            message = f"`{self.value}` is {self.odd} to the peer; put it in quotes, so that both read the same text."
            raise NotMapped(message, self.place)
        if isinstance(self.value, dict):
            return {key: entry.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [entry.plain() for entry in self.value]
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user says of a source beside its path.

    `trusts_code` lets code of the source run; `python` is the interpreter that has its tool, None for this one.
    `fields` are the columns of a file of samples by the fields they hold, `scorer` is what its samples are graded with.
    `code_name` is the package that functions of the source are written to, where checks call them.
    """

    trusts_code: bool = False
    python: Path | None = None
    fields: Sequence[tuple[str, str]] = ()
    scorer: str | None = None
    code_name: str = "imported_code"


@dataclass(slots=True, kw_only=True)
class Folder:
    """The folder of a source, and the files of it that were read."""

    root: Path
    settings: Settings = Settings()
    read: dict[Path, str] = field(default_factory=dict)

    def file(self, name: str, place: Place) -> Path:
        """Give a file of the folder.

        Raises:
            NotMapped: it leaves the folder, also through a symbolic link, or is not there.
        """
        path = self.root / name
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise NotMapped(f'"{name}" leaves the folder of the source; copy it there.', place)
        if not path.is_file():
            raise NotMapped(f'there is no file "{name}"; the path is relative to the source.', place)
        return path

    def matching(self, pattern: str, place: Place) -> list[Path]:
        """Give the files that a pattern names, in the order of their names."""
        if not any(mark in pattern for mark in "*?["):
            return [self.file(pattern, place)]
        if pattern.startswith("/") or ".." in Path(pattern).parts:
            raise NotMapped(f'"{pattern}" leaves the folder of the source; copy the files there.', place)
        names = sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern) if path.is_file())
        if not names:
            raise NotMapped(f'no file matches "{pattern}"; the path is relative to the source.', place)
        return [self.file(name, place) for name in names]

    def text(self, path: Path) -> str:
        """Read a file.

        Raises:
            SourceFault: it is too large, a pointer of Git LFS, or not UTF-8.
        """
        content = read_bytes(path)
        self.read[path] = hashlib.sha256(content).hexdigest()
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as fault:
            line = content[: fault.start].count(b"\n") + 1
            raise SourceFault(f"{path}:{line}: this file is not UTF-8; save it as UTF-8.") from None

    def note(self, path: Path) -> None:
        """Note a file that is read elsewhere."""
        self.read[path] = hashlib.sha256(read_bytes(path)).hexdigest()

    def tree(self, path: Path) -> Value:
        """Read a file of YAML or JSON.

        Raises:
            SourceFault: it is neither, or unfolds to too much.
        """
        return read_tree(self.text(path), path)

    @property
    def sha256(self) -> str:
        """The digest of a file that was read alone, else of the names and digests of all."""
        if len(self.read) == 1:
            return next(iter(self.read.values()))
        lines = sorted(f"{self._name(path)} {digest}" for path, digest in self.read.items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name


def read_bytes(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        SourceFault: it cannot be read, is too large, or a pointer of Git LFS.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SourceFault(f"{path}: this file has over {MAX_BYTES >> 20} MiB; import a part of it.")
        content = path.read_bytes()
    except OSError as fault:
        raise SourceFault(f"{path}: cannot be read: {fault.strerror}.") from None
    if content.startswith(_LFS):
        raise SourceFault(f"{path}:1: this is a pointer of Git LFS, not the file; fetch it with `git lfs pull`.")
    return content


def read_tree(text: str, path: Path) -> Value:
    """Read YAML or JSON with the line of each value; merge keys (`<<`) are merged.

    Raises:
        SourceFault: it is neither, or unfolds to too much.
    """
    try:
        node = yaml12.compose(text, path)
        if node is None:
            raise SourceFault(f"{path}:1: this file is empty.")
        if _size(node, {}) > _MAX_VALUES:
            raise SourceFault(f"{path}:1: this unfolds to over {_MAX_VALUES:,} values; write it without aliases.")
        return _Tree(path).value(node)
    except SuiteFault as fault:
        raise SourceFault(str(fault)) from None


def _size(node: yaml12.Node, known: dict[int, int]) -> int:
    """Count the values that a node unfolds to, each node once: an alias is the node that it names."""
    if id(node) not in known:
        known[id(node)] = 1  # a node that holds itself is found by its depth
        inner = node.value if isinstance(node.value, list) else []
        entries = [entry for pair in inner for entry in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_size(entry, known) for entry in entries)
    return known[id(node)]


class _Tree:
    """Makes values of nodes."""

    def __init__(self, path: Path):
        self._path = path

    def value(self, node: yaml12.Node, depth: int = 0) -> Value:
        place = Place(path=self._path, line=yaml12.line_of(node))
        if depth > _MAX_DEPTH:
            raise SourceFault(
                f"{self._path}:{place.line}: this unfolds deeper than {_MAX_DEPTH} levels; write it without aliases."
            )
        if yaml12.is_mapping(node):
            return Value(dict(self._entries(node, depth)), place)
        if isinstance(node.value, list):
            return Value([self.value(entry, depth + 1) for entry in node.value], place)
        found = yaml12.value(node, self._path)
        return Value(found, place, _odd(node) if isinstance(found, str) else "")

    def _entries(self, node: yaml12.Node, depth: int) -> Iterator[tuple[str, Value]]:
        plain = [(key, entry) for key, entry in node.value if key.value != "<<"]
        merged: dict[str, Value] = {}
        for key, entry in node.value:
            if key.value == "<<":
                for other in [entry] if yaml12.is_mapping(entry) else entry.value:
                    found = self.value(other, depth + 1).value
                    merged = {**(found if isinstance(found, dict) else {}), **merged}
        seen: dict[str, Value] = {}
        for key, entry in plain:
            name = yaml12.text(key, self._path, "a key")
            if name in seen:
                line = yaml12.line_of(key)
                raise SourceFault(f'{self._path}:{line}: the key "{name}" occurs twice; take one out.')
            found = self.value(entry, depth + 1)
            # a key's own line names the place better than that of a list below it
            is_list = isinstance(found.value, list | dict)
            seen[name] = found if not is_list else Value(found.value, self._at(key))
        yield from {**merged, **seen}.items()

    def _at(self, node: yaml12.Node) -> Place:
        return Place(path=self._path, line=yaml12.line_of(node))


def _odd(node: yaml12.Node) -> str:
    """Name what the peer reads a plain scalar as, where it is no text."""
    is_date = not getattr(node, "style", None) and _DATE.fullmatch(str(node.value))
    return "a date" if is_date else ""

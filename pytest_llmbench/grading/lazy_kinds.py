"""Kinds of graders and of checks by name, each imported when it is first used."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TypeVar

Kind = TypeVar("Kind")


class LazyKinds(Mapping[str, Kind]):
    """The kinds of a package.

    Args:
        package: they are below it.
        places: the module and the name in it, by kind.
    """

    def __init__(self, package: str, places: Mapping[str, tuple[str, str]]):
        self._package = package
        self._places = places
        self._imported: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._imported:
            module, attribute = self._places[name]
            self._imported[name] = getattr(import_module(f"{self._package}.{module}"), attribute)
        return self._imported[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

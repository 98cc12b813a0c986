"""Where a key stands in a TOML file: the reader of the standard library keeps no lines."""

import re
from collections.abc import Mapping, Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w.-]+)\s*\]\]?")
_KEY = re.compile(r"""\s*["']?([\w-]+)["']?\s*(?:\.[\w.-]+\s*)?=""")

Place = tuple[str | int, ...]


def line_of(text: str, place: Sequence[str | int]) -> int:
    """Give the line, from 1, of the key at a place, or of the nearest table or key that holds it.

    Args:
        text: the file. Texts of several lines that look like keys may lead astray; no value is read here.
        place: names of tables and keys, and places in lists: `("stage", 0, "kind")`.
    """
    lines = _lines(text)
    for length in range(len(place), 0, -1):
        if tuple(place[:length]) in lines:
            return lines[tuple(place[:length])]
    return 1


def _lines(text: str) -> Mapping[Place, int]:
    found: dict[Place, int] = {}
    counts: dict[str, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line.split("#")[0].rstrip()):
            bracket, name = header.groups()
            table = tuple(name.split("."))
            if bracket == "[[":
                table = (*table, counts.get(name, 0))
                counts[name] = counts.get(name, 0) + 1
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, key[1]), number)
    return found

"""Places in a JSON value: names after dots, numbers and `*` in brackets. No filters, no expressions."""

import re
from typing import Any, TypeAlias

_STEP = re.compile(r"\.(?P<name>[^.\[\]*]+)|\[(?P<number>\d{1,9})\]|(?P<each>\[\*\])")

Path: TypeAlias = tuple[str | int | None, ...]
"""The steps of a path; None stands for each element of a list."""


class PathFault(Exception):
    """A path is none, or leads nowhere."""


def parse_path(text: str) -> Path:
    """Take a path apart.

    Raises:
        PathFault: it is none.
    """
    steps: list[str | int | None] = []
    place = 1
    while text.startswith("$") and (found := _STEP.match(text, place)):
        number = found["number"]
        steps.append(found["name"] if number is None else int(number))
        place = found.end()
    if not text.startswith("$") or place != len(text):
        raise PathFault(f'must be a path such as "$.answers[0].text" or "$.sources[*].text", not "{text}"')
    return tuple(steps)


def find(path: Path, value: Any) -> Any:
    """Find what stands at a path; a list of it where the path goes through each element of one.

    Raises:
        PathFault: nothing stands there.
    """
    for place, step in enumerate(path):
        if step is None:
            if not isinstance(value, list):
                raise PathFault(f"{shown(path[:place])} is no list")
            return [find(path[place + 1 :], element) for element in value]
        is_name = isinstance(step, str) and isinstance(value, dict) and step in value
        is_number = isinstance(step, int) and isinstance(value, list) and step < len(value)
        if not (is_name or is_number):
            raise PathFault(f"there is no {shown(path[: place + 1])}")
        value = value[step]
    return value


def shown(path: Path) -> str:
    """Write a path as it is written in an entry."""
    return "$" + "".join(f".{step}" if isinstance(step, str) else f"[{'*' if step is None else step}]" for step in path)

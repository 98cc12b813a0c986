"""Paths into a JSON value: names with dots between, `[2]` an item, `[*]` all items; `$.` may stand in front."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

Step: TypeAlias = str | int | None
"""The name of a member, the place of an item, or None for all items."""

_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]"'$*\s][^.\[\]"']*)|\[(?P<item>-?\d+|\*)\]|\[(?P<mark>["'])(?P<key>.+?)(?P=mark)\]"""
)
_SHOWN = 8


class NoValue(LookupError):
    """A JSON value has nothing at the place that a path names."""


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[Step, ...]:
    """Read a path.

    Raises:
        ValueError: it is none.
    """
    place, found = (1 if path.startswith("$") else 0), list[Step]()
    while place < len(path):
        step = _STEP.match(path, place)
        if step is None or (path[place] == "." and place == 0):
            raise ValueError(f'"{path}" is no path; write names with dots between, and items as [0] or [*]')
        if step["item"] is not None:
            found.append(None if step["item"] == "*" else int(step["item"]))
        else:
            found.append(step["key"] if step["key"] is not None else step["name"].strip())
        place = step.end()
    if not found:
        raise ValueError("a path names at least one value; leave it out for the whole answer")
    return tuple(found)


def value_at(value: Any, path: Sequence[Step], at: str = "$") -> Any:
    """Give what stands at a path.

    Raises:
        NoValue: nothing does; the message names where, and what is there.
    """
    for place, step in enumerate(path):
        if step is None:
            if not isinstance(value, list):
                raise NoValue(f"{at} is no list")
            return [value_at(item, path[place + 1 :], f"{at}[{number}]") for number, item in enumerate(value)]
        if isinstance(step, int):
            if not isinstance(value, list):
                raise NoValue(f"{at} is no list")
            if not -len(value) <= step < len(value):
                raise NoValue(f"{at} has {len(value)} items, none at [{step}]")
        elif not isinstance(value, dict):
            raise NoValue(f"{at} is no object")
        elif step not in value:
            names = ", ".join(list(value)[:_SHOWN]) or "none"
            raise NoValue(f'{at} has no "{step}"; its keys: {names}{", …" if len(value) > _SHOWN else ""}')
        value = value[step]
        at = f"{at}[{step}]" if isinstance(step, int) else f"{at}.{step}"
    return value

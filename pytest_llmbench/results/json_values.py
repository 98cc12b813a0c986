"""Values of any kind as strict JSON can hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from math import isfinite
from types import NoneType
from typing import Any

PLAIN = frozenset({str, int, bool, NoneType})
"""The types that stay as they are; most values have one, and a call for each is most of what a record costs."""


def strict_json(value: object) -> Any:
    """Give a value as strict JSON can hold it: NaN and infinity become null, an object that JSON does not know a text.

    Not pydantic's serializer to JSON, which fails on bytes that are no UTF-8 and on keys with a lone surrogate: a
    model or a grader of another package can give both, and neither may keep a run from being written.
    """
    # concrete types come before abstract ones, whose check costs several times as much
    if value is None or isinstance(value, _TEXT_OR_NUMBER):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {
            key if key.__class__ is str else str(key): inner if inner.__class__ in PLAIN else strict_json(inner)
            for key, inner in value.items()
        }
    if isinstance(value, _LISTS):
        return [inner if inner.__class__ in PLAIN else strict_json(inner) for inner in value]
    if isinstance(value, Mapping):
        return strict_json(dict(value))
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return strict_json(list(value))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: strict_json(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "model_dump"):  # of pydantic, which need not be imported to know it
        return strict_json(value.model_dump())
    return str(value)


_TEXT_OR_NUMBER, _LISTS = (str, int), (list, tuple)  # a union of them would be made anew for each value

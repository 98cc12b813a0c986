"""Values of any kind as strict JSON can hold them."""

from collections.abc import Mapping, Sequence
from math import isfinite
from types import NoneType
from typing import Any

_PLAIN = frozenset({str, int, bool, NoneType})
"""The types that stay as they are; most values have one, and a call for each is most of what a record costs."""


def strict_json(value: object) -> Any:
    """Give a value as strict JSON can hold it: NaN and infinity become null, an object that JSON does not know a text.

    Not pydantic's own serializer, which fails on bytes that are no UTF-8 and on keys with a lone surrogate: a model
    or a grader of another package can give both, and neither may keep a run from being written.
    """
    # concrete types come before abstract ones, whose check costs several times as much
    if value is None or isinstance(value, _TEXT_OR_NUMBER):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): inner if inner.__class__ in _PLAIN else strict_json(inner) for key, inner in value.items()}
    if isinstance(value, _LISTS):
        return [inner if inner.__class__ in _PLAIN else strict_json(inner) for inner in value]
    if isinstance(value, Mapping):
        return strict_json(dict(value))
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return strict_json(list(value))
    return str(value)


_TEXT_OR_NUMBER, _LISTS = (str, int), (list, tuple)  # a union of them would be made anew for each value


class FreeForm:
    """Marks a field that pydantic reads as any object and writes with `strict_json`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Build pydantic's schema of the field."""
        from pydantic_core import core_schema  # loaded with the first reader, not at pytest's start

        return core_schema.is_instance_schema(dict, serialization=_written_strictly())


class NullIfNotFinite:
    """Marks a field of floats that pydantic writes with `strict_json`, for its own serializer leaves NaN as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Build pydantic's schema of the field."""
        return {**handler(source), "serialization": _written_strictly()}


def _written_strictly() -> Any:
    from pydantic_core import core_schema

    return core_schema.plain_serializer_function_ser_schema(strict_json)

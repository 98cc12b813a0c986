"""Find two checks of one kind that no answer can pass together: two numbers, two labels, two beginnings."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pytest_llmbench.grading.checks.of_case import Check
from pytest_llmbench.grading.checks.tool_calls import Mode
from pytest_llmbench.grading.equal_texts import fold
from pytest_llmbench.grading.json import difference

_NUMBER = re.compile(r"[-+.\deE]+")


def are_opposed(one: Check, other: Check) -> bool:
    """Tell whether two leaves of one kind, at the same path, can never pass together."""
    if one.kind != other.kind or one.children or other.children:
        return False
    if getattr(one.fields, "path", None) != getattr(other.fields, "path", None):
        return False
    opposed = _OPPOSED.get(one.kind)
    return opposed is not None and opposed(one.fields, other.fields)


def _texts(value: Any, fields: Any) -> Sequence[str]:
    texts = [fold(text).strip() for text in ((value,) if isinstance(value, str) else value)]
    return [text.lower() if fields.ignore_case else text for text in texts]


def _equal(one: Any, other: Any) -> bool:
    texts = [*_texts(one.equals, one), *_texts(other.equals, other)]
    # at a path numbers are compared by value
    is_number = one.path is not None and all(_NUMBER.fullmatch(text) for text in texts)
    is_alike: bool = one.ignore_case == other.ignore_case and not is_number
    return is_alike and texts[0] != texts[1]


def _beginning(one: Any, other: Any) -> bool:
    pairs = [(a, b) for a in _texts(one.starts_with, one) for b in _texts(other.starts_with, other)]
    is_alike = one.ignore_case == other.ignore_case
    return is_alike and not any(a.startswith(b) or b.startswith(a) for a, b in pairs)


def _end(one: Any, other: Any) -> bool:
    pairs = [(a, b) for a in _texts(one.ends_with, one) for b in _texts(other.ends_with, other)]
    is_alike = one.ignore_case == other.ignore_case
    return is_alike and not any(a.endswith(b) or b.endswith(a) for a, b in pairs)


def _number(one: Any, other: Any) -> bool:
    room = one.number.tolerance + other.number.tolerance
    is_apart: bool = abs(one.number.value - other.number.value) > room
    return is_apart and one.search is other.search


def _label(one: Any, other: Any) -> bool:
    return bool(one.labels == other.labels and fold(one.label) != fold(other.label))


def _json(one: Any, other: Any) -> bool:
    if not (one.json.has_expected and other.json.has_expected):
        return False
    values = one.json.expected, other.json.expected
    # a text may write JSON, and a text in it a number
    is_plain = all(isinstance(value, bool | int | float) for value in values)
    return is_plain and difference(*values) is not None


def _words(one: Any, other: Any) -> bool:
    lows = [fields.words.min or 0 for fields in (one, other)]
    highs = [fields.words.max for fields in (one, other) if fields.words.max is not None]
    return bool(highs) and max(lows) > min(highs)


def _tools(one: Any, other: Any) -> bool:
    calls = [_needs_call(fields) for fields in (one, other)]
    bans = [fields.tools.mode == Mode.NONE and not fields.tools.calls for fields in (one, other)]
    return (calls[0] and bans[1]) or (calls[1] and bans[0])


def _needs_call(fields: Any) -> bool:
    is_needed = fields.tools.mode in (Mode.SUPERSET, Mode.EXACT, Mode.ORDERED)
    return is_needed and any(not call.optional for call in fields.tools.calls)


_OPPOSED: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {
        "equals": _equal,
        "starts_with": _beginning,
        "ends_with": _end,
        "number": _number,
        "label": _label,
        "json": _json,
        "words": _words,
        "tools": _tools,
    }
)

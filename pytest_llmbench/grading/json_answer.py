"""Read the one JSON value in an answer.

It is the whole answer, but for end tokens of models and a byte order mark; or what stands in the one code fence; or
the one object or array with text around it.  Two of them are no value, nor is one inside a broken one, nor an object
with two values of one key.  JSON is that of RFC 8259, without NaN.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pytest_llmbench.grading.answer_text import EDGES, ended
from pytest_llmbench.models.tool_calls import no_constant

MAX_DEPTH = 50
"""Levels of arrays and objects; deeper answers would outgrow the interpreter's stack, and are no value."""

_FENCE = re.compile(
    r"^[ \t]*(?P<mark>`{3,}|~{3,})"
    r"(?:[ \t]*[a-z][\w.+-]*(?=[\s{\[\"]))?",  # the language; a word that nothing follows is a value
    re.IGNORECASE | re.MULTILINE,
)
_OPENING = re.compile(r"[{\[]")
_BEGINS_ARRAY = re.compile(r"\[\s*(?:[\[{\"\d-]|\Z)")


def json_in(answer: str) -> Any:
    """Give the JSON value of an answer.

    Raises:
        ValueError: it holds none, or several, or one nested deeper than `MAX_DEPTH`.
    """
    text = ended(answer)
    with suppress(ValueError):
        return parse(answer.strip(EDGES))  # a text in it may hold the tokens of turns
    try:
        return parse(text)
    except ValueError as fault:
        fault_of_all = fault
    fenced = [value for content in _fenced(text.replace("\r\n", "\n")) for value in _parsed(content)]
    values = fenced or _values_in(text)
    if len(values) != 1:
        raise ValueError(f"{len(values)} values" if values else str(fault_of_all))
    return values[0]


def parse(text: str) -> Any:
    """Parse a text that is JSON as a whole.

    Raises:
        ValueError: it is not JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(text, parse_constant=no_constant, object_pairs_hook=_object)
    except RecursionError:
        raise _too_deep() from None
    _check_depth(value)
    return value


def inside(value: Any) -> Any:
    """Give the values in an object or array; nothing of another value."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _fenced(text: str) -> Iterator[str]:
    """Give what stands in each code fence, whatever its marks; one that nothing closes is none."""
    place = 0
    while opening := _FENCE.search(text, place):
        closing = re.compile(rf"{opening['mark']}[`~]*[ \t]*$", re.MULTILINE).search(text, opening.end())
        if closing is None:
            return
        yield text[opening.end() : closing.start()].strip(EDGES)
        place = closing.end()


def _parsed(text: str) -> Iterator[Any]:
    try:
        yield parse(text)
    except ValueError:
        return


def _values_in(text: str) -> list[Any]:
    """Give the objects and arrays in a text; none if there is a broken one, which may hold whole ones."""
    decoder = json.JSONDecoder(parse_constant=no_constant, object_pairs_hook=_object)
    values: list[Any] = []
    around, place = [], 0
    while opening := _OPENING.search(text, place):
        around.append(text[place : opening.start()])
        place = opening.start()
        try:
            value, place = decoder.raw_decode(text, place)
            _check_depth(value)
            values.append(value)
        except (ValueError, RecursionError):
            if opening[0] == "{" or _BEGINS_ARRAY.match(text, opening.start()):
                return []
            around.append("[")
            place = opening.end()
    outside = "".join([*around, text[place:]])
    is_whole = "}" not in outside and outside.count("[") == outside.count("]")
    return [value for value in values if not _is_footnote(value)] if is_whole else []


def _is_footnote(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], int)


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level:
        level = [inner for outer in level for inner in inside(outer)]
        depth += 1
        if depth > MAX_DEPTH:
            raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError("nested too deeply")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    # which of two values counts is up to the reader (RFC 8259, 4), so neither is the answer
    made = dict(members)
    if len(made) < len(members) and any(json.dumps(made[name]) != json.dumps(value) for name, value in members):
        raise ValueError("a key has two values")
    return made

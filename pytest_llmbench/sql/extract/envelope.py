"""The texts in the JSON that an answer, or a fenced block of it, begins with."""

import json
from collections.abc import Iterator

_SQL_KEYS = (
    "sql",
    "query",
    "sql_query",
    "sqlquery",
    "statement",
    "code",
    "answer",
    "result",
    "output",
    "response",
    "arguments",
)


def envelope(block: str) -> Iterator[str]:
    """Yield the texts in the JSON object, array or string that a block begins with, likely SQL first."""
    stripped = block.strip()
    if not stripped.startswith(("{", "[", '"')):
        return
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(stripped)
    except (ValueError, RecursionError):
        return
    yield from _texts(value, depth=0)


def _texts(value: object, *, depth: int) -> Iterator[str]:
    """Yield the strings in a JSON value, known keys first; a string may be JSON again (tool arguments are)."""
    if isinstance(value, str):
        yield from envelope(value) if depth and value.lstrip().startswith("{") else ()
        yield value
    elif isinstance(value, dict) and depth < 4:
        named = {str(key).lower(): item for key, item in value.items()}
        for key in sorted(named, key=lambda key: _SQL_KEYS.index(key) if key in _SQL_KEYS else len(_SQL_KEYS)):
            yield from _texts(named[key], depth=depth + 1)
    elif isinstance(value, list) and depth < 4:
        for item in value:
            yield from _texts(item, depth=depth + 1)

"""JSON in which a model wrote half a character (a lone surrogate): Python reads its escape, and DuckDB refuses it."""

import re
from pathlib import Path

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)
"""Any escape; the group is there for half a character alone."""


def write_whole_characters(source: Path, target: Path) -> bool:
    """Copy a JSON file with U+FFFD in the place of each half character; gives whether there was any.

    Line by line, for files may be large, and no text of JSON goes over a line.
    """
    has_any = False
    with source.open("rb") as given, target.open("wb") as taken:
        for line in given:
            whole = _ESCAPE.sub(_whole, line) if b"\\ud" in line or b"\\uD" in line else line
            has_any |= whole != line
            taken.write(whole)
    return has_any


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape[1] is None else rb"\ufffd"

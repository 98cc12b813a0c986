"""All knowledge of what pytest's parser of options (9.2) adds to its errors.

Used here and not documented there: `extra_info` of the parser, whose lines stand below each usage error.
"""

from typing import Any


def add_to_errors(parser: Any, label: str, text: str) -> None:
    """Have a line stand below the error, if the parser has one to report."""
    parser.extra_info[label] = text

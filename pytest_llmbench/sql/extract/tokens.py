r"""Cut SQL text into pieces without knowing its dialect: strings, quoted names, comments, words.

A semicolon, a bracket or a double quote means something only outside strings and comments; every
step before the parser asks this file where it is.  Backslash escapes are tried first and given up
where they leave a string open (`'C:\'` closes in standard SQL, `'it\'s'` does not in MySQL).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Kind(StrEnum):
    """What a piece of SQL text is."""

    COMMENT = "comment"
    STRING = "string"
    DOUBLE = "double"
    BACKTICK = "backtick"
    WORD = "word"
    NUMBER = "number"
    SPACE = "space"
    SIGN = "sign"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece: its kind, its text as written, and where it starts."""

    kind: Kind
    text: str
    start: int


# A body is bounded so that many openers without a closer cannot cost the square of the text's length.
_PIECES = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*(?s:.{0,9000}?)\*/ )
  | (?P<string>  '(?:[^'\\]|\\(?s:.)|''){0,9000}'(?!') | '(?:[^']|''){0,9000}'
               | \$(?P<tag>\w*)\$(?s:.{0,9000}?)\$(?P=tag)\$ )
  | (?P<double>  "(?:[^"\\]|\\(?s:.)|""){0,9000}"(?!") | "(?:[^"]|""){0,9000}" )
  | (?P<backtick> `[^`\n]{0,300}` )
  | (?P<word>    [^\W\d]\w* )
  | (?P<number>  \d+(?:\.\d+)?(?:[eE][+-]?\d+)? )
  | (?P<space>   \s+ )
  | (?P<sign>    (?s:.) )
    """,
    re.VERBOSE,
)


def pieces(text: str) -> Iterator[Piece]:
    """Yield the pieces of a text in order; joined, their texts are the text."""
    for match in _PIECES.finditer(text):
        kind = match.lastgroup
        yield Piece(Kind.STRING if kind in (None, "tag") else Kind(kind), match.group(), match.start())


@lru_cache(maxsize=16)
def cut(text: str) -> tuple[Piece, ...]:
    """Give the pieces of a statement, which several steps look at one after the other."""
    return tuple(pieces(text))


def unquoted(piece: Piece) -> str:
    """Give the content of a quoted piece, without its quotes and escapes."""
    if piece.kind is Kind.BACKTICK:
        return piece.text[1:-1]
    if piece.text.startswith("$"):
        return piece.text.split("$", 2)[2].rsplit("$", 2)[0]
    quote = piece.text[0]
    return piece.text[1:-1].replace(quote * 2, quote).replace("\\" + quote, quote)

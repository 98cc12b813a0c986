"""The end of a query where sqlglot's grammar is narrower than a dialect's: LIMIT of SQLite, OPTION of T-SQL."""

import re
from collections.abc import Iterator

from pytest_llmbench.sql.extract.tokens import Kind, Piece, pieces

_OPTION = re.compile(r"\boption\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*;?\s*\Z", re.IGNORECASE)


def in_brackets(text: str) -> str:
    """Put what LIMIT and OFFSET compute with % in brackets: sqlglot takes the sign for a percentage."""
    out = text
    for start, end in reversed(list(_computed(list(pieces(text))))):
        out = f"{out[:start]} ({out[start:end].strip()}) {out[end:]}"
    return out


def without_options(text: str) -> str:
    """Take off T-SQL's OPTION (MAXRECURSION 100): hints for how to run, not what."""
    return _OPTION.sub("", text)


def _computed(found: list[Piece]) -> Iterator[tuple[int, int]]:
    """Yield where the expressions behind LIMIT and OFFSET that hold a % begin and end."""
    for index, piece in enumerate(found):
        if piece.kind is not Kind.WORD or piece.text.lower() not in ("limit", "offset"):
            continue
        depth, start, has_percent = 0, piece.start + len(piece.text), False
        end = start
        for other in found[index + 1 :]:
            ends = (other.kind is Kind.WORD and other.text.lower() == "offset") or other.text in (",", ";")
            depth += (other.text == "(") - (other.text == ")")
            if depth < 0 or (depth == 0 and ends):
                break
            has_percent |= other.text == "%"
            end = other.start + len(other.text)
        if has_percent:
            yield start, end

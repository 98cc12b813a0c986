"""A tidied text that knows where each of its characters stood in the original."""

from dataclasses import dataclass
from typing import Self

import regex

from pytest_llmbench.grading.text import normalise

_TOKEN = regex.compile(
    r"(?P<blank>\s+)"
    r"|(?P<mark>[*`]+|(?<![^\W_])_+|_+(?![^\W_]))"  # emphasis of Markdown; an underscore inside a word stays
    r"|(?P<plain>[!-)+-^a-~]+(?!\p{M}))"  # ASCII but for * _ `, and but for a letter that carries an accent
    r"|\X"
)
_LIST_MARK = regex.compile(r"(?:[-*•+#]|\d{1,3}[.)])\s")


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedText:
    r"""Text as graders search it.

    NFKC, plain quotes, no emphasis marks, runs of whitespace as one blank, or as one "\n" where a
    paragraph or a list item begins, so that a phrase cannot reach over it.

    Shapes: `starts` and `ends` have one entry a character of `text`: the place in the
    original of what it was made from, first character and one behind the last.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, original: str, limit: int) -> Self:
        """Tidy the first `limit` characters from the first one that is not blank."""
        begin = len(original) - len(original.lstrip())
        end = min(len(original), begin + limit)
        pieces: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        is_after_blank = True
        for token in _TOKEN.finditer(original, begin, end):
            kind, (at, behind) = token.lastgroup, token.span()
            if kind == "mark" or (kind == "blank" and is_after_blank):
                continue
            if kind == "plain":
                piece = token[0]
                starts.extend(range(at, behind))
                ends.extend(range(at + 1, behind + 1))
            else:
                piece = _blank(original, at, behind) if kind == "blank" else normalise(token[0])
                starts.extend([at] * len(piece))
                ends.extend([behind] * len(piece))
            if piece:
                pieces.append(piece)
                is_after_blank = kind == "blank"
        return cls(text="".join(pieces), starts=tuple(starts), ends=tuple(ends))

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Give the place in the original of a non-empty stretch of the text."""
        return self.starts[start], self.ends[end - 1]


def _blank(original: str, at: int, behind: int) -> str:
    breaks = original.count("\n", at, behind)
    return "\n" if breaks > 1 or (breaks and _LIST_MARK.match(original, behind)) else " "

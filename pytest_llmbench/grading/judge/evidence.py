"""Quotes of a judge as evidence: words that stand in the answer.

A quote matches whatever its letter case, blanks and emphasis are, and whole words only, but for scripts that are
written without blanks between words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import regex

from pytest_llmbench.grading.answer_text import GRADED_CHARACTERS, MappedText
from pytest_llmbench.grading.key_points.claims import Claim

_ELISION = regex.compile(r"\s*[\[(]?(?:\.{3,}|…)[\])]?\s*")
_EDGES = " \t\n\"'.,;:!?()[]"
_WITHOUT_BLANKS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}ー]")
"""Characters of scripts in which a word may stand beside the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An answer and its task, in which quotes are looked for."""

    original: str
    answer: MappedText
    task: tuple[MappedText, ...]

    @classmethod
    def of(cls, answer: str, task: Sequence[str]) -> Self:
        """Prepare the texts."""
        return cls(
            original=answer,
            answer=MappedText.of(answer, GRADED_CHARACTERS),
            task=tuple(MappedText.of(text, GRADED_CHARACTERS) for text in task),
        )

    def find(self, quote: str, *, is_echo_ok: bool) -> Claim | None:
        """Give where a quote stands in the answer, whatever its case, blanks and emphasis; None if it is no evidence.

        Words left out of a quote ("...") may be any.
        """
        pieces = _pieces(quote)
        span = _span(pieces, self.answer.text)
        if span is None or (not is_echo_ok and any(_span(pieces, text.text) for text in self.task)):
            return None
        start, end = self.answer.place(*span)
        return Claim(start=start, end=end, quote=self.original[start:end])


def _pieces(quote: str) -> tuple[regex.Pattern[str], ...]:
    """Make patterns of a quote, one for each stretch without an elision; none of one without a word."""
    stretches = [piece.strip(_EDGES) for piece in _ELISION.split(MappedText.of(quote, GRADED_CHARACTERS).text)]
    return tuple(_pattern(text) for text in stretches if any(map(str.isalnum, text)))


def _pattern(text: str) -> regex.Pattern[str]:
    words = r"\s+".join(map(regex.escape, text.split()))
    before = "" if _WITHOUT_BLANKS.match(text[0]) else r"(?<!\w)"
    behind = "" if _WITHOUT_BLANKS.match(text[-1]) else r"(?!\w)"
    return regex.compile(f"{before}{words}{behind}", regex.IGNORECASE)


def _span(pieces: Sequence[regex.Pattern[str]], text: str) -> tuple[int, int] | None:
    """Give from where to where a text has all pieces, in their order."""
    begin, end = None, 0
    for piece in pieces:
        found = piece.search(text, end)
        if found is None:
            return None
        begin = found.start() if begin is None else begin
        end = found.end()
    return None if begin is None else (begin, end)

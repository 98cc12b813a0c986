"""The check levenshtein: how many characters have to be changed to make the answer the text that is asked for."""

from typing import Annotated

from pydantic import Field

from pytest_llmbench.grading.answer_text import clip, ended
from pytest_llmbench.grading.checks.base import CheckKind, Test, TextFields, Written, each
from pytest_llmbench.grading.equal_texts import folding
from pytest_llmbench.grading.match import literal_grade
from pytest_llmbench.models.validation import kept
from pytest_llmbench.values import Answer, Case, Grade

_MOST_EDITS = 1000
"""More edits than that are no likeness, and the time grows with them."""


class LevenshteinFields(TextFields):
    """The answer is this text but for at most `max` characters put in, taken out or changed."""

    levenshtein: Written
    max: Annotated[int, Field(ge=0, le=_MOST_EDITS), kept(int)]


def within(left: str, right: str, most: int) -> int | None:
    """Give the number of edits between two texts; None if there are more than `most`.

    Only the band of the table that can hold so few edits is filled in: its width is 2 `most` + 1.
    Source: Levenshtein, 1966; the band is Ukkonen's, 1985.
    """
    if abs(len(left) - len(right)) > most:
        return None
    far = most + 1
    row = {place: place for place in range(min(most, len(right)) + 1)}
    for number, character in enumerate(left, start=1):
        first, last = max(0, number - most), min(len(right), number + most)
        new: dict[int, int] = {}
        for place in range(first, last + 1):
            least = row.get(place, far) + 1
            if place:
                changed = row.get(place - 1, far) + (character != right[place - 1])
                least = min(least, new.get(place - 1, far) + 1, changed)
            new[place] = min(least, far)
        if min(new.values()) > most:
            return None
        row = new
    edits = row.get(len(right), far)
    return edits if edits <= most else None


def _edits(count: int) -> str:
    return f"{count} edit" if count == 1 else f"{count} edits"


def _expected(fields: LevenshteinFields) -> str:
    return f'"{clip(fields.levenshtein)}" within {_edits(fields.max)}'


def _test(fields: LevenshteinFields) -> Test:
    fold = folding(is_verbatim=fields.verbatim, ignores_case=fields.ignore_case)

    def read(text: str) -> str:
        return fold(text.strip()).strip() if fields.trim else fold(text)

    wanted = read(fields.levenshtein)
    expected = _expected(fields)

    def test(case: Case, answer: Answer) -> Grade:
        del case
        is_trimmed = fields.trim and not fields.verbatim
        edits = within(read(ended(answer.text) if is_trimmed else answer.text), wanted, fields.max)
        shown = f" ({_edits(edits)})" if edits else ""
        return literal_grade(edits is not None, f"{expected}{shown}", answer.text)

    return test


LEVENSHTEIN = CheckKind(
    name="levenshtein",
    version=2,
    fields=LevenshteinFields,
    build=each(_test),
    expected=_expected,
)

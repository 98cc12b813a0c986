"""Checks of how an answer ends and how long it is: words and finish."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.grading.answer_text import ended
from pytest_llmbench.grading.checks.base import CheckFields, CheckKind, PathFields, Test, WrittenTexts, each, quoted
from pytest_llmbench.grading.match import literal_grade
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import kept
from pytest_llmbench.values import Answer, Case, Grade

Number = Annotated[int, Field(ge=0), kept(int, float)]


class WordsRange(Strict):
    """How many words an answer may have, both ends among them."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _holds_a_number(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no answer has at least {self.min} and at most {self.max} words; make max the larger one")
        return self

    def __str__(self) -> str:
        if self.max is None:
            return f"at least {self.min} {'word' if self.min == 1 else 'words'}"
        noun = "word" if self.max == 1 else "words"
        return f"at most {self.max} {noun}" if not self.min else f"{self.min} to {self.max} {noun}"


class WordsFields(PathFields):
    """The number of words, which whitespace divides."""

    words: WordsRange


class FinishFields(CheckFields):
    """How the model ended its answer: `stop`, `length`, or another reason that the provider gives."""

    finish: WrittenTexts


def _words_test(fields: WordsFields) -> Test:
    want = fields.words

    def test(case: Case, answer: Answer) -> Grade:
        del case
        count = len(ended(answer.text).split())
        passed = (want.min or 0) <= count and (want.max is None or count <= want.max)
        return literal_grade(passed, f"{want} ({count} {'is' if count == 1 else 'are'} there)", answer.text)

    return test


def _always(fields: WordsFields) -> bool | None:
    if fields.words.max == 0:
        return False
    return True if fields.words.max is None and (fields.words.min or 0) <= 1 and fields.path is None else None


def _finish_test(fields: FinishFields) -> Test:
    expected = f"the finish reason {quoted(fields.finish, 'or')}"

    def test(case: Case, answer: Answer) -> Grade:
        del case
        if answer.finish_reason is None:
            raise LlmbenchError("the answer has no finish reason to check; this model or recording gives none")
        return literal_grade(answer.finish_reason in fields.finish, expected, answer.finish_reason)

    return test


WORDS = CheckKind(
    name="words",
    version=2,
    fields=WordsFields,
    build=each(_words_test),
    expected=lambda fields: str(fields.words),
    always=_always,
)
FINISH = CheckKind(
    name="finish",
    fields=FinishFields,
    build=each(_finish_test),
    expected=lambda fields: f"ends with the finish reason {quoted(fields.finish, 'or')}",
    is_local=False,
)

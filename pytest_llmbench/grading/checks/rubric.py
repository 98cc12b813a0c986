"""The check rubric: a judge model decides whether the answer meets one criterion, written in plain words.

The grade is a word, never a number, and there are three at most.  `judged` asks the judge; here are the keys of the
check, and what is said of a criterion that judges cannot decide by.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.grading.answer_text import clip, is_empty
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.grading.checks.base import CheckKind, PathFields, Placed, Test, Written, WrittenTexts, scalar_text
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Share, Text
from pytest_llmbench.values import Answer, Case, Grade, Suite

GRADES = MappingProxyType({"met": 1.0, "not_met": 0.0})
"""The grades of a rubric that names none, with the scores they give."""

_MOST_GRADES = 3
_WORD = re.compile(r"[^\W\d]\w*")
_MARKS = ("pass", "part", "fail")
"""How people mark an answer; in an example they stand for the best grade, the middle one and the worst."""


def folded(word: str) -> str:
    """Give a grade as it is compared: in any case, with blanks and hyphens as underscores."""
    return re.sub(r"[\s-]+", "_", word.strip().strip("\"'*`.").casefold())


def _grades(given: Mapping[str, float]) -> Mapping[str, float]:
    if not 2 <= len(given) <= _MOST_GRADES:
        how_many = f"{len(given)} grade{'' if len(given) == 1 else 's'}"
        raise ValueError(f"names {how_many}; a rubric has two or three, such as met, partly and not_met")
    odd = next((word for word in given if not _WORD.fullmatch(word)), None)
    if odd is not None:
        raise ValueError(f'"{odd}" is no grade; write a word such as not_met, judges are poor at numbers')
    if len({folded(word) for word in given}) < len(given):
        raise ValueError("two of the grades are the same word but for their case; write different ones")
    scores = sorted(given.values(), reverse=True)
    if scores[0] != 1 or len(set(scores)) < len(scores):
        raise ValueError("the scores must differ, and the best must be 1, or no answer can pass")
    return given


def _sentence(text: str) -> str:
    if is_empty(text):
        raise ValueError("must not be blank; write in a sentence what the answer must say or do")
    return text.strip()


class ExampleFields(Strict):
    """An answer with the grade it has: one of the grades, or pass, part or fail."""

    answer: Written
    verdict: Annotated[Text, BeforeValidator(scalar_text)]


class RubricValue(Strict):
    """A criterion, with what helps to decide by it; `grades` are the words for it, with their scores."""

    criterion: Annotated[str, AfterValidator(_sentence)]
    reference: WrittenTexts | None = None
    examples: tuple[ExampleFields, ...] = ()
    grades: Annotated[dict[str, Share], AfterValidator(_grades)] = Field(
        default_factory=lambda: dict(GRADES), json_schema_extra={"minProperties": 2, "maxProperties": _MOST_GRADES}
    )

    @model_validator(mode="after")
    def _examples_have_grades(self) -> Self:
        for example in self.examples:
            self.grade_of(example)
        return self

    @property
    def words(self) -> tuple[str, ...]:
        """The grades, from the best to the worst."""
        return tuple(sorted(self.grades, key=lambda word: -self.grades[word]))

    def grade_of(self, example: ExampleFields) -> str:
        """Give the grade of an example.

        Raises:
            ValueError: it has none of those that there are.
        """
        words = self.words
        middle = {"part": words[1]} if len(words) == _MOST_GRADES else {}
        known = {"pass": words[0], **middle, "fail": words[-1]} | {folded(word): word for word in words}
        found = known.get(folded(example.verdict))
        if found is None:
            raise ValueError(f'the verdict "{example.verdict}" of an example is no grade; write {" or ".join(words)}')
        return found


def _as_value(given: object) -> object:
    return {"criterion": given} if isinstance(given, str) else given


class RubricFields(PathFields):
    """The answer meets a criterion, as a judge model finds."""

    rubric: Annotated[RubricValue, BeforeValidator(_as_value, json_schema_input_type=str | RubricValue)]


def _unasked(placed: Sequence[Placed], suite: Suite, root: Path) -> Sequence[Test]:
    del suite, root
    return [_no_judge for _ in placed]


def _no_judge(case: Case, answer: Answer) -> Grade:
    del case, answer
    raise LlmbenchError("a judge model decides, and none was asked; name one with --llm-judge NAME")


# -- criteria that judges cannot decide by

_FEWEST_WORDS = 4
_VAGUE = re.compile(
    r"\b(?:good|better|best|bad|well|nice(?:ly)?|great|excellent|appropriate(?:ly)?|adequate(?:ly)?|proper(?:ly)?"
    r"|suitabl[ey]|reasonabl[ey]|acceptabl[ey]|satisfactor(?:y|ily)|helpful(?:ly)?|useful|high[- ]quality|quality"
    r"|sensibl[ey]|decent(?:ly)?|professional(?:ly)?)\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)")
_JOINED = re.compile(r"\band\b|;", re.IGNORECASE)
_CLAUSES = re.compile(
    r"[,;] ?and\b|;|\band (?:also|then|not|no|never|without|that|it|is|are|was|were|has|have|had|does|do|did|should"
    r"|must|can|the answer|(?:the|its|a|an) [\w ]+ (?:is|are|has|does))\b",
    re.IGNORECASE,
)
_VERBS = re.compile(r"^(?:the (?:answer|reply|model|response) )?\w+s\b.*\band (?-i:[a-z])\w*s \w", re.IGNORECASE)
"""Two verbs in the third person: "Names the price and explains the delay"."""


def remarks(value: RubricValue) -> Iterator[tuple[Severity, str]]:
    """Say what is weak in a criterion: too few words, vague words, two criteria in one."""
    text = _QUOTED.sub('""', value.criterion)
    shown = f'the criterion "{clip(value.criterion, 60)}"'
    n_words = len(value.criterion.split())
    if n_words < _FEWEST_WORDS:
        few = f"{n_words} word{'' if n_words == 1 else 's'}"
        yield Severity.WARNING, f"{shown} has {few}; write a sentence on what the answer must say or do."
    vague = _VAGUE.search(text)
    if vague is not None:
        what = f'{shown} asks for what is "{vague[0]}", by which judges differ; write what the answer must say or do.'
        yield Severity.WARNING, what
    if _JOINED.search(text):
        is_sure = _CLAUSES.search(text) or _VERBS.search(text)
        how = "is two criteria in one" if is_sure else "may be two criteria in one"
        yield (
            Severity.WARNING if is_sure else Severity.ADVICE,
            f"{shown} {how}; write a rubric for each, so that it is known which of them is not met.",
        )


def _expected(fields: Any) -> str:
    return f"by a judge: {clip(fields.rubric.criterion).rstrip('.')}"


RUBRIC = CheckKind(
    name="rubric",
    fields=RubricFields,
    build=_unasked,
    expected=_expected,
    is_local=False,
    is_judged=True,
    remarks=lambda fields: remarks(fields.rubric),
)

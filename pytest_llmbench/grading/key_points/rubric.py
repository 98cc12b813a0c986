"""The fields of `key_points`, and the rubric they make: what a case asks of an explanation."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Self

from pydantic import Field, model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import rules_of
from pytest_llmbench.grading.judge.fields import JudgeChoice, JudgeFields
from pytest_llmbench.grading.key_points.claims import Phrases
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Count, Positive, Share, Switch, Text
from pytest_llmbench.values import Case, Json

DEFAULT_MAX_WORDS = 90
WORDS_OF_REFERENCE = 2.5


class ForbiddenFields(Strict):
    """A claim that makes an answer wrong: alternatives, each a regular expression over whole words.

    Without alternatives only a judge model can look for it, by its name.
    """

    name: Text
    any: tuple[str, ...] = Field(default=(), min_length=1)


class PointFields(ForbiddenFields):
    """A point of a right explanation; `echo_ok` lets it stand in the prompt."""

    weight: Positive = 1
    echo_ok: Switch = False


class KeyPointsCase(Strict):
    """A case: its points, forbidden claims, right explanations, and length in words."""

    points: tuple[PointFields, ...] = Field(min_length=1)
    forbid: tuple[ForbiddenFields, ...] = ()
    references: tuple[str, ...] = ()
    max_words: Count | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for kind in (self.points, self.forbid):
            names = [entry.name for entry in kind]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f'the name "{twice[0]}" stands twice; the report identifies points by their names')
        return self


class KeyPointsSuite(Strict):
    """A suite: the score an answer must reach to pass; `judge` is None where no model is to judge it."""

    threshold: Share = 0.75
    judge: JudgeChoice = JudgeFields()


def input_texts(case: Case) -> tuple[str, ...]:
    """Give the texts in a case's inputs, as deep as they stand."""
    return tuple(text for value in case.inputs.values() for text in _texts(value))


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point, ready to be looked for."""

    phrases: Phrases
    weight: float
    is_echo_ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """What one case asks of an explanation; `limit` is its length in words."""

    points: tuple[Point, ...]
    forbidden: tuple[Phrases, ...]
    limit: int
    threshold: float

    @property
    def without_patterns(self) -> str | None:
        """Name the first point, or forbidden claim, that only a judge can look for; None if there is none."""
        every = (*(point.phrases for point in self.points), *self.forbidden)
        return next((phrases.name for phrases in every if not phrases.patterns), None)

    @classmethod
    def of(cls, case: Case, threshold: float) -> Self:
        """Compile the fields of a case.

        Raises:
            SuiteFault: a pattern cannot be used.
        """
        rules = rules_of(case, KeyPointsCase)
        longest = max((len(text.split()) for text in rules.references), default=0)
        return cls(
            points=tuple(
                Point(phrases=_phrases(case, "point", entry), weight=entry.weight, is_echo_ok=entry.echo_ok)
                for entry in rules.points
            ),
            forbidden=tuple(_phrases(case, "forbidden claim", entry) for entry in rules.forbid),
            limit=rules.max_words or ceil(WORDS_OF_REFERENCE * longest) or DEFAULT_MAX_WORDS,
            threshold=threshold,
        )


def _phrases(case: Case, what: str, entry: ForbiddenFields) -> Phrases:
    try:
        return Phrases.of(entry.name, entry.any)
    except ValueError as fault:
        message = f'case "{case.id}", {what} "{entry.name}": {fault}; write a regular expression of words.'
        raise SuiteFault(message, path=case.path, line=case.line) from None

"""The scoring rule of `key_points`: what a case asks of an explanation, and what one answer earns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, fsum, sqrt
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.base import rules_of
from pytest_llmbench.grading.key_points.claims import Claim, Explanation, Phrases
from pytest_llmbench.grading.key_points.run_on import run_on_start
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Count, NotNegative, Positive, Share, Switch, Text, kept
from pytest_llmbench.values import Case, Json, Reason, Sampling

JUDGED_CHARACTERS = 20_000
PATTERNS_TIME_S = 1.0
DEFAULT_MAX_WORDS = 90
WORDS_OF_REFERENCE = 2.5
HEDGE_FACTOR = 0.6
HEDGES_COUNTED = 3
FORBIDDEN_CAP = 0.4
SEVERAL_VOTES_TEMPERATURE = 0.7
ROUNDING = 1e-9
"""A score this close under the threshold reaches it: weights such as 0.1 do not add up exactly."""


class ForbiddenFields(Strict):
    """A claim that makes an answer wrong: alternatives, each a regular expression over whole words."""

    name: Text
    any: tuple[str, ...] = Field(min_length=1)


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
                raise ValueError(f'the name "{twice[0]}" stands twice; the report tells points by their names')
        return self


class JudgeFields(Strict):
    """How a judge model is asked: so many votes an answer, at this temperature (default 0, for several votes 0.7).

    `instructions` are added to what the judge is told; `allow_self` lets a model judge its own answers.
    """

    votes: Annotated[int, Field(ge=1, le=15), kept(int, float)] = 1
    temperature: NotNegative | None = None
    max_tokens: Count = 1024
    instructions: str = ""
    allow_self: Switch = False

    @model_validator(mode="after")
    def _votes_can_decide(self) -> Self:
        if self.votes % 2 == 0:
            raise ValueError(f"votes must be odd, so that they cannot tie; ask {self.votes + 1} times")
        if self.votes > 1 and self.temperature == 0:
            raise ValueError("several votes at temperature 0 hardly differ; ask once, or raise the temperature")
        return self

    @property
    def sampling(self) -> Sampling:
        """How the judge is to generate."""
        usual = SEVERAL_VOTES_TEMPERATURE if self.votes > 1 else 0.0
        temperature = usual if self.temperature is None else self.temperature
        return Sampling(max_tokens=self.max_tokens, temperature=temperature)


def _judge_fields(given: object) -> object:
    if isinstance(given, bool):
        return JudgeFields() if given else None
    if not isinstance(given, dict | JudgeFields):
        raise ValueError("write true, false, or how to ask, as {votes: 3}; the model is named with --llm-judge")
    return given


class KeyPointsSuite(Strict):
    """A suite: the score an answer must reach to pass; `judge` is None where no model is to judge it."""

    threshold: Share = 0.75
    judge: Annotated[
        JudgeFields | None,
        BeforeValidator(_judge_fields),
        WithJsonSchema({"anyOf": [{"type": "boolean"}, JudgeFields.model_json_schema()]}),
    ] = JudgeFields()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What one answer earns; claims stand in the order of the rubric, None where not made."""

    rubric: Rubric
    points: tuple[Claim | None, ...]
    forbidden: tuple[Claim | None, ...]
    coverage: float
    length_factor: float
    hedges: int
    words: int
    ran_on: bool

    @property
    def deducted(self) -> float:
        """Coverage after the deductions for length and hedging."""
        return self.coverage * self.length_factor * HEDGE_FACTOR ** min(HEDGES_COUNTED, self.hedges)

    @property
    def has_forbidden(self) -> bool:
        """Whether a forbidden claim is made."""
        return any(self.forbidden)

    @property
    def score(self) -> float:
        """The score, in 0..1."""
        return min(self.deducted, FORBIDDEN_CAP) if self.has_forbidden else self.deducted

    @property
    def passed(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.rubric.threshold - ROUNDING

    @property
    def reason(self) -> Reason:
        """The word for the verdict: what alone would have made the answer fail, the gravest first."""
        if self.passed:
            return Reason.CORRECT
        if self.has_forbidden:
            return Reason.FORBIDDEN_CLAIM
        return Reason.PADDING if self.coverage >= self.rubric.threshold - ROUNDING else Reason.MISSING_POINTS

    def __str__(self) -> str:
        asked, unwanted = self.rubric.points, self.rubric.forbidden
        missing = [point.phrases.name for point, claim in zip(asked, self.points, strict=True) if not claim]
        wrong = [f'{p.name} ("{clip(c.quote, 60)}")' for p, c in zip(unwanted, self.forbidden, strict=True) if c]
        says = [
            f"claims what is wrong: {', '.join(wrong)}" if wrong else "",
            f"misses {', '.join(missing)}" if missing else f"makes all points ({len(asked)})",
            f"is long ({self.words} words, limit {self.rubric.limit})" if self.length_factor < 1 else "",
            f"switches to one more explanation {self.hedges}x" if self.hedges else "",
        ]
        return f"The answer {'; '.join(filter(None, says))}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The part of an answer that is judged: its beginning, up to where it runs on into a next example."""

    text: str
    ran_on: bool

    @classmethod
    def of(cls, answer: str) -> Self:
        """Cut an answer."""
        window = answer[: len(answer) - len(answer.lstrip()) + JUDGED_CHARACTERS]
        run_on = run_on_start(window)
        return cls(text=window[:run_on], ran_on=run_on is not None)


def length_factor(limit: int, words: int) -> float:
    """Give what the length of an answer leaves of its score."""
    return min(1.0, sqrt(limit / words)) if words else 1.0


def coverage(rubric: Rubric, points: Sequence[Claim | None]) -> float:
    """Give the share of the points made, by weight."""
    made = fsum(point.weight for point, claim in zip(rubric.points, points, strict=True) if claim)
    return made / fsum(point.weight for point in rubric.points)


def mark(rubric: Rubric, text: str) -> Marks:
    """Look for every point and forbidden claim in an answer, up to where it runs on."""
    cut = Judged.of(text)
    judged = Explanation(cut.text, limit=JUDGED_CHARACTERS, time_s=PATTERNS_TIME_S)
    points = tuple(judged.find(point.phrases) for point in rubric.points)
    return Marks(
        rubric=rubric,
        points=points,
        forbidden=tuple(judged.find(phrases) for phrases in rubric.forbidden),
        coverage=coverage(rubric, points),
        length_factor=length_factor(rubric.limit, judged.words),
        hedges=judged.hedges,
        words=judged.words,
        ran_on=cut.ran_on,
    )


def _phrases(case: Case, what: str, entry: ForbiddenFields) -> Phrases:
    try:
        return Phrases.of(entry.name, entry.any)
    except ValueError as fault:
        message = f'case "{case.id}", {what} "{entry.name}": {fault}; write a regular expression of words.'
        raise SuiteFault(message, path=case.path, line=case.line) from None

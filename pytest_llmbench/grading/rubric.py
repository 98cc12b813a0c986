"""The scoring rule of `key_points`: what a case asks of an explanation, and what one answer earns."""

from dataclasses import dataclass
from math import ceil, fsum, sqrt
from typing import Self

from pydantic import Field, model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.claims import Claim, Explanation, Phrases
from pytest_llmbench.grading.rules import rules_of
from pytest_llmbench.grading.run_on import run_on_start
from pytest_llmbench.grading.text import clip
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Case, Reason

JUDGED_CHARACTERS = 20_000
PATTERNS_TIME_S = 1.0
DEFAULT_MAX_WORDS = 90
WORDS_OF_REFERENCE = 2.5
HEDGE_FACTOR = 0.6
HEDGES_COUNTED = 3
FORBIDDEN_CAP = 0.4
ROUNDING = 1e-9
"""A score this close under the threshold reaches it: weights such as 0.1 do not add up exactly."""


class ForbiddenFields(Strict):
    """A claim that makes an answer wrong: alternatives, each a regular expression over whole words."""

    name: str = Field(min_length=1)
    any: tuple[str, ...] = Field(min_length=1)


class PointFields(ForbiddenFields):
    """A point of a right explanation; `echo_ok` lets it stand in the prompt."""

    weight: float = Field(default=1, gt=0, allow_inf_nan=False)
    echo_ok: bool = False


class KeyPointsCase(Strict):
    """A case: its points, forbidden claims, right explanations, and length in words."""

    points: tuple[PointFields, ...] = Field(min_length=1)
    forbid: tuple[ForbiddenFields, ...] = ()
    references: tuple[str, ...] = ()
    max_words: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for kind in (self.points, self.forbid):
            names = [entry.name for entry in kind]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f'the name "{twice[0]}" stands twice; the report tells points by their names')
        return self


class KeyPointsSuite(Strict):
    """A suite: the score an answer must reach to pass."""

    threshold: float = Field(default=0.75, ge=0, le=1)


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


def mark(rubric: Rubric, text: str) -> Marks:
    """Look for every point and forbidden claim in an answer, up to where it runs on."""
    window = text[: len(text) - len(text.lstrip()) + JUDGED_CHARACTERS]
    run_on = run_on_start(window)
    judged = Explanation(window[:run_on], limit=JUDGED_CHARACTERS, time_s=PATTERNS_TIME_S)
    points = tuple(judged.find(point.phrases) for point in rubric.points)
    made = fsum(point.weight for point, claim in zip(rubric.points, points, strict=True) if claim)
    return Marks(
        rubric=rubric,
        points=points,
        forbidden=tuple(judged.find(phrases) for phrases in rubric.forbidden),
        coverage=made / fsum(point.weight for point in rubric.points),
        length_factor=min(1.0, sqrt(rubric.limit / judged.words)) if judged.words else 1.0,
        hedges=judged.hedges,
        words=judged.words,
        ran_on=run_on is not None,
    )


def _phrases(case: Case, what: str, entry: ForbiddenFields) -> Phrases:
    try:
        return Phrases.of(entry.name, entry.any)
    except ValueError as fault:
        message = f'case "{case.id}", {what} "{entry.name}": {fault}; write a regular expression of words.'
        raise SuiteFault(message, path=case.path, line=case.line) from None

"""The scoring rule of `key_points`: what an answer earns under its rubric, by patterns or by a judge's votes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Self

from pytest_llmbench.grading.answer_text import GRADED_CHARACTERS, clip, end_of_turn
from pytest_llmbench.grading.key_points.claims import Claim, Explanation
from pytest_llmbench.grading.key_points.rubric import Rubric
from pytest_llmbench.grading.key_points.run_on import run_on_start
from pytest_llmbench.values import Reason

PATTERNS_TIME_S = 1.0
"""How long all patterns of a case may search one answer."""

FORBIDDEN_CAP = 0.4
"""The highest score of an answer with a forbidden claim or a contradiction."""

HEDGE_FACTOR = 0.6
"""What each switch to one more explanation leaves of a score."""

HEDGES_COUNTED = 3

ASIDE_FACTOR = 0.8
"""What a single switch leaves that is an aside, or that the points of the explanation stand on both sides of."""

ASIDE_SHARE = 0.5
"""How much of the words of an answer an aside has at most."""

_ROUNDING = 1e-9
"""A score this close under the threshold reaches it: weights such as 0.1 do not add up exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedPart:
    """The part of an answer that is graded: its beginning, up to where it runs on into a next example."""

    text: str
    ran_on: bool

    @classmethod
    def of(cls, answer: str) -> Self:
        """Cut an answer."""
        window = answer[: len(answer) - len(answer.lstrip()) + GRADED_CHARACTERS]
        turn = end_of_turn(window)
        run_on = run_on_start(window[:turn])
        run_on = turn if run_on is None and turn < len(window) else run_on
        return cls(text=window[:run_on], ran_on=run_on is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What one answer earns, whoever found its claims.

    `points` stand in the order of the rubric, None where not made.  `padding_factor` is what hedging or padding
    leaves of the score.  `is_contradicted`: the answer claims something that makes it wrong.
    """

    rubric: Rubric
    points: tuple[Claim | None, ...]
    padding_factor: float
    is_contradicted: bool
    words: int

    @property
    def coverage(self) -> float:
        """The share of the points made, by weight."""
        made = fsum(point.weight for point, claim in zip(self.rubric.points, self.points, strict=True) if claim)
        return made / fsum(point.weight for point in self.rubric.points)

    @property
    def length_factor(self) -> float:
        """What the length of the answer leaves of its score."""
        return min(1.0, sqrt(self.rubric.limit / self.words)) if self.words else 1.0

    @property
    def score(self) -> float:
        """The score, in 0..1."""
        deducted = self.coverage * self.length_factor * self.padding_factor
        return min(deducted, FORBIDDEN_CAP) if self.is_contradicted else deducted

    @property
    def passed(self) -> bool:
        """Whether the score reaches the threshold."""
        return self._reaches_threshold(self.score)

    @property
    def reason(self) -> Reason:
        """The word of the grade: what alone would have made the answer fail, the gravest first."""
        if self.passed:
            return Reason.CORRECT
        if self.is_contradicted:
            return Reason.FORBIDDEN_CLAIM
        return Reason.PADDING if self._reaches_threshold(self.coverage) else Reason.MISSING_POINTS

    def sentence(self, subject: str, wrong: str, padded: str) -> str:
        """Explain the marks; `wrong` and `padded` are clauses on contradictions and padding, empty without any."""
        missing = [p.phrases.name for p, claim in zip(self.rubric.points, self.points, strict=True) if not claim]
        clauses = [
            wrong,
            f"misses {', '.join(missing)}" if missing else f"makes all points ({len(self.points)})",
            f"is long ({self.words} words, limit {self.rubric.limit})" if self.length_factor < 1 else "",
            padded,
        ]
        return f"{subject} {'; '.join(filter(None, clauses))}."

    def _reaches_threshold(self, score: float) -> bool:
        return score >= self.rubric.threshold - _ROUNDING


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternMarks(Marks):
    """What one answer earns by the patterns; `forbidden` stand in the order of the rubric, None where not made."""

    forbidden: tuple[Claim | None, ...]
    hedges: int
    ran_on: bool

    def __str__(self) -> str:
        pairs = zip(self.rubric.forbidden, self.forbidden, strict=True)
        wrong = [f'{phrases.name} ("{clip(claim.quote, 60)}")' for phrases, claim in pairs if claim]
        return self.sentence(
            "The answer",
            f"claims what is wrong: {', '.join(wrong)}" if wrong else "",
            f"switches to one more explanation {self.hedges}x" if self.hedges else "",
        )


def mark(rubric: Rubric, text: str) -> PatternMarks:
    """Look for every point and forbidden claim in an answer, up to where it runs on."""
    part = GradedPart.of(text)
    explanation = Explanation(part.text, limit=GRADED_CHARACTERS, time_s=PATTERNS_TIME_S)
    points = tuple(explanation.find(point.phrases) for point in rubric.points)
    forbidden = tuple(explanation.find(phrases) for phrases in rubric.forbidden)
    return PatternMarks(
        rubric=rubric,
        points=points,
        padding_factor=_hedge_factor(explanation, points),
        is_contradicted=any(forbidden),
        words=explanation.words,
        forbidden=forbidden,
        hedges=explanation.hedges,
        ran_on=part.ran_on,
    )


def _hedge_factor(explanation: Explanation, points: Sequence[Claim | None]) -> float:
    """Give what switches to one more explanation leave of a score."""
    hedges, switch = explanation.hedges, explanation.switch
    if hedges == 1 and switch is not None:
        is_before = [claim.start < switch for claim in points if claim]
        is_one_explanation = any(is_before) and not all(is_before)
        if is_one_explanation or (any(is_before) and explanation.share_after(switch) <= ASIDE_SHARE):
            return ASIDE_FACTOR
    return HEDGE_FACTOR ** min(HEDGES_COUNTED, hedges)

"""From which likeness on a check that measures should pass, by what people found. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.results.annotations import Annotation, Drawn, Mark
from pytest_llmbench.results.grader_agreement import ENOUGH, kappa


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedMinimum:
    """The `min` with which a check agrees best with people, and how far it then does on the same `n` answers.

    `minimum` is None with fewer than 60 annotations, and where people gave one mark only.  `tpr` is the share of the
    answers people pass that the check would pass, `tnr` that of the others that it would fail.
    """

    suite: str
    check: str
    n: int
    minimum: float | None = None
    kappa: float | None = None
    tpr: float = 0.0
    tnr: float = 0.0

    @property
    def is_enough(self) -> bool:
        """Whether there are as many annotations as an agreement needs."""
        return self.n >= ENOUGH


def propose(suite: str, check: str, scored: Sequence[tuple[float, Annotation]]) -> ProposedMinimum:
    """Find the minimum at which the shares of both kinds of answers that are told right add up to the most.

    Args:
        suite: of the check.
        check: its name.
        scored: the score of each answer, and what people found; those drawn at random alone count, where any was.

    Of several equally good ones it is the lowest.  Source: Youden, Index for rating diagnostic tests (1950).
    """
    random = [pair for pair in scored if pair[1].drawn is Drawn.RANDOM]
    found = [(score, annotation.mark is Mark.PASS) for score, annotation in random or scored]
    rights, wrongs = ([score for score, is_right in found if is_right is wanted] for wanted in (True, False))
    if len(found) < ENOUGH or not rights or not wrongs:
        return ProposedMinimum(suite=suite, check=check, n=len(found))

    def shares(minimum: float) -> tuple[float, float]:
        passed = sum(score >= minimum for score in rights) / len(rights)
        return passed, sum(score < minimum for score in wrongs) / len(wrongs)

    levels = sorted({score for score, _ in found})
    best = max(levels, key=lambda level: (sum(shares(level)), -level))
    below = max((level for level in levels if level < best), default=0.0)
    short = round((below + best) / 2, 2)
    minimum = short if below < short <= best else best
    tpr, tnr = shares(minimum)
    return ProposedMinimum(
        suite=suite,
        check=check,
        n=len(found),
        minimum=minimum,
        kappa=kappa([(is_right, score >= minimum) for score, is_right in found]),
        tpr=tpr,
        tnr=tnr,
    )

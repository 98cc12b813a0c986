"""The rule: from differences to one of five verdicts.

On the mean difference of the score, candidate minus baseline: `better` if it is shown to lie over 0;
else `no worse` if it is shown to lie over minus the margin; else `worse` if it is shown to lie
under 0; else `too few cases`.  `score_test.py` says how a mean is shown to lie over a bound.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_llmbench.score_test import MIN_UNITS, Differences, count_differences, evidence, silence_floor
from pytest_llmbench.stats import t_quantile

METHOD = "score-t/1"
"""The rule's name in the JSON; another one when the same runs may get another verdict."""


class Verdict(StrEnum):
    """What the gate says."""

    BETTER = "better"
    NO_WORSE = "no worse"
    WORSE = "worse"
    TOO_FEW_CASES = "too few cases"
    INCONCLUSIVE = "inconclusive"


_PASSING = (Verdict.BETTER, Verdict.NO_WORSE)


def overall(verdicts: Sequence[Verdict]) -> Verdict:
    """Put verdicts together: the gravest counts, and `better` needs all of them; nothing judged is inconclusive."""
    if not verdicts:
        return Verdict.INCONCLUSIVE
    for grave in (Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.TOO_FEW_CASES):
        if grave in verdicts:
            return grave
    return Verdict.BETTER if all(verdict is Verdict.BETTER for verdict in verdicts) else Verdict.NO_WORSE


def exit_status(verdict: Verdict) -> int:
    """Give the exit status of a verdict."""
    if verdict is Verdict.WORSE:
        return 1
    return 0 if verdict in _PASSING else 8


@dataclass(frozen=True, slots=True)
class Claims:
    """What differences show by themselves; `alarm` is the t statistic for a loss, with its degrees of freedom."""

    is_up: bool
    is_kept: bool
    is_down: bool
    alarm: tuple[float, int]

    def verdict(self, *, is_alarmed: bool) -> Verdict:
        """Give the verdict; `is_alarmed` where the loss counts as shown."""
        if self.is_up:
            return Verdict.BETTER
        if self.is_kept:
            return Verdict.NO_WORSE
        return Verdict.WORSE if is_alarmed else Verdict.TOO_FEW_CASES


def claims_of(differences: Differences, margin: float) -> Claims:
    """Say what the differences of one suite's units show."""
    n = round(differences.n)
    if n < MIN_UNITS:
        return Claims(False, False, False, (0.0, 1))
    quantile = t_quantile(0.95, n - 1)
    may_be_silent = n < silence_floor(margin) and not any(value > 0 for value, _ in differences.counts)
    down = evidence(differences.mirrored, 0.0)
    return Claims(
        is_up=evidence(differences, 0.0) > quantile,
        is_kept=not may_be_silent and evidence(differences, -margin) > quantile,
        is_down=down > quantile,
        alarm=(down, n - 1),
    )


def rule(differences: Iterable[float], margin: float = 0.05) -> Verdict:
    """Judge the differences of one suite's units by the rule, each candidate minus baseline in -1..1."""
    found = claims_of(count_differences(differences), margin)
    return found.verdict(is_alarmed=found.is_down)


def same_at_both_ends(low: Verdict, high: Verdict) -> Verdict:
    """Give the verdict that holds whatever the unknown samples are; what is better is no worse too."""
    if low is high:
        return low
    return Verdict.NO_WORSE if low in _PASSING and high in _PASSING else Verdict.INCONCLUSIVE

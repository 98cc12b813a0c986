"""The rule: from differences to one of five verdicts.

On the mean difference of the score, candidate minus baseline: `better` if it is shown to lie over 0;
else `no worse` if it is shown to lie over minus the margin; else `worse` if it is shown to lie
under 0; else `too few cases`.  `score_test.py` has how a mean is shown to lie over a bound.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_llmbench.gate.pairs import Pair
from pytest_llmbench.gate.score_test import (
    MIN_UNITS,
    PLAIN_LEVELS,
    Differences,
    Levels,
    count_differences,
    evidence,
    silence_floor,
)
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.stats import mean, t_quantile
from pytest_llmbench.values import Outcome

METHOD = "score-t/1"
"""The rule's name in the JSON; another one when the same runs may get another verdict."""


class Verdict(StrEnum):
    """The verdicts of the gate."""

    BETTER = "better"
    NO_WORSE = "no worse"
    WORSE = "worse"
    TOO_FEW_CASES = "too few cases"
    INCONCLUSIVE = "inconclusive"


PASSING = (Verdict.BETTER, Verdict.NO_WORSE)


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
    return 0 if verdict in PASSING else 8


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


def claims_of(differences: Differences, margin: float, levels: Levels = PLAIN_LEVELS) -> Claims:
    """Give the claims that the differences of one suite's units allow, at a look where that has levels of its own.

    An early alarm needs a loss seen that is larger than the margin: else "worse" outruns "no worse" in large suites.
    """
    n = round(differences.n)
    if n < MIN_UNITS:
        return Claims(False, False, False, (0.0, 1))
    down = evidence(differences.mirrored, 0.0)
    if not levels.is_last and differences.mean >= -margin:
        down = 0.0
    is_up = is_kept = False
    if levels.kept is not None:
        quantile = t_quantile(1 - levels.kept, n - 1)
        is_silent = n < silence_floor(margin, levels.kept) and not any(value > 0 for value, _ in differences.counts)
        is_up = evidence(differences, 0.0) > quantile
        is_kept = not is_silent and evidence(differences, -margin) > quantile
    return Claims(is_up=is_up, is_kept=is_kept, is_down=down > t_quantile(1 - levels.loss, n - 1), alarm=(down, n - 1))


def rule(differences: Iterable[float], margin: float = 0.05) -> Verdict:
    """Judge the differences of one suite's units by the rule, each candidate minus baseline in -1..1."""
    found = claims_of(count_differences(differences), margin)
    return found.verdict(is_alarmed=found.is_down)


def same_at_both_ends(low: Verdict, high: Verdict) -> Verdict:
    """Give the verdict that holds whatever the unknown samples are; what is better is no worse too."""
    if low is high:
        return low
    return Verdict.NO_WORSE if low in PASSING and high in PASSING else Verdict.INCONCLUSIVE


Scores = tuple[float, float]
"""The scores of one unit, or case, in the baseline and the candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The scores of the units of one suite.

    `known` leaves out what has no answer on both sides; in `against` the unknown samples of the
    candidate are wrong and those of the baseline right, in `favour` the other way round.
    """

    known: tuple[Scores, ...]
    against: tuple[Scores, ...]
    favour: tuple[Scores, ...]
    error_cases: tuple[str, ...]


def units_of(pairs: Sequence[Pair]) -> Units:
    """Score the units of a suite."""
    error_cases = tuple(pair.candidate.case for pair in pairs if pair.has_error)
    known = _unit_scores(pairs, None)
    if not error_cases:
        return Units(known=known, against=known, favour=known, error_cases=())
    against, favour = _unit_scores(pairs, (1.0, 0.0)), _unit_scores(pairs, (0.0, 1.0))
    return Units(known=known, against=against, favour=favour, error_cases=error_cases)


def differences_of(units: Sequence[Scores]) -> Differences:
    """Count the differences of units, candidate minus baseline."""
    return count_differences(new - old for old, new in units)


def case_scores(pair: Pair, unknown: Scores | None = None) -> Scores | None:
    """Give the mean score of a case on both sides; None where one has none.

    Args:
        pair: the case.
        unknown: what a sample without an answer counts on each side; None to leave it out.
    """
    baseline = _score(pair.baseline, pair.older, None if unknown is None else unknown[0])
    candidate = _score(pair.candidate, (), None if unknown is None else unknown[1])
    return None if baseline is None or candidate is None else (baseline, candidate)


def _score(record: Record, older: Sequence[Sample], unknown: float | None) -> float | None:
    scores = [s.score or 0.0 for s in (*record.samples, *older) if s.outcome is not Outcome.ERROR]
    if unknown is not None:
        scores += [unknown for sample in record.samples if sample.outcome is Outcome.ERROR]
    return sum(scores) / len(scores) if scores else None


def _unit_scores(pairs: Sequence[Pair], unknown: Scores | None) -> tuple[Scores, ...]:
    lone: list[Scores] = []
    clusters: dict[str, list[Scores]] = {}
    for pair in pairs:
        scores = case_scores(pair, unknown)
        if scores is not None:
            cluster = pair.candidate.cluster
            (lone if cluster is None else clusters.setdefault(cluster, [])).append(scores)
    together = ((mean([old for old, _ in unit]), mean([new for _, new in unit])) for unit in clusters.values())
    return (*lone, *together)

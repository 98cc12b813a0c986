"""From paired records to the scores of units: samples averaged first, then the cases of a cluster.

A sample without an answer is unknown.  Every unit is scored three times: without the unknown
samples, with all of them against the candidate, and with all of them for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.compare import Pair
from pytest_llmbench.records import Record, Sample
from pytest_llmbench.score_test import Differences, count_differences
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Outcome

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
    error_cases = tuple(pair.candidate.case for pair in pairs if _has_error(pair))
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


def _has_error(pair: Pair) -> bool:
    return pair.baseline.has_error or pair.candidate.has_error

"""What a suite can decide: the smallest margin it clears, the cases it lacks, whether more samples help."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import pvariance

from pytest_llmbench.gate.pairs import Pair, SuitePairs
from pytest_llmbench.gate.score_test import Differences, silence_floor, smallest_margin, units_needed
from pytest_llmbench.results.records import Record
from pytest_llmbench.stats import mean
from pytest_llmbench.values import GateKind, Suite

USUAL_BETWEEN = 0.023
"""Variance of a case's difference between two equally good models that no number of samples removes."""

USUAL_WITHIN = 0.16
"""Variance that one sampled answer a side adds; with the one above, 18% of cases move."""

_SAMPLES = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """The power of a suite: what would let it decide.

    `smallest_margin` is a share; `units_needed` counts cases (or clusters) that would be enough for the
    margin, None if 100,000 would not; both for a chance of 80% where nothing changed.
    `can_samples_help` is False at temperature 0, None where that is not known; `samples_needed` is how
    many samples a case would do, known only where there are several, None if none would.
    """

    smallest_margin: float
    units_needed: int | None
    can_samples_help: bool | None
    samples_needed: int | None = None
    are_samples_known: bool = False


def power_of(suite: SuitePairs, differences: Differences, margin: float) -> Power:
    """Give what a compared suite can decide, from how much its cases moved."""
    samples = min((len(pair.candidate.answered) for pair in suite.pairs if pair.candidate.answered), default=0)
    is_known = bool(suite.can_samples_help) and samples > 1
    return Power(
        smallest_margin=smallest_margin(differences),
        units_needed=units_needed(differences, margin),
        can_samples_help=suite.can_samples_help,
        samples_needed=_samples_needed(suite.pairs, differences, margin, samples) if is_known else None,
        are_samples_known=is_known,
    )


def _samples_needed(pairs: Sequence[Pair], differences: Differences, margin: float, samples: int) -> int | None:
    """Give the samples a case that would clear the margin, by what the samples of a case vary among themselves."""
    variance = sum(value * value * count for value, count in differences.counts) / differences.n
    noise = mean([_noise(pair.baseline) + _noise(pair.candidate) for pair in pairs])
    between = max(0.0, variance - noise)
    for count in _SAMPLES:
        if count > samples and variance > 0:
            shrink = sqrt((between + noise * samples / count) / variance)
            if smallest_margin(_scaled(differences, shrink)) <= margin:
                return count
    return None


def _noise(record: Record) -> float:
    """Estimate the variance of a record's mean score from its samples."""
    scores = [sample.score or 0.0 for sample in record.answered]
    return pvariance(scores) / (len(scores) - 1) if len(scores) > 1 else 0.0


def _scaled(differences: Differences, factor: float) -> Differences:
    capped = min(1.0, factor)
    return Differences(counts=tuple((value * capped, count) for value, count in differences.counts))


def expected_power(cases: int, samples: int, margin: float, *, is_greedy: bool) -> Power:
    """Give what a suite can be expected to decide, before any request.

    Args:
        cases: of the suite.
        samples: answers a case.
        margin: a share of score.
        is_greedy: the models answer at temperature 0, where more samples change nothing.

    Assumes two models that move 18% of cases with one answer each, the usual share for models that are
    right on 80%.
    """
    more = () if is_greedy else tuple(count for count in _SAMPLES if count > samples)
    return Power(
        smallest_margin=expected_margin(cases, samples, is_greedy=is_greedy),
        units_needed=units_needed(_usual(samples, is_greedy=is_greedy), margin),
        can_samples_help=not is_greedy,
        samples_needed=next((count for count in more if expected_margin(cases, count) <= margin), None),
        are_samples_known=not is_greedy,
    )


def expected_margin(cases: int, samples: int = 1, *, is_greedy: bool = False) -> float:
    """Give the smallest margin a suite of so many cases can be expected to clear; see `expected_power`."""
    return smallest_margin(_usual(samples, is_greedy=is_greedy), cases)


def _usual(samples: int, *, is_greedy: bool) -> Differences:
    variance = USUAL_BETWEEN + USUAL_WITHIN / (1 if is_greedy else samples)
    step = 1.0 if is_greedy or samples == 1 else 0.5
    moved = variance / step**2
    return Differences(counts=((-step, moved / 2), (0.0, 1 - moved), (step, moved / 2)))


def too_small(suite: Suite, margin: float) -> str | None:
    """Describe a statistical suite that could not pass an unchanged model, with both ways out; None for others."""
    units = len({case.cluster or ("case", case.id) for case in suite.cases})
    needed = silence_floor(margin)
    if suite.gate is not GateKind.STATISTICAL or units >= needed:
        return None
    cases = "1 case" if units == 1 else f"{units} cases"
    return (
        f'suite "{suite.name}" has {cases} and cannot pass an unchanged model at a margin of {margin * 100:g} '
        f"points: add cases up to {needed} or more, or set `gate: smoke` (every case that passed must pass)."
    )

"""A model against itself: what of a difference is noise, and the margin a suite can keep.

Runs of the same model are compared each with each.  What moves between them is noise: of
sampling, of batches, of the provider.  A candidate moves at least as many cases as the model
against itself, so the margin recommended leaves room for what usually moves besides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import ceil, exp, sqrt
from statistics import NormalDist

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.answer_agreement import agreement
from pytest_llmbench.gate.comparison import join, role_in
from pytest_llmbench.gate.latency import ASSUMED_RUN_NOISE, LatencyComparison, RunNoise, compare_latency, run_noise
from pytest_llmbench.gate.pairs import Comparison, SuitePairs
from pytest_llmbench.gate.power import USUAL_BETWEEN, expected_margin
from pytest_llmbench.gate.rule import differences_of, units_of
from pytest_llmbench.gate.score_test import POWER, Differences, noise_floor, smallest_margin
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.identities import identity_differences
from pytest_llmbench.results.identity import REPORTED
from pytest_llmbench.results.records import ModelInfo, Run
from pytest_llmbench.stats import mean
from pytest_llmbench.values import GateKind

_MAX_PAIRS = 45  # ten runs each with each
_LEAST_LATENCY_MARGIN = 1.05  # at 1 a gate would ask for a faster model


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteNoise:
    """The noise of a model in one suite. Shares of score, unless stated otherwise.

    `flip_rate` is the share of cases whose score differs between two runs; `noise_floor` how far two
    runs' scores differ in 9 of 10 cases; `smallest_drop` the smallest true loss a gate finds, and the
    smallest margin an unchanged model clears, four times in five; `margin` what is recommended.
    `same_text_rate` counts answers that came out the same, `across_rate` those between runs with
    another number of requests in flight (None without any such runs).
    """

    suite: str
    role: str
    cases: int
    runs: int
    flip_rate: float
    noise_floor: float
    smallest_drop: float
    margin: float
    same_text_rate: float | None
    across_rate: float | None
    is_greedy: bool | None
    differences: tuple[str, ...] = ()
    gate: GateKind = GateKind.STATISTICAL


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyNoise:
    """The noise of latency under one role between runs, and the ratio to tolerate.

    `widest` is the largest ratio of any two of the runs.
    """

    role: str
    noise: RunNoise
    widest: float
    margin: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A model against itself, and what a gate with these settings has to know."""

    suites: tuple[SuiteNoise, ...]
    latency: tuple[LatencyNoise, ...]
    warnings: tuple[str, ...]


def calibrate(runs: Sequence[Run], settings: GateSettings) -> Calibration:
    """Compare runs of the same model each with each.

    Raises:
        UsageFault: under two runs, runs of several models or without a common case; a record has an impossible score.
    """
    if len(runs) < 2:
        raise UsageFault("name at least two runs of the same model, or three to measure the noise of latency, too.")
    reused = sum(record.has_reused for run in runs for record in run.records)
    stopped = dict.fromkeys(suite for run in runs for suite in run.incomplete)
    runs = [_answered_anew(_whole_suites(run)) for run in _as_one_role(runs)]
    if not all(run.records for run in runs):
        raise UsageFault(
            "one run has only reused answers, or stopped early, and no noise can be measured from it; repeat it with "
            "--llm-reuse none --llm-stop-early off."
        )
    comparisons = [join(old, new) for old, new in list(combinations(runs, 2))[:_MAX_PAIRS]]
    changed = [*dict.fromkeys(_model_warnings(comparisons))]
    if reused:
        changed.append(f"{reused} cases with reused answers are left out, since no noise can be measured on them")
    changed += [f"a run of {suite} stopped early and is left out: its answers chose where" for suite in stopped]
    keys = dict.fromkeys((suite.suite, suite.role) for comparison in comparisons for suite in comparison.suites)
    suites = tuple(found for suite, role in keys if (found := _suite_noise(suite, role, comparisons, len(runs))))
    latency = tuple(_latency_noise(runs, comparisons))
    return Calibration(suites=suites, latency=latency, warnings=(*changed, *_warnings(suites, latency, settings)))


def _as_one_role(runs: Sequence[Run]) -> list[Run]:
    """Give the runs with the role of the first, where each has one alone: its name does not matter."""
    roles = [{record.role for record in run.records} for run in runs]
    if any(len(own) != 1 for own in roles):
        return list(runs)
    (first,) = roles[0]
    return [_with_role(run, first) for run in runs]


def _with_role(run: Run, role: str) -> Run:
    """Give a run of one role under another name."""
    old = role_in(run, role)
    records = tuple(replace(record, role=role) for record in run.records)
    models = tuple(replace(model, role=role) for model in run.facts.models if model.role == old)
    return replace(run, records=records, facts=replace(run.facts, models=models))


def _whole_suites(run: Run) -> Run:
    """Give a run without the suites that stopped early."""
    return replace(run, records=tuple(r for r in run.records if r.suite not in run.incomplete), incomplete={})


def _answered_anew(run: Run) -> Run:
    return replace(run, records=tuple(record for record in run.records if not record.has_reused))


def _model_warnings(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Name what else changed under the model.

    Raises:
        UsageFault: the runs met different models.
    """
    for comparison in comparisons:
        for suite in comparison.suites:
            was = comparison.baseline.facts.model(suite.baseline_role)
            now = comparison.candidate.facts.model(suite.role)
            if was and now:
                _refuse_other_settings(was, now, suite.suite)
            changed = identity_differences(was.identity, now.identity) if was and now else ()
            if others := [name for name in changed if name not in REPORTED]:
                raise UsageFault(
                    f'the runs used different models as "{suite.role}" ({", ".join(others)}); calibrate compares a '
                    "model with itself. To judge one against the other: llmbench compare."
                )
            for name in changed:
                yield f"{suite.role}: {name} changed between the runs; what is noise here may be that change"


def _refuse_other_settings(was: ModelInfo, now: ModelInfo, suite: str) -> None:
    """Check that two runs met one entry of the models file with one sampling.

    Raises:
        UsageFault: they did not; what moved between them is no noise.
    """
    if was.model != now.model:
        raise UsageFault(
            f'the runs used different entries as "{now.role}" ({was.model}, {now.model}); calibrate compares a model '
            "with itself. To compare the two: llmbench compare."
        )
    if was.sampling.get(suite) != now.sampling.get(suite):
        raise UsageFault(
            f'the runs differ in the sampling of suite "{suite}" under "{now.role}"; calibrate compares a model with '
            "itself, so run both with the same sampling."
        )


def _suite_noise(suite: str, role: str, comparisons: Sequence[Comparison], runs: int) -> SuiteNoise | None:
    """Put all pairs of runs together; None where no two runs have a case in common."""
    found = [s for c in comparisons for s in c.suites if (s.suite, s.role) == (suite, role) and s.pairs]
    counted = [differences for pairs in found if (differences := differences_of(units_of(pairs.pairs).known)).counts]
    if not counted:
        return None
    n = min(differences.n for differences in counted)
    together = Differences(counts=tuple(count for differences in counted for count in differences.counts))
    variance = sum(value * value * count for value, count in together.counts) / together.n
    flips = sum(count for value, count in together.counts if abs(value) > 1e-9) / together.n
    drop = smallest_margin(together, n)
    helps = {pairs.can_samples_help for pairs in found}
    info = comparisons[-1].candidate.facts.suite(suite)
    return SuiteNoise(
        suite=suite,
        role=role,
        cases=round(n),
        runs=runs,
        flip_rate=flips,
        noise_floor=noise_floor(together, n),
        smallest_drop=drop,
        margin=_recommended(together, n, variance),
        same_text_rate=_text_rate(pairs for pairs in found if _is_as_concurrent(pairs)),
        across_rate=_text_rate(pairs for pairs in found if not _is_as_concurrent(pairs)),
        is_greedy=None if None in helps else helps == {False},
        differences=tuple(dict.fromkeys(d.text for pairs in found for d in pairs.differences)),
        gate=GateKind.STATISTICAL if info is None else info.gate,
    )


def _recommended(noise: Differences, n: float, variance: float) -> float:
    """Give the margin to set: what a candidate that moves cases besides the noise clears, in whole points."""
    if variance == 0:
        margin = expected_margin(round(n), is_greedy=True)
    else:
        grown = sqrt((variance + USUAL_BETWEEN) / variance)
        counts = tuple((max(-1.0, min(1.0, value * grown)), count) for value, count in noise.counts)
        margin = smallest_margin(Differences(counts=counts), n)
    return ceil(margin * 100 - 1e-6) / 100


def _is_as_concurrent(pairs: SuitePairs) -> bool:
    first = pairs.pairs[0]
    return first.baseline.samples[0].concurrency == first.candidate.samples[0].concurrency


def _text_rate(found: Iterator[SuitePairs]) -> float | None:
    rates = [agreed.text_rate for pairs in found if (agreed := agreement(pairs.pairs))]
    return mean(rates) if rates else None


def _latency_noise(runs: Sequence[Run], comparisons: Sequence[Comparison]) -> Iterator[LatencyNoise]:
    first: dict[str, LatencyComparison] = {}
    widest: dict[str, float] = {}
    for comparison in comparisons:
        for facts in compare_latency(comparison, frozenset()):
            if facts.total is not None:
                first.setdefault(facts.role, facts)
                ratio = max(facts.total.median, 1 / facts.total.median)
                widest[facts.role] = max(ratio, widest.get(facts.role, 1.0))
    for role, facts in first.items():
        noise = run_noise(runs, role) or RunNoise(log_sd=ASSUMED_RUN_NOISE)
        # what the interval spans beyond the noise, then the bad luck of four runs in five
        span = noise.allowance
        if facts.total is not None and facts.total.interval is not None:
            low, high = facts.total.interval
            sampled = max(high / facts.total.median, facts.total.median / low) / exp(facts.noise.allowance)
            span += max(0.0, sampled - 1)
        luck = NormalDist().inv_cdf(POWER) * sqrt(2) * noise.log_sd
        margin = max(exp(span + luck), widest[role])
        yield LatencyNoise(
            role=role,
            noise=noise,
            widest=widest[role],
            margin=max(_LEAST_LATENCY_MARGIN, ceil(margin * 20 - 1e-6) / 20),
        )


def _warnings(suites: Sequence[SuiteNoise], latency: Sequence[LatencyNoise], settings: GateSettings) -> Iterator[str]:
    for suite in suites:
        if settings.margin < suite.noise_floor and suite.gate is GateKind.STATISTICAL:
            yield (
                f"{suite.suite} [{suite.role}]: a margin of {settings.margin * 100:g} points is below the noise "
                f"floor of {suite.noise_floor * 100:.1f}: a gate with it will hardly ever decide; add cases, "
                "or use a wider margin"
            )
    for found in latency:
        if found.widest > found.noise.allowed_ratio:
            yield (
                f"latency [{found.role}]: two of these runs differ by {found.widest:.2f}x, more than their noise "
                "explains; the machine may have been busy with other work"
            )
        if settings.latency_margin is not None and settings.latency_margin < found.noise.allowed_ratio:
            yield (
                f"latency [{found.role}]: a margin of {settings.latency_margin:g}x is below the noise floor of "
                f"{found.noise.allowed_ratio:.2f}x: two runs of the same model differ as much"
            )

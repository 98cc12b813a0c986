"""Latency of two runs: the median of per-case ratios, explained by tokens and time a token.

Two runs differ by the weather of their machine or provider even where nothing changed, and no
number of cases shows that.  The interval therefore allows for run-to-run noise: 5%, or what three or
more runs of the baseline show.  Reused answers have no time of their own and are left out, and so are those measured
beside more or fewer others than most of their suite, such as the last, smaller batch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import exp, log, sqrt
from statistics import NormalDist, median, stdev

from pytest_llmbench.gate.comparison import Key, index, role_in
from pytest_llmbench.gate.pairs import Comparison, Difference, Kind, Pair
from pytest_llmbench.models.identities import SEVERAL
from pytest_llmbench.results.records import Machine, Record, Run, Sample, usual_concurrency
from pytest_llmbench.stats import mean, median_interval, t_quantile
from pytest_llmbench.values import Outcome

ASSUMED_RUN_NOISE = 0.05
"""Standard deviation of a run's own factor on all its latencies, where nobody measured it."""

_MIN_RUNS = 3  # of the baseline, before their spread is believed
_CONFIDENCE = 0.90


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Candidate over baseline: the median of per-case ratios and its interval (None with under 5 cases)."""

    median: float
    interval: tuple[float, float] | None
    cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunNoise:
    """Standard deviation of the logarithm of a run's own factor; `runs` is how many it was measured on, 0 if none."""

    log_sd: float
    runs: int = 0

    @property
    def allowance(self) -> float:
        """How far the logarithm of a ratio of two runs may be off, in 19 of 20 cases to either side."""
        share = 0.5 + _CONFIDENCE / 2
        quantile = t_quantile(share, self.runs - 1) if self.runs else NormalDist().inv_cdf(share)
        return quantile * sqrt(2) * self.log_sd

    @property
    def allowed_ratio(self) -> float:
        """The same as a ratio: two runs of an unchanged model may differ by so much."""
        return exp(self.allowance)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyComparison:
    """The latency of two runs under one role, compared.

    `total` is request to last token, `ttft` to the first; each None where not measured on both
    sides.  `refusals` are why the times must not be compared; then there is no ratio.
    """

    role: str
    total: Ratio | None
    ttft: Ratio | None
    tokens_ratio: float | None
    per_token_ratio: float | None
    noise: RunNoise
    refusals: tuple[Difference, ...] = ()
    reused_cases: int = 0
    apart_cases: int = 0
    """Cases in no ratio because they were measured beside more or fewer others than most of their suite."""


Reading = Callable[[Sample], float | None]


def compare_latency(comparison: Comparison, allowed: frozenset[Kind]) -> tuple[LatencyComparison, ...]:
    """Compare the latencies of two joined runs, role by role."""
    found = []
    for role, baseline_role in dict.fromkeys((suite.role, suite.baseline_role) for suite in comparison.suites):
        groups = [suite.pairs for suite in comparison.suites if suite.role == role]
        pairs = [pair for group in groups for pair in group]
        noise = run_noise(_alike(comparison, baseline_role), baseline_role) or RunNoise(log_sd=ASSUMED_RUN_NOISE)
        refusals = (
            *_refusals(comparison, (baseline_role, role), groups, allowed),
            *_load_refusals(comparison, baseline_role, noise, allowed),
        )
        is_refused = any(not refusal.is_allowed for refusal in refusals)
        shown = () if is_refused else groups
        found.append(
            LatencyComparison(
                role=role,
                total=_ratio(shown, _total_s, noise),
                ttft=_ratio(shown, _ttft_s, noise),
                tokens_ratio=_median_ratio(shown, lambda sample: sample.output_tokens),
                per_token_ratio=_median_ratio(shown, _per_token_s),
                noise=noise,
                refusals=refusals,
                reused_cases=sum(pair.has_reused for pair in pairs),
                apart_cases=sum(map(_apart, shown)),
            )
        )
    return tuple(found)


def _refusals(
    comparison: Comparison, roles: tuple[str, str], groups: Sequence[Sequence[Pair]], allowed: frozenset[Kind]
) -> tuple[Difference, ...]:
    timed = [
        group for group in groups if any(pair.baseline.latencies_s and pair.candidate.latencies_s for pair in group)
    ]
    if not timed:
        return ()
    found = []
    for old, new in dict.fromkeys(map(_loads, timed)):
        if old != new:
            text = f"requests in flight: {new or 'unknown'}, in the baseline {old or 'unknown'}"
            found.append(Difference(kind=Kind.CONCURRENCY, text=text, is_allowed=Kind.CONCURRENCY in allowed))
    old_machine, new_machine = map(_measured_on, (comparison.baseline, comparison.candidate), roles)
    if old_machine and new_machine and (old_machine != new_machine or SEVERAL in new_machine):
        text = f"machine: {new_machine}, in the baseline {old_machine}"
        found.append(Difference(kind=Kind.MACHINE, text=text, is_allowed=Kind.MACHINE in allowed))
    old_gpu, new_gpu = map(_gpu, (comparison.baseline, comparison.candidate), roles)
    if old_gpu and new_gpu and old_gpu != new_gpu:
        text = f"machine: {new_gpu}, in the baseline {old_gpu}"
        found.append(Difference(kind=Kind.MACHINE, text=text, is_allowed=Kind.MACHINE in allowed))
    return tuple(found)


def _load_refusals(
    comparison: Comparison, role: str, noise: RunNoise, allowed: frozenset[Kind]
) -> Iterator[Difference]:
    """Find runs of the baseline that lie further apart than run-to-run noise: the machine had other work in one."""
    widest = _widest(comparison, role)
    if widest > noise.allowed_ratio:
        text = f"load of the machine: runs of the baseline lie x{widest:.2f} apart, more than run-to-run noise explains"
        yield Difference(kind=Kind.MACHINE, text=text, is_allowed=Kind.MACHINE in allowed)


def _widest(comparison: Comparison, role: str) -> float:
    """Give the largest ratio of two runs of the baseline's model that were measured alike; 1 of a single run."""
    by_case = [_case_values(index(run).get(role_in(run, role), {})) for run in _alike(comparison, role)]
    ratios = (
        exp(abs(median(log(one[key] / other[key]) for key in common)))
        for one, other in combinations(by_case, 2)
        if (common := one.keys() & other.keys())
    )
    return max(ratios, default=1.0)


def _measured_on(run: Run, role: str) -> str | None:
    """Describe what made the answers of a role: its replicas' GPUs or processors, or else the machine of the run.

    Several replicas on a node share it, so that is a kind of its own.
    """
    facts = run.facts.model(role)
    if facts is None or not facts.replicas:
        return None if run.machine is None else _hardware(run.machine)
    names = sorted({replica.gpu or replica.cpu or "unknown" for replica in facts.replicas if replica.answers})
    a_node = max(Counter(replica.node for replica in facts.replicas if replica.ended is None).values(), default=1)
    return f"{SEVERAL.join(names)}, {f'{a_node} replicas' if a_node > 1 else '1 replica'} a node"


def _gpu(run: Run, role: str) -> str | None:
    """Name the GPU a local model ran on, where it is recorded."""
    facts = run.facts.model(role)
    gpu = None if facts is None else facts.identity.settings.get("gpu")
    return gpu if isinstance(gpu, str) else None


def _loads(group: Sequence[Pair]) -> tuple[int | None, int | None]:
    """Give the usual concurrency of a suite in the baseline and in the candidate."""
    return _concurrency(pair.baseline for pair in group), _concurrency(pair.candidate for pair in group)


def _apart(group: Sequence[Pair]) -> int:
    """Count the cases of a suite that were timed in both runs, but not both under the usual concurrency."""
    loads = _loads(group)
    return sum(
        all(any(map(_is_timed, record.samples)) for record in (pair.baseline, pair.candidate))
        and not all(
            any(_is_timed(sample) and sample.concurrency == load for sample in record.samples)
            for record, load in zip((pair.baseline, pair.candidate), loads, strict=True)
        )
        for pair in group
    )


def _concurrency(records: Iterable[Record]) -> int | None:
    """Give the requests in flight, or rows in a batch, that most answers of a suite were measured under."""
    return usual_concurrency(s for record in records for s in record.samples if _is_timed(s))


def _is_timed(sample: Sample) -> bool:
    """Return whether a sample was really answered in this run."""
    return sample.outcome is not Outcome.ERROR and not sample.reused and sample.latency_s is not None


def _hardware(machine: Machine) -> str:
    """Describe a machine by what makes it fast; not by its name, which every container changes."""
    cores = f"{machine.cpu_count} x " if machine.cpu_count else ""
    return f"{cores}{machine.cpu or machine.architecture} ({machine.system})"


def _total_s(sample: Sample) -> float | None:
    return sample.latency_s


def _ttft_s(sample: Sample) -> float | None:
    return sample.ttft_s


def _per_token_s(sample: Sample) -> float | None:
    return sample.latency_s / sample.output_tokens if sample.latency_s and sample.output_tokens else None


def _case_value(record: Record, reading: Reading, load: int | None) -> float | None:
    """Give the mean of a reading over the samples answered in this run under that load; None if it is 0 or unknown."""
    values = [
        value
        for sample in record.samples
        if _is_timed(sample) and sample.concurrency == load and (value := reading(sample)) is not None
    ]
    return mean(values) or None if values else None


def _log_ratios(groups: Sequence[Sequence[Pair]], reading: Reading) -> list[float]:
    both = (
        (_case_value(pair.baseline, reading, loads[0]), _case_value(pair.candidate, reading, loads[1]))
        for group in groups
        for loads in [_loads(group)]
        for pair in group
    )
    return [log(new / old) for old, new in both if old and new]


def _median_ratio(groups: Sequence[Sequence[Pair]], reading: Reading) -> float | None:
    found = _log_ratios(groups, reading)
    return exp(median(found)) if found else None


def _ratio(groups: Sequence[Sequence[Pair]], reading: Reading, noise: RunNoise) -> Ratio | None:
    found = _log_ratios(groups, reading)
    if not found:
        return None
    ends = interval_of(found, noise)
    interval = None if ends is None else (exp(ends[0]), exp(ends[1]))
    return Ratio(median=exp(median(found)), interval=interval, cases=len(found))


def interval_of(log_ratios: Sequence[float], noise: RunNoise) -> tuple[float, float] | None:
    """Give the interval of the median logarithm, with room for run-to-run noise; None with under 5 cases."""
    ends = median_interval(log_ratios, _CONFIDENCE)
    if ends is None:
        return None
    middle = median(log_ratios)
    # the two uncertainties are independent, so their squares add
    below, above = (sqrt((end - middle) ** 2 + noise.allowance**2) for end in ends)
    return middle - below, middle + above


def _alike(comparison: Comparison, role: str) -> list[Run]:
    """Give the baseline's runs that met its model of today, measured as today."""
    today = comparison.baseline
    known = today.facts.model(role)
    return [
        run
        for run in comparison.baselines
        if (facts := run.facts.model(role_in(run, role))) and known and facts.identity == known.identity
        if _is_measured_alike(run, today, role)
    ]


def _is_measured_alike(run: Run, today: Run, role: str) -> bool:
    machines = [None if one.machine is None else _hardware(one.machine) for one in (run, today)]
    in_flight = [_usual_loads(index(one).get(role_in(one, role), {})) for one in (run, today)]
    common = in_flight[0].keys() & in_flight[1].keys()
    return machines[0] == machines[1] and all(in_flight[0][suite] == in_flight[1][suite] for suite in common)


def _usual_loads(records: Mapping[Key, Record]) -> dict[str, int | None]:
    """Give the usual concurrency of each suite."""
    by_suite: dict[str, list[Record]] = {}
    for (suite, _), record in records.items():
        by_suite.setdefault(suite, []).append(record)
    return {suite: _concurrency(own) for suite, own in by_suite.items()}


def _case_values(records: Mapping[Key, Record]) -> dict[Key, float]:
    loads = _usual_loads(records)
    found = ((key, _case_value(record, _total_s, loads[key[0]])) for key, record in records.items())
    return {key: value for key, value in found if value}


def run_noise(runs: Sequence[Run], role: str) -> RunNoise | None:
    """Measure how much whole runs of the same model differ in latency; None with under three runs that have it."""
    by_case = [_case_values(index(run).get(role_in(run, role), {})) for run in runs]
    by_case = [values for values in by_case if values]
    common = set.intersection(*map(set, by_case)) if by_case else set()
    if len(by_case) < _MIN_RUNS or not common:
        return None
    usual = {key: mean([log(values[key]) for values in by_case]) for key in common}
    factors = [median(log(values[key]) - usual[key] for key in common) for values in by_case]
    return RunNoise(log_sd=stdev(factors), runs=len(by_case))

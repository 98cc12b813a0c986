"""`llmbench agreement`: how far the graders of runs agree with people, and so how far they can be trusted.

A person's `part` is no pass, as the grader's part marks are none.  Several people on one answer are one verdict: that
of the most; where they tie there is none.  Only the random share counts (see `review.py`).

Source: Cohen's kappa (1960) with a percentile bootstrap; the corrected rate is that of Rogan and Gladen (1978).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pytest_llmbench.human_verdicts import Drawn, HumanVerdict, Said, VerdictFile, answer_key, read_verdicts
from pytest_llmbench.records import Record, Sample, read_run
from pytest_llmbench.report.terminal import clipped, visible
from pytest_llmbench.stats import mean, quantile
from pytest_llmbench.values import Outcome, Trust

ENOUGH = 60
"""Below, kappa's interval spans most of what it may be: 0.41 to 0.93 of 30 verdicts where it is 0.70."""

_RESAMPLES = 2_000
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a grader and people said of one answer."""

    record: Record
    sample: Sample
    verdict: HumanVerdict

    @property
    def people_pass(self) -> bool:
        """Whether people call the answer right."""
        return self.verdict.verdict is Said.PASS

    @property
    def grader_passes(self) -> bool:
        """Whether the grader does."""
        return self.sample.outcome is Outcome.PASSED


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderTrust:
    """How a grader fares in one suite against people.

    `tpr` is the share of the answers people pass that the grader passes, `tnr` that of those people do
    not pass that it fails; None where there are none.  `kappa` is None where people and grader together
    said one thing only.  `not_random` are verdicts left out for how they were chosen; `is_all_used` says
    that none was marked as chosen at random, and all count.
    """

    suite: str
    grader: str
    pairs: tuple[Pair, ...]
    not_random: int
    is_all_used: bool
    kappa: float | None
    kappa_interval: tuple[float, float] | None
    tpr: float | None
    tnr: float | None
    pass_rates: tuple[tuple[str, float], ...]

    @property
    def n(self) -> int:
        """The number of answers compared."""
        return len(self.pairs)

    @property
    def is_enough(self) -> bool:
        """Whether that is enough to say anything."""
        return self.n >= ENOUGH

    @property
    def rate(self) -> float:
        """The share of answers on which grader and people agree, of at least one."""
        return mean([pair.people_pass == pair.grader_passes for pair in self.pairs])

    @property
    def disagreements(self) -> tuple[Pair, ...]:
        """The answers on which they do not."""
        return tuple(pair for pair in self.pairs if pair.people_pass != pair.grader_passes)

    def corrected(self, pass_rate: float) -> float | None:
        """Give the pass rate people would have found, by the grader's errors; None if it tells nothing."""
        if self.tpr is None or self.tnr is None or self.tpr + self.tnr <= 1:
            return None
        return min(1.0, max(0.0, (pass_rate + self.tnr - 1) / (self.tpr + self.tnr - 1)))

    def meets(self, asked: Trust) -> bool:
        """Tell whether the grader may gate a suite that asks for this."""
        if not self.is_enough or self.kappa_interval is None or self.tnr is None:
            return False
        return self.kappa_interval[0] >= asked.kappa and self.tnr >= asked.tnr


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What runs and verdicts have to say together: the graders, and the verdicts that fit no answer.

    `older` are of cases that are in the runs with another answer or another form of the case, `foreign` of other
    cases, `tied` answers on which people are of two minds.
    """

    graders: tuple[GraderTrust, ...]
    older: int
    foreign: int
    tied: int


def weigh(records: Sequence[Record], verdicts: Iterable[HumanVerdict]) -> Findings:
    """Set the grades of records against the verdicts on the same answers."""
    answers: dict[str, tuple[Record, Sample]] = {}
    for record in records:
        for sample in record.answered:
            answers[answer_key(record.case_sha256, sample.answer or "")] = record, sample
    cases = {(record.suite, record.case) for record in records}
    by_key: dict[str, list[HumanVerdict]] = {}
    lost: Counter[str] = Counter()
    for verdict in verdicts:
        if verdict.key in answers:
            by_key.setdefault(verdict.key, []).append(verdict)
        else:
            lost["older" if (verdict.suite, verdict.case) in cases else "foreign"] += 1
    settled = {key: _settled(several) for key, several in by_key.items()}
    pairs = [
        Pair(record=answers[key][0], sample=answers[key][1], verdict=verdict)
        for key, verdict in settled.items()
        if verdict is not None
    ]
    groups = sorted({(pair.record.suite, pair.record.grader) for pair in pairs})
    return Findings(
        graders=tuple(_trust(group, pairs, records) for group in groups),
        older=lost["older"],
        foreign=lost["foreign"],
        tied=sum(verdict is None for verdict in settled.values()),
    )


def _settled(several: Sequence[HumanVerdict]) -> HumanVerdict | None:
    passes = [verdict for verdict in several if verdict.verdict is Said.PASS]
    others = [verdict for verdict in several if verdict.verdict is not Said.PASS]
    if len(passes) == len(others):
        return None
    return max(passes, others, key=len)[-1]


def _trust(group: tuple[str, str], pairs: Sequence[Pair], records: Sequence[Record]) -> GraderTrust:
    suite, grader = group
    own = [pair for pair in pairs if (pair.record.suite, pair.record.grader) == group]
    drawn = [pair for pair in own if pair.verdict.drawn is Drawn.RANDOM]
    used = drawn or own
    said = [(pair.people_pass, pair.grader_passes) for pair in used]
    rates: dict[str, list[bool]] = {}
    for record in records:
        if (record.suite, record.grader) == group:
            passes = (sample.outcome is Outcome.PASSED for sample in record.answered)
            rates.setdefault(record.role, []).extend(passes)
    return GraderTrust(
        suite=suite,
        grader=grader,
        pairs=tuple(used),
        not_random=len(own) - len(used),
        is_all_used=not drawn,
        kappa=kappa(said),
        kappa_interval=kappa_interval(said),
        tpr=_share([grader for people, grader in said if people]),
        tnr=_share([not grader for people, grader in said if not people]),
        pass_rates=tuple((role, mean(passed)) for role, passed in rates.items() if passed),
    )


def _share(are_right: Sequence[bool]) -> float | None:
    return mean(are_right) if are_right else None


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Give Cohen's kappa of two raters; None of no pairs, or where both say one thing only."""
    return _kappa([pairs.count(cell) for cell in _CELLS])


_CELLS = ((True, True), (True, False), (False, True), (False, False))


def _kappa(counts: Sequence[int]) -> float | None:
    both, first, second, neither = counts
    n = sum(counts)
    by_chance = (both + first) * (both + second) + (neither + first) * (neither + second)
    return None if n * n == by_chance else (n * (both + neither) - by_chance) / (n * n - by_chance)


def kappa_interval(pairs: Sequence[tuple[bool, bool]], seed: int = 0) -> tuple[float, float] | None:
    """Give the 95% percentile interval of kappa over resamples of the pairs; None where kappa is None.

    Resamples in which it is undefined are left out.
    """
    counts = [pairs.count(cell) for cell in _CELLS]
    if _kappa(counts) is None:
        return None
    random = Random(seed)  # noqa: S311 - a resample needs no secrets
    found = []
    for _ in range(_RESAMPLES):
        drawn = Counter(random.choices(range(4), counts, k=len(pairs)))
        value = _kappa([drawn[cell] for cell in range(4)])
        if value is not None:
            found.append(value)
    return quantile(found, 0.025), quantile(found, 0.975)


def trust_lines(findings: Findings, faults: Sequence[str] = ()) -> Iterator[str]:
    """Tell what was found: each grader with its disagreements, then what was left out."""
    for grader in findings.graders:
        yield from _grader_lines(grader)
    if not findings.graders:
        yield "No answer of these runs has a verdict; write some with: llmbench review RUN.json"
    if findings.older:
        yield f"{findings.older} verdicts are on another answer or an older form of a case here, and are left out."
    if findings.foreign:
        yield f"{findings.foreign} verdicts are on cases that are not in these runs."
    if findings.tied:
        yield f"{findings.tied} answers are left out: as many people pass them as do not."
    yield from map(visible, faults)


def _grader_lines(trust: GraderTrust) -> Iterator[str]:
    right = sum(pair.people_pass == pair.grader_passes for pair in trust.pairs)
    yield visible(f"{trust.suite} ({trust.grader}): {trust.n} verdicts, agreement {_percent(trust.rate)} ({right})")
    if not trust.is_enough:
        yield f"  kappa, TPR, TNR: too few to say (at least {ENOUGH})"
    else:
        low, high = trust.kappa_interval or (0.0, 0.0)
        found = "undefined, all say the same" if trust.kappa is None else f"{trust.kappa:.2f} ({low:.2f} to {high:.2f})"
        yield f"  kappa {found}, TPR {_percent(trust.tpr)}, TNR {_percent(trust.tnr)}"
        for role, rate in trust.pass_rates:
            corrected = trust.corrected(rate)
            says = "cannot be corrected" if corrected is None else f"{_percent(corrected)} corrected"
            yield visible(f"  pass rate of {role}: {_percent(rate)}, {says}")
    if trust.not_random:
        yield f"  left out: {trust.not_random} verdicts on answers that were chosen, not drawn at random"
    if trust.is_all_used:
        yield "  no answer was drawn at random, so these figures may be better or worse than the truth"
    for pair in trust.disagreements:
        yield from _disagreement(pair)


def _disagreement(pair: Pair) -> Iterator[str]:
    verdict, sample = pair.verdict, pair.sample
    note = f" ({verdict.note})" if verdict.note else ""
    yield visible(
        f"  {pair.record.suite}/{pair.record.case}: {verdict.by} says {verdict.verdict}{note}, "
        f"the grader {sample.outcome} ({sample.reason}, score {sample.score or 0:.2f})"
    )
    answer = " ".join(clipped(sample.answer or "", _SHOWN_CHARACTERS).split())
    yield visible(f"    {answer or '(empty)'}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f}%"


def agreement_of_files(run_files: Sequence[Path], verdicts: Path, say: Callable[[str], None]) -> int:
    """Say how far the graders of runs agree with the verdicts of a file; gives the exit status.

    Raises:
        RunFileFault, UsageFault: a file cannot be read.
    """
    found: VerdictFile = read_verdicts(verdicts)
    records = [record for run_file in run_files for record in read_run(run_file).records]
    for line in trust_lines(weigh(records, found.verdicts), found.faults):
        say(line)
    return 0

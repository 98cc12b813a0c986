"""How far the graders of runs agree with people, and so how far they can be trusted. Pure functions.

A person's `part` is no pass, as the grader's partial scores are none.  Several people on one answer count as one: the
majority's mark; where they tie there is none.  Only the random share counts (see `review.py`).

Source: Cohen's kappa (1960) with a percentile bootstrap; the corrected rate is that of Rogan and Gladen (1978).
"""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from pytest_llmbench.results.annotations import Annotation, Drawn, Mark, answer_key
from pytest_llmbench.results.records import Record, Sample, SuiteInfo
from pytest_llmbench.stats import mean, quantile
from pytest_llmbench.values import Outcome, Trust

ENOUGH = 60
"""Below, kappa's interval spans most of what it may be: 0.41 to 0.93 of 30 annotations where it is 0.70."""

_RESAMPLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One answer, with its grade and the annotation of people."""

    record: Record
    sample: Sample
    annotation: Annotation
    grader_passes: bool
    """Whether the grader calls the answer right, or the part of it that is annotated."""

    @property
    def people_pass(self) -> bool:
        """Whether people do."""
        return self.annotation.mark is Mark.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderAgreement:
    """The agreement of a grader with people in one suite; `grader` names the judge model too, where it has one.

    `tpr` is the share of the answers people pass that the grader passes, `tnr` that of those people do
    not pass that it fails; None where there are none.  `kappa` is None where people and grader together
    gave one mark only.  `not_random` counts annotations left out for how they were chosen; `is_all_used` is true where
    none was marked as chosen at random, and all count.
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
        """The number of annotations compared."""
        return len(self.pairs)

    @property
    def n_answers(self) -> int:
        """The number of answers compared, of which several points may be annotated."""
        return len({pair.annotation.key for pair in self.pairs})

    @property
    def is_enough(self) -> bool:
        """Whether that is enough for a statement."""
        return self.n_answers >= ENOUGH

    @property
    def rate(self) -> float:
        """The share of answers on which grader and people agree, of at least one."""
        return mean([pair.people_pass == pair.grader_passes for pair in self.pairs])

    @property
    def disagreements(self) -> tuple[Pair, ...]:
        """The answers on which they do not."""
        return tuple(pair for pair in self.pairs if pair.people_pass != pair.grader_passes)

    def corrected(self, pass_rate: float) -> float | None:
        """Give the pass rate people would have found, by the grader's errors; None if these leave it open."""
        if self.tpr is None or self.tnr is None or self.tpr + self.tnr <= 1:
            return None
        return min(1.0, max(0.0, (pass_rate + self.tnr - 1) / (self.tpr + self.tnr - 1)))

    def meets(self, required: Trust) -> bool:
        """Return whether the grader may gate a suite that requires this."""
        if not self.is_enough or self.kappa_interval is None or self.tnr is None:
            return False
        return self.kappa_interval[0] >= required.kappa and self.tnr >= required.tnr


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The result of comparing grades with annotations: the graders, and the annotations that match no answer.

    `older` are of cases that are in the runs with another answer or another form of the case, `foreign` of other
    cases, `tied` answers on which people tie, `of_checks` of one check or point and not of the whole answer,
    `ungraded` of answers here that have no grade.
    """

    graders: tuple[GraderAgreement, ...]
    older: int
    foreign: int
    tied: int
    of_checks: int = 0
    ungraded: int = 0


def measure_agreement(records: Sequence[Record], annotations: Iterable[Annotation]) -> Findings:
    """Compare the grades of records with the annotations of the same answers."""
    # one answer may have several graders, such as patterns and a judge model
    answers: dict[str, dict[str, tuple[Record, Sample]]] = {}
    for record in records:
        for sample in record.answered:
            key = answer_key(record.case_sha256, sample.answer or "")
            answers.setdefault(key, {})[grader_name(record)] = record, sample
    cases, ungraded = {(record.suite, record.case) for record in records}, ungraded_keys(records)
    by_key: dict[str, list[Annotation]] = {}
    lost: Counter[str] = Counter()
    for annotation in annotations:
        if annotation.check is not None or annotation.point is not None:
            lost["of_checks"] += 1
        elif annotation.key in answers:
            by_key.setdefault(annotation.key, []).append(annotation)
        elif annotation.key in ungraded:
            lost["ungraded"] += 1
        else:
            lost["older" if (annotation.suite, annotation.case) in cases else "foreign"] += 1
    majorities = {key: majority(several) for key, several in by_key.items()}
    pairs = [
        Pair(record=record, sample=sample, annotation=annotation, grader_passes=sample.outcome is Outcome.PASSED)
        for key, annotation in majorities.items()
        if annotation is not None
        for record, sample in answers[key].values()
    ]
    groups = sorted({_group(pair.record) for pair in pairs})
    return Findings(
        graders=tuple(_agreement_of(group, pairs, records) for group in groups),
        older=lost["older"],
        foreign=lost["foreign"],
        tied=sum(annotation is None for annotation in majorities.values()),
        of_checks=lost["of_checks"],
        ungraded=lost["ungraded"],
    )


def ungraded_keys(records: Iterable[Record]) -> set[str]:
    """Give the keys of answers that have no grade, such as those that a judge could not read."""
    return {
        answer_key(record.case_sha256, sample.answer)
        for record in records
        for sample in record.samples
        if sample.outcome is Outcome.ERROR and sample.answer is not None
    }


def grader_name(record: Record) -> str:
    """Give the name of what graded a record: its grader, and the judge model where it has one."""
    judges = (sample.parts.get("judge") for sample in record.samples)
    judge = next((judge for judge in judges if isinstance(judge, str)), None)
    return record.grader if judge is None else f"{record.grader} by {judge}"


def _group(record: Record) -> tuple[str, str]:
    return record.suite, grader_name(record)


def majority(several: Sequence[Annotation]) -> Annotation | None:
    """Give the mark of most people, the last of them; None where as many pass as not."""
    passes = [annotation for annotation in several if annotation.mark is Mark.PASS]
    others = [annotation for annotation in several if annotation.mark is not Mark.PASS]
    if len(passes) == len(others):
        return None
    return max(passes, others, key=len)[-1]


def _agreement_of(group: tuple[str, str], pairs: Sequence[Pair], records: Sequence[Record]) -> GraderAgreement:
    suite, grader = group
    passes = [
        (record.role, sample.outcome is Outcome.PASSED)
        for record in records
        if _group(record) == group
        for sample in record.answered
    ]
    return agreement_of(suite, grader, [pair for pair in pairs if _group(pair.record) == group], passes)


def agreement_of(suite: str, grader: str, pairs: Sequence[Pair], passes: Iterable[tuple[str, bool]]) -> GraderAgreement:
    """Sum up the agreement on some answers.

    Args:
        suite: their suite.
        grader: what graded them, as it is shown.
        pairs: those that people annotated, at least one; the random share counts alone if there is one.
        passes: of all answers that were graded, the role of the model and whether the grader passes it.
    """
    drawn = [pair for pair in pairs if pair.annotation.drawn is Drawn.RANDOM]
    used = drawn or pairs
    marks = [(pair.people_pass, pair.grader_passes) for pair in used]
    rates: dict[str, list[bool]] = {}
    for role, passed in passes:
        rates.setdefault(role, []).append(passed)
    return GraderAgreement(
        suite=suite,
        grader=grader,
        pairs=tuple(used),
        not_random=len(pairs) - len(used),
        is_all_used=not drawn,
        kappa=kappa(marks),
        kappa_interval=kappa_interval(marks),
        tpr=_share([grader for people, grader in marks if people]),
        tnr=_share([not grader for people, grader in marks if not people]),
        pass_rates=tuple((role, mean(passed)) for role, passed in rates.items()),
    )


def untrusted_graders(
    records: Sequence[Record], suites: Iterable[SuiteInfo], annotations: Sequence[Annotation]
) -> dict[str, str]:
    """Give the suites whose graders may not gate them, and why: those not shown to agree with people enough.

    Args:
        records: the answers to be gated by, and those compared with.
        suites: what the run knows of its suites; only those with `trust` are looked at.
        annotations: of people.
    """
    required = {suite.suite: suite.trust for suite in suites if suite.trust is not None}
    if not required:
        return {}
    found = {
        agreement.suite: agreement
        for agreement in measure_agreement(_of_last_grader(records, required), annotations).graders
    }
    reasons = ((suite, why_untrusted(found.get(suite), trust)) for suite, trust in required.items())
    return {suite: reason for suite, reason in reasons if reason is not None}


def _of_last_grader(records: Sequence[Record], suites: Container[str]) -> list[Record]:
    """Leave the records of these suites that were graded as the last of them was."""
    of_suites = [record for record in records if record.suite in suites]
    last = {record.suite: grader_name(record) for record in of_suites}
    return [record for record in of_suites if grader_name(record) == last[record.suite]]


def why_untrusted(found: GraderAgreement | None, required: Trust) -> str | None:
    """Give why a grader may not gate a suite that requires this; None if it may."""
    wanted = f"the suite requires a kappa of {required.kappa:.2f} or more and a TNR of {required.tnr:.0%}"
    if found is None:
        return f"these answers have no annotations (write some with llmbench review RUN.json), and {wanted}"
    if found.meets(required):
        return None
    if not found.is_enough:
        return f"only {found.n} of these answers have annotations ({ENOUGH} are needed), and {wanted}"
    low = "undefined" if found.kappa_interval is None else f"{found.kappa_interval[0]:.2f} at the least"
    tnr = "unknown" if found.tnr is None else f"{found.tnr:.0%}"
    return f"its grader agrees too little with people: kappa {low}, TNR {tnr}, and {wanted}"


def _share(are_right: Sequence[bool]) -> float | None:
    return mean(are_right) if are_right else None


def kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Give Cohen's kappa of two raters; None of no pairs, or where both give one mark only."""
    return _kappa([pairs.count(cell) for cell in _CELLS])


_CELLS = ((True, True), (True, False), (False, True), (False, False))


def _kappa(counts: Sequence[int]) -> float | None:
    both, first, second, neither = counts
    n = sum(counts)
    by_chance = (both + first) * (both + second) + (neither + first) * (neither + second)
    return None if n * n == by_chance else (n * (both + neither) - by_chance) / (n * n - by_chance)


def kappa_interval(pairs: Sequence[tuple[bool, bool]]) -> tuple[float, float] | None:
    """Give the 95% percentile interval of kappa over resamples of the pairs; None where kappa is None.

    Resamples in which it is undefined are left out.
    """
    counts = [pairs.count(cell) for cell in _CELLS]

    def drawn(random: Random) -> list[int]:
        found = Counter(random.choices(range(4), counts, k=len(pairs)))
        return [found[cell] for cell in range(4)]

    return None if _kappa(counts) is None else _interval(drawn)


def kappa_of_clusters(clusters: Sequence[Sequence[tuple[bool, bool]]]) -> tuple[float, float] | None:
    """Give the interval as `kappa_interval` does, drawing whole clusters of pairs: those that are not independent."""
    counts = [tuple(list(pairs).count(cell) for cell in _CELLS) for pairs in clusters]

    def drawn(random: Random) -> list[int]:
        return [sum(cells) for cells in zip(*random.choices(counts, k=len(counts)), strict=True)]

    whole = [sum(cells) for cells in zip(*counts, strict=True)]
    return None if not counts or _kappa(whole) is None else _interval(drawn)


def _interval(drawn: Callable[[Random], list[int]]) -> tuple[float, float]:
    random = Random(0)  # noqa: S311 - a resample needs no secrets
    values = (_kappa(drawn(random)) for _ in range(_RESAMPLES))
    found = [value for value in values if value is not None]
    return quantile(found, 0.025), quantile(found, 0.975)

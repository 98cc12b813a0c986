"""What a suite of labels says about a model beyond its score: confusion, baselines, probabilities.

Everything is read from the parts that the grader `yes_no` leaves in a record.  An answer that says no label
is wrong whatever was expected, and is no class of its own: nobody expects it, so it has no recall to average.

Source: unparsed as a column of the confusion matrix as in openai/evals, whose MCC then adds it to the first
label in sort order; here it stays apart.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum, sqrt
from types import MappingProxyType
from typing import Self

from pytest_llmbench.records import Record, Sample
from pytest_llmbench.stats import mean, wilson_interval
from pytest_llmbench.values import Json, Outcome, Prompt

GRADER = "yes_no"
DEFAULT_LABELS = ("yes", "no")
NO_PROMPTS: Mapping[str, Prompt] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)  # no slots: the sums are cached
class Confusion:
    """How often each label was answered where each was expected.

    Shapes: `counts` has a row a label expected, and in each a column a label answered and one more, the
    last, for answers that say no label.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, labels: Sequence[str], pairs: Iterable[tuple[str, str | None]]) -> Self:
        """Count pairs of label expected and label answered, None for an answer without one."""
        places = {label: place for place, label in enumerate(labels)}
        counts = [[0] * (len(labels) + 1) for _ in labels]
        for expected, answered in pairs:
            counts[places[expected]][-1 if answered is None else places[answered]] += 1
        return cls(labels=tuple(labels), counts=tuple(map(tuple, counts)))

    @cached_property
    def n(self) -> int:
        """The number of answers."""
        return sum(map(sum, self.counts))

    @cached_property
    def correct(self) -> int:
        """The number of right answers."""
        return sum(row[place] for place, row in enumerate(self.counts))

    @cached_property
    def answered(self) -> tuple[int, ...]:
        """How often each label was answered, and last how often none."""
        return tuple(map(sum, zip(*self.counts, strict=True)))

    @property
    def accuracy(self) -> float:
        """The share of right answers, of at least one."""
        return self.correct / self.n

    @property
    def balanced_accuracy(self) -> float:
        """The mean over the labels that were expected of the share of them found."""
        return mean([row[place] / sum(row) for place, row in enumerate(self.counts) if sum(row)])

    @property
    def is_mcc_defined(self) -> bool:
        """Whether more than one label was expected, and not all answers are the same."""
        return self._mcc_squares[0] > 0 and self._mcc_squares[1] > 0

    @property
    def mcc(self) -> float:
        """Matthews' correlation, in -1..1, of any number of labels; 0 where it is undefined.

        Source: R_K of Gorodkin (2004), with no label as an answer that nobody expects.
        """
        if not self.is_mcc_defined:
            return 0.0
        expected = [sum(row) for row in self.counts]
        by_chance = sum(a * b for a, b in zip(expected, self.answered, strict=False))
        r_k = (self.correct * self.n - by_chance) / sqrt(self._mcc_squares[0] * self._mcc_squares[1])
        return max(-1.0, min(1.0, r_k))

    @cached_property
    def _mcc_squares(self) -> tuple[int, int]:
        expected = (sum(row) for row in self.counts)
        return self.n**2 - sum(count**2 for count in expected), self.n**2 - sum(count**2 for count in self.answered)

    def f1(self, label: str) -> float | None:
        """Give the harmonic mean of precision and recall of one label; None if it was neither expected nor answered."""
        place = self.labels.index(label)
        marked = sum(self.counts[place]) + self.answered[place]
        return 2 * self.counts[place][place] / marked if marked else None

    def rate(self, label: str) -> float:
        """Give the share of all answers, also those without a label, that say this one."""
        return self.answered[self.labels.index(label)] / self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share with its 95% Wilson interval; several answers to a case narrow it no further than one."""

    share: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Probabilities:
    """How good the probabilities of the labels are.

    `auroc` is the chance that a case of the positive label gets a higher probability of it than another
    case; None if only one kind of case is there.  `brier` is half the summed squared error over the labels,
    0..1: with two labels the squared error of the positive one.  Both take the probabilities as shares of
    what falls on any label; `other` is the mean mass that falls on none.
    """

    answers: int
    auroc: float | None
    brier: float
    other: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What somebody gets who does not read the case, or reads it by one trivial rule."""

    name: str
    confusion: Confusion


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTable:
    """One suite of labels under one model.

    `strict` counts an answer that breaks the format as wrong, `lenient` reads it as a person would.
    The confusion matrix and what is computed from it are of the lenient reading.  `format_rate` is None where
    no format is asked.  `errors` are samples without an answer; they are in no rate.
    """

    suite: str
    role: str
    labels: tuple[str, ...]
    positive: str
    cases: int
    errors: int
    format_rate: float | None
    strict: Rate
    lenient: Rate
    confusion: Confusion
    baselines: tuple[Baseline, ...]
    probabilities: Probabilities | None

    @property
    def best_baseline(self) -> Baseline:
        """The baseline with the highest accuracy."""
        return max(self.baselines, key=lambda baseline: baseline.confusion.correct)

    @property
    def is_above_baselines(self) -> bool:
        """Whether strict accuracy is higher than that of every baseline, on the same answers."""
        return self.strict.share > self.best_baseline.confusion.accuracy + 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What a sample says, by its parts."""

    expected: str
    strict: str | None
    lenient: str | None
    format_ok: bool | None
    by_rule: str | None
    last_label: str | None
    p: Mapping[str, float] | None
    p_other: float


def label_tables(records: Sequence[Record], prompts: Mapping[str, Prompt] = NO_PROMPTS) -> tuple[LabelTable, ...]:
    """Sum up the records of suites of labels, a table a suite and role, in the order they first come.

    Args:
        records: of any graders; those of others are left alone.
        prompts: what was sent, by `prompt_sha256`, for the last label of the prompt.

    A suite and role without any readable answer has no table.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.grader == GRADER:
            groups.setdefault((record.suite, record.role), []).append(record)
    tables = (_table(suite, role, group, prompts) for (suite, role), group in groups.items())
    return tuple(table for table in tables if table is not None)


def _table(suite: str, role: str, records: Sequence[Record], prompts: Mapping[str, Prompt]) -> LabelTable | None:
    labels, positive = _labels(records)
    by_prompt = {digest: last_label(prompts[digest], labels) for digest in _digests(records) if digest in prompts}
    by_record = [
        [
            _read(sample, labels, by_prompt.get(record.prompt_sha256))
            for sample in record.answered
            if sample.parts.get("expected") in labels
        ]
        for record in records
    ]
    reads = [read for several in by_record for read in several]
    if not reads:
        return None
    cases = sum(map(bool, by_record))
    formats = [float(read.format_ok) for read in reads if read.format_ok is not None]
    confusion = Confusion.of(labels, ((read.expected, read.lenient) for read in reads))
    return LabelTable(
        suite=suite,
        role=role,
        labels=labels,
        positive=positive,
        cases=cases,
        errors=sum(sample.outcome is Outcome.ERROR for record in records for sample in record.samples),
        format_rate=mean(formats) if formats else None,
        strict=_rate([read.strict == read.expected for read in reads], cases),
        lenient=_rate([read.lenient == read.expected for read in reads], cases),
        confusion=confusion,
        baselines=_baselines(reads, labels),
        probabilities=_probabilities(reads, labels, positive),
    )


def _digests(records: Sequence[Record]) -> set[str]:
    return {record.prompt_sha256 for record in records}


def _labels(records: Sequence[Record]) -> tuple[tuple[str, ...], str]:
    """Give the labels of a suite and the positive one, by the parts; where these are silent, yes and no."""
    seen: dict[str, None] = {}
    for record in records:
        for sample in record.answered:
            told = sample.parts.get("labels")
            if isinstance(told, Sequence) and not isinstance(told, str):
                labels = tuple(map(str, told))
                positive = sample.parts.get("positive")
                return labels, str(positive) if positive in labels else labels[0]
            said = (sample.parts.get(name) for name in ("expected", "strict", "lenient"))
            seen.update((label, None) for label in said if isinstance(label, str))
    labels = (*DEFAULT_LABELS, *sorted(seen.keys() - set(DEFAULT_LABELS)))
    return labels, labels[0]


def _read(sample: Sample, labels: Sequence[str], last: str | None) -> _Read:
    parts = sample.parts
    p = parts.get("p")
    return _Read(
        expected=str(parts["expected"]),
        strict=_label(parts.get("strict"), labels),
        lenient=_label(parts.get("lenient"), labels),
        format_ok=sample.format_ok,
        by_rule=_label(parts.get("rule"), labels),
        last_label=last,
        p={name: _number(value) for name, value in p.items()} if isinstance(p, Mapping) else None,
        p_other=_number(parts.get("p_other")),
    )


def _label(found: Json, labels: Sequence[str]) -> str | None:
    return found if isinstance(found, str) and found in labels else None


def _number(found: Json) -> float:
    return float(found) if isinstance(found, int | float) else 0.0


def _rate(are_right: Sequence[bool], cases: int) -> Rate:
    share = mean(are_right)
    return Rate(share=share, interval=wilson_interval(share, cases))


def _baselines(reads: Sequence[_Read], labels: Sequence[str]) -> tuple[Baseline, ...]:
    """Give the baselines that answer every case."""
    expected = [read.expected for read in reads]
    answers: dict[str, list[str | None]] = {f"always {label}": [label] * len(reads) for label in labels}
    answers["last label"] = [read.last_label for read in reads]
    answers["rule"] = [read.by_rule for read in reads]
    return tuple(
        Baseline(name=name, confusion=Confusion.of(labels, zip(expected, given, strict=True)))
        for name, given in answers.items()
        if None not in given
    )


def last_label(prompt: Prompt, labels: Sequence[str]) -> str | None:
    """Find the label of the last example in a prompt; None if it shows none.

    In a chat it is the last answer given as an example.  In a text it is a label that ends a line, alone
    or behind a colon or an arrow: "tell yes or no" shows none.
    """
    by_key = {label.casefold(): label for label in labels}
    answers = [message.content.strip() for message in prompt.messages if message.role == "assistant"]
    for answer in reversed(answers):
        if (key := answer.removesuffix(".").casefold()) in by_key:
            return by_key[key]
    words = "|".join(re.escape(key) for key in sorted(by_key, key=len, reverse=True))
    line = re.compile(rf"(?im)(?:^|[:>=])[ \t]*[\"'*]*({words})[\"'*.]*[ \t]*$")
    for text in [prompt.text or "", *(message.content for message in reversed(prompt.messages))]:
        if found := line.findall(text):
            return by_key[found[-1].casefold()]
    return None


def _probabilities(reads: Sequence[_Read], labels: Sequence[str], positive: str) -> Probabilities | None:
    shares: list[tuple[_Read, dict[str, float]]] = []
    for read in reads:
        mass = fsum(read.p.get(label, 0.0) for label in labels) if read.p else 0.0
        if read.p and mass > 0:
            shares.append((read, {label: read.p.get(label, 0.0) / mass for label in labels}))
    if not shares:
        return None
    return Probabilities(
        answers=len(shares),
        auroc=auroc(
            [share[positive] for read, share in shares if read.expected == positive],
            [share[positive] for read, share in shares if read.expected != positive],
        ),
        brier=mean(
            [fsum((p - (label == read.expected)) ** 2 for label, p in share.items()) / 2 for read, share in shares]
        ),
        other=mean([read.p_other for read, _ in shares]),
    )


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """Give the chance that one of `higher` exceeds one of `lower`, a tie counting half; None if either is empty.

    Source: the area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil, 1982).
    """
    if not higher or not lower:
        return None
    ordered = sorted([(value, True) for value in higher] + [(value, False) for value in lower])
    wins, below, place = 0.0, 0, 0
    while place < len(ordered):
        tied = place
        while tied < len(ordered) and ordered[tied][0] == ordered[place][0]:
            tied += 1
        high = sum(is_higher for _, is_higher in ordered[place:tied])
        low = tied - place - high
        wins += high * (below + low / 2)
        below, place = below + low, tied
    return wins / (len(higher) * len(lower))

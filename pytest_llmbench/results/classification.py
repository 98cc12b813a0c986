"""The measures of a suite of labels beyond its score: confusion, baselines, probabilities.

Everything is read from the parts that the grader `yes_no`, or the first `label` check, leaves in a record, and from
the prompts sent.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from types import MappingProxyType

from pytest_llmbench.grading.registry import CHECKS, LABEL_GRADERS
from pytest_llmbench.results.checks import label_parts
from pytest_llmbench.results.confusion import Confusion, auroc
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.stats import mean, wilson_interval
from pytest_llmbench.values import Json, Outcome, Prompt

GRADER = "yes_no"
DEFAULT_LABELS = ("yes", "no")
NO_PROMPTS: Mapping[str, Prompt] = MappingProxyType({})


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
    """The reading of a sample, by its parts."""

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
        if record.grader in LABEL_GRADERS:
            groups.setdefault((record.shown_suite, record.role), []).append(record)
    tables = (_table(suite, role, group, prompts) for (suite, role), group in groups.items())
    return tuple(table for table in tables if table is not None)


def _table(suite: str, role: str, records: Sequence[Record], prompts: Mapping[str, Prompt]) -> LabelTable | None:
    labels, positive = _labels(records)
    kept = {record.prompt_sha256 for record in records} & prompts.keys()
    by_prompt = {digest: last_label(prompts[digest], labels) for digest in kept}
    by_record = [
        [
            _read(sample, _parts(record, sample), labels, by_prompt.get(record.prompt_sha256))
            for sample in record.answered
            if _parts(record, sample).get("expected") in labels
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


def _labels(records: Sequence[Record]) -> tuple[tuple[str, ...], str]:
    """Give the labels of a suite and the positive one, by the parts; where these are silent, yes and no."""
    seen: dict[str, None] = {}
    for record in records:
        for sample in record.answered:
            parts = _parts(record, sample)
            given = parts.get("labels")
            if isinstance(given, Sequence) and not isinstance(given, str):
                labels = tuple(map(str, given))
                positive = parts.get("positive")
                return labels, str(positive) if positive in labels else labels[0]
            read = (parts.get(name) for name in ("expected", "strict", "lenient"))
            seen.update((label, None) for label in read if isinstance(label, str))
    labels = (*DEFAULT_LABELS, *sorted(seen.keys() - set(DEFAULT_LABELS)))
    return labels, labels[0]


def _parts(record: Record, sample: Sample) -> Mapping[str, Json]:
    return label_parts(sample.parts) if record.grader == CHECKS else sample.parts


def _read(sample: Sample, parts: Mapping[str, Json], labels: Sequence[str], last: str | None) -> _Read:
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

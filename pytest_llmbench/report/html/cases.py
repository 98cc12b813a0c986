"""The cases with every answer, as data for the script, and the first of them as text for readers without it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from pytest_llmbench.gate.pairs import Pair
from pytest_llmbench.gate.rulings import Gate, SuiteRuling
from pytest_llmbench.report.html.answers import Packed, bad_format, is_slip, packed_sample
from pytest_llmbench.report.html.format import GRAVITY, came_out
from pytest_llmbench.report.html.prompts import Wording
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.safe_text import clipped
from pytest_llmbench.report.transcript import answer_text
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Outcome

_STATIC_CASES = 100
_STATIC_CHARACTERS = 1_200


def section(subject: Subject) -> Section:
    """Make the section: every case with every answer, as data for the script."""
    rows, wording = case_rows(subject), subject.wording
    return Section(
        name="cases",
        title="Cases",
        template=template("cases.html"),
        values={"static_cases": static_cases(subject, rows, wording)},
        data=packed(subject, rows, wording),
    )


class Flag(IntFlag):
    """What a case is to be found by, under one model."""

    WORSE = 1
    BETTER = 2
    FAILING = 4
    FORMAT = 8
    ERRORS = 16
    SLIP = 32


Key = tuple[str, str]
"""Suite and case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """A case under each model of the run, None where a model was not asked it; `flags` likewise."""

    suite: str
    case: str
    records: tuple[Record | None, ...]
    pairs: tuple[Pair | None, ...]
    flags: tuple[Flag, ...]

    @property
    def any_record(self) -> Record:
        """One of its records."""
        return next(record for record in self.records if record is not None)


def case_rows(subject: Subject) -> tuple[CaseRow, ...]:
    """Put the records of each case beside each other, in the order of the run."""
    by_key: dict[Key, dict[str, Record]] = {}
    for record in subject.run.records:
        by_key.setdefault((record.suite, record.case), {})[record.role] = record
    pairs, moved, roles = subject.pairs, _moved(subject.gate), subject.roles
    order = {suite: place for place, suite in enumerate(subject.suites)}
    return tuple(
        CaseRow(
            suite=suite,
            case=case,
            records=tuple(records.get(role) for role in roles),
            pairs=tuple(pairs.get((suite, role, case)) for role in roles),
            flags=tuple(_flags(records.get(role), moved.get((suite, role, case), Flag(0))) for role in roles),
        )
        for (suite, case), records in sorted(by_key.items(), key=lambda item: order[item[0][0]])
    )


def _moved(gate: Gate | None) -> Mapping[tuple[str, str, str], Flag]:
    """Give the cases that got worse and better by the gate."""
    if gate is None:
        return {}
    return {
        (ruling.pairs.suite, ruling.pairs.role, moved.case): flag
        for ruling in gate.suites
        for flag, several in ((Flag.WORSE, ruling.worse), (Flag.BETTER, ruling.better))
        for moved in several
    }


def _flags(record: Record | None, moved: Flag) -> Flag:
    if record is None:
        return Flag(0)
    found = moved
    found |= Flag.FAILING if record.outcome is Outcome.FAILED else Flag(0)
    found |= Flag.FORMAT if bad_format(record) else Flag(0)
    found |= Flag.SLIP if is_slip(record) else Flag(0)
    return found | (Flag.ERRORS if record.has_error else Flag(0))


# -- for the script


def packed(subject: Subject, rows: Sequence[CaseRow], wording: Wording) -> Packed:
    """Write all that the page's script shows."""
    frames = {key: place for place, key in enumerate(wording.frames)}
    suites = {suite: place for place, suite in enumerate(subject.suites)}
    return {
        "before": subject.before if subject.gate is not None else None,
        "now": subject.name,
        "roles": [_role(subject, role) for role in subject.roles],
        "suites": list(suites),
        "frames": [[frame.start, frame.end] for frame in wording.frames.values()],
        "cases": [_case(row, suites[row.suite], subject, wording, frames) for row in rows],
        "first": opening(subject),
    }


def _role(subject: Subject, role: str) -> list[str | None]:
    """Give a role, its model's name and, where that is another, the role it is compared with."""
    model = next(record.model for record in subject.run.records if record.role == role)
    gated = subject.gate.comparison.suites if subject.gate else ()
    before = next((suite.baseline_role for suite in gated if suite.role == role), None)
    return [role, model if model != role else None, before if before != role else None]


def _case(
    row: CaseRow, suite: int, subject: Subject, wording: Wording, frames: Mapping[tuple[str, str], int]
) -> Packed:
    digests = dict.fromkeys(record.prompt_sha256 for record in row.records if record is not None)
    known = [digest for digest in digests if digest in wording.texts]
    by_digest = {record.prompt_sha256: record for record in row.records if record is not None}
    prompts = [
        [frames[own.suite, own.prompt_style], wording.frame_of(own).middle(wording.texts[digest])]
        for digest in known
        for own in [by_digest[digest]]
    ]
    record = row.any_record
    found: Packed = {
        "s": suite,
        "c": row.case,
        "d": record.case_sha256,
        "t": wording.title(record),
        "x": subject.run.facts.expected.get(record.case_sha256),
        "p": prompts,
        "r": [_cell(*both, known) for both in zip(row.records, row.pairs, row.flags, strict=True)],
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


def _cell(record: Record | None, pair: Pair | None, flags: Flag, prompts: Sequence[str]) -> Packed | None:
    if record is None:
        return None
    found: Packed = {
        "f": int(flags),
        "o": str(record.outcome),
        "v": record.score,
        "p": prompts.index(record.prompt_sha256) if record.prompt_sha256 in prompts else None,
        "n": [packed_sample(sample) for sample in record.samples],
    }
    if pair is not None:
        old = pair.baseline
        found |= {"bo": str(old.outcome), "bv": old.score, "b": [packed_sample(s, is_old=True) for s in old.samples]}
        is_other = old.prompt_style == record.prompt_style and old.prompt_sha256 != record.prompt_sha256
        found["bp"] = 1 if is_other else None
    return {key: value for key, value in found.items() if value is not None}


def opening(subject: Subject) -> dict[str, Any]:
    """Choose what the list shows first: what got worse in the suite with the gravest verdict, else everything.

    Of two models compared where neither lost anything, that is where they disagree.
    """
    found = sorted(
        (ruling for ruling in _rulings(subject) if ruling.worse),
        key=lambda ruling: (GRAVITY.index(ruling.verdict), ruling.delta or 0.0),
    )
    if not found:
        is_apart = subject.is_between_models and any(ruling.better for ruling in _rulings(subject))
        return {"f": "disagree" if is_apart else "all"}
    return {"f": "worse", "s": found[0].pairs.suite, "m": found[0].pairs.role}


def _rulings(subject: Subject) -> tuple[SuiteRuling, ...]:
    return subject.gate.suites if subject.gate else ()


# -- without the script


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticAnswer:
    """What one model answered, clipped."""

    role: str
    place: int
    outcome: str
    was: str | None
    answer: str
    before: str | None
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticCase:
    """A case as text."""

    suite: str
    case: str
    title: str
    expected: str
    answers: tuple[StaticAnswer, ...]


def static_cases(subject: Subject, rows: Sequence[CaseRow], wording: Wording) -> tuple[StaticCase, ...]:
    """Give the first cases as text: those that got worse, then those that fail, then others."""

    def rank(row: CaseRow) -> int:
        flags = Flag(0)
        for own in row.flags:
            flags |= own
        return 0 if flags & Flag.WORSE else 1 if flags & (Flag.FAILING | Flag.ERRORS) else 2

    return tuple(
        StaticCase(
            suite=row.suite,
            case=row.case,
            title=wording.title(row.any_record),
            expected=clipped(subject.run.facts.expected.get(row.any_record.case_sha256, ""), _STATIC_CHARACTERS),
            answers=tuple(_static_answers(row)),
        )
        for row in sorted(rows, key=rank)[:_STATIC_CASES]
    )


def _static_answers(row: CaseRow) -> Iterator[StaticAnswer]:
    for place, (record, pair) in enumerate(zip(row.records, row.pairs, strict=True)):
        if record is None:
            continue
        sample = next((s for s in record.samples if s.outcome is not Outcome.PASSED), record.samples[0])
        old = pair.baseline.samples[0] if pair is not None else None
        now, before = answer_text(sample), None if old is None else answer_text(old)
        yield StaticAnswer(
            role=record.role,
            place=place,
            outcome=came_out(record),
            was=came_out(pair.baseline) if pair is not None else None,
            answer=clipped(now, _STATIC_CHARACTERS),
            before=clipped(before, _STATIC_CHARACTERS) if before is not None and before != now else None,
            explanation=clipped(sample.explanation or sample.error or "", _STATIC_CHARACTERS),
        )

"""Try the checks of a case on an answer, and make one grade of what they give.

    score = mean of the scores of the checks, by weight
    passed = every check passes, or the score is at least `pass_score`; and every `required` check passes

Every check always runs, so that two runs have the same denominator.  A check that breaks makes the sample an error, not
a wrong answer, unless one beside it in an `any` passed, or it is mere advice.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import Any

from pytest_llmbench.errors import Caught, LlmbenchError, caught
from pytest_llmbench.grading.answer_text import EMPTY, clip, is_empty, is_refusal, void_or
from pytest_llmbench.grading.checks.base import PathFields, Test
from pytest_llmbench.grading.checks.json_path import NoValue, steps, value_at
from pytest_llmbench.grading.checks.of_case import CaseChecks, Check
from pytest_llmbench.grading.json_answer import json_in, parse
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason

_UNREAD = frozenset({Reason.UNPARSED, Reason.EMPTY, Reason.REFUSAL})
"""Reasons of a test that could not read what it asks about: neither that nor its opposite is so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A check with its grade, or with the error in its place."""

    name: str
    check: Check
    grade: Grade | None
    error: str | None = None
    children: tuple["Tried", ...] = ()
    is_unread: bool = False
    """Whether it failed because it could not read what it asks about."""

    @property
    def passed(self) -> bool:
        """Whether it has a grade that passes."""
        return self.grade is not None and self.grade.passed

    @property
    def is_counted(self) -> bool:
        """Whether it is more than advice."""
        return not self.check.fields.advice

    def part(self) -> dict[str, Json]:
        """Write it for the record."""
        grade, fields = self.grade, self.check.fields
        found: dict[str, Json] = {
            "name": self.name,
            "kind": self.check.kind,
            "passed": None if grade is None or not fields.decides else grade.passed,
            "score": None if grade is None else grade.score,
            "weight": fields.weight,
            "reason": None if grade is None else str(grade.reason),
            "explanation": None if grade is None else grade.explanation,
        }
        found |= {key: True for key in ("required", "advice") if getattr(fields, key)}
        if self.error is not None:
            found["error"] = self.error
        if grade is not None and grade.parts and not self.children:
            found["parts"] = dict(grade.parts)
        if self.children and (self.check.kind != "not" or self.check.is_judged):
            found["checks"] = [child.part() for child in self.children]
        return found


@dataclass(slots=True, kw_only=True)
class _Reader:
    """One answer, its JSON read once for all checks that ask for it."""

    case: Case
    answer: Answer
    tests: Mapping[Check, Test]
    _json: dict[bool, object]

    _is_refusal: bool | None = None

    def voided(self, grade: Grade) -> Grade:
        """Give the grade of a check, or that of a refusal if it failed and the answer is one."""
        if grade.passed:
            return grade
        if self._is_refusal is None:
            self._is_refusal = is_refusal(self.answer.text)
        return void_or(grade, self.answer) if self._is_refusal else grade

    def value(self, *, fence: bool) -> Any:
        """Give the JSON of the answer; raises `ValueError` if it has none."""
        if fence not in self._json:
            try:
                self._json[fence] = (json_in if fence else _alone)(self.answer.text)
            except ValueError as fault:
                self._json[fence] = fault
        found = self._json[fence]
        if isinstance(found, ValueError):
            raise found
        return found


def _alone(text: str) -> Any:
    return parse(text.strip())


def graded(checks: CaseChecks, case: Case, answer: Answer, tests: Mapping[Check, Test]) -> Grade:
    """Grade an answer by all checks of its case.

    Raises:
        LlmbenchError: a check broke on it, and no other one stands for it.
    """
    is_void = is_empty(answer.text) and not answer.tool_calls
    reader = _Reader(case=case, answer=answer, tests={} if is_void else tests, _json={})
    tried = _all(checks.checks, checks.names, reader)
    broken = next((one for one in tried if one.is_counted and one.error is not None), None)
    if broken is not None:
        raise LlmbenchError(f'check "{broken.name}" could not be tried: {broken.error}')
    grade = _mean(tried, checks.pass_score)
    formats = [format_ok for one in tried if one.is_counted for format_ok in _formats(one)]
    parts: dict[str, Json] = {"checks": [one.part() for one in tried]}
    grade = replace(grade, format_ok=all(formats) if formats else None, parts=parts)
    return void_or(grade, answer) if is_void else grade


def _formats(tried: Tried) -> Iterator[bool]:
    if tried.grade is not None and tried.grade.format_ok is not None:
        yield tried.grade.format_ok


def _all(checks: Sequence[Check], names: Sequence[str], reader: _Reader) -> tuple[Tried, ...]:
    return tuple(_tried(check, name, reader) for check, name in zip(checks, names, strict=True))


def _tried(check: Check, name: str, reader: _Reader) -> Tried:
    if check.children:
        children = _all(check.children, check.child_names, reader)
        return _COMBINED[check.kind](check, name, children)
    found = _safely(lambda: _leaf(check, reader))
    if isinstance(found, str):
        return Tried(name=name, check=check, grade=None, error=found)
    # "Yes, sure" is not the label alone, but no other label either
    is_unread = not found.passed and (found.reason in _UNREAD or found.parts.get("lenient_correct") is True)
    # a refusal is none to a check that has read it, so this comes behind
    return Tried(name=name, check=check, grade=reader.voided(found), is_unread=is_unread)


def _safely(test: Callable[[], Grade]) -> Grade | str:
    """Give a grade, or the error in its place; a message of our own is whole without a traceback."""

    def tried() -> Grade | str:
        try:
            return test()
        except LlmbenchError as fault:
            return str(fault)

    found = caught(tried)
    return f"{found.cause}\n{found.details}" if isinstance(found, Caught) else found


def _leaf(check: Check, reader: _Reader) -> Grade:
    fields, answer, kind = check.fields, reader.answer, check.leaf_kind
    if not reader.tests:
        return EMPTY
    if isinstance(fields, PathFields) and fields.path is not None:
        try:
            value = value_at(reader.value(fence=fields.fence), steps(fields.path))
        except (ValueError, NoValue) as fault:
            what = f"{fault}" if isinstance(fault, NoValue) else f"found no JSON ({fault})"
            explanation = f'Expected a value at {fields.path}, {what}: "{clip(answer.text)}".'
            return Grade(score=0.0, passed=False, reason=Reason.UNPARSED, explanation=explanation)
        answer = replace(answer, text=_written(value, is_json=kind is not None and kind.reads_json))
        grade = reader.tests[check](reader.case, answer)
        return grade if grade.reason is not Reason.EMPTY else replace(grade, reason=Reason.DIFFERENT)
    return reader.tests[check](reader.case, answer)


def _written(value: Any, *, is_json: bool) -> str:
    return value if isinstance(value, str) and not is_json else json.dumps(value, ensure_ascii=False)


def _not(check: Check, name: str, children: tuple[Tried, ...]) -> Tried:
    (inner,) = children
    if inner.grade is None:
        return Tried(name=name, check=check, grade=None, error=inner.error, children=children)
    grade, asked = inner.grade, inner.check.expected
    if inner.is_unread and (grade.reason is Reason.EMPTY or not _asks_to_be_read(inner.check)):
        made = replace(grade, score=0.0, passed=False, parts={})
        return Tried(name=name, check=check, grade=made, children=children, is_unread=True)
    passed = not grade.passed
    what = "It is not so, as asked:" if passed else "This must not be so:"
    reason = Reason.CORRECT if passed else Reason.DIFFERENT
    made = Grade(score=float(passed), passed=passed, reason=reason, explanation=f"{what} {asked}.")
    return Tried(name=name, check=check, grade=made, children=children)


def _asks_to_be_read(check: Check) -> bool:
    """Tell whether the question is just whether the answer can be read: `json: {}`, at no path."""
    return check.kind == "json" and isinstance(check.canonical, Mapping) and not check.canonical["json"]


def _any(check: Check, name: str, children: tuple[Tried, ...]) -> Tried:
    passed = [child for child in children if child.passed]
    broken = next((child for child in children if child.error is not None), None)
    if not passed and broken is not None:
        error = f'"{broken.name}": {broken.error}'
        return Tried(name=name, check=check, grade=None, error=error, children=children)
    grades = [child.grade for child in passed or children if child.grade is not None]
    best = max(grades, key=lambda grade: grade.score)
    if not passed:
        all_of = " ".join(f"{child.name}: {child.grade.explanation}" for child in children if child.grade)
        best = replace(grades[0], score=best.score, explanation=f"None of {len(children)} passed. {all_of}")
    is_unread = not passed and any(child.is_unread for child in children)
    return Tried(name=name, check=check, grade=replace(best, parts={}), children=children, is_unread=is_unread)


def _every(check: Check, name: str, children: tuple[Tried, ...]) -> Tried:
    broken = next((child for child in children if child.error is not None), None)
    if broken is not None:
        error = f'"{broken.name}": {broken.error}'
        return Tried(name=name, check=check, grade=None, error=error, children=children)
    grade = _mean(children, check.fields.pass_score)
    is_unread = not grade.passed and any(child.is_unread for child in children)
    return Tried(name=name, check=check, grade=grade, children=children, is_unread=is_unread)


_COMBINED: Mapping[str, Callable[[Check, str, tuple[Tried, ...]], Tried]] = {"not": _not, "any": _any, "all": _every}


def _mean(tried: Sequence[Tried], pass_score: float) -> Grade:
    """Make one grade of checks that all have one."""
    counted = [(one, one.grade) for one in tried if one.is_counted and one.grade is not None]
    weights = fsum(one.check.fields.weight for one, _ in counted)
    score = min(1.0, fsum(one.check.fields.weight * grade.score for one, grade in counted) / weights)
    failed = [(one, grade) for one, grade in counted if not grade.passed]
    # a rounded mean may fall short of what it is
    reaches = not failed or score >= pass_score - 1e-9
    passed = reaches and not any(one.check.fields.required for one, _ in failed)
    if passed:
        explanation = _passed_text(counted, failed)
        return Grade(score=score, passed=True, reason=Reason.CORRECT, explanation=explanation)
    first, grade = failed[0]
    named = grade.explanation if len(tried) == 1 else f"{first.name}: {grade.explanation}"
    others = [one.name for one, _ in failed[1:]]
    also = f" Also failed: {', '.join(others)}." if others else ""
    return Grade(score=score, passed=False, reason=grade.reason, explanation=f"{named}{also}")


def _passed_text(counted: Sequence[tuple[Tried, Grade]], failed: Sequence[tuple[Tried, Grade]]) -> str:
    if len(counted) == 1 and not failed:
        return counted[0][1].explanation
    if not failed:
        return f"All {len(counted)} checks passed."
    names = ", ".join(one.name for one, _ in failed)
    return f"{len(counted) - len(failed)} of {len(counted)} checks passed, enough for this case; failed: {names}."

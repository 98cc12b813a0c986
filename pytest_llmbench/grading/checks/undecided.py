"""Find checks that decide nothing: those that each answer passes or none, alone or beside the others of their case."""

from collections.abc import Iterator
from pathlib import Path

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.grading.checks.base import Placed, Test
from pytest_llmbench.grading.checks.of_case import CaseChecks, Check, ConversationChecks
from pytest_llmbench.grading.checks.opposites import are_opposed
from pytest_llmbench.grading.checks.outcome import graded
from pytest_llmbench.grading.checks.registry import KINDS
from pytest_llmbench.grading.checks.tree import case_checks
from pytest_llmbench.values import Answer, Case, Suite

_WHOLE = frozenset({"equals", "one_of"})
"""Kinds that name every answer they accept."""

_WITHIN = frozenset({"equals", "contains", "starts_with", "ends_with"})
"""Kinds that name a text which each answer they accept holds, where they name one only."""


def undecided(suite: Suite, root: Path) -> Iterator[Finding]:
    """Give the checks of a suite that decide nothing."""
    tests = _Tests(suite, root)
    for case, checks, where in _all_checks(suite):
        for check, name in zip(checks.checks, checks.names, strict=True):
            always = outcome_of(check)
            if always is not None:
                can = "never fail" if always else "never pass"
                message = f'{where}the check "{name}" can {can} ({check.expected}); change it, or take it out.'
                yield Finding(severity=Severity.ERROR, message=message, case=case.id)
        pair = _contradiction(case, checks, tests)
        if pair is not None:
            message = f'{where}the checks "{pair[0]}" and "{pair[1]}" can never pass together; change one of them.'
            yield Finding(severity=Severity.ERROR, message=message, case=case.id)


def _all_checks(suite: Suite) -> Iterator[tuple[Case, CaseChecks, str]]:
    """Give the checks of each case, of conversations those of each turn with its number."""
    for case in suite.cases:
        if isinstance(case.rules, CaseChecks):
            yield case, case.rules, ""
        elif isinstance(case.rules, ConversationChecks):
            for number, turn in enumerate(case.rules.turns, start=1):
                if turn.checks is not None:
                    yield case, turn.checks, f"turn {number}: "


def outcome_of(check: Check) -> bool | None:
    """Give what a check comes to on every answer that is not empty; None where that depends on the answer."""
    if not check.children:
        return KINDS[check.kind].always(check.fields)
    inner = [outcome_of(child) for child in check.children]
    if check.kind == "not":
        return None if inner[0] is None else not inner[0]
    forms = [child.canonical for child in check.children]
    is_opposed = any({"not": [form]} in forms for form in forms)
    if check.kind == "any":
        if True in inner or is_opposed:
            return True
        return False if all(one is False for one in inner) else None
    if check.fields.pass_score < 1:
        return None
    if False in inner or is_opposed:
        return False
    return True if all(inner) else None


class _Tests:
    """Tries checks on answers made up; only those that read nothing but the text."""

    def __init__(self, suite: Suite, root: Path):
        self._suite = suite
        self._root = root
        self._built: dict[Check, Test] = {}

    def passes(self, check: Check, case: Case, text: str) -> bool | None:
        """Tell whether a text passes a check; None where it cannot be tried."""
        leaves = list(check.leaves)
        if not all(KINDS[leaf.kind].is_local for leaf in leaves):
            return None
        for leaf in leaves:
            if leaf not in self._built:
                placed = [Placed(case=case, fields=leaf.fields)]
                (self._built[leaf],) = KINDS[leaf.kind].build(placed, self._suite, self._root)
        try:
            return graded(case_checks([check], 1), case, Answer(text=text), self._built).passed
        except LlmbenchError:
            return None


def _contradiction(case: Case, checks: CaseChecks, tests: _Tests) -> tuple[str, str] | None:
    """Give the names of two checks that must both pass and cannot; None if no such pair is found.

    A check that names its answers is tried against the others; one that names a text within them, against what must
    not occur.
    """
    needed = [
        (check, name)
        for check, name in zip(checks.checks, checks.names, strict=True)
        if not check.fields.advice and (checks.pass_score == 1 or check.fields.required)
    ]
    for check, name in needed:
        for other, other_name in needed:
            if other is not check and _exclude(check, other, case, tests):
                return name, other_name
    return None


def _exclude(check: Check, other: Check, case: Case, tests: _Tests) -> bool:
    if other.kind == "not" and other.children[0].canonical == check.canonical:
        return True
    if are_opposed(check, other):
        return True
    if check.children or check.kind not in _WHOLE | _WITHIN:
        return False
    if check.fields.path is not None or check.fields.ignore_case:
        return False
    texts = getattr(check.fields, check.kind)
    texts = (texts,) if isinstance(texts, str) else texts
    is_whole = check.kind in _WHOLE
    is_forbidden = other.kind == "not" and other.children[0].kind in ("contains", "contains_any")
    if not is_whole and not (is_forbidden and len(texts) == 1):
        return False
    return all(tests.passes(other, case, text) is False for text in texts)

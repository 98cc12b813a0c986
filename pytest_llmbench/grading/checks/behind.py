"""Have a grader test the checks that are the same as its cases: one synthetic suite for those of the same options."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding, Grader, GraderKind
from pytest_llmbench.grading.checks.base import Placed, Test
from pytest_llmbench.values import Answer, Case, Grade, Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The grader behind a check, and what a case and a suite would hold for it."""

    grader: GraderKind
    case_rules: BaseModel
    suite_rules: BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Checks for one suite of a grader, each with the case that stands for it."""

    grader: GraderKind
    suite: Suite


def tests_behind(
    placed: Sequence[Placed], suite: Suite, root: Path, behind: Callable[[Placed], Behind]
) -> Sequence[Test]:
    """Build the tests of checks that a grader grades."""
    groups, place_of = _groups(placed, suite, behind)
    graders = [built(group.grader.build, group.suite, root, group.suite.cases[0]) for group in groups]
    return [_test(graders[group], case) for group, case in place_of]


def built(build: Callable[[Suite, Path], Grader], suite: Suite, root: Path, first: Case) -> Grader:
    """Build a grader; a fault of the suite without a line gets that of the first case that has the check.

    Raises:
        SuiteFault: a check cannot work.
    """
    try:
        return build(suite, root)
    except SuiteFault as fault:
        if fault.line is not None or fault.row is not None or fault.path != suite.path:
            raise
        raise SuiteFault(f'case "{first.id}": {fault.message}', path=first.path, line=first.line) from fault


def findings_behind(
    placed: Sequence[Placed], suite: Suite, root: Path, behind: Callable[[Placed], Behind], *, is_thorough: bool
) -> tuple[Finding, ...]:
    """Give what the grader finds in checks that it grades."""
    groups, _ = _groups(placed, suite, behind)
    found = (group.grader.check(group.suite, root, is_thorough=is_thorough) for group in groups)
    return tuple(finding for findings in found for finding in findings)


def _test(grader: Grader, stand_in: Case) -> Test:
    def test(case: Case, answer: Answer) -> Grade:
        del case
        return grader(stand_in, answer)

    return test


def _groups(
    placed: Sequence[Placed], suite: Suite, behind: Callable[[Placed], Behind]
) -> tuple[list[_Group], list[tuple[int, Case]]]:
    """Divide checks into suites of the same options, in which each case occurs once; give their place in them too."""
    rules: list[tuple[GraderKind, BaseModel]] = []
    cases: list[list[Case]] = []
    number: dict[tuple[str, str, int], int] = {}
    count: dict[tuple[str, str, str], int] = {}
    place_of: list[tuple[int, Case]] = []
    for one in placed:
        found = behind(one)
        options = found.suite_rules.model_dump_json()
        key = (found.grader.name, options, one.case.id)
        nth = count[key] = count.get(key, 0) + 1
        group = number.setdefault((found.grader.name, options, nth), len(rules))
        if group == len(rules):
            rules.append((found.grader, found.suite_rules))
            cases.append([])
        case = replace(one.case, rules=found.case_rules)
        cases[group].append(case)
        place_of.append((group, case))
    groups = [
        _Group(grader=grader, suite=replace(suite, grader=grader.name, rules=own, cases=tuple(members)))
        for (grader, own), members in zip(rules, cases, strict=True)
    ]
    return groups, place_of

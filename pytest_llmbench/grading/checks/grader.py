"""The grader of suites with `checks`: several requirements a case, each of a kind of its own."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmbench.grading.base import Finding, Grader, GraderKind, JudgeGrader, Severity, rules_of
from pytest_llmbench.grading.checks import judged
from pytest_llmbench.grading.checks.base import Placed, Test
from pytest_llmbench.grading.checks.of_case import CaseChecks, Check, ConversationChecks, case_leaves, checks_of
from pytest_llmbench.grading.checks.outcome import graded
from pytest_llmbench.grading.checks.registry import KINDS
from pytest_llmbench.grading.checks.tree import short_form
from pytest_llmbench.grading.judge.fields import JudgeChoice, JudgeFields
from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.grading.yes_no import other_labels
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import PositiveShare, Switch
from pytest_llmbench.values import Answer, Case, Grade, Suite


class ChecksCase(Strict):
    """What a case may hold: checks of its own, the score from which it passes, and a text for the templates in them.

    `turns` are those of a conversation; with `stop_on_fail`, none behind one that failed counts as passed.
    """

    checks: Any = None
    turns: Any = None
    stop_on_fail: Switch | None = None
    pass_score: PositiveShare | None = None
    expected: Any = None


class ChecksSuite(Strict):
    """What a suite may hold: checks for every case, the score from which one passes, and how a judge is asked."""

    checks: Any = None
    stop_on_fail: Switch = False
    pass_score: PositiveShare = 1
    judge: JudgeChoice = JudgeFields()


def placed_checks(suite: Suite) -> dict[str, list[tuple[Check, Placed]]]:
    """Give the checks of a suite by kind, each once with the first case that has it."""
    found: dict[str, dict[Check, Placed]] = {}
    for case in suite.cases:
        for leaf in case_leaves(case):
            of_kind = found.setdefault(leaf.kind, {})
            if leaf not in of_kind:
                of_kind[leaf] = Placed(case=case, fields=leaf.fields)
    return {kind: list(placed.items()) for kind, placed in found.items()}


def build(suite: Suite, root: Path) -> Grader:
    """Make the grader; every check is built here.

    Raises:
        SuiteFault: a check cannot work.
    """
    tests = _tests(suite, root)

    def grade(case: Case, answer: Answer) -> Grade:
        return graded(checks_of(case), case, answer, tests)

    return grade


def _tests(suite: Suite, root: Path) -> dict[Check, Test]:
    tests: dict[Check, Test] = {}
    for name, found in placed_checks(suite).items():
        built = KINDS[name].build([placed for _, placed in found], suite, root)
        tests |= zip((check for check, _ in found), built, strict=True)
    return tests


def judge_grader(suite: Suite, root: Path) -> JudgeGrader | None:
    """Give how a judge is asked about the answers of a suite; None where no check needs one."""
    fields = rules_of(suite, ChecksSuite).judge
    is_asked = fields is not None and _first_judged(suite) is not None
    return judged.judge_grader(suite, fields, _tests(suite, root)) if fields is not None and is_asked else None


def needs_judge(suite: Suite) -> Finding | None:
    """Explain that a suite with a check that is judged needs a judge."""
    case = _first_judged(suite)
    if case is None:
        return None
    message = "a judge model decides its check rubric, and none is named; add --llm-judge NAME, see docs/graders.md."
    return Finding(severity=Severity.ERROR, message=message, case=case.id)


def _first_judged(suite: Suite) -> Case | None:
    return next((case for case in suite.cases if any(leaf.is_judged for leaf in case_leaves(case))), None)


def check(suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Let the graders behind the checks look at them; if thorough, find checks that decide nothing too."""
    from pytest_llmbench.grading.checks.undecided import undecided

    found: list[Finding] = []
    for name, of_kind in placed_checks(suite).items():
        placed = [one for _, one in of_kind]
        found.extend(KINDS[name].findings(placed, suite, root, is_thorough=is_thorough))
    found.extend(_of_judge(suite))
    if is_thorough:
        found.extend(undecided(suite, root))
    return tuple(found)


def _of_judge(suite: Suite) -> Iterator[Finding]:
    rules, case = rules_of(suite, ChecksSuite), _first_judged(suite)
    if case is not None and rules.judge is None:
        message = "a judge model decides its check rubric, and the suite has `judge: false`; take one of them out."
        yield Finding(severity=Severity.ERROR, message=message, case=case.id)
    if case is None and "judge" in rules.model_fields_set and rules.judge is not None:
        message = "the suite has `judge`, and no check that a judge decides; write a rubric, or take `judge` out."
        yield Finding(severity=Severity.WARNING, message=message)


def expected_text(case: Case) -> str:
    """Describe a right answer: what each check asks."""
    if not isinstance(case.rules, ConversationChecks):
        return "\n".join(_lines(checks_of(case)))
    return "\n".join(
        f"turn {number}: {line}"
        for number, turn in enumerate(case.rules.turns, start=1)
        for line in ([] if turn.checks is None else _lines(turn.checks))
    )


def _lines(checks: CaseChecks) -> Iterator[str]:
    kinds = [check.kind for check in checks.checks]
    for check, name in zip(checks.checks, checks.names, strict=True):
        marks = [word for word in ("required", "advice") if getattr(check.fields, word)]
        if check.fields.weight != 1:
            marks.append(f"weight {check.fields.weight:g}")
        shown = f" ({', '.join(marks)})" if marks else ""
        # reports and people name a check by its name, and "contains 2" would tell nobody which one it is
        prefix = f"{name}: " if check.fields.name is not None or kinds.count(check.kind) > 1 else ""
        yield f"{prefix}{check.expected}{shown}"
    if checks.pass_score < 1:
        yield f"passes from a score of {checks.pass_score:g} on"


_REFERENCE_FIELDS = {"exact": "expected", "yes_no": "expected", "sql": "reference"}
"""The field that holds the right answer, by the grader that a check is the same as."""


def references(case: Case) -> tuple[str, ...]:
    """Give the right answers where the only check that counts is an expected text, a label or a query."""
    short = short_form(checks_of(case))
    if short is None or short[0] not in _REFERENCE_FIELDS:
        return ()
    found = short[1].get(_REFERENCE_FIELDS[short[0]])
    return (found,) if isinstance(found, str) else tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def wrong_answers(suite: Suite, case: Case) -> tuple[str, ...]:
    """Give the other labels where the only check that counts asks for one."""
    del suite
    counted = [check for check in checks_of(case).checks if not check.fields.advice]
    if len(counted) != 1 or counted[0].kind != "label":
        return ()
    return other_labels(counted[0].fields.labels, counted[0].fields.label)


def data_digests(suite: Suite, root: Path) -> Mapping[str, str]:
    """Give the digests of the databases that the checks of a suite name."""
    names = {leaf.fields.sql.database for case in suite.cases for leaf in case_leaves(case) if leaf.kind == "sql"}
    if not names:
        return {}
    from pytest_llmbench.sql.database.files import contents_sha256, find_database

    return {name: contents_sha256(find_database(name, suite_path=suite.path, root=root)) for name in sorted(names)}


def checks_kind(kinds: Iterable[str], *, is_expected_text: bool) -> GraderKind:
    """Describe the grader of a suite whose checks are of these kinds.

    Its version is that of no check: a case's digest holds those of its checks.  Several answers may be graded at once
    where that saves time, as a `sql` check has processes of its own; a user's function was never promised threads.
    """
    used = frozenset(kinds)
    return GraderKind(
        name=CHECKS,
        case_fields=ChecksCase,
        suite_fields=ChecksSuite,
        build=build,
        check=check,
        is_expected_text=is_expected_text,
        reads_inputs="function" in used,
        is_parallel="sql" in used and "function" not in used,
        expected_text=expected_text,
        judge_grader=judge_grader,
        needs_judge=needs_judge,
        references=references,
        wrong_answers=wrong_answers,
        data_digests=data_digests,
        uncounted=frozenset(ChecksSuite.model_fields),  # the digest of a case has its checks, but for names and advice
    )

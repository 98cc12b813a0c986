"""Suite files as test files, cases as test functions."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.runner.runner import Item, Result, Runner
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.values import Case, Grade

ITEM = pytest.StashKey[Item]()
"""Where a test function keeps the item it is."""

NOT_ASKED = pytest.StashKey[bool]()
"""Set where a test function is not run, because its suite was decided without it."""

RESULT = pytest.StashKey[Result]()
"""Where a test function keeps its result, between its arrival and the end of the test."""


class SuiteWarning(pytest.PytestWarning):
    """Something about a suite that deserves a look before its scores are trusted."""


class WrongAnswer(AssertionError):
    """A case's answer was graded as failed."""

    def __init__(self, grade: Grade):
        super().__init__(str(grade))
        self.grade = grade


class NoAnswer(Exception):
    """No sample of a case has a graded answer: an error of the harness or the backend, not a wrong answer."""


class SuiteFile(pytest.File):
    """A suite file: one test function for each case and model."""

    runner: Runner
    shown_paths: dict[Path, str]
    """The paths of cases, in the file or its data, as reports show them."""

    def collect(self) -> Iterator[pytest.Function]:
        """Load the suite and give its test functions; faults are collection errors without traceback."""
        loaded = load_for(self, self.runner, self.path)
        if loaded is None:
            return
        fixtureinfo = None
        for case in self.runner.settings.cases(loaded):
            for spec in self.runner.specs:
                item = self._function(loaded, case, spec, fixtureinfo)
                fixtureinfo = item._fixtureinfo
                yield item

    def _function(self, loaded: LoadedSuite, case: Case, spec: ModelSpec, fixtureinfo: Any) -> "CaseFunction":
        item: CaseFunction = CaseFunction.from_parent(self, name=f"{case.id}[{spec.role}]", fixtureinfo=fixtureinfo)
        if hasattr(item, "_id"):
            # pytest 9.2 compares structured ids in --lf and --sw, and takes ours for a name without parameters
            item._id = type(item.id).parse(item.nodeid)
        item.stash[ITEM] = Item(key=item.nodeid, loaded=loaded, case=case, spec=spec)
        mark(item, loaded, case)
        return item


class CaseFunction(pytest.Function):
    """One case put to one model.

    It uses no fixture: to set one up for each of many cases would take as long as a test in ten.
    """

    parent: SuiteFile

    @property  # type: ignore[misc]  # pytest's can be set too, which nothing does here
    def obj(self) -> Callable[[], None]:
        """The function that is the test."""
        return self.check_answer

    def setup(self) -> None:
        """Set up the fixtures that every test uses (`autouse`), and raise where there is no answer to check."""
        super().setup()
        if not self.config.getoption("setupplan", False):  # which shows setups, and runs no test
            check_has_answer(self.stash[RESULT])

    def check_answer(self) -> None:
        """Fail where the answer was graded as failed, as `assert llm_grade.passed, llm_grade` in a Python test."""
        _, grade = self.stash[RESULT].shown_pair
        if not grade.passed:
            raise WrongAnswer(grade)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Point to the line of the case."""
        return location(self.stash[ITEM])

    @property
    def location(self) -> tuple[str, int, str]:
        """The place as reports show it; a file's path is shortened once for all of its cases."""
        path, line, heading = self.reportinfo()
        shown = self.parent.shown_paths.get(path)
        if shown is None:
            shown, *_ = super().location
            self.parent.shown_paths[path] = shown
        return shown, line, heading


def check_has_answer(result: Result) -> None:
    """Raise where a case has no graded answer.

    Raises:
        NoAnswer: why.
    """
    if result.shown is None:
        first = result.record.samples[0].error or "no answer"
        raise NoAnswer(first.splitlines()[0])


def location(item: Item) -> tuple[Path, int, str]:
    """Give the place of an item as pytest's reports do: the line counts from 0."""
    # a third value equal to the name would print the dots of an id as "::"
    heading = f"{item.loaded.suite.name} {item.case.id} ({item.spec.role})"
    return item.case.path, max(item.case.line - 1, 0), heading


def load_for(node: pytest.Collector | pytest.Item, runner: Runner, path: Path) -> LoadedSuite | None:
    """Load a suite for a collector: faults are its errors, findings its warnings.

    Raises:
        pytest.Collector.CollectError: the suite is wrong.
    """
    try:
        loaded = runner.suites.load(path)
        findings = () if loaded is None else runner.suites.check(loaded)
    except SuiteFault as fault:
        raise pytest.Collector.CollectError(visible(str(fault))) from None
    if loaded is not None:
        for tag in (loaded.suite.name, *sorted({tag for case in loaded.suite.cases for tag in case.tags})):
            node.config.addinivalue_line("markers", f"{tag}: cases tagged so, or the suite of that name.")
        for finding in findings:
            try:
                node.warn(SuiteWarning(visible(_finding_text(finding, loaded))))
            except SuiteWarning as warning:  # warnings are errors
                raise pytest.Collector.CollectError(str(warning)) from None
    return loaded


def _finding_text(finding: Finding, loaded: LoadedSuite) -> str:
    case = next((case for case in loaded.suite.cases if case.id == finding.case), None)
    if case is None:
        return f"{loaded.suite.path}: {finding.message}"
    return f'{case.path}:{case.line}: case "{case.id}": {finding.message}'


def mark(item: pytest.Item, loaded: LoadedSuite, case: Case) -> None:
    """Give a test function the marks of its suite and case."""
    for tag in (loaded.suite.name, *case.tags):
        item.add_marker(tag)
    if case.xfail is not None:
        item.add_marker(pytest.mark.xfail(reason=case.xfail))

"""The hooks of a test's end: its outcome, and the story shown in place of a traceback."""

import json
from collections.abc import Generator
from typing import Any

import pytest

from pytest_llmbench.plugin.internals.last_failed import remember_as_failed
from pytest_llmbench.plugin.internals.reports import make_safe, story_repr
from pytest_llmbench.plugin.internals.skipping import is_expected_to_fail
from pytest_llmbench.plugin.internals.xdist import is_worker
from pytest_llmbench.plugin.nodes import ITEM, NOT_ASKED, RESULT, CaseFunction, NoAnswer, WrongAnswer
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.junit import case_properties, not_asked_properties
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.failure import error_story, failure_story
from pytest_llmbench.results.records import Record
from pytest_llmbench.results.run_json import record_to_json
from pytest_llmbench.runner.runner import Result
from pytest_llmbench.values import Outcome

WRONG = pytest.StashKey[bool]()
"""Set where a test was about to fail for a wrong answer, and the run does not fail for those."""


_SKIPS = (pytest.skip.Exception, pytest.xfail.Exception)


class Outcomes:
    """Turns graded answers into reports, each with its record on it."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Let a wrong answer pass where the run does not fail for it."""
        try:
            return (yield)
        except AssertionError:
            result = pyfuncitem.stash.get(RESULT, None)
            if result is None or not self._session.is_lenient or result.record.outcome is not Outcome.FAILED:
                raise
            if is_expected_to_fail(pyfuncitem):
                raise
            pyfuncitem.stash[WRONG] = True
            return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Carry the record on the report, with the case's story in place of a traceback."""
        result = item.stash.get(RESULT, None)
        if call.when == "setup" and item.stash.get(NOT_ASKED, False):
            item.user_properties.extend(not_asked_properties(item.stash[ITEM].spec.name))
        # what a fixture skips has no result; an error that was expected (`xfail`) has
        has_record = call.when == "setup" and not (call.excinfo is not None and call.excinfo.errisinstance(_SKIPS))
        if result is not None and has_record:
            item.user_properties.extend(case_properties(result.record))
        if call.excinfo is not None and call.excinfo.errisinstance((NoAnswer, WrongAnswer)):
            # a story stands in its place, and formatting the 14 to 26 frames, most of pytest, takes 0.1 s a case
            call.excinfo.traceback = call.excinfo.traceback[-1:]
        report = yield
        if ITEM in item.stash:
            make_safe(report)
        if result is None:
            return report
        if has_record:
            self.carry(report, result.record)
        if item.stash.get(WRONG, False) and call.when == "call":
            report.llm_wrong = True  # type: ignore[attr-defined]
        if report.failed and call.excinfo is not None:
            self._explain(report, item, result, call.excinfo)
        return report

    def carry(self, report: pytest.TestReport, record: Record) -> None:
        """Put a record on the report of its test."""
        carried: Any = record
        if is_worker(self._session.config):
            # in ASCII: xdist sends no text with half a character in it
            carried = json.dumps(record_to_json(record))
        report.llmbench = carried  # type: ignore[attr-defined]

    def _explain(
        self, report: pytest.TestReport, function: pytest.Item, result: Result, raised: pytest.ExceptionInfo[Any]
    ) -> None:
        item = function.stash[ITEM]
        if raised.errisinstance(NoAnswer):
            report.longrepr = story_repr(self._session.config, error_story(item, result))
            if result.is_fatal and not any(spec.role != item.spec.role for spec in self._session.runner.specs):
                function.session.shouldfail = visible(str(raised.value))
        elif isinstance(function, CaseFunction) and report.when == "call":
            report.longrepr = story_repr(self._session.config, failure_story(item, result))
        elif report.when == "call" and raised.errisinstance(AssertionError):
            report.sections.append(("case", str(failure_story(item, result))))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Have `--lf` take a wrong answer that failed no test: pytest has just noted its test as passed."""
        if report.when == "call" and getattr(report, "llm_wrong", False):
            remember_as_failed(self._session.config, report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Show a wrong answer that fails nothing as `w`."""
        if report.when == "call" and getattr(report, "llm_wrong", False):
            return "wrong", "w", ("WRONG", {"yellow": True})
        return None

"""The hooks that write the HTML report when the run ends, whatever became of it; under xdist in the controller."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_llmbench._xdist import is_worker
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grader_trust import weigh
from pytest_llmbench.plugin import settings
from pytest_llmbench.plugin.faults import usage_error
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.records import Run
from pytest_llmbench.report.text import visible
from pytest_llmbench.targets import check_target, write_target

NAME = "llmbench-html-report"


def register_html_report(session: LlmSession) -> None:
    """Register the writing of the report where one is asked for.

    Raises:
        pytest.UsageError: it cannot be written there.
    """
    target = settings.path_of(session.config, "llm_report")
    if target is None or is_worker(session.config):
        return
    try:
        check_target(target, "--llm-report")
    except UsageFault as fault:
        raise usage_error(fault) from None
    session.config.pluginmanager.register(HtmlReport(session, target), NAME)


class HtmlReport:
    """Writes the report.

    Args:
        session: whose run it shows.
        target: where it is written.
    """

    def __init__(self, session: LlmSession, target: Path):
        self._session = session
        self._target = target
        self._remark = ""
        self._is_written = False

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write it, once all records are there and the gate has spoken."""
        if not self._session.records:
            return
        try:
            write_target(self._target, self._page(self._session.stopped(session, exitstatus)))
        except UsageFault as fault:
            self._remark = f"no report: {fault}"
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
        else:
            self._is_written = True

    def _page(self, stopped: str | None) -> str:
        from pytest_llmbench.report.html.page import html_report
        from pytest_llmbench.report.html.subject import Subject

        ruling, trust = self._session.ruling, None
        if ruling is not None and ruling.asked.settings.people:
            trust = weigh(self._session.run.records, ruling.asked.settings.people)
        before = ruling.asked.baselines[0].path.stem if ruling and ruling.gate else None
        return html_report(
            Subject(name="this run", run=self._run(), before=before, ruling=ruling, trust=trust, stopped=stopped)
        )

    def _run(self) -> Run:
        """Give the run with what else its benchmark JSON would say of it."""
        benchmarks = self._session.benchmarks
        return replace(
            self._session.run,
            datetime=datetime.now(UTC).isoformat(),
            commit=benchmarks.commit,
            machine=benchmarks.machine,
        )

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where it is, or why it is nowhere."""
        if self._remark:
            terminalreporter.write_line(visible(f"llmbench: {self._remark}"), red=True)
        elif self._is_written and self._session.config.get_verbosity() >= 0:
            terminalreporter.write_line(visible(f"llmbench report: {self._target}"))

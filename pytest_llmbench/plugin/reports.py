"""The hooks that write pages of a run when it ends: the summary in Markdown.

They write in the process that has all records, under xdist the controller, and whatever became of the run.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.registry import LABEL_GRADERS
from pytest_llmbench.plugin import options
from pytest_llmbench.plugin.internals.reports import MARKUP
from pytest_llmbench.plugin.internals.xdist import is_worker
from pytest_llmbench.plugin.options import usage_error
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.budget import budget_lines
from pytest_llmbench.report.embedding import embedding_lines
from pytest_llmbench.report.files import check_page, check_target, write_target
from pytest_llmbench.report.judge_check import judge_check_lines
from pytest_llmbench.report.line_order import in_order
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.checks import broken_advice_lines, check_rate_lines
from pytest_llmbench.report.terminal.failure import wrong_line
from pytest_llmbench.report.terminal.layout import Styled, folded
from pytest_llmbench.report.terminal.scoreboard import (
    cut_off_lines,
    left_out_lines,
    reason_lines,
    reused_line,
    scoreboard,
    scoreboard_table,
    times_left_out,
)
from pytest_llmbench.results.records import Run

SUMMARY_NAME = "llmbench-outputs"
REPORT_NAME = "llmbench-html-report"

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub names the file of a step's summary, to which each command of the step appends."""

_MAX_STEP_BYTES = 1024 * 1024 - 1  # over it GitHub takes nothing of a step's summary
_USEFUL_BYTES = 2000  # a page with less is of no use


def register_outputs(session: LlmSession) -> None:
    """Register the writing of the summary where one is wanted.

    Raises:
        pytest.UsageError: it cannot be written there.
    """
    config = session.config
    if is_worker(config):
        return
    try:
        path, is_asked = _target(config)
    except UsageFault as fault:
        raise usage_error(fault) from None
    if path is not None:
        config.pluginmanager.register(SummaryFile(session, path, is_asked=is_asked), SUMMARY_NAME)


def _target(config: pytest.Config) -> tuple[Path | None, bool]:
    """Give the file of the summary, and whether it was asked for; without a word, the one that GitHub names.

    Raises:
        UsageFault: it cannot be written there.
    """
    step = os.environ.get(STEP_SUMMARY)
    if (config.getoption("llm_summary") or config.getini("llm_summary")) == "off":
        return None, False
    asked = options.path_of(config, "llm_summary")
    if asked is None:
        return (Path(step) if step else None), False
    if not asked.parent.is_dir():
        raise UsageFault(f"--llm-summary={asked}: there is no folder {asked.parent}; create it first.")
    if asked.is_dir():
        raise UsageFault(f"--llm-summary={asked} is a folder; name a file in it.")
    check_page(asked, "--llm-summary")
    return asked, True


class SummaryFile:
    """Writes the summary: a named file anew, GitHub's at its end.

    Args:
        session: of the run.
        path: of the file.
        is_asked: the user named it, so that it is written even if no case was run.
    """

    def __init__(self, session: LlmSession, path: Path, *, is_asked: bool):
        self._session = session
        self._path = path
        self._is_asked = is_asked
        step = os.environ.get(STEP_SUMMARY)
        self._is_appended = bool(step) and path.absolute() == Path(step or "").absolute()
        self._remark = ""
        self._is_written = False

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the summary, the gate's verdict in it."""
        option = session.config.option
        has_run = not (option.collectonly or getattr(option, "setupplan", False))
        if not has_run or exitstatus == pytest.ExitCode.USAGE_ERROR:
            return
        if self._session.records or self._is_asked:
            try:
                self._write(self._session.stopped(session, exitstatus))
            except OSError as fault:
                self._remark = f"the summary could not be written to {self._path}: {fault.strerror}."
            if self._remark and self._is_asked and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def _write(self, stopped: str | None) -> None:
        from pytest_llmbench.report.markdown.summary import MAX_BYTES, summary

        there = self._path.read_bytes() if self._is_appended and self._path.exists() else b""
        room = min(MAX_BYTES, _MAX_STEP_BYTES - len(there) - 1) if self._is_appended else MAX_BYTES
        if room < _USEFUL_BYTES:
            self._remark = (
                f"no room for the summary: {self._path} holds {len(there):,} bytes, and GitHub takes 1,024 kB."
            )
            return
        page = summary(self._session.run, self._session.ruling, stopped=stopped, max_bytes=room).encode()
        with self._path.open("ab" if self._is_appended else "wb") as file:
            file.write(b"\n" + page if there and not there.endswith(b"\n") else page)
        self._is_written = True

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show where it is, or why there is none."""
        if self._remark:
            terminalreporter.write_line(f"llmbench: {self._remark}", red=True)
        elif self._is_written and self._session.config.get_verbosity() >= 0:
            terminalreporter.write_line(f"llmbench summary: {self._path}")


def register_html_report(session: LlmSession) -> None:
    """Register the writing of the report where one is asked for.

    Raises:
        pytest.UsageError: it cannot be written there.
    """
    target = options.path_of(session.config, "llm_report")
    if target is None or is_worker(session.config):
        return
    try:
        check_target(target, "--llm-report")
        check_page(target, "--llm-report")
    except UsageFault as fault:
        raise usage_error(fault) from None
    session.config.pluginmanager.register(HtmlReport(session, target), REPORT_NAME)


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
        """Write it, once all records are there and the gate has decided."""
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
        from pytest_llmbench.report.html.subject import Subject, two_models
        from pytest_llmbench.results.check_agreement import measure_with_checks

        run, ruling, trust = self._run(), self._session.ruling, None
        before = ruling.requirements.baselines[0].path.stem if ruling and ruling.gate else None
        if ruling is None and stopped is None:
            from pytest_llmbench.plugin.gate_options import annotations, gate_tolerances

            config = self._session.config
            settings = replace(gate_tolerances(config), people=annotations(config).annotations)
            before, ruling = two_models(run, self._target, settings) or (None, None)
        if ruling is not None and ruling.requirements.settings.people:
            trust = measure_with_checks(self._session.run.records, ruling.requirements.settings.people)
        return html_report(
            Subject(name="this run", run=run, before=before, ruling=ruling, trust=trust, stopped=stopped)
        )

    def _run(self) -> Run:
        """Give the run with what else its benchmark JSON holds."""
        benchmarks = self._session.benchmarks
        return replace(
            self._session.run,
            datetime=datetime.now(UTC).isoformat(),
            commit=benchmarks.commit,
            machine=benchmarks.machine,
        )

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show where it is, or why there is none."""
        if self._remark:
            terminalreporter.write_line(visible(f"llmbench: {self._remark}"), red=True)
        elif self._is_written and self._session.config.get_verbosity() >= 0:
            terminalreporter.write_line(visible(f"llmbench report: {self._target}"))


def write(reporter: pytest.TerminalReporter, lines: Iterable[Styled]) -> None:
    """Write lines in the colours of pytest's own reporter, which knows whether there are to be any."""
    for line in lines:
        for span in line:
            reporter.write(span.text, **MARKUP[span.style])
        reporter.line("")


class Summary:
    """Shows the scoreboard."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the scoreboard, behind pytest-benchmark's table."""
        verbosity = self._session.config.get_verbosity()
        known = [record for record in self._session.records.values() if record.twin_of is None]
        records = in_order(known, self._session.roles, self._session.line_order)
        if not records or verbosity < -1:
            return
        terminalreporter.write_sep("=", "llmbench")
        width = self._session.config.get_terminal_writer().fullwidth
        facts = self._session.run.facts
        board = scoreboard(records, facts)
        write(terminalreporter, scoreboard_table(board, width, is_short=verbosity < 0))
        if left_out := times_left_out(board):
            write(terminalreporter, folded((), left_out, width))
        for cut_off in cut_off_lines(board, records):
            write(terminalreporter, folded((), cut_off, width))
        if verbosity >= 0:
            write(terminalreporter, reason_lines(records, width))
            if any(record.grader in LABEL_GRADERS for record in records):
                from pytest_llmbench.report.terminal.labels import label_lines

                write(terminalreporter, label_lines(records, facts.prompts, width))
        of_run = (
            *budget_lines(records, facts),
            *left_out_lines(facts.suites),
            *broken_advice_lines(records),
            *judge_check_lines(facts),
            *embedding_lines(facts),
        )
        for remark in filter(None, (reused_line(records), *of_run, *self._session.remarks)):
            write(terminalreporter, folded((), visible(remark), width))
        if verbosity > 0:
            write(terminalreporter, check_rate_lines(records, width))
            wrong = (report.nodeid for report in terminalreporter.getreports("wrong"))
            write(terminalreporter, (wrong_line(nodeid, self._session.records[nodeid]) for nodeid in wrong))

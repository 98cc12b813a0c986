"""The hooks that write pages of a run when it ends: the summary in Markdown.

They write in the process that has all records, under xdist the controller, and whatever became of the run.
"""

import os
from pathlib import Path

import pytest

from pytest_llmbench._xdist import is_worker
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.plugin import settings
from pytest_llmbench.plugin.faults import usage_error
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.summary import MAX_BYTES, summary

NAME = "llmbench-outputs"

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub names the file of a step's summary, to which each command of the step appends."""

_MAX_STEP_BYTES = 1024 * 1024 - 1  # over it GitHub takes nothing of a step's summary
_USEFUL_BYTES = 2000  # under it a page says nothing


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
        config.pluginmanager.register(SummaryFile(session, path, is_asked=is_asked), NAME)


def _target(config: pytest.Config) -> tuple[Path | None, bool]:
    """Give the file of the summary, and whether it was asked for; without a word, the one that GitHub names.

    Raises:
        UsageFault: it cannot be written there.
    """
    step = os.environ.get(STEP_SUMMARY)
    if (config.getoption("llm_summary") or config.getini("llm_summary")) == "off":
        return None, False
    asked = settings.path_of(config, "llm_summary")
    if asked is None:
        return (Path(step) if step else None), False
    if not asked.parent.is_dir():
        raise UsageFault(f"--llm-summary={asked}: there is no folder {asked.parent}; create it first.")
    if asked.is_dir():
        raise UsageFault(f"--llm-summary={asked} is a folder; name a file in it.")
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
        """Write what there is to say, the gate's verdict in it."""
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
        """Say where it is, or why it is nowhere."""
        if self._remark:
            terminalreporter.write_line(f"llmbench: {self._remark}", red=True)
        elif self._is_written and self._session.config.get_verbosity() >= 0:
            terminalreporter.write_line(f"llmbench summary: {self._path}")

"""The hook of the summary: what the terminal shows at the end."""

import pytest

from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.labels import label_lines
from pytest_llmbench.report.scoreboard import reason_lines, scoreboard, scoreboard_lines
from pytest_llmbench.report.text import visible
from pytest_llmbench.values import Outcome


class Summary:
    """Shows the scoreboard."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the scoreboard, behind pytest-benchmark's table."""
        verbosity = self._session.config.get_verbosity()
        if not self._session.records or verbosity < -1:
            return
        terminalreporter.section("llmbench", sep="=")
        lines = scoreboard(list(self._session.records.values()))
        width = self._session.config.get_terminal_writer().fullwidth
        for line in scoreboard_lines(lines, width, is_short=verbosity < 0):
            terminalreporter.write_line(line)
        if verbosity >= 0:
            for line in reason_lines(list(self._session.records.values())):
                terminalreporter.write_line(line)
            for line in label_lines(list(self._session.records.values()), self._session.run.facts.prompts, width):
                terminalreporter.write_line(line)
        if verbosity > 0:
            for report in terminalreporter.getreports("wrong"):
                record = self._session.records[report.nodeid]
                failed = next(sample for sample in record.samples if sample.outcome is Outcome.FAILED)
                terminalreporter.write_line(
                    f"WRONG {report.nodeid} - {failed.reason}: {visible(failed.explanation or '')}"
                )

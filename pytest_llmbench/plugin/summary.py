"""The hook of the summary: what the terminal shows at the end."""

from collections.abc import Iterable

import pytest

from pytest_llmbench._reports import MARKUP
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.labels import label_lines
from pytest_llmbench.report.look import Styled, folded
from pytest_llmbench.report.scoreboard import reason_lines, reused_line, scoreboard, scoreboard_table, times_left_out
from pytest_llmbench.report.story import wrong_line
from pytest_llmbench.report.text import visible


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
        records = list(self._session.records.values())
        if not records or verbosity < -1:
            return
        terminalreporter.write_sep("=", "llmbench")
        width = self._session.config.get_terminal_writer().fullwidth
        board = scoreboard(records)
        write(terminalreporter, scoreboard_table(board, width, is_short=verbosity < 0))
        if left_out := times_left_out(board):
            write(terminalreporter, folded((), left_out, width))
        if verbosity >= 0:
            write(terminalreporter, reason_lines(records, width))
            write(terminalreporter, label_lines(records, self._session.run.facts.prompts, width))
        for remark in filter(None, (reused_line(records), *self._session.remarks)):
            write(terminalreporter, folded((), visible(remark), width))
        if verbosity > 0:
            wrong = (report.nodeid for report in terminalreporter.getreports("wrong"))
            write(terminalreporter, (wrong_line(nodeid, self._session.records[nodeid]) for nodeid in wrong))

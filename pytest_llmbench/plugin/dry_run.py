"""The hooks of `--llm-plan`: in place of the run, what it would ask and cost is told, and nothing is sent."""

from collections.abc import Generator, Sequence

import pytest

from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.plugin import options
from pytest_llmbench.plugin.internals.skipping import is_skipped
from pytest_llmbench.plugin.internals.xdist import is_controller
from pytest_llmbench.plugin.nodes import ITEM
from pytest_llmbench.plugin.options import usage_error
from pytest_llmbench.plugin.reports import write
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.terminal.forecast import forecast_lines
from pytest_llmbench.report.terminal.layout import folded
from pytest_llmbench.runner.forecast import Forecast, forecast


class Planning:
    """Tells the plan.

    Raises:
        pytest.UsageError: it is to be told by several workers, or a fault of an option of the gate.
    """

    def __init__(self, session: LlmSession):
        self._session = session
        self._told: Sequence[Forecast] = ()
        self._judged: tuple[str, int] | None = None
        if is_controller(session.config):
            raise pytest.UsageError("--llm-plan asks nothing and needs no workers; leave -n out, or add -n 0.")
        try:
            self._margin = options.tolerated(session.config).margin
        except UsageFault as fault:
            raise usage_error(fault) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Look at what survived selection, and run none of it."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return None  # pytest says why
        runner = self._session.runner
        ours = (function for function in session.items if ITEM in function.stash and not is_skipped(function))
        items = [function.stash[ITEM] for function in ours]
        try:
            self._told = forecast(runner.builder, items)
            plan = None
            if runner.judge_requests is not None:
                plan = runner.judge_requests.plan(items, lambda _: None, is_dealt=False)
        except LlmbenchError as fault:
            raise usage_error(fault) from None
        if plan is not None:
            self._judged = plan.name, plan.n_replies
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """See that pytest-benchmark says nothing of a file that nobody expects."""
        self._session.benchmarks.expect_no_file()
        yield

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the plan."""
        if not self._told:
            return
        terminalreporter.write_sep("=", "llmbench plan")
        width = self._session.config.get_terminal_writer().fullwidth
        write(terminalreporter, forecast_lines(self._told, self._margin, width))
        if self._judged is not None:
            name, n_replies = self._judged
            text = f"The {name} would be asked {n_replies:,} times more at most, about the answers; not counted above."
            write(terminalreporter, folded((), text, width))

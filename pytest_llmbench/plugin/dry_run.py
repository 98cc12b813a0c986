"""The hooks of `--llm-plan`: what the run would ask and cost is shown, and nothing is sent."""

from collections.abc import Generator, Mapping, Sequence

import pytest

from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.plugin import gate_options
from pytest_llmbench.plugin.early_stop import stop_mode
from pytest_llmbench.plugin.internals.skipping import is_skipped
from pytest_llmbench.plugin.internals.xdist import is_controller
from pytest_llmbench.plugin.nodes import ITEM
from pytest_llmbench.plugin.options import usage_error
from pytest_llmbench.plugin.reports import write
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.forecast import forecast_lines
from pytest_llmbench.report.terminal.layout import folded
from pytest_llmbench.runner.forecast import Forecast, forecast, texts_to_embed


class DryRun:
    """Shows the plan in place of the run.

    Raises:
        pytest.UsageError: several workers would show it, or an option of the gate is wrong.
    """

    def __init__(self, session: LlmSession):
        self._session = session
        self._forecasts: Sequence[Forecast] = ()
        self._judged: tuple[str, int, int] | None = None
        self._embedded: Mapping[str, int] = {}
        if is_controller(session.config):
            raise pytest.UsageError("--llm-plan asks nothing and needs no workers; leave -n out, or add -n 0.")
        try:
            self._margin = gate_options.gate_tolerances(session.config).margin
            self._stop_mode = stop_mode(session.config)
        except UsageFault as fault:
            raise usage_error(fault) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Forecast what survived selection, and run none of it."""
        if session.testsfailed and not session.config.option.continue_on_collection_errors:
            return None  # pytest reports why
        runner = self._session.runner
        ours = (function for function in session.items if ITEM in function.stash and not is_skipped(function))
        items = [function.stash[ITEM] for function in ours]
        try:
            self._forecasts = forecast(runner.builder, items)
            plan = None
            if runner.judge_requests is not None:
                plan = runner.judge_requests.plan(items, lambda _: None, is_dealt=False)
        except LlmbenchError as fault:
            raise usage_error(fault) from None
        self._embedded = texts_to_embed(items, runner.settings.samples)
        if plan is not None:
            judge, n = runner.judge_requests, runner.settings.n_judged_again
            self._judged = plan.name, plan.n_replies, 0 if judge is None else judge.n_again(items, n)
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """Keep pytest-benchmark from reporting a missing file that nobody expects."""
        self._session.benchmarks.expect_no_file()
        yield

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the plan."""
        if not self._forecasts:
            return
        terminalreporter.write_sep("=", "llmbench plan")
        width = self._session.config.get_terminal_writer().fullwidth
        write(terminalreporter, forecast_lines(self._forecasts, self._margin, width, self._stop_mode))
        for fault in self._session.runner.builder.unready.values():
            text = visible(f"{fault} A run needs that; this plan does not.")
            write(terminalreporter, folded((), text, width))
        for name, n_texts in self._embedded.items():
            text = f"The embedder {name} would be given up to {n_texts:,} texts; this is not counted above."
            write(terminalreporter, folded((), visible(text), width))
        if self._judged is not None:
            name, n_replies, n_again = self._judged
            again = f", and up to {n_again:,} times more by --llm-check-judge" if n_again else ""
            text = f"The {name} would be asked up to {n_replies:,} times about the answers{again}"
            write(terminalreporter, folded((), f"{text}; this is not counted above.", width))

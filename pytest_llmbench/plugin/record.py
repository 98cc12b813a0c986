"""The hooks that gather the records and write them: on reports, into pytest-benchmark, into its JSON."""

import json
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import pytest

from pytest_llmbench.plugin.internals.benchmark import add_block
from pytest_llmbench.plugin.internals.reports import add_suite_properties
from pytest_llmbench.plugin.internals.xdist import is_worker
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.junit import suite_properties
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.results.records import Record
from pytest_llmbench.results.run_json import record_from_json


class RecordHooks:
    """Takes records off reports and has them written."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the record off its report and replay its latencies; in a worker, leave it to the controller."""
        carried = getattr(report, "llmbench", None)
        if carried is None or is_worker(self._session.config):
            return
        record = record_from_json(json.loads(carried)) if isinstance(carried, str) else carried
        del report.llmbench
        self._keep(report.nodeid, record)

    def _keep(self, nodeid: str, record: Record) -> None:
        kept = self._session.keep(nodeid, record)
        self._session.benchmarks.replay(kept, name=nodeid.rsplit("::", 1)[-1], nodeid=nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        """Keep what arrived, and have the file written."""
        self._session.runner.close()
        runner, channel = self._session.runner, self._session.channel
        self._session.why_stopped = self._session.stopped(session, exitstatus)
        if channel is not None:
            runner.builder.end(is_finished=False)  # the controller knows
            if exitstatus == pytest.ExitCode.INTERRUPTED and runner.is_started:
                channel.send_facts(runner.facts())
                for nodeid, record in runner.keep_arrived(self._session.reported):
                    channel.send_record(nodeid, record)
            channel.leave(runner.facts(), runner.builder.remarks, self._session.refusal, has_fatal=runner.has_fatal)
        elif not session.config.option.collectonly:
            if exitstatus == pytest.ExitCode.INTERRUPTED:
                self._keep_arrived()
            has_all = self._session.workers.planned.keys() <= self._session.reported
            has_fatal = runner.has_fatal or self._session.workers.has_fatal
            is_finished = self._session.is_loop_over and _is_finished(session, exitstatus)
            runner.builder.end(is_finished=has_all and not has_fatal and is_finished)
            if self._session.workers.refusal is not None:
                # what is a usage error without workers is one with them, though they could but end the run
                session.exitstatus = pytest.ExitCode.USAGE_ERROR
            is_begun = runner.is_started or bool(self._session.workers.planned)
            if self._session.is_empty_shard(exitstatus):
                session.exitstatus = pytest.ExitCode.OK
                self._session.benchmarks.make_sure_a_file_is_written()
            elif self._session.records or (session.exitstatus == pytest.ExitCode.INTERRUPTED and is_begun):
                add_suite_properties(session.config, suite_properties(self._session.run.records))
                self._session.benchmarks.make_sure_a_file_is_written()
            elif session.exitstatus == pytest.ExitCode.USAGE_ERROR:
                self._session.benchmarks.expect_no_file()
        yield
        # no status of tests or of a gate stands for a run that is nowhere; pytest's own 2 to 6 say enough
        if self._session.benchmarks.lost is not None and not 1 < session.exitstatus < 8:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _keep_arrived(self) -> None:
        """Keep what arrived in this process, or in workers, and was on no report."""
        with suppress(KeyboardInterrupt):  # pressed again: what is not graded by now is left out
            self._session.workers.interrupt()
            for nodeid, record in self._session.runner.keep_arrived(self._session.reported):
                self._keep(nodeid, record)
        for nodeid, sent in tuple(self._session.workers.unreported.items()):  # late ones may come meanwhile
            if nodeid not in self._session.records:
                self._keep(nodeid, record_from_json(json.loads(sent)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_terminal_summary(self) -> None:
        """Keep the cases out of pytest-benchmark's table, which is about to be shown: the scoreboard sums them up."""
        self._session.benchmarks.clear_table()

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Put the run's block into the benchmark JSON."""
        add_block(output_json, self._session.run)


class RunFileLine:
    """Names the benchmark JSON that was written."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show where it is, below the scoreboard and the gate."""
        path = self._session.benchmarks.written
        if path is not None and self._session.config.get_verbosity() >= 0:
            terminalreporter.write_line(visible(f"llmbench run: {path}"))
        if self._session.benchmarks.lost is not None:
            terminalreporter.write_line(visible(f"llmbench: {self._session.benchmarks.lost}."), red=True)


def _is_finished(session: pytest.Session, exitstatus: int) -> bool:
    """Return whether a run came to its end: not if it was stopped, by -x as by Ctrl-C."""
    is_stopped = session.shouldfail or session.shouldstop
    return not is_stopped and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)

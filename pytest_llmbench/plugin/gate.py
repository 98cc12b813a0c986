"""The hooks of a session whose run is gated: against earlier runs, against minimum scores.

The process that writes the benchmark JSON decides, under xdist the controller.  Whether the
baseline fits the plan cannot be checked there, since only workers collect: they are sent the file.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.gate.baselines import Baseline, check_plan, read_baselines
from pytest_llmbench.gate.min_score import check_min_scores
from pytest_llmbench.gate.power import too_small
from pytest_llmbench.gate.run_decision import RunGate, decide_run
from pytest_llmbench.plugin import gate_options, options
from pytest_llmbench.plugin.early_stop import EarlyStop, planned_case, stop_mode
from pytest_llmbench.plugin.held_out_looks import FILE, with_look
from pytest_llmbench.plugin.internals.reports import add_suite_properties
from pytest_llmbench.plugin.internals.skipping import is_skipped
from pytest_llmbench.plugin.internals.xdist import BaselineFile, is_worker
from pytest_llmbench.plugin.nodes import ITEM
from pytest_llmbench.plugin.options import usage_error
from pytest_llmbench.plugin.reports import write
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.stops import mode_text
from pytest_llmbench.report.terminal.gate import requirements_text, ruling_json, ruling_lines, ruling_properties
from pytest_llmbench.results.records import Run
from pytest_llmbench.values import Outcome

NAME = "llmbench-gate"


def register_gate(session: LlmSession) -> None:
    """Register the gate's hooks where the run is gated.

    Raises:
        pytest.UsageError: a fault of its options.
    """
    config = session.config
    try:
        settings = gate_options.gate_tolerances(config)
        floors, are_given = gate_options.min_scores(config)
        mode = stop_mode(config)
        if not options.has_gate(config):
            return
        if session.runner.settings.shard is not None:
            raise UsageFault(_GATED_SHARD)
        people = gate_options.annotations(config)
    except UsageFault as fault:
        raise usage_error(fault) from None
    requirements = RunGate(floors=floors, settings=replace(settings, people=people.annotations))
    hooks = GateHooks(session, requirements, are_floors_given=are_given, unread_annotations=people.faults)
    session.early_stop = EarlyStop(mode, hooks.requirements.settings, hooks.baselines)
    config.pluginmanager.register(hooks, NAME)


class GateHooks:
    """Decides about a run when it ends.

    Args:
        session: of the run.
        requirements: what the run must meet, but for the baselines.
        are_floors_given: the minimum scores are from the command line, so that each must hold a suite.
        unread_annotations: the lines of people's annotations that could not be read.
    """

    def __init__(
        self, session: LlmSession, requirements: RunGate, *, are_floors_given: bool, unread_annotations: Sequence[str]
    ):
        self.config = session.config
        self.requirements = requirements
        self._session = session
        self._are_floors_given = are_floors_given
        self._unread_annotations = unread_annotations
        self._errors = 0
        self._small_suites: list[str] = []
        self._stop_remarks: tuple[str, ...] = ()

    # -- before the first request

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Read the baselines, before this run saves anything itself.

        Raises:
            pytest.UsageError: one cannot be read, or there is none.
        """
        if is_worker(self.config):
            return
        try:
            found = gate_options.baselines(self.config, lambda: self._session.benchmarks.storage_folder)
        except LlmbenchError as fault:
            raise usage_error(fault) from None
        self.requirements = replace(self.requirements, baselines=found)
        if found:
            BaselineFile.register(self.config, [baseline.path for baseline in found])

    def pytest_report_header(self) -> str:
        """Show what the run is compared with."""
        early_stop = self._session.early_stop
        mode = None if early_stop is None else early_stop.mode
        return f"llmbench gate: {requirements_text(self.requirements)}{mode_text(mode)}"

    @pytest.hookimpl(tryfirst=True)  # before the terminal collects what to show of the collection
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Check that the requirements fit the plan, before any model is called."""
        option = session.config.option
        if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
            return
        planned = [planned_case(item.stash[ITEM]) for item in session.items if ITEM in item.stash]
        if not planned:
            return
        try:
            if self._are_floors_given:
                check_min_scores(self.requirements.floors, [case.suite for case in planned])
            for baseline in self.baselines()[:1]:
                check_plan(baseline, planned)
                self._stop_remarks = self._remarks(session)
        except LlmbenchError as fault:
            self._session.refuse(str(fault))
            return
        if self.requirements.baselines and not is_worker(self.config):
            self._small_suites = list(_small_suites(session, self.requirements.settings.margin))

    def pytest_report_collectionfinish(self) -> list[str]:
        """Show which suites could not pass an unchanged model."""
        texts = (*self._small_suites, *(f"stopping early: {remark}" for remark in self._stop_remarks))
        return [visible(f"llmbench gate: {text}") for text in texts]

    def baselines(self) -> tuple[Baseline, ...]:
        """Give the runs compared with, the newest first; a worker reads their files.

        Raises:
            LlmbenchError: one cannot be read.
        """
        if is_worker(self.config) and not self.requirements.baselines:
            found = read_baselines(BaselineFile.of_worker(self.config))
            self.requirements = replace(self.requirements, baselines=found)
        return self.requirements.baselines

    def _remarks(self, session: pytest.Session) -> tuple[str, ...]:
        """Describe what is particular about the plan of an early stop."""
        early_stop = self._session.early_stop
        if early_stop is None or early_stop.mode is None:
            return ()
        items = [item.stash[ITEM] for item in session.items if ITEM in item.stash and not is_skipped(item)]
        return early_stop.plans(self._session.runner, items).remarks if items else ()

    # -- the end

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the errors of cases, which are unknowns to the gate and no failures of the run."""
        record = self._session.records.get(report.nodeid)
        if report.failed and report.when == "setup" and record is not None and record.outcome is Outcome.ERROR:
            self._errors += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        """Decide before the run's file is written, and give pytest the gate's exit status where it has none itself."""
        option = session.config.option
        is_run = not (option.collectonly or getattr(option, "setupplan", False) or is_worker(self.config))
        if not is_run or exitstatus not in _DECIDED or self._session.workers.refusal is not None:
            return (yield)
        ruling = decide_run(self._run(), self.requirements, stopped=self._session.stopped(session, exitstatus))
        ruling = with_look(ruling, self.config.rootpath / FILE)
        self._session.ruling = ruling
        add_suite_properties(self.config, ruling_properties(ruling))
        if exitstatus == pytest.ExitCode.TESTS_FAILED and 0 < session.testsfailed == self._errors:
            # nothing failed but cases without an answer: the gate decides what those mean
            session.exitstatus = pytest.ExitCode.OK
        yield
        # behind pytest's own last look at it, which may find too many warnings
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = ruling.exit_status
        return None

    def _run(self) -> Run:
        run = self._session.run
        has_latency = any(record.latencies_s for record in run.records)
        return (
            replace(run, machine=self._session.benchmarks.machine)
            if has_latency and self.requirements.baselines
            else run
        )

    @pytest.hookimpl(trylast=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Put the verdicts into the run's block."""
        if self._session.ruling is not None:
            output_json["llmbench"]["gate"] = ruling_json(self._session.ruling)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the verdicts, the overall one last, and which annotations could not be read."""
        for fault in self._unread_annotations:
            terminalreporter.write_line(visible(f"llmbench: {fault}"), red=True)
        if self._session.ruling is None:
            return
        width = self.config.get_terminal_writer().fullwidth
        terminalreporter.write_sep("=", "llmbench gate")
        write(terminalreporter, ruling_lines(self._session.ruling, width, self.config.get_verbosity()))


_GATED_SHARD = (
    "a shard is a part of the cases and cannot be gated by itself (--llm-baseline, --llm-min-score); gate the merged "
    "run: llmbench merge, then llmbench compare --min-score."
)

_DECIDED = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
"""Ends of a run for which the gate gives a verdict, or the reason why there is none."""


def _small_suites(session: pytest.Session, margin: float) -> Iterator[str]:
    """Name the suites that could not pass an unchanged model."""
    loaded = (item.stash[ITEM].loaded.suite for item in session.items if ITEM in item.stash)
    texts = (too_small(suite, margin) for suite in {suite.name: suite for suite in loaded}.values())
    yield from (text for text in texts if text is not None)

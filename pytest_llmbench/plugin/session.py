"""What the hooks of a session in which models are named share."""

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.embedders import shared_embedders
from pytest_llmbench.plugin import options
from pytest_llmbench.plugin.fixtures import RUNNER
from pytest_llmbench.plugin.internals.benchmark import Benchmarks
from pytest_llmbench.plugin.internals.xdist import WorkerChannel, Workers, is_worker
from pytest_llmbench.plugin.options import has_gate, usage_error
from pytest_llmbench.report.terminal.progress import ProgressLine
from pytest_llmbench.results.merged_info import merged_run_info
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.results.stops import incomplete_of
from pytest_llmbench.runner.runner import Runner

if TYPE_CHECKING:
    from pytest_llmbench.gate.run_decision import RunRuling
    from pytest_llmbench.plugin.early_stop import EarlyStop


class LlmSession:
    """One session: its settings, the runner, and the records as they come.

    `reported` holds the ids of tests that have reported; `is_loop_over`: the tests were run to their end, whatever came
    of them; `refusal` is why nothing can be asked, in a worker whose usage error xdist would lose; `ruling` what the
    gate decided in the end, None where the run is not gated; `why_stopped` why the run ended early, None where it did
    not or has not ended yet.

    Raises:
        pytest.UsageError: a fault of an option or of the models file.
    """

    def __init__(self, config: pytest.Config):
        self.config = config
        try:
            run_settings = options.run_settings(config)
            specs = options.model_specs(config)
            judge = options.judge_spec(config)
            shared_embedders().use(options.catalog(config), run_settings.open_settings)
            self.line_order = options.line_order(config)
            run_settings = replace(run_settings, graders=options.graders(config, specs))
        except UsageFault as fault:
            raise usage_error(fault) from None
        kinds = {
            name: kind for kinds in config.hook.pytest_llmbench_graders(config=config) for name, kind in kinds.items()
        }
        self.runner = config.stash[RUNNER] = Runner(run_settings, specs, kinds, judge=judge)
        self.is_lenient = options.flag(config, "llm_no_fail") or has_gate(config)
        self.records: dict[str, Record] = {}
        self._first_by_case: dict[tuple[str, str, str], str] = {}
        self.early_stop: EarlyStop | None = None
        self.refusal: str | None = None
        self.is_loop_over = False
        self.ruling: RunRuling | None = None
        self.why_stopped: str | None = None
        self.reported: set[str] = set()
        self.workers = Workers(config, *options.devices(specs))
        self.channel = WorkerChannel(config) if is_worker(config) else None
        is_shown = _is_watched(sys.stdout)
        self.progress_line = ProgressLine(_past_capture(sys.stdout) if is_shown else sys.stdout, is_shown=is_shown)
        self._benchmarks: Benchmarks | None = None
        if not is_worker(config):
            Benchmarks.check_options(config)

    @property
    def benchmarks(self) -> Benchmarks:
        """Pytest-benchmark's session; it is made after ours."""
        if self._benchmarks is None:
            self._benchmarks = Benchmarks(self.config)
        return self._benchmarks

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the models, in the order in which they were named."""
        return tuple(spec.role for spec in self.runner.specs)

    @property
    def run(self) -> Run:
        """The run as far as it has come."""
        facts = merged_run_info([self.runner.facts(), *self.workers.received], self.roles)
        ordered = sorted(self.records.values(), key=lambda record: (record.suite, record.case, record.role))
        return Run(
            records=tuple(record for record in ordered if record.twin_of is None),
            twins=tuple(record for record in ordered if record.twin_of is not None),
            facts=facts,
            stopped=self.why_stopped,
            incomplete=incomplete_of(facts.stop_plans, _samples_of(self.records.values())),
        )

    def keep(self, nodeid: str, record: Record) -> Record:
        """Keep a test's record; one of a case that another test met before under the role is marked as its twin."""
        key = (record.suite, record.case, record.role)
        first = self._first_by_case.setdefault(key, nodeid)
        kept = record if first == nodeid else replace(record, twin_of=first)
        self.records[nodeid] = kept
        return kept

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user must know of the run besides its records, each sentence once."""
        return tuple(dict.fromkeys([*self.runner.builder.remarks, *self.workers.remarks]))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep which tests were run."""
        self.reported.add(report.nodeid)

    def stopped(self, session: pytest.Session, exitstatus: int) -> str | None:
        """Give the reason why the run ended early; None if it did not, as where -x stops it at its last test."""
        why = session.shouldfail or session.shouldstop
        # the controller of workers collects no items itself
        is_whole = all(item.nodeid in self.reported for item in session.items) if session.items else not why
        if is_whole and exitstatus != pytest.ExitCode.INTERRUPTED:
            return None
        return f"the run ended before its time ({why or 'interrupted'})"

    def is_empty_shard(self, exitstatus: int) -> bool:
        """Return whether nothing was run because this shard has none of the cases, which is no error."""
        if self.runner.settings.shard is None or exitstatus != pytest.ExitCode.NO_TESTS_COLLECTED:
            return False
        collected = self.run.facts.collected
        return bool(self.runner.suites.names or (collected is not None and collected.suites))

    def refuse(self, sentence: str) -> None:
        """End the run before it begins; a worker, whose usage error xdist would lose, reports it in its first test.

        Raises:
            pytest.UsageError: everywhere else.
        """
        if not is_worker(self.config):
            raise usage_error(sentence)
        self.refusal = sentence

    def pytest_report_header(self) -> str:
        """Name the models."""
        names = (spec.name if spec.role == spec.name else f"{spec.role}={spec.name}" for spec in self.runner.specs)
        judge = self.runner.judge_requests
        judged = "" if judge is None else f"; judge: {judge.spec.name}"
        shard = self.runner.settings.shard
        part = "" if shard is None else f"; shard {shard}"
        return f"llmbench: {', '.join(names)}{judged}{part}"


def _samples_of(records: Iterable[Record]) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for record in records:
        key = (record.suite, record.role, record.case)
        found[key] = max(found.get(key, 0), len(record.samples))
    return found


def _past_capture(stream: TextIO) -> TextIO:
    """Open a second way to a terminal, which stays open while pytest captures what goes the first."""
    return open(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors=stream.errors)


def _is_watched(stream: TextIO) -> bool:
    """Return whether a person looks at a stream: a terminal that can do more than print, and no log of a CI service."""
    is_log = any(os.environ.get(name) for name in ("CI", "BUILD_NUMBER"))  # by which pytest knows them too
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not is_log

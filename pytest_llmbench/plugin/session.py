"""The hooks of a session in which models are named."""

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench._benchmark import Benchmarks, add_block
from pytest_llmbench._xdist import WorkerFacts, is_controller, is_other_worker, is_worker
from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.generation import Progress
from pytest_llmbench.plugin import settings
from pytest_llmbench.plugin.collect import ITEM, CaseFunction, SuiteFile, SuiteWarning, load_for, mark
from pytest_llmbench.plugin.fixtures import RESULT, RUNNER, NoAnswer
from pytest_llmbench.records import Record, Run, merged_facts, record_from_json, record_to_json
from pytest_llmbench.report.labels import label_lines
from pytest_llmbench.report.story import error_story, failure_story
from pytest_llmbench.report.terminal import ProgressLine, reason_lines, scoreboard, scoreboard_lines, visible
from pytest_llmbench.runner import Item, Result, Runner
from pytest_llmbench.suites import may_be_suite
from pytest_llmbench.values import Outcome

NAME = "llmbench-session"

WRONG = pytest.StashKey[bool]()
"""Set where a test was about to fail for a wrong answer, and the run does not fail for those."""


class LlmSession:
    """Translates pytest's hooks into calls of the runner.

    Raises:
        pytest.UsageError: a fault of an option or of the models file.
    """

    def __init__(self, config: pytest.Config):
        self.config = config
        try:
            self.run_settings = settings.run_settings(config)
            choices = settings.model_choices(config)
        except UsageFault as fault:
            raise pytest.UsageError(str(fault)) from None
        kinds = {
            name: kind for kinds in config.hook.pytest_llmbench_graders(config=config) for name, kind in kinds.items()
        }
        self.runner = config.stash[RUNNER] = Runner(self.run_settings, choices, kinds)
        self.is_lenient = settings.flag(config, "llm_no_fail")
        self.records: dict[str, Record] = {}
        self.refusal: str | None = None
        self.workers = WorkerFacts()
        self.progress_line = ProgressLine(sys.stdout)
        self._benchmarks: Benchmarks | None = None
        if not is_worker(config):
            Benchmarks.check_options(config)
            if is_controller(config):
                config.pluginmanager.register(self.workers, "llmbench-workers")

    @property
    def benchmarks(self) -> Benchmarks:
        """Pytest-benchmark's session; it is made after ours."""
        if self._benchmarks is None:
            self._benchmarks = Benchmarks(self.config)
        return self._benchmarks

    def pytest_report_header(self) -> str:
        """Name the models."""
        names = (
            choice.name if choice.role == choice.name else f"{choice.role}={choice.name}"
            for choice in self.runner.choices
        )
        return f"llmbench: {', '.join(names)}"

    # -- collection

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
        """Collect suite files."""
        if file_path.suffix not in (".yaml", ".yml") or not may_be_suite(file_path):
            return None
        file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
        file.session_hooks = self
        return file

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a marked Python test for each case and model."""
        marker = metafunc.definition.get_closest_marker("llm_suite")
        if marker is None:
            return
        if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], str):
            message = (
                f'{metafunc.definition.nodeid}: write @pytest.mark.llm_suite("FILE"), a path relative to the test file.'
            )
            raise pytest.UsageError(message)
        path = metafunc.definition.path.parent / marker.args[0]
        if not path.is_file():
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: there is no suite file {path}.")
        loaded = load_for(metafunc.definition, self.runner, path)
        if loaded is None:
            raise pytest.UsageError(f"{path}: this is no suite file; it needs `suite` and `grader` at its top level.")
        items = [
            Item(key="", loaded=loaded, case=case, choice=choice)
            for case in self.runner.cases(loaded)
            for choice in self.runner.choices
        ]
        metafunc.fixturenames.append("_llm_result")
        ids = [f"{item.case.id}-{item.choice.role}" for item in items]
        metafunc.parametrize("_llm_result", items, ids=ids, indirect=True)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Settle which case and model a Python test was parametrized with, before marks choose tests."""
        callspec = getattr(item, "callspec", None)
        if callspec is not None and isinstance(callspec.params.get("_llm_result"), Item):
            found: Item = callspec.params["_llm_result"]
            names = getattr(item, "fixturenames", ())
            item.stash[ITEM] = found.with_key(item.nodeid, needs_model="llm_model" in names)
            mark(item, found.loaded, found.case)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order the tests of cases by model: one is open at a time."""
        places = [index for index, function in enumerate(items) if ITEM in function.stash]
        roles = [choice.role for choice in self.runner.choices]
        ours = sorted(
            (items[index] for index in places), key=lambda function: roles.index(function.stash[ITEM].choice.role)
        )
        for index, function in zip(places, ours, strict=True):
            items[index] = function
        self.benchmarks.settle_marks(ours)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Warn of samples that will hardly differ, once the plan is settled."""
        if session.config.option.collectonly or is_other_worker(session.config):
            return
        functions = {function.nodeid: function for function in session.items if ITEM in function.stash}
        remarks = self.runner.sampling_remarks(function.stash[ITEM] for function in functions.values())
        for nodeid, remark in remarks.items():
            try:
                functions[nodeid].warn(SuiteWarning(remark))
            except SuiteWarning as warning:  # warnings are errors
                self._refuse(str(warning))

    # -- the run

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Plan what survived selection and begin to answer it, ahead of the tests."""
        option = session.config.option
        has_errors = session.testsfailed and not option.continue_on_collection_errors
        if not (option.collectonly or has_errors or getattr(option, "setupplan", False)):
            items = [
                function.stash[ITEM]
                for function in session.items
                if ITEM in function.stash and not _is_skipped(function)
            ]
            if items and self.refusal is None:
                try:
                    self.runner.start(items, is_ahead=not is_worker(session.config))
                except LlmbenchError as fault:
                    self._refuse(str(fault))
        try:
            return (yield)
        finally:
            self.progress_line.clear()
            self.runner.close()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Wait for the answers of a case before its test begins: here progress can be shown and Ctrl-C gets through."""
        if ITEM in item.stash and self.runner.is_started and not _is_skipped(item):
            item.stash[RESULT] = self.runner.result(item.stash[ITEM].key, self._show_progress)
            self.progress_line.clear()
        try:
            return (yield)
        finally:
            if ITEM in item.stash:
                self.runner.release(item.stash[ITEM].key)
                if RESULT in item.stash:
                    del item.stash[RESULT]

    def _refuse(self, sentence: str) -> None:
        """End the run before it begins; a worker, whose usage error xdist would lose, tells it in its first test.

        Raises:
            pytest.UsageError: everywhere else.
        """
        if not is_worker(self.config):
            raise pytest.UsageError(sentence)
        self.refusal = sentence

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """End the run where nothing can be asked."""
        if self.refusal is not None and ITEM in item.stash:
            item.session.shouldfail = self.refusal
            pytest.fail(self.refusal, pytrace=False)

    def _show_progress(self, progress: Progress) -> None:
        if self.config.get_verbosity() >= 0:
            writer = self.config.get_terminal_writer()
            self.progress_line.show(progress, writer.fullwidth - writer.width_of_current_line - 1)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Let a wrong answer pass where the run does not fail for it."""
        try:
            return (yield)
        except AssertionError:
            result = pyfuncitem.stash.get(RESULT, None)
            if result is None or not self.is_lenient or result.record.outcome is not Outcome.FAILED:
                raise
            if pyfuncitem.stash[ITEM].case.xfail is not None:
                raise
            pyfuncitem.stash[WRONG] = True
            return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Carry the record on the report, and tell the case's story instead of a traceback."""
        result = item.stash.get(RESULT, None)
        if result is not None and call.when == "setup":
            item.user_properties.extend(_properties(result.record))
        report = yield
        if result is None:
            return report
        if call.when == "setup":
            self._carry(report, result.record)
        if item.stash.get(WRONG, False) and call.when == "call":
            report.llm_wrong = True  # type: ignore[attr-defined]
        if report.failed and call.excinfo is not None:
            self._tell(report, item, result, call.excinfo)
        return report

    def _carry(self, report: pytest.TestReport, record: Record) -> None:
        carried: Any = record
        if is_worker(self.config):
            # in ASCII: xdist sends no text with half a character in it
            carried = json.dumps(record_to_json(record))
        report.llmbench = carried  # type: ignore[attr-defined]

    def _tell(
        self, report: pytest.TestReport, function: pytest.Item, result: Result, raised: pytest.ExceptionInfo[Any]
    ) -> None:
        item = function.stash[ITEM]
        if raised.errisinstance(NoAnswer):
            report.longrepr = error_story(item, result)
            if result.is_fatal and not any(choice.role != item.choice.role for choice in self.runner.choices):
                function.session.shouldfail = visible(str(raised.value))
        elif isinstance(function, CaseFunction) and report.when == "call":
            report.longrepr = failure_story(item, result)
        elif report.when == "call" and raised.errisinstance(AssertionError):
            report.sections.append(("case", failure_story(item, result)))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the record off its report and replay its latencies; in a worker, leave it to the controller."""
        carried = getattr(report, "llmbench", None)
        if carried is None or is_worker(self.config):
            return
        record = record_from_json(json.loads(carried)) if isinstance(carried, str) else carried
        del report.llmbench
        self._keep(report.nodeid, record)

    def _keep(self, nodeid: str, record: Record) -> None:
        self.records[nodeid] = record
        self.benchmarks.replay(record, name=nodeid.rsplit("::", 1)[-1], nodeid=nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
        """Show a wrong answer that fails nothing as `w`."""
        if report.when == "call" and getattr(report, "llm_wrong", False):
            return "wrong", "w", ("WRONG", {"yellow": True})
        return None

    # -- the end

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        """Keep what arrived, and see that the file is written."""
        self.runner.close()
        if is_worker(self.config):
            WorkerFacts.send(self.config, self.runner.facts())
        elif not session.config.option.collectonly:
            if exitstatus == pytest.ExitCode.INTERRUPTED:
                for nodeid, record in self.runner.keep_arrived():
                    self._keep(nodeid, record)
            if self.records:
                self.benchmarks.make_sure_a_file_is_written()
            elif exitstatus == pytest.ExitCode.USAGE_ERROR:
                self.benchmarks.expect_no_file()
        yield

    @property
    def run(self) -> Run:
        """The run as far as it has come."""
        facts = merged_facts([self.runner.facts(), *self.workers.received])
        ordered = sorted(self.records.values(), key=lambda record: (record.suite, record.case, record.role))
        return Run(records=tuple(ordered), facts=facts)

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Put the run's block into the benchmark JSON."""
        add_block(output_json, self.run)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the scoreboard, behind pytest-benchmark's table."""
        verbosity = self.config.get_verbosity()
        if not self.records or verbosity < -1:
            return
        terminalreporter.section("llmbench", sep="=")
        lines = scoreboard(list(self.records.values()))
        width = self.config.get_terminal_writer().fullwidth
        for line in scoreboard_lines(lines, width, is_short=verbosity < 0):
            terminalreporter.write_line(line)
        if verbosity >= 0:
            for line in reason_lines(list(self.records.values())):
                terminalreporter.write_line(line)
            for line in label_lines(list(self.records.values()), self.run.facts.prompts, width):
                terminalreporter.write_line(line)
        if verbosity > 0:
            for report in terminalreporter.getreports("wrong"):
                record = self.records[report.nodeid]
                failed = next(sample for sample in record.samples if sample.outcome is Outcome.FAILED)
                terminalreporter.write_line(
                    f"WRONG {report.nodeid} - {failed.reason}: {visible(failed.explanation or '')}"
                )


def _is_skipped(function: pytest.Item) -> bool:
    """Tell whether a test is sure to be skipped, so that nothing is asked for it."""
    return any(mark.name == "skip" for mark in function.iter_markers())


def _properties(record: Record) -> list[tuple[str, object]]:
    properties: list[tuple[str, object]] = [("outcome", str(record.outcome)), ("model", record.model)]
    if record.score is not None:
        properties.append(("score", record.score))
    reasons = sorted({sample.reason for sample in record.samples if sample.reason is not None})
    if reasons:
        properties.append(("reason", ",".join(reasons)))
    if record.latencies_s:
        properties.append(("latency_s", round(sum(record.latencies_s) / len(record.latencies_s), 6)))
    return properties

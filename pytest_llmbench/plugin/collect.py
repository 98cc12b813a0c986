"""The hooks of collection: suite files and marked Python tests become tests of cases."""

from collections.abc import Generator
from pathlib import Path

import pytest

from pytest_llmbench.plugin.internals.skipping import is_skipped
from pytest_llmbench.plugin.internals.xdist import Place, is_other_worker
from pytest_llmbench.plugin.nodes import ITEM, CaseFunction, SuiteFile, SuiteWarning, load_for, mark
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.runner.runner import Item
from pytest_llmbench.suites.files import SUFFIXES, may_be_suite
from pytest_llmbench.suites.registry import NOT_A_SUITE
from pytest_llmbench.suites.split import split_remark


class Collection:
    """Collects the tests of cases, and orders them by model."""

    def __init__(self, session: LlmSession):
        self._session = session

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
        """Collect suite files."""
        if file_path.suffix not in SUFFIXES or not may_be_suite(file_path):
            return None
        file: SuiteFile = SuiteFile.from_parent(parent, path=file_path)
        file.runner = self._session.runner
        file.shown_paths = {}
        return file

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a marked Python test for each case and model."""
        marker = metafunc.definition.get_closest_marker("llm_suite")
        if marker is None:
            return
        path = _suite_path(metafunc.definition, marker)
        loaded = load_for(metafunc.definition, self._session.runner, path)
        if loaded is None:
            raise _fault(f"{path}: {NOT_A_SUITE}")
        items = [
            Item(key="", loaded=loaded, case=case, spec=spec)
            for case in self._session.runner.settings.cases(loaded)
            for spec in self._session.runner.specs
        ]
        metafunc.fixturenames.append("_llm_result")
        ids = [f"{item.case.id}-{item.spec.role}" for item in items]
        metafunc.parametrize("_llm_result", items, ids=ids, indirect=True)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Find the case and model a Python test was parametrized with, before marks select tests."""
        callspec = getattr(item, "callspec", None)
        if callspec is not None and isinstance(callspec.params.get("_llm_result"), Item):
            found: Item = callspec.params["_llm_result"]
            names = getattr(item, "fixturenames", ())
            item.stash[ITEM] = found.with_key(item.nodeid, needs_model="llm_model" in names)
            mark(item, found.loaded, found.case)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Order the tests of cases by model: one is open at a time.

        Before others choose among them, for --sw goes by the order; and after, for --ff and --nf change it.
        """
        self._order(items)
        outcome = yield
        self._session.benchmarks.finish_marks(self._order(items))
        return outcome

    def _order(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """Order the tests of cases by model, in the places they have among others; gives them."""
        places = [index for index, function in enumerate(items) if ITEM in function.stash]
        roles = [spec.role for spec in self._session.runner.specs]
        ours = sorted(
            (items[index] for index in places), key=lambda function: roles.index(function.stash[ITEM].spec.role)
        )
        for index, function in zip(places, ours, strict=True):
            items[index] = function
        return ours

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Send a controller the plan, and warn of samples that will hardly differ, once it is final."""
        if self._session.channel is not None:
            ours = (function for function in session.items if ITEM in function.stash and not is_skipped(function))
            self._session.channel.send_plan([(function.nodeid, _place(function)) for function in ours])
        self._check_split()
        if session.config.option.collectonly or is_other_worker(session.config):
            return
        functions = {function.nodeid: function for function in session.items if ITEM in function.stash}
        remarks = self._session.runner.builder.sampling_remarks(function.stash[ITEM] for function in functions.values())
        for nodeid, remark in remarks.items():
            try:
                functions[nodeid].warn(SuiteWarning(remark))
            except SuiteWarning as warning:  # warnings are errors
                self._session.refuse(str(warning))

    def _check_split(self) -> None:
        """Refuse `--llm-split` where no suite has a split."""
        side, suites = self._session.runner.settings.side, self._session.runner.suites.loaded
        if side is not None and suites and not any(loaded.suite.split for loaded in suites):
            self._session.refuse(
                f"--llm-split {side}: no suite of this run has a split; write `split: {{train: 0.5}}` into "
                f"{suites[0].suite.path}, or leave --llm-split out."
            )

    def pytest_report_collectionfinish(self) -> list[str]:
        """Name the suites that `--llm-split` treats otherwise than one may think."""
        side = self._session.runner.settings.side
        return [
            visible(f"llmbench: {text}")
            for loaded in self._session.runner.suites.loaded
            if side is not None and (text := split_remark(loaded.suite, side))
        ]


def _suite_path(test: pytest.Item, marker: pytest.Mark) -> Path:
    """Give the suite file that a test is marked with.

    Raises:
        pytest.Collector.CollectError: the mark names none, or none that is there.
    """
    if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], str):
        raise _fault(f'{test.nodeid}: write @pytest.mark.llm_suite("FILE"), a path relative to the test file.')
    path = test.path.parent / marker.args[0]
    if not path.is_file():
        raise _fault(f"{test.nodeid}: no suite file {path}; correct the path in its llm_suite mark.")
    return path


def _fault(message: str) -> pytest.Collector.CollectError:
    # unlike a UsageError raised in here, it is shown without a traceback
    return pytest.Collector.CollectError(visible(message))


def _place(function: pytest.Item) -> Place:
    item = function.stash[ITEM]
    path = str(item.loaded.suite.path.resolve())
    return Place(suite=path, case=item.case.id, role=item.spec.role, has_body=not isinstance(function, CaseFunction))

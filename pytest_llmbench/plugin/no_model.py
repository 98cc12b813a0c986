"""The hooks of a session without a model: what would need one is not run, and one line describes how to name one.

Registered at every other start of pytest, so it imports nothing but pytest and files that are as light.
"""

from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.plugin import no_model_fixtures
from pytest_llmbench.plugin.internals.fixtures import has_fixture_of
from pytest_llmbench.plugin.no_model_fixtures import REASON, WAY_OUT
from pytest_llmbench.suites.files import SUFFIXES, may_be_suite

_SENT_AS = "llmbench_suites"


class SuiteWithoutModel(pytest.File):
    """A suite file that was named itself, so that pytest does not miss it; it has no tests."""

    def collect(self) -> tuple[()]:
        """Collect nothing."""
        return ()


class NoModel:
    """Skips the tests of cases, and names the suite files that were among the given paths.

    Under xdist the workers find them, and the controller, which collects nothing, names them at the end.
    """

    def __init__(self, config: pytest.Config):
        # a plain `pytest` that finds other tests is no attempt to run the suites of the project
        self._are_paths_given = config.args_source is pytest.Config.ArgsSource.ARGS
        self._root = config.rootpath
        self._candidates: list[Path] = []
        self._suites: list[str] = []
        self._is_looked_for = False
        config.pluginmanager.register(no_model_fixtures, "llmbench-nomodelfixtures")

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> SuiteWithoutModel | None:
        """Note files that may be suites; none of their cases is collected."""
        if file_path.suffix not in SUFFIXES:
            return None
        self._candidates.append(file_path)
        if not (parent.session.isinitpath(file_path) and may_be_suite(file_path)):
            return None
        found: SuiteWithoutModel = SuiteWithoutModel.from_parent(parent, path=file_path)
        return found

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Find the suites that are left out, and skip Python tests that need a model."""
        self._is_looked_for = True
        if self._are_paths_given or not items:
            self._suites = self._among_the_candidates()
        for item in items:
            if item.get_closest_marker("llm_suite") or has_fixture_of(item, no_model_fixtures.__name__):
                item.add_marker(pytest.mark.skip(reason=REASON))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Find them as well where the id of a case was given, which ends the collection with an error."""
        if not self._is_looked_for:
            self._suites = self._among_the_candidates()

    def pytest_report_collectionfinish(self) -> str | list[str]:
        """Describe how to name a model, where suites were among the given paths or nothing else was found."""
        return self._lines()

    def _among_the_candidates(self) -> list[str]:
        return [str(_shown(path, self._root)) for path in self._candidates if may_be_suite(path)]

    def _lines(self) -> list[str]:
        if not self._suites:
            return []
        first, *others = self._suites
        more = f" and {len(others)} more" if others else ""
        is_or_are = "are" if others else "is"
        return [f"llmbench: {first}{more} {is_or_are} not run, since no model is named; {WAY_OUT}"]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send a controller what a worker has found."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_SENT_AS] = self._suites

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker has found; each finds the same."""
        self._suites = getattr(node, "workeroutput", {}).get(_SENT_AS) or self._suites

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Name what workers have found."""
        if config.getoption("dist", "no") != "no":
            for line in self._lines():
                terminalreporter.write_line(line)


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path

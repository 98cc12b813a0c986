"""The hooks of a session without a model: what would need one is not run, and one line describes how to name one.

Registered at every other start of pytest, so it imports nothing but pytest and files that are as light.
"""

from pathlib import Path

import pytest

from pytest_llmbench.plugin.internals.fixtures import lacks_fixture
from pytest_llmbench.suites.files import SUFFIXES, may_be_suite

WAY_OUT = "name one with --llm-model NAME (an entry of fixtures/models.toml, or PROVIDER:TARGET as openai:gpt-4o-mini)"

_FIXTURES = frozenset({"llm_model", "llm_case", "llm_answer", "llm_grade", "llm_database"})
"""The fixtures that are there where a model is named."""


class NoModel:
    """Skips the tests of cases, and names the suite files that were among the given paths."""

    def __init__(self, config: pytest.Config):
        # a plain `pytest` in a project that has suites is no attempt to run them
        self._are_paths_given = config.args_source is pytest.Config.ArgsSource.ARGS
        self._root = config.rootpath
        self._suites: list[Path] = []

    def pytest_collect_file(self, file_path: Path) -> None:
        """Note suite files; they are not collected."""
        if self._are_paths_given and file_path.suffix in SUFFIXES and may_be_suite(file_path):
            self._suites.append(file_path)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Skip Python tests that need a model."""
        for item in items:
            if item.get_closest_marker("llm_suite") or any(lacks_fixture(item, name) for name in _FIXTURES):
                item.add_marker(pytest.mark.skip(reason=f"no model is named; {WAY_OUT}"))

    def pytest_report_collectionfinish(self) -> str | list[str]:
        """Describe how to name a model, where suites were among the given paths."""
        if not self._suites:
            return []
        first, *others = (_shown(path, self._root) for path in self._suites)
        more = f" and {len(others)} more" if others else ""
        is_or_are = "are" if others else "is"
        return f"llmbench: {first}{more} {is_or_are} not run, since no model is named; {WAY_OUT}"


def _shown(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path

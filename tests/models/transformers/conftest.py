"""All tests of local models are slow: torch and transformers take ten seconds to import, before any model is made."""

from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these files unread where slow tests are left out."""
    return True if config.getoption("markexpr") == "not slow" else None


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)

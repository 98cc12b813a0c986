"""Faults as pytest's usage errors: a sentence without a traceback, safe to print whatever file it quotes."""

import pytest

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.report.text import visible


def usage_error(fault: LlmbenchError | str) -> pytest.UsageError:
    """Give the usage error that says what a fault says."""
    return pytest.UsageError(visible(str(fault)))

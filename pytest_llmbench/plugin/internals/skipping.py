"""All knowledge of how pytest (9.2) decides by its marks whether a test is run.

Used here and not documented there: `evaluate_skip_marks` and `evaluate_xfail_marks`.
"""

import pytest
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks

from pytest_llmbench.errors import Caught, caught

_MARKS = {"skip", "skipif", "xfail"}


def is_skipped(function: pytest.Item) -> bool:
    """Return whether its marks keep a test from being run, so that nothing is asked for it.

    One whose marks cannot be evaluated is not run either: pytest reports that in its place.
    """
    if not any(mark.name in _MARKS for mark in function.iter_markers()):
        return False
    is_run = caught(_is_run, function)
    return isinstance(is_run, Caught) or not is_run


def is_expected_to_fail(function: pytest.Item) -> bool:
    """Return whether a mark, put there in its file or while it was set up, expects a test to fail, and counts now."""
    return not function.config.option.runxfail and evaluate_xfail_marks(function) is not None


def _is_run(function: pytest.Item) -> bool:
    if evaluate_skip_marks(function) is not None:
        return False
    xfail = None if function.config.option.runxfail else evaluate_xfail_marks(function)
    return xfail is None or xfail.run

"""All knowledge of what pytest (9.2) and plugins that many have do around a test that has nothing to do.

Used here and not documented there: `_fixtureinfo`, `_report_sections`, `_request` and `funcargs` of a test, the
`function` and the kind of a hook's implementations, and what the modules below do around a test: nothing, where it has
no fixture and no mark that skips or expects, prints nothing, and does not raise.
"""

import pytest

_AROUND_A_TEST = (
    "pytest_runtest_protocol",
    "pytest_runtest_setup",
    "pytest_runtest_call",
    "pytest_runtest_teardown",
    "pytest_runtest_makereport",
    "pytest_pyfunc_call",
)
_IDLE_MODULES = frozenset(
    {
        "_hypothesis_pytestplugin",
        "_pytest.assertion",
        "_pytest.capture",
        "_pytest.faulthandler",
        "_pytest.logging",
        "_pytest.python",
        "_pytest.runner",
        "_pytest.skipping",
        "_pytest.threadexception",
        "_pytest.tmpdir",
        "_pytest.unittest",
        "_pytest.unraisableexception",
        "_pytest.warnings",
        "anyio.pytest_plugin",
        "pytest_benchmark.plugin",
    }
)
_MARKS = frozenset({"skip", "skipif", "xfail"})
_OPTIONS = ("setuponly", "setupshow", "trace")
"""Options with which pytest does more around a test."""


def is_idle_around_tests(config: pytest.Config) -> bool:
    """Return whether nobody does anything around a test for which `is_idle` holds, so that it can be left out."""
    if any(config.getoption(name, False) for name in _OPTIONS):
        return False
    own = __name__.partition(".")[0]
    for name in _AROUND_A_TEST:
        for found in getattr(config.hook, name).get_hookimpls():
            # what stands around the whole protocol still does
            is_kept = name == "pytest_runtest_protocol" and (found.wrapper or found.hookwrapper)
            module = getattr(found.function, "__module__", "")
            if not (is_kept or module in _IDLE_MODULES or module.partition(".")[0] == own):
                return False
    return True


def is_idle(item: pytest.Function, nextitem: pytest.Item | None) -> bool:
    """Return whether a test has nothing to set up and tear down: no fixture, no output yet, and a neighbour after it.

    The last test of a file goes the usual way, which also tears down what the file and its folders have set up.
    """
    return (
        nextitem is not None
        and nextitem.parent is item.parent
        and not item._fixtureinfo.names_closure
        and not item._report_sections
        and not any(mark.name in _MARKS for mark in item.iter_markers())
    )


def forget_fixtures(item: pytest.Function) -> None:
    """Let go of what pytest keeps for the fixtures of a test until it has run."""
    item._request = False  # type: ignore[assignment]
    item.funcargs = None  # type: ignore[assignment]

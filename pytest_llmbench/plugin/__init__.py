"""The pytest plugin: translates hooks into calls of the runner. Without a model named it does nothing.

This file and its list of options are read at every start of pytest, in use or not, so they import nothing but pytest.
"""

import pytest

from pytest_llmbench.plugin.command_line import CHECKED_LATER, OPTIONS

_PREFIX = "--llm-"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and, for each, an ini key of the same name."""
    group = parser.getgroup("llmbench", "language model cases")
    for option in OPTIONS:
        option.add(parser, group)


def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> None:
    """Name the nearest of our options below the error that a mistyped one will be."""
    known = {option.flag.removeprefix(_PREFIX): option.flag for option in OPTIONS}
    given = [argument.partition("=")[0].removeprefix(_PREFIX) for argument in args if argument.startswith(_PREFIX)]
    mistyped = [name for name in given if name not in known]
    if mistyped:
        from difflib import get_close_matches

        from pytest_llmbench.plugin.internals.option_errors import add_to_errors

        nearest = [known[near] for name in mistyped for near in get_close_matches(name, known, n=1)]
        if nearest:
            add_to_errors(parser, "did you mean", ", ".join(dict.fromkeys(nearest)))


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the hooks other packages may implement."""
    from pytest_llmbench.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks and, where a model is named, the session's hooks."""
    config.addinivalue_line("markers", "llm_suite(path): run this test for each case of a suite and each model.")
    if config.getoption("llm_model") or config.getini("llm_model"):
        from pytest_llmbench.plugin.activate import activate

        activate(config)
    else:
        from pytest_llmbench.plugin.no_model import NoModel

        if any(config.getoption(name) for name in CHECKED_LATER):
            from pytest_llmbench.plugin.gate_options import check_values

            check_values(config)
        config.pluginmanager.register(NoModel(config), "llmbench-nomodel")

"""The pytest plugin: translates hooks into calls of the runner. Without a model named it does nothing.

This file and its list of options are read at every start of pytest, in use or not, so they import nothing but pytest.
"""

import pytest

from pytest_llmbench.plugin.command_line import OPTIONS


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and, for each, an ini key of the same name."""
    group = parser.getgroup("llmbench", "language model cases")
    for option in OPTIONS:
        option.add(parser, group)


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

        config.pluginmanager.register(NoModel(config), "llmbench-nomodel")

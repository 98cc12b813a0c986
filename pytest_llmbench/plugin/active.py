"""What is registered where a model is named."""

import pytest

import pytest_llmbench.plugin.fixtures as fixtures
from pytest_llmbench._xdist import is_controller
from pytest_llmbench.plugin.collection import Collection
from pytest_llmbench.plugin.gating import register_gate
from pytest_llmbench.plugin.html_report import register_html_report
from pytest_llmbench.plugin.outcomes import Outcomes
from pytest_llmbench.plugin.outputs import register_outputs
from pytest_llmbench.plugin.recording import Recording
from pytest_llmbench.plugin.running import Running
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.plugin.summary import Summary

NAME = "llmbench-session"


def activate(config: pytest.Config) -> None:
    """Open the session and register its hooks, a plugin a concern.

    Raises:
        pytest.UsageError: a fault of an option or of the models file.
    """
    session = LlmSession(config)
    config.pluginmanager.register(fixtures, "llmbench-fixtures")
    config.pluginmanager.register(session, NAME)
    if is_controller(config):
        config.pluginmanager.register(session.workers, "llmbench-workers")
    for hooks in (Collection, Running, Outcomes, Recording, Summary):
        config.pluginmanager.register(hooks(session), f"llmbench-{hooks.__name__.lower()}")
    register_gate(session)
    register_outputs(session)
    register_html_report(session)

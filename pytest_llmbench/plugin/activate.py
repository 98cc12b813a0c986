"""What is registered where a model is named. What few runs need is imported where it is registered."""

import gc
import os

import pytest

import pytest_llmbench.plugin.fixtures as fixtures
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.transformers.devices import VARIABLE
from pytest_llmbench.plugin.collect import Collection
from pytest_llmbench.plugin.internals.xdist import device_of, is_controller
from pytest_llmbench.plugin.options import has_gate_option, path_of, usage_error
from pytest_llmbench.plugin.outcomes import Outcomes
from pytest_llmbench.plugin.passed import PassedCases
from pytest_llmbench.plugin.record import RecordHooks, RunFileLine
from pytest_llmbench.plugin.reports import Summary, register_html_report, register_outputs
from pytest_llmbench.plugin.run import RunHooks
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.plugin.usage_summary import NAME as USAGE_SUMMARY
from pytest_llmbench.plugin.usage_summary import UsageSummary, write_usage_error

NAME = "llmbench-session"


def activate(config: pytest.Config) -> None:
    """Open the session and register its hooks, a plugin a concern.

    Raises:
        pytest.UsageError: a fault of an option or of the models file.
    """
    try:
        _activate(config)
    except pytest.UsageError as fault:
        write_usage_error(config, str(fault))
        raise


def _read_env_file(config: pytest.Config) -> None:
    path = path_of(config, "llm_env_file")
    if path is None:
        return
    from pytest_llmbench.plugin.env_file import EnvFile

    try:
        config.pluginmanager.register(EnvFile(path, config), "llmbench-envfile")
    except UsageFault as fault:
        raise usage_error(fault) from None


def _activate(config: pytest.Config) -> None:
    if not hasattr(config.hook, "pytest_benchmark_update_json"):
        raise pytest.UsageError(
            "llmbench records its runs through pytest-benchmark, which is not loaded; leave -p no:benchmark out, or "
            "add -p pytest_benchmark.plugin."
        )
    device = device_of(config)
    if device is not None:
        os.environ[VARIABLE] = device  # before anything asks torch for one
    _read_env_file(config)
    # of what `RunHooks` freezes; registered before pytest's look for errors in what is freed, so it comes after that
    config.add_cleanup(gc.unfreeze)
    session = LlmSession(config)
    config.pluginmanager.register(fixtures, "llmbench-fixtures")
    config.pluginmanager.register(session, NAME)
    if session.runner.settings.is_only_planned:
        config.pluginmanager.register(Collection(session), "llmbench-collection")
        from pytest_llmbench.plugin.dry_run import DryRun

        config.pluginmanager.register(DryRun(session), "llmbench-dryrun")
        return
    if is_controller(config):
        from pytest_llmbench.plugin.xdist import ControllerHooks

        config.pluginmanager.register(session.workers, "llmbench-workers")
        config.pluginmanager.register(ControllerHooks(session), "llmbench-controllerhooks")
    outcomes = Outcomes(session)
    passed = PassedCases(config, outcomes)
    for hooks in (Collection(session), RunHooks(session), outcomes, passed, RecordHooks(session), Summary(session)):
        config.pluginmanager.register(hooks, f"llmbench-{type(hooks).__name__.lower()}")
    config.pluginmanager.register(UsageSummary(session), USAGE_SUMMARY)
    if has_gate_option(config):
        from pytest_llmbench.plugin.gate import register_gate

        register_gate(session)
    config.pluginmanager.register(RunFileLine(session), "llmbench-runfile")
    register_outputs(session)
    register_html_report(session)

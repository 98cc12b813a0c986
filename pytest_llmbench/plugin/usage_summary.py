"""A usage error in the summary of a CI step: such a run ends before the summary of its cases is written."""

import os
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_llmbench.plugin.internals.xdist import is_worker
from pytest_llmbench.plugin.reports import STEP_SUMMARY
from pytest_llmbench.plugin.session import LlmSession

NAME = "llmbench-usage-summary"


def write_usage_error(config: pytest.Config, message: str) -> None:
    """Append a usage error to the step's summary.

    Not to the file of `--llm-summary`, which may be what is wrong: a baseline, for example.
    """
    step = os.environ.get(STEP_SUMMARY)
    if not step or is_worker(config) or (config.getoption("llm_summary") or config.getini("llm_summary")) == "off":
        return
    from pytest_llmbench.report.markdown.escape import escaped

    # the error itself is printed in any case
    with suppress(OSError), Path(step).open("a", encoding="utf-8") as file:
        file.write(f"## llmbench: usage error\n\n{escaped(message)}\n")


class UsageSummary:
    """Writes the usage errors of a session that has begun."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self) -> Generator[None, object, object]:
        """Write what is wrong with the baselines."""
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Write what is wrong with the plan."""
        return (yield from self._watched())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Write what is wrong with a model."""
        return (yield from self._watched())

    def _watched(self) -> Generator[None, object, object]:
        try:
            return (yield)
        except pytest.UsageError as fault:
            write_usage_error(self._session.config, str(fault))
            raise

    def pytest_sessionfinish(self) -> None:
        """Write what a worker of xdist found wrong, which is no exception here."""
        refusal = self._session.workers.refusal
        if refusal is not None:
            write_usage_error(self._session.config, refusal)

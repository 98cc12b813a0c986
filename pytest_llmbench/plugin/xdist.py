"""The hooks of a controller: how tests are dealt to workers, and what becomes of a case whose worker ended."""

from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.plugin.internals.reports import story_repr
from pytest_llmbench.plugin.internals.xdist import Place
from pytest_llmbench.plugin.nodes import location
from pytest_llmbench.plugin.session import LlmSession
from pytest_llmbench.report.terminal.failure import error_story
from pytest_llmbench.runner.runner import Item


class ControllerHooks:
    """Keeps the cases of a model together, and makes the records that a worker which ended could not."""

    def __init__(self, session: LlmSession):
        self._session = session

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Deal by model, unless the user asked for another way of dealing than the usual one."""
        if config.getoption("dist") != "load":
            return None
        from pytest_llmbench.plugin.internals.xdist_scheduling import ModelScheduling

        return ModelScheduling(config, log, self._session.workers)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Make the report of a crash, which has a phase of its own, the error of its case."""
        place = self._session.workers.planned.get(crashitem)
        item = None if place is None else self._item(crashitem, place)
        if item is None:
            return
        result = self._session.runner.lost(item, "the process that ran this case ended: it crashed, or was killed")
        report.when = "setup"
        path, line, heading = location(item)
        report.location = (str(path), line, heading)
        report.longrepr = story_repr(self._session.config, error_story(item, result))
        carrying: Any = report
        carrying.llmbench = result.record

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Any:
        """Find out what prompts the records of such a worker were made with: it could not send them."""
        known = self._session.run.facts.prompts
        for nodeid, record in self._session.records.items():
            place = self._session.workers.planned.get(nodeid)
            if record.prompt_sha256 not in known and place is not None:
                item = self._item(nodeid, place)
                if item is not None:
                    self._session.runner.note(item)
        return (yield)

    def _item(self, nodeid: str, place: Place) -> Item | None:
        runner = self._session.runner
        loaded = runner.suites.load(Path(place.suite))
        case = next((case for case in loaded.suite.cases if case.id == place.case), None) if loaded else None
        spec = next(spec for spec in runner.specs if spec.role == place.role)
        return None if loaded is None or case is None else Item(key=nodeid, loaded=loaded, case=case, spec=spec)

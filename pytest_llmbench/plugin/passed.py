"""The tests of cases that passed: reported as any, without the setup, call and teardown in which nothing would happen.

Those take four tenths of the time of a test that has no fixture.  A wrong answer, an error, a test with a fixture that
all tests use, and each test where another plugin or a *conftest.py* does something around it goes pytest's own way.
"""

from functools import cached_property
from typing import Literal

import pytest

from pytest_llmbench.plugin.internals.idle import forget_fixtures, is_idle, is_idle_around_tests
from pytest_llmbench.plugin.nodes import RESULT, CaseFunction
from pytest_llmbench.plugin.outcomes import Outcomes
from pytest_llmbench.report.junit import case_properties
from pytest_llmbench.values import Outcome

_PHASES: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")


class PassedCases:
    """Reports cases that passed.

    Args:
        config: of the run.
        outcomes: what puts records on reports.
    """

    def __init__(self, config: pytest.Config, outcomes: Outcomes):
        self._config = config
        self._outcomes = outcomes

    @cached_property
    def _may_report(self) -> bool:
        return is_idle_around_tests(self._config)

    @pytest.hookimpl
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        """Report the three phases of a case that passed; None for any other test, which pytest runs."""
        if not isinstance(item, CaseFunction) or not self._may_report:
            return None
        result = item.stash.get(RESULT, None)
        if result is None or result.record.outcome is not Outcome.PASSED or not is_idle(item, nextitem):
            return None
        hook, nodeid, location = item.ihook, item.nodeid, item.location
        hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
        item.user_properties.extend(case_properties(result.record))
        for phase in _PHASES:
            call = pytest.CallInfo.from_call(_nothing, phase)
            report = pytest.TestReport.from_item_and_call(item, call)
            if phase == "setup":
                self._outcomes.carry(report, result.record)
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
        forget_fixtures(item)
        return True


def _nothing() -> None:
    """Be what a phase runs."""

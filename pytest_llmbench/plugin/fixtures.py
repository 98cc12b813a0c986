"""The fixtures of a case: the case, the answer and its grade, the model, the database."""

from typing import TYPE_CHECKING

import pytest

from pytest_llmbench.plugin.nodes import ITEM, RESULT, check_has_answer
from pytest_llmbench.runner.calls import SharedModel
from pytest_llmbench.runner.runner import Result, Runner
from pytest_llmbench.values import Answer, Case, Grade

if TYPE_CHECKING:
    from pytest_llmbench.sql.database.connect import OpenDatabase

RUNNER = pytest.StashKey[Runner]()
"""Where the configuration keeps the runner."""


@pytest.fixture
def _llm_result(request: pytest.FixtureRequest) -> Result:
    node = request.node
    if ITEM not in node.stash:
        message = f'{node.name} uses a llm_ fixture but belongs to no suite; add @pytest.mark.llm_suite("FILE").'
        pytest.fail(message, pytrace=False)
    result: Result = node.stash[RESULT]
    check_has_answer(result)
    return result


@pytest.fixture
def llm_case(request: pytest.FixtureRequest, _llm_result: Result) -> Case:
    """Give the case of this test."""
    case: Case = request.node.stash[ITEM].case
    return case


@pytest.fixture
def llm_answer(_llm_result: Result) -> Answer:
    """Give the model's answer, generated and recorded; of several samples the first that failed, else the first."""
    answer, _ = _llm_result.shown_pair
    return answer


@pytest.fixture
def llm_grade(_llm_result: Result) -> Grade:
    """Give the grade of `llm_answer`."""
    _, grade = _llm_result.shown_pair
    return grade


@pytest.fixture
def llm_model(request: pytest.FixtureRequest, _llm_result: Result) -> SharedModel:
    """Give the opened model; what a test sends it itself is not recorded."""
    return request.config.stash[RUNNER].model(request.node.stash[ITEM])


@pytest.fixture
def llm_database(request: pytest.FixtureRequest, _llm_result: Result) -> "OpenDatabase":
    """Give the database that answers of this suite are evaluated on, to look into it: `llm_database.connect()`."""
    from pytest_llmbench.sql.database.connect import open_database

    suite = request.node.stash[ITEM].loaded.suite
    name = getattr(suite.rules, "database", None)
    if name is None:
        message = f'{request.node.name}: the suite "{suite.name}" has no database; its grader is {suite.grader}.'
        pytest.fail(message, pytrace=False)
    return open_database(name, suite_path=suite.path, root=request.config.stash[RUNNER].settings.root)

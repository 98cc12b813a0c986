"""What the tests of the graders share."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.values import Answer, Case, Grade, Suite

Fields = Mapping[str, Any]


def one_case_suite(grader: str, fields: Fields, suite_fields: Fields, inputs: Fields) -> Suite:
    kind = BUILT_IN[grader]
    path = Path("suite.yaml")
    rules = kind.case_fields.model_validate(fields)
    case = Case(suite="suite", id="case", inputs=inputs, rules=rules, path=path, line=7)
    rules = kind.suite_fields.model_validate(suite_fields)
    return Suite(name="suite", path=path, grader=grader, cases=(case,), rules=rules)


@pytest.fixture(scope="session")
def suite_of() -> Callable[..., Suite]:
    """Give a suite of one case, of a built-in grader."""

    def make(grader: str, fields: Fields, *, suite: Fields | None = None, inputs: Fields | None = None) -> Suite:
        return one_case_suite(grader, fields, suite or {}, inputs or {})

    return make


@pytest.fixture(scope="session")
def grade_of(suite_of: Callable[..., Suite]) -> Callable[..., Grade]:
    """Grade one answer under a built-in grader; `suite=` gives the suite's fields."""

    def make(grader: str, fields: Fields, answer: str, *, suite: Fields | None = None) -> Grade:
        built = suite_of(grader, fields, suite=suite)
        return BUILT_IN[grader].build(built, Path())(built.cases[0], Answer(text=answer))

    return make

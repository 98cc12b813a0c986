"""What the tests of checks share: suites written as a user writes them, and answers graded by them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.values import Answer, Grade, ToolCall

Load = Callable[[str], LoadedSuite]

SUITE = """\
suite: tickets
prompt: {{completion: "{{{{ body }}}}"}}
cases:
  - id: one
    body: "?"
    expected: "Paris"
    want: {{a: 1}}
    checks:
{checks}
"""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a suite from its text."""

    def loaded(text: str) -> LoadedSuite:
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        found = load_suite(path)
        assert found is not None
        return found

    return loaded


@pytest.fixture
def grade(load: Load, tmp_path: Path) -> Callable[..., Grade]:
    """Grade an answer by checks, each written as in a suite; other keywords are keys of the answer."""

    def graded(
        answer: str, *checks: str, case: str = "", finish: str | None = None, calls: tuple[ToolCall, ...] = ()
    ) -> Grade:
        text = SUITE.format(checks="\n".join(f"      - {check}" for check in checks)) + case
        suite = load(text)
        grader = suite.kind.build(suite.suite, tmp_path)
        return grader(suite.suite.cases[0], Answer(text=answer, finish_reason=finish, tool_calls=calls))

    return graded

"""A function of the project in a whole run: planned, answered, stored, recorded; tests/test_docs_examples.py runs those of the documentation."""

import json
from typing import Any

import pytest

import pytest_llmbench.models.python.provider
import pytest_llmbench.plugin.activate
import pytest_llmbench.plugin.fixtures  # noqa: F401 - a run in this process forgets what it imported

SUITE = """\
suite: echo
grader: exact
prompt: {chat: [{role: user, content: "Say it."}]}
cases:
  - {id: one, word: "1", expected: "1"}
  - {id: two, word: "2", expected: "2"}
"""
APP = """\
from pathlib import Path

calls = Path("calls.txt")


def answer(inputs):
    with calls.open("a") as file:
        file.write(inputs["word"])
    print("asked for", inputs["word"])
    return {"text": inputs["word"], "output_tokens": 1, "cost_usd": 0.5}
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Make a project with an application that notes how often it is called."""
    pytester.makeini("[pytest]\n")
    for folder in ("cases", "fixtures"):
        pytester.mkdir(folder)
    (pytester.path / "cases" / "echo.yaml").write_text(SUITE)
    (pytester.path / "some_echo_app.py").write_text(APP)
    return pytester


def write_entry(project: pytest.Pytester, *lines: str) -> None:
    entry = ["[app]", 'provider = "python"', 'target = "some_echo_app:answer"', *lines]
    (project.path / "fixtures" / "models.toml").write_text("\n".join(entry))


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess("--llm-model", "app", "cases", "-p", "no:cacheprovider", *options)


def calls(project: pytest.Pytester) -> str:
    file = project.path / "calls.txt"
    return file.read_text() if file.exists() else ""


def test_an_application_is_asked_recorded_and_asked_again(project: pytest.Pytester) -> None:
    """Cases with equal prompts get answers of their own; without a version nothing is taken from the store."""
    write_entry(project)

    first = run(project, "--benchmark-json=run.json")
    again = run(project, "--llm-reuse", "all")

    first.assert_outcomes(passed=2)
    again.assert_outcomes(passed=2)
    assert calls(project) == "1212"
    found: dict[str, Any] = json.loads((project.path / "run.json").read_text())
    assert found["llmbench"]["models"]["app"]["identity"]["provider"] == "python"
    sample = found["benchmarks"][0]["extra_info"]["llmbench"]["samples"][0]
    assert sample["cost_usd"] == 0.5
    assert sample["output_tokens"] == 1


def test_answers_of_a_version_are_stored_until_it_changes(project: pytest.Pytester) -> None:
    """Each case finds its own answer, whatever else its prompt is; changed code is asked again."""
    write_entry(project, 'version_of = ["some_echo_app"]')
    run(project, "--llm-reuse", "all").assert_outcomes(passed=2)
    (project.path / "cases" / "echo.yaml").write_text(SUITE + '  - {id: last, word: "3", expected: "3"}\n')

    run(project, "--llm-reuse", "all").assert_outcomes(passed=3)
    stored = calls(project)
    (project.path / "some_echo_app.py").write_text(f"{APP}\n")
    run(project, "--llm-reuse", "all").assert_outcomes(passed=3)

    assert stored == "123"
    assert calls(project) == "123123"


def test_a_plan_imports_nothing(project: pytest.Pytester) -> None:
    """The requests are counted for an application that cannot even be imported."""
    write_entry(project)
    (project.path / "some_echo_app.py").write_text("raise RuntimeError")

    result = run(project, "--llm-plan")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*echo*app*2*"])


def test_a_missing_module_ends_the_run(project: pytest.Pytester) -> None:
    """No case can be asked, so the first is an error, and the last line has the message."""
    write_entry(project)
    (project.path / "some_echo_app.py").unlink()

    result = run(project)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(['! there is no module "some_echo_app" in the root directory or on the import path;*'])
    result.stdout.no_fnmatch_line("*Traceback*")

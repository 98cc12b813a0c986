"""Cases that passed are reported without setup, call and teardown, unless somebody does something there."""

import json
import re
from collections.abc import Callable

import pytest

from plugin.conftest import RIGHT, WRONG_PERU

Project = Callable[..., pytest.Pytester]

RUN = ("--llm-model", "old", "--benchmark-json=run.json", "--junitxml=run.xml", "-p", "no:cacheprovider", "-v")
SEES_PHASES = """
from pathlib import Path

def pytest_runtest_setup(item):
    with Path("seen.txt").open("a") as seen:
        print(item.name, file=seen)
"""
SHOWS_WHO_RUNS = """
import os

def pytest_runtest_logreport(report):
    if report.when == "call":
        is_run_by_pytest = report.nodeid in os.environ.get("PYTEST_CURRENT_TEST", "")
        print(report.nodeid.partition("::")[2], "by pytest" if is_run_by_pytest else "at once")
"""
AUTOUSE = """
import pytest
from pathlib import Path

@pytest.fixture(autouse=True)
def noted(request):
    with Path("seen.txt").open("a") as seen:
        print(request.node.name, file=seen)
        yield
        print("after", request.node.name, file=seen)
"""


def outputs(pytester: pytest.Pytester) -> tuple[list[str], object, str]:
    """Run, and give what people and programs see of it, without times."""
    result = pytester.runpytest_inprocess(*RUN)
    lines = [re.sub(r"in \d+\.\d+s", "", line) for line in result.outlines]
    written = json.loads((pytester.path / "run.json").read_text())
    junit = re.sub(r' time(?:stamp)?="[^"]*"', "", (pytester.path / "run.xml").read_text())
    return lines, [written["benchmarks"], written["llmbench"]], junit


@pytest.mark.parametrize("answers", [RIGHT, WRONG_PERU], ids=["all right", "one wrong"])
def test_a_run_looks_the_same_where_pytest_runs_each_phase(project: Project, answers: object) -> None:
    """A conftest with a hook around tests sees every case, and lines, JSON and JUnit XML are those of a run without."""
    pytester = project(answers)
    short = outputs(pytester)

    pytester.makeconftest(SEES_PHASES)
    whole = outputs(pytester)

    assert (pytester.path / "seen.txt").read_text().split() == ["france[old]", "peru[old]", "kenya[old]"]
    assert whole == short


def test_what_passed_is_reported_at_once(project: Project) -> None:
    """A wrong answer goes pytest's way, and the last case of a file, behind which pytest tears down."""
    pytester = project(WRONG_PERU)
    pytester.makeconftest(SHOWS_WHO_RUNS)

    result = pytester.runpytest_inprocess(*RUN, "-s")

    result.stdout.fnmatch_lines(["*france?old? at once", "*peru?old? by pytest", "*kenya?old? by pytest"])


def test_a_fixture_that_every_test_uses_is_set_up_and_torn_down_for_each_case(project: Project) -> None:
    """With `autouse`, no case goes the short way."""
    pytester = project()
    pytester.makeconftest(AUTOUSE)

    pytester.runpytest_inprocess(*RUN).assert_outcomes(passed=3)

    names = ("france[old]", "peru[old]", "kenya[old]")
    assert (pytester.path / "seen.txt").read_text() == "".join(f"{name}\nafter {name}\n" for name in names)


def test_cases_stand_between_python_tests_with_fixtures_of_their_own(project: Project) -> None:
    """What folders and modules around the suite set up is torn down in pytest's order."""
    pytester = project()
    cases = pytester.path / "cases"
    fixture = (
        'import pytest\n@pytest.fixture(scope="package", autouse=True)\ndef own():\n    print("up")\n    yield\n'
        '    print("down")\n'
    )
    for folder in ("a", "z"):
        (pytester.path / folder).mkdir()
        (pytester.path / folder / "__init__.py").touch()
        (pytester.path / folder / "conftest.py").write_text(fixture)
        (pytester.path / folder / f"test_{folder}.py").write_text("def test_it(): pass\n")
    (cases / "test_beside.py").write_text("def test_beside(): pass\n")

    result = pytester.runpytest_inprocess("--llm-model", "old", "-s", "-q", "a", "cases", "z")

    result.assert_outcomes(passed=6)
    assert re.findall(r"up|down", result.stdout.str()) == ["up", "down", "up", "down"]

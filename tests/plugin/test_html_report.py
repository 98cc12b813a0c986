"""`--llm-report`: the page is there at the end whatever became of the tests, and its place is checked at the start."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Project = Callable[..., pytest.Pytester]

FAST = ("--benchmark-quiet", "-p", "no:cacheprovider")


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest("--llm-model", "old", "--llm-report=report.html", *FAST, *options, "cases")


def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def data(path: Path) -> Any:
    found = re.search(r'data-packing="none">(.*?)</script>', page(path), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_report_is_written_though_tests_fail(project: Project) -> None:
    """The run is shown with its date and machine, and the terminal says where it is."""
    pytester = project([{"case": "france", "answer": "Rome", "latency_s": 0.5}])

    result = run(pytester)

    assert result.ret == 1
    assert result.outlines.count(f"llmbench report: {pytester.path / 'report.html'}") == 1
    found = data(pytester.path / "report.html")
    assert [case["c"] for case in found["cases"]] == ["france", "kenya", "peru"]
    assert [case["r"][0]["o"] for case in found["cases"]] == ["failed", "error", "error"]
    assert found["cases"][0]["x"] == "Paris"
    assert re.search(r'<p class="sub">20\d\d-\d\d-\d\d \d\d:\d\d', page(pytester.path / "report.html"))
    assert "<dt>machine</dt>" in page(pytester.path / "report.html")


def test_report_and_summary_are_written_side_by_side(project: Project) -> None:
    """One run may write both: neither takes the other's place."""
    pytester = project()

    result = run(pytester, "--llm-summary=summary.md")

    assert result.ret == 0
    assert "<!doctype html>" in page(pytester.path / "report.html").lower()
    assert "capitals" in page(pytester.path / "summary.md")


def test_the_report_shows_the_gate_of_the_run(project: Project) -> None:
    """Verdict and both answers stand in it; the run before has the name of its file."""
    pytester = project(worse=[{"case": name, "answer": "Rome"} for name in ("france", "peru", "kenya")])
    assert pytester.runpytest("--llm-model", "old", "--benchmark-json=base.json", *FAST, "cases").ret == 0

    result = pytester.runpytest(
        "--llm-model", "worse", "--llm-baseline=base.json", "--llm-report=report.html", *FAST, "cases"
    )

    assert result.ret == 8
    found = data(pytester.path / "report.html")
    assert (found["before"], found["now"]) == ("base", "this run")
    assert [case["r"][0]["f"] for case in found["cases"]] == [5, 5, 5]
    assert found["cases"][0]["r"][0]["b"][0]["a"] == "Paris"
    assert "<title>llmbench: this run, too few cases</title>" in page(pytester.path / "report.html")


def test_two_models_without_a_gate_are_compared(project: Project) -> None:
    """In the report alone: the run has no gate, and ends as it would without one."""
    pytester = project(worse=[{"case": name, "answer": "Rome"} for name in ("france", "peru", "kenya")])

    result = run(pytester, "--llm-model", "worse", "--llm-no-fail")

    assert result.ret == 0
    assert "llmbench gate" not in result.stdout.str()
    assert data(pytester.path / "report.html")["before"] == "old"
    assert "this run: worse against old" in page(pytester.path / "report.html")


@pytest.mark.slow
def test_under_xdist_the_controller_writes_the_same(project: Project) -> None:
    """The cases, answers and grades are those of a run without workers."""
    pytester = project()
    run(pytester)
    alone = data(pytester.path / "report.html")

    result = run(pytester, "-n", "2")

    assert result.ret == 0
    assert data(pytester.path / "report.html") == alone


def test_an_interrupted_run_is_reported_as_far_as_it_came(project: Project) -> None:
    """`-x` ends the run, and what was answered is in the report."""
    pytester = project([{"case": "france", "answer": "Rome"}, {"case": "peru", "answer": "Lima"}])

    result = run(pytester, "-x")

    assert result.ret == 1
    assert [case["c"] for case in data(pytester.path / "report.html")["cases"]] == ["france"]
    assert "Only part of the cases was run: the run ended before its time" in page(pytester.path / "report.html")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "none/report.html",
            "ERROR: --llm-report {path}/none/report.html: the folder {path}/none does not exist; create it first.",
        ),
        ("cases", "ERROR: --llm-report {path}/cases: this is a folder; name a file in it."),
        (
            "cases/capitals.yaml",
            "ERROR: --llm-report {path}/cases/capitals.yaml: this would overwrite a file that is no report;"
            " name another file.",
        ),
    ],
)
def test_a_place_that_cannot_be_is_a_usage_error(project: Project, target: str, message: str) -> None:
    """Before any model is called."""
    pytester = project()

    result = pytester.runpytest("--llm-model", "old", f"--llm-report={target}", *FAST, "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message.format(path=pytester.path) in result.errlines


def test_a_report_that_cannot_be_written_is_told(project: Project) -> None:
    """A full disk at the end: the run is told as it was, then why there is no report; the exit status is no success."""
    pytester = project()

    result = pytester.runpytest("--llm-model", "old", "--llm-report=/dev/full", *FAST, "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "llmbench: no report: /dev/full: cannot be written: No space left on device." in result.outlines
    assert any("3 passed" in line for line in result.outlines)


def test_the_ini_file_can_ask_for_a_report(project: Project) -> None:
    """Its path is relative to the ini file; a run of nothing writes none."""
    pytester = project()
    pytester.makeini("[pytest]\nllm_report = from-ini.html\n")

    pytester.runpytest("--llm-model", "old", *FAST, "--collect-only", "cases")
    assert not (pytester.path / "from-ini.html").exists()
    pytester.runpytest("--llm-model", "old", *FAST, "cases")

    assert len(data(pytester.path / "from-ini.html")["cases"]) == 3


def test_without_a_model_nothing_is_written(project: Project) -> None:
    """The option alone does nothing, as the whole plugin."""
    pytester = project()

    pytester.runpytest("--llm-report=report.html", *FAST)

    assert not (pytester.path / "report.html").exists()

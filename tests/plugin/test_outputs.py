"""The summary that a run writes at its end, whatever became of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

Project = Callable[..., pytest.Pytester]

WRONG_PERU = (
    {"case": "france", "answer": "Paris", "latency_s": 0.25},
    {"case": "peru", "answer": "Cusco", "latency_s": 0.5},
    {"case": "kenya", "answer": "Nairobi", "latency_s": 0.75},
)
RUN = ("--llm-model", "old", "--benchmark-quiet", "-p", "no:cacheprovider")
HEADLINE = "## llmbench: old: capitals 66.7%"


def page(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


def test_a_named_file_is_written_anew(project: Project) -> None:
    """What an earlier run left in it is gone, also where tests fail; where it is stands at the end of the run."""
    pytester = project(WRONG_PERU)
    (pytester.path / "summary.md").write_text("of an earlier run")

    result = pytester.runpytest(*RUN, "--llm-summary=summary.md", "cases")

    assert result.ret == 1
    assert page(pytester.path / "summary.md")[:2] == ["<!-- llmbench -->", HEADLINE]
    result.stdout.fnmatch_lines([f"llmbench summary: {pytester.path / 'summary.md'}"])


def test_the_summary_of_a_step_is_appended_to(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that GitHub names is the default; each command of a step adds to it, so that nothing of others is lost."""
    pytester = project(WRONG_PERU)
    step = pytester.path / "step.md"
    step.write_text("# built")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))

    pytester.runpytest(*RUN, "cases")
    pytester.runpytest(*RUN, "--llm-summary", str(step), "cases")

    lines = page(step)
    assert lines[:3] == ["# built", "<!-- llmbench -->", HEADLINE]
    assert lines.count(HEADLINE) == 2


def test_a_named_file_takes_the_place_of_the_step_s(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """And `off` is no file at all."""
    pytester = project(WRONG_PERU)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))

    pytester.runpytest(*RUN, "--llm-summary=own.md", "cases")
    pytester.runpytest(*RUN, "--llm-summary=off", "cases")

    assert (pytester.path / "own.md").exists()
    assert not (pytester.path / "step.md").exists()


def test_a_step_s_summary_never_grows_over_what_github_takes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over 1,024 kB all of it would be refused: what is left of the room is used, and too little of it said."""
    pytester = project(WRONG_PERU)
    step = pytester.path / "step.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))

    for taken, is_written in ((1_045_000, True), (1_048_000, False)):
        step.write_text("x" * taken)
        result = pytester.runpytest(*RUN, "cases")
        assert step.stat().st_size <= 1024 * 1024
        assert (HEADLINE in step.read_text()) is is_written

    result.stdout.fnmatch_lines([f"llmbench: no room for the summary: {step} holds 1,048,000 bytes*"])


def test_the_ini_file_may_name_it(project: Project) -> None:
    """A path in it is relative to it."""
    pytester = project(WRONG_PERU)
    pytester.makeini("[pytest]\nllm_summary = reports/summary.md\n")
    pytester.mkdir("reports")

    pytester.runpytest(*RUN, "--rootdir", str(pytester.path), str(pytester.path / "cases"))

    assert page(pytester.path / "reports" / "summary.md")[1] == HEADLINE


def test_the_gate_s_verdict_is_its_headline(project: Project) -> None:
    """With what changed in a fold."""
    pytester = project(new=WRONG_PERU)
    pytester.runpytest(*RUN, "--benchmark-json=base.json", "cases")

    pytester.runpytest("--llm-model", "new", "--llm-baseline=base.json", "--llm-summary=summary.md", "cases")

    lines = page(pytester.path / "summary.md")
    assert lines[1] == "## ⚠️ llmbench: too few cases"
    assert "<details><summary>capitals (new): 1 case got worse</summary>" in lines
    assert '| peru | Lima | Cusco | Lima | different: Expected "Lima", found "Cusco". |' in lines


def test_an_interrupted_run_has_its_summary(project: Project) -> None:
    """It tells what had arrived, and that it is not the whole."""
    pytester = project(WRONG_PERU)
    pytester.makeconftest(
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'teardown' and 'peru' in report.nodeid:\n"
        "        raise KeyboardInterrupt\n"
    )

    result = pytester.runpytest_subprocess(*RUN, "--llm-no-fail", "--llm-summary=summary.md", "cases")

    assert result.ret == 2
    lines = page(pytester.path / "summary.md")
    assert lines[3] == "The run ended before its time (interrupted)."
    assert "<details><summary>capitals (old): 1 of 3 cases wrong</summary>" in lines


def test_a_run_stopped_by_x_says_so(project: Project) -> None:
    """A reader must not take two cases for three."""
    pytester = project(WRONG_PERU)

    pytester.runpytest(*RUN, "-x", "--llm-summary=summary.md", "cases")

    assert page(pytester.path / "summary.md")[3] == "The run ended before its time (stopping after 1 failures)."


def test_a_run_without_a_case_overwrites_an_older_page(project: Project) -> None:
    """A bot would post the old one; where nothing was asked for, nothing is added to the step's."""
    pytester = project(WRONG_PERU)
    (pytester.path / "summary.md").write_text("of an earlier run")
    (pytester.path / "cases" / "capitals.yaml").write_text("suite: capitals\ngrader: unknown\n")

    result = pytester.runpytest(*RUN, "--llm-summary=summary.md", "cases")

    assert result.ret == 2
    assert page(pytester.path / "summary.md")[1] == "## llmbench: no case was run"


def test_collecting_alone_writes_nothing(project: Project) -> None:
    """No case is asked, so there is nothing to tell."""
    pytester = project(WRONG_PERU)

    pytester.runpytest(*RUN, "--collect-only", "--llm-summary=summary.md", "cases")

    assert not (pytester.path / "summary.md").exists()


@pytest.mark.slow
def test_the_controller_of_workers_writes_it_once(project: Project) -> None:
    """Under xdist the page is that of a run without: same scores, same cases."""
    pytester = project(WRONG_PERU)

    pytester.runpytest(*RUN, "--llm-summary=alone.md", "cases")
    pytester.runpytest_subprocess(*RUN, "-n2", "--llm-summary=spread.md", "cases")

    assert page(pytester.path / "spread.md") == page(pytester.path / "alone.md")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere/summary.md", "--llm-summary=*nowhere/summary.md: there is no folder *nowhere; create it first."),
        ("cases", "--llm-summary=*cases is a folder; name a file in it."),
        ("cases/capitals.yaml", "--llm-summary *capitals.yaml: this would overwrite a file that is no report; *"),
    ],
)
def test_a_file_that_cannot_be_written_ends_the_run_before_it_begins(
    project: Project, target: str, message: str
) -> None:
    """Rather than after an hour of answers."""
    result = project(WRONG_PERU).runpytest(*RUN, f"--llm-summary={target}", "cases")

    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    result.stdout.no_fnmatch_line("*passed*")


def test_a_named_file_that_can_no_longer_be_written_is_no_success(project: Project) -> None:
    """The run is told as it was, then why there is no summary; who asked for one sees it in the exit status."""
    pytester = project(WRONG_PERU)

    result = pytester.runpytest(*RUN, "--llm-no-fail", "--llm-summary=/dev/full", "cases")
    failed = pytester.runpytest(*RUN, "--llm-summary=/dev/full", "cases")

    assert (result.ret, failed.ret) == (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.TESTS_FAILED)
    for one in (result, failed):
        one.stdout.fnmatch_lines(
            ["llmbench: the summary could not be written to /dev/full: No space left on device.", "*2 passed*"]
        )


def test_a_step_s_summary_that_cannot_be_written_changes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for it: it is told, and the exit status is that of the run."""
    pytester = project(WRONG_PERU)
    pytester.makeconftest(
        "import os, pathlib\ndef pytest_runtest_teardown():\n    pathlib.Path('gone').exists() and os.rmdir('gone')\n"
    )
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.mkdir("gone") / "summary.md"))

    result = pytester.runpytest(*RUN, "--llm-no-fail", "cases")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["llmbench: the summary could not be written to *summary.md: No such file or directory."]
    )

"""The benchmark JSON: written whatever happens, as docs/json.md says, readable by stock tools."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

Project = Callable[..., pytest.Pytester]

ANSWERS = (
    {"case": "france", "answer": "Paris", "latency_s": 0.25, "ttft_s": 0.125, "input_tokens": 9, "output_tokens": 2},
    {"case": "peru", "answer": "Cusco"},
)


def run(pytester: pytest.Pytester, *options: str) -> dict[str, Any]:
    pytester.runpytest("--llm-model", "old", "--benchmark-json=run.json", "--benchmark-quiet", *options, "cases")
    return read(pytester.path / "run.json")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    return found


WHOLE_RUNS = {
    "right, wrong and missing answers": (ANSWERS, ()),
    "nothing measured": (({"case": "peru", "answer": "Lima"},), ()),
    "several samples, one missing": ((*ANSWERS, *ANSWERS), ("--llm-samples", "3")),
    "two models": (ANSWERS, ("--llm-model", "again=old")),
    "a part of the cases": (ANSWERS, ("-k", "france", "--llm-no-fail")),
    "a gate": (ANSWERS, ("--llm-min-score", "0.1")),
    "workers": (ANSWERS, ("-n", "2")),
}
SLOW_RUNS = ("workers",)


@pytest.mark.parametrize(
    ("answers", "options"),
    [
        pytest.param(*run, id=name, marks=[pytest.mark.slow] if name in SLOW_RUNS else [])
        for name, run in WHOLE_RUNS.items()
    ],
)
def test_the_whole_file_is_of_the_format(
    project: Project,
    read_run_strictly: Callable[[Path], dict[str, Any]],
    answers: Sequence[Mapping[str, object]],
    options: Sequence[str],
) -> None:
    """Whatever is in a run, its file has the fields of the format, no others, and they agree with each other."""
    pytester = project(answers)
    run(pytester, *options)

    read_run_strictly(pytester.path / "run.json")


def test_records_without_a_latency_stand_in_the_block(project: Project) -> None:
    """Stock tools must not see a false 0: an error, and an answer recorded without its time, are no benchmarks."""
    found = run(project(ANSWERS))

    assert [benchmark["params"]["case"] for benchmark in found["benchmarks"]] == ["france"]
    assert [record["case"] for record in found["llmbench"]["unmeasured"]] == ["kenya", "peru"]


def test_latencies_stand_where_pytest_benchmark_has_them(project: Project) -> None:
    """`stats.data` holds the samples' latencies, `group` is the suite, `params` case and model."""
    (measured,) = run(project(ANSWERS))["benchmarks"]

    assert measured["stats"]["data"] == [0.25]
    assert (measured["stats"]["median"], measured["stats"]["rounds"]) == (0.25, 1)
    assert (measured["group"], measured["params"]) == ("capitals", {"case": "france", "model": "old"})
    assert (measured["name"], measured["fullname"]) == ("france[old]", "cases/capitals.yaml::france[old]")


def test_a_record_tells_answer_grade_and_times(project: Project) -> None:
    """What was answered, how it was graded and what was measured stand in the sample."""
    found = run(project(ANSWERS))

    sample = found["benchmarks"][0]["extra_info"]["llmbench"]["samples"][0]
    peru = next(record for record in found["llmbench"]["unmeasured"] if record["case"] == "peru")["samples"][0]
    assert (sample["answer"], sample["outcome"], sample["reason"], sample["score"]) == (
        "Paris",
        "passed",
        "correct",
        1.0,
    )
    assert (sample["latency_s"], sample["ttft_s"], sample["input_tokens"], sample["output_tokens"]) == (
        0.25,
        0.125,
        9,
        2,
    )
    assert (peru["answer"], peru["outcome"], peru["reason"], peru["error"]) == ("Cusco", "failed", "different", None)


def test_the_block_tells_what_the_run_was_made_with(project: Project) -> None:
    """Models with identity and sampling, suites with digests, options, totals, prompts by digest."""
    found = run(project(ANSWERS), "--llm-limit", "2", "--llm-no-fail")

    block = found["llmbench"]
    assert block["schema"] == 2
    assert block["models"]["old"]["identity"]["provider"] == "recorded"
    assert block["models"]["old"]["sampling"]["capitals"]["temperature"] == 0
    assert block["suites"]["capitals"]["grader"] == "exact"
    assert block["options"] == {"samples": 1, "limit": 2, "concurrency": None, "timeout_s": None, "no_fail": True}
    assert block["totals"] == {
        "records": 2,
        "passed": 1,
        "failed": 1,
        "error": 0,
        "samples": 2,
        "errors": 0,
        "input_tokens": 9,
        "output_tokens": 2,
    }
    digest = found["benchmarks"][0]["extra_info"]["llmbench"]["prompt_sha256"]
    assert block["prompts"][digest] == "Q: Capital of France?\nA:"


def test_the_file_is_written_if_nothing_was_measured(project: Project) -> None:
    """With every record unmeasured the file is there, with all of them in the block."""
    found = run(project([{"case": "peru", "answer": "Lima"}]))

    assert found["benchmarks"] == []
    assert {record["case"]: record["outcome"] for record in found["llmbench"]["unmeasured"]} == {
        "france": "error",
        "kenya": "error",
        "peru": "passed",
    }


def test_a_grader_that_raises_is_an_error_with_its_traceback(project: Project) -> None:
    """A broken grader is not a wrong answer: the record keeps answer, times and traceback."""
    pytester = project(
        ANSWERS, suite="suite: s\ngrader: broken:grade\nprompt: {completion: x}\ncases: [{id: france, q: x}]\n"
    )
    pytester.makepyfile(broken="def grade(case, answer):\n    raise ValueError('no idea')\n")
    pytester.syspathinsert()

    found = run(pytester)

    record = found["benchmarks"][0]["extra_info"]["llmbench"]
    (sample,) = record["samples"]
    assert (record["outcome"], record["score"], sample["answer"], sample["latency_s"]) == ("error", None, "Paris", 0.25)
    assert sample["error"].startswith("the grader broke: ValueError: no idea\nTraceback")
    assert "broken.py" in sample["error"]


def test_the_file_has_a_line_for_each_benchmark(project: Project) -> None:
    """A file of many records is quick to write and can be looked through with line tools; its words are ASCII."""
    pytester = project([{**ANSWERS[0], "answer": "Paris \u2192"}, {**ANSWERS[1], "latency_s": 0.5}])
    run(pytester)

    lines = (pytester.path / "run.json").read_bytes().decode("ascii").splitlines()
    benchmarks = [json.loads(line.rstrip(",")) for line in lines if line.startswith('{"group"')]
    assert [benchmark["params"]["case"] for benchmark in benchmarks] == ["france", "peru"]
    assert lines[0] == "{"
    assert lines[-1] == "}"


@pytest.mark.slow
def test_stock_compare_reads_the_files(project: Project) -> None:
    """`pytest-benchmark compare` shows the rows of two runs, errors left out."""
    pytester = project(ANSWERS)
    run(pytester)

    result = pytester.run("pytest-benchmark", "compare", "run.json", "--columns=median")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*benchmark 'capitals': 1 tests*", "france[[]old[]] *250.0000*"])


def test_autosave_and_compare_work(project: Project) -> None:
    """--benchmark-autosave stores the run with our block, --benchmark-compare finds it by the test's id."""
    pytester = project(ANSWERS)
    pytester.runpytest("--llm-model", "old", "--benchmark-autosave", "cases")

    result = pytester.runpytest("--llm-model", "old", "--benchmark-compare=0001", "cases")

    (saved,) = pytester.path.glob(".benchmarks/*/0001_*.json")
    assert read(saved)["llmbench"]["schema"] == 2
    result.stdout.fnmatch_lines(["france[[]old[]] (0001_*", "france[[]old[]] (NOW)*"])


OWN_BENCHMARK = "def test_sum(benchmark):\n    assert benchmark.pedantic(sum, ([1, 2],)) == 3\n"


@pytest.mark.parametrize(
    ("option", "is_shown"), [("-p no:cacheprovider", False), ("-v", True), ("--benchmark-columns=min", True)]
)
def test_the_table_has_cases_only_if_they_are_asked_for(project: Project, option: str, is_shown: bool) -> None:
    """A user's own benchmarks stay in pytest-benchmark's table; the scoreboard is where cases are summed up."""
    pytester = project(ANSWERS)
    pytester.makepyfile(test_own=OWN_BENCHMARK)

    result = pytester.runpytest("--llm-model", "old", *option.split(), "--benchmark-json=run.json", "cases", ".")

    result.stdout.fnmatch_lines(["*benchmark: 1 tests*", "test_sum *", "*= llmbench =*", "llmbench run: run.json"])
    assert ("benchmark 'capitals': 1 tests" in result.stdout.str()) is is_shown
    assert "Wrote benchmark data" not in result.stderr.str()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no/run.json", "there is no folder */no; create it first."),
        ("cases", "this is a folder; name a file in it."),
    ],
)
def test_a_file_that_cannot_be_written_is_a_usage_error(project: Project, target: str, message: str) -> None:
    """Refused before anything is asked: an answer would be paid for, and lost."""
    result = project().runpytest("--llm-model", "old", f"--benchmark-json={target}", "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --benchmark-json={target}: {message}"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            ("--benchmark-json=/dev/full",),
            "llmbench: /dev/full: the run could not be written: No space left on device.",
            marks=pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full is of Linux"),
        ),
        (
            ("--benchmark-autosave", "--benchmark-storage=file://cases/capitals.yaml"),
            "llmbench: */cases/capitals.yaml: the run could not be saved: Not a directory.",
        ),
    ],
)
def test_a_run_that_is_lost_at_its_end_fails(project: Project, options: tuple[str, ...], message: str) -> None:
    """One line instead of a traceback; whoever reads the file next would find none, or an old one."""
    result = project(ANSWERS).runpytest("--llm-model", "old", *options, "-k", "france", "cases")

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([message])
    result.stdout.no_fnmatch_line("llmbench run: *")


@pytest.mark.parametrize(
    ("option", "outcomes", "has_file"),
    [
        ("--benchmark-only", {"passed": 1, "failed": 1, "errors": 1}, True),
        ("--benchmark-skip", {"skipped": 3}, False),
        ("--benchmark-disable", {"passed": 1, "failed": 1, "errors": 1}, False),
    ],
)
@pytest.mark.slow
def test_cases_are_benchmarks_to_pytest_benchmark(
    project: Project, option: str, outcomes: dict[str, int], *, has_file: bool
) -> None:
    """--benchmark-only runs cases, --benchmark-skip skips them, --benchmark-disable records none."""
    pytester = project(ANSWERS)

    # pytest-benchmark warns where it saves nothing, and warnings are errors in this process
    result = pytester.runpytest_subprocess("--llm-model", "old", "--benchmark-json=run.json", option, "cases")

    result.assert_outcomes(**outcomes)
    assert (pytester.path / "run.json").exists() == has_file


@pytest.mark.slow
def test_xdist_writes_the_same_file(project: Project) -> None:
    """With -n 2 the same records stand in the same JSON."""
    pytester = project(ANSWERS)

    serial = run(pytester)
    parallel = run(pytester, "-n", "2")

    for found in (serial, parallel):
        for benchmark in found["benchmarks"]:
            benchmark["stats"] = benchmark["stats"]["data"]
        for changing in ("datetime", "machine_info", "commit_info"):
            del found[changing]
    assert parallel == serial


def test_ctrl_c_keeps_what_was_measured(project: Project) -> None:
    """An interrupted run exits 2 and writes the records that were there, and those that had arrived."""
    pytester = project(ANSWERS)
    pytester.makeconftest(
        "import os, signal\n"
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'teardown':\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
    )

    result = pytester.runpytest_subprocess("--llm-model", "old", "--benchmark-json=run.json", "cases")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    found = read(pytester.path / "run.json")
    assert [benchmark["name"] for benchmark in found["benchmarks"]] == ["france[old]"]
    assert [record["case"] for record in found["llmbench"]["unmeasured"]] == ["peru"]

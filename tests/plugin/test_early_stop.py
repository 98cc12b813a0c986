"""A gate that stops early: what is not asked, and how every output names it."""

import json
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

# A run in this process forgets what it imported, and a second import of DuckDB ends the process: it is imported once.
import duckdb  # noqa: F401
import pytest

from pytest_llmbench.cli import main

CASES = 300
RIGHT_OF_BASE = 240
QUIET = ("--benchmark-quiet", "-p", "no:cacheprovider")
HEAD = 'suite: sums\ngrader: exact\nprompt:\n  completion: "{{ question }}"\ncases:\n'

_NOISE = random.Random(3)
_ORDER = _NOISE.sample(range(CASES), CASES)
WRONG_OF_BASE = frozenset(_ORDER[RIGHT_OF_BASE:])
MODELS: dict[str, Collection[int]] = {
    "base": WRONG_OF_BASE,
    "bad": WRONG_OF_BASE | frozenset(_ORDER[:75]),  # 25 points worse
    "same": WRONG_OF_BASE,
}

Project = Callable[..., pytest.Pytester]


@pytest.fixture(scope="module")
def kept() -> dict[int, str]:
    """Keep the run of the incumbent, by its number of samples: it is the same in every project."""
    return {}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, kept: dict[int, str]) -> Project:
    """Make a project of one suite of 300 cases, the models above, and the file of the incumbent's run."""
    monkeypatch.setenv("COLUMNS", "1000")

    def make(samples: int = 1) -> pytest.Pytester:
        rows = (f'  - {{id: c{i}, question: "{i}?", expected: "{i}"}}\n' for i in range(CASES))
        (pytester.mkdir("cases") / "sums.yaml").write_text(HEAD + "".join(rows))
        fixtures, entries = pytester.mkdir("fixtures"), ""
        for name, wrong in MODELS.items():
            lines = (json.dumps({"case": f"c{i}", "answer": "x" if i in wrong else f"{i}"}) for i in range(CASES))
            (fixtures / f"{name}.jsonl").write_text("".join(f"{line}\n" * samples for line in lines))
            entries += f'[{name}]\nprovider = "recorded"\nanswers = "{name}.jsonl"\n'
        (fixtures / "models.toml").write_text(entries)
        pytester.makeini("[pytest]\n")
        path = pytester.path / "base.json"
        if samples not in kept:
            options = ("--llm-no-fail", f"--llm-samples={samples}", f"--benchmark-json={path}", *QUIET)
            assert pytester.runpytest("--llm-model", "base", *options, "cases").ret == 0
            kept[samples] = path.read_text()
        path.write_text(kept[samples])
        return pytester

    return make


def run(pytester: pytest.Pytester, model: str, *options: str) -> pytest.RunResult:
    return pytester.runpytest("--llm-model", model, "--llm-baseline=base.json", *QUIET, *options, "cases")


def gate_of(path: Path) -> Any:
    return json.loads(path.read_text())["llmbench"]["gate"]


def test_a_shown_loss_ends_the_suite_and_every_output_names_it(
    project: Project, read_run_strictly: Callable[[Path], dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not asked is skipped with its reason; terminal, JSON, JUnit, Markdown and HTML have how far it came."""
    pytester = project()

    outputs = ("--junitxml=j.xml", "--llm-summary=s.md", "--llm-report=r.html", "--benchmark-json=run.json", "-rs")
    result = run(pytester, "bad", "--llm-stop-early=loss", *outputs)

    assert result.ret == 1
    found = read_run_strictly(pytester.path / "run.json")
    (suite,) = found["llmbench"]["gate"]["suites"]
    stop = suite["stopping"]
    asked = stop["looks"][stop["look"] - 1]
    left = CASES - asked
    assert (suite["verdict"], stop["reason"], stop["asked"], len(stop["not_asked"])) == ("worse", "worse", asked, left)
    assert asked <= 90
    assert found["llmbench"]["incomplete"] == {"sums": [CASES, asked]}
    assert suite["confidence"] == pytest.approx(0.95 - stop["levels"][stop["look"] - 1], abs=1e-6)
    assert len(found["benchmarks"]) + len(found["llmbench"]["unmeasured"]) == asked
    reason = f"not asked: sums was judged worse after {asked} of 300 cases"
    result.stdout.fnmatch_lines(
        [
            "llmbench gate: against base.json *, margin 5 points, stopping early at a loss",
            f"sums  *worse  *% right on the first {asked} of 300 cases (-* points, interval -* to -* for a look this "
            f"early; you tolerate -5); {left} not asked",
            "verdict: worse",
            f"SKIPPED [[]{left}[]] cases/sums.yaml: {reason}",
        ]
    )
    suites = ET.parse(pytester.path / "j.xml").getroot()
    skipped = [case for case in suites.iter("testcase") if case.find("skipped") is not None]
    assert len(skipped) == left
    assert [(one.get("name"), one.get("value")) for one in skipped[0].iter("property")] == [
        ("outcome", "not asked"),
        ("model", "bad"),
    ]
    assert f"the first {asked} of 300 cases" in (pytester.path / "s.md").read_text()
    assert f"first {asked} of 300 cases" in (pytester.path / "r.html").read_text()
    line = next(line for line in result.outlines if line.startswith("sums") and "first" in line)

    assert main(["compare", "base.json", "run.json"]) == 1
    assert line in capsys.readouterr().out
    assert main(["report", "base.json", "run.json", "-o", "files.html"]) == 0
    assert f"first {asked} of 300 cases" in (pytester.path / "files.html").read_text()
    assert main(["compare", "base.json", "run.json", "--margin", "10"]) == 8
    assert "it was planned with a margin of 5 points, not 10" in capsys.readouterr().out

    # a stopped run is no baseline
    assert main(["compare", "run.json", "base.json"]) == 2
    assert f"the baseline stopped early (sums: {asked} of 300 answers)" in capsys.readouterr().err
    assert main(["accept", "run.json", "-o", "anchor.json"]) == 2
    assert main(["history", "run.json"]) == 0
    assert f"{asked} of 300" in capsys.readouterr().out
    refused = pytester.runpytest("--llm-model", "same", "--llm-baseline=run.json", *QUIET, "cases")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR


def test_an_unchanged_model_is_asked_whole_with_loss_and_in_part_with_decided(project: Project) -> None:
    """A run that passes in mode loss is whole; in mode decided it passes early, and is no baseline."""
    pytester = project()

    assert run(pytester, "same", "--llm-stop-early=loss", "--benchmark-json=whole.json").ret == 0
    result = run(pytester, "same", "--llm-stop-early=decided", "--benchmark-json=part.json")

    assert result.ret == 0
    whole, part = (gate_of(pytester.path / f"{name}.json")["suites"][0] for name in ("whole", "part"))
    assert (whole["verdict"], whole["stopping"]["reason"], whole["stopping"]["not_asked"]) == ("no worse", "end", [])
    assert (part["verdict"], part["stopping"]["reason"]) == ("no worse", "no worse")
    assert part["stopping"]["asked"] < CASES
    result.stdout.fnmatch_lines(["sums *right on the first * of 300 cases (*; you tolerate -5); * not asked"])


def test_a_minimum_score_is_not_judged_of_a_suite_that_stopped(project: Project) -> None:
    """It is about all cases."""
    pytester = project()

    result = run(pytester, "bad", "--llm-stop-early=loss", "--llm-min-score=0.9", "--benchmark-json=run.json")

    assert result.ret == 1
    assert gate_of(pytester.path / "run.json")["min_scores"][0]["reached"] is None
    result.stdout.fnmatch_lines(["sums *minimum score 90.0% not judged, since the suite stopped early: *"])


def test_samples_are_asked_in_sweeps(project: Project) -> None:
    """With two samples a disaster stops in the first sweep: no case has its second answer."""
    pytester = project(samples=2)

    result = run(
        pytester, "bad", "--llm-stop-early=loss", "--llm-samples=2", "--benchmark-json=run.json", "-W", "ignore"
    )

    assert result.ret == 1
    found = json.loads((pytester.path / "run.json").read_text())["llmbench"]
    stop = found["gate"]["suites"][0]["stopping"]
    calls = stop["looks"][stop["look"] - 1]
    assert calls < CASES
    assert found["incomplete"] == {"sums": [2 * CASES, calls]}
    assert found["totals"]["samples"] == calls
    result.stdout.fnmatch_lines([f"sums *right on the first {calls} of 300 cases ({calls} of 600 answers) (*"])


def test_the_plan_announces_what_is_likely_to_be_asked(project: Project) -> None:
    """`--llm-plan` gives the expected share; nothing is sent."""
    pytester = project()

    result = run(pytester, "bad", "--llm-stop-early=loss", "--llm-plan")

    result.stdout.fnmatch_lines(
        [
            "sums: 300 requests at most; stopping early (loss, a look every 30 cases) about 99% of them if nothing "
            "changed, *% at 5 points worse, *% at 10"
        ]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--llm-stop-early=loss",),
            "--llm-stop-early needs a run to compare with: add --llm-baseline FILE, or leave it out.",
        ),
        (
            ("--llm-stop-early=soon", "--llm-baseline=base.json"),
            '--llm-stop-early needs loss, decided or off, not "soon".',
        ),
        (
            ("--llm-stop-early=decided", "--llm-baseline=base.json", "--llm-min-score=0.5"),
            "--llm-stop-early decided leaves cases out, and --llm-min-score is about all of them; *",
        ),
        (
            ("--llm-stop-early=decided", "--llm-baseline=base.json", "--llm-latency-margin=1.2"),
            "--llm-stop-early decided does not go with --llm-latency-margin, *",
        ),
        (
            ("--llm-stop-early=loss", "--llm-baseline=base.json", "-n2", "--dist=loadscope"),
            "--llm-stop-early needs all cases of a model in one worker, and --dist loadscope *",
        ),
    ],
)
def test_what_contradicts_an_early_stop_is_refused(project: Project, options: tuple[str, ...], message: str) -> None:
    """One sentence, with the way out, before any model is called."""
    pytester = project()

    result = pytester.runpytest("--llm-model", "bad", *QUIET, *options, "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


@pytest.mark.slow
def test_workers_and_other_tests_change_nothing(project: Project) -> None:
    """With -n the worker of the model decides; an ordinary test beside it runs as ever."""
    pytester = project()
    (pytester.path / "cases" / "test_other.py").write_text("def test_other(): pass\n")

    alone = run(pytester, "bad", "--llm-stop-early=loss", "--benchmark-json=alone.json")
    shared = run(pytester, "bad", "--llm-stop-early=loss", "--benchmark-json=shared.json", "-n", "2")

    assert alone.parseoutcomes() == shared.parseoutcomes()
    assert alone.ret == shared.ret == 1
    assert gate_of(pytester.path / "alone.json")["suites"] == gate_of(pytester.path / "shared.json")["suites"]

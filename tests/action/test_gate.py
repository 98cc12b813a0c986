"""The step that decides: what it asks of pytest, the status it ends with, what it hands on."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from action_job import ACTION, RUN, SCRIPT, Job, read_outputs


@pytest.mark.parametrize("undecided", ["fail", "warn"])
@pytest.mark.parametrize("status", [0, 1, 2, 3, 4, 5, 6, 8, 130, 137])
def test_the_status_of_a_run_is_that_of_the_step(job: Job, status: int, undecided: str) -> None:
    """Only an undecided gate may pass, and only where that was chosen; the output is pytest's own in each case."""
    job.write("status.txt", str(status))

    finished = job.run("gate", LLMBENCH_UNDECIDED=undecided)

    assert finished.status == (0 if (status, undecided) == (8, "warn") else status)
    assert finished.outputs["status"] == str(status)


@pytest.mark.parametrize(
    ("block", "verdict"),
    [
        ({"gate": {"verdict": "worse"}}, "worse"),
        ({"gate": {"verdict": "too few cases"}}, "too few cases"),
        ({"gate": {"verdict": "inconclusive"}, "broken": {"model": "no connection"}}, "broken"),
        ({"gate": {"verdict": "inconclusive"}, "stopped": "interrupted"}, "inconclusive"),
        ({}, "none"),
        ({"gate": {"verdict": "worse\nstatus=0"}}, "none"),
    ],
)
def test_the_verdict_is_that_of_the_run(job: Job, block: dict[str, Any], verdict: str) -> None:
    """A model that could not be asked is `broken`, whatever its gate is called; nothing of a file adds an output."""
    job.write("run.json", {**RUN, "llmbench": {"unmeasured": [], **block}})
    job.write("status.txt", "1")

    finished = job.run("gate")

    assert (finished.outputs["verdict"], finished.outputs["status"]) == (verdict, "1")


@pytest.mark.parametrize("status", [1, 8])
def test_a_model_that_could_not_be_asked_is_red(job: Job, status: int) -> None:
    """Whatever `undecided` says: a refused key is no undecided gate."""
    job.write("run.json", {**RUN, "llmbench": {"gate": {"verdict": "inconclusive"}, "broken": {"model": "HTTP 401"}}})
    job.write("status.txt", str(status))

    finished = job.run("gate", LLMBENCH_UNDECIDED="warn")

    assert (finished.status, finished.outputs["verdict"]) == (status, "broken")


def test_an_interrupted_run_hands_on_what_it_has(job: Job) -> None:
    """The interrupt reaches all processes of the job, as Ctrl-C does; pytest writes its file and ends with 2."""
    job.write("hold", "")
    job.write("output.txt", "what pytest prints at its end")
    process = job.start("gate")
    while not (job.stubs / "held").exists():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)

    process.communicate()

    outputs = read_outputs((job.stubs / "outputs").read_text())
    assert (process.returncode, outputs["status"], outputs["verdict"]) == (2, "2", "no worse")
    assert "./.llmbench/action/run.json" in outputs["files"]


def test_a_run_that_wrote_nothing_has_no_verdict(job: Job) -> None:
    """A usage error ends the step with 4 and outputs that say so."""
    (job.stubs / "run.json").unlink()
    job.write("status.txt", "4")

    finished = job.run("gate")

    assert (finished.status, finished.outputs["verdict"], finished.outputs["cost-usd"]) == (4, "none", "")


def test_costs_and_the_age_of_the_baseline_are_outputs(job: Job) -> None:
    """Costs are summed over measured and unmeasured samples."""
    record = {"extra_info": {"llmbench": {"samples": [{"cost_usd": 0.25}, {"cost_usd": None}]}}}
    unmeasured = [{"samples": [{"cost_usd": 0.5}]}]
    job.write("run.json", {**RUN, "benchmarks": [record, {"extra_info": {}}], "llmbench": {"unmeasured": unmeasured}})

    finished = job.run("gate")

    assert finished.outputs["cost-usd"] == "0.750000"
    assert finished.outputs["baseline-age"].endswith("days old")
    assert finished.outputs["files"].splitlines() == ["./.llmbench/action/run.json", "./.llmbench/action/summary.md"]


def test_a_pull_request_is_gated_with_the_committed_baseline(job: Job) -> None:
    """Its unchanged requests are taken from the store, so that a run again cannot change the verdict."""
    job.run("gate", LLMBENCH_PATHS="cases/\nmore cases/a b.yaml\n", LLMBENCH_MAX_COST="2.5")

    (call,) = job.calls("pytest")
    assert call[:2] == ["--llm-model", "model=candidate"]
    assert {"--llm-baseline=baseline.json", "--llm-reuse=all", "--llm-max-cost=2.5"} <= set(call)
    assert call[-3:-1] == ["cases/", "more cases/a b.yaml"]
    assert job.calls("llmbench") == [["validate", "cases/", "more cases/a b.yaml"]]


def test_a_nightly_run_asks_anew(job: Job) -> None:
    """Latencies never come from a store, and no answer that a pull request wrote gets into a baseline."""
    job.run("gate", PULL_REQUEST="")

    (call,) = job.calls("pytest")
    assert "--llm-reuse=all" not in call


@pytest.mark.parametrize(("baseline", "last"), [("baseline.json", "decided"), ("other.json", "off")])
def test_a_run_without_a_gate_is_not_stopped_early(job: Job, baseline: str, last: str) -> None:
    """Pytest refuses the option where there is nothing to compare with."""
    job.run("gate", LLMBENCH_ARGS="--llm-stop-early=decided", LLMBENCH_BASELINE=baseline)

    (call,) = job.calls("pytest")
    assert [argument for argument in call if "stop-early" in argument][-1] == f"--llm-stop-early={last}"


def test_options_are_read_as_a_shell_does(job: Job) -> None:
    """Quotes keep blanks, and nothing is expanded or run."""
    job.run("gate", LLMBENCH_ARGS="""-k 'a b' --llm-margin=0.1 "$(touch pwned)" """)

    (call,) = job.calls("pytest")
    place = call.index("-k")
    assert call[place : place + 4] == ["-k", "a b", "--llm-margin=0.1", "$(touch pwned)"]
    assert not (job.folder / "pwned").exists()


@pytest.mark.parametrize("blanks", [" ", " \n"])
def test_options_of_blanks_are_none(job: Job, blanks: str) -> None:
    """An empty argument would have pytest collect the whole project."""
    job.run("gate", LLMBENCH_ARGS=blanks)

    (call,) = job.calls("pytest")
    assert "" not in call


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"LLMBENCH_UNDECIDED": "maybe"}, 'undecided is "maybe"; it must be one of: fail warn.'),
        ({"LLMBENCH_COMMENT": "yes"}, 'comment is "yes"; it must be one of: auto never.'),
        ({"LLMBENCH_MODEL": ""}, "model is empty; name an entry of fixtures/models.toml."),
        ({"LLMBENCH_PATHS": " \n"}, "paths is empty; name suite files or folders, one a line."),
        ({"LLMBENCH_ARGS": "-k 'a"}, "args cannot be read; check its quotes."),
    ],
)
def test_wrong_inputs_end_before_anything_is_asked(job: Job, variables: dict[str, str], sentence: str) -> None:
    """With 4, and one sentence."""
    finished = job.run("gate", **variables)

    assert finished.status == 4
    assert f"::error title=llmbench::{sentence}" in finished.log
    assert job.calls("pytest") == []


def test_a_broken_suite_has_outputs_and_asks_nothing(job: Job) -> None:
    """So that the comment of an earlier push is replaced."""
    job.write("refuse-validate", "")

    finished = job.run("gate")

    assert (finished.status, finished.outputs) == (4, {"status": "4", "verdict": "none"})
    assert "A suite is wrong; llmbench validate lists it." in finished.log
    assert job.calls("pytest") == []


# -- what is handed on


def test_the_outputs_are_those_that_are_declared(job: Job) -> None:
    """And what the other steps of the action read, under its name."""
    outputs = job.run("gate").outputs

    text = (SCRIPT.parent / "action.yml").read_text()
    read = {part.split(" ")[0] for part in text.split("steps.gate.outputs.")[1:]}
    assert set(ACTION["outputs"]) == {"status", "verdict", "report-url", "cost-usd"}
    assert read <= {*outputs, "baseline"}


def test_the_summary_of_the_job_is_that_of_the_run(job: Job) -> None:
    """For forks and nightly runs, which have no comment."""
    job.run("gate")

    assert job.summary() == "## summary\n"


def test_a_usage_error_stands_in_the_summary_and_in_the_comment(job: Job) -> None:
    """As pytest writes it; once, also after kept answers that could not be read."""
    job.write("usage.md", "## llmbench: usage error\n")
    job.write("first-4", UNREADABLE)
    (job.folder / ".llmbench").mkdir()
    (job.folder / ".llmbench" / "answers.sqlite").write_text("of another version")
    job.write("status.txt", "4")

    finished = job.run("gate")

    assert (finished.status, len(job.calls("pytest"))) == (4, 2)
    assert job.summary() == "## llmbench: usage error\n"
    assert (job.folder / finished.outputs["summary"]).read_text() == "## llmbench: usage error\n"


def test_tokens_cost_what_the_models_file_says(job: Job) -> None:
    """Those of a judge too; what an application returned as its cost goes first."""
    price = {"input_per_million": 1.0, "output_per_million": 2.0}
    asked = {"input_tokens": 1000, "output_tokens": 500}
    samples = [
        {**asked, "cost_usd": None, "parts": {"judge_tokens": [3000, 0]}},
        {**asked, "cost_usd": 0.5, "parts": {"judge_tokens": None}},
        {"input_tokens": None, "output_tokens": 3},
    ]
    block = {
        "models": {"model": {"model": "a", "price": price}, "other": {"model": "b"}},
        "options": {"judge": {"price": price}},
        "unmeasured": [{"role": "model", "samples": samples}, {"role": "other", "samples": [asked]}],
    }
    job.write("run.json", {**RUN, "llmbench": block})

    assert job.run("gate").outputs["cost-usd"] == "0.505000"


@pytest.mark.parametrize(
    "baseline",
    [{"llmbench": "x"}, {"llmbench": {"models": {"m": 3}}}, {"llmbench": {"models": {"m": {"model": "\ud800"}}}}],
    ids=["no block", "no model", "half a character"],
)
def test_an_odd_baseline_leaves_the_verdict_an_output(job: Job, baseline: dict[str, Any]) -> None:
    """Without one, the comment of an earlier push would stay; pytest refuses the file."""
    (job.folder / "baseline.json").write_text(json.dumps(baseline))
    job.write("status.txt", "4")

    finished = job.run("gate")

    assert finished.status == 4
    assert "verdict" in finished.outputs


def test_what_a_file_says_adds_no_output(job: Job) -> None:
    """A name with ends of lines stays one line; a file that is no run is none."""
    forged = {"m": {"model": "a\nstatus=0"}}
    (job.folder / "baseline.json").write_text(f'{{"datetime": 3, "llmbench": {{"models": {str(forged["m"])!r}}}}}')
    job.write("status.txt", "1")

    assert job.run("gate").outputs["status"] == "1"

    job.write("run.json", {**RUN, "llmbench": {"models": forged, "gate": {"verdict": "worse"}}})
    (job.folder / "baseline.json").write_text((job.stubs / "run.json").read_text())
    outputs = job.run("gate").outputs
    assert (outputs["status"], outputs["baseline-model"]) == ("1", "a status=0")

    job.write("run.json", "[]")
    assert job.run("gate").outputs["verdict"] == "none"


def test_a_job_may_have_several(job: Job) -> None:
    """What is uploaded has the model and the folder in its name, without what GitHub refuses there."""
    finished = job.run("gate", LLMBENCH_MODEL="openai:a/b", LLMBENCH_DIRECTORY="my apps/one/")

    assert finished.outputs["name"] == "llmbench-judge-0-openai-a-b-my-apps-one-"
    assert finished.outputs["files"].splitlines()[0] == "my apps/one/.llmbench/action/run.json"


def test_code_of_suites_gets_no_token(job: Job) -> None:
    """Nor the files through which steps hand on what they like; keys it gets."""
    job.run("gate", OPENAI_API_KEY="key", GITHUB_ENV="/x", GITHUB_PATH="/y")

    for file in ("environment.txt", "environment-validate.txt"):
        names = {line.partition("=")[0] for line in (job.stubs / file).read_text().splitlines()}
        assert {"OPENAI_API_KEY", "GITHUB_STEP_SUMMARY"} <= names
        assert not names & {"GH_TOKEN", "GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH"}


@pytest.mark.parametrize("name", ["json", "shlex", "datetime"])
def test_no_module_of_the_project_runs_in_the_script(job: Job, name: str) -> None:
    """It would have the token, and stand in for one of Python."""
    (job.folder / f"{name}.py").write_text("open('ran', 'w').close()\n")

    finished = job.run("gate", LLMBENCH_ARGS="-k a")

    assert (finished.status, finished.outputs["verdict"]) == (0, "no worse")
    assert not (job.folder / "ran").exists()


def test_the_script_by_itself_says_who_runs_it() -> None:
    """Without the variables of a step it is of no use."""
    found = subprocess.run(
        ["bash", str(SCRIPT), "gate"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )

    assert found.returncode != 0
    assert "GITHUB_OUTPUT: is not set: run.sh is run by action.yml" in found.stderr


# -- answers that are kept

UNREADABLE = "ERROR: .llmbench/answers.sqlite: this answer store has version 9, this pytest-llmbench reads up to 1; ..."


def test_kept_answers_of_another_version_are_asked_anew(job: Job) -> None:
    """A cache that cannot be read is thrown away, and the run goes on; nothing was asked yet."""
    (job.folder / ".llmbench").mkdir()
    (job.folder / ".llmbench" / "answers.sqlite").write_text("of another version")
    (job.folder / ".llmbench" / "answers.sqlite-wal").write_text("and its log")
    job.write("first-4", UNREADABLE)

    finished = job.run("gate")

    assert (finished.status, finished.outputs["status"], len(job.calls("pytest"))) == (0, "0", 2)
    assert "The kept answers cannot be read" in finished.log
    assert not list((job.folder / ".llmbench").glob("answers*"))


def test_answers_that_nothing_restored_are_left_alone(job: Job) -> None:
    """Outside a pull request the file is somebody's own."""
    (job.folder / ".llmbench").mkdir()
    (job.folder / ".llmbench" / "answers.sqlite").write_text("of another version")
    job.write("first-4", UNREADABLE)

    finished = job.run("gate", PULL_REQUEST="")

    assert (finished.status, len(job.calls("pytest"))) == (4, 1)
    assert (job.folder / ".llmbench" / "answers.sqlite").exists()

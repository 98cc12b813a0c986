"""The workflow that `llmbench init` writes, with its action, run as GitHub would: expressions filled in, scripts for real."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from action_job import commit
from action_runner import Runner, runner_variables
from pytest_llmbench.cli.init import scaffold

WORKFLOW = yaml.safe_load(files("pytest_llmbench.cli").joinpath("templates", "llmbench.yml").read_text())
GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$STUBS/gh.txt"
while [ $# -gt 0 ]; do
  case "$1" in
    --dir) folder=$2 ;;
    body=@*) cp "${1#*@}" "$STUBS/body.md" ;;
    *artifacts\\?*) if [ -f "$STUBS/baseline.json" ]; then echo 11; fi ;;
    download) download=yes ;;
  esac
  shift
done
if [ -n "${download:-}" ]; then cp "$STUBS/baseline.json" "$folder"; fi
"""
ANSWERS = {"france": "Paris", "peru": "Lima", "kenya": "The capital of Kenya is Mombasa."}


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Have a nightly run of what init writes into an empty repository, with pytest-llmbench installed already."""
    folder, programs = tmp_path / "checkout", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    scaffold(folder)
    (programs / "gh").write_text(GH)
    (programs / "gh").chmod(0o755)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider --benchmark-quiet\n")
    workflow = folder / ".github/workflows/llmbench.yml"
    workflow.write_text(workflow.read_text().replace("undecided: fail", 'undecided: warn\n          install: "false"'))
    commit(folder, "first")
    github = {
        "event_name": "schedule",
        "ref": "refs/heads/main",
        "event": {"schedule": "23 2 * * *", "repository": {"default_branch": "main"}},
        "workflow_ref": "us/it/.github/workflows/llmbench.yml@refs/heads/main",
        "job": "gate",
        "run_id": "7",
        "run_attempt": "1",
        "sha": "0" * 40,
        "token": "secret",
    }
    variables = {**runner_variables(programs), "STUBS": str(tmp_path), "GITHUB_STEP_SUMMARY": str(tmp_path / "step.md")}
    return Runner(folder, github, {}, variables)


def by_hand(runner: Runner) -> Runner:
    return replace(runner, inputs={"accept": True}, used=[])


def of_pull_request(runner: Runner) -> Runner:
    event = {"number": 5, "head": {"sha": "0123456789abcdef", "repo": {"full_name": "us/it"}}}
    github = {**runner.github, "event_name": "pull_request", "event": {**runner.github["event"], "pull_request": event}}
    return replace(runner, github=github, used=[])


def uploads(runner: Runner) -> dict[str, dict[str, Any]]:
    return {given["name"]: given for name, given in runner.used if name.startswith("actions/upload-artifact@")}


def used(runner: Runner) -> list[str]:
    return [name.partition("@")[0] for name, _ in runner.used]


def test_the_workflow_has_the_fewest_permissions() -> None:
    """None but those of its job, and none to push."""
    (job,) = WORKFLOW["jobs"].values()

    assert WORKFLOW["permissions"] == {}
    assert job["permissions"] == {"contents": "read", "actions": "read", "pull-requests": "write"}
    assert job["steps"][0]["with"] == {"persist-credentials": False}


def test_the_workflow_is_never_filtered_out() -> None:
    """A required check that a filter of paths leaves out hangs; and the code of a pull request never gets more rights."""
    assert WORKFLOW[True] == {
        "pull_request": None,
        "schedule": [{"cron": "23 2 * * *"}],
        "workflow_dispatch": WORKFLOW[True]["workflow_dispatch"],
    }


@pytest.mark.slow
def test_a_first_run_is_accepted_and_gates_pull_requests(runner: Runner, tmp_path: Path) -> None:
    """Nightly: nothing is gated. By hand: the run is uploaded. In a pull request: it is compared with, and commented on."""
    assert runner.run(), runner.log
    assert "There is no baseline yet, so nothing is gated" in runner.log
    assert list(uploads(runner)) == ["llmbench-gate-0-example-."]
    assert not any("cache" in name for name in used(runner))

    accepted = by_hand(runner)
    assert accepted.run(), accepted.log
    baseline = runner.folder / uploads(accepted)["llmbench-baseline"]["path"]
    (tmp_path / "baseline.json").write_bytes(baseline.read_bytes())

    pull_request = of_pull_request(runner)
    assert pull_request.run(), pull_request.log
    assert used(pull_request)[-3:] == ["actions/cache/restore", "actions/cache/save", "actions/upload-artifact"]
    assert (
        pull_request.outputs["verdict"]
        == json.loads((tmp_path / "checkout/.llmbench/action/run.json").read_text())["llmbench"]["gate"]["verdict"]
    )
    assert pull_request.outputs["report-url"] == "https://example.org/artifact"
    marker, _, first, *rest = (tmp_path / "body.md").read_text().splitlines()
    assert marker == "<!-- llmbench:llmbench:. -->"
    assert first == (
        f"**{pull_request.outputs['verdict']}**: model `example` against `example`, commit 0123456, baseline 0 days old, "
        "[run and report](https://example.org/artifact)"
    )
    assert any(line.startswith("## ") and "no worse" in line for line in rest)
    assert (tmp_path / "step.md").read_text().count("<!-- llmbench -->") == 3


@pytest.mark.slow
def test_a_committed_baseline_goes_first_and_a_worse_model_is_red(runner: Runner, tmp_path: Path) -> None:
    """In a smoke suite one wrong answer more is worse; such a run cannot be accepted."""
    answers = runner.folder / "fixtures/answers/example.jsonl"
    answers.write_text("".join(json.dumps({"case": case, "answer": text}) + "\n" for case, text in ANSWERS.items()))
    accepted = by_hand(runner)
    assert accepted.run(), accepted.log
    baseline = runner.folder / uploads(accepted)["llmbench-baseline"]["path"]
    (runner.folder / "baseline.json").write_bytes(baseline.read_bytes())
    answers.write_text(answers.read_text().replace("Paris", "Lyon"))

    pull_request = of_pull_request(runner)
    assert not pull_request.run()
    assert (pull_request.outputs["status"], pull_request.outputs["verdict"]) == ("1", "worse")
    assert (tmp_path / "gh.txt").read_text().count("/actions/artifacts?") == 1  # of the run by hand alone
    assert "actions/cache/save" in used(pull_request)

    again = by_hand(runner)
    assert not again.run()
    assert "llmbench-baseline" not in uploads(again)

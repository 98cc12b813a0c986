"""The GitHub Action offline: what its script asks of pytest and gh, the status it ends with, the comment it keeps."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "run.sh"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())

PYTEST = """#!/usr/bin/env bash
printf '%s\\n' "$@" "in $PWD" --- >>"$STUBS/pytest.txt"
for argument; do
  case "$argument" in
    --benchmark-json=*) cp "$STUBS/run.json" "${argument#*=}" 2>/dev/null ;;
    --llm-summary=*) printf '## summary\\n' >"${argument#*=}" ;;
  esac
done
cat "$STUBS/output.txt" 2>/dev/null
exit "$(cat "$STUBS/status.txt")"
"""
GH = """#!/usr/bin/env bash
printf '%s\\n' "$@" --- >>"$STUBS/gh.txt"
[ -f "$STUBS/refuse" ] && [[ "$*" == *$(cat "$STUBS/refuse")* ]] && { echo 'HTTP 403: Resource not accessible' >&2; exit 1; }
while [ $# -gt 0 ]; do
  case "$1" in
    --jq) filter=$2; shift ;;
    --dir) folder=$2; shift ;;
    body=@*) cp "${1#*@}" "$STUBS/body.md" ;;
    *comments\\?*) pages=("$STUBS"/comments-*.json) ;;
    *artifacts\\?*) pages=("$STUBS/artifacts.json") ;;
    *compare*) pages=("$STUBS/compare.json") ;;
    download) download=yes ;;
  esac
  shift
done
if [ -n "${download:-}" ]; then cp "$STUBS/artifact.json" "$folder/baseline.json"; fi
if [ -n "${pages:-}" ]; then jq -r "$filter" "${pages[@]}"; fi
"""
LLMBENCH = """#!/usr/bin/env bash
printf '%s\\n' "$@" --- >>"$STUBS/llmbench.txt"
"""
RUN = {
    "datetime": "2026-11-01T00:00:00+00:00",
    "benchmarks": [],
    "llmbench": {"gate": {"verdict": "no worse"}, "unmeasured": []},
}
BOT = "github-actions[bot]"
MARKER = "<!-- llmbench:gate:. -->"


@dataclass
class Finished:
    """How the script ended, and what it left."""

    status: int
    log: str
    outputs: dict[str, str]


@dataclass
class Job:
    """A job in a folder of its own, with stubs on PATH before what is installed."""

    folder: Path
    stubs: Path
    usual: Mapping[str, str]

    def write(self, name: str, content: Any) -> None:
        (self.stubs / name).write_text(content if isinstance(content, str) else json.dumps(content))

    def calls(self, program: str) -> list[list[str]]:
        path = self.stubs / f"{program}.txt"
        return [call.splitlines() for call in path.read_text().split("---\n")[:-1]] if path.exists() else []

    def run(self, step: str, **variables: str) -> Finished:
        outputs = self.stubs / "outputs"
        outputs.write_text("")
        environment = {**self.usual, "GITHUB_OUTPUT": str(outputs), **variables}
        found = subprocess.run(
            ["bash", str(SCRIPT), step], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        return Finished(found.returncode, found.stdout + found.stderr, read_outputs(outputs.read_text()))


def read_outputs(text: str) -> dict[str, str]:
    """Read a step's outputs as GitHub does."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, mark, value = line.partition("=") if "<<" not in line else line.partition("<<")
        if mark == "<<":
            inner = []
            while (next_line := next(lines)) != value:
                inner.append(next_line)
            value = "\n".join(inner)
        found[name] = value
    return found


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Have a job of a pull request of the same repository; pytest ends with 0."""
    folder, stubs, programs = tmp_path / "a folder", tmp_path / "stubs", tmp_path / "bin"
    for made in (folder, stubs, programs):
        made.mkdir()
    for name, text in (("pytest", PYTEST), ("gh", GH), ("llmbench", LLMBENCH)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "python").symlink_to(sys.executable)
    job = Job(
        folder,
        stubs,
        {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "STUBS": str(stubs),
            "GITHUB_REPOSITORY": "us/it",
            "GITHUB_WORKFLOW": "gate",
            "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "judge",
            "GITHUB_BASE_REF": "main",
            "DEFAULT_BRANCH": "main",
            "HEAD_REPOSITORY": "us/it",
            "HEAD_SHA": "0123456789abcdef",
            "PULL_REQUEST": "5",
            "JOB_INDEX": "0",
            "LLMBENCH_MODEL": "candidate",
            "VERDICT": "no worse",
            "SUMMARY": "summary.md",
            "BASELINE_AGE": "3 days old",
            "REPORT_URL": "https://example.org/run",
            **{
                f"LLMBENCH_{name.replace('-', '_').upper()}": str(made.get("default", ""))
                for name, made in ACTION["inputs"].items()
                if name not in ("model", "version", "install", "python-version", "working-directory")
            },
            "LLMBENCH_DIRECTORY": ".",
        },
    )
    job.write("status.txt", "0")
    job.write("run.json", RUN)
    job.write("comments-1.json", [])
    (folder / "baseline.json").write_text(json.dumps(RUN))
    (folder / "summary.md").write_text("<!-- llmbench -->\n## the summary\n")
    return job


# -- the status


@pytest.mark.parametrize("undecided", ["fail", "warn"])
@pytest.mark.parametrize("status", [0, 1, 2, 4, 5, 8])
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


# -- what is asked of pytest


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


def test_options_are_read_as_a_shell_does(job: Job) -> None:
    """Quotes keep blanks, and nothing is expanded or run."""
    job.run("gate", LLMBENCH_ARGS="""-k 'a b' --llm-margin=0.1 "$(touch pwned)" """)

    (call,) = job.calls("pytest")
    place = call.index("-k")
    assert call[place : place + 4] == ["-k", "a b", "--llm-margin=0.1", "$(touch pwned)"]
    assert not (job.folder / "pwned").exists()


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


# -- baselines


@pytest.mark.parametrize("baseline", ["none", "other.json"])
def test_without_a_baseline_nothing_is_gated(job: Job, baseline: str) -> None:
    """A repository that has none yet runs, with a warning how to get one."""
    finished = job.run("gate", LLMBENCH_BASELINE=baseline)

    (call,) = job.calls("pytest")
    assert "--llm-no-fail" in call
    assert not any(argument.startswith("--llm-baseline") for argument in call)
    assert ("There is no other.json, so nothing is gated" in finished.log) is (baseline != "none")


def artifact(branch: str, repository: int = 1, run: int = 11) -> dict[str, Any]:
    return {"workflow_run": {"id": run, "head_branch": branch, "head_repository_id": repository, "repository_id": 1}}


def test_the_artifact_of_the_default_branch_is_the_baseline(job: Job) -> None:
    """The newest of its own branch; one of a fork's branch of that name does not count."""
    found = [artifact("main", repository=2, run=9), artifact("it's", run=10), artifact("main"), artifact("main", run=8)]
    job.write("artifacts.json", {"artifacts": found})
    job.write("artifact.json", RUN)

    finished = job.run("gate", LLMBENCH_BASELINE="artifact", PULL_REQUEST="")

    assert job.calls("gh")[1][:3] == ["run", "download", "11"]
    assert "--llm-baseline=.llmbench/action/baseline/baseline.json" in job.calls("pytest")[0]
    assert finished.outputs["baseline"] == "./.llmbench/action/baseline/baseline.json"


@pytest.mark.parametrize(
    ("refuse", "status", "sentence"),
    [
        (None, 0, "There is no baseline yet, so nothing is gated; accept a run on main (llmbench accept)."),
        ("download", 4, "The baseline of run 11 cannot be fetched (artifacts expire); accept a run again"),
        ("artifacts?", 4, "The list of artifacts cannot be read; the job needs the permission actions: read."),
    ],
)
def test_no_artifact_or_an_expired_one(job: Job, refuse: str | None, status: int, sentence: str) -> None:
    """None yet is a warning; one that cannot be fetched is red: the gate must not be passed by waiting."""
    job.write("artifacts.json", {"artifacts": [artifact("main")] if refuse else []})
    if refuse is not None:
        job.write("refuse", refuse)

    finished = job.run("gate", LLMBENCH_BASELINE="artifact")

    assert finished.status == status
    assert sentence in finished.log


def test_a_changed_prompt_is_compared_with_the_merge_base(job: Job) -> None:
    """The model answers the cases of the merge base first, in a worktree, then those of the pull request."""
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(job.folder))
    subprocess.run([*git, "init", "-q", "-b", 'it\'s-"main"'], check=True)
    (job.folder / "cases").mkdir()
    (job.folder / "cases" / "old.yaml").write_text("old")
    subprocess.run([*git, "add", "cases"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "a"], check=True)
    base = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run([*git, "remote", "add", "origin", str(job.folder)], check=True)
    job.write("compare.json", {"merge_base_commit": {"sha": base}})

    finished = job.run("gate", LLMBENCH_BASELINE="base", GITHUB_BASE_REF='it\'s/"main"')

    assert finished.status == 0, finished.log
    first, second = job.calls("pytest")
    assert first[-1] != second[-1]
    assert not Path(first[-1].removeprefix("in ")).exists()  # the worktree is gone
    assert "--llm-no-fail" in first
    assert {"--llm-baseline=.llmbench/action/base.json", "--llm-allow-different=prompt"} <= set(second)
    store = f"--llm-answers={job.folder}/.llmbench/answers.sqlite"
    assert store in first
    assert store in second
    assert 'compare/it\'s%2F"main"...0123456789abcdef' in job.calls("gh")[0][1]


# -- forks


@pytest.mark.parametrize(("require", "status"), [("false", 0), ("true", 1)])
def test_a_fork_without_a_key_has_its_suites_checked(job: Job, require: str, status: int) -> None:
    """It is not evaluated, which fails only where that was asked for."""
    job.write("status.txt", "4")
    job.write("output.txt", 'ERROR: Model "gpt" needs an API key: set OPENAI_API_KEY, or name another variable.')

    finished = job.run("gate", HEAD_REPOSITORY="them/it", LLMBENCH_REQUIRE_KEY=require)

    assert finished.status == status
    assert "Not evaluated: a pull request of a fork has no secret" in finished.log
    assert finished.outputs["verdict"] == "none"
    assert job.calls("llmbench") == [["validate", "cases/"]]


def test_a_missing_key_of_the_own_repository_is_red(job: Job) -> None:
    """There it is a fault of the workflow."""
    job.write("status.txt", "4")
    job.write("output.txt", 'ERROR: Model "gpt" needs an API key: set OPENAI_API_KEY, or name another variable.')

    assert job.run("gate").status == 4


# -- the comment


def test_the_first_comment_is_posted(job: Job) -> None:
    """Marker, verdict, model, commit, age of the baseline, then the summary."""
    job.run("comment")

    *_, post = job.calls("gh")
    assert post[:5] == ["api", "--silent", "--method", "POST", "repos/us/it/issues/5/comments"]
    assert (job.stubs / "body.md").read_text() == (
        f"{MARKER}\n<!-- 7.1 judge.0 -->\n"
        "**no worse**: model `candidate`, commit 0123456, baseline 3 days old, "
        "[run and report](https://example.org/run)\n\n<!-- llmbench -->\n## the summary\n"
    )


def remark(number: int, body: str = "hello", author: str = BOT) -> dict[str, Any]:
    return {"id": number, "user": {"login": author}, "body": body}


@pytest.mark.parametrize(
    ("pages", "number"),
    [
        ([[remark(1), remark(2, f"{MARKER}\n<!-- 6.1 judge.0 -->\nold")]], 2),
        ([[remark(n) for n in range(100)], [remark(101, f"{MARKER}\nold")]], 101),
        ([[remark(1, f"{MARKER}\nforged", author="mallory"), remark(2, f"{MARKER}\nours")]], 2),
        ([[remark(1, f"look: {MARKER}"), remark(2, "<!-- llmbench:gate:other -->\na")]], None),
        ([[remark(1, f"{MARKER}\nforged", author="mallory")]], None),
    ],
    ids=["second", "101st", "forged beside ours", "mentioned or another job's", "forged alone"],
)
def test_the_own_comment_is_kept_up_to_date(job: Job, pages: list[list[dict[str, Any]]], number: int | None) -> None:
    """The one of the bot that begins with the marker, on whichever page; else a new one is written."""
    for place, page in enumerate(pages):
        job.write(f"comments-{place + 1}.json", page)

    job.run("comment")

    *_, call = job.calls("gh")
    if number is None:
        assert call[3] == "POST"
    else:
        assert call[3:5] == ["PATCH", f"repos/us/it/issues/comments/{number}"]


def test_two_jobs_of_a_run_do_not_overwrite_each_other(job: Job) -> None:
    """The second leaves the comment of the first, and says how to part them."""
    job.write("comments-1.json", [remark(2, f"{MARKER}\n<!-- 7.1 judge.1 -->\nof the other job")])

    finished = job.run("comment")

    assert "Another job of this run has written the comment" in finished.log
    assert len(job.calls("gh")) == 1


@pytest.mark.parametrize("refuse", ["comments?", "--silent"])
def test_a_token_that_may_not_comment_fails_nothing(job: Job, refuse: str) -> None:
    """A warning names the permission."""
    job.write("refuse", refuse)

    finished = job.run("comment")

    assert finished.status == 0
    assert "the job needs the permission pull-requests: write" in finished.log


@pytest.mark.parametrize(
    "variables", [{"HEAD_REPOSITORY": "them/it"}, {"PULL_REQUEST": ""}, {"LLMBENCH_COMMENT": "never"}]
)
def test_where_no_comment_belongs(job: Job, variables: dict[str, str]) -> None:
    """A fork's token may only read, a nightly run has no pull request, and `never` is never."""
    finished = job.run("comment", **variables)

    assert finished.status == 0
    assert job.calls("gh") == []


def test_nothing_in_a_name_ends_the_marker(job: Job) -> None:
    """The name of a workflow stays within its comment, and that of a model within its quotes."""
    job.run("comment", GITHUB_WORKFLOW="a --> b", LLMBENCH_MODEL="a`b")

    first, _, third, *_ = (job.stubs / "body.md").read_text().splitlines()
    assert first == "<!-- llmbench:a -- b:. -->"
    assert "`ab`" in third


# -- action.yml


def test_the_script_reads_no_expression() -> None:
    """What a pull request names reaches the script in variables alone: an expression in a script is code."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


def test_each_action_is_named_by_its_commit() -> None:
    """A tag can be moved, a commit cannot."""
    used = [step["uses"] for step in ACTION["runs"]["steps"] if "uses" in step]

    assert len(used) == 4
    assert all(len(name.partition("@")[2]) == 40 for name in used)


def test_each_variable_of_the_script_is_set_by_the_action() -> None:
    """The script needs no variable that the action forgets to hand on."""
    names = set(re.findall(r"LLMBENCH_[A-Z_]+", SCRIPT.read_text()))
    given = {name for step in ACTION["runs"]["steps"] for name in step.get("env", {})}

    assert names
    assert names <= given

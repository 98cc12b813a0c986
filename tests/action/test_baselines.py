"""The baselines of the action: a file, an artifact, the merge base; and forks, which have no key."""

import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from action_job import RUN, Finished, Job, commit


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
        (None, 0, "There is no baseline yet, so nothing is gated; accept a run on main (accept: true)."),
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


@pytest.mark.parametrize("content", ["<html>", "{}", "[]"])
def test_an_artifact_that_holds_no_run_is_red(job: Job, content: str) -> None:
    """As one that expired: there is no gate to pass."""
    job.write("artifacts.json", {"artifacts": [artifact("main")]})
    job.write("artifact.json", content)

    finished = job.run("gate", LLMBENCH_BASELINE="artifact")

    assert (finished.status, job.calls("pytest")) == (4, [])
    assert "The artifact llmbench-baseline of run 11 holds no run of pytest-llmbench as baseline.json" in finished.log


def test_the_baseline_may_be_on_a_later_page(job: Job) -> None:
    """Others can make any number of artifacts of its name."""
    job.write("artifacts-1.json", {"artifacts": [artifact("main", repository=2)] * 100})
    job.write("artifacts-2.json", {"artifacts": [artifact("main"), artifact("main", run=8)]})
    job.write("artifacts-3.json", {"artifacts": [artifact("main", run=7)]})
    job.write("artifact.json", RUN)

    job.run("gate", LLMBENCH_BASELINE="artifact", DEFAULT_BRANCH="")

    branch, listing, download = job.calls("gh")
    assert branch[:2] == ["api", "repos/us/it"]  # the event of a schedule may not name it
    assert "--paginate" in listing
    assert download[:4] == ["run", "download", "11", "--repo"]


def test_each_project_of_a_repository_has_a_baseline_of_its_own(job: Job) -> None:
    """Its artifact has the folder in its name."""
    job.write("artifacts.json", {"artifacts": [artifact("main")]})
    job.write("artifact.json", RUN)

    finished = job.run("gate", LLMBENCH_BASELINE="artifact", LLMBENCH_DIRECTORY="apps/a b", PULL_REQUEST="")

    listing, download = job.calls("gh")
    assert listing[2] == "repos/us/it/actions/artifacts?name=llmbench-baseline-apps-a-b&per_page=100"
    assert download[download.index("--name") + 1] == "llmbench-baseline-apps-a-b"
    assert finished.outputs["baseline-name"] == "llmbench-baseline-apps-a-b"


# -- the merge base


@pytest.fixture
def base(job: Job) -> str:
    """Make the job's folder a repository with a case, which is its own remote; gives the commit."""
    (job.folder / "cases").mkdir()
    (job.folder / "cases" / "old.yaml").write_text("old")
    sha = commit(job.folder, "base")
    subprocess.run(["git", "-C", str(job.folder), "remote", "add", "origin", str(job.folder)], check=True)
    job.write("compare.json", {"merge_base_commit": {"sha": sha}})
    return sha


def test_a_changed_prompt_is_compared_with_the_merge_base(job: Job, base: str) -> None:
    """The model answers the cases of the merge base first, in a worktree, then those of the pull request."""
    branch = 'it\'s/"main" b'

    finished = job.run(
        "gate",
        LLMBENCH_BASELINE="base",
        GITHUB_BASE_REF=branch,
        LLMBENCH_ARGS="--llm-stop-early loss",
        GITHUB_SHA="0" * 40,
    )

    assert finished.status == 0, finished.log
    first, second = job.calls("pytest")
    assert first[-1] != second[-1]
    assert not Path(first[-1].removeprefix("in ")).exists()  # the worktree is gone
    assert {"--llm-no-fail", "--llm-summary=off"} <= set(first)
    assert first[-3:-1] == ["--llm-stop-early=off", "cases/"]
    assert {"--llm-baseline=.llmbench/action/base.json", "--llm-allow-different=prompt"} <= set(second)
    store = f"--llm-answers={job.folder}/.llmbench/answers.sqlite"
    assert store in first
    assert store in second
    assert 'compare/it\'s%2F"main" b...0123456789abcdef' in job.calls("gh")[0][1]


def test_of_github_s_merge_the_first_parent_is_compared_with(job: Job, base: str) -> None:
    """What the base branch got since the pull request branched off is in both then, and no finding about it."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(job.folder)]
    subprocess.run([*git, "checkout", "-q", "-b", "topic"], check=True)
    commit(job.folder, "topic")
    subprocess.run([*git, "checkout", "-q", "main"], check=True)
    newer = commit(job.folder, "newer")
    subprocess.run([*git, "merge", "-q", "--no-ff", "-m", "parent x", "topic"], check=True)
    merged = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()

    finished = job.run("gate", LLMBENCH_BASELINE="base", GITHUB_SHA=merged)

    assert finished.status == 0, finished.log
    assert job.calls("gh") == []
    assert (job.stubs / "commits.txt").read_text().splitlines() == [newer, merged]
    assert newer != base


def test_a_commit_is_fetched_with_the_token_of_the_job(job: Job, base: str) -> None:
    """The checkout keeps none, and no list of processes may show it."""
    job.write("compare.json", {"merge_base_commit": {"sha": "1" * 40}})
    real = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout.strip()
    git = job.stubs.parent / "bin" / "git"
    git.write_text(
        f'#!/usr/bin/env bash\n[ "$1" = fetch ] || exec {real} "$@"\n'
        'printf "%s\\n" "$*" "$GIT_CONFIG_COUNT" "$GIT_CONFIG_KEY_1" "$GIT_CONFIG_VALUE_0" "$GIT_CONFIG_VALUE_1" '
        '>"$STUBS/fetched"; exit 1\n'
    )
    git.chmod(0o755)

    finished = job.run("gate", LLMBENCH_BASELINE="base")

    assert finished.status == 4
    assert f"The merge base {'1' * 40} cannot be fetched." in finished.log
    arguments, count, key, reset, header = (job.stubs / "fetched").read_text().splitlines()
    assert arguments == f"fetch --quiet --depth=1 origin {'1' * 40}"
    assert (count, key, reset) == ("2", "http.https://github.com/.extraheader", "")
    assert b64decode(header.removeprefix("AUTHORIZATION: basic ")) == b"x-access-token:secret"


@pytest.mark.parametrize(
    ("directory", "first", "refuse", "sentence"),
    [
        ("", "first-2", None, "cannot be run (exit status 2)."),
        ("new", None, None, "has no folder new; leave baseline out for this pull request."),
        ("", None, "compare", "The merge base of the pull request cannot be found; the job needs the permission"),
    ],
    ids=["broken suite", "no folder", "no merge base"],
)
def test_a_merge_base_that_cannot_be_asked_is_red(
    job: Job, base: str, directory: str, first: str | None, refuse: str | None, sentence: str
) -> None:
    """There is nothing to gate with."""
    if first is not None:
        job.write(first, "")
    if refuse is not None:
        job.write("refuse", refuse)
    (job.folder / directory).mkdir(exist_ok=True)
    place = Job(job.folder / directory, job.stubs, job.usual)

    finished = place.run("gate", LLMBENCH_BASELINE="base", LLMBENCH_DIRECTORY=directory or ".")

    assert finished.status == 4
    assert sentence in finished.log


def test_without_a_pull_request_there_is_no_merge_base(job: Job) -> None:
    """A nightly run is not gated, and says so."""
    finished = job.run("gate", LLMBENCH_BASELINE="base", PULL_REQUEST="")

    assert finished.status == 0
    assert "baseline: base needs a pull request; nothing is gated." in finished.log
    assert "--llm-no-fail" in job.calls("pytest")[0]


# -- accept


def accepting(job: Job, status: int, **variables: str) -> Finished:
    """Run by hand on the default branch, with accept on and an artifact there."""
    job.write("status.txt", str(status))
    job.write("artifacts.json", {"artifacts": [artifact("main")]})
    job.write("artifact.json", RUN)
    by_hand = {"PULL_REQUEST": "", "GITHUB_REF": "refs/heads/main", "LLMBENCH_BASELINE": "artifact"}
    return job.run("gate", **{**by_hand, "LLMBENCH_ACCEPT": "true", **variables})


@pytest.mark.parametrize("status", [0, 8])
def test_a_run_is_accepted_by_hand(job: Job, status: int) -> None:
    """It is uploaded in place of the old one; who accepts has decided what the gate could not."""
    finished = accepting(job, status)

    assert (finished.status, finished.outputs["status"]) == (0, str(status))
    assert job.calls("llmbench")[-1][:2] == ["accept", ".llmbench/action/run.json"]
    assert finished.outputs["baseline"] == "./.llmbench/action/accepted/baseline.json"
    assert (job.folder / finished.outputs["baseline"]).is_file()
    assert "The run is the baseline now." in finished.log


@pytest.mark.parametrize("status", [1, 2, 4])
def test_a_run_that_is_worse_or_broken_is_not_accepted(job: Job, status: int) -> None:
    """The old baseline stays."""
    finished = accepting(job, status)

    assert finished.status == status
    assert "baseline" not in finished.outputs
    assert "The run is not accepted." in finished.log


def test_a_run_that_llmbench_does_not_accept_is_red(job: Job) -> None:
    """One with errors, or with cases left out."""
    job.write("refuse-accept", "")

    finished = accepting(job, 0)

    assert (finished.status, finished.outputs.get("baseline")) == (1, None)


def test_an_expired_baseline_lets_a_person_accept_another(job: Job) -> None:
    """It fails every run but the one that is to make a new one."""
    job.write("refuse", "download")

    assert accepting(job, 0).status == 0
    assert "--llm-no-fail" in job.calls("pytest")[0]
    assert accepting(job, 0, LLMBENCH_ACCEPT="false").status == 4


def test_a_committed_baseline_is_replaced_by_a_commit(job: Job) -> None:
    """The run is uploaded for it."""
    finished = accepting(job, 0, LLMBENCH_BASELINE="baseline.json")

    assert finished.outputs["baseline"] == "./.llmbench/action/accepted/baseline.json"
    assert "commit the file of the artifact as baseline.json, which goes first" in finished.log


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PULL_REQUEST": "5"}, "accept: the run of a pull request becomes no baseline"),
        ({"GITHUB_REF": "refs/heads/topic"}, "accept: start the workflow on main"),
        ({"LLMBENCH_ACCEPT": "yes"}, 'accept is "yes"; it must be one of: true false.'),
    ],
)
def test_where_nothing_can_be_accepted(job: Job, variables: dict[str, str], sentence: str) -> None:
    """It ends before anything is asked."""
    job.write("artifacts.json", {"artifacts": []})
    by_hand = {"PULL_REQUEST": "", "GITHUB_REF": "refs/heads/main", "LLMBENCH_BASELINE": "artifact"}

    finished = job.run("gate", **{**by_hand, "LLMBENCH_ACCEPT": "true", **variables})

    assert (finished.status, job.calls("pytest")) == (4, [])
    assert sentence in finished.log


def test_a_pull_request_uploads_no_baseline(job: Job) -> None:
    """Its code could have written it."""
    job.write("artifacts.json", {"artifacts": [artifact("main")]})
    job.write("artifact.json", RUN)

    assert "baseline" not in job.run("gate", LLMBENCH_BASELINE="artifact").outputs


# -- forks


NO_KEY = 'ERROR: Model "gpt" needs an API key: set OPENAI_API_KEY, or name another variable.'


@pytest.mark.parametrize(("require", "status"), [("false", 0), ("true", 1)])
def test_a_fork_without_a_key_has_its_suites_checked(job: Job, require: str, status: int) -> None:
    """It is not evaluated, which fails only where that was asked for."""
    job.write("status.txt", "4")
    job.write("output.txt", NO_KEY)

    finished = job.run("gate", HEAD_REPOSITORY="them/it", LLMBENCH_REQUIRE_KEY=require)

    assert finished.status == status
    assert "Not evaluated: a pull request of a fork has no secret" in finished.log
    assert finished.outputs["verdict"] == "none"
    assert job.calls("llmbench") == [["validate", "cases/"]]
    assert "## llmbench: not evaluated" in job.summary()


def test_a_fork_without_the_key_of_a_service_is_not_evaluated_either(job: Job) -> None:
    """A header that an environment variable fills is a key too."""
    job.write("status.txt", "4")
    job.write(
        "output.txt", "The service at example.org needs a value for the header X-Key: set X_KEY, or name another."
    )

    assert job.run("gate", HEAD_REPOSITORY="them/it").status == 0


def test_a_fork_without_a_key_is_not_evaluated_against_its_merge_base(job: Job, base: str) -> None:
    """It ends with the first run that needs the key."""
    job.write("first-4", NO_KEY)

    finished = job.run("gate", HEAD_REPOSITORY="them/it", LLMBENCH_BASELINE="base")

    assert (finished.status, finished.outputs["verdict"], len(job.calls("pytest"))) == (0, "none", 1)


@pytest.mark.parametrize("status", [0, 1, 4, 8])
def test_a_fork_with_a_model_that_needs_no_key_is_gated(job: Job, status: int) -> None:
    """As any pull request, and its own faults are red."""
    job.write("status.txt", str(status))

    finished = job.run("gate", HEAD_REPOSITORY="them/it")

    assert (finished.status, finished.outputs["status"]) == (status, str(status))
    assert "Not evaluated" not in finished.log


def test_a_missing_key_of_the_own_repository_is_red(job: Job) -> None:
    """There it is a fault of the workflow."""
    job.write("status.txt", "4")
    job.write("output.txt", NO_KEY)

    assert job.run("gate").status == 4

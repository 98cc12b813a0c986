"""The CI of docs/ci.md: the workflow that `llmbench init` writes and the script for any other CI, their steps run for real."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "ci.md").read_text()
WORKFLOW = files("pytest_llmbench.cli").joinpath("templates", "llmbench.yml").read_text(encoding="utf-8")
CASES = 80


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def answers(wrong: int) -> str:
    rows = ({"case": f"c{i}", "answer": "x" if i < wrong else f"{i}", "latency_s": 0.5} for i in range(CASES))
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a project of one suite of 80 cases and recorded models, from equal to worse."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider --benchmark-quiet\n")
    (tmp_path / "cases").mkdir()
    rows = "".join(f'  - {{id: c{i}, question: "{i}?", expected: "{i}"}}\n' for i in range(CASES))
    (tmp_path / "cases" / "sums.yaml").write_text(
        'suite: sums\ngrader: exact\nprompt: {completion: "{{ question }}"}\ncases:\n' + rows
    )
    (tmp_path / "fixtures").mkdir()
    models = ""
    for name, wrong in {"incumbent": 8, "equal": 8, "slightly": 10, "worse": 30}.items():
        (tmp_path / "fixtures" / f"{name}.jsonl").write_text(answers(wrong))
        models += f'[{name}]\nprovider = "recorded"\nanswers = "{name}.jsonl"\n'
    (tmp_path / "fixtures" / "models.toml").write_text(models)
    return tmp_path


def bash(script: str, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a CI does, with this environment's commands first."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script, "gate.sh", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
    )


# -- the workflow


def steps() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(WORKFLOW)["jobs"]["gate"]["steps"]
    return found


def step(name: str) -> str:
    script: str = next(one["run"] for one in steps() if one.get("name") == name)
    return script


def decide(folder: Path, model: str, **variables: str) -> tuple[int, str, str]:
    """Run the step that decides; gives its exit status, the status it reports and what it prints."""
    output = folder / "output"
    output.write_text("")
    values = {"MODEL": model, "UNDECIDED": "8", "GITHUB_OUTPUT": str(output), **variables}
    values["GITHUB_STEP_SUMMARY"] = str(folder / "step-summary.md")
    done = bash(step("Run the cases and decide"), folder, **values)
    return done.returncode, output.read_text().strip(), done.stdout


def test_the_document_shows_the_workflow_that_init_writes() -> None:
    """The first YAML of docs/ci.md is the template, byte for byte."""
    assert blocks("yaml")[0] == WORKFLOW


def test_every_yaml_of_the_document_is_yaml() -> None:
    """What a reader copies can be read; a list of steps is one below `steps:`."""
    for block in blocks("yaml"):
        assert yaml.safe_load(block)


def test_the_workflow_lets_no_expression_into_a_script() -> None:
    """What GitHub fills in comes by the environment, where it cannot become a command."""
    assert not [one for one in steps() if "${{" in one.get("run", "")]


def test_the_workflow_may_read_and_no_more() -> None:
    """Its token can neither push nor comment."""
    assert yaml.safe_load(WORKFLOW)["permissions"] == {"contents": "read", "actions": "read"}


@pytest.mark.slow
def test_without_a_baseline_the_workflow_makes_the_first(folder: Path) -> None:
    """Wrong answers fail nothing, and the run may become the baseline."""
    status, output, _ = decide(folder, "incumbent")

    assert (status, output) == (0, "status=0")
    assert bash(step("Accept the baseline"), folder).returncode == 0
    assert (folder / "baseline.json").read_bytes() == (folder / "run.json").read_bytes()


def test_nothing_but_a_person_replaces_the_baseline() -> None:
    """Only a run that was started by hand with accept on writes it; each run of the branch keeps it from expiring."""
    writing = [one for one in steps() if "baseline.json" in str(one.get("run")) and "mv " in str(one.get("run"))]
    assert [one["if"] for one in writing] == ["github.event_name == 'workflow_dispatch' && inputs.accept"]
    (upload,) = (one for one in steps() if one.get("with", {}).get("name") == "llmbench-baseline")
    assert upload["if"].startswith("always() && github.event_name != 'pull_request'")
    assert "RENEW" not in DOCUMENT


def test_an_expired_baseline_lets_a_person_accept_another(folder: Path) -> None:
    """It fails every run but the one that is to make a new one."""
    (folder / "bin").mkdir()
    gh = folder / "bin" / "gh"
    gh.write_text('#!/bin/sh\nif [ "$1" = api ]; then echo 17; else exit 1; fi\n')
    gh.chmod(0o755)
    values = {"DEFAULT_BRANCH": "main", "GITHUB_REPOSITORY": "o/r"}

    assert bash(step("Fetch the baseline"), folder, **values, ACCEPT="").returncode == 1
    assert bash(step("Fetch the baseline"), folder, **values, ACCEPT="true").returncode == 0


@pytest.mark.slow
def test_with_a_baseline_the_workflow_gates(folder: Path) -> None:
    """No worse passes, worse fails and is not accepted, undecided fails unless it is let pass, with a warning and its status told."""
    decide(folder, "incumbent")
    bash(step("Accept the baseline"), folder)
    anchor = (folder / "baseline.json").read_bytes()

    assert decide(folder, "equal")[:2] == (0, "status=0")
    assert decide(folder, "worse")[:2] == (1, "status=1")
    assert bash(step("Accept the baseline"), folder).returncode == 2
    assert (folder / "baseline.json").read_bytes() == anchor
    status, output, said = decide(folder, "slightly")
    assert (status, output) == (8, "status=8")
    assert "::warning title=llmbench::The gate cannot decide" in said
    headlines = [line for line in (folder / "step-summary.md").read_text().splitlines() if line.startswith("## ")]
    assert [line.rsplit(": ")[-1] for line in headlines[-3:]] == ["no worse", "worse", "too few cases"]
    assert decide(folder, "slightly", UNDECIDED="0")[:2] == (0, "status=8")


@pytest.mark.parametrize(
    ("listing", "download", "said"),
    [
        ("echo 17", "echo '{}' > baseline.json", None),
        ("true", "exit 9", "::warning title=llmbench::There is no baseline yet"),
        ("echo 17", "exit 1", "::error title=llmbench::The baseline of run 17 cannot be fetched"),
        ("exit 1", "echo '{}' > baseline.json", ""),
    ],
)
def test_the_baseline_is_fetched_or_known_to_be_missing(
    folder: Path, listing: str, download: str, said: str | None
) -> None:
    """Where no earlier run left one, nothing is gated and that is told; one that cannot be fetched fails the job."""
    (folder / "bin").mkdir()
    gh = folder / "bin" / "gh"
    gh.write_text(f'#!/bin/sh\nif [ "$1" = api ]; then {listing}; else [ "$3" = 17 ] && {download}; fi\n')
    gh.chmod(0o755)

    done = bash(step("Fetch the baseline"), folder, DEFAULT_BRANCH="main", GITHUB_REPOSITORY="o/r")

    assert (done.returncode == 0) == (said is None or "::warning" in said)
    assert (folder / "baseline.json").exists() == (said is None)
    assert (said or "") in done.stdout


@pytest.mark.skipif(shutil.which("jq") is None, reason="gh has a jq of its own; this asks the same of jq itself")
def test_only_a_baseline_of_the_default_branch_counts() -> None:
    """A fork's branch may be called main as well."""
    (program,) = re.findall(r"--jq '(.*?)'", step("Fetch the baseline"), flags=re.DOTALL)
    runs = [
        {"id": 3, "head_branch": "main", "head_repository_id": 99, "repository_id": 1},
        {"id": 2, "head_branch": "topic", "head_repository_id": 1, "repository_id": 1},
        {"id": 1, "head_branch": "main", "head_repository_id": 1, "repository_id": 1},
        {"id": 0, "head_branch": "main", "head_repository_id": 1, "repository_id": 1},
    ]

    def chosen(*found: dict[str, object]) -> str:
        told = json.dumps({"artifacts": [{"workflow_run": run} for run in found]})
        command = ["jq", "-r", program]
        environment = {**os.environ, "DEFAULT_BRANCH": "main"}
        return subprocess.run(command, input=told, env=environment, text=True, capture_output=True, check=True).stdout

    assert chosen(*runs) == "1\n"
    assert chosen(*runs[:2]) == ""


# -- any other CI


@pytest.fixture(scope="module")
def kept() -> list[str]:
    """Keep the incumbent's run, which is the same in every project."""
    return []


@pytest.fixture
def baseline(folder: Path, kept: list[str]) -> str:
    """Have the script run without a baseline, and take that run as the first."""
    if not kept:
        assert bash(blocks("bash")[0], folder, "incumbent").returncode == 0
        assert bash("llmbench accept run.json -o baseline.json", folder).returncode == 0
        kept.append((folder / "baseline.json").read_text())
    return kept[0]


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("equal", 0, ""),
        ("slightly", 8, "gate: undecided; more cases or more samples would help\n"),
        ("worse", 1, "gate: worse, below a minimum score, a test failed, or the model could not be asked\n"),
        ("nobody", 4, "gate: pytest could not run (exit status 4)\n"),
    ],
)
@pytest.mark.slow
def test_the_script_for_any_ci_gates_and_renews_nothing(
    folder: Path, baseline: str, model: str, status: int, said: str
) -> None:
    """Its exit status is the gate's, and the baseline stays what it was."""
    (script,) = blocks("bash")
    (folder / "baseline.json").write_text(baseline)

    done = bash(script, folder, model)

    assert done.returncode == status
    assert done.stderr.endswith(said)
    assert (folder / "baseline.json").read_text() == baseline
    if status != 4:
        assert "llmbench: " in (folder / "summary.md").read_text().splitlines()[1]
        assert (folder / "run.xml").exists()

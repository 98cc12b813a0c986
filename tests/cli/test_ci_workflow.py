"""The CI of docs/ci.md: the workflow that it shows, and the script for any other CI, run for real."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

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


def test_the_document_shows_the_workflow_that_init_writes() -> None:
    """The first YAML of docs/ci.md is the template, with this version in it."""
    assert blocks("yaml")[0] == WORKFLOW.replace('"VERSION"', f'"{version("pytest-llmbench")}"')


def test_every_yaml_of_the_document_is_yaml() -> None:
    """What a reader copies can be read; a list of steps is one below `steps:`."""
    for block in blocks("yaml"):
        assert yaml.safe_load(block)


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

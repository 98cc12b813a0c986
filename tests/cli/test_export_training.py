"""`llmbench export-training` on the suites of a project with plugins."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmbench.cli import main

CONFTEST = """
from pytest_llmbench import Grade, GraderKind
from pytest_llmbench.models.entries import Strict


class AnyCase(Strict):
    expected: str


def grade(case, answer):
    return Grade(score=1.0, passed=True, reason="correct", explanation="")


def pytest_llmbench_graders(config):
    return {"lenient": GraderKind(name="lenient", case_fields=AnyCase, suite_fields=Strict, build=lambda s, r: grade)}
"""
SUITE = """\
suite: capitals
grader: lenient
split: {train: 0.5}
prompt: {completion: "{{ country }}"}
cases:
  - {id: peru, country: Peru, expected: Lima, split: train}
  - {id: kenya, country: Kenya, expected: Nairobi, split: held-out}
"""


def test_a_suite_with_a_grader_of_a_plugin_is_exported(tmp_path: Path) -> None:
    """The graders are those that a run has, of conftest.py too."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "s.yaml").write_text(SUITE)

    words = ("export-training", "s.yaml", "--format", "prompts", "-o", "p.jsonl")
    command = [sys.executable, "-c", "import sys; from pytest_llmbench.cli import main; sys.exit(main())", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "p.jsonl").read_text())["case_id"] == "peru"


def test_no_suite_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a suite file nor the file in which its cases stand can be the output."""
    monkeypatch.chdir(tmp_path)
    head, _ = SUITE.replace("grader: lenient", "grader: exact").split("cases:")
    Path("s.yaml").write_text(f"{head}data: d.csv\n")
    Path("d.csv").write_text("id,country,expected,split\nperu,Peru,Lima,train\n")
    before = [Path(name).read_text() for name in ("s.yaml", "d.csv")]

    statuses = [main(["export-training", "s.yaml", "--format", "sft", "-o", name]) for name in ("s.yaml", "./d.csv")]

    assert statuses == [2, 2]
    assert capsys.readouterr().err == "".join(
        f"llmbench: -o {name}: this would overwrite one of the input files; name another file.\n"
        for name in ("s.yaml", "d.csv")
    )
    assert [Path(name).read_text() for name in ("s.yaml", "d.csv")] == before

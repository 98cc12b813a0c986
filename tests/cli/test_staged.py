"""`llmbench validate --staged`: what a hook of git checks before a commit."""

import subprocess
from pathlib import Path

import pytest

from pytest_llmbench.cli import main

SUITE = 'suite: {name}\ngate: smoke\ngrader: exact\nprompt: {{completion: "{{{{ word }}}}"}}\n'
CASES = "cases:\n  - {id: a, word: b, expected: b}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a suite with its cases, one that reads a file, a broken one and YAML of another kind, none of it staged."""
    monkeypatch.chdir(tmp_path)
    for variable in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):  # set where these tests run within a hook
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "cases").mkdir()
    write = {
        "cases/whole.yaml": SUITE.format(name="whole") + CASES,
        "cases/of a file.yaml": SUITE.format(name="of-a-file") + "data: rows.jsonl\n",
        "cases/rows.jsonl": '{"id": "a", "word": "b", "expected": "b"}\n',
        "cases/broken.yaml": SUITE.format(name="broken").replace("exact", "exakt") + CASES,
        "cases/other.yaml": "a: 1\n",
        "README.md": "none\n",
    }
    for name, text in write.items():
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], check=True)
    return tmp_path


def stage(*names: str) -> None:
    subprocess.run(["git", "add", *names], check=True)


@pytest.mark.parametrize(
    ("names", "last_line"),
    [
        (["cases/whole.yaml"], "1 suite, 1 case: no errors, no warnings, no hints"),
        (["cases/rows.jsonl"], "1 suite, 1 case: no errors, no warnings, no hints"),
        (["cases/of a file.yaml", "cases/rows.jsonl"], "1 suite, 1 case: no errors, no warnings, no hints"),
        (["cases/other.yaml", "README.md"], "0 suites, 0 cases: no errors, no warnings, no hints"),
        ([], "0 suites, 0 cases: no errors, no warnings, no hints"),
    ],
)
def test_the_staged_suites_are_checked(
    repository: Path, capsys: pytest.CaptureFixture[str], names: list[str], last_line: str
) -> None:
    """A suite is, and one whose data is staged; what is not staged may be broken."""
    if names:
        stage(*names)

    status = main(["validate", "--staged"])

    assert (status, capsys.readouterr().out.splitlines()[-1]) == (0, last_line)


def test_named_files_are_checked_as_staged_ones(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pre-commit names them; a broken one is exit 1 with its place."""
    status = main(["validate", "--staged", "cases/broken.yaml", "cases/rows.jsonl"])

    first, *_, last = capsys.readouterr().out.splitlines()
    assert status == 1
    assert first.startswith('cases/broken.yaml:3: there is no grader "exakt"')
    assert last == "2 suites, 1 case: 1 error, no warnings, no hints"


def test_a_data_file_with_a_fault_is_found(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its suite cannot be loaded, and the fault has its line."""
    (repository / "cases" / "rows.jsonl").write_text('{"id": "a", "word": "b", "expected": "b"}\n{broken\n')
    stage("cases/rows.jsonl")

    status = main(["validate", "--staged"])

    assert status == 1
    assert capsys.readouterr().out.startswith("cases/rows.jsonl:2: ")


def test_a_file_that_is_deleted_is_no_fault(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be checked any more."""
    stage("cases/whole.yaml")
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a"], check=True)
    subprocess.run(["git", "rm", "-q", "cases/whole.yaml"], check=True)

    assert main(["validate", "--staged"]) == 0


def test_without_a_repository_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2: a hook that checks nothing must not be green."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    status = main(["validate", "--staged"])

    assert status == 2
    assert "--staged: git cannot list the staged files" in capsys.readouterr().err

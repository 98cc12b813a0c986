"""`llmbench accept`: the baseline is written by a person's act, and several runs of one model are pooled in it."""

import json
from pathlib import Path

import pytest

import factories
from pytest_llmbench.cli import main
from pytest_llmbench.gate.baselines import read_baselines
from pytest_llmbench.models.base import Identity
from pytest_llmbench.results.records import ModelInfo, Run, RunInfo, SuiteInfo
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.results.run_json import block_to_json
from pytest_llmbench.values import Sampling

CASES = 60


def run(date: str, *, wrong: int = 0, **changes: str) -> Run:
    """Make a run of 60 cases, the first of which are answered wrongly."""
    records = []
    for number in range(CASES):
        sample = factories.sample(float(number >= wrong), f"{date} {number}")
        records.append(factories.record(f"c{number:02}", sample, **{"model": "gpt", **changes}))
    model = ModelInfo(
        role="m", model="gpt", identity=Identity(provider="openai", model="gpt"), sampling={"s": Sampling()}
    )
    suite = SuiteInfo(suite="s", sha256="5", grader="exact", grader_version=1, path="s.yaml", n_cases=CASES)
    return Run(records=tuple(records), facts=RunInfo(models=(model,), suites=(suite,)), datetime=date)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, made: Run) -> None:
    Path(name).write_text(json.dumps({"benchmarks": [], "datetime": made.datetime, "llmbench": block_to_json(made)}))


def test_one_run_becomes_the_baseline_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """The file is the run's, to the byte, with nothing left beside it, and the command says what it wrote."""
    write("a.json", run("2026-01-01"))

    assert main(["accept", "a.json", "-o", "baseline.json"]) == 0
    assert Path("baseline.json").read_bytes() == Path("a.json").read_bytes()
    assert sorted(path.name for path in Path().iterdir()) == ["a.json", "baseline.json"]
    assert capsys.readouterr().out == "baseline.json is the baseline now: 1 run\n"


def test_several_runs_of_one_model_are_pooled() -> None:
    """The newest is compared, the others are further answers of it, in pytest's gate and in compare."""
    write("a.json", run("2026-01-01"))
    write("b.json", run("2026-01-02", wrong=1))
    write("new.json", run("2026-01-03"))

    assert main(["accept", "a.json", "b.json", "-o", "baseline.json"]) == 0

    (baseline,) = read_baselines([Path("baseline.json")])
    assert (baseline.run.datetime, [older.datetime for older in baseline.older]) == ("2026-01-02", ["2026-01-01"])
    assert read_run(Path("baseline.json")).datetime == "2026-01-02"


def test_compare_pools_what_was_accepted_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --pool, since the baseline says so itself."""
    write("a.json", run("2026-01-01"))
    write("b.json", run("2026-01-02"))
    write("new.json", run("2026-01-03"))
    main(["accept", "a.json", "b.json", "-o", "baseline.json"])
    capsys.readouterr()

    assert main(["compare", "baseline.json", "new.json", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["pooled_runs"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.json", "a.json", "-o", "baseline.json"], "this is the same run as"),
        (["a.json", "other.json", "-o", "baseline.json"], 'its model "m" is the entry'),
        (["a.json", "-o", "a.json"], "would be written over one of the runs"),
        (["no.json", "-o", "baseline.json"], "no.json: there is no such file"),
        (["old.json", "-o", "baseline.json"], "this is a plain pytest-benchmark file"),
    ],
)
def test_what_cannot_be_a_baseline_is_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the file and what of it; nothing is written."""
    write("a.json", run("2026-01-01"))
    write("other.json", run("2026-01-02", model="llama"))
    Path("old.json").write_text('{"benchmarks": []}')

    assert main(["accept", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not Path("baseline.json").exists()

"""`llmbench report`: which run is shown, which it is compared with, and what keeps a report from being written."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import factories
from pytest_llmbench.cli import main
from pytest_llmbench.cli.report import subject_of
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.results.annotations import Drawn, Mark, add_annotation, annotation_on
from pytest_llmbench.results.records import Record, Run, RunInfo
from pytest_llmbench.results.run_json import block_to_json


def record(case: str, score: float = 1.0, *, role: str = "m", suite: str = "sums") -> Record:
    sample = factories.sample(score, f"answer {score}", reason="correct" if score == 1 else "different")
    return factories.record(case, sample, suite=suite, role=role, case_sha256=f"digest of {case}")


def write(path: Path, *records: Record, date: str = "2026-01-01") -> Path:
    found = {
        "benchmarks": [],
        "datetime": f"{date}T10:00:00",
        "llmbench": block_to_json(Run(records=records, facts=RunInfo())),
    }
    path.write_text(json.dumps(found))
    return path


def scored(score: float, count: int = 70, **others: str) -> list[Record]:
    return [record(f"c{place}", score, **others) for place in range(count)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def subject(*files: Path, **others: object):  # type: ignore[no-untyped-def]
    return subject_of(files, GateSettings(), **others)  # type: ignore[arg-type]


def test_the_last_run_is_shown_against_the_one_before(folder: Path) -> None:
    """However old: the order is that of the command line, as with `compare`."""
    files = [write(folder / f"{name}.json", *scored(score)) for name, score in (("a", 0.0), ("b", 1.0), ("c", 0.0))]

    found = subject(*files)

    assert (found.name, found.before, found.gate.verdict) == ("c", "b", "worse")
    assert [entry.file for entry in found.history] == [str(path) for path in files]


def test_a_run_that_shares_no_case_is_passed_over(folder: Path) -> None:
    """The nearest before it that has a case in common is the baseline; if none has, the report says why."""
    first = write(folder / "first.json", *scored(1.0))
    other = write(folder / "other.json", *scored(1.0, suite="jokes"))
    shown = write(folder / "shown.json", *scored(1.0))

    assert subject(first, other, shown).before == "first"
    alone = subject(other, shown)
    assert (alone.before, alone.gate) == (None, None)
    assert alone.ruling.refusal.startswith("other: the runs have no case in common")


def test_a_baseline_can_be_named(folder: Path) -> None:
    """One of the runs, or another; named, it must share a case."""
    base = write(folder / "base.json", *scored(1.0))
    middle, shown = write(folder / "middle.json", *scored(0.0)), write(folder / "shown.json", *scored(0.0))

    found = subject(base, middle, shown, baseline=base)

    assert (found.before, found.gate.verdict) == ("base", "worse")
    assert subject(shown, baseline=base).before == "base"
    again = subject(Path("base.json"), shown, baseline=base)
    assert (again.before, len(again.history)) == ("base", 2)


def test_two_models_of_one_run_can_be_compared(folder: Path) -> None:
    """The second is judged against the first, and both stay in the report with all others."""
    records = [*scored(1.0, role="old"), *scored(0.0, role="new"), *scored(1.0, role="third")]
    run = write(folder / "run.json", *records)

    found = subject(run, models=("old", "new"))

    assert (found.before, found.gate.verdict) == ("old", "worse")
    assert [(suite.pairs.baseline_role, suite.pairs.role) for suite in found.gate.suites] == [("old", "new")]
    assert found.roles == ("old", "new", "third")


def test_the_two_models_of_a_run_alone_are_compared(folder: Path) -> None:
    """The first stands for what is in production; with other runs, or three models, nothing is guessed."""
    two = write(folder / "two.json", *scored(1.0, role="x"), *scored(0.0, role="y"))
    three = write(folder / "three.json", *scored(1.0, role="x"), *scored(0.0, role="y"), *scored(0.0, role="z"))

    found = subject(two)

    assert (found.title, found.gate.verdict) == ("two: y against x", "worse")
    assert subject(three).ruling is None


def test_runs_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    """Two files `run.json` have their paths for names."""
    for name in ("a", "b"):
        (folder / name).mkdir()
        write(folder / name / "run.json", *scored(1.0))

    found = subject(Path("a/run.json"), Path("b/run.json"))

    assert (found.name, found.before) == (os.path.join("b", "run.json"), os.path.join("a", "run.json"))


def test_the_command_writes_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file, said in a line; twice the same bytes."""
    base, new = write(folder / "base.json", *scored(1.0)), write(folder / "new.json", *scored(0.0))

    statuses = [main(["report", str(base), str(new), "-o", name]) for name in ("one.html", "two.html")]

    assert (statuses, capsys.readouterr().out) == ([0, 0], "wrote one.html\nwrote two.html\n")
    page = (folder / "one.html").read_bytes()
    assert page == (folder / "two.html").read_bytes()
    assert re.search(rb"<title>llmbench: new, worse</title>", page)


def test_the_margin_is_the_readers(folder: Path) -> None:
    """`--margin` judges again, with what this reader tolerates."""
    base = write(folder / "base.json", *scored(1.0, 100))
    new = write(folder / "new.json", *(record(f"c{place}", float(place > 7)) for place in range(100)))

    main(["report", str(base), str(new), "-o", "strict.html"])
    main(["report", str(base), str(new), "-o", "lax.html", "--margin", "20"])

    assert "<title>llmbench: new, worse</title>" in (folder / "strict.html").read_text()
    assert "<title>llmbench: new, no worse</title>" in (folder / "lax.html").read_text()


def test_verdicts_of_people_are_read_where_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`verdicts.jsonl` beside is used as by the other commands; a line that is none is told, and the rest counts."""
    run = write(folder / "run.json", *scored(1.0))
    answer = "answer 1.0"
    given = annotation_on(record("c0"), answer, Mark.PASS, by="ann", at="now", drawn=Drawn.RANDOM)
    add_annotation(folder / "verdicts.jsonl", given)
    with (folder / "verdicts.jsonl").open("a") as file:
        file.write("nonsense\n")

    main(["report", str(run), "-o", "report.html"])

    assert 'id="trust"' in (folder / "report.html").read_text()
    assert capsys.readouterr().err.startswith("llmbench: verdicts.jsonl:2: this line is not an annotation")


def test_without_verdicts_nothing_is_said_of_trust(folder: Path) -> None:
    """No file, no section: a grader that nobody checked is not called trusted or mistrusted."""
    run = write(folder / "run.json", *scored(1.0))

    main(["report", str(run), "-o", "report.html"])

    assert 'id="trust"' not in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.json", "-o", "x.html"], "none.json: there is no such file; write one with pytest"),
        (["run.json", "-o", "none/x.html"], "-o none/x.html: the folder {folder}/none does not exist; create it first."),
        (["run.json", "-o", "."], "-o .: this is a folder; name a file in it."),
        (["run.json", "-o", "./run.json"], "-o run.json: this would overwrite one of the input files; name another file."),
        (["run.json", "-o", "jokes.json", "--baseline", "{folder}/jokes.json"], "-o jokes.json: this would overwrite"),
        (["run.json", "-o", "jokes.json"], "-o jokes.json: this would overwrite a file that is no report;"),
        (["run.json", "-o", "verdicts.jsonl"], "-o verdicts.jsonl: this would overwrite one of the input files;"),
        (["run.json", "run.json", "-o", "x.html"], "the same file is named twice; name another one to compare"),
        (["run.json", "-o", "x.html", "--baseline", "run.json"], "name a run to show beside the baseline."),
        (["run.json", "-o", "x.html", "--baseline", "jokes.json"], "the runs have no case in common"),
        (["run.json", "-o", "x.html", "--models", "m", "n"], 'there is no model "n" in the run; it has: m.'),
        (
            ["run.json", "-o", "x.html", "--models", "m", "n", "--baseline", "jokes.json"],
            "--models needs two models of the run that is shown, and no --baseline.",
        ),
        (["run.json", "-o", "x.html", "--models", "m", "m"], "--models needs two models of the run that is shown,"),
        (["run.json", "-o", "x.html", "--baseline", "{folder}/run.json"], "name a run to show beside the baseline."),
        (["run.json", "-o", "x.html", "--verdicts", "v.jsonl"], "--verdicts v.jsonl: there is no such file;"),
        (["run.json", "-o", "x.html", "--margin", "0"], "--margin needs points of score above 0 and below 100"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """Exit status 2, a sentence with the way out; no file is written, nor written over."""
    write(folder / "run.json", *scored(1.0))
    write(folder / "jokes.json", *scored(1.0, suite="jokes"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    status = main(["report", *(argument.format(folder=folder) for argument in arguments)])

    assert status == 2
    assert capsys.readouterr().err.startswith(f"llmbench: {message.format(folder=folder)}")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_that_cannot_be_written_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A full or read-only disk is no traceback."""
    run = write(folder / "run.json", replace(record("a"), samples=record("a").samples))

    status = main(["report", str(run), "-o", "/dev/full"])

    assert status == 2
    assert capsys.readouterr().err == "llmbench: /dev/full: cannot be written: No space left on device.\n"

"""A run of a model that was trained on some of the cases."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.models.training_manifest import FILE

Project = Callable[..., pytest.Pytester]

CASES = [(f"t{n}", "train") for n in range(12)] + [(f"h{n}", "held-out") for n in range(8)]
SUITE = 'suite: capitals\ngrader: exact\nsplit: {train: 0.5}\nprompt: {completion: "{{ q }}"}\ncases:\n' + "".join(
    f"  - {{id: {name}, q: {name}?, expected: x, split: {side}}}\n" for name, side in CASES
)
OLD = [{"case": name, "answer": "y"} for name, _ in CASES]
TUNED = [{"case": name, "answer": "x" if name != "h0" else "y"} for name, _ in CASES]
QUIET = ("--benchmark-quiet",)


@pytest.fixture
def trained(project: Project) -> pytest.Pytester:
    """Make a project with a baseline, and a model whose manifest names all of the train side and one case more."""
    folder = project(OLD, suite=SUITE, tuned=TUNED)
    run = folder.runpytest("--llm-model", "model=old", "--llm-no-fail", "--benchmark-json=base.json", *QUIET)
    assert run.ret == 0
    block = json.loads((folder.path / "base.json").read_text())
    records = [*(one["extra_info"]["llmbench"] for one in block["benchmarks"]), *block["llmbench"]["unmeasured"]]
    leaked = {one["case"]: [one["case_sha256"], one["prompt_sha256"], None] for one in records if one["case"] != "h7"}
    cases = {name: known for name, known in leaked.items() if name.startswith("t") or name == "h6"}
    manifest = {"schema": 1, "weights": "sha256:x", "cases": {"capitals": cases}, "foreign": []}
    (folder.path / "fixtures" / FILE).write_text(json.dumps(manifest))
    models = folder.path / "fixtures" / "models.toml"
    text = models.read_text().replace('answers = "tuned.jsonl"', f'answers = "tuned.jsonl"\ntraining = "{FILE}"')
    models.write_text(text)
    return folder


def test_the_gate_of_a_run_leaves_out_what_its_model_was_trained_on(trained: pytest.Pytester) -> None:
    """The train side, and a held-out case that leaked in by hand: in the run, its file, and a comparison of two files."""
    result = trained.runpytest(
        "--llm-model",
        "model=tuned",
        "--llm-baseline=base.json",
        "--benchmark-json=tuned.json",
        "--junitxml=j.xml",
        *QUIET,
    )

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "capitals               model      7       6   85.7% *",
            "capitals (trained on)  model     13      13  100.0% *",
            "capitals  better * 0% -> 86% right on 7 cases *",
            "  compared 7 of 20 cases, 13 left out: the candidate was trained on them",
            "  trained on +100 points (*, 13 cases), held out +86 points (*",
            "verdict: better",
        ]
    )
    found = json.loads((trained.path / "tuned.json").read_text())
    block = found["llmbench"]
    records = [*(one["extra_info"]["llmbench"] for one in found["benchmarks"]), *block["unmeasured"]]
    assert {one["case"]: one["trained"] for one in records if one["case"] in ("t0", "h5", "h6")} == {
        "t0": "case",
        "h5": False,
        "h6": "case",
    }
    assert block["models"]["model"]["identity"]["training"]["cases"] == 13
    assert block["suites"]["capitals"]["split"] == {"train": 0.5, "salt": ""}
    (left_out,) = block["gate"]["not_compared"]
    assert (left_out["why"], len(left_out["cases"])) == ("the candidate was trained on them", 13)
    assert 'name="llmbench.trained.capitals[model]" value="13 cases left out"' in (trained.path / "j.xml").read_text()


def test_a_held_out_side_that_was_looked_at_often_is_named(trained: pytest.Pytester) -> None:
    """Five other models that were trained on the same cases were gated before; the same model again is no other look."""
    command = ("--llm-model", "model=tuned", "--llm-baseline=base.json", *QUIET)
    first = trained.runpytest(*command)
    book = trained.path / ".llmbench" / "held-out-looks.jsonl"
    look = json.loads(book.read_text())
    others = [{**look, "manifest": str(n)} for n in range(5)] + [{**look, "data": "other", "manifest": "x"}]
    book.write_text("".join(f"{json.dumps(one)}\n" for one in others) + '{"cut off')

    again = trained.runpytest(*command)

    assert not any("looked at" in line for line in first.outlines)
    shown = " ".join(" ".join(again.outlines).split())
    assert "capitals: the held-out side was looked at 6 times, by models that were trained on the same cases;" in shown
    assert len(book.read_text().splitlines()) == 8


def test_two_files_are_compared_without_the_manifest(
    trained: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained on stands in the records; a word brings it back, and the report shows both sides."""
    trained.runpytest("--llm-model", "model=tuned", "--llm-no-fail", "--benchmark-json=tuned.json", *QUIET)
    (trained.path / "fixtures" / FILE).unlink()
    monkeypatch.chdir(trained.path)
    capsys.readouterr()

    statuses = [main(["compare", "base.json", "tuned.json", *more]) for more in ([], ["--allow-different", "trained"])]
    text = capsys.readouterr().out
    main(["report", "base.json", "tuned.json", "-o", "r.html"])

    assert statuses == [0, 0]
    assert "compared 7 of 20 cases, 13 left out: the candidate was trained on them" in text
    assert "13 of 20 cases have a model that was trained on them (allowed)" in text
    assert "note  " in text
    page = Path("r.html").read_text(encoding="utf-8")
    assert "capitals (trained on)" in page
    assert "13 left out: the candidate was trained on them" in page


@pytest.mark.slow
def test_workers_record_the_same(trained: pytest.Pytester) -> None:
    """Each worker reads the manifest itself."""
    trained.runpytest_subprocess(
        "--llm-model", "model=tuned", "--llm-no-fail", "-n", "2", "--benchmark-json=x.json", *QUIET
    )

    found = json.loads((trained.path / "x.json").read_text())
    records = [*(one["extra_info"]["llmbench"] for one in found["benchmarks"]), *found["llmbench"]["unmeasured"]]
    assert sum(one["trained"] == "case" for one in records) == 13
    assert sum(one["trained"] is False for one in records) == 7

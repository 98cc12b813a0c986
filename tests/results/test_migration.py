"""Run files of schema 1: read for good, and rewritten on demand."""

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.results.migration import migrate_file
from pytest_llmbench.results.run_file import read_run

SAMPLE = {
    "answer": "<think>Money?</think>\n\nIt is about money.", "outcome": "passed", "score": 1.0, "reason": "correct",
    "explanation": "All points.", "format_ok": None, "latency_s": 0.5, "ttft_s": 0.1, "input_tokens": 3,
    "output_tokens": 9, "finish_reason": "stop", "concurrency": 1, "reused": False, "attempts": 1, "error": None,
    "parts": {
        "points": [{"name": "money", "hit": True, "start": 35, "end": 40}],
        "forbidden": [{"name": "no", "hit": False, "start": None, "end": None}],
    },
}  # fmt: skip
ERROR = {**SAMPLE, "answer": None, "outcome": "error", "score": None, "reason": None, "error": "HTTP 500", "parts": {}}
RECORD = {
    "schema": 1, "suite": "jokes", "case": "a", "case_sha256": "d", "model": "m", "role": "m", "prompt_style": "chat",
    "prompt_sha256": "p", "grader": "key_points", "score": 1.0, "outcome": "passed", "samples": [SAMPLE, ERROR],
    "of_another_package": 7,
}  # fmt: skip
OLD = {
    "benchmarks": [{"extra_info": {"llmbench": RECORD}, "stats": {"data": [0.5]}}, {"extra_info": {}}],
    "llmbench": {"schema": 1, "unmeasured": [{**RECORD, "case": "b"}]},
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(OLD))
    return path


def samples(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["benchmarks"][0]["extra_info"]["llmbench"]["samples"]


def test_schema_1_is_read(old: Path) -> None:
    """A file of schema 1 is read as it is; what it cannot know is unknown."""
    sample = read_run(old).records[0].samples[0]

    assert (sample.answer, sample.reasoning, sample.ttfa_s) == (SAMPLE["answer"], None, None)


def test_migrated(old: Path, tmp_path: Path) -> None:
    """Reasoning goes to its field, places of evidence move along, and everything else stays as it was."""
    assert migrate_file(old, tmp_path / "new.json")

    moved, error = samples(tmp_path / "new.json")
    found = json.loads((tmp_path / "new.json").read_text())
    assert (moved["answer"], moved["reasoning"], moved["ttfa_s"]) == ("It is about money.", "Money?", None)
    point = moved["parts"]["points"][0]
    assert moved["answer"][point["start"] : point["end"]] == "money"
    assert moved["parts"]["forbidden"] == SAMPLE["parts"]["forbidden"]
    assert error == {**ERROR, "reasoning": None, "reasoning_tokens": None, "ttfa_s": None}
    assert (found["llmbench"]["schema"], found["llmbench"]["unmeasured"][0]["schema"]) == (2, 2)
    assert found["benchmarks"][0]["extra_info"]["llmbench"]["of_another_package"] == 7
    assert found["benchmarks"][0]["stats"] == {"data": [0.5]}
    assert json.loads(old.read_text()) == OLD
    assert [record.case for record in read_run(tmp_path / "new.json").records] == ["a", "b"]


def test_twice(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In place, a file is rewritten once; a second time it stays as it is."""
    assert main(["migrate", str(old)]) == 0
    once = old.read_text()
    assert main(["migrate", str(old)]) == 0

    assert old.read_text() == once
    assert capsys.readouterr().out == f"{old}: schema 2 now\n{old}: schema 2 already\n"


def test_output_of_several(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One output cannot hold several files."""
    assert main(["migrate", str(old), str(old), "-o", "new.json"]) == 2
    assert "-o takes one run file" in capsys.readouterr().err


def test_no_run(tmp_path: Path) -> None:
    """What is no run is left as it is."""
    path = tmp_path / "plain.json"
    path.write_text('{"benchmarks": []}')

    with pytest.raises(RunFileFault, match="plain pytest-benchmark file"):
        migrate_file(path, path)

    assert path.read_text() == '{"benchmarks": []}'

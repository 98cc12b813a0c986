"""Logs of Inspect, written by Inspect itself (`make peers`): their answers are graded again, and the verdicts are its own."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.suites.loader import load_suite

LOGS = Path(__file__).parent.parent / "peers" / "inspect"
Import = Callable[..., tuple[int, list[str]]]

VERDICTS = {
    "choice": "s: 10 of 10 verdicts of the source are the same here",
    # reasoning is taken off before a check sees the answer
    "includes": "s: 46 of 47 verdicts of the source are the same here; different: includes-22",
    "includes-case": "s: 46 of 47 verdicts of the source are the same here; different: includes-case-22",
    "match-any": "s: 47 of 47 verdicts of the source are the same here",
    "match-begin": "s: 47 of 47 verdicts of the source are the same here",
    "match-end": "s: 47 of 47 verdicts of the source are the same here",
    "match-exact": "s: 47 of 47 verdicts of the source are the same here",
    # a percent sign is ignored here
    "match-number": "s: 16 of 17 verdicts of the source are the same here; different: match-number-6",
    "pattern": "s: 47 of 47 verdicts of the source are the same here",
}


@pytest.mark.parametrize(("name", "line"), VERDICTS.items(), ids=list(VERDICTS))
def test_the_verdicts_are_those_of_the_log(name: str, line: str, import_of: Import, tmp_path: Path) -> None:
    """Each scorer that is mapped decides on every adversarial answer as Inspect did, but for what is known."""
    status, lines = import_of(LOGS / f"{name}.eval")

    assert (status, lines[-1]) == (0, line)
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    assert loaded.suite.source is not None
    assert loaded.suite.source.about["inspect_ai"] == "0.3.285"
    answers = (tmp_path / "cases" / "s.answers.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(one)["case"] for one in answers] == [case.id for case in loaded.suite.cases]


def test_epochs_are_samples_and_shapes_are_suites(import_of: Import, tmp_path: Path) -> None:
    """A log in JSON: two answers for each case, and a suite for each shape of conversation."""
    status, lines = import_of(LOGS / "epochs.json")

    assert status == 0
    assert lines[-2:] == [
        "s-system-user: 2 of 2 verdicts of the source are the same here",
        "s-user: 2 of 2 verdicts of the source are the same here",
    ]
    answers = (tmp_path / "cases" / "s-system-user.answers.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(one)["answer"] for one in answers] == ["yes", "perhaps"]


def test_a_sample_keeps_the_answers_of_its_cases(import_of: Import, tmp_path: Path) -> None:
    """Answers and verdicts of the cases that are drawn go with them, and no others."""
    status, lines = import_of(LOGS / "match-end.eval", "--limit", "5", "--seed", "1")

    assert (status, lines[-1]) == (0, "s: 5 of 5 verdicts of the source are the same here")
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    answers = (tmp_path / "cases" / "s.answers.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(one)["case"] for one in answers] == [case.id for case in loaded.suite.cases]


def test_a_scorer_without_an_equal_is_refused(import_of: Import, tmp_path: Path) -> None:
    """`exact` normalises words as no check does."""
    status, lines = import_of(LOGS / "exact.eval")

    assert status == 1
    assert lines[0] == (
        "exact.eval: scorer exact: there is no check for it; those mapped are: match, includes, pattern, choice."
    )
    assert not (tmp_path / "cases").exists()


def log(tmp_path: Path, **changes: Any) -> Path:
    """Write a log of two samples in JSON, some of its parts replaced."""
    found = json.loads((LOGS / "epochs.json").read_text(encoding="utf-8"))
    path = tmp_path / "log.json"
    path.write_text(json.dumps({**found, **changes}), encoding="utf-8")
    return path


def test_a_prompt_is_never_parsed_as_a_template(import_of: Import, tmp_path: Path) -> None:
    """Braces in what was sent stay braces."""
    samples = json.loads((LOGS / "epochs.json").read_text(encoding="utf-8"))["samples"][1:2]
    samples[0]["messages"][0]["content"] = "{{ 7 * 7 }} {% if %}"
    samples[0] |= {"target": "{{ x }}"}
    samples[0]["output"]["completion"] = "It is {{ x }}."
    samples[0]["scores"]["includes"]["value"] = "C"

    status, lines = import_of(log(tmp_path, samples=samples))

    assert (status, lines[-1]) == (0, "s: 1 of 1 verdict of the source are the same here")
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    (prompt,) = loaded.prompts[next(iter(loaded.prompts))].values()
    assert prompt.messages[0].content == "{{ 7 * 7 }} {% if %}"


def test_a_sample_that_used_tools_is_left_out(import_of: Import, tmp_path: Path) -> None:
    """With --partial the other samples are taken, and the suite counts what it lacks."""
    samples = json.loads((LOGS / "epochs.json").read_text(encoding="utf-8"))["samples"]
    samples[0]["messages"][-1]["tool_calls"] = [{"function": "bash"}]

    status, lines = import_of(log(tmp_path, samples=samples[:2]), "--partial")

    assert status == 0
    assert lines[:2] == [
        "log.json: sample 1: it uses tools or a sandbox, which no suite has.",
        "wrote TMP/cases/s.yaml: 1 case, 1 case left out",
    ]


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


BOMB = zipped({"header.json": b"{}", "samples/1_epoch_1.json": b"0" * (65 * 1024**2)})
LIAR = bytearray(zipped({"header.json": b" " * 5000 + b"{}"}))
for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
    place = LIAR.find(signature) + offset
    LIAR[place : place + 4] = (100).to_bytes(4, "little")

BAD = {
    "odd parts": (zipped({"header.json": b'{"status": "success", "eval": 5}'}), "this is no log of Inspect: `eval`"),
    "a bomb": (BOMB, "this archive unfolds to over 2,048 MiB, or a member to over 64 MiB."),
    "a liar": (bytes(LIAR), "log.eval: th"),
    "not finished": (zipped({"_journal/start.json": b"{}"}), "this log has no header.json: it is no log of Inspect"),
    "cut off": (BOMB[:500], "this archive cannot be read"),
    "no archive": (b"hello", "this is no log of Inspect"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "failed": (zipped({"header.json": b'{"status": "error", "eval": {}}'}), "the run of this log did not succeed"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=list(BAD))
def test_a_log_that_cannot_be_read_is_one_line(content: bytes, message: str, import_of: Import, tmp_path: Path) -> None:
    """The line names the file and what is wrong, and nothing is written."""
    path = tmp_path / "log.eval"
    path.write_bytes(content)

    status, lines = import_of(path)

    assert status == 2
    (line,) = lines
    assert message in line
    assert not (tmp_path / "cases").exists()

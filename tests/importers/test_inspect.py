"""Logs of Inspect, written by Inspect itself (`make peers`): their answers are graded again, and the verdicts are its own."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.grading.checks.of_case import CaseChecks
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Case

LOGS = Path(__file__).parent.parent / "peers" / "inspect"
Import = Callable[..., tuple[int, list[str]]]

VERDICTS = {
    "exact": "s: 47 of 47 verdicts of the source are the same here",
    "exact-words": "s: 15 of 15 verdicts of the source are the same here",
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
    assert {json.loads(one)["source_verdict"] for one in answers} <= {"C", "I", "P", "N"}


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


def test_a_check_lists_what_differs_and_writes_nothing(import_of: Import, tmp_path: Path) -> None:
    """Each verdict with its case, what the source decided, and what the answer gets here."""
    status, lines = import_of(LOGS / "match-number.eval", "--check")

    assert (status, lines) == (
        0,
        [
            's: match-number-6: wrong in the source, here correct (score 1.00): Expected 42, found "42".',
            VERDICTS["match-number"],
        ],
    )
    assert not (tmp_path / "cases").exists()


def test_a_scorer_without_an_equal_is_refused(import_of: Import, tmp_path: Path) -> None:
    """What it decides is not known here."""
    task = json.loads((LOGS / "epochs.json").read_text(encoding="utf-8"))["eval"]

    status, lines = import_of(log(tmp_path, eval={**task, "scorers": [{"name": "f1"}]}))

    assert status == 1
    assert lines[0] == (
        "log.json: scorer f1: there is no check for it; those mapped are: match, includes, exact, pattern, choice."
    )
    assert not (tmp_path / "cases").exists()


def test_a_solver_of_its_own_is_refused(import_of: Import, tmp_path: Path) -> None:
    """It may have changed the answers before they were scored."""
    status, lines = import_of(log(tmp_path, plan={"steps": [{"solver": "generate"}, {"solver": "tidied"}]}))

    assert status == 1
    assert lines[0].startswith(
        "log.json: solver tidied: it may change an answer before it is scored; those mapped are: "
    )


DATASETS = {
    "biology.jsonl": ("--map", "input=question,target=answer,id=qid,metadata=level", "--scorer", "match('begin')"),
    "questions.csv": ("--scorer", "includes(ignore_case=False)"),
    "mcq.json": ("--scorer", "choice()"),
}


def checks_of(case: Case) -> list[Any]:
    assert isinstance(case.rules, CaseChecks)
    return [check.canonical for check in case.rules.checks]


@pytest.mark.parametrize("name", DATASETS)
def test_samples_are_the_cases_of_their_log(name: str, import_of: Import, tmp_path: Path) -> None:
    """A file of samples gives the prompts that Inspect sent for it, and the checks of its log; metadata are inputs."""
    status, lines = import_of(LOGS / "datasets" / name, *DATASETS[name])
    assert status == 0, lines
    own = {path.name: load_suite(path) for path in (tmp_path / "cases").glob("*.yaml")}

    status, _ = import_of(LOGS / "datasets" / f"{name.partition('.')[0]}.eval", "--update")

    assert status == 0
    assert own
    for file, found in own.items():
        logged = load_suite(tmp_path / "cases" / file)
        assert found is not None
        assert logged is not None
        assert logged.prompts == found.prompts
        assert [checks_of(case) for case in logged.suite.cases] == [checks_of(case) for case in found.suite.cases]
        assert logged.suite.part == found.suite.part
    levels = [case.inputs.get("level", case.inputs.get("topic")) for each in own.values() for case in each.suite.cases]  # type: ignore[union-attr]
    assert ("hard" in levels, "words" in levels) == (name == "biology.jsonl", name == "mcq.json")


ROW = {"input": "Q", "target": "A", "id": 1}
REFUSED = {
    "a sandbox": (
        [{**ROW, "sandbox": "docker"}],
        "--scorer match",
        "s.jsonl:1: it has `sandbox`, and no suite has a sandbox.",
    ),
    "choices with another scorer": (
        [{**ROW, "choices": ["a", "b"]}],
        "--scorer match",
        "s.jsonl:1: it has choices, and the scorer is match; choices go with `choice`.",
    ),
    "no target": ([ROW, {"input": "Q", "id": 2}], "--scorer match", "s.jsonl:2: a blank target cannot be asked for."),
    "a picture": (
        [{**ROW, "input": [{"role": "user", "content": [{"type": "image"}]}]}],
        "--scorer match",
        "s.jsonl:1: its input is no text, and no list of messages of text whose last is the user's.",
    ),
    "no scorer": (
        [ROW],
        "",
        "llmbench: a file of samples names no scorer; pass the task's own, as in --scorer 'match()' (match, includes, "
        "pattern, exact, choice).",
    ),
    "an own scorer": (
        [ROW],
        "--scorer mine()",
        "llmbench: --scorer mine(): those mapped are: match, includes, pattern, exact, choice.",
    ),
    "no argument": ([ROW], "--scorer match(loose=True)", "llmbench: --scorer match(loose=True): match has no `loose`."),
    "code": (
        [ROW],
        "--scorer match(f())",
        "llmbench: --scorer match(f()): write it as in Python, with plain values: match(numeric=True).",
    ),
    "no column": (
        [ROW],
        "--scorer match --map input=question",
        'llmbench: TMP/s.jsonl:1: there is no column "question" for input; there are: input, target, id. Name it with --map.',
    ),
    "no field": (
        [ROW],
        "--scorer match --map question=input",
        "llmbench: --map question=...: a sample has no such field; its fields are: input, target, choices, id, metadata.",
    ),
}


@pytest.mark.parametrize(("rows", "options", "message"), REFUSED.values(), ids=list(REFUSED))
def test_samples_that_no_suite_holds_are_one_line(
    rows: list[dict[str, Any]], options: str, message: str, import_of: Import, tmp_path: Path
) -> None:
    """With the line of the file, or the option that is wrong; nothing is written."""
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    status, lines = import_of(path, *options.split())

    assert status in (1, 2)
    assert lines[0] == message
    assert not (tmp_path / "cases").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("s.json", "[" * 100_000, "s.json:1: this is nested more than 500 levels deep; write it flatter."),
        ("s.jsonl", "[" * 100_000, "s.jsonl:1: this is nested too deep; write it flatter."),
        ("s.yaml", "task: x\noutput_type: y\na: " + "[" * 100_000, "s.yaml: this is no log of Inspect, and no file of"),
        (
            "s.jsonl",
            '{"input": "q", "target": "a", "metadata": ' + '{"a":' * 900 + "1" + "}" * 901 + "\n",
            "nothing written: a value of the source is nested too deep; write it flatter.",
        ),
        (
            "s.jsonl",
            '{"input": "q \\ud800", "target": "a"}\n',
            "nothing written: a text of the source holds half a character (a lone surrogate); take it out.",
        ),
    ],
)
def test_a_file_of_samples_beyond_all_limits_is_one_line(
    name: str, content: str, message: str, import_of: Import, tmp_path: Path
) -> None:
    """Lists too deep are no traceback, and end no process."""
    (tmp_path / name).write_text(content, encoding="utf-8")

    status, (line,) = import_of(tmp_path / name, "--scorer", "match")

    assert status == 2
    assert message in line
    assert import_of(tmp_path / name)[0] == 2


def test_a_long_document_in_a_table_is_a_case(import_of: Import, tmp_path: Path) -> None:
    """Of more characters than the module csv reads unless it is set up to."""
    csv.field_size_limit(131_072)  # as it is before any other file was read
    (tmp_path / "s.csv").write_text(f"input,target\n{'x' * 200_000},a\n", encoding="utf-8")

    assert import_of(tmp_path / "s.csv", "--scorer", "match")[0] == 0


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

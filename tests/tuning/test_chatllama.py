"""ChatLLaMA's files: written, read back, and what is wrong with one."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.tuning.chatllama import FileKind, foreign_rows, read_chatllama
from pytest_llmbench.tuning.export import ExportSettings, export
from pytest_llmbench.tuning.rows import Format
from pytest_llmbench.values import PromptStyle

SUITE = """\
suite: capitals
grader: yes_no
split: {train: 0.5}
prompt: {completion: "Q: {{ q }}\\nA:"}
cases:
  - {id: a, q: "1", expected: "yes", split: train}
  - {id: b, q: "2", expected: "no", split: train}
"""


def written(folder: Path, rows: Any) -> Path:
    path = folder / "rows.json"
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("kind", "as_read", "rows"),
    [
        ("chatllama-actor", FileKind.ACTOR, [("Q: 1\nA:", " yes", None), ("Q: 2\nA:", " no", None)]),
        (
            "chatllama-reward",
            FileKind.REWARD,
            [("Q: 1\nA:", " yes", 5), ("Q: 1\nA:", " no", 0), ("Q: 2\nA:", " no", 5), ("Q: 2\nA:", " yes", 0)],
        ),
        ("chatllama-rlhf", FileKind.RLHF, [("Q: 1\nA:", None, None), ("Q: 2\nA:", None, None)]),
    ],
)
def test_what_is_exported_is_read_back(
    tmp_path: Path, kind: str, as_read: FileKind, rows: list[tuple[str, str | None, float | None]]
) -> None:
    """All three files; a score of 0 is a score."""
    (tmp_path / "s.yaml").write_text(SUITE)
    registry = SuiteRegistry(tmp_path, {})
    loaded = registry.load(tmp_path / "s.yaml")
    assert loaded is not None
    path = tmp_path / "x.json"
    path.write_bytes(export([loaded], registry.graders, (), ExportSettings(format=Format(kind))).content())

    found = read_chatllama(path)

    assert isinstance(json.loads(path.read_bytes()), list)
    assert [(row.user_input, row.completion, row.score) for row in found.rows] == rows
    assert found.kind == as_read


def test_rows_become_what_each_stage_takes(tmp_path: Path) -> None:
    """Actor rows are sft, answers of different scores to one prompt are pairs, null scores are counted and left out."""
    scored = [
        {"user_input": "p", "completion": "good", "score": 4},
        {"user_input": "p", "completion": "bad", "score": 0},
        {"user_input": "p", "completion": "unknown", "score": None},
        {"user_input": "q", "completion": "alone", "score": 1.5},
        {"user_input": "p", "completion": "as bad", "score": 0.0},
    ]
    reward = read_chatllama(written(tmp_path, scored))
    actor = read_chatllama(written(tmp_path, [{"user_input": "p", "completion": "c"}]))
    prompts = read_chatllama(written(tmp_path, [{"user_input": "p"}]))

    files = (reward, actor, prompts)
    pairs = foreign_rows(files, Format.PREFERENCE, PromptStyle.COMPLETION)

    assert (reward.kind, len(reward.rows), actor.kind, prompts.kind) == ("reward", 4, "actor", "rlhf")
    assert [(row["prompt"], row["chosen"], row["rejected"], row["score"]) for row in pairs] == [
        ("p", " good", " bad", 0.8),
        ("p", " good", " as bad", 0.8),
    ]
    assert foreign_rows(files, Format.REWARD, PromptStyle.COMPLETION)[0]["chosen"] == "p good"
    (sft,) = foreign_rows(files, Format.SFT, PromptStyle.CHAT)
    assert (sft["prompt"], sft["completion"], sft["case_id"]) == (
        [{"role": "user", "content": "p"}],
        [{"role": "assistant", "content": "c"}],
        None,
    )
    assert [row["prompt"] for row in foreign_rows(files, Format.PROMPTS, PromptStyle.COMPLETION)] == ["p"]
    assert reward.prompt_digests == tuple(sorted(hashlib.sha256(text).hexdigest() for text in (b"p", b"q")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("[{", "is not JSON .*; ChatLLaMA's files are JSON arrays"),
        ({"user_input": "p"}, "it is no JSON array with rows"),
        ([], "it is no JSON array with rows"),
        ([{"user_input": "p", "completion": "c", "score": None}], "every score is null; grade the rows, or take"),
        (
            [{"user_input": "p", "completion": "c", "score": 6}],
            "row 1 has the score 6; a score is a number from 0 to 5",
        ),
        ([{"user_input": "p", "completion": "c", "score": "4"}], "row 1 has the score '4'"),
        ([{"user_input": "p", "completion": "c", "score": True}], "row 1 has the score True"),
        ([{"user_input": "p", "score": 4}], "scored row 1 has no completion"),
        ([{"user_input": "p", "completion": "c"}, {"user_input": "q"}], "row 2 has no completion; write one"),
        ([{"user_input": "p"}, {"prompt": "q"}], "row 2 has no text as `user_input`"),
        ([{"user_input": "p", "completion": ["c"]}], "row 1 has a `completion` that is no text"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_way_out(tmp_path: Path, rows: Any, message: str) -> None:
    """The row, what is wrong with it, and what to do."""
    with pytest.raises(UsageFault, match=message):
        read_chatllama(written(tmp_path, rows))

"""The data of a recipe: what may be trained on, and what is written down of it."""

import json
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.tuning.kinds import StageKind
from pytest_llmbench.tuning.recipe import DataKeys
from pytest_llmbench.tuning.stage_data import Sources, load_sources, rows_of_stage, side_lines
from pytest_llmbench.tuning.stage_rows import StageRows
from pytest_llmbench.values import PromptStyle
from tiny_llama import SUITE

CASES = "".join(
    f'  - {{id: c{place}, word: "w{place}", expected: "yes", cluster: k{place // 2}}}\n' for place in range(12)
)


def load(tmp_path: Path, suite: str, **keys: object) -> Sources:
    (tmp_path / "color.yaml").write_text(suite, encoding="utf-8")
    return load_sources(DataKeys.model_validate({"suites": ["color.yaml"], **keys}), tmp_path)


def test_rows_of_a_stage_know_their_cases(tmp_path: Path) -> None:
    """Digests of the case and its prompt, and its cluster, for each case of the train side and no other."""
    sources = load(tmp_path, SUITE + CASES)
    suite = sources.suites[0].suite
    train = {case.id: case for case in suite.cases if case.side == "train"}

    found = rows_of_stage(StageKind.SFT, sources, PromptStyle.CHAT)

    assert {row["case_id"] for row in found.rows} == set(found.cases["color"]) == set(train)
    assert all(found.cases["color"][name][0] == case.sha256 for name, case in train.items())
    assert all(found.cases["color"][name][2] == case.cluster for name, case in train.items())
    assert found.foreign == frozenset()
    assert sources.splits == {"color": {"train": 0.5, "salt": ""}}


def test_every_case_of_labels_gives_a_pair(tmp_path: Path) -> None:
    """The right label and the other one, without sampling; for kto both stand alone."""
    sources = load(tmp_path, SUITE + CASES)

    pairs = rows_of_stage(StageKind.DPO, sources, PromptStyle.CHAT).rows
    alone = rows_of_stage(StageKind.KTO, sources, PromptStyle.CHAT).rows

    assert {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in pairs} == {("yes", "no")}
    assert sorted(row["label"] for row in alone) == [False] * len(pairs) + [True] * len(pairs)


def test_rows_of_files_are_foreign(tmp_path: Path) -> None:
    """They have no case; the digests of their prompts are kept, and a score of null gives no row."""
    rows = [
        {"user_input": "w1?", "completion": "yes", "score": 5},
        {"user_input": "w1?", "completion": "no", "score": 0},
        {"user_input": "w2?", "completion": "no", "score": None},
    ]
    (tmp_path / "reward.json").write_text(json.dumps(rows), encoding="utf-8")
    sources = load_sources(DataKeys(files=("reward.json",)), tmp_path)

    found = rows_of_stage(StageKind.DPO, sources, PromptStyle.CHAT)

    (row,) = found.rows
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"], row["case_id"]) == ("yes", "no", None)
    assert (found.cases, len(found.foreign)) == ({}, 1)
    with pytest.raises(UsageFault, match=r"data.files has nothing for a stage sft; name suites, or a file of another"):
        rows_of_stage(StageKind.SFT, sources, PromptStyle.CHAT)


def test_a_suite_without_a_split(tmp_path: Path) -> None:
    """It is not trained on, unless the recipe says so; then nothing in it can decide, and that is said first."""
    suite = SUITE.replace("split: {train: 0.5}\n", "") + CASES

    with pytest.raises(UsageFault, match=r"color\.yaml has no `split`, so no model may be trained on it"):
        load(tmp_path, suite)
    sources = load(tmp_path, suite, split="all")

    assert list(side_lines(sources)) == [
        "color: all 12 cases are trained on, and none is left to decide about the model"
    ]
    assert len(rows_of_stage(StageKind.SFT, sources, PromptStyle.CHAT).rows) == 12


def test_all_cases_on_one_side(tmp_path: Path) -> None:
    """Nothing would be left to decide about the model."""
    one_sided = CASES.replace("cluster", "split: train, cluster")

    with pytest.raises(UsageFault, match=r"all cases of .*color\.yaml are on the train side; give its `split` another"):
        load(tmp_path, SUITE + one_sided)


def test_half_a_character_is_an_escape_in_the_rows() -> None:
    """A model can write one, and the file of the rows stays UTF-8."""
    rows = StageRows(rows=({"prompt": "é", "completion": "b \ud800"},))

    assert rows.text == '{"prompt": "é", "completion": "b \\ud800"}\n'
    assert json.loads(rows.text) == rows.rows[0]

"""The judge's verdicts on a thousand hand-made answers to the shipped questions, on the shipped instances."""

from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in yaml.safe_load((ROOT / "cases" / "sql.yaml").read_text(encoding="utf-8"))["cases"]
}
TABLE: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "shipped_answers.yaml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def judge_shipped(make_judge: Any) -> Any:
    return make_judge(ROOT)


@pytest.mark.parametrize("row", TABLE, ids=[row["case"] for row in TABLE])
def test_answers_get_the_grades_of_a_fair_reader(judge_shipped: Any, row: dict[str, Any]) -> None:
    """Right answers pass whatever dialect and form they come in, and wrong ones fail, but for those listed apart."""
    case = CASES[row["case"]]
    fields = {name: case[name] for name in ("ordered", "extra_columns") if name in case}

    misjudged = []
    for expected in ("correct", "missed", "wrong-result", "undetected", "invalid", "unsafe"):
        for answer in row.get(expected, ()):
            reason = judge_shipped(answer["sql"], case["reference"], **fields).reason
            told = {"missed": reason != "correct", "undetected": reason == "correct"}
            is_right = told.get(expected, reason == expected)
            misjudged += [] if is_right else [(expected, str(reason), answer["sql"])]

    assert misjudged == []


def test_every_case_has_wrong_answers_that_look_right() -> None:
    """Each shipped case is in the table, with at least three wrong answers; few right ones are missed."""
    rows = {row["case"]: row for row in TABLE}
    right = sum(len(row.get("correct", ())) for row in TABLE)

    assert set(rows) == set(CASES)
    assert min(len(row["wrong-result"]) for row in TABLE) >= 3
    assert right >= 430
    assert sum(len(row.get("missed", ())) for row in TABLE) <= right // 50
    assert sum(len(row.get("undetected", ())) for row in TABLE) <= 6

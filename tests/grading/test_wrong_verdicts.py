"""Answers that an earlier version graded wrongly (tests/data/README.md) get the right grade."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.models.reasoning import separate

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "wrong-verdicts.jsonl").read_text(encoding="utf-8").splitlines()
]
KINDS = {
    "reasoning marks",
    "harmony",
    "json fence",
    "invisible differences",
    "wrapped label",
    "answer in a later line",
    "letter labels",
    "other label as a word",
}
OWN = [row for row in ROWS if row["kind"] in KINDS]


def test_each_kind_is_there() -> None:
    """No kind is lost by a change of its name."""
    assert {row["kind"] for row in OWN} == KINDS


@pytest.mark.parametrize("row", OWN, ids=[row["id"] for row in OWN])
def test_the_grade_is_right(grade_of, row: Mapping[str, Any]) -> None:
    """Passed or failed as it should be, and the label found that a careful reader finds."""
    text = separate(row["answer"]).text  # as between provider and graders

    grade = grade_of(row["grader"], row["case"], text, suite=row["suite"])

    assert grade.passed == (row["expect"] == "passed"), grade
    assert grade.parts.get("lenient") == row.get("lenient")

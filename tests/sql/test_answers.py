"""The judge's verdicts on a table of hand-made answers, right, wrong and tricky, in many dialects."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmbench.values import Grade

pytestmark = pytest.mark.slow

_TABLE = yaml.safe_load((Path(__file__).parent / "answers.yaml").read_text(encoding="utf-8"))
_REASONS = ("correct", "wrong-result", "invalid", "unsafe", "no-sql", "empty", "refusal")


def _rows() -> Iterator[Any]:
    for question in _TABLE:
        for reason in _REASONS:
            for place, answer in enumerate(question.get(reason, ())):
                name = f"{question['question'][:28]}-{reason}-{answer['as']}-{place}"
                yield pytest.param(question, answer["sql"], reason, id=name.replace(" ", "_"))


@pytest.mark.parametrize(("question", "answer", "reason"), list(_rows()))
def test_answer_gets_the_grade_of_a_fair_reader(judge: Any, question: dict[str, Any], answer: str, reason: str) -> None:
    """An answer is judged by what it returns, whatever dialect it is written in."""
    grade: Grade = judge(answer, question["reference"])

    assert (grade.reason, grade.passed) == (reason, reason == "correct"), grade


def test_table_is_wide_enough() -> None:
    """The table holds at least 120 answers to ten questions in eight dialects, and as many ways to be wrong as to be right."""
    answers = [
        (reason, answer["as"]) for question in _TABLE for reason in _REASONS for answer in question.get(reason, ())
    ]

    assert len(answers) >= 120
    assert len(_TABLE) >= 10
    assert len({dialect for _, dialect in answers}) >= 8
    assert sum(reason != "correct" for reason, _ in answers) >= 50

"""The four published answers, judged on the shipped database."""

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = (
    "SELECT COUNT(DISTINCT user_id) FROM events WHERE rpc_method = 'Login' AND timestamp >= now() - INTERVAL 7 DAY"
)
ANSWERS = {
    "llama-7b": (
        "SELECT count (*)\nFROM events\nWHERE user_id IN (SELECT user_id\nFROM events\nWHERE timestamp >= NOW () - INTERVAL 7 DAY)\n"
        'AND rpc_method = "Login";',
        "wrong-result",
    ),
    "llama-13b": (
        'SELECT COUNT (*) FROM events WHERE rpc_method = \\"Login\\"\n'
        "AND UNIX_TIMESTAMP (timestamp) >= UNIX_TIMESTAMP (CURRENT_DATE - INTERVAL 7 DAY)",
        "wrong-result",
    ),
    "llama-33b": (
        "SELECT user_id,\nCOUNT (DISTINCT user_id) AS total\nFROM events\nWHERE timestamp BETWEEN "
        'TIMESTAMP "2013-08-14 00:00:00" AND TIMESTAMP "2013-08-21 00:00:00"\nAND rpc_method = "Login"\nGROUP BY user_id',
        "wrong-result",
    ),
    "chatgpt": (
        'SELECT COUNT (DISTINCT user_id)\nFROM events\nWHERE rpc_method = "Login"\nAND timestamp >= DATE_SUB (NOW (), INTERVAL 1 WEEK);',
        "correct",
    ),
}


@pytest.mark.parametrize("model", ANSWERS)
def test_published_answer_gets_its_grade(make_judge: Any, model: str) -> None:
    """Of the four published answers the last alone counts users of the last week."""
    answer, reason = ANSWERS[model]

    grade = make_judge(ROOT)(answer, REFERENCE)

    assert grade.reason == reason, grade


def test_failure_says_what_was_counted(judge: Any) -> None:
    """A wrong count is told with both numbers and the instance, and the parts show reading, text and rows."""
    grade = judge(ANSWERS["llama-7b"][0], REFERENCE)

    (missing,), (unexpected,) = grade.parts["difference"]["missing"], grade.parts["difference"]["unexpected"]
    expected = f"The answer counts {unexpected[0]} where the reference counts {missing[0]} on instance spring."
    assert grade.explanation == expected
    assert grade.parts["instance"] == "spring"
    assert grade.parts["reference"] == 0
    assert "TIMESTAMP) - INTERVAL '7' DAY" in grade.parts["sql"]


def test_hint_decides_the_reading_that_is_told(judge: Any) -> None:
    """The dialect of the case is tried first."""
    plain, hinted = (judge(ANSWERS["chatgpt"][0], REFERENCE, dialect=dialect) for dialect in (None, "MySQL"))

    assert (plain.parts["reading"], hinted.parts["reading"]) == ("duckdb", "mysql")

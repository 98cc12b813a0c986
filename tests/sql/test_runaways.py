"""Queries without an end, or without measure: stopped in time, and the next answer is judged as ever."""

import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 0.4
REFERENCE = "SELECT COUNT(*) FROM events WHERE rpc_method = 'Login'"
NORMAL = "SELECT SUM(rpc_method = 'Login') FROM events"

ENDLESS = [
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT COUNT(*) FROM t",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SELECT MAX(n) FROM t",
    "WITH RECURSIVE t(n, s) AS (SELECT 1, 'x' UNION ALL SELECT n + 1, s || 'x' FROM t) SELECT max(len(s)) FROM t",
    "SELECT COUNT(*) FROM events a, events b, events c, events d, events e",
    "SELECT SUM(a.user_id * b.user_id) FROM events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d CROSS JOIN events e",
    "SELECT COUNT(*) FROM range(1000000000000)",
    "SELECT SUM(x) FROM generate_series(1, 100000000000) t(x)",
    "SELECT COUNT(*) FROM events a, range(100000000) r WHERE a.user_id % 7 = r.range % 5",
    "SELECT x FROM generate_series(1, 3000000000) t(x) ORDER BY hash(x) LIMIT 1",
    "SELECT COUNT(DISTINCT hash(x)) FROM range(10000000000) t(x)",
    "SELECT row_number() OVER (ORDER BY a.event_id * b.event_id) FROM events a, events b, events c, events d LIMIT 1",
    "SELECT COUNT(*) FROM generate_series(TIMESTAMP '2000-01-01', TIMESTAMP '2024-01-01', INTERVAL 1 MICROSECOND) t(x)",
    "SELECT COUNT(*) FROM (SELECT unnest(range(100000)) a), (SELECT unnest(range(100000)) b), (SELECT unnest(range(100000)) c)",
    "SELECT len(list_filter(range(100000), x -> len(list_filter(range(100000), y -> x % (y + 1) = 3)) > 3))",
    "SELECT len(repeat('x', 3000000000))",
    "SELECT len(lpad('x', 2000000000, 'y'))",
    "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))",
    "SELECT damerau_levenshtein(repeat('ab', 40000), repeat('ba', 40000))",
    "SELECT len(printf('%1000000000d', 1))",
    "SELECT list_reduce(range(5000000), (x, y) -> (x * 31 + y) % 1000003)",
    "SELECT len(list_sort(list_transform(range(30000000), x -> hash(x))))",
    "SELECT max(len(regexp_replace(repeat('ab', 9000000), '(a|b)+c', 'x' || x, 'g'))) FROM range(100) t(x)",
    "SELECT len(CAST(to_json(range(30000000)) AS VARCHAR))",
    "SELECT bit_count(CAST(repeat('10', 100000000) AS BIT))",
]


@pytest.fixture(scope="module")
def hasty(events_root: Path, make_judge: Any) -> Any:
    return make_judge(events_root, time_limit_s=LIMIT_S)


@pytest.mark.parametrize("runaway", ENDLESS)
def test_runaway_is_stopped_and_the_next_answer_is_judged(hasty: Any, runaway: str) -> None:
    """A query that takes too much time or memory is too slow, soon, and harms no other answer."""
    hasty(NORMAL, REFERENCE)
    start = time.monotonic()

    grade = hasty(runaway, REFERENCE)
    stopped_s = time.monotonic() - start
    after = hasty(NORMAL, REFERENCE)

    assert grade.reason == "too-slow", grade
    assert (
        stopped_s < LIMIT_S + 3.0
    )  # two shared cores; the aim is the limit and 1.5 s, measured in benchmarks/sql_judge.py
    assert after.passed, after


def test_result_too_large_to_compare_is_wrong(hasty: Any) -> None:
    """A result that streams without end is cut at 10,000 rows and differs."""
    grade = hasty("SELECT * FROM range(10000000)", REFERENCE)

    assert grade.reason == "wrong-result"
    assert grade.explanation.startswith("The answer has more than 10,000 rows")


def test_there_are_twenty_runaways() -> None:
    """The table of runaways is as long as promised."""
    assert len(ENDLESS) >= 20

"""The lists of a tree's nodes, by which answers are read, and the alarm that ends their queries."""

import threading
import time

import pytest
from sqlglot import exp, parse_one

from pytest_llmbench.sql.engine import Alarm
from pytest_llmbench.sql.nodes import Kinds, depth_first, level_by_level, of_kinds

QUERIES = (
    "SELECT 1",
    "SELECT COUNT(DISTINCT a), b AS c FROM t JOIN u ON t.x = u.x WHERE a IN (1, 2) OR NOT b IS NULL GROUP BY 2 LIMIT 3",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT CASE n WHEN 1 THEN 'a' ELSE 'b' END FROM r",
    "SELECT SUM(x) OVER (PARTITION BY y ORDER BY z DESC) FROM (SELECT * FROM t) AS s(x, y, z)",
)


@pytest.mark.parametrize("query", QUERIES)
def test_nodes_are_listed_as_sqlglot_walks(query: str) -> None:
    """Rewritings depend on the order: inner nodes come before the ones around them."""
    tree = parse_one(query, read="duckdb")

    assert [id(node) for node in level_by_level(tree)] == [id(node) for node in tree.walk()]
    assert [id(node) for node in depth_first(tree)] == [id(node) for node in tree.walk(bfs=False)]
    assert of_kinds(tree, Kinds(exp.Condition)) == list(tree.find_all(exp.Condition))


class Cursor:
    """Stands for a query at work: notes that it was interrupted."""

    def __init__(self) -> None:
        self.is_interrupted = threading.Event()

    def interrupt(self) -> None:
        self.is_interrupted.set()


def test_the_alarm_keeps_a_deadline_that_is_before_the_one_it_sleeps_to() -> None:
    """A query with an hour is followed by one whose time is up at once, and that one alone is interrupted."""
    alarm, slow, late = Alarm(), Cursor(), Cursor()
    try:
        with alarm.set(slow, time.monotonic() + 3600):  # type: ignore[arg-type]
            pass
        with alarm.set(late, time.monotonic()):  # type: ignore[arg-type]
            assert late.is_interrupted.wait(20)
    finally:
        alarm.close()

    assert not slow.is_interrupted.is_set()

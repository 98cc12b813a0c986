"""The plans of early stops in an answer store: fixed before the first request, kept when a run is continued.

A run that did not finish has seen some of its answers.  Who continues it with another plan would have chosen the looks
or the margin by them.  And a run that stopped at a look is not judged anew when the rest is asked.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from pytest_llmbench.results.stops import StopPlan

LAYOUT = """
CREATE TABLE IF NOT EXISTS stop_plan (
    run INTEGER NOT NULL REFERENCES run (id),
    entry TEXT NOT NULL,
    role TEXT NOT NULL,
    suite TEXT NOT NULL,
    order_of TEXT NOT NULL,
    plan TEXT NOT NULL,
    PRIMARY KEY (run, role, suite)
) WITHOUT ROWID;
"""
TABLE = "stop_plan"

_RUNS = (
    "SELECT DISTINCT run.id, run.is_finished FROM run LEFT JOIN asked ON asked.run = run.id AND asked.role = ?2 "
    "AND asked.model = (SELECT model FROM known WHERE entry = ?1) "
    "LEFT JOIN stop_plan ON stop_plan.run = run.id AND stop_plan.role = ?2 AND stop_plan.entry = ?1 "
    "WHERE run.id < ?3 AND (asked.run IS NOT NULL OR stop_plan.run IS NOT NULL) ORDER BY run.id DESC"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierPlans:
    """The plans of the last run of a model in a role that had any; `is_finished` unless this run continues it."""

    plans: Mapping[str, StopPlan]
    is_finished: bool


class StopPlans:
    """The plans in a store, seen by one run.

    Every method raises `sqlite3.Error` where the store cannot be read or written.

    Args:
        connection: to the store; who calls holds its lock.
        run: the id of this run.
        is_alive: tells whether another run is at work.
    """

    def __init__(self, connection: sqlite3.Connection, run: int, is_alive: Callable[[int], bool]):
        self._connection = connection
        self._run = run
        self._is_alive = is_alive

    def earlier(self, entry: str, role: str) -> EarlierPlans | None:
        """Give the plans of the last run of an entry in a role that had any; None if there is none."""
        is_open = True
        for run, is_finished in self._connection.execute(_RUNS, (entry, role, self._run)).fetchall():
            is_open = is_open and not is_finished and not self._is_alive(run)
            rows = self._connection.execute(
                "SELECT plan FROM stop_plan WHERE run = ? AND role = ? AND entry = ?", (run, role, entry)
            ).fetchall()
            if rows:
                plans = [_read(json.loads(text)) for (text,) in rows]
                return EarlierPlans(plans={plan.suite: plan for plan in plans}, is_finished=not is_open)
        return None

    def keep(self, entry: str, plans: Sequence[StopPlan]) -> None:
        """Keep the plans of this run for an entry."""
        for plan in plans:
            self._connection.execute(
                "INSERT OR REPLACE INTO stop_plan VALUES (?, ?, ?, ?, ?, ?)",
                (self._run, entry, plan.role, plan.suite, plan.order_of, json.dumps(asdict(plan))),
            )

    def uses_of(self, order_of: str) -> int:
        """Count the runs that asked in the order of a baseline, this one among them."""
        query = "SELECT count(DISTINCT run) FROM stop_plan WHERE order_of = ?"
        count: int = self._connection.execute(query, (order_of,)).fetchone()[0]
        return count


def _read(found: dict[str, object]) -> StopPlan:
    lists: dict[str, object] = {name: tuple(found[name]) for name in ("looks", "levels", "cases")}  # type: ignore[arg-type]
    return StopPlan(**{**found, **lists})  # type: ignore[arg-type]

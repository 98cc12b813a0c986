"""Several workers: as many as may be, each with limits of its own."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_llmbench.sql.database.files import build, find_database
from pytest_llmbench.sql.pool import WorkerPool
from pytest_llmbench.sql.protocol import Evaluation, Question

REFERENCE = "SELECT COUNT(*) FROM events WHERE rpc_method = 'Login'"
NORMAL = "SELECT SUM(rpc_method = 'Login') FROM events"
SLOW = "SELECT levenshtein(repeat('ab', 60000), repeat('ba', 60000))"


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    made = WorkerPool()
    yield made
    made.close()


@pytest.fixture
def question(events_root: Path) -> Question:
    database = find_database("events", suite_path=events_root / "cases" / "sql.yaml", root=events_root)
    return Question(instances=build(database), references=(REFERENCE,), limit_s=1.0)


def test_a_runaway_delays_no_other_answer(pool: WorkerPool, question: Question) -> None:
    """While one worker waits for a query to be killed, the other goes on; a third is never started."""
    pool.allow(2)
    pool.evaluate(NORMAL, question)
    slow: list[Evaluation] = []
    thread = threading.Thread(target=lambda: slow.append(pool.evaluate(SLOW, question)))
    thread.start()

    others = [pool.evaluate(f"{NORMAL} -- {number}", question) for number in range(3)]
    was_waiting = thread.is_alive()
    thread.join()

    assert [one.reason for one in others] == ["correct"] * 3
    assert was_waiting
    assert slow[0].reason == "too-slow"
    assert pool.evaluate(NORMAL, question).reason == "correct"
    assert pool.n_workers == 2


def test_one_worker_takes_turns_unless_more_are_allowed(pool: WorkerPool, question: Question) -> None:
    """Threads that ask at once wait for it."""
    found: list[Evaluation] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(pool.evaluate(f"{NORMAL} -- {n}", question)))  # type: ignore[misc]
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [one.reason for one in found] == ["correct"] * 4
    assert pool.n_workers == 1

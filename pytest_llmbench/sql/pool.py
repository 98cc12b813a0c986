"""Several workers behind the methods of one: an answer is given to one that is idle, or to a new one.

Each worker keeps its own limits, kill and spare process (see `worker.py`), so that a late answer delays no other.
A process that grades one answer after another has one worker.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from functools import cache

from pytest_llmbench.sql.protocol import Evaluation, Instance, Question, Trial
from pytest_llmbench.sql.worker import Worker


class WorkerPool:
    """Gives tasks to idle workers. Safe to use from any number of threads; what finds no idle worker waits for one."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._workers = [Worker()]
        self._idle = list(self._workers)
        self._limit = 1

    def allow(self, limit: int) -> None:
        """Let up to so many workers work at once; those that are there stay."""
        with self._change:
            self._limit = max(self._limit, limit)

    @property
    def pid(self) -> int | None:
        """The process id of the first worker, None if it was not started yet."""
        return self._workers[0].pid

    @property
    def n_workers(self) -> int:
        """How many there are by now."""
        return len(self._workers)

    def start_early(self) -> None:
        """Start the first process in the background, to be ready when the first answer is."""
        self._workers[0].start_early()

    def evaluate(self, answer: str, question: Question) -> Evaluation:
        """Evaluate one answer."""
        with self._one() as worker:
            return worker.evaluate(answer, question)

    def trials(self, sql: str, instances: Sequence[Instance], limit_s: float) -> tuple[Trial, ...]:
        """Run one reference on each instance."""
        with self._one() as worker:
            return worker.trials(sql, instances, limit_s)

    def survivors(self, queries: Sequence[str], question: Question) -> tuple[int, ...]:
        """Give the places of the queries that no instance tells from the references."""
        with self._one() as worker:
            return worker.survivors(queries, question)

    def close(self) -> None:
        """End the processes; the next task would start one again."""
        for worker in self._workers:
            worker.close()

    @contextlib.contextmanager
    def _one(self) -> Iterator[Worker]:
        """Take the worker that was idle last, which knows most; a new one where all are at work and more may be."""
        with self._change:
            if not self._idle and len(self._workers) < self._limit:
                self._workers.append(Worker())
                self._idle.append(self._workers[-1])
            self._change.wait_for(lambda: self._idle)
            worker = self._idle.pop()
        try:
            yield worker
        finally:
            with self._change:
                self._idle.append(worker)
                self._change.notify()


@cache
def shared_worker() -> WorkerPool:
    """Give the workers of this process, made on first use and closed at exit."""
    return WorkerPool()

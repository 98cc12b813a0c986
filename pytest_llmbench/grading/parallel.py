"""Grade several answers at once, where the grader states that it may be called so (`GraderKind.is_parallel`)."""

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from pytest_llmbench.grading.base import GraderKind

T = TypeVar("T")
R = TypeVar("R")


MOST = 4
"""More than so many graders are used only if asked for: each takes 120 MiB."""


def cores() -> int:
    """Count the cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def allow_at_once(n: int) -> None:
    """Let up to `n` answers be evaluated at once in this process: each has a worker process of its own."""
    from pytest_llmbench.sql.pool import shared_worker

    shared_worker().allow(n)


def graded_at_once(kind: GraderKind, grade: Callable[[T], R], asked: Sequence[T], n: int) -> list[R]:
    """Grade some answers, up to `n` at once, and give what came of each in their order.

    Args:
        kind: the grader; one that is not parallel is called here, one after another.
        grade: calls it.
        asked: what `grade` is called with.
        n: at most so many at once.

    Raises whatever `grade` raises first.
    """
    if n <= 1 or not kind.is_parallel or len(asked) < 2:
        return [grade(one) for one in asked]
    from concurrent.futures import ThreadPoolExecutor

    allow_at_once(n)
    with ThreadPoolExecutor(n, thread_name_prefix="llmbench-grader") as pool:
        return list(pool.map(grade, asked))

"""Keep a bounded number of attempts in flight, and try the failed ones again later."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait before a failed request is sent again.

    Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS 2015): the
    pause is drawn from 0 to `base_s`, doubled with each attempt up to `cap_s`.  A server
    that asks for a pause gets it, up to `asked_cap_s`, and up to `base_s` more, so that those
    it sent away do not all come back in the same instant.
    """

    base_s: float = 0.5
    cap_s: float = 8.0
    asked_cap_s: float = 60.0

    def pause_s(self, attempts: int, asked_s: float | None = None) -> float:
        """Draw the pause after so many attempts."""
        if asked_s is not None:
            return min(asked_s, self.asked_cap_s) + random.uniform(0, self.base_s)  # noqa: S311 - jitter, no secret
        return random.uniform(0, min(self.cap_s, self.base_s * 2.0 ** min(attempts - 1, 30)))  # noqa: S311 - same


Attempt: TypeAlias = Callable[[int, int], Coroutine[Any, Any, float | None]]
"""Tries job number i for the n-th time: None if it is settled, else the seconds until it is to be tried again."""


class Dispatch:
    """Runs an attempt for each job, at most `limit` at once, until all are settled.

    A job that waits to be tried again is in no slot.  `limit` may be changed while it runs.

    Args:
        attempt: tries one job.
        n_jobs: how many there are, numbered from 0.
        limit: how many may be in flight.
    """

    def __init__(self, attempt: Attempt, n_jobs: int, limit: int):
        self.limit = limit
        self.attempts = [0] * n_jobs
        self._attempt = attempt
        self._is_draining = False
        self._ready = deque(range(n_jobs))
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[float | None]] = set()

    async def run(self) -> None:
        """Return when every job is settled, or those in flight are after `drain` or `stop`.

        Raises:
            Exception: what an attempt raised; the others are cancelled.
        """
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        try:
            self._fill()
            await self._finished
        finally:
            self.stop()
            await asyncio.gather(*self._running, return_exceptions=True)

    def drain(self) -> None:
        """Start nothing more, and let what is in flight come to its end."""
        self._is_draining = True
        self._ready.clear()
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def stop(self) -> None:
        """Start nothing more, and cancel what is in flight."""
        self.drain()
        for task in self._running:
            task.cancel()

    def _fill(self) -> None:
        while self._ready and len(self._running) < self.limit:
            job = self._ready.popleft()
            self.attempts[job] += 1
            task = self._loop.create_task(self._attempt(job, self.attempts[job]))
            self._running.add(task)
            task.add_done_callback(partial(self._ended, job))
        if not (self._ready or self._running or self._waiting) and not self._finished.done():
            self._finished.set_result(None)

    def _ended(self, job: int, task: asyncio.Task[float | None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            fault = task.exception()
            if fault is not None:
                self.drain()
                if not self._finished.done():
                    self._finished.set_exception(fault)
                return
            pause_s = task.result()
            if pause_s is not None and not self._is_draining:
                self._waiting[job] = self._loop.call_later(pause_s, self._again, job)
        self._fill()

    def _again(self, job: int) -> None:
        del self._waiting[job]
        self._ready.appendleft(job)
        self._fill()

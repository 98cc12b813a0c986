"""Keep a bounded number of attempts in flight, fewer while a server refuses, and try the failed ones again later."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
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


class Load(Enum):
    """What an attempt shows of how busy the server is."""

    SERVED = "served"
    """It took the request."""
    REFUSED = "refused"
    """It had no room for it: HTTP 429 or 503."""
    UNKNOWN = "unknown"
    """Nothing: the connection broke, or the server did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of an attempt. `again_in_s` is None where its job is settled, 0 where it goes before all others."""

    load: Load
    again_in_s: float | None = None


class Allowance:
    """How many requests may be in flight: additive increase, multiplicative decrease.

    Each refusal takes half a slot and each served request gives `step` slots divided by the allowance,
    so that a round of requests that are all refused halves it, one that is all served adds `step`, and a
    few refusals among many answers cost in proportion (as in DCTCP: Alizadeh et al., SIGCOMM 2010;
    halving at each would hold a run of 16 in flight at 5 for the sake of 5 % of stray refusals).
    It never exceeds the `most` that was configured and never falls below 1.

    Args:
        most: what is allowed at the beginning, and at most.
    """

    def __init__(self, most: int):
        self._most = float(most)
        self._step = max(1.0, most / 16)  # sixteen good rounds lead from the bottom to the top
        self._now = self._most

    def __int__(self) -> int:
        return int(self._now)

    def note(self, load: Load) -> None:
        """Learn from an attempt."""
        if load is Load.REFUSED:
            self._now = max(1.0, self._now - 0.5)
        elif load is Load.SERVED:
            self._now = min(self._most, self._now + self._step / self._now)


SHUT_AFTER = 4
"""Refusals in a row, with a single request in flight, that mean that the server is shut."""

Attempt: TypeAlias = Callable[[int, int, int], Coroutine[Any, Any, Tried]]
"""Tries job number i for the n-th time, with so many in flight at most."""


class Dispatch:
    """Runs an attempt for each job, at most `most` at once, until all are settled.

    A job that waits to be tried again is in no slot, and holds nobody up.  Only where the server
    refuses one request after another though a single one is in flight, all wait as long as the last
    of them: to ask for each job in turn would use up their attempts while the server is shut.

    Args:
        attempt: tries one job.
        n_jobs: how many there are, numbered from 0.
        most: how many may be in flight.
    """

    def __init__(self, attempt: Attempt, n_jobs: int, most: int):
        self.attempts = [0] * n_jobs
        self._attempt = attempt
        self._allowance = Allowance(most)
        self._is_draining = False
        self._ready = deque(range(n_jobs))
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._running: set[asyncio.Task[Tried]] = set()
        self._refused_in_a_row = 0
        self._shut: asyncio.TimerHandle | None = None

    @property
    def allowed(self) -> int:
        """How many may be in flight now."""
        return min(int(self._allowance), len(self.attempts))

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
        self._open()
        self._finish()

    def stop(self) -> None:
        """Start nothing more, and cancel what is in flight."""
        self.drain()
        for task in self._running:
            task.cancel()

    def _fill(self) -> None:
        allowed = int(self._allowance)
        while self._ready and self._shut is None and len(self._running) < allowed:
            job = self._ready.popleft()
            self.attempts[job] += 1
            task = self._loop.create_task(self._attempt(job, self.attempts[job], self.allowed))
            self._running.add(task)
            task.add_done_callback(partial(self._ended, job))
        self._finish()

    def _finish(self) -> None:
        if not (self._ready or self._running or self._waiting) and not self._finished.done():
            self._finished.set_result(None)

    def _ended(self, job: int, task: asyncio.Task[Tried]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            fault = task.exception()
            if fault is not None:
                self.drain()
                if not self._finished.done():
                    self._finished.set_exception(fault)
                return
            self._note(job, task.result())
        self._fill()

    def _note(self, job: int, tried: Tried) -> None:
        self._allowance.note(tried.load)
        if tried.load is Load.SERVED:
            self._refused_in_a_row = 0
            self._open()
        elif tried.load is Load.REFUSED:
            self._refused_in_a_row += 1
        if tried.again_in_s is None or self._is_draining:
            return
        if tried.again_in_s == 0:
            self._ready.appendleft(job)
            return
        self._waiting[job] = self._loop.call_later(tried.again_in_s, self._again, job)
        is_shut = int(self._allowance) == 1 and self._refused_in_a_row >= SHUT_AFTER
        if is_shut and tried.load is Load.REFUSED and self._shut is None:
            self._shut = self._loop.call_later(tried.again_in_s, self._reopen)

    def _again(self, job: int) -> None:
        del self._waiting[job]
        if self._shut is None:
            self._ready.appendleft(job)
        else:
            self._ready.append(job)  # another one is the next to find out, so that no job uses up its attempts
        self._fill()

    def _reopen(self) -> None:
        self._shut = None
        self._fill()

    def _open(self) -> None:
        if self._shut is not None:
            self._shut.cancel()
            self._shut = None

"""Calls of somebody else's function, several at once, each with a limit of time.

A function that hangs keeps its thread, which is left to itself: Python cannot end a thread.  All threads here are
daemons, so that none of them delays the end of the process.  Not covered: threads that the application starts itself.
"""

import asyncio
import importlib
import inspect
import queue
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pytest_llmbench.models.python.threads import THREADS

POLL_S = 0.05
RESPONSE_S = 1.0
"""How long an event loop may take to respond before it counts as blocked."""

MOST_LOST = 64
"""So many calls that never return end the run: each keeps a thread, and what it holds, for ever."""

_MESSAGE_LENGTH = 2_000
_NOT_OWN = (str(Path(__file__).parent), "<frozen importlib", str(importlib.__file__))
"""Where the files begin whose lines are left out of a traceback: they are not the application's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """What a call returned, and how long it took."""

    value: Any
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """What a call raised, with the lines of the application's own code, or why it was given up."""

    cause: str
    fault: BaseException | None = None
    is_fatal: bool = False


Outcome: TypeAlias = Returned | Raised


@dataclass(slots=True, eq=False)
class _Call:
    index: int
    function: Callable[[], Any]
    done: "queue.SimpleQueue[tuple[_Call, Outcome]]"
    started_at: float = field(default_factory=time.perf_counter)

    def end(self, outcome: Outcome) -> None:
        self.done.put((self, outcome))


class Calls:
    """Runs calls in daemon threads, coroutines in one event loop.

    Args:
        name: of what is called, for messages.
    """

    def __init__(self, name: str):
        self._name = name
        self._idle: list[_Worker] = []
        self._busy: dict[_Call, _Worker] = {}
        self._lost: list[_Worker] = []
        self._loop: _Loop | None = None

    def run(
        self,
        functions: Sequence[Callable[[], Any]],
        *,
        most: int,
        timeout_s: float,
        ended: Callable[[int, Outcome], None],
        must_stop: Callable[[], bool],
        is_async: bool = False,
    ) -> None:
        """Run all calls; returns when each has ended, or `must_stop`.

        Args:
            functions: to call, in their order.
            most: so many at once.
            timeout_s: a call that takes longer ends as `Raised`.
            ended: called in this thread as a call ends.
            must_stop: asked about every 50 ms; what is in flight is given up then.
            is_async: the functions give coroutines.
        """
        done: queue.SimpleQueue[tuple[_Call, Outcome]] = queue.SimpleQueue()
        in_flight: dict[_Call, None] = {}
        place = 0
        while not must_stop():
            while place < len(functions) and len(in_flight) < most:
                in_flight[call := _Call(place, functions[place], done)] = None
                self._start(call, is_async=is_async)
                place += 1
            if not in_flight:
                return
            oldest = next(iter(in_flight))
            left_s = oldest.started_at + timeout_s - time.perf_counter()
            try:
                call, outcome = done.get(timeout=min(POLL_S, max(0.0, left_s)))
            except queue.Empty:
                if left_s <= 0:
                    del in_flight[oldest]
                    ended(oldest.index, self._overdue(oldest, timeout_s))
                continue
            self._release(call)
            if call not in in_flight:
                continue
            if isinstance(outcome, Returned) and inspect.isawaitable(outcome.value):
                call.function = lambda given=outcome.value: given  # type: ignore[misc]
                self._start(call, is_async=True)
                continue
            del in_flight[call]
            ended(call.index, outcome)
        for call in in_flight:
            self._give_up(call)

    def close(self) -> None:
        """End the threads that are idle, and the event loop."""
        for worker in self._idle:
            worker.start(None)
        self._idle.clear()
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _start(self, call: _Call, *, is_async: bool) -> None:
        if is_async:
            if self._loop is None or not self._loop.is_alive:
                self._loop = _Loop()
            self._loop.start(call)
            return
        worker = self._idle.pop() if self._idle else _Worker()
        self._busy[call] = worker
        worker.start(call)

    def _release(self, call: _Call) -> None:
        worker = self._busy.pop(call, None)
        if worker is not None:
            self._idle.append(worker)

    def _overdue(self, call: _Call, timeout_s: float) -> Raised:
        self._give_up(call)
        self._lost = [worker for worker in self._lost if worker.is_busy]
        cause = f"{self._name} gave no answer within {timeout_s:g} s"
        if len(self._lost) < MOST_LOST:
            return Raised(cause=cause)
        return Raised(
            cause=f"{cause}, and {MOST_LOST} calls of it still run; nothing more is asked of it. Find out why it "
            "hangs, or raise --llm-timeout",
            is_fatal=True,
        )

    def _give_up(self, call: _Call) -> None:
        worker = self._busy.pop(call, None)
        if worker is not None:
            worker.start(None)  # it ends when the call does
            self._lost.append(worker)
        elif self._loop is not None and not self._loop.cancel(call):
            self._loop.abandon()
            self._loop = None


class _Worker:
    """A daemon thread that makes one call after another."""

    def __init__(self) -> None:
        self._inbox: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=THREADS, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        return self._thread.is_alive()

    def start(self, call: _Call | None) -> None:
        """Make a call after those before; None ends the thread."""
        self._inbox.put(call)

    def _run(self) -> None:
        while (call := self._inbox.get()) is not None:
            call.end(_called(call.function))
            del call  # what it holds is not kept while the thread waits


def _called(function: Callable[[], Any]) -> Outcome:
    started_at = time.perf_counter()
    try:
        value = function()
    except BaseException as fault:  # also sys.exit(): it must not end the thread, and leave its case without an outcome
        return raised(fault)
    return Returned(value=value, latency_s=time.perf_counter() - started_at)


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(_DaemonExecutor())
        self._tasks: dict[_Call, asyncio.Task[None] | None] = {}  # None until the loop comes to a call
        self._thread = threading.Thread(target=self._run, name=f"{THREADS}-loop", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self, call: _Call) -> None:
        self._tasks[call] = None
        self._loop.call_soon_threadsafe(self._begin, call)

    def cancel(self, call: _Call) -> bool:
        """Cancel a call; returns whether the loop still responds."""
        responded = threading.Event()

        def cancel() -> None:
            responded.set()
            task = self._tasks.get(call)
            if task is not None:
                task.cancel()

        if self.is_alive:
            self._loop.call_soon_threadsafe(cancel)
        return responded.wait(RESPONSE_S)

    def abandon(self) -> None:
        """End all calls, since one of them blocks the event loop, and leave the thread to itself."""
        cause = "the event loop is blocked by another call; await what takes long, or use a plain def"
        for call in [*self._tasks]:
            call.end(Raised(cause=cause))
        if self.is_alive:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def close(self) -> None:
        if self.is_alive:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(RESPONSE_S)

    def _run(self) -> None:
        cause = "the event loop was stopped"
        try:
            self._loop.run_forever()
        except BaseException as fault:  # a task of the application's own called sys.exit()
            cause = raised(fault).cause
        for call in [*self._tasks]:
            call.end(Raised(cause=cause))
        if tasks := asyncio.all_tasks(self._loop):
            for other in tasks:
                other.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    def _begin(self, call: _Call) -> None:
        task = self._loop.create_task(self._await(call))
        self._tasks[call] = task
        task.add_done_callback(lambda _: self._tasks.pop(call, None))

    async def _await(self, call: _Call) -> None:
        started_at = time.perf_counter()
        try:
            given: Awaitable[Any] = call.function()
            value = await given
        except (
            BaseException
        ) as fault:  # whatever it is, it is the outcome of this call; cancelled ones are not waited for
            call.end(raised(fault))
        else:
            call.end(Returned(value=value, latency_s=time.perf_counter() - started_at))


class _DaemonExecutor(ThreadPoolExecutor):
    """Runs what an application hands to `asyncio.to_thread`: Python waits at its end for threads of other executors."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function in a daemon thread of its own."""
        future: Future[Any] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as fault:  # as the executor of the standard library passes it on
                future.set_exception(fault)

        threading.Thread(target=run, name=f"{THREADS}-thread", daemon=True).start()
        return future


def raised(fault: BaseException) -> Raised:
    """Give what a function raised, with the lines of its own code and not those of this package."""
    kind = type(fault).__name__
    if isinstance(fault, asyncio.CancelledError):
        return Raised(cause=f"{kind}: it cancelled itself", fault=fault)
    try:
        message = str(fault)
    except Exception:  # the message of an exception is the application's code too
        message = "its message cannot be read"
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if not frame.filename.startswith(_NOT_OWN)]
    lines = "".join(traceback.StackSummary.from_list(frames).format())
    first = f"{kind}: {_clipped(message)}" if message else kind
    return Raised(cause=f"{first}\n{_clipped(lines)}".rstrip(), fault=fault)


def _clipped(text: str) -> str:
    half = _MESSAGE_LENGTH // 2
    cut = f"{text[:half]} ... {text[-half:]}"
    return cut if len(cut) < len(text) else text

"""Base for models behind a server: one event loop, run inside `answer()`, keeps many requests in flight."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import STOPPED, Opened
from pytest_llmbench.models.openai.failure import Failure
from pytest_llmbench.models.openai.retries import Dispatch, Tried
from pytest_llmbench.values import Answer, AnswerError, Arrived, Request

HALT_POLL_S = 0.05


class Exchanges(Opened, ABC):
    """A model whose requests are in flight together; its event loop and connections live until `close()`.

    Args:
        name: of it at the beginning of a sentence.
        concurrency: requests in flight.
    """

    def __init__(self, name: str, concurrency: int):
        self.concurrency = concurrency
        self._name = name
        self._runner: asyncio.Runner | None = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._lock = threading.Lock()  # answer() and close() may come from two threads
        self._is_closing = threading.Event()
        self._refusal: AnswerError | None = None

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`).

        After a fatal error, such as a refused key, nothing more is sent, now or later: the rest is the same error.
        """
        with self._lock:
            if self._runner is None:
                raise ModelFault(f"{self._name} is closed; open it again.")
            return self._runner.run(self._answer(requests, arrived, halt))

    def close(self) -> None:
        """Stop what is in flight, and close the connections and the event loop."""
        self._is_closing.set()
        with self._lock:
            if self._runner is not None:
                self._runner.run(self._disconnect())
                self._runner.close()
                self._runner = None

    async def _prepare(self) -> None:
        """Make ready to send.

        Raises:
            Failure: nothing can be sent.
        """

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the connections."""

    @abstractmethod
    async def _attempt(
        self, request: Request, attempts: int, in_flight: int
    ) -> tuple[Answer | AnswerError | None, Tried]:
        """Try once; gives the answer or the error, or neither where it is to be tried again."""

    async def _answer(
        self, requests: Sequence[Request], arrived: Arrived | None, halt: threading.Event | None
    ) -> tuple[Answer | AnswerError, ...]:
        results: list[Answer | AnswerError | None] = [None] * len(requests)

        def keep(index: int, result: Answer | AnswerError) -> None:
            results[index] = result
            if arrived is not None:
                arrived(index, result)

        async def attempt(index: int, attempts: int, in_flight: int) -> Tried:
            result, tried = await self._attempt(requests[index], attempts, in_flight)
            if isinstance(result, AnswerError) and result.is_fatal:
                self._refusal = self._refusal or result
                dispatch.drain()
            if result is not None:
                keep(index, result)
            return tried

        dispatch = Dispatch(attempt, len(requests), self.concurrency)
        if self._refusal is None and not self._must_stop(halt):
            watcher = asyncio.create_task(self._watch(dispatch, halt))
            try:
                await self._prepare()
                await dispatch.run()
            except Failure as fault:  # of `_prepare`
                self._refusal = AnswerError(cause=fault.cause, attempts=0, is_fatal=True)
            finally:
                watcher.cancel()
        for index, attempts in enumerate(dispatch.attempts):
            if results[index] is None and self._refusal is not None:
                keep(index, AnswerError(cause=self._refusal.cause, attempts=attempts, is_fatal=True))
        return tuple(
            result or AnswerError(cause=STOPPED, attempts=attempts)
            for result, attempts in zip(results, dispatch.attempts, strict=True)
        )

    def _must_stop(self, halt: threading.Event | None) -> bool:
        return self._is_closing.is_set() or (halt is not None and halt.is_set())

    async def _watch(self, dispatch: Dispatch, halt: threading.Event | None) -> None:
        while not self._must_stop(halt):
            await asyncio.sleep(HALT_POLL_S)
        dispatch.stop()

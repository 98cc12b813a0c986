"""An application as a model: a Python function of the project, called for each case.

The function runs in this process, with all its rights.  It is imported when it is first called, never while tests are
collected.  A plain function is called in daemon threads, a coroutine function in one event loop in a thread of its own.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.app_reply import AppReplyFault, answer_of
from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings, Traits
from pytest_llmbench.models.python.calls import Calls, Outcome, Raised, Returned
from pytest_llmbench.models.python.entry import PythonEntry
from pytest_llmbench.models.python.sources import digest_of, import_from
from pytest_llmbench.models.python.target import Target, load_target
from pytest_llmbench.values import Answer, AnswerError, Arrived, PromptStyle, Request

CONCURRENCY = 1  # not every application may be called from two threads at once
TIMEOUT_S = 120.0
IMPORT_S = 300.0
"""An import may take longer than a call: libraries are read, models loaded."""


class PythonProvider:
    """Opens functions of the project."""

    entry_type = PythonEntry
    target_field = "target"

    def traits(self, entry: PythonEntry) -> Traits:
        """Give the traits of an application: it takes the fields of the case, and may hold a model of its own."""
        return Traits(
            takes_inputs=True,
            takes_tools=True,
            reports_cost=True,
            is_unversioned=not (entry.version or entry.version_of),
        )

    def prompt_style(self, entry: PythonEntry) -> PromptStyle | None:
        """Take any style, unless the entry names one. Nothing is imported.

        Raises:
            UsageFault: the entry gives its version twice.
        """
        if entry.version and entry.version_of:
            raise UsageFault(f'Model "{entry.target}" has version and version_of; leave one of them out.')
        return None if entry.prompt_style == "auto" else PromptStyle(entry.prompt_style)

    def open(self, entry: PythonEntry, settings: OpenSettings) -> "PythonModel":
        """Find the code of the application, without importing it.

        Raises:
            ModelFault: there is no such module.
        """
        self.prompt_style(entry)
        return PythonModel(entry, settings)


class PythonModel(Opened):
    """An application in this process.

    Args:
        entry: of the models file.
        settings: of the command line.
        import_s: how long its import may take, if that is longer than a call may take.

    Raises:
        ModelFault: its code is not there.
    """

    def __init__(self, entry: PythonEntry, settings: OpenSettings, *, import_s: float = IMPORT_S):
        self.concurrency = settings.concurrency or entry.concurrency or CONCURRENCY
        self._entry = entry
        self._timeout_s = settings.timeout_s or entry.timeout_s or TIMEOUT_S
        self._import_s = max(self._timeout_s, import_s)
        import_from(settings.root)
        self.identity = Identity(
            provider="python",
            model=entry.target,
            weights=entry.version or digest_of(entry.version_of or (entry.module.partition(".")[0],)),
        )
        self._calls = Calls(entry.target)
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._target: Target | None = None
        self._refusal: AnswerError | None = None

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`)."""
        results: list[Answer | AnswerError | None] = [None] * len(requests)
        in_flight = min(self.concurrency, len(requests))

        def must_stop() -> bool:
            is_halted = halt is not None and halt.is_set()
            return is_halted or self._is_closing.is_set() or self._refusal is not None

        def ended(index: int, outcome: Outcome) -> None:
            result = results[index] = _result(outcome, self._entry.target, in_flight)
            if isinstance(result, AnswerError) and result.is_fatal:
                self._refusal = result
            if arrived is not None:
                arrived(index, result)

        with self._lock:
            if self._is_closing.is_set():
                raise ModelFault(f'Model "{self._entry.target}" is closed; open it again.')
            target = self._loaded(must_stop)
            if target is not None:
                self._calls.run(
                    [partial(target, request) for request in requests],
                    most=self.concurrency,
                    timeout_s=self._timeout_s,
                    ended=ended,
                    must_stop=must_stop,
                    is_async=target.is_async,
                )
        rest = self._refusal or AnswerError(cause=STOPPED, attempts=0)
        return tuple(rest if result is None else result for result in results)

    def close(self) -> None:
        """Give up what is in flight, and end the threads that are idle."""
        self._is_closing.set()
        with self._lock:
            self._calls.close()

    def _loaded(self, must_stop: Callable[[], bool]) -> Target | None:
        """Import the function the first time; None if the run ends meanwhile.

        Raises:
            ModelFault: it cannot be imported.
        """
        if self._target is None:
            found: list[Outcome] = []
            self._calls.run(
                [partial(load_target, self._entry)],
                most=1,
                timeout_s=self._import_s,
                ended=lambda _, outcome: found.append(outcome),
                must_stop=must_stop,
            )
            for outcome in found:
                self._target = _target(outcome, self._entry)
        return self._target


def _target(outcome: Outcome, entry: PythonEntry) -> Target:
    if isinstance(outcome, Returned):
        target: Target = outcome.value
        return target
    if isinstance(outcome.fault, ModelFault):
        raise outcome.fault
    raise ModelFault(f'the module "{entry.module}" cannot be imported: {outcome.cause}')


def _result(outcome: Outcome, name: str, in_flight: int) -> Answer | AnswerError:
    if isinstance(outcome, Raised):
        return AnswerError(cause=outcome.cause, concurrency=in_flight, is_fatal=outcome.is_fatal)
    try:
        answer = answer_of(outcome.value)
    except AppReplyFault as fault:
        return AnswerError(cause=f"{name} {fault}", concurrency=in_flight)
    return replace(answer, latency_s=outcome.latency_s, concurrency=in_flight)


PROVIDER = PythonProvider()

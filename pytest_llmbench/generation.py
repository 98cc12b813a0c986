"""Answers for a whole plan, produced ahead of the tests in one thread while they consume them.

The tests take answers in the order of the plan; each waits for its own alone.  What
arrives early is kept.  One model is open at a time.

A test that waits always gets something: whatever a model does (raise, end its thread, answer too
few requests), each request has an answer or an error in the end.  And the thread never waits for
the tests while a test waits for it, whatever order the tests run in.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_llmbench.errors import Caught, caught
from pytest_llmbench.exchanges import ask_model, broken, close_model, first_fatal, open_model
from pytest_llmbench.models import STOPPED, Identity, Model
from pytest_llmbench.values import Answer, AnswerError, Arrived, Request

_WAIT_SLICE_S = 0.2
"""Waiting is cut in slices, so that Ctrl-C gets through and progress can be shown."""

_JOIN_S = 1.0
"""How long the end of a run waits for the thread; a model stops within about a token's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """All samples of one item. `needs_model` keeps the model open until the item is done."""

    key: str
    requests: tuple[Request, ...]
    needs_model: bool = False


def directly(model: Model) -> Model:
    """Put nothing between a plan and its model."""
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """What one model is asked.

    `through` gives what the plan's requests go through, such as the answer store; what tests ask the
    model themselves does not.
    """

    role: str
    open: Callable[[], Model]
    asks: tuple[Ask, ...]
    through: Callable[[Model], Model] = directly


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the producer is: `answered` of `total` requests, `elapsed_s` since the first was asked.

    `reused` of the answered ones took no time; `is_opening` while the model is not ready to be asked.
    """

    role: str
    answered: int
    total: int
    elapsed_s: float
    reused: int = 0
    is_opening: bool = False


class SharedModel:
    """An opened model that tests may ask too: one call at a time, the plan's own first."""

    def __init__(self, model: Model):
        self._model = model
        self._lock = threading.Lock()

    @property
    def identity(self) -> Identity:
        """What it is."""
        return self._model.identity

    @property
    def concurrency(self) -> int:
        """Requests in flight or rows a batch."""
        return self._model.concurrency

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`)."""
        with self._lock:
            return self._model.answer(requests, arrived=arrived, halt=halt)

    def close(self) -> None:
        """Do nothing: the run that opened the model closes it."""


class _Slot:
    """Where the answers of one item gather, until it is `done`. Only the thread that asks puts any."""

    __slots__ = ("answers", "ask", "done", "missing")

    def __init__(self, ask: Ask):
        self.ask = ask
        self.answers: list[Answer | AnswerError | None] = [None] * len(ask.requests)
        self.missing = len(ask.requests)
        self.done = threading.Event()
        if not ask.requests:
            self.done.set()

    def put(self, sample: int, answer: Answer | AnswerError) -> bool:
        """Keep the first answer to a sample; tell whether it was the first."""
        if self.answers[sample] is not None:
            return False
        self.answers[sample] = answer
        self.missing -= 1
        return True

    def whole(self) -> tuple[Answer | AnswerError, ...]:
        """Give an answer to each sample; what has none was given up."""
        return tuple(_STOPPED if answer is None else answer for answer in self.answers)


class _Tally:
    """Counts what arrives of one model."""

    def __init__(self, role: str, total: int):
        self._role = role
        self._total = total
        self._answered = self._reused = 0
        self._started = time.perf_counter()

    def after(self, answer: Answer | AnswerError) -> Progress:
        """Count an answer, and give the progress."""
        self._answered += 1
        self._reused += isinstance(answer, Answer) and answer.reused
        return self.now()

    def now(self) -> Progress:
        """Give the progress."""
        elapsed = time.perf_counter() - self._started
        return Progress(
            role=self._role, answered=self._answered, total=self._total, elapsed_s=elapsed, reused=self._reused
        )


_STOPPED = AnswerError(cause=STOPPED, attempts=0)


class Listener(Protocol):
    """Hears from the thread that asks what it has come to. It raises nothing."""

    def answered(self, key: str, answers: tuple[Answer | AnswerError, ...]) -> None:
        """Hear that an item has all its answers, once for each."""
        ...

    def closed(self, role: str) -> None:
        """Hear that a model is closed; the next one is opened when this returns."""
        ...


class Generation:
    """One run's production of answers.

    Args:
        plans: the models in the order their items come, each with its asks.
        is_bounded: keep at most about a batch ahead of the tests (`-x`, `--maxfail`).
        listener: told what has come.
    """

    def __init__(self, plans: Sequence[ModelPlan], *, is_bounded: bool = False, listener: Listener | None = None):
        self.identities: dict[str, Identity] = {}
        self._plans = plans
        self._listener = listener
        self._is_bounded = is_bounded
        self._slots = {ask.key: _Slot(ask) for plan in plans for ask in plan.asks}
        self._models: dict[str, SharedModel] = {}
        self._halt = threading.Event()
        # what the tests did: guards the three below
        self._tests = threading.Condition()
        self._taken: set[str] = set()
        self._released: set[str] = set()
        self._wanted: _Slot | None = None
        self._progress = Progress(role="", answered=0, total=0, elapsed_s=0.0)
        self._thread = threading.Thread(target=self._produce, name="llmbench-generation", daemon=True)

    def start(self) -> None:
        """Begin asking."""
        self._thread.start()

    @property
    def progress(self) -> Progress:
        """How far the model at work is."""
        return self._progress

    def take(
        self, key: str, while_waiting: Callable[[Progress], None] | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Wait for the answers of one item, in the order of its samples.

        After `close`, what has not arrived is an error with the cause "stopped".

        Args:
            key: the item's.
            while_waiting: called every 0.2 s.
        """
        slot = self._slots[key]
        with self._tests:
            self._wanted = slot
            self._tests.notify_all()
        while not slot.done.wait(_WAIT_SLICE_S) and not self._halt.is_set():
            if while_waiting is not None:
                while_waiting(self._progress)
        with self._tests:
            self._taken.add(key)
            self._tests.notify_all()
        return slot.whole()

    def arrived(self) -> dict[str, tuple[Answer | AnswerError, ...]]:
        """Give what has arrived whole and was not taken, by item."""
        return {key: slot.whole() for key, slot in self._slots.items() if slot.done.is_set() and key not in self._taken}

    def model(self, role: str) -> SharedModel:
        """Give the opened model of an item that `needs_model`, after its answers were taken."""
        return self._models[role]

    def release(self, key: str) -> None:
        """Say that an item is done with its model."""
        with self._tests:
            self._released.add(key)
            self._tests.notify_all()

    def close(self) -> None:
        """Stop asking; returns within about a second."""
        with self._tests:
            self._halt.set()
            self._tests.notify_all()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _produce(self) -> None:
        try:
            for plan in self._plans:
                if self._halt.is_set():
                    break
                fault = caught(lambda plan=plan: self._produce_one(plan))  # type: ignore[misc]
                if isinstance(fault, Caught):
                    self._fill(plan, broken(fault))
                if self._listener is not None:
                    self._listener.closed(plan.role)
        finally:
            for plan in self._plans:
                self._fill(plan, _STOPPED)

    def _produce_one(self, plan: ModelPlan) -> None:
        total = sum(len(ask.requests) for ask in plan.asks)
        self._progress = Progress(role=plan.role, answered=0, total=total, elapsed_s=0.0, is_opening=True)
        opened = open_model(plan.open)
        if isinstance(opened, AnswerError):
            self._fill(plan, opened)
            return
        try:
            shared = self._models[plan.role] = SharedModel(opened)
            self.identities[plan.role] = opened.identity
            self._ask_all(plan, plan.through(shared))
            self.identities[plan.role] = opened.identity
            keys = {ask.key for ask in plan.asks if ask.needs_model}
            self._wait_for_tests(lambda: keys <= self._released)
        finally:
            close_model(opened)

    def _ask_all(self, plan: ModelPlan, model: Model) -> None:
        todo = [(self._slots[ask.key], sample) for ask in plan.asks for sample in range(len(ask.requests))]
        step = model.concurrency if self._is_bounded else max(len(todo), 1)
        tally = _Tally(plan.role, len(todo))
        for first in range(0, len(todo), step):
            if self._is_bounded:
                ahead = {slot.ask.key for slot, _ in todo[: max(0, first - step)]}
                self._wait_for_tests(lambda ahead=ahead: ahead <= self._taken)  # type: ignore[misc]
            if self._halt.is_set():
                return
            fatal = self._ask(model, todo[first : first + step], tally)
            if fatal is not None:
                self._fill(plan, fatal)
                return

    def _ask(self, model: Model, chunk: Sequence[tuple[_Slot, int]], tally: "_Tally") -> AnswerError | None:
        """Ask a part of a plan; gives the error, if any, after which the model can answer nothing more."""

        def arrived(index: int, answer: Answer | AnswerError) -> None:
            slot, sample = chunk[index]
            if self._put(slot, sample, answer):
                self._progress = tally.after(answer)

        requests = [slot.ask.requests[sample] for slot, sample in chunk]
        self._progress = tally.now()
        answers = ask_model(lambda: model.answer(requests, arrived=arrived, halt=self._halt), len(requests))
        for (slot, sample), answer in zip(chunk, answers, strict=True):
            self._put(slot, sample, answer)
        return first_fatal(answers)

    def _wait_for_tests(self, is_reached: Callable[[], bool]) -> None:
        """Wait for the tests to get somewhere, unless the run ends or a test waits for what is not asked yet."""
        with self._tests:
            self._tests.wait_for(
                lambda: (
                    self._halt.is_set() or is_reached() or (self._wanted is not None and not self._wanted.done.is_set())
                )
            )

    def _fill(self, plan: ModelPlan, error: AnswerError) -> None:
        for ask in plan.asks:
            for sample in range(len(ask.requests)):
                self._put(self._slots[ask.key], sample, error)

    def _put(self, slot: _Slot, sample: int, answer: Answer | AnswerError) -> bool:
        """Keep the first answer to a sample; tell whether it was the first."""
        is_first = slot.put(sample, answer)
        if is_first and not slot.missing:
            if self._listener is not None:
                self._listener.answered(slot.ask.key, slot.whole())
            slot.done.set()
        return is_first


class OnDemand:
    """Answers a plan item by item, when each is wanted: for a process that shares the plan with others."""

    def __init__(self, plans: Sequence[ModelPlan]):
        self.identities: dict[str, Identity] = {}
        self._asks = {ask.key: (plan, ask) for plan in plans for ask in plan.asks}
        self._role: str | None = None
        self._model: SharedModel | None = None
        self._asked: Model | None = None
        self._opened: Model | None = None
        self._fault: AnswerError | None = None

    def take(
        self, key: str, while_waiting: Callable[[Progress], None] | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Ask the samples of one item, in this thread."""
        del while_waiting  # nobody is there to call it
        plan, ask = self._asks[key]
        self._open(plan)
        model = self._asked
        if model is None or self._fault is not None:
            return tuple(self._fault or _STOPPED for _ in ask.requests)
        answers = ask_model(lambda: model.answer(ask.requests), len(ask.requests))
        self.identities[plan.role] = model.identity
        self._fault = first_fatal(answers)
        return answers

    def arrived(self) -> dict[str, tuple[Answer | AnswerError, ...]]:
        """Give nothing: what was asked was taken."""
        return {}

    def model(self, role: str) -> SharedModel:
        """Give the opened model of an item, after its answers were taken."""
        if self._model is None or self._role != role:
            raise KeyError(role)
        return self._model

    def release(self, key: str) -> None:
        """Do nothing: the model stays open until another is needed."""

    def close(self) -> None:
        """Close the open model."""
        if self._opened is not None:
            close_model(self._opened)
        self._opened = self._model = self._asked = self._role = None

    def _open(self, plan: ModelPlan) -> None:
        if self._role == plan.role:
            return
        self.close()
        self._role, self._fault = plan.role, None
        opened = open_model(plan.open)
        if isinstance(opened, AnswerError):
            self._fault = opened
        else:
            self._opened, self._model = opened, SharedModel(opened)
            self._asked = plan.through(self._model)

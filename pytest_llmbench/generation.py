"""Answers for a whole plan, produced ahead of the tests in one thread while they consume them.

The tests take answers in the order of the plan; each waits for its own alone.  What
arrives early is kept.  One model is open at a time.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_llmbench.errors import Caught, ModelFault, caught
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """What one model is asked."""

    role: str
    open: Callable[[], Model]
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the producer is: `answered` of `total` requests, `elapsed_s` since the first was asked."""

    role: str
    answered: int
    total: int
    elapsed_s: float


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
    """Where the answers of one item gather."""

    __slots__ = ("answers", "ask", "done", "missing", "released")

    def __init__(self, ask: Ask):
        self.ask = ask
        self.answers: list[Answer | AnswerError | None] = [None] * len(ask.requests)
        self.missing = len(ask.requests)
        self.done = threading.Event()
        self.released = threading.Event()

    def put(self, sample: int, answer: Answer | AnswerError) -> None:
        if self.answers[sample] is None:
            self.answers[sample] = answer
            self.missing -= 1
            if not self.missing:
                self.done.set()


class Generation:
    """One run's production of answers.

    Args:
        plans: the models in the order their items come, each with its asks.
        is_bounded: keep at most about a batch ahead of the tests (`-x`, `--maxfail`).
    """

    def __init__(self, plans: Sequence[ModelPlan], *, is_bounded: bool = False):
        self.identities: dict[str, Identity] = {}
        self._plans = plans
        self._is_bounded = is_bounded
        self._slots = {ask.key: _Slot(ask) for plan in plans for ask in plan.asks}
        self._models: dict[str, SharedModel] = {}
        self._halt = threading.Event()
        self._taken = threading.Condition()
        self._taken_keys: set[str] = set()
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

        Args:
            key: the item's.
            while_waiting: called every 0.2 s.
        """
        slot = self._slots[key]
        while not slot.done.wait(_WAIT_SLICE_S):
            if while_waiting is not None:
                while_waiting(self._progress)
        with self._taken:
            self._taken_keys.add(key)
            self._taken.notify_all()
        return tuple(answer for answer in slot.answers if answer is not None)

    def arrived(self) -> dict[str, tuple[Answer | AnswerError, ...]]:
        """Give what has arrived whole and was not taken, by item."""
        return {
            key: tuple(answer for answer in slot.answers if answer is not None)
            for key, slot in self._slots.items()
            if slot.done.is_set() and key not in self._taken_keys
        }

    def model(self, role: str) -> SharedModel:
        """Give the opened model of an item that `needs_model`, after its answers were taken."""
        return self._models[role]

    def release(self, key: str) -> None:
        """Say that an item is done with its model."""
        self._slots[key].released.set()

    def close(self) -> None:
        """Stop asking; returns within about a second."""
        self._halt.set()
        with self._taken:
            self._taken.notify_all()
        for slot in self._slots.values():
            slot.released.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _produce(self) -> None:
        for plan in self._plans:
            result = caught(lambda plan=plan: self._produce_one(plan))  # type: ignore[misc]
            if isinstance(result, Caught):
                self._fail(plan, AnswerError(cause=result.details, is_fatal=False))
            if self._halt.is_set():
                break
        for plan in self._plans:
            self._fail(plan, AnswerError(cause=STOPPED))

    def _produce_one(self, plan: ModelPlan) -> None:
        try:
            opened = plan.open()
        except ModelFault as fault:
            self._fail(plan, AnswerError(cause=str(fault), is_fatal=True))
            return
        try:
            shared = self._models[plan.role] = SharedModel(opened)
            self._ask_all(plan, shared)
            self.identities[plan.role] = opened.identity
            for ask in plan.asks:
                if ask.needs_model:
                    self._slots[ask.key].released.wait()
        finally:
            opened.close()

    def _ask_all(self, plan: ModelPlan, model: SharedModel) -> None:
        self.identities[plan.role] = model.identity
        todo = [(self._slots[ask.key], sample) for ask in plan.asks for sample in range(len(ask.requests))]
        step = model.concurrency if self._is_bounded else max(len(todo), 1)
        started = time.perf_counter()
        for first in range(0, len(todo), step):
            if self._is_bounded:
                self._wait_for_tests(todo[: max(0, first - step)])
            if self._halt.is_set():
                return
            self._ask(plan.role, model, todo, first, step, started)

    def _ask(
        self, role: str, model: SharedModel, todo: Sequence[tuple[_Slot, int]], first: int, step: int, started: float
    ) -> None:
        chunk = todo[first : first + step]
        answered = first

        def arrived(index: int, answer: Answer | AnswerError) -> None:
            nonlocal answered
            answered += 1
            elapsed = time.perf_counter() - started
            self._progress = Progress(role=role, answered=answered, total=len(todo), elapsed_s=elapsed)
            slot, sample = chunk[index]
            slot.put(sample, answer)

        requests = [slot.ask.requests[sample] for slot, sample in chunk]
        self._progress = Progress(role=role, answered=first, total=len(todo), elapsed_s=time.perf_counter() - started)
        try:
            answers = model.answer(requests, arrived=arrived, halt=self._halt)
        except ModelFault as fault:
            answers = tuple(AnswerError(cause=str(fault), is_fatal=True) for _ in requests)
        for (slot, sample), answer in zip(chunk, answers, strict=True):
            slot.put(sample, answer)

    def _wait_for_tests(self, before: Sequence[tuple[_Slot, int]]) -> None:
        keys = {slot.ask.key for slot, _ in before}
        with self._taken:
            self._taken.wait_for(lambda: self._halt.is_set() or keys <= self._taken_keys)

    def _fail(self, plan: ModelPlan, error: AnswerError) -> None:
        for ask in plan.asks:
            for sample in range(len(ask.requests)):
                self._slots[ask.key].put(sample, error)


class OnDemand:
    """Answers a plan item by item, when each is wanted: for a process that shares the plan with others."""

    def __init__(self, plans: Sequence[ModelPlan]):
        self.identities: dict[str, Identity] = {}
        self._asks = {ask.key: (plan, ask) for plan in plans for ask in plan.asks}
        self._role: str | None = None
        self._model: SharedModel | None = None
        self._opened: Model | None = None
        self._fault: AnswerError | None = None

    def take(
        self, key: str, while_waiting: Callable[[Progress], None] | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Ask the samples of one item, in this thread."""
        del while_waiting  # nobody is there to call it
        plan, ask = self._asks[key]
        model = self._open(plan)
        if model is None or self._fault is not None:
            return tuple(self._fault or AnswerError(cause=STOPPED) for _ in ask.requests)
        result = caught(lambda: model.answer(ask.requests))
        self.identities[plan.role] = model.identity
        if isinstance(result, Caught):
            return tuple(AnswerError(cause=result.details) for _ in ask.requests)
        return result

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
            self._opened.close()
        self._opened = self._model = self._role = None

    def _open(self, plan: ModelPlan) -> SharedModel | None:
        if self._role != plan.role:
            self.close()
            self._role, self._fault = plan.role, None
            opened = caught(plan.open)
            if isinstance(opened, Caught):
                self._fault = AnswerError(cause=opened.cause, is_fatal=True)
                return None
            self._opened, self._model = opened, SharedModel(opened)
        return self._model

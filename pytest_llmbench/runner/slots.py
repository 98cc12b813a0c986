"""Where answers gather as they arrive, and how far that has come."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pytest_llmbench.models.base import STOPPED, Model
from pytest_llmbench.runner.calls import SharedModel
from pytest_llmbench.values import Answer, AnswerError, Request

GIVEN_UP = AnswerError(cause=STOPPED, attempts=0)
"""What stands for an answer that the end of a run gave up."""


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


class Slot:
    """Where the answers of one item gather, until it is `done`. Only the thread that asks puts any.

    Args:
        key: the item's.
        role: of its model.
        requests: one a sample.
    """

    __slots__ = ("answers", "done", "is_dealt", "is_suspect", "key", "missing", "requests", "role")

    def __init__(self, key: str, role: str, requests: tuple[Request, ...]):
        self.key = key
        self.role = role
        self.requests = requests
        self.is_dealt = False
        self.is_suspect = False
        self.answers: list[Answer | AnswerError | None] = [None] * len(requests)
        self.missing = len(requests)
        self.done = threading.Event()
        if not requests:
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
        return tuple(GIVEN_UP if answer is None else answer for answer in self.answers)


class Tally:
    """Counts what arrives of one model, of so many requests that have been asked for."""

    def __init__(self, role: str, total: int = 0):
        self.total = total
        self._role = role
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
            role=self._role, answered=self._answered, total=self.total, elapsed_s=elapsed, reused=self._reused
        )


def samples_of(slots: Sequence[Slot]) -> list[tuple[Slot, int]]:
    """Give every sample of some slots, in their order."""
    return [(slot, sample) for slot in slots for sample in range(len(slot.requests))]


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
    model themselves does not.  `check` is called with the model, requests and answers when all are asked, before
    it is closed.
    """

    role: str
    open: Callable[[], Model]
    asks: tuple[Ask, ...]
    through: Callable[[Model], Model] = directly
    check: "Check | None" = None


Check: TypeAlias = Callable[[SharedModel, Sequence[Request], Sequence[Answer | AnswerError]], None]


class Listener(Protocol):
    """Hears from the thread that asks what it has come to. It raises nothing."""

    def answered(self, key: str, answers: tuple[Answer | AnswerError, ...]) -> None:
        """Hear that an item has all its answers, once for each."""
        ...

    def closed(self, role: str) -> None:
        """Hear that a model is closed; the next one is opened when this returns."""
        ...

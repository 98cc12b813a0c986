"""Where answers gather as they arrive, and how far that has come."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from pytest_llmbench.models.base import STOPPED, Identity, Model
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
        requests: one a sample; None where they are not known yet, see `expect`.
    """

    __slots__ = (
        "answers",
        "done",
        "error",
        "is_dealt",
        "is_known",
        "is_suspect",
        "key",
        "missing",
        "requests",
        "role",
    )

    def __init__(self, key: str, role: str, requests: tuple[Request, ...] | None):
        self.key = key
        self.role = role
        self.is_dealt = False
        self.is_suspect = False
        self.error: AnswerError | None = None
        """What stands for answers to requests that are not known yet, where nothing can be asked any more."""
        self.done = threading.Event()
        self.is_known = False
        self.requests: tuple[Request, ...] = ()
        self.answers: list[Answer | AnswerError | None] = []
        self.missing = 0
        if requests is not None:
            self.expect(requests)

    def expect(self, requests: tuple[Request, ...]) -> None:
        """Begin to wait for answers; nothing is waited for where nothing can be asked any more."""
        self.is_known, self.requests = True, requests
        self.answers = [self.error] * len(requests)
        self.missing = 0 if self.error is not None else len(requests)
        if not self.missing:
            self.done.set()

    def fail(self, error: AnswerError) -> None:
        """Let an error stand for the answers of an item whose requests cannot be made."""
        self.is_known, self.answers = True, [error]
        self.done.set()

    def put(self, sample: int, answer: Answer | AnswerError) -> bool:
        """Keep the first answer to a sample; return whether it was the first."""
        if self.answers[sample] is not None:
            return False
        self.answers[sample] = answer
        self.missing -= 1
        return True

    def whole(self) -> tuple[Answer | AnswerError, ...]:
        """Give an answer to each sample; what has none was given up."""
        if not self.is_known:
            return (GIVEN_UP,)
        return tuple(GIVEN_UP if answer is None else answer for answer in self.answers)


class Tally:
    """Counts what arrives of one model.

    Args:
        role: of the model.
        total: how many requests there will be at most; None to count those that are asked for.
    """

    def __init__(self, role: str, total: int | None = None):
        self._total = total or 0
        self._is_total_known = total is not None
        self._role = role
        self._answered = self._reused = 0
        self._started = time.perf_counter()

    def expect(self, n_requests: int) -> None:
        """Count requests that are asked for, where their number is not known from the beginning."""
        if not self._is_total_known:
            self._total += n_requests

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


def samples_of(slots: Sequence[Slot]) -> list[tuple[Slot, int]]:
    """Give every sample of some slots, in their order."""
    return [(slot, sample) for slot in slots for sample in range(len(slot.requests))]


def sweeps_of(slots: Sequence[Slot]) -> list[tuple[Slot, int]]:
    """Give every sample of some slots in sweeps: the first of each, then the second of each."""
    most = max((len(slot.requests) for slot in slots), default=0)
    return [(slot, sample) for sample in range(most) for slot in slots if sample < len(slot.requests)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedItem:
    """All samples of one item. `needs_model` keeps the model open until the item is done.

    `requests` is None where they are not known yet; see `Prefetcher.supply`.
    """

    key: str
    requests: tuple[Request, ...] | None
    needs_model: bool = False


def directly(model: Model) -> Model:
    """Put nothing between a plan and its model."""
    return model


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPlan:
    """What one model is asked.

    `through` gives what the plan's requests go through, such as the answer store; what tests ask the
    model themselves does not.  `check` is called with the model, requests and answers when all are asked, before
    it is closed.  `n_requests` is how many there will be at most, where they are not known yet.
    `objection(key, identity)` gives the reason not to ask about an item, now that the model is open; None if there
    is none.
    """

    role: str
    open: Callable[[], Model]
    items: tuple[PlannedItem, ...]
    through: Callable[[Model], Model] = directly
    check: "Check | None" = None
    n_requests: int | None = None
    objection: "Objection | None" = None


Check: TypeAlias = Callable[[SharedModel, Sequence[Request], Sequence[Answer | AnswerError]], None]


Objection: TypeAlias = Callable[[str, Identity], str | None]


class Listener(Protocol):
    """Is called by the thread that asks, as it goes on. It raises nothing."""

    def answered(self, key: str, answers: tuple[Answer | AnswerError, ...]) -> None:
        """Take the answers of an item, when it has all; once for each."""
        ...

    def closed(self, role: str) -> None:
        """React to a model that is closed; the next one is opened when this returns."""
        ...

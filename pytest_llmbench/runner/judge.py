"""A judge's replies to the answers of a plan, asked for as those come in, in a thread of its own.

A test waits for its own replies alone.  What comes in while the judge is at work is asked next, in one go.

A judge that shares this machine with the model it judges is opened only after that model is closed, and closed
before the next is opened.  Any other works beside the models.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.errors import Caught, caught
from pytest_llmbench.models.base import STOPPED, Identity, Model
from pytest_llmbench.runner.calls import ask_model, broken, close_model, first_fatal, open_model
from pytest_llmbench.runner.slots import Progress, Tally, directly
from pytest_llmbench.values import Answer, AnswerError, Request

_WAIT_SLICE_S = 0.2
_JOIN_S = 1.0
_STOPPED = AnswerError(cause=STOPPED, attempts=0)

Answers = Sequence[Answer | AnswerError]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """What a judge is asked.

    `items` maps each item to be judged to the role of its model; `requests(key, answers)` gives what is asked about
    its answers.  `n_replies` is how many replies are wanted at most.  `through` is as in `ModelPlan`.  `alone_with`
    are the roles whose models may not be open at the same time.  `objection(role, identity)` says why the judge
    may not judge that model, now that it is known what it is; None if it may.
    """

    name: str
    open: Callable[[], Model]
    items: Mapping[str, str]
    requests: Callable[[str, Answers], tuple[Request, ...]]
    n_replies: int
    objection: Callable[[str, Identity], str | None]
    through: Callable[[Model], Model] = directly
    alone_with: frozenset[str] = frozenset()


class _Slot:
    """Where the replies about one item gather. `requests` is None until its answers are there."""

    __slots__ = ("done", "replies", "requests", "role")

    def __init__(self, role: str):
        self.role = role
        self.requests: tuple[Request, ...] | None = None
        self.replies: list[Answer | AnswerError | None] = []
        self.done = threading.Event()

    def expect(self, requests: tuple[Request, ...]) -> None:
        """Begin to wait for replies."""
        self.requests = requests
        self.replies = [None] * len(requests)

    def fill(self, error: AnswerError) -> None:
        """Let an error stand where no reply does."""
        self.replies = [error if reply is None else reply for reply in self.replies]

    def put(self, place: int, reply: Answer | AnswerError) -> bool:
        """Keep the first reply to a request; tell whether it was the first."""
        if self.replies[place] is not None:
            return False
        self.replies[place] = reply
        return True


class Judge:
    """One run's asking of a judge. It listens to the production of answers (see `Listener`)."""

    def __init__(self, plan: JudgePlan):
        self.identity: Identity | None = None
        self._plan = plan
        self._slots = {key: _Slot(role) for key, role in plan.items.items()}
        self._tally = Tally(plan.name, plan.n_replies)
        self._progress = self._tally.now()
        self._halt = threading.Event()
        self._fatal: AnswerError | None = None
        # guards what stands below, and what slots expect
        self._changed = threading.Condition()
        self._waiting: list[_Slot] = []
        self._left = Counter(plan.items.values())  # items still to be judged, by role
        self._closed: set[str] = set()
        self._must_close = False
        self._is_over = False
        self._opened: Model | None = None
        self._asked: Model | None = None
        self._thread = threading.Thread(target=self._work, name="llmbench-judge", daemon=True)

    def start(self) -> None:
        """Begin to wait for answers."""
        self._thread.start()

    # -- what the production of answers tells

    def answered(self, key: str, answers: Answers) -> None:
        """Take the answers of an item, to be judged when its turn comes."""
        slot = self._slots.get(key)
        if slot is None:
            return
        made = caught(lambda: self._plan.requests(key, answers))
        with self._changed:
            if isinstance(made, Caught):
                slot.replies = [AnswerError(cause=f"the judge's prompt broke: {made.cause}\n{made.details}")]
            else:
                slot.expect(made)
                if self._is_over:
                    slot.fill(self._fatal or _STOPPED)
            if None in slot.replies:
                self._waiting.append(slot)
            else:
                self._finish(slot)
            self._changed.notify_all()

    def closed(self, role: str) -> None:
        """Hear that a model is closed; a judge that may not be open beside the next one ends its work on it first."""
        with self._changed:
            self._closed.add(role)
            self._changed.notify_all()
            if self._plan.alone_with:
                self._must_close = True
                self._changed.wait_for(lambda: self._halt.is_set() or (self._is_judged(role) and self._opened is None))
                self._must_close = False

    # -- what tests ask for

    def take(self, key: str, while_waiting: Callable[[Progress], None] | None = None) -> Answers:
        """Wait for the replies about an item, in the order of its requests; none for one that is not judged.

        After `close`, what has not come is an error with the cause "stopped".
        """
        slot = self._slots.get(key)
        if slot is None:
            return ()
        while not slot.done.wait(_WAIT_SLICE_S) and not self._halt.is_set():
            if while_waiting is not None:
                while_waiting(self._progress)
        return self._given(slot)

    def arrived(self, key: str) -> Answers:
        """Give what has come about an item by now; as `take`, but without waiting."""
        slot = self._slots.get(key)
        return () if slot is None else self._given(slot)

    def close(self) -> None:
        """Stop asking; returns within about a second."""
        with self._changed:
            self._halt.set()
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _given(self, slot: _Slot) -> Answers:
        with self._changed:
            if slot.requests is None and not slot.done.is_set():
                return (_STOPPED,)
            return tuple(_STOPPED if reply is None else reply for reply in slot.replies)

    # -- the thread

    def _work(self) -> None:
        try:
            fault = caught(self._judge_all)
            if isinstance(fault, Caught):
                self._fatal = broken(fault)
        finally:
            with self._changed:
                self._close()
                self._is_over = True
                for slot in self._slots.values():
                    if slot.requests is not None and not slot.done.is_set():
                        slot.fill(self._fatal or _STOPPED)
                        self._finish(slot)
                self._changed.notify_all()

    def _judge_all(self) -> None:
        while (batch := self._next()) is not None:
            error = self._fatal or self._open()
            for slot in batch:
                refusal = error or self._refusal(slot.role)
                if refusal is not None:
                    slot.fill(refusal)
            self._ask([slot for slot in batch if None in slot.replies])
            for slot in batch:
                self._finish(slot)

    def _next(self) -> list[_Slot] | None:
        """Wait for answers that may be judged now; None when there are no more, or the run ends."""
        with self._changed:
            while not self._halt.is_set():
                batch = [slot for slot in self._waiting if self._may_judge(slot.role)]
                if batch:
                    self._waiting = [slot for slot in self._waiting if not self._may_judge(slot.role)]
                    return batch
                if not any(self._left.values()):
                    return None
                if self._opened is not None and self._must_close and all(map(self._is_judged, self._closed)):
                    self._close()
                    self._changed.notify_all()
                self._changed.wait()
            return None

    def _may_judge(self, role: str) -> bool:
        return role not in self._plan.alone_with or role in self._closed

    def _is_judged(self, role: str) -> bool:
        return not self._left[role]

    def _finish(self, slot: _Slot) -> None:
        """Let tests have the replies of an item."""
        with self._changed:
            if not slot.done.is_set():
                self._left[slot.role] -= 1
                slot.done.set()
                self._changed.notify_all()

    def _open(self) -> AnswerError | None:
        """See that the judge is open; gives the error that hinders it."""
        if self._opened is None:
            opened = open_model(self._plan.open)
            if isinstance(opened, AnswerError):
                self._fatal = opened
                return opened
            self._opened, self._asked = opened, self._plan.through(opened)
            self.identity = opened.identity
        return None

    def _close(self) -> None:
        if self._opened is not None:
            close_model(self._opened)
            self._opened = self._asked = None

    def _refusal(self, role: str) -> AnswerError | None:
        objection = None if self.identity is None else self._plan.objection(role, self.identity)
        return None if objection is None else AnswerError(cause=objection, attempts=0)

    def _ask(self, slots: Sequence[_Slot]) -> None:
        model = self._asked
        asked = [(slot, place) for slot in slots for place, reply in enumerate(slot.replies) if reply is None]
        if model is None or not asked:
            return
        requests = [slot.requests[place] for slot, place in asked if slot.requests is not None]

        def arrived(index: int, reply: Answer | AnswerError) -> None:
            slot, place = asked[index]
            if slot.put(place, reply):
                self._progress = self._tally.after(reply)
                if None not in slot.replies:
                    self._finish(slot)

        replies = ask_model(lambda: model.answer(requests, arrived=arrived, halt=self._halt), len(requests))
        for (slot, place), reply in zip(asked, replies, strict=True):
            slot.put(place, reply)
        self.identity = model.identity
        self._fatal = first_fatal(replies)

"""Answers for a plan, produced ahead of the tests in one thread while they consume them: of the models, and of a judge.

The tests take answers in the order of the plan; each waits for its own alone.  What
arrives early is kept.  One model is open at a time.

A process that shares the plan with others asks only for the items that are dealt to it, as they are.

A test that waits always gets something: whatever a model does (raise, end its thread, answer too
few requests), each request has an answer or an error in the end.  And the thread never waits for
the tests while a test waits for it, whatever order the tests run in.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from pytest_llmbench.errors import Caught, caught
from pytest_llmbench.models.base import Identity, Model
from pytest_llmbench.runner.calls import SharedModel, ask_model, broken, close_model, first_fatal, open_model
from pytest_llmbench.runner.slots import GIVEN_UP, Listener, ModelPlan, Progress, Slot, Tally, samples_of, sweeps_of
from pytest_llmbench.values import Answer, AnswerError, Request

_WAIT_SLICE_S = 0.2
"""Waiting is cut in slices, so that Ctrl-C gets through and progress can be shown."""

_JOIN_S = 1.0
"""How long the end of a run waits for the thread; a model stops within about a token's time."""


class Prefetcher:
    """One run's production of answers.

    Args:
        plans: the models in the order their items come, each with its items.
        is_bounded: keep at most about a batch ahead of the tests (`-x`, `--maxfail`).
        is_dealt: ask only for what is dealt (see `deal`) or taken, not for the whole plan.
        listener: called when an item has its answers, and when a model is closed.
        name: of the thread.
    """

    def __init__(
        self,
        plans: Sequence[ModelPlan],
        *,
        is_bounded: bool = False,
        is_dealt: bool = False,
        listener: Listener | None = None,
        name: str = "answers",
    ):
        self.identities: dict[str, Identity] = {}
        self._plans = {plan.role: plan for plan in plans}
        self._listener = listener
        self._is_bounded = is_bounded
        self._slots = {item.key: Slot(item.key, plan.role, item.requests) for plan in plans for item in plan.items}
        self._models: dict[str, SharedModel] = {}
        self._tallies = {plan.role: Tally(plan.role, plan.n_requests) for plan in plans if plan.n_requests is not None}
        self._halt = threading.Event()
        # what the tests did, and what is to be asked: guards what stands below, and what slots expect
        self._tests = threading.Condition()
        self._taken: set[str] = set()
        self._released: set[str] = set()
        self._wanted: Slot | None = None
        self._waiting: list[Slot] = []
        self._undealt = Counter(slot.role for slot in self._slots.values())
        self._is_all_dealt = False
        self._is_open = False
        self._must_close = False
        self._progress = next(iter([tally.now() for tally in self._tallies.values()]), Tally("").now())
        self._thread = threading.Thread(target=self._produce, name=f"llmbench-{name}", daemon=True)
        if not is_dealt:
            self.deal(self._slots)

    def start(self) -> None:
        """Begin to send requests."""
        self._thread.start()

    def deal(self, keys: Iterable[str], *, n_suspect: int = 0) -> None:
        """Have items asked, in this order, behind those that were dealt before.

        Args:
            keys: of items of the plan; those that were dealt before, or whose requests are not known, are left out.
            n_suspect: so many of the first may have ended a process that asked for them ahead of their tests. They
                are asked alone, each when its test waits for it, so that a further end shows which it is.
        """
        with self._tests:
            for place, key in enumerate(keys):
                slot = self._slots[key]
                if slot.is_known and not slot.is_dealt:
                    slot.is_dealt, slot.is_suspect = True, place < n_suspect
                    self._undealt[slot.role] -= 1
                    if not slot.done.is_set():
                        self._waiting.append(slot)
            self._tests.notify_all()

    def drop(self, keys: Iterable[str]) -> None:
        """Give up items that are not dealt: nothing of them will be asked."""
        with self._tests:
            for slot in (self._slots[key] for key in keys):
                if not slot.is_dealt:
                    slot.is_dealt = True
                    self._undealt[slot.role] -= 1
            self._tests.notify_all()

    def supply(self, key: str, requests: tuple[Request, ...] | AnswerError) -> None:
        """Give the requests of an item that were not known, to be asked when it is dealt; or why there are none."""
        slot = self._slots[key]
        with self._tests:
            if isinstance(requests, AnswerError):
                slot.fail(requests)
            else:
                slot.expect(requests)

    def rest(self) -> None:
        """Wait until what is dealt is asked and the model is closed; it is opened again when more is dealt."""
        with self._tests:
            self._must_close = True
            self._tests.notify_all()
            self._tests.wait_for(lambda: self._halt.is_set() or not (self._is_open or self._is_waiting()))
            self._must_close = False

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
        self.deal([key])
        with self._tests:
            self._wanted = slot
            self._tests.notify_all()
        answers = self.wait(key, while_waiting)
        with self._tests:
            self._taken.add(key)
            self._tests.notify_all()
        return answers

    def wait(
        self, key: str, while_waiting: Callable[[Progress], None] | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Wait for the answers of one item as `take` does, without having it asked for."""
        slot = self._slots[key]
        while not slot.done.wait(_WAIT_SLICE_S) and not self._halt.is_set():
            if while_waiting is not None:
                while_waiting(self._progress)
        return self.so_far(key)

    def so_far(self, key: str) -> tuple[Answer | AnswerError, ...]:
        """Give the answers of one item that have come by now; one that has not is an error with the cause "stopped"."""
        with self._tests:
            return self._slots[key].whole()

    def arrived(self) -> dict[str, tuple[Answer | AnswerError, ...]]:
        """Give what has arrived whole, by item.

        What was taken comes last: it may be taken for ever, by a grader that does not end.
        """
        there = [key for key, slot in self._slots.items() if slot.done.is_set()]
        return {key: self._slots[key].whole() for key in sorted(there, key=self._taken.__contains__)}

    def model(self, role: str) -> SharedModel:
        """Give the opened model of an item that `needs_model`, after its answers were taken."""
        return self._models[role]

    def release(self, key: str) -> None:
        """Release the model of an item whose test has ended."""
        with self._tests:
            self._released.add(key)
            self._tests.notify_all()

    def finish(self, while_waiting: Callable[[Progress], None] | None = None) -> None:
        """Wait until everything that was dealt is answered and checked; nothing more may be dealt."""
        with self._tests:
            self._is_all_dealt = True
            self._tests.notify_all()
        while self._thread.is_alive() and not self._halt.is_set():
            self._thread.join(_WAIT_SLICE_S)
            if while_waiting is not None:
                while_waiting(self._progress)

    def close(self) -> None:
        """Stop sending requests; returns within about a second."""
        with self._tests:
            self._halt.set()
            self._tests.notify_all()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _produce(self) -> None:
        try:
            while (plan := self._next_plan()) is not None:
                fault = caught(self._produce_one, plan)
                if isinstance(fault, Caught):
                    self._fill(plan, broken(fault))
                with self._tests:
                    self._is_open = False
                    self._tests.notify_all()
                if self._listener is not None:
                    self._listener.closed(plan.role)
        finally:
            for plan in self._plans.values():
                self._fill(plan, GIVEN_UP)

    def _next_plan(self) -> ModelPlan | None:
        """Wait for something to ask; None when nothing more can come, or the run ends."""
        with self._tests:
            # what a broken model left is an error by now
            self._waiting = [slot for slot in self._waiting if not slot.done.is_set()]
            self._tests.wait_for(lambda: self._halt.is_set() or self._waiting or not self._may_come())
            if self._halt.is_set() or not self._waiting:
                return None
            self._is_open = True
            return self._plans[self._waiting[0].role]

    def _is_waiting(self) -> bool:
        return any(not slot.done.is_set() for slot in self._waiting)

    def _produce_one(self, plan: ModelPlan) -> None:
        tally = self._tallies.get(plan.role) or Tally(plan.role)
        total = sum(len(item.requests or ()) for item in plan.items) if plan.n_requests is None else plan.n_requests
        self._progress = replace(tally.now(), total=total, is_opening=True)
        opened = open_model(plan.open)
        if isinstance(opened, AnswerError):
            self._fill(plan, opened)
            return
        try:
            shared = self._models[plan.role] = SharedModel(opened)
            self.identities[plan.role] = opened.identity
            model = plan.through(shared)
            asked: list[Slot] = []
            while slots := self._claim(plan.role):
                asked += slots
                fatal = self._ask_all(self._allowed(plan, slots), model, tally)
                self.identities[plan.role] = opened.identity
                if fatal is not None:
                    self._fill(plan, fatal)
            self._check(plan, shared, asked)
            keys = {item.key for item in plan.items if item.needs_model and self._slots[item.key].is_dealt}
            self._wait_for_tests(lambda: keys <= self._released)
        finally:
            close_model(opened)

    def _claim(self, role: str) -> list[Slot]:
        """Take what is to be asked of the open model; none when another's turn comes, or nothing more can come.

        An idle model stays open for what may still be dealt.
        """
        with self._tests:
            self._tests.wait_for(
                lambda: self._halt.is_set() or self._waiting or self._must_close or not self._may_come(role)
            )
            if self._halt.is_set():
                return []
            own = [slot for slot in self._waiting if slot.role == role and not slot.done.is_set()]
            self._waiting = [slot for slot in self._waiting if slot.role != role]
            return own

    def _allowed(self, plan: ModelPlan, slots: Sequence[Slot]) -> list[Slot]:
        """Leave out the items that the open model may not be asked about; each gets the reason as its error."""
        allowed = []
        for slot in slots:
            reason = None if plan.objection is None else plan.objection(slot.key, self.identities[plan.role])
            if reason is None:
                allowed.append(slot)
            else:
                self._fail(slot, AnswerError(cause=reason, attempts=0))
        return allowed

    def _may_come(self, role: str | None = None) -> bool:
        """Return whether items of a model, or of any, may still be dealt."""
        left = self._undealt.values() if role is None else [self._undealt[role]]
        return not self._is_all_dealt and any(left)

    def _check(self, plan: ModelPlan, model: SharedModel, slots: Sequence[Slot]) -> None:
        """Have a model checked by what it answered; a check that breaks takes nothing from the answers."""
        check = plan.check
        if check is not None and slots and not self._halt.is_set():
            requests = [request for slot in slots for request in slot.requests]
            caught(check, model, requests, [answer for slot in slots for answer in slot.whole()])

    def _ask_all(self, slots: Sequence[Slot], model: Model, tally: Tally) -> AnswerError | None:
        """Ask items; gives the error, if any, after which the model can answer nothing more."""
        tally.expect(sum(len(slot.requests) for slot in slots))
        for slot in (slot for slot in slots if slot.is_suspect):
            self._wait_for_tests(lambda slot=slot: self._wanted is slot)  # type: ignore[misc]
            fatal = self._ask(model, samples_of([slot]), tally)
            if fatal is not None or self._halt.is_set():
                return fatal
        # with -x a test is waited for before much more is asked, so that all samples of a case come together
        others = [slot for slot in slots if not slot.is_suspect]
        todo = samples_of(others) if self._is_bounded else sweeps_of(others)
        step = model.concurrency if self._is_bounded else max(len(todo), 1)
        for first in range(0, len(todo), step):
            if self._is_bounded:
                ahead = {slot.key for slot, _ in todo[: max(0, first - step)]}
                self._wait_for_tests(lambda ahead=ahead: ahead <= self._taken)  # type: ignore[misc]
            if self._halt.is_set():
                return None
            fatal = self._ask(model, todo[first : first + step], tally)
            if fatal is not None:
                return fatal
        return None

    def _ask(self, model: Model, chunk: Sequence[tuple[Slot, int]], tally: Tally) -> AnswerError | None:
        """Ask a part of a plan; gives the error, if any, after which the model can answer nothing more."""

        def arrived(index: int, answer: Answer | AnswerError) -> None:
            slot, sample = chunk[index]
            if self._put(slot, sample, answer):
                self._progress = tally.after(answer)

        requests = [slot.requests[sample] for slot, sample in chunk]
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
        for item in plan.items:
            self._fail(self._slots[item.key], error)

    def _fail(self, slot: Slot, error: AnswerError) -> None:
        """Let an error stand where an item has no answer, or will have none."""
        with self._tests:
            if not slot.is_known:
                slot.error = slot.error or error
                return
        for sample in range(len(slot.requests)):
            self._put(slot, sample, error)

    def _put(self, slot: Slot, sample: int, answer: Answer | AnswerError) -> bool:
        """Keep the first answer to a sample; return whether it was the first."""
        is_first = slot.put(sample, answer)
        if is_first and not slot.missing:
            if self._listener is not None:
                self._listener.answered(slot.key, slot.whole())
            slot.done.set()
        return is_first

"""Answers ahead of the tests: order, waiting, faults, and that nothing ever waits for ever."""

import threading
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import STOPPED, Identity, Model
from pytest_llmbench.runner.calls import SharedModel
from pytest_llmbench.runner.prefetch import Prefetcher
from pytest_llmbench.runner.slots import ModelPlan, PlannedItem, Progress
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request, Sampling

T = TypeVar("T")
LONG_S = 20.0
"""More than anything here takes; reached only where a test fails."""


class Scripted:
    """A model that answers `CASE/SAMPLE`; a case with a gate is answered, last, when its gate opens or the run halts.

    `batches` holds what it was asked, by call; `log` when it was opened and closed.
    """

    def __init__(
        self, *, concurrency: int = 1, gates: Mapping[str, threading.Event] | None = None, log: list[str] | None = None
    ):
        self.identity = Identity(provider="scripted", model="m")
        self.concurrency = concurrency
        self.gates = gates or {}
        self.log = [] if log is None else log
        self.batches: list[tuple[str, ...]] = []
        self.has_met_gate = threading.Event()

    def open(self) -> Model:
        self.log.append("open")
        return self

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        self.batches.append(tuple(request.case for request in requests))
        answers: dict[int, Answer | AnswerError] = {}
        for index, request in sorted(enumerate(requests), key=lambda pair: pair[1].case in self.gates):
            if self._is_given_up(request, halt):
                answers[index] = AnswerError(cause=STOPPED)
                continue
            answers[index] = Answer(text=f"{request.case}/{request.sample}")
            if arrived is not None:
                arrived(index, answers[index])
        return tuple(answers[index] for index in range(len(requests)))

    def _is_given_up(self, request: Request, halt: threading.Event | None) -> bool:
        gate = self.gates.get(request.case)
        if gate is not None:
            self.has_met_gate.set()
            while not gate.wait(0.01):
                if halt is not None and halt.is_set():
                    return True
        return halt is not None and halt.is_set()

    def close(self) -> None:
        self.log.append("close")


class Raising(Scripted):
    """A model that raises, or gives what it is told to, instead of answers."""

    def __init__(self, raised: BaseException | None = None, given: Sequence[object] = (), *, concurrency: int = 1):
        super().__init__(concurrency=concurrency)
        self.raised = raised
        self.given = given

    def answer(self, requests: Sequence[Request], **_: object) -> tuple[Answer | AnswerError, ...]:
        self.batches.append(tuple(request.case for request in requests))
        if self.raised is not None:
            raise self.raised
        return tuple(self.given)  # type: ignore[arg-type]


def planned(case: str, *, samples: int = 1, needs_model: bool = False, role: str = "m") -> PlannedItem:
    requests = tuple(
        Request(suite="s", case=case, sample=sample, prompt=Prompt(text="?"), sampling=Sampling())
        for sample in range(samples)
    )
    return PlannedItem(key=f"{case}[{role}]", requests=requests, needs_model=needs_model)


def plan(model: Scripted, *items: PlannedItem, role: str = "m") -> ModelPlan:
    return ModelPlan(role=role, open=model.open, items=items)


def cannot_open(fault: BaseException) -> Callable[[], Model]:
    def open_it() -> Model:
        raise fault

    return open_it


def dealt(plans: Sequence[ModelPlan]) -> Prefetcher:
    """Make the production of a process that shares its plan with others."""
    return Prefetcher(plans, is_dealt=True)


Make = Callable[[Sequence[ModelPlan]], Prefetcher]


def within(call: Callable[[], T]) -> T:
    """Call in a thread, so that what would wait for ever fails instead."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert results, "it still waits"
    return results[0]


def texts(answers: Sequence[Answer | AnswerError]) -> list[str]:
    return [answer.text if isinstance(answer, Answer) else f"! {answer.cause}" for answer in answers]


def first_lines(answers: Sequence[Answer | AnswerError]) -> list[str]:
    return [text.splitlines()[0] for text in texts(answers)]


# -- answers


def test_answers_come_in_the_order_of_the_samples() -> None:
    """Each item gets its own answers, one a sample, in their order."""
    generation = Prefetcher([plan(Scripted(), planned("a", samples=3), planned("b", samples=3))])
    generation.start()

    taken = [texts(within(lambda key=key: generation.take(key))) for key in ("b[m]", "a[m]")]

    assert taken == [["b/0", "b/1", "b/2"], ["a/0", "a/1", "a/2"]]


def test_an_item_waits_for_its_own_answers_alone() -> None:
    """While one case is slow, the others of the same batch are taken, whether before or behind it."""
    gate = threading.Event()
    generation = Prefetcher([plan(Scripted(gates={"slow": gate}), planned("slow"), planned("quick"))])
    generation.start()

    quick = within(lambda: generation.take("quick[m]"))
    gate.set()
    slow = within(lambda: generation.take("slow[m]"))

    assert (texts(quick), texts(slow)) == (["quick/0"], ["slow/0"])


def test_what_others_have_received_is_there_while_one_is_slow() -> None:
    """`arrived` gives whole items, not one half there; those that were taken come last."""
    gate = threading.Event()
    model = Scripted(gates={"slow": gate})
    generation = Prefetcher([plan(model, planned("taken"), planned("slow", samples=2), planned("there", samples=2))])
    generation.start()
    within(lambda: generation.take("taken[m]"))
    assert model.has_met_gate.wait(LONG_S)

    arrived = generation.arrived()
    gate.set()

    assert [(key, texts(answers)) for key, answers in arrived.items()] == [
        ("there[m]", ["there/0", "there/1"]),
        ("taken[m]", ["taken/0"]),
    ]


def test_an_item_without_requests_has_no_answers() -> None:
    """Nothing asked is answered at once."""
    generation = Prefetcher([plan(Scripted(), planned("a", samples=0))])

    assert within(lambda: generation.take("a[m]")) == ()


def test_an_item_outside_the_plan_is_a_mistake_of_the_caller() -> None:
    """An unknown key raises at once, instead of waiting for what never comes."""
    for answers in (Prefetcher([]), dealt([])):
        with pytest.raises(KeyError):
            answers.take("nobody[m]")


@settings(deadline=None, max_examples=60)
@for_all(
    samples=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    concurrency=st.integers(1, 4),
    is_bounded=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_every_request_is_asked_once_whatever_the_order_of_the_tests(
    samples: list[int], concurrency: int, is_bounded: bool, order: Random
) -> None:
    """However batches, samples and the order of the tests fall together, each item gets its answers, asked once."""
    model = Scripted(concurrency=concurrency)
    items = [planned(f"c{number}", samples=n, needs_model=number % 2 == 0) for number, n in enumerate(samples)]
    keys = [one.key for one in items]
    order.shuffle(keys)
    generation = Prefetcher([plan(model, *items)], is_bounded=is_bounded)
    generation.start()

    taken = {key: texts(within(lambda key=key: generation.take(key))) for key in keys}
    generation.close()

    assert taken == {one.key: [f"{r.case}/{r.sample}" for r in one.requests] for one in items}
    assert sorted(case for batch in model.batches for case in batch) == sorted(
        r.case for a in items for r in a.requests
    )


# -- how far ahead


def test_a_plan_is_asked_in_one_call() -> None:
    """Unless it is bounded, the model gets the whole plan at once and batches as it likes."""
    model = Scripted(concurrency=2)
    generation = Prefetcher([plan(model, planned("a"), planned("b"), planned("c"))])
    generation.start()

    within(lambda: generation.take("c[m]"))

    assert model.batches == [("a", "b", "c")]


def test_a_bounded_run_keeps_about_a_batch_ahead() -> None:
    """Before a batch is asked, the tests have come to the batch before the last."""
    begun: list[str] = []
    begun_when_asked: list[int] = []

    class Watching(Scripted):
        def answer(
            self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
        ) -> tuple[Answer | AnswerError, ...]:
            begun_when_asked.append(len(begun))
            return super().answer(requests, arrived=arrived, halt=halt)

    model = Watching(concurrency=2)
    items = [planned(case) for case in "abcdefgh"]
    generation = Prefetcher([plan(model, *items)], is_bounded=True)
    generation.start()

    for one in items:
        begun.append(one.key)
        within(lambda one=one: generation.take(one.key))

    assert model.batches == [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]
    assert all(count >= 2 * (batch - 1) for batch, count in enumerate(begun_when_asked))


def test_a_bounded_run_goes_on_where_the_samples_of_a_case_fill_several_batches() -> None:
    """With more samples than rows in a batch, the look-ahead does not wait for a case that is not asked whole yet."""
    generation = Prefetcher(
        [plan(Scripted(concurrency=1), planned("a", samples=5), planned("b", samples=5))], is_bounded=True
    )
    generation.start()

    taken = [texts(within(lambda key=key: generation.take(key))) for key in ("a[m]", "b[m]")]

    assert taken == [[f"{case}/{sample}" for sample in range(5)] for case in "ab"]


def test_a_bounded_run_goes_on_where_the_tests_run_in_another_order() -> None:
    """A test that waits for a case far ahead of the others gets it."""
    generation = Prefetcher([plan(Scripted(), *(planned(case) for case in "abcdef"))], is_bounded=True)
    generation.start()

    assert texts(within(lambda: generation.take("f[m]"))) == ["f/0"]


# -- what is dealt


def test_only_what_is_dealt_is_asked_in_the_order_of_dealing() -> None:
    """A process that shares its plan asks for its own part alone, in one call, and leaves the rest."""
    model = Scripted()
    answers = dealt([plan(model, *(planned(case) for case in "abcd"))])
    answers.deal(["d[m]", "b[m]", "d[m]"])
    answers.start()

    taken = [texts(within(lambda key=key: answers.take(key))) for key in ("d[m]", "b[m]")]
    answers.close()

    assert (taken, model.batches) == ([["d/0"], ["b/0"]], [("d", "b")])


def test_what_is_dealt_later_is_asked_of_the_open_model() -> None:
    """A model stays open for what may still come, and is closed when its whole plan is done or another's turn comes."""
    log: list[str] = []
    first, second = Scripted(log=log), Scripted(log=log)
    answers = dealt(
        [
            plan(first, planned("a"), planned("b")),
            plan(second, planned("a", role="n"), planned("b", role="n"), planned("c", role="n"), role="n"),
        ]
    )
    answers.start()

    for key in ("a[m]", "b[m]", "a[n]", "b[n]"):
        answers.deal([key])
        within(lambda key=key: answers.take(key))
    before_the_end = list(log)
    answers.close()

    assert (first.batches, second.batches) == ([("a",), ("b",)], [("a",), ("b",)])
    assert (before_the_end, log) == (["open", "close", "open"], ["open", "close", "open", "close"])


def test_a_model_is_opened_again_where_its_items_are_dealt_apart() -> None:
    """Items of two models in turn get their answers, however often that opens them."""
    first, second = Scripted(), Scripted()
    answers = dealt(
        [
            plan(first, planned("a"), planned("b")),
            plan(second, planned("a", role="n"), planned("b", role="n"), role="n"),
        ]
    )
    answers.start()

    taken = [texts(within(lambda key=key: answers.take(key))) for key in ("a[m]", "a[n]", "b[m]", "b[n]")]
    answers.close()

    assert taken == [["a/0"], ["a/0"], ["b/0"], ["b/0"]]
    assert first.log == second.log == ["open", "close", "open", "close"]


def test_suspects_are_asked_alone_when_their_test_waits() -> None:
    """Those that may have ended a process are asked one by one, not ahead; the rest all at once."""
    model = Scripted()
    answers = dealt([plan(model, *(planned(case) for case in "abcd"))])
    answers.deal(["a[m]", "b[m]", "c[m]", "d[m]"], n_suspect=2)
    answers.start()

    within(lambda: answers.take("a[m]"))
    after_one = list(model.batches)
    for case in "bcd":
        within(lambda case=case: answers.take(f"{case}[m]"))
    answers.close()

    assert (after_one, model.batches) == ([("a",)], [("a",), ("b",), ("c", "d")])


@settings(deadline=None, max_examples=40)
@for_all(
    deals=st.lists(st.lists(st.integers(0, 11), max_size=5), max_size=6),
    n_suspect=st.integers(0, 3),
    is_bounded=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_what_is_dealt_or_taken_is_asked_once(
    deals: list[list[int]], n_suspect: int, is_bounded: bool, order: Random
) -> None:
    """However items of several models are dealt and taken, each gets its answers, asked once."""
    models = {role: Scripted(concurrency=2) for role in "mno"}
    items = {role: [planned(f"c{n}", role=role, samples=1 + n % 2) for n in range(4)] for role in models}
    keys = [one.key for role in models for one in items[role]]
    answers = Prefetcher(
        [plan(models[role], *items[role], role=role) for role in models], is_dealt=True, is_bounded=is_bounded
    )
    answers.start()
    for deal in deals:
        answers.deal([keys[n] for n in deal], n_suspect=n_suspect)
    order.shuffle(keys)

    for key in keys:
        within(lambda key=key: answers.take(key))
    answers.close()

    for role, model in models.items():
        asked = sorted(case for batch in model.batches for case in batch)
        assert asked == ["c0", "c1", "c1", "c2", "c3", "c3"], role


# -- the end


def test_closing_halts_the_model_and_gives_up_the_rest() -> None:
    """What had arrived stays, what had not is an error with the cause "stopped", and no test waits any more."""
    model = Scripted(gates={"slow": threading.Event()})
    generation = Prefetcher(
        [plan(model, planned("quick"), planned("slow")), plan(Scripted(), planned("later"), role="n")]
    )
    generation.start()
    assert model.has_met_gate.wait(LONG_S)

    generation.close()

    taken = [texts(within(lambda key=key: generation.take(key))) for key in ("quick[m]", "slow[m]", "later[m]")]
    assert taken == [["quick/0"], [f"! {STOPPED}"], [f"! {STOPPED}"]]
    assert model.log == ["open", "close"]


def test_closing_ends_what_waits_for_tests() -> None:
    """A bounded run that is a batch ahead of tests which never come closes its model."""
    model = Scripted(concurrency=1, gates={"c": threading.Event()})
    generation = Prefetcher([plan(model, *(planned(case) for case in "abcdef"))], is_bounded=True)
    generation.start()
    within(lambda: generation.take("a[m]"))
    assert model.has_met_gate.wait(LONG_S)

    generation.close()

    assert model.log == ["open", "close"]


def test_closing_does_not_wait_for_a_model_that_does_not_halt() -> None:
    """A model deaf to the halt is left behind within about a second, and its tests get "stopped"."""
    release = threading.Event()

    class Deaf(Scripted):
        def answer(self, requests: Sequence[Request], **_: object) -> tuple[Answer | AnswerError, ...]:
            self.has_met_gate.set()
            release.wait(LONG_S)
            return tuple(Answer(text="late") for _ in requests)

    model = Deaf()
    generation = Prefetcher([plan(model, planned("a"))])
    generation.start()
    assert model.has_met_gate.wait(LONG_S)

    generation.close()
    taken = within(lambda: generation.take("a[m]"))
    release.set()

    assert texts(taken) == [f"! {STOPPED}"]


def test_a_run_closed_before_it_began_opens_no_model() -> None:
    """Close, start, close: nothing is asked, nobody waits."""
    model = Scripted()
    generation = Prefetcher([plan(model, planned("a"))])

    generation.close()
    generation.start()
    taken = within(lambda: generation.take("a[m]"))
    generation.close()

    assert (texts(taken), model.log) == ([f"! {STOPPED}"], [])


def test_closing_twice_closes_the_model_once() -> None:
    """The end of the loop and the end of the session may both close."""
    model = Scripted()
    for answers in (Prefetcher([plan(model, planned("a"))]), dealt([plan(model, planned("a"))])):
        model.log.clear()
        answers.start()
        within(lambda answers=answers: answers.take("a[m]"))

        answers.close()
        answers.close()

        assert model.log == ["open", "close"]


# -- checks


def test_a_model_is_checked_by_all_it_answered_before_it_is_closed() -> None:
    """The check gets the open model, each request and its answer; `finish` waits for it."""
    model = Scripted()
    seen: list[tuple[list[str], list[str], list[str]]] = []

    def check(shared: SharedModel, requests: Sequence[Request], answers: Sequence[Answer | AnswerError]) -> None:
        seen.append(([request.case for request in requests], texts(answers), list(model.log)))

    items = (planned("a", samples=2), planned("b"))
    generation = Prefetcher([ModelPlan(role="m", open=model.open, items=items, check=check)])
    generation.start()

    within(generation.finish)

    assert seen == [(["a", "a", "b"], ["a/0", "a/1", "b/0"], ["open"])]
    assert model.log == ["open", "close"]


def test_a_check_that_breaks_takes_nothing_from_the_answers() -> None:
    """What it raises is dropped: the model has answered."""

    def check(*_: object) -> None:
        raise RuntimeError("check")

    generation = Prefetcher([ModelPlan(role="m", open=Scripted().open, items=(planned("a"),), check=check)])
    generation.start()
    within(generation.finish)

    assert texts(generation.take("a[m]")) == ["a/0"]


def test_finishing_ends_what_was_dealt_of_a_plan() -> None:
    """A process that got a part of the plan checks that part, and waits for no more."""
    model, seen = Scripted(), list[str]()
    items = (planned("a"), planned("b"))
    plans = [
        ModelPlan(
            role="m", open=model.open, items=items, check=lambda _, requests, __: seen.extend(r.case for r in requests)
        )
    ]
    generation = dealt(plans)
    generation.start()
    within(lambda: generation.take("b[m]"))

    within(generation.finish)

    assert (seen, model.log) == (["b"], ["open", "close"])


def test_a_shared_model_answers_alone_as_its_model_can() -> None:
    """Where the model has no way of its own, one request a call is alone."""

    class Alone(Scripted):
        def answer_alone(self, request: Request) -> Answer:
            return Answer(text=f"{request.case} alone")

    (request,) = planned("a").requests

    found = [SharedModel(model).answer_alone(request) for model in (Alone(), Scripted())]

    assert texts(found) == ["a alone", "a/0"]


# -- faults

OPENING = {
    "a fault of the model": (ModelFault("the key is refused; set another."), "! the key is refused; set another."),
    "a fault of the entry": (UsageFault("no such file; name another."), "! no such file; name another."),
    "any exception": (RuntimeError("CUDA"), "! the model could not be opened: RuntimeError: CUDA"),
    "the end of the process": (SystemExit(1), "! the model could not be opened: SystemExit: 1"),
}


@pytest.mark.parametrize(("fault", "cause"), OPENING.values(), ids=OPENING)
@pytest.mark.parametrize("make", [Prefetcher, dealt])
def test_a_model_that_cannot_be_opened_fails_all_its_requests(make: Make, fault: BaseException, cause: str) -> None:
    """Each request gets the cause, as one that nothing can follow; the next model is opened and asked."""
    broken = ModelPlan(role="m", open=cannot_open(fault), items=(planned("a", samples=2), planned("b")))
    answers = make([broken, plan(Scripted(), planned("a", role="n"), role="n")])
    answers.start()

    a, b, other = (within(lambda key=key: answers.take(key)) for key in ("a[m]", "b[m]", "a[n]"))

    assert (first_lines(a), first_lines(b), texts(other)) == ([cause, cause], [cause], ["a/0"])
    assert all(isinstance(answer, AnswerError) and answer.is_fatal and answer.attempts == 0 for answer in (*a, *b))


ASKING: Mapping[str, tuple[BaseException | None, Sequence[object], str, bool]] = {
    "a fault of the model": (ModelFault("the device is lost."), (), "! the device is lost.", True),
    "any exception": (KeyError("x"), (), "! the model broke: KeyError: 'x'", False),
    "the end of the process": (SystemExit(3), (), "! the model broke: SystemExit: 3", False),
    "too few answers": (None, (), "! the model broke: it gave 0 answers to 1 requests", False),
    "too many": (None, [Answer(text="x")] * 2, "! the model broke: it gave 2 answers to 1 requests", False),
    "something else": (None, ["x"], "! the model broke: it gave 0 answers to 1 requests", False),
}


@pytest.mark.parametrize(("raised", "given", "cause", "is_fatal"), ASKING.values(), ids=ASKING)
@pytest.mark.parametrize("make", [Prefetcher, dealt])
def test_a_model_that_breaks_fails_what_it_was_asked(
    make: Make,
    raised: BaseException | None,
    given: Sequence[object],
    cause: str,
    is_fatal: bool,
) -> None:
    """Whatever it raises or gives instead of answers is an error with its cause; it is closed, the next one is asked."""
    model = Raising(raised, given)
    answers = make([plan(model, planned("a")), plan(Scripted(), planned("a", role="n"), role="n")])
    answers.start()

    taken = within(lambda: answers.take("a[m]"))
    other = within(lambda: answers.take("a[n]"))

    assert (first_lines(taken), texts(other)) == ([cause], ["a/0"])
    assert [isinstance(answer, AnswerError) and answer.is_fatal for answer in taken] == [is_fatal]
    assert model.log == ["open", "close"]


def test_an_error_that_is_no_fault_of_the_model_shows_where_it_was_raised() -> None:
    """An exception nobody foresaw keeps its traceback below the first line."""
    generation = Prefetcher([plan(Raising(KeyError("x")), planned("a"))])
    generation.start()

    (taken,) = texts(within(lambda: generation.take("a[m]")))

    assert taken.splitlines()[1] == "Traceback (most recent call last):"
    assert "test_prefetch.py" in taken


def test_answers_that_arrived_before_a_model_broke_stand() -> None:
    """Only what is missing becomes an error."""

    class Breaking(Scripted):
        def answer(
            self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
        ) -> tuple[Answer | AnswerError, ...]:
            super().answer(requests[:1], arrived=arrived, halt=halt)
            raise ConnectionError("reset")

    generation = Prefetcher([plan(Breaking(), planned("a"), planned("b"))])
    generation.start()

    taken = [first_lines(within(lambda key=key: generation.take(key))) for key in ("a[m]", "b[m]")]

    assert taken == [["a/0"], ["! the model broke: ConnectionError: reset"]]


@pytest.mark.parametrize("kind", ["bounded", "on demand"])
def test_after_a_fatal_error_nothing_more_is_asked(kind: str) -> None:
    """An answer that says that none can follow ends the asking of its model; all the rest get its cause."""
    model = Raising(given=[AnswerError(cause="401: wrong key", is_fatal=True)])
    plans = [plan(model, planned("a"), planned("b"), planned("c"))]
    answers = dealt(plans) if kind == "on demand" else Prefetcher(plans, is_bounded=True)
    answers.start()

    taken = [texts(within(lambda key=key: answers.take(key))) for key in ("a[m]", "b[m]", "c[m]")]

    assert taken == [["! 401: wrong key"]] * 3
    assert model.batches == [("a",)]


def test_a_model_that_cannot_be_closed_loses_no_answer() -> None:
    """A fault in closing comes after the answers, which stand; the next model is opened."""

    class Unclosable(Scripted):
        def close(self) -> None:
            raise OSError("busy")

    plans = [plan(Unclosable(), planned("a")), plan(Scripted(), planned("a", role="n"), role="n")]
    for answers in (Prefetcher(plans), dealt(plans)):
        answers.start()

        taken = [texts(within(lambda key=key, answers=answers: answers.take(key))) for key in ("a[m]", "a[n]")]
        answers.close()

        assert taken == [["a/0"], ["a/0"]]


# -- one model at a time


@pytest.mark.parametrize("make", [Prefetcher, dealt])
def test_one_model_is_open_at_a_time(make: Make) -> None:
    """A model is closed before the next one is opened, and the last one at the end."""
    log: list[str] = []
    plans = [plan(Scripted(log=log), planned("a", role=role), role=role) for role in ("x", "y", "z")]
    answers = make(plans)
    answers.start()

    for role in ("x", "y", "z"):
        within(lambda role=role: answers.take(f"a[{role}]"))
    answers.close()

    assert log == ["open", "close"] * 3


def test_a_model_that_a_test_needs_stays_open_until_the_test_is_done() -> None:
    """An item that needs the model has it open after its answers were taken; released, it is closed."""
    closed = threading.Event()

    class Telling(Scripted):
        def close(self) -> None:
            super().close()
            closed.set()

    model = Telling()
    generation = Prefetcher([plan(model, planned("a", needs_model=True), planned("b"))])
    generation.start()
    within(lambda: generation.take("a[m]"))
    within(lambda: generation.take("b[m]"))

    more = generation.model("m").answer(planned("own").requests)
    was_closed = closed.is_set()
    generation.release("a[m]")

    assert (texts(more), was_closed) == (["own/0"], False)
    assert closed.wait(LONG_S)


def test_a_model_is_kept_open_for_no_longer_than_another_is_not_waited_for() -> None:
    """Where tests do not run in the order of the models, the one wanted now comes before the one kept open."""
    kept, wanted = Scripted(), Scripted()
    generation = Prefetcher(
        [plan(kept, planned("a", needs_model=True)), plan(wanted, planned("a", role="n"), role="n")]
    )
    generation.start()

    taken = within(lambda: generation.take("a[n]"))

    assert (texts(taken), kept.log) == (["a/0"], ["open", "close"])


def test_a_model_nobody_opened_cannot_be_had() -> None:
    """`model` gives a role's model only while or after it was open."""
    for answers in (Prefetcher([]), dealt([])):
        with pytest.raises(KeyError):
            answers.model("m")


def test_a_dealt_item_that_needs_its_model_has_it() -> None:
    """A worker's test gets the model its answers came from."""
    answers = dealt([plan(Scripted(), planned("a", needs_model=True))])
    answers.start()
    within(lambda: answers.take("a[m]"))

    more = answers.model("m").answer(planned("own").requests)

    assert texts(more) == ["own/0"]


def test_a_test_s_own_requests_wait_for_those_of_the_plan() -> None:
    """A shared model is asked by one caller at a time, and only the run closes it."""
    gate = threading.Event()
    model = Scripted(gates={"slow": gate})
    shared = SharedModel(model)
    own = threading.Thread(target=lambda: shared.answer(planned("own").requests), daemon=True)
    plans = threading.Thread(target=lambda: shared.answer(planned("slow").requests), daemon=True)
    plans.start()
    assert model.has_met_gate.wait(LONG_S)

    own.start()
    own.join(0.1)
    before = list(model.batches)
    gate.set()
    own.join(LONG_S)
    shared.close()

    assert (before, model.batches, model.log) == ([("slow",)], [("slow",), ("own",)], [])
    assert (shared.identity, shared.concurrency) == (model.identity, 1)


# -- what is told


def test_progress_counts_what_arrived_while_a_test_waits() -> None:
    """The test that waits is told how many of the model's requests are answered."""
    gate = threading.Event()
    seen: list[Progress] = []

    def while_waiting(progress: Progress) -> None:
        seen.append(progress)
        gate.set()

    model = Scripted(gates={"slow": gate})
    generation = Prefetcher([plan(model, planned("a", samples=2), planned("slow"))])
    generation.start()
    assert model.has_met_gate.wait(LONG_S)

    within(lambda: generation.take("slow[m]", while_waiting))

    assert [(progress.role, progress.answered, progress.total) for progress in seen[:1]] == [("m", 2, 3)]
    assert seen[0].elapsed_s > 0
    assert generation.progress.answered == 3


def test_an_answer_told_twice_counts_once() -> None:
    """Progress never passes the total, and the first answer stands."""

    class Stammering(Scripted):
        def answer(
            self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
        ) -> tuple[Answer | AnswerError, ...]:
            answers = super().answer(requests, arrived=arrived, halt=halt)
            if arrived is not None:
                arrived(0, Answer(text="again"))
            return answers

    generation = Prefetcher([plan(Stammering(), planned("a"))])
    generation.start()

    taken = within(lambda: generation.take("a[m]"))
    generation.close()

    assert (texts(taken), generation.progress.answered) == (["a/0"], 1)


@pytest.mark.parametrize("make", [Prefetcher, dealt])
def test_what_a_model_learns_of_itself_in_answering_is_kept(make: Make) -> None:
    """The identity is read again after the answers: a server tells its model's name only then."""

    class Learning(Scripted):
        def answer(
            self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
        ) -> tuple[Answer | AnswerError, ...]:
            self.identity = Identity(provider="scripted", model="m", server_model="m-2024")
            return super().answer(requests, arrived=arrived, halt=halt)

    answers = make([plan(Learning(), planned("a"))])
    answers.start()

    within(lambda: answers.take("a[m]"))
    answers.close()

    assert answers.identities["m"].server_model == "m-2024"


def test_a_model_is_opened_when_its_turn_comes() -> None:
    """While the first model is at work, the second is not opened; after the end it is not opened at all."""
    first, second = Scripted(gates={"a": threading.Event()}), Scripted()
    generation = Prefetcher([plan(first, planned("a")), plan(second, planned("a", role="n"), role="n")])
    generation.start()
    assert first.has_met_gate.wait(LONG_S)

    generation.close()

    assert (first.log, second.log) == (["open", "close"], [])


class Heard:
    """Writes down what it hears."""

    def __init__(self, log: list[str]):
        self.log = log

    def answered(self, key: str, answers: tuple[Answer | AnswerError, ...]) -> None:
        self.log.append(f"{key} {', '.join(first_lines(answers))}")

    def closed(self, role: str) -> None:
        self.log.append(f"closed {role}")


def test_a_listener_hears_of_whole_items_and_of_closed_models() -> None:
    """Each item once, when its last answer is there; each model when it is closed, before the next is opened.

    Samples come in sweeps: the second of `a` behind the first of `b`.
    """
    log: list[str] = []
    first, second = Scripted(log=log), Scripted(log=log)
    plans = [plan(first, planned("a", samples=2), planned("b")), plan(second, planned("c", role="n"), role="n")]
    generation = Prefetcher(plans, listener=Heard(log))
    generation.start()

    within(lambda: generation.take("c[n]"))
    generation.close()

    assert log == ["open", "b[m] b/0", "a[m] a/0, a/1", "close", "closed m", "open", "c[n] c/0", "close", "closed n"]


def test_a_listener_hears_of_errors_too() -> None:
    """What was given up, and a model that cannot be opened, are told like answers."""
    log: list[str] = []
    generation = Prefetcher(
        [ModelPlan(role="m", open=cannot_open(UsageFault("no such model.")), items=(planned("a"),))],
        listener=Heard(log),
    )
    generation.start()

    within(lambda: generation.take("a[m]"))
    generation.close()

    assert log == ["a[m] ! no such model.", "closed m"]

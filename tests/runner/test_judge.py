"""The asking of a judge: replies as answers come, faults, whose turn it is on one machine, and no waiting for ever."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pytest

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import STOPPED, Identity, Model
from pytest_llmbench.runner.judge import Judge, JudgePlan
from pytest_llmbench.runner.prefetch import Prefetcher
from pytest_llmbench.runner.slots import ModelPlan, PlannedItem
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request, Sampling

T = TypeVar("T")
LONG_S = 20.0
"""More than anything here takes; reached only where a test fails."""


class Scripted:
    """A model that answers with the text of its prompt in brackets, or what `table` says; gates as events by text."""

    concurrency = 4

    def __init__(
        self,
        name: str,
        *,
        log: list[str] | None = None,
        table: Mapping[str, Answer | AnswerError | BaseException] | None = None,
        gates: Mapping[str, threading.Event] | None = None,
    ):
        self.identity = Identity(provider="scripted", model=name)
        self.name = name
        self.log = [] if log is None else log
        self.table = table or {}
        self.gates = gates or {}
        self.batches: list[list[str]] = []

    def open(self) -> Model:
        self.log.append(f"{self.name} opened")
        return self

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        texts = [request.prompt.text or "" for request in requests]
        self.batches.append(texts)
        found: list[Answer | AnswerError] = []
        for index, text in enumerate(texts):
            gate = self.gates.get(text)
            while gate is not None and not gate.wait(0.01):
                if halt is not None and halt.is_set():
                    return (*found, *(AnswerError(cause=STOPPED) for _ in texts[index:]))
            told = self.table.get(text, Answer(text=f"<{text}>"))
            if isinstance(told, BaseException):
                raise told
            found.append(told)
            if arrived is not None:
                arrived(index, told)
        return tuple(found)

    def close(self) -> None:
        self.log.append(f"{self.name} closed")


def request(text: str, sample: int = 0) -> Request:
    return Request(suite="s", case="c", sample=sample, prompt=Prompt(text=text), sampling=Sampling())


def plan_of(model: Scripted, *keys: str) -> ModelPlan:
    items = tuple(PlannedItem(key=key, requests=(request(key),)) for key in keys)
    return ModelPlan(role=model.name, open=model.open, items=items)


def about(key: str, answers: Sequence[Answer | AnswerError]) -> tuple[Request, ...]:
    """Ask about each answer, but for empty ones."""
    del key
    return tuple(request(answer.text) for answer in answers if isinstance(answer, Answer) and answer.text)


Start = Callable[..., tuple[Judge, Prefetcher]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a run in which a judge is asked about all items of the models; `judge=` gives its model."""
    running: list[tuple[Judge, Prefetcher]] = []

    def make(judge: Scripted, *plans: ModelPlan, is_bounded: bool = False, **fields: Any) -> tuple[Judge, Prefetcher]:
        given = {"requests": about, "objection": lambda role, identity: None, **fields}
        items = {item.key: plan.role for plan in plans for item in plan.items}
        asked = Judge(JudgePlan(name="j", open=judge.open, items=items, n_replies=len(items), **given))
        generation = Prefetcher(plans, is_bounded=is_bounded, listener=asked)
        running.append((asked, generation))
        asked.start()
        generation.start()
        return running[-1]

    yield make
    for judge, generation in running:
        judge.close()
        generation.close()


def within(call: Callable[[], T]) -> T:
    """Call in a thread, so that what would wait for ever fails instead."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert results, "it still waits"
    return results[0]


def taken(judge: Judge, key: str) -> list[str]:
    replies = within(lambda: judge.take(key))
    return [reply.text if isinstance(reply, Answer) else f"! {reply.cause.splitlines()[0]}" for reply in replies]


def test_each_answer_is_judged(start: Start) -> None:
    """A judge is sent each answer, opened once, and closed when all are judged."""
    model = Scripted("m")
    judge, _ = start(j := Scripted("j"), plan_of(model, "a", "b"))

    assert [taken(judge, key) for key in ("b", "a")] == [["<<b>>"], ["<<a>>"]]
    assert sorted(text for batch in j.batches for text in batch) == ["<a>", "<b>"]
    within(judge.close)
    assert j.log == ["j opened", "j closed"]


def test_an_item_waits_for_its_own_replies_alone(start: Start) -> None:
    """While the model still works, and while the judge works on another answer, the first is done."""
    slow_answer, slow_reply = threading.Event(), threading.Event()
    model = Scripted("m", gates={"c": slow_answer})
    judge, _ = start(Scripted("j", gates={"<b>": slow_reply}), plan_of(model, "a", "b", "c"))

    assert taken(judge, "a") == ["<<a>>"]
    slow_reply.set()
    assert taken(judge, "b") == ["<<b>>"]
    slow_answer.set()
    assert taken(judge, "c") == ["<<c>>"]


def test_an_answer_that_needs_no_judge_waits_for_none(start: Start) -> None:
    """Nothing is asked about it, and a judge that has nothing to do is never opened."""
    j = Scripted("j")
    judge, _ = start(j, plan_of(Scripted("m", table={"a": Answer(text=""), "b": AnswerError(cause="x")}), "a", "b"))

    assert [taken(judge, key) for key in ("a", "b")] == [[], []]
    within(judge.close)
    assert j.log == []


def test_items_of_other_suites_are_not_judged(start: Start) -> None:
    """What is no item of the judge's has no replies, and nothing is waited for."""
    judge, _ = start(Scripted("j"), plan_of(Scripted("m"), "a"))

    assert taken(judge, "unknown") == []


@pytest.mark.parametrize(
    ("table", "replies"),
    [
        ({"<a>": AnswerError(cause="HTTP 500")}, [["! HTTP 500"], ["<<b>>"]]),
        ({"<a>": ModelFault("the device is gone")}, [["! the device is gone"], ["! the device is gone"]]),
        ({"<a>": ValueError("oops")}, [["! the model broke: ValueError: oops"], ["<<b>>"]]),
        (
            {"<a>": AnswerError(cause="HTTP 401: no key", is_fatal=True)},
            [["! HTTP 401: no key"], ["! HTTP 401: no key"]],
        ),
    ],
)
def test_a_judges_fault_is_an_error_of_its_items(
    start: Start, table: Mapping[str, Any], replies: list[list[str]]
) -> None:
    """What is one request's stays its own; where no further one can be answered, nobody waits for it."""
    gate = threading.Event()
    judge, _ = start(Scripted("j", table=table), plan_of(Scripted("m", gates={"b": gate}), "a", "b"))

    first = taken(judge, "a")
    gate.set()

    assert [first, taken(judge, "b")] == replies


def test_a_judge_that_cannot_be_opened_is_an_error_of_all_items(start: Start) -> None:
    """Its own words are the cause; it is tried once."""
    log: list[str] = []

    class Broken(Scripted):
        def open(self) -> Model:
            log.append("tried")
            raise UsageFault("there is no such folder.")

    judge, _ = start(Broken("j"), plan_of(Scripted("m"), "a", "b"))

    assert [taken(judge, key) for key in ("a", "b")] == [["! there is no such folder."]] * 2
    assert log == ["tried"]


def test_a_prompt_that_cannot_be_made_is_its_own_error(start: Start) -> None:
    """A grader that breaks over one answer does not hinder the others."""

    def requests(key: str, answers: Sequence[Answer | AnswerError]) -> tuple[Request, ...]:
        if key == "a":
            raise ValueError("oops")
        return about(key, answers)

    judge, _ = start(Scripted("j"), plan_of(Scripted("m"), "a", "b"), requests=requests)

    assert [taken(judge, key) for key in ("a", "b")] == [["! the judge's prompt broke: ValueError: oops"], ["<<b>>"]]


def test_a_judge_that_turns_out_to_be_the_model_is_refused(start: Start) -> None:
    """What only shows when both are open is an error of that model's items; those of others are judged."""
    judge, _ = start(
        Scripted("m"),
        plan_of(Scripted("m"), "a"),
        plan_of(Scripted("n"), "b"),
        objection=lambda role, identity: "a model may not judge itself" if role == identity.model else None,
    )

    assert [taken(judge, key) for key in ("a", "b")] == [["! a model may not judge itself"], ["<<b>>"]]


def test_what_breaks_the_judging_itself_leaves_nobody_waiting(start: Start) -> None:
    """Items asked about already, and those still to come, get the cause."""
    gate = threading.Event()

    def objection(role: str, identity: Identity) -> str | None:
        raise ValueError("oops")

    model = Scripted("m", gates={"b": gate})
    judge, _ = start(Scripted("j"), plan_of(model, "a", "b"), objection=objection)

    first = taken(judge, "a")
    gate.set()

    assert [first, taken(judge, "b")] == [["! the model broke: ValueError: oops"]] * 2


# -- on one machine


def test_a_judge_on_the_models_machine_waits_until_it_is_closed(start: Start) -> None:
    """One of them is open at a time, model by model, so that results come after each."""
    log: list[str] = []
    judge, _ = start(
        Scripted("j", log=log),
        plan_of(Scripted("m", log=log), "a"),
        plan_of(Scripted("n", log=log), "b"),
        alone_with=frozenset({"m", "n"}),
    )

    assert [taken(judge, key) for key in ("a", "b")] == [["<<a>>"], ["<<b>>"]]
    within(judge.close)
    assert log == [
        *("m opened", "m closed", "j opened", "j closed"),
        *("n opened", "n closed", "j opened", "j closed"),
    ]


def test_a_local_judge_works_beside_an_api_and_is_closed_before_the_next_local_model(start: Start) -> None:
    """It need not wait for what runs elsewhere."""
    log: list[str] = []
    gate = threading.Event()
    judge, _ = start(
        Scripted("j", log=log),
        plan_of(Scripted("api", log=log, gates={"b": gate}), "a", "b"),
        plan_of(Scripted("local", log=log), "c"),
        alone_with=frozenset({"local"}),
    )

    first = taken(judge, "a")
    gate.set()

    assert [first, taken(judge, "b"), taken(judge, "c")] == [["<<a>>"], ["<<b>>"], ["<<c>>"]]
    assert log.index("j closed") < log.index("local opened")


def test_a_local_judge_without_work_holds_nobody_up(start: Start) -> None:
    """Where all answers of a model are errors, the next one is opened at once."""
    log: list[str] = []
    silent = Scripted("m", log=log, table={"a": AnswerError(cause="x")})
    judge, _ = start(
        Scripted("j", log=log), plan_of(silent, "a"), plan_of(Scripted("n", log=log), "b"), alone_with=frozenset("mn")
    )

    assert taken(judge, "b") == ["<<b>>"]
    assert log[:4] == ["m opened", "m closed", "n opened", "n closed"]


# -- the end


def test_a_run_that_ends_leaves_nobody_waiting(start: Start) -> None:
    """What has come is kept, what was asked is stopped, and what has no answer was not asked about."""
    never = threading.Event()
    judge, generation = start(
        Scripted("j", gates={"<b>": never}), plan_of(Scripted("m", gates={"c": never}), "a", "b", "c")
    )
    taken(judge, "a")

    within(judge.close)
    within(generation.close)

    assert [taken(judge, key) for key in ("a", "b", "c")] == [["<<a>>"], [f"! {STOPPED}"], []]
    assert [len(judge.arrived(key)) for key in ("a", "b", "unknown")] == [1, 1, 0]


def test_a_run_that_ends_while_a_local_judge_works_leaves_nobody_waiting(start: Start) -> None:
    """The thread that waits for the judge to be done is let go."""
    never, before = threading.Event(), set(threading.enumerate())
    asked = Scripted("j", gates={"<a>": never})
    judge, generation = start(
        asked,
        plan_of(Scripted("m"), "a"),
        plan_of(Scripted("n"), "b"),
        alone_with=frozenset("mn"),
    )
    while not asked.batches and threading.active_count() > len(before):
        never.wait(0.01)

    within(judge.close)

    # whether or not the second model got to answer before it is stopped as well
    assert taken(judge, "b") == [f"! {STOPPED}"]
    within(generation.close)
    assert taken(judge, "a") == [f"! {STOPPED}"]
    assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("llmbench-")]


def test_the_look_ahead_does_not_wait_for_a_test_that_waits_for_the_judge(start: Start) -> None:
    """With `-x` tests, model and judge still get to the end, in the order of the plan."""
    keys = [f"k{number}" for number in range(30)]
    judge, generation = start(Scripted("j"), plan_of(Scripted("m"), *keys), is_bounded=True)

    def run() -> list[list[str]]:
        found = []
        for key in keys:
            generation.take(key)
            found.append(taken(judge, key))
        return found

    assert within(run) == [[f"<<{key}>>"] for key in keys]


def test_progress_counts_replies(start: Start) -> None:
    """While a test waits it is told how far the judge is."""
    gate = threading.Event()
    judge, _ = start(Scripted("j", gates={"<b>": gate}), plan_of(Scripted("m"), "a", "b"))
    taken(judge, "a")
    seen = []

    def while_waiting(progress: Any) -> None:
        seen.append((progress.role, progress.answered, progress.total))
        gate.set()

    within(lambda: judge.take("b", while_waiting))

    assert seen[0] == ("j", 1, 2)

"""A model behind its stored answers: what is asked, what is told, what is kept."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pytest_llmbench.models.base import STOPPED, Identity, Opened
from pytest_llmbench.models.separated import SeparatedModel
from pytest_llmbench.runner.store.keys import request_key
from pytest_llmbench.runner.store.model import StoredModel
from pytest_llmbench.runner.store.store import AnswerStore, Reuse
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request, Sampling

IDENTITY = Identity(provider="p", model="m")


@dataclass
class Model(Opened):
    """Answers each request with its case in capitals, or as `given` says; tells only of some, in an order of its own."""

    given: dict[str, Answer | AnswerError] = field(default_factory=dict)
    tells: str = "cba"
    more: tuple[Answer, ...] = ()
    asked: list[str] = field(default_factory=list)
    is_closed: bool = False
    identity: Identity = IDENTITY
    concurrency: int = 4

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        self.asked += [request.case for request in requests]
        answers = [self.given.get(request.case, Answer(text=request.case.upper())) for request in requests]
        places = {request.case: place for place, request in enumerate(requests)}
        for case in self.tells:
            if case in places and arrived is not None:
                arrived(places[case], answers[places[case]])
        return (*answers, *self.more)

    def close(self) -> None:
        self.is_closed = True


def request(case: str) -> Request:
    return Request(suite="s", case=case, sample=0, prompt=Prompt(text=case), sampling=Sampling())


ABC = tuple(request(case) for case in "abc")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    """Make a store in which the answer to `b` is left of a run that did not finish."""
    path = tmp_path / "answers.sqlite"
    before = AnswerStore(path, reuse=Reuse.AUTO, token="before")
    answers = before.answers_of(IDENTITY, "m")
    answers.keep(answers.key(request("b")), Answer(text="stored", latency_s=0.5))
    before.close()
    store = AnswerStore(path, reuse=Reuse.AUTO, token="now")
    yield store
    store.close()


def kept(store: AnswerStore, case: str) -> Answer | None:
    answers = store.answers_of(IDENTITY, "m")
    return answers.find(answers.key(request(case)))


def test_stored_answers_arrive_first_and_the_rest_is_asked(store: AnswerStore) -> None:
    """The answers come in the order of the requests; each is told once, the stored ones before all others."""
    model, told = Model(), list[tuple[int, Answer | AnswerError]]()

    answers = StoredModel(model, store.answers_of(IDENTITY, "m")).answer(
        ABC, arrived=lambda index, answer: told.append((index, answer))
    )

    stored = Answer(text="stored", latency_s=0.5, reused=True)
    assert answers == (Answer(text="A"), stored, Answer(text="C"))
    assert model.asked == ["a", "c"]
    assert told == [(1, stored), (2, Answer(text="C")), (0, Answer(text="A"))]
    assert kept(store, "a") == Answer(text="A")
    # kept as one of this run too, so that a run interrupted twice finds it
    assert kept(store, "b") == stored


def test_where_everything_is_stored_the_model_is_not_asked(store: AnswerStore) -> None:
    """Not even with an empty list."""
    model = Model()

    StoredModel(model, store.answers_of(IDENTITY, "m")).answer([request("b")])

    assert model.asked == []


def test_an_answer_is_kept_the_moment_it_arrives(store: AnswerStore) -> None:
    """Before the caller hears of it, and long before the call returns."""
    found: list[Answer | None] = []

    StoredModel(Model(), store.answers_of(IDENTITY, "m")).answer(
        [request("a")], arrived=lambda index, answer: found.append(kept(store, "a"))
    )

    assert found == [Answer(text="A")]


def test_what_a_model_does_not_tell_is_kept_at_the_end(store: AnswerStore) -> None:
    """A provider that only returns its answers loses none."""
    StoredModel(Model(tells=""), store.answers_of(IDENTITY, "m")).answer(ABC)

    assert (kept(store, "a"), kept(store, "c")) == (Answer(text="A"), Answer(text="C"))


def test_errors_are_told_and_not_kept(store: AnswerStore) -> None:
    """An error is asked again by the next run; one of the end of the run is not even told."""
    model = Model(given={"a": AnswerError(cause="500"), "c": AnswerError(cause=STOPPED)}, tells="a")
    told: list[int] = []

    answers = StoredModel(model, store.answers_of(IDENTITY, "m")).answer(
        ABC, arrived=lambda index, answer: told.append(index)
    )

    assert (answers[0], answers[2]) == (AnswerError(cause="500"), AnswerError(cause=STOPPED))
    assert told == [1, 0]
    assert (kept(store, "a"), kept(store, "c")) == (None, None)


def test_an_answer_told_twice_counts_once(store: AnswerStore) -> None:
    """The caller hears of each request once."""
    told: list[int] = []

    StoredModel(Model(tells="aac"), store.answers_of(IDENTITY, "m")).answer(
        ABC, arrived=lambda index, answer: told.append(index)
    )

    assert told == [1, 0, 2]


def test_a_wrong_number_of_answers_is_passed_on(store: AnswerStore) -> None:
    """Whoever called counts, and says what is wrong."""
    answers = StoredModel(Model(more=(Answer(text="?"),)), store.answers_of(IDENTITY, "m")).answer(ABC)

    assert len(answers) == 4


def test_closing_closes_the_model(store: AnswerStore) -> None:
    """It is the model in all else."""
    model = Model()
    stored = StoredModel(model, store.answers_of(IDENTITY, "m"))

    stored.close()

    assert (model.is_closed, stored.identity, stored.concurrency) == (True, IDENTITY, 4)


def test_answers_of_earlier_versions(store: AnswerStore) -> None:
    """A stored text that still holds its reasoning is found by its old key, and comes apart as a new one does."""
    answers = store.answers_of(IDENTITY, "m")
    answers.keep(answers.key(request("a")), Answer(text="<think>no</think>yes"))
    model = SeparatedModel(StoredModel(Model(), answers))

    (answer,) = model.answer(ABC[:1])

    assert (answer.text, answer.reasoning) == ("yes", "no")  # type: ignore[union-attr]


def test_keys_stay() -> None:
    """The keys of answers that were stored before there was room for reasoning are those of today."""
    asked = Request(
        suite="s", case="c", sample=0, prompt=Prompt(text="p"), sampling=Sampling(max_tokens=4, stop=("\n",))
    )
    roomy = replace(asked, sampling=replace(asked.sampling, reasoning_tokens=8))

    assert request_key("model", asked) == "51f0efb881ebd768a48e485a26127480bdafaedcd41e83f7e0e543155215ef30"
    assert request_key("model", roomy) != request_key("model", asked)

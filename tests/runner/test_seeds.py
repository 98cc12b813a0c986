"""Stored answers and seeds: above temperature 0 a stored answer is one that the case's own seed gives."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmbench.models.base import Identity, Opened
from pytest_llmbench.models.transformers.model import _seed
from pytest_llmbench.runner.store.keys import request_key
from pytest_llmbench.runner.store.model import StoredModel
from pytest_llmbench.runner.store.store import AnswerStore, Reuse
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request, Sampling

REQUEST = Request(suite="s", case="a", sample=0, prompt=Prompt(text="x"), sampling=Sampling())
DRAWN = replace(REQUEST, sampling=Sampling(temperature=0.7))


class Drawing(Opened):
    """A model that answers with the seed a local model would draw by, and at temperature 0 always the same."""

    identity = Identity(provider="drawing", model="m")
    concurrency = 1

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        del arrived, halt
        return tuple(
            Answer(text=str(_seed(request)) if request.sampling.temperature else "the likeliest")
            for request in requests
        )


def ask(folder: Path, token: str, *requests: Request, reuse: Reuse = Reuse.ALL) -> list[tuple[str, bool]]:
    """Ask in one run: what is answered, and whether it was stored."""
    store = AnswerStore(folder / "answers.sqlite", reuse=reuse, token=token)
    model = Drawing()
    answers = StoredModel(model, store.answers_of(model.identity, "m")).answer(requests)
    store.close()
    return [(answer.text, answer.reused) for answer in answers if isinstance(answer, Answer)]


@pytest.mark.parametrize("other", [{"case": "b"}, {"suite": "t"}, {"sample": 1}], ids=["case", "suite", "sample"])
def test_an_answer_drawn_for_another_case_is_not_used(tmp_path: Path, other: dict[str, str]) -> None:
    """A case with the same prompt has another seed, so the stored answer is not one that it could get."""
    moved = replace(DRAWN, **other)
    ask(tmp_path, "first", DRAWN)

    assert ask(tmp_path, "second", moved) == [(str(_seed(moved)), False)]
    assert _seed(moved) != _seed(DRAWN)


@pytest.mark.parametrize("reuse", [Reuse.AUTO, Reuse.ALL])
def test_an_answer_drawn_for_the_case_itself_is_used(tmp_path: Path, reuse: Reuse) -> None:
    """It is what the case's own seed gives."""
    ask(tmp_path, "first", DRAWN)

    assert ask(tmp_path, "second", DRAWN, reuse=reuse) == [(str(_seed(DRAWN)), True)]


def test_greedy_answers_are_used_whatever_the_case_is_called(tmp_path: Path) -> None:
    """At temperature 0 nothing is drawn: a renamed or moved case has the answer it had."""
    ask(tmp_path, "first", REQUEST)

    assert ask(tmp_path, "second", replace(REQUEST, suite="t", case="b")) == [("the likeliest", True)]


@pytest.mark.parametrize(
    ("request_", "digest"),
    [
        (REQUEST, "2c3d6dd0aa948d4b5af5e12376b980ca51fed761eec7f686e26659386e1ffed3"),
        (
            replace(REQUEST, sample=1, sampling=Sampling(seed=3), labels=("a", "b"), picks_label=True),
            "6ac11e67c6e2bc200b65f08db68bc6172ee7697acf320cb71e8a22b56a309cc2",
        ),
    ],
    ids=["plain", "labels"],
)
def test_the_keys_of_greedy_requests_are_those_of_earlier_releases(request_: Request, digest: str) -> None:
    """Answers at temperature 0 that were stored before stay in use."""
    assert request_key("model", request_) == digest

"""Answers of models, taken apart from their reasoning on the way to all that reads them."""

import threading
from collections.abc import Sequence

import pytest

from pytest_llmbench.models.base import Identity, Opened
from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.separated import SeparatedModel
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request, Sampling


class Scripted(Opened):
    """A model that gives the answers it was made with."""

    concurrency = 2
    identity = Identity(provider="scripted", model="m", settings={"a": 1})

    def __init__(self, *answers: Answer | AnswerError):
        self._answers = answers

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        for index, answer in enumerate(self._answers):
            if arrived is not None:
                arrived(index, answer)
        return self._answers


REQUEST = Request(suite="s", case="c", sample=0, prompt=Prompt(text="p"), sampling=Sampling())


@pytest.mark.parametrize(
    ("text", "field", "answer", "reasoning"),
    [
        ("<think>no</think>\n\nyes", None, "yes", "no"),
        ("\n\nyes", "no", "yes", "no"),
        ("\nyes", None, "\nyes", None),
        ("<think>so</think>yes", "no", "yes", "no\n\nso"),
        ("<think>no</think>yes", "no", "yes", "no"),
        ("<think>no", None, "", "no"),
        ("", "no", "", "no"),
    ],
)
def test_fields_and_marks(text: str, field: str | None, answer: str, reasoning: str | None) -> None:
    """Fields of the server come before marks in the text, and both leave the answer, as does the space behind."""
    model = SeparatedModel(Scripted(Answer(text=text, reasoning=field, latency_s=1.0)))

    (found,) = model.answer([REQUEST])

    assert found == Answer(text=answer, reasoning=reasoning, latency_s=1.0)
    assert SeparatedModel(Scripted(found)).answer([REQUEST]) == (found,)


def test_all_ways_out() -> None:
    """What arrives and what is returned is the same; errors and chosen labels pass as they are."""
    error, label = AnswerError(cause="broke"), Answer(text="<think>", finish_reason=LABEL_PICKED)
    heard: list[Answer | AnswerError] = []

    answers = SeparatedModel(Scripted(Answer(text="<think>a</think>b"), error, label)).answer(
        [REQUEST] * 3, arrived=lambda _, answer: heard.append(answer)
    )

    assert list(answers) == heard == [Answer(text="b", reasoning="a"), error, label]


def test_identity() -> None:
    """A model read in another way than usual is another one to the store; read as usual, it stays the same."""
    assert SeparatedModel(Scripted()).identity == Scripted.identity
    assert SeparatedModel(Scripted(), "none").identity.settings == {"a": 1, "reasoning": "none"}
    assert SeparatedModel(Scripted(), ("(*", "*)")).identity.settings == {"a": 1, "reasoning": ["(*", "*)"]}

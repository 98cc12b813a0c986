"""Conversations are held with models that answer one turn at a time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.models.app_request import new_session
from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings
from pytest_llmbench.models.python.entry import PythonEntry
from pytest_llmbench.models.python.provider import PythonModel
from pytest_llmbench.models.recorded import RecordedModel, Recording
from pytest_llmbench.results.records import NOT_ASKED
from pytest_llmbench.runner.conversations import ConversationModel
from pytest_llmbench.runner.store.model import StoredModel
from pytest_llmbench.runner.store.store import AnswerStore, Reuse
from pytest_llmbench.values import Answer, AnswerError, Arrived, Message, Prompt, Request, Sampling, ToolCall

IDENTITY = Identity(provider="p", model="echo")


@dataclass
class Echo(Opened):
    """Answers with the number of messages and the last of them; `waves` holds what it was asked by call."""

    broken: str = ""
    cause: str = "HTTP 500"
    waves: list[tuple[Request, ...]] = field(default_factory=list)
    identity: Identity = IDENTITY
    concurrency: int = 4
    stop_after: int = 99

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        self.waves.append(tuple(requests))
        found: list[Answer | AnswerError] = []
        for index, request in enumerate(requests):
            last = request.prompt.messages[-1].content
            made: Answer | AnswerError = Answer(
                text=f"{len(request.prompt.messages)} {last}", latency_s=1.0, input_tokens=2, output_tokens=1
            )
            if last == self.broken:
                made = AnswerError(cause=self.cause)
            if len(self.waves) > self.stop_after:
                made = AnswerError(cause=STOPPED)
            elif arrived is not None:
                arrived(index, made)
            found.append(made)
        return tuple(found)


def talk(case: str, *said: str) -> Request:
    first, *later = said
    prompt = Prompt(messages=(Message(role="user", content=first),), turns=tuple(later))
    return Request(suite="s", case=case, sample=0, prompt=prompt, sampling=Sampling())


def held(model: Any, *requests: Request) -> tuple[list[Answer | AnswerError], list[int]]:
    """Give the answers, and the order in which they arrived."""
    order: list[int] = []
    answers = ConversationModel(model).answer(requests, arrived=lambda index, _: order.append(index))
    return [*answers], order


def text_of(answer: Answer | AnswerError) -> str:
    return answer.text if isinstance(answer, Answer) else answer.cause


def test_each_turn_follows_the_answer_to_the_one_before() -> None:
    """Conversations go on side by side; each arrives when it is whole, and has the sums of its turns."""
    model = Echo()

    answers, order = held(model, talk("long", "a", "b", "c"), talk("single", "x"), talk("short", "d", "e"))

    assert [text_of(answer) for answer in answers] == ["5 c", "1 x", "3 e"]
    assert ([[request.case for request in wave] for wave in model.waves], order) == (
        [["long", "single", "short"], ["long", "short"], ["long"]],
        [1, 2, 0],
    )
    last = model.waves[2][0].prompt.messages
    assert [(message.role, message.content) for message in last] == [
        ("user", "a"), ("assistant", "1 a"), ("user", "b"), ("assistant", "3 b"), ("user", "c"),
    ]  # fmt: skip
    assert isinstance(answers[0], Answer)
    assert [turn.text for turn in answers[0].turns] == ["1 a", "3 b", "5 c"]
    assert (answers[0].latency_s, answers[0].input_tokens, answers[0].output_tokens) == (3.0, 6, 3)
    assert isinstance(answers[1], Answer)
    assert answers[1].turns == ()


def test_a_conversation_has_one_session_and_each_another() -> None:
    """A service that keeps what was said finds it by that; a single request has a new one for each attempt."""
    model = Echo()
    held(model, talk("one", "a", "b"), talk("two", "a", "b"), talk("single", "a"))

    sessions = [[request.session for request in wave] for wave in model.waves]

    assert sessions[0][:2] == sessions[1]
    assert len({*sessions[1], sessions[0][2]}) == 3
    assert sessions[0][2] is None
    assert new_session(model.waves[1][0]) == sessions[1][0]
    assert [request.turn for wave in model.waves for request in wave if request.case == "one"] == [0, 1]


def test_an_error_in_one_turn_is_that_of_the_conversation() -> None:
    """The turns behind it are not asked."""
    model = Echo(broken="b")

    answers, order = held(model, talk("a", "a", "b", "c"), talk("d", "d", "e"))

    assert [text_of(answer) for answer in answers] == ["turn 2: HTTP 500", "3 e"]
    assert (len(model.waves), sorted(order)) == (2, [0, 1])


def test_a_turn_that_was_left_out_on_purpose_is_told_so() -> None:
    """The gate knows such errors by how they begin, and does not take the model for broken."""
    cause = f"{NOT_ASKED}--llm-max-cost 1 was reached"

    (answer,), _ = held(Echo(broken="b", cause=cause), talk("a", "a", "b"))

    assert text_of(answer) == cause


def test_a_run_that_stops_gives_up_the_conversations() -> None:
    """They are errors that do not arrive."""
    answers, order = held(Echo(stop_after=1), talk("a", "a", "b"), talk("x", "x"))

    assert ([text_of(answer) for answer in answers], order) == ([STOPPED, "1 x"], [1])


def test_calls_that_nobody_makes_stand_as_text_in_later_turns() -> None:
    """A server refuses calls without their results."""

    class Calling(Echo):
        def answer(self, requests: Sequence[Request], **_: Any) -> tuple[Answer | AnswerError, ...]:
            self.waves.append(tuple(requests))
            return tuple(Answer(text="", tool_calls=(ToolCall(name="f", arguments={"a": 1}),)) for _ in requests)

    model = Calling()
    held(model, talk("a", "a", "b"))

    assert model.waves[1][0].prompt.messages[1] == Message(role="assistant", content='f({"a": 1})')


def test_a_conversation_is_stored_as_a_whole(tmp_path: Path) -> None:
    """It comes back with its turns, and nothing of it is asked again."""
    request = talk("a", "a", "b")
    for token, reuse in (("first", Reuse.NONE), ("second", Reuse.ALL)):
        model = Echo()
        store = AnswerStore(tmp_path / "answers.sqlite", reuse=reuse, token=token)
        (answer,) = StoredModel(ConversationModel(model), store.answers_of(model.identity, "m")).answer([request])
        store.close()

    assert isinstance(answer, Answer)
    assert ([turn.text for turn in answer.turns], answer.reused, model.waves) == (["1 a", "3 b"], True, [])


LINES = """\
{"case": "a", "answer": "one"}
{"case": "a", "turn": 2, "answer": "two"}
{"case": "a", "turn": 3, "suite": "other", "answer": "three"}
"""


def test_recorded_answers_name_their_turn(tmp_path: Path) -> None:
    """Without one a line is the first; a turn without a line is the error of its case."""
    file = tmp_path / "answers.jsonl"
    file.write_text(LINES)

    (found,), _ = held(RecordedModel(Recording(file)), talk("a", "x", "y"))
    (lacking,), _ = held(RecordedModel(Recording(file)), talk("a", "x", "y", "z"))

    assert isinstance(found, Answer)
    assert [turn.text for turn in found.turns] == ["one", "two"]
    assert text_of(lacking).startswith('turn 3: no recorded answer for case "a" of suite "s", turn 3, sample 1, in ')


def test_an_application_gets_all_messages_and_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may read what was said before, or keep it itself under the name of the conversation."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "talking_app.py").write_text(
        "kept = {}\n"
        "def answer(prompt, messages, session):\n"
        "    kept.setdefault(session, []).append(prompt)\n"
        "    return f'{len(messages)} {kept[session]}'\n"
    )
    model = PythonModel(PythonEntry(provider="python", target="talking_app:answer"), OpenSettings(root=tmp_path))

    answers, _ = held(model, talk("a", "x", "y"), talk("b", "z"))
    model.close()

    assert [text_of(answer) for answer in answers] == ["3 ['x', 'y']", "1 ['z']"]

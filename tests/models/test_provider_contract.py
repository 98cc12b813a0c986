"""What every model does, whoever provides it: recorded answers, an API, a function of Python, a network in this process."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.models.base import STOPPED, Model, OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry, RecordedEntry, TransformersEntry
from pytest_llmbench.values import Answer, AnswerError, Message, Prompt, Request, Sampling
from tiny_llama import make_llama

CASES = ("a", "b", "c", "d", "e")
BROKEN = "broken"
CONTEXT = 2048
"""Tokens that the tiny Llama takes; a letter is one."""

LOCAL = pytest.param("transformers", marks=pytest.mark.slow)


@dataclass(frozen=True)
class Opening:
    """How a model is opened, and what it is called in its identity."""

    provider: str
    open: Callable[[], Model]


def asked(case: str) -> Request:
    """Ask a case; `broken` is one that no provider can answer."""
    text = f"case {case}" + " x" * CONTEXT * (case == BROKEN)
    return Request(
        suite="s",
        case=case,
        sample=0,
        prompt=Prompt(messages=(Message(role="user", content=text),)),
        sampling=Sampling(max_tokens=4),
    )


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("llama"))


def opening_of(name: str, folder: Path, request: pytest.FixtureRequest) -> Opening:
    settings = OpenSettings(timeout_s=30, root=folder)
    if name == "recorded":
        from pytest_llmbench.models.recorded import PROVIDER as RECORDED

        lines = [{"case": case, "answer": f"said {case}", "latency_s": 0.5, "ttft_s": 0.1} for case in CASES]
        (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        entry = RecordedEntry(provider="recorded", answers=str(folder / "answers.jsonl"))
        return Opening(name, lambda: RECORDED.open(entry, settings))
    if name == "openai":
        from pytest_llmbench.models.openai.provider import PROVIDER as OPENAI

        server = request.getfixturevalue("openai_server")
        for case in CASES:
            server.on(asked(case).prompt.messages[0].content, *[server.stream("said ", case)] * 3)
        server.on(asked(BROKEN).prompt.messages[0].content, *[server.refuse(400, "too long")] * 3)
        api = OpenAIEntry.model_validate({"provider": "openai", "model": "m-1", "base_url": server.url})
        return Opening(name, lambda: OPENAI.open(api, settings))
    if name == "python":
        from pytest_llmbench.models.python.entry import PythonEntry
        from pytest_llmbench.models.python.provider import PROVIDER as PYTHON

        source = "def answer(prompt):\n    assert len(prompt) < 99\n    return prompt.replace('case', 'said')\n"
        (folder / "contract_app.py").write_text(source)
        app = PythonEntry.model_validate({"provider": "python", "target": "contract_app:answer", "concurrency": 2})
        return Opening(name, lambda: PYTHON.open(app, settings))
    from pytest_llmbench.models.transformers.provider import PROVIDER as TRANSFORMERS

    network = TransformersEntry.model_validate(
        {"provider": "transformers", "model": str(request.getfixturevalue("llama")), "concurrency": 2}
    )
    return Opening(name, lambda: TRANSFORMERS.open(network, settings))


@pytest.fixture(params=["recorded", "openai", "python", LOCAL])
def opening(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opening]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    yield opening_of(request.param, tmp_path, request)
    sys.modules.pop("contract_app", None)


@pytest.fixture
def model(opening: Opening) -> Iterator[Model]:
    opened = opening.open()
    yield opened
    opened.close()


def answers_of(model: Model, *cases: str) -> list[Answer]:
    found = model.answer([asked(case) for case in cases])
    assert all(isinstance(answer, Answer) for answer in found), found
    return [answer for answer in found if isinstance(answer, Answer)]


def test_answers_come_in_the_order_of_the_requests(opening: Opening, model: Model) -> None:
    """Each request has its own answer, in whatever order they arrive; the same again if asked backwards."""
    there = [answer.text for answer in answers_of(model, *CASES)]
    back = [answer.text for answer in answers_of(model, *reversed(CASES))]

    assert there == back[::-1]
    if opening.provider != "transformers":  # whose weights are random
        assert there == [f"said {case}" for case in CASES]


def test_each_answer_arrives_once_in_the_thread_that_asks(model: Model) -> None:
    """`arrived` gets the very answers that are returned."""
    seen: list[tuple[int, Any, threading.Thread]] = []

    given = model.answer(
        [asked(case) for case in CASES], arrived=lambda *pair: seen.append((*pair, threading.current_thread()))
    )

    assert sorted(place for place, _, _ in seen) == list(range(len(CASES)))
    assert all(given[place] is answer for place, answer, _ in seen)
    assert {thread for _, _, thread in seen} == {threading.current_thread()}


def test_the_fault_of_a_request_is_its_own(model: Model) -> None:
    """Nothing is raised for it; it arrives like an answer, with its cause, and the others are answered."""
    seen: list[int] = []

    first, broken, last = model.answer(
        [asked("a"), asked(BROKEN), asked("b")], arrived=lambda place, _: seen.append(place)
    )

    assert isinstance(first, Answer)
    assert isinstance(last, Answer)
    assert isinstance(broken, AnswerError)
    assert broken.cause
    assert not broken.is_fatal
    assert sorted(seen) == [0, 1, 2]


def test_a_halted_model_asks_for_nothing(model: Model) -> None:
    """What was not asked is stopped, without an attempt, and does not arrive."""
    halt = threading.Event()
    halt.set()
    seen: list[int] = []

    given = model.answer([asked("a"), asked("b")], arrived=lambda place, _: seen.append(place), halt=halt)

    assert given == (AnswerError(cause=STOPPED, attempts=0),) * 2
    assert seen == []


def test_nothing_is_answered_with_nothing(model: Model) -> None:
    """No request, no answer, and no fault."""
    assert model.answer([]) == ()


def test_times_and_counts_are_possible_ones(model: Model) -> None:
    """Seconds from the request, the first token not behind the last; requests in flight as many as allowed."""
    assert model.concurrency >= 1
    for answer in answers_of(model, *CASES):
        assert answer.latency_s is not None
        assert answer.latency_s > 0
        assert answer.ttft_s is None or 0 < answer.ttft_s <= answer.latency_s
        assert answer.concurrency is None or 1 <= answer.concurrency <= model.concurrency


def test_the_identity_is_the_same_each_time(opening: Opening, model: Model) -> None:
    """Runs of one model pair by it; a model closed twice is closed."""
    other = opening.open()
    other.close()
    other.close()

    assert model.identity == other.identity
    assert model.identity.provider == opening.provider

"""What is asked of an API, what is made of its answers, and what is measured."""

import re
import threading
import time

import pytest

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import STOPPED, OpenSettings
from pytest_llmbench.runner.store.keys import model_key
from pytest_llmbench.values import AnswerError


def test_streamed_answer(openai_server, openai_ask):
    """A streamed answer has the text of its pieces, the finish reason and the tokens the server counted."""
    openai_server.on("hello", openai_server.stream("Hi", " there", usage={"prompt_tokens": 9, "completion_tokens": 2}))

    answer = openai_ask()

    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.output_tokens, answer.attempts) == (
        "Hi there",
        "stop",
        9,
        2,
        1,
    )


def test_chat_body(openai_server, openai_model, openai_requests):
    """A chat request says what the sampling says, asks for the usage, and leaves out what is not set."""
    requests = openai_requests("hello", max_tokens=7)

    openai_model().answer(requests)

    assert openai_server.received[0].path == "/v1/chat/completions"
    assert openai_server.received[0].body == {
        "model": "m-1",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 7,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_completion_body_with_everything(openai_server, openai_model, openai_requests, monkeypatch):
    """A completion request carries each part of the sampling, extra_body, and headers from the environment."""
    monkeypatch.setenv("TEAM", "blue")
    monkeypatch.setenv("LOCAL_KEY", "sk-local\n")
    usage = {"prompt_tokens": 2, "completion_tokens": 1}
    reply = {"choices": [{"index": 0, "text": " Paris", "finish_reason": "length"}], "usage": usage}
    openai_server.on("The capital is", openai_server.respond(200, reply))
    model = openai_model(
        api="completions",
        stream=False,
        extra_body={"top_k": 1},
        headers_env={"X-Team": "TEAM"},
        api_key_env="LOCAL_KEY",
        max_tokens_field="max_completion_tokens",
    )
    sampling = {"max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "stop": ("\n", "."), "seed": 11}

    (answer,) = model.answer(openai_requests("The capital is", style="completion", **sampling))

    received = openai_server.received[0]
    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.ttft_s) == (" Paris", "length", 2, None)
    assert received.path == "/v1/completions"
    assert received.headers["x-team"] == "blue"
    assert received.headers["authorization"] == "Bearer sk-local"
    assert received.body == {
        "model": "m-1",
        "prompt": "The capital is",
        "max_completion_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["\n", "."],
        "seed": 11,
        "top_k": 1,
    }


def test_times(openai_server, openai_ask):
    """The first text of any kind, the first of the answer and the last byte are timed apart."""
    thoughts = openai_server.events("hm", "hm", key="reasoning_content", finish=None, done=False)
    openai_server.on(
        "hello", openai_server.send_stream(*thoughts, *openai_server.events("a", "b", finish=None), gap_s=0.03)
    )

    answer = openai_ask()

    assert (answer.text, answer.reasoning) == ("ab", "hmhm")
    assert 0.03 <= answer.ttft_s <= answer.ttfa_s - 0.03
    assert 0.09 <= answer.ttfa_s <= answer.latency_s - 0.03


def test_times_are_of_the_attempt_that_succeeded(openai_server, openai_ask):
    """What a failed attempt took is in no time."""
    slow_refusal = openai_server.send_stream(*openai_server.events("x", done=False, finish=None), gap_s=0.2)
    openai_server.on("hello", slow_refusal, openai_server.stream("ok"))

    answer = openai_ask()

    assert answer.attempts == 2
    assert answer.latency_s < 0.2


def test_answers_come_in_the_order_asked(openai_server, openai_model, openai_requests):
    """Answers stand in the order of the requests, though `arrived` hears of them as they come, in the calling thread."""
    openai_server.on("slow", openai_server.stream("late", gap_s=0.05))
    openai_server.on("fast", openai_server.stream("early"))
    heard = []

    answers = openai_model().answer(
        openai_requests("slow", "fast"),
        arrived=lambda index, answer: heard.append((index, answer.text, threading.current_thread())),
    )

    assert [answer.text for answer in answers] == ["late", "early"]
    assert heard == [(1, "early", threading.current_thread()), (0, "late", threading.current_thread())]


def test_answers_from_a_plain_thread(openai_server, openai_model, openai_requests):
    """A worker thread without an event loop can ask, and another one can ask the same model later."""
    model = openai_model()
    texts = []

    for _ in range(2):
        thread = threading.Thread(
            target=lambda: texts.extend(answer.text for answer in model.answer(openai_requests("a", "b")))
        )
        thread.start()
        thread.join()

    assert texts == ["ok"] * 4


def test_connections_live_across_calls(openai_server, openai_model, openai_requests):
    """Asking again uses the connection that is open already."""
    model = openai_model(concurrency=1)

    for _ in range(3):
        model.answer(openai_requests("a", "b"))

    assert len(openai_server.received) == 6
    assert openai_server.n_connections == 1


@pytest.mark.parametrize(
    ("of_command_line", "of_entry", "expected"),
    [(3, 5, 3), (None, 5, 5), (None, None, 16)],
)
def test_concurrency(openai_server, openai_model, openai_requests, of_command_line, of_entry, expected):
    """As many requests are in flight as the command line says, else the entry, else 16; never more."""
    prompts = [f"p{number}" for number in range(2 * expected)]
    barrier = threading.Barrier(expected)
    for prompt in prompts:
        openai_server.on(prompt, openai_server.together(barrier))
    model = openai_model(settings=OpenSettings(concurrency=of_command_line, timeout_s=5), concurrency=of_entry)

    answers = model.answer(openai_requests(*prompts))

    assert model.concurrency == expected
    assert openai_server.most_in_flight == expected
    assert {(answer.text, answer.concurrency) for answer in answers} == {("ok", expected)}


def test_more_than_a_hundred(openai_server, openai_model, openai_requests):
    """No limit of a library stands below the concurrency asked for."""
    prompts = [f"p{number}" for number in range(110)]
    barrier = threading.Barrier(110)
    for prompt in prompts:
        openai_server.on(prompt, openai_server.together(barrier))

    openai_model(concurrency=110).answer(openai_requests(*prompts))

    assert openai_server.most_in_flight == 110


def test_fewer_requests_than_slots(openai_ask):
    """An answer that was alone in flight says so, whatever was allowed."""
    answer = openai_ask(concurrency=8)

    assert answer.concurrency == 1


def test_no_requests(openai_model):
    """Asking nothing gives nothing."""
    assert openai_model().answer(()) == ()


def test_halt(openai_server, openai_model, openai_requests):
    """Halting gives up what is in flight and sends no more; what was given up is an error nobody is told of."""
    openai_server.on("stuck", openai_server.stalled())
    halt = threading.Event()
    heard = []

    def arrived(index, answer):
        heard.append(index)
        halt.set()

    started = time.perf_counter()
    answers = openai_model(concurrency=2).answer(
        openai_requests("stuck", "fast", "stuck", "stuck"), arrived=arrived, halt=halt
    )

    assert time.perf_counter() - started < 10  # it is stuck for ever
    assert heard == [1]
    assert [getattr(answer, "cause", None) for answer in answers] == [STOPPED, None, STOPPED, STOPPED]
    assert answers[3] == AnswerError(cause=STOPPED, attempts=0)
    assert len(openai_server.received) <= 3


def test_halted_before(openai_server, openai_model, openai_requests):
    """Where the halt is set already, nothing is sent."""
    halt = threading.Event()
    halt.set()

    answers = openai_model().answer(openai_requests("a"), halt=halt)

    assert answers == (AnswerError(cause=STOPPED, attempts=0),)
    assert openai_server.received == []


def test_close_while_answering(openai_server, openai_model, openai_requests):
    """Closing from another thread ends a call that hangs."""
    openai_server.on("stuck", openai_server.stalled())
    model = openai_model()
    answers = []
    thread = threading.Thread(target=lambda: answers.extend(model.answer(openai_requests("stuck"))))
    thread.start()
    while not openai_server.received:
        time.sleep(0.001)

    model.close()
    thread.join()

    assert [answer.cause for answer in answers] == [STOPPED]


def test_closed(openai_model, openai_requests):
    """A closed model may be closed again, and says that it is closed when asked."""
    model = openai_model()

    model.close()
    model.close()

    with pytest.raises(ModelFault, match=r'^Model "m-1" is closed; open it again\.$'):
        model.answer(openai_requests("a"))


def test_fault_of_the_listener(openai_server, openai_model, openai_requests):
    """What `arrived` raises comes out of `answer`, and the model can be asked again."""
    model = openai_model(concurrency=2)
    openai_server.on("stuck", openai_server.stalled())

    def arrived(index, answer):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        model.answer(openai_requests("a", "stuck"), arrived=arrived)

    assert model.answer(openai_requests("a"))[0].text == "ok"


@pytest.mark.parametrize("stream", [True, False])
def test_stop_left_in_the_text(openai_server, openai_model, openai_requests, stream):
    """A stop string that a server leaves in the text is cut off with all that follows, and was the reason to stop."""
    reply = {"choices": [{"message": {"content": " yes\n\nmore; words"}, "finish_reason": "length"}]}
    streamed = openai_server.stream(" yes\n", "\nmore; words", finish="length")
    openai_server.on("hello", streamed if stream else openai_server.respond(200, reply))

    (answer,) = openai_model(stream=stream).answer(openai_requests("hello", stop=(";", "\n\n")))

    assert (answer.text, answer.finish_reason) == (" yes", "stop")


@pytest.mark.parametrize("status", [400, 422])
def test_server_without_stream_options(openai_server, openai_model, openai_requests, status):
    """A server that does not know stream_options is asked without, which is no failed attempt, and from then on."""
    prompts = ["a", "b", "c", "d"]
    refusal = openai_server.refuse(status, "Unrecognized request argument supplied: stream_options " + "x" * 300)
    for prompt in prompts:
        openai_server.on(prompt, refusal, openai_server.stream("ok"))
    model = openai_model(max_retries=0)

    first = model.answer(openai_requests(*prompts))
    second = model.answer(openai_requests("e"))

    assert [(answer.text, answer.attempts) for answer in (*first, *second)] == [("ok", 1)] * 5
    assert "stream_options" not in openai_server.received[-1].body
    assert len(openai_server.received) == 9


def test_identity(openai_server, openai_model, openai_requests, monkeypatch):
    """The identity holds what changes answers and what the server reported, and no secret."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("TEAM", "team-secret")
    url = openai_server.url.replace("//", "//user:pass-secret@") + "?token=query-secret"
    model = openai_model(base_url=url, extra_body={"top_k": 1}, headers_env={"X-Team": "TEAM"})

    model.answer(openai_requests("a"))
    identity = model.identity

    assert (identity.provider, identity.model, identity.server_model) == ("openai", "m-1", "served-1")
    assert set(identity.libraries) == {"openai"}
    assert identity.settings == {
        "base_url": openai_server.url.removeprefix("http://").removesuffix("/v1"),
        "api": "chat",
        "stream": True,
        "max_tokens_field": "max_tokens",
        "extra_body": {"top_k": 1},
        "system_fingerprint": "fp-7",
    }
    assert "secret" not in repr(identity)


def test_servers_behind_one_gateway(openai_model):
    """Paths of one host are servers of their own, told without the path; the usual one is told as no path is."""
    gateway = "http://user:p-secret@127.0.0.1:1"

    one, slash, other, usual, bare = (
        openai_model(base_url=f"{gateway}{path}?token=q-secret").identity
        for path in ("/key-secret/v1", "/key-secret/v1/", "/local-q4/v1", "/v1", "")
    )

    assert len({model_key(identity) for identity in (one, other, usual)}) == 3
    assert (model_key(one), model_key(usual)) == (model_key(slash), model_key(bare))
    assert re.fullmatch(r"sha256:[0-9a-f]{16}", one.settings["base_path"])
    assert "base_path" not in usual.settings
    assert "secret" not in repr(one)

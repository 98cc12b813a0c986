"""The provider `http`: a service behind a URL as a model, whatever it sends back."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import ModelFault, ModelsFileFault, UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.http.client import MOST_BYTES
from pytest_llmbench.models.http.entry import HttpEntry
from pytest_llmbench.models.http.provider import PROVIDER, HttpModel
from pytest_llmbench.models.openai.retries import RetryPolicy
from pytest_llmbench.values import Answer, AnswerError, Json, Message, Prompt, Request, Sampling, ToolCall

OpenService = Callable[..., HttpModel]
AT_ONCE = RetryPolicy(base_s=0.001, cap_s=0.002)
REPLY = {"text": "$.answer"}
BODY = {"prompt": "{{ prompt }}"}


@pytest.fixture
def open_service(openai_server: Any) -> Iterator[OpenService]:
    """Open the service at the test's server: `open_service(reply={...})`."""
    opened: list[HttpModel] = []

    def open_it(*, timeout_s: float = 10, **entry: Any) -> HttpModel:
        table = {"provider": "http", "url": f"{openai_server.url}/chat", "body": BODY, "reply": REPLY, **entry}
        parsed = HttpEntry.model_validate({key: value for key, value in table.items() if value is not None})
        PROVIDER.prompt_style(parsed)
        model = HttpModel(parsed, OpenSettings(timeout_s=timeout_s), AT_ONCE)
        opened.append(model)
        return model

    yield open_it
    for model in opened:
        model.close()


def asked(prompt: str = "Hello?", **inputs: Json) -> Request:
    return Request(
        suite="support",
        case="a",
        sample=0,
        prompt=Prompt(messages=(Message(role="user", content=prompt),)),
        sampling=Sampling(),
        inputs=inputs,
    )


def text(answer: Answer | AnswerError) -> str:
    assert isinstance(answer, Answer), answer
    return answer.text


def cause(answer: Answer | AnswerError) -> str:
    assert isinstance(answer, AnswerError), answer
    return answer.cause


# -- what is sent


def test_the_structure_sent_is_that_of_the_entry(open_service: OpenService, openai_server: Any) -> None:
    """No field of a case can leave its place, and a text that is one expression keeps its type."""
    openai_server.on("q", openai_server.respond(200, {"answer": "ok"}))
    model = open_service(
        body={
            "prompt": "q",
            "question": "Q: {{ question }}",
            "history": "{{ messages }}",
            "top": {"k": "{{ k }}", "n": 3, "names": ["{{ question | upper }}"]},
        }
    )

    model.answer([asked("hi", question='a", "admin": true, "b": "', k=7)])

    assert openai_server.received[0].body == {
        "prompt": "q",
        "question": 'Q: a", "admin": true, "b": "',
        "history": [{"role": "user", "content": "hi"}],
        "top": {"k": 7, "n": 3, "names": ['A", "ADMIN": TRUE, "B": "']},
    }


def test_each_request_has_a_session_of_its_own(open_service: OpenService, openai_server: Any) -> None:
    """A service that keeps conversations begins a new one for each, on another attempt too."""
    openai_server.on("q", openai_server.refuse(503), openai_server.respond(200, {"answer": "ok"}))
    model = open_service(body={"prompt": "q", "session": "{{ _session }}"}, retry_unsafe=True)

    answers = model.answer([asked(), asked()])

    assert [text(answer) for answer in answers] == ["ok", "ok"]
    sessions = {received.body["session"] for received in openai_server.received}
    assert len(sessions) == 3
    assert all(session.startswith("support-a-0-") for session in sessions)


def test_a_field_that_is_not_there_is_an_error_of_its_case(open_service: OpenService, openai_server: Any) -> None:
    """The message has the place in the entry and the fields there are; nothing is sent."""
    model = open_service(body={"prompt": "{{ question }}", "lang": ["{{ lang.upper() }}"]})

    whole, within = model.answer([asked(), asked(question="q", lag="de")])

    names = "_session, lag, messages, prompt, question, sampling, tools"
    assert cause(whole) == (
        "body.prompt cannot be rendered: 'question' is undefined; there are: "
        "_session, messages, prompt, sampling, tools"
    )
    assert cause(within) == f"body.lang[0] cannot be rendered: 'lang' is undefined; there are: {names}"
    assert openai_server.received == []


def test_a_key_comes_from_the_environment_and_is_never_shown(
    open_service: OpenService, openai_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes into its header; a service that sends it back does not get it into a result."""
    monkeypatch.setenv("APP_AUTH", "Bearer s3cret")
    openai_server.on("q", openai_server.refuse(400, "bad header Bearer s3cret"))
    openai_server.on("r", openai_server.respond(200, b"no JSON, Bearer s3cret"))
    model = open_service(headers_env={"Authorization": "APP_AUTH"})

    answers = model.answer([asked("q"), asked("r")])

    assert {received.headers["authorization"] for received in openai_server.received} == {"Bearer s3cret"}
    assert all("***" in cause(answer) and "s3cret" not in cause(answer) for answer in answers)
    assert "s3cret" not in repr(model.identity)


# -- what comes back


def test_what_stands_at_the_paths_is_the_answer(open_service: OpenService, openai_server: Any) -> None:
    """Tokens, context, calls and data are found beside the text; null is nothing."""
    reply = {
        "answers": [{"text": "Two days."}],
        "usage": {"in": 5, "out": 3},
        "sources": [{"text": "a"}, {"text": "b"}],
        "calls": [{"name": "find", "arguments": {"id": 7}}],
        "cost": None,
        "meta-data": {"route": "x"},
    }
    openai_server.on("q", openai_server.respond(200, reply))
    model = open_service(
        reply={
            "text": "$.answers[0].text",
            "input_tokens": "$.usage.in",
            "output_tokens": "$.usage.out",
            "context": "$.sources[*].text",
            "tools": "$.calls",
            "cost_usd": "$.cost",
            "data": "$.meta-data",
        }
    )

    (answer,) = model.answer([asked("q")])

    assert isinstance(answer, Answer)
    assert (answer.text, answer.input_tokens, answer.output_tokens) == ("Two days.", 5, 3)
    assert answer.tool_calls == (ToolCall(name="find", arguments={"id": 7}),)
    assert answer.app == {"context": ["a", "b"], "data": {"route": "x"}}
    assert answer.ttft_s is None
    assert answer.latency_s is not None
    assert answer.latency_s > 0


def test_a_text_that_is_another_value_is_written_as_json(open_service: OpenService, openai_server: Any) -> None:
    """An application that gives an object is graded as one that writes it."""
    openai_server.on("q", openai_server.respond(200, {"answer": {"größe": 1}}))

    (answer,) = open_service().answer([asked("q")])

    assert text(answer) == '{"größe": 1}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"<!DOCTYPE html>\n<html>", "the reply is no JSON; it is: <!DOCTYPE html> <html>"),
        (b"", "the reply is no JSON; it is: nothing"),
        (b"[" * 100_000, f"the reply is no JSON; it is: {'[' * 300} ..."),
        (b"\xff\xfe", "the reply is no JSON; it is: \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b'{"anwser": "x"}', 'there is no $.answer in the reply; it is: {"anwser": "x"}'),
        (b'["x"]', 'there is no $.answer in the reply; it is: ["x"]'),
        (b'{"answer": null}', "the text of the reply is null"),
    ],
)
def test_a_reply_without_an_answer_is_an_error_of_its_case(
    open_service: OpenService, openai_server: Any, body: bytes, expected: str
) -> None:
    """The beginning of the reply is quoted."""
    openai_server.on("bad", openai_server.respond(200, body))
    openai_server.on("good", openai_server.respond(200, {"answer": "ok"}))

    bad, good = open_service().answer([asked("bad"), asked("good")])

    assert cause(bad) == expected
    assert text(good) == "ok"


def test_tokens_that_are_no_numbers_are_an_error(open_service: OpenService, openai_server: Any) -> None:
    """What is at a path must be of the kind its key needs."""
    openai_server.on("q", openai_server.respond(200, {"answer": "ok", "out": "many"}))

    (answer,) = open_service(reply={**REPLY, "output_tokens": "$.out"}).answer([asked("q")])

    assert cause(answer) == "the service gave a wrong reply: output_tokens: must be a number"


def test_an_endless_reply_is_read_to_a_limit(open_service: OpenService, openai_server: Any) -> None:
    """Ten gigabytes take neither the memory nor the time of ten."""
    n_sent = 0

    def send(handler: BaseHTTPRequestHandler) -> None:
        nonlocal n_sent
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000000000\r\n\r\n")
        for _ in range(10_000):
            handler.wfile.write(b" " * 1_000_000)
            n_sent += 1_000_000

    openai_server.on("q", send)

    (answer,) = open_service().answer([asked("q")])

    assert cause(answer) == "the reply is longer than 16 MiB; it is not read further"
    assert n_sent < 10 * MOST_BYTES


# -- streams


def test_the_texts_of_events_are_put_together(open_service: OpenService, openai_server: Any) -> None:
    """Events without a text are passed over; of other values the last one counts, and the end may lack its blank line."""
    openai_server.on(
        "q",
        openai_server.send_stream(
            b"\xef\xbb\xbf: a comment\r\nevent: begin\r\ndata: {\"id\": 1}\r\n\r",
            b'\ndata: {"delta": {"text": "Zwei "}, "out": 1}\n\ndata: {"delta":\ndata: {"text": "T\xc3',
            b'\xa4ge"}, "out": 3}\n\ndata: [DONE]\n\ndata: {"delta": {"text": "."}}',
        ),
    )  # fmt: skip
    model = open_service(stream="sse", reply={"text": "$.delta.text", "output_tokens": "$.out"})

    (answer,) = model.answer([asked("q")])

    assert isinstance(answer, Answer)
    assert (answer.text, answer.output_tokens) == ("Zwei Täge.", 3)
    assert answer.ttft_s is not None
    assert answer.latency_s is not None
    assert 0 < answer.ttft_s <= answer.latency_s


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b'event: error\ndata: {"code": 7}\n\n', 'the stream has an error: {"code": 7}'),
        (b"data: hello\n\n", "the reply is no JSON; it is: hello"),
        (b'data: {"txt": "a"}\n\n', 'no event of the stream has the text; it begins: data: {"txt": "a"}'),
        (b'data: {"answer": 3}\n\n', 'the text of an event is no text: {"answer": 3}'),
        (b'data: {"answer": "a"}\n\ndata: {"answ', 'the reply is no JSON; it is: {"answ'),
        (b"", "no event of the stream has the text; it begins: nothing"),
    ],
)
def test_a_stream_without_an_answer_is_an_error(
    open_service: OpenService, openai_server: Any, stream: bytes, expected: str
) -> None:
    """What it sent instead is quoted."""
    openai_server.on("q", openai_server.send_stream(*([stream] if stream else [])))

    (answer,) = open_service(stream="sse").answer([asked("q")])

    assert cause(answer) == expected


def test_a_text_is_read_as_it_comes(open_service: OpenService, openai_server: Any) -> None:
    """A character may be split over two pieces, and a web page is no answer."""
    openai_server.on("q", openai_server.send_stream(b"T\xc3", b"\xa4ge"))
    openai_server.on("page", openai_server.respond(200, b"<html>", **{"Content-Type": "text/html; charset=utf-8"}))
    openai_server.on("cut", openai_server.send_stream(b"T\xc3"))
    model = open_service(stream="text", reply=None)

    good, page, cut = model.answer([asked("q"), asked("page"), asked("cut")])

    assert isinstance(good, Answer)
    assert good.text == "Täge"
    assert good.ttft_s is not None
    assert cause(page) == "the reply is a web page (text/html; charset=utf-8), not a text"
    assert cause(cut) == "the reply is not UTF-8"


# -- what goes wrong on the way


def test_a_redirect_is_not_followed(
    open_service: OpenService, openai_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key reaches no other address than that of the entry, not even on the same server."""
    monkeypatch.setenv("APP_AUTH", "Bearer s3cret")
    openai_server.on("q", openai_server.respond(307, b"", Location="http://elsewhere.example/chat"))
    model = open_service(headers_env={"Authorization": "APP_AUTH"})

    (answer,) = model.answer([asked("q")])

    assert cause(answer) == (
        "HTTP 307: a redirect to elsewhere.example, which is not followed; set url to the address itself"
    )
    assert len(openai_server.received) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_what_a_service_may_have_acted_on_is_sent_once(
    open_service: OpenService, openai_server: Any, status: int
) -> None:
    """A POST is not repeated, so that no order is placed twice."""
    openai_server.on("q", openai_server.refuse(status, "try later"))

    (answer,) = open_service().answer([asked("q")])

    assert cause(answer) == f'HTTP {status}: {{"error": {{"message": "try later", "code": null}}}}'
    assert len(openai_server.received) == 1


@pytest.mark.parametrize("status", [500, 503, 408])
def test_retry_unsafe_allows_to_send_again(open_service: OpenService, openai_server: Any, status: int) -> None:
    """A service for which repeating does no harm is asked again, and the attempts are counted."""
    openai_server.on("q", openai_server.refuse(status), openai_server.respond(200, {"answer": "ok"}))

    (answer,) = open_service(retry_unsafe=True).answer([asked("q")])

    assert text(answer) == "ok"
    assert answer.attempts == 2


def test_a_service_that_is_busy_is_asked_again(open_service: OpenService, openai_server: Any) -> None:
    """It did not act on what it had no room for; after the last attempt it is an error."""
    openai_server.on("q", openai_server.refuse(429), openai_server.respond(200, {"answer": "ok"}))
    openai_server.on("full", openai_server.refuse(429, "full"))

    busy, full = open_service(max_retries=1).answer([asked("q"), asked("full")])

    assert (text(busy), busy.attempts) == ("ok", 2)
    assert cause(full).startswith("HTTP 429: ")
    assert cause(full).endswith("(2 attempts)")


@pytest.mark.parametrize(("status", "n_sent"), [(401, 1), (403, 3)])
def test_a_refused_key_ends_the_run(open_service: OpenService, openai_server: Any, status: int, n_sent: int) -> None:
    """Nothing more is sent, and the message names the way out; a 403 may be about one prompt, three are not."""
    openai_server.on("q", openai_server.refuse(status, "who are you"))

    answers = open_service(concurrency=1).answer([asked("q")] * 5)

    fatal = [isinstance(answer, AnswerError) and answer.is_fatal for answer in answers]
    assert fatal == [False] * (n_sent - 1) + [True] * (6 - n_sent)
    assert cause(answers[0]).endswith("; no key was sent, see headers_env")
    assert len(openai_server.received) == n_sent


def test_one_that_stalls_is_an_error_after_the_limit(open_service: OpenService, openai_server: Any) -> None:
    """The limit covers the whole reply, also one that began."""
    openai_server.on("q", openai_server.stalled(b'data: {"answer": "a"}\n\n'))

    (answer,) = open_service(stream="sse", timeout_s=0.2).answer([asked("q")])

    assert cause(answer) == "no complete answer within 0.2 s"


def test_a_reply_that_breaks_off_is_an_error(open_service: OpenService, openai_server: Any) -> None:
    """Half a stream is not taken for the whole answer."""
    openai_server.on("q", openai_server.dropped(b'data: {"answer": "a"}\n\n'))

    (answer,) = open_service(stream="sse").answer([asked("q")])

    assert cause(answer).startswith("RemoteProtocolError: ")


def test_a_service_that_is_not_there_is_tried_again(open_service: OpenService, openai_server: Any) -> None:
    """Nothing was sent, so that a POST may be repeated too."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port

    (answer,) = open_service(url=f"http://127.0.0.1:{port}/chat", max_retries=2).answer([asked("q")])

    assert cause(answer).startswith(f"no connection to 127.0.0.1:{port} (")
    assert cause(answer).endswith("); start the service, or correct its url (3 attempts)")


def test_a_run_that_ends_gives_up_what_is_in_flight(open_service: OpenService, openai_server: Any) -> None:
    """What has no answer yet is an error with the cause "stopped"."""
    halt = threading.Event()
    openai_server.on("q", openai_server.respond(200, {"answer": "ok"}))
    openai_server.meet("wait")
    model = open_service(concurrency=1)

    answers = model.answer([asked("q"), asked("wait"), asked("q")], arrived=lambda index, answer: halt.set(), halt=halt)

    assert text(answers[0]) == "ok"
    assert [cause(answer) for answer in answers[1:]] == ["stopped", "stopped"]


def test_a_closed_model_answers_nothing(open_service: OpenService) -> None:
    """It can be closed twice, and asking it again is a fault."""
    model = open_service()

    model.close()
    model.close()

    with pytest.raises(ModelFault, match="is closed; open it again"):
        model.answer([asked()])


# -- GET


@pytest.fixture
def search_url() -> Iterator[str]:
    """Serve a search that refuses each second request, and gives the address it was asked at."""

    class Handler(BaseHTTPRequestHandler):
        n_asked = 0

        def do_GET(self) -> None:
            type(self).n_asked += 1
            self.send_response(503 if self.n_asked % 2 else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"answer": self.path}).encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/search"
        server.shutdown()
        thread.join()


def test_a_query_is_encoded_and_asked_again(open_service: OpenService, search_url: str) -> None:
    """A GET changes nothing, so it is repeated."""
    model = open_service(url=search_url, method="GET", body=None, query={"q": "{{ prompt }}", "n": "{{ n }}"})

    (answer,) = model.answer([asked("a&b=c d", n=3)])

    assert text(answer) in ("/search?q=a%26b%3Dc+d&n=3", "/search?q=a%26b%3Dc%20d&n=3")
    assert answer.attempts == 2


# -- the entry


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"url": "127.0.0.1:8000/chat"}, 'url = "127.0.0.1:8000/chat" is no web address; write one such as '),
        ({"url": "http://me:pass@host/"}, "The url of host holds a user or password; send it in a header, "),
        ({"url": "http://host/chat?key=x"}, "The url of host has a query; write it as a table: query = "),
        ({"headers_env": {"X-Key": "NO_SUCH_KEY"}}, "needs a value for the header X-Key: set NO_SUCH_KEY, or name "),
        ({"reply": None}, "needs the place of the answer in its replies: add reply = "),
        ({"stream": "text"}, 'has stream = "text", where the whole reply is the answer: leave out reply, or '),
        ({"method": "GET"}, 'has a body, which method = "GET" cannot send; use query.'),
        ({"body": {"a": ["{{ b"]}}, "body.a[0] is no jinja2 template: "),
        ({"query": {"a": "{% if %}"}}, "query.a is no jinja2 template: "),
    ],
)
def test_an_entry_that_cannot_be_sent_is_refused_at_once(
    open_service: OpenService, keys: dict[str, Any], message: str
) -> None:
    """Its fault is one of the command line, before anything is asked."""
    with pytest.raises(UsageFault) as fault:
        open_service(**keys)

    assert message in str(fault.value)


@pytest.mark.parametrize("path", ["answer", "$answer", "$.", "$..a", "$.a[-1]", "$.a[?(@.b)]", "$.*", "$.a[0", ""])
def test_what_is_no_path_is_refused(tmp_path: Path, path: str) -> None:
    """Only names, numbers and `[*]` are steps; nothing is evaluated."""
    file = tmp_path / "models.toml"
    file.write_text(f'[app]\nprovider = "http"\nurl = "http://host/"\nreply = {{ text = "{path}" }}\n')

    with pytest.raises(ModelsFileFault, match=r'"reply\.text": must be a path such as "\$\.answers\[0\]\.text" or '):
        Catalog(file, {}).choose(["app"], tmp_path)


def test_the_identity_is_what_is_asked_and_how(open_service: OpenService) -> None:
    """Another path, body or place of the answer is another model; a version is its own, and lets answers be stored."""
    models = [
        open_service(),
        open_service(url="http://127.0.0.1:1/other"),
        open_service(body={**BODY, "k": 1}),
        open_service(reply={"text": "$.text"}),
        open_service(version="3"),
    ]

    assert len({repr(model.identity) for model in models}) == len(models)
    entry = {"provider": "http", "url": "http://host/"}
    assert PROVIDER.traits(HttpEntry.model_validate(entry)).is_unversioned
    assert not PROVIDER.traits(HttpEntry.model_validate({**entry, "version": "3"})).is_unversioned

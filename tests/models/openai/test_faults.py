"""What becomes of a request that an API does not answer as it should."""

import email.utils
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.openai.failure import asked_pause_s
from pytest_llmbench.models.openai.retries import RetryPolicy
from pytest_llmbench.values import AnswerError, PromptStyle

BROKEN = {
    "429": lambda server: server.refuse(429, Retry_After="0"),
    "408": lambda server: server.refuse(408),
    "409": lambda server: server.refuse(409),
    "500": lambda server: server.refuse(500),
    "503 page": lambda server: server.respond(503, b"<html>maintenance</html>", Content_Type="text/html"),
    "no response": lambda server: server.dropped(),
    "headers alone": lambda server: server.sent(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"
    ),
    "headers cut off": lambda server: server.sent(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "headers only": lambda server: server.dropped(b": nothing yet\n\n"),
    "dropped mid-stream": lambda server: server.dropped(*server.events("half", "way", finish=None, done=False)),
    "ended mid-stream": lambda server: server.stream("half", "way", finish=None, done=False),
    "half a JSON": lambda server: server.dropped(b'data: {"choices": [{"index": 0, "del'),
    "garbage in the stream": lambda server: server.send_stream(b"data: {nonsense}\n\n", b"data: [DONE]\n\n"),
    "garbage after text": lambda server: server.send_stream(*server.events("a", done=False), b"data: }\n\n"),
    "empty stream": lambda server: server.send_stream(),
    "stream of nothing": lambda server: server.send_stream(b"data: [DONE]\n\n"),
    "error in the stream": lambda server: server.send_stream(
        *server.events("so", finish=None, done=False), b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'
    ),
    "page instead of a stream": lambda server: server.respond(200, b"<html>hello</html>"),
    "empty body": lambda server: server.respond(200, b""),
    "no choices": lambda server: server.respond(200, {"choices": []}),
    "choices of another kind": lambda server: server.respond(200, {"choices": "many"}),
    "list": lambda server: server.respond(200, b"[1, 2]"),
    "no message": lambda server: server.respond(200, {"choices": [{"index": 0, "message": None}]}),
    "error as a body": lambda server: server.respond(200, {"error": {"message": "upstream", "code": "timeout"}}),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_tried_again(openai_server, openai_ask, kind):
    """What may be different next time is tried again, and the answer tells how often it was tried."""
    openai_server.on("hello", BROKEN[kind](openai_server), openai_server.stream("ok"))

    answer = openai_ask()

    assert (answer.text, answer.attempts) == ("ok", 2)


def test_a_kept_connection_that_was_closed(openai_server, openai_model, openai_requests):
    """A server may close after a reply without saying so: what was sent on that connection goes out before all others."""
    openai_server.on("second", openai_server.dropped(), openai_server.stream("ok"))

    answers = openai_model(concurrency=1).answer(openai_requests("first", "second", "third"))

    assert [answer.attempts for answer in answers] == [1, 2, 1]
    assert openai_server.prompts() == ["first", "second", "second", "third"]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("429", "RateLimitError (HTTP 429): not now (2 attempts)"),
        ("503 page", "InternalServerError (HTTP 503): <html>maintenance</html> (2 attempts)"),
        ("ended mid-stream", "the stream broke off before its end (2 attempts)"),
        ("garbage in the stream", 'the reply is no JSON: "{nonsense}" (2 attempts)'),
        ("empty body", "the stream broke off before its end (2 attempts)"),
        ("page instead of a stream", 'the reply is no JSON: "<html>hello</html>" (2 attempts)'),
        ("stream of nothing", "the reply holds no message (2 attempts)"),
        ("no choices", "the reply holds no message (2 attempts)"),
        ("choices of another kind", 'the reply\'s choices are no list but "many" (2 attempts)'),
        ("list", "the reply has [1, 2] where an object belongs (2 attempts)"),
        ("error in the stream", "overloaded (2 attempts)"),
        ("error as a body", "upstream (2 attempts)"),
    ],
)
def test_given_up(openai_server, openai_ask, kind, cause):
    """After its retries a request is an error that tells what happened, in words of the server where it has some."""
    openai_server.on("hello", BROKEN[kind](openai_server))

    error = openai_ask(max_retries=1)

    assert isinstance(error, AnswerError)
    assert error.cause.startswith(cause)
    assert (error.attempts, error.concurrency, error.is_fatal) == (2, 1, False)
    assert len(openai_server.received) == 2


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (
            "no response",
            "ServerDisconnectedError: Server disconnected (2 attempts)",
        ),
        (
            "headers only",
            "ClientPayloadError: Response payload is not completed",
        ),
        (
            "half a JSON",
            "ClientPayloadError: Response payload is not completed",
        ),
    ],
)
def test_broken_connections(openai_server, openai_ask, kind, cause):
    """A connection that breaks each time is told in the words of who saw it break."""
    openai_server.on("hello", BROKEN[kind](openai_server))

    error = openai_ask(max_retries=1)

    assert error.cause.startswith(cause)
    assert error.attempts == 2


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (400, {"error": {"message": "context too long"}}, "BadRequestError (HTTP 400): context too long"),
        (404, {"detail": "Not Found"}, "NotFoundError (HTTP 404): Not Found"),
        (422, {"detail": [{"loc": ["stop"]}]}, 'UnprocessableEntityError (HTTP 422): [{"loc": ["stop"]}]'),
        (400, {"object": "error", "message": "no such model"}, "BadRequestError (HTTP 400): no such model"),
        (413, b"too\nlarge", "APIStatusError (HTTP 413): too large"),
        (400, b"x" * 300, "BadRequestError (HTTP 400): " + "x" * 199 + "…"),
        (400, b"", "BadRequestError (HTTP 400)"),
    ],
)
def test_refused_at_once(openai_server, openai_ask, status, body, cause):
    """A request that is wrong in itself is that case's error at once, with the server's short message."""
    openai_server.on("hello", openai_server.respond(status, body))

    error = openai_ask()

    assert error == AnswerError(cause=cause, attempts=1, concurrency=1)
    assert len(openai_server.received) == 1


def test_error_of_the_request_in_a_stream(openai_server, openai_ask):
    """An error object in a stream that says the request was wrong is not tried again."""
    openai_server.on("hello", openai_server.send_stream(b'data: {"error": {"message": "too long", "code": 400}}\n\n'))

    error = openai_ask()

    assert error == AnswerError(cause="too long", attempts=1, concurrency=1)


def test_one_fault_is_one_case(openai_server, openai_model, openai_requests):
    """Other requests are answered while one fails."""
    openai_server.on("bad", openai_server.refuse(400, "no"))

    answers = openai_model().answer(openai_requests("a", "bad", "b"))

    assert [isinstance(answer, AnswerError) for answer in answers] == [False, True, False]


def test_refused_key(openai_server, openai_model, openai_requests, monkeypatch):
    """A refused key ends it: nothing more is sent, now or later, and each of the rest is told as fatal."""
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    openai_server.on("a", openai_server.refuse(401, "Incorrect API key provided: sk-very-secret."))
    model = openai_model(concurrency=1, api_key_env="MY_KEY")
    heard = []

    first = model.answer(openai_requests("a", "b", "c"), arrived=lambda index, error: heard.append(index))
    later = model.answer(openai_requests("d"))

    cause = "AuthenticationError (HTTP 401): Incorrect API key provided: ***.; check the key in MY_KEY"
    assert [(error.cause, error.is_fatal, error.attempts) for error in (*first, *later)] == [
        (cause, True, 1),
        (cause, True, 0),
        (cause, True, 0),
        (cause, True, 0),
    ]
    assert heard == [0, 1, 2]
    assert len(openai_server.received) == 1


def test_refused_first_prompts(openai_server, openai_model, openai_requests):
    """A 403 at the very first request may be a firewall's, about that prompt; the third without an answer ends it."""
    openai_server.usual = openai_server.refuse(403, "blocked")
    openai_server.on("fine", openai_server.stream("ok"))

    blocked, fine, later, _ = openai_model(concurrency=1).answer(openai_requests("a", "fine", "b", "c"))
    one, two, three, four = openai_model(concurrency=1).answer(openai_requests("a", "b", "c", "fine"))

    assert (blocked.is_fatal, fine.text, later.is_fatal) == (False, "ok", False)
    assert [error.is_fatal for error in (one, two, three, four)] == [False, False, True, True]
    assert [error.attempts for error in (one, two, three, four)] == [1, 1, 1, 0]
    assert one.cause == "PermissionDeniedError (HTTP 403): blocked; no key was sent, set OPENAI_API_KEY"


def test_refused_prompt(openai_server, openai_model, openai_requests):
    """Once anything was answered, a 403 is the error of its request, which is not sent again; a 401 still ends it."""
    openai_server.on("forbidden", openai_server.refuse(403, "blocked by the firewall"))
    openai_server.on("expired", openai_server.refuse(401, "no"))
    model = openai_model(concurrency=1)

    first, forbidden, later = model.answer(openai_requests("a", "forbidden", "b"))
    again, expired = model.answer(openai_requests("forbidden", "expired"))

    assert (first.text, later.text, again) == ("ok", "ok", forbidden)
    assert forbidden == AnswerError(
        cause="PermissionDeniedError (HTTP 403): blocked by the firewall", attempts=1, concurrency=1
    )
    assert expired.is_fatal


def test_refused_placeholder(openai_server, openai_ask):
    """A server on this machine that wants a key after all says which variable to set."""
    openai_server.on("hello", openai_server.refuse(401, "no"))

    error = openai_ask()

    assert error.cause == "AuthenticationError (HTTP 401): no; no key was sent, set OPENAI_API_KEY"


def test_refused_key_while_others_wait(openai_server, openai_model, openai_requests):
    """What is in flight when the key is refused may still be answered; what failed before or after is not sent again."""
    openai_server.on("failed", openai_server.refuse(500, Retry_After="30"))
    openai_server.on("refused", openai_server.after(0.05, openai_server.refuse(401, "no")))
    openai_server.on("fails", openai_server.after(0.15, openai_server.refuse(500)))
    openai_server.on("answered", openai_server.after(0.15, openai_server.stream("ok")))

    failed, refused, fails, answered = openai_model().answer(openai_requests("failed", "refused", "fails", "answered"))

    assert [(error.is_fatal, error.attempts) for error in (failed, refused, fails)] == [(True, 1)] * 3
    assert answered.text == "ok"
    assert len(openai_server.received) == 4


def test_no_credit(openai_server, openai_model, openai_requests, monkeypatch):
    """An account without credit is not asked again, though OpenAI says so with the status of a rate limit."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    openai_server.on("a", openai_server.refuse(429, "You exceeded your current quota", "insufficient_quota"))

    first, second = openai_model(concurrency=1).answer(openai_requests("a", "b"))

    assert first.cause == (
        "RateLimitError (HTTP 429): You exceeded your current quota; "
        "the account of the key in OPENAI_API_KEY has no credit"
    )
    assert (first.is_fatal, second.is_fatal, len(openai_server.received)) == (True, True, 1)


@pytest.mark.parametrize("secret", ["X_TOKEN", "PASSWORD"])
def test_echoed_secrets(openai_server, openai_ask, monkeypatch, secret):
    """A secret that a server echoes, from a header or from the address, is in no message."""
    monkeypatch.setenv("X_TOKEN", "tok-1")
    openai_server.on("hello", openai_server.refuse(400, f"got {'tok-1' if secret == 'X_TOKEN' else 'p@ss'} from you"))
    url = openai_server.url.replace("//", "//me:p%40ss@")

    error = openai_ask(base_url=url, headers_env={"X-Token": "X_TOKEN"})

    assert error.cause == "BadRequestError (HTTP 400): got *** from you"


def test_stalled_stream(openai_server, openai_model, openai_requests):
    """The time limit covers the whole request, also a stream that has begun."""
    openai_server.on("a", openai_server.stalled(*openai_server.events("half", finish=None, done=False)))
    model = openai_model(settings=OpenSettings(timeout_s=0.1), max_retries=0, timeout_s=60)

    (error,) = model.answer(openai_requests("a"))

    assert error.cause == "no complete answer within 0.1 s"


def test_time_limit_of_the_entry(openai_server, openai_model, openai_requests):
    """Without one on the command line, the entry's time limit counts, and a timeout is tried again."""
    openai_server.on("a", openai_server.stalled(), openai_server.stream("ok"))

    (answer,) = openai_model(settings=OpenSettings(), timeout_s=0.1).answer(openai_requests("a"))

    assert (answer.text, answer.attempts) == ("ok", 2)


def test_stream_without_an_end(openai_server, openai_ask):
    """A stream that said it is complete is an answer, even if the connection stays open."""
    openai_server.on("hello", openai_server.stalled(*openai_server.events("ok")))

    started = time.perf_counter()
    answer = openai_ask()

    assert (answer.text, answer.attempts) == ("ok", 1)
    assert answer.latency_s < time.perf_counter() - started < 10  # it is open for ever


def test_connection_that_breaks_after_the_end(openai_server, openai_ask):
    """What breaks after a stream said it is complete takes nothing from the answer."""
    openai_server.on("hello", openai_server.dropped(*openai_server.events("ok")))

    answer = openai_ask()

    assert (answer.text, answer.attempts) == ("ok", 1)


def test_nobody_there(openai_model, openai_requests):
    """Who starts meanwhile is waited for as long as one request has attempts, and not so long for each of the others."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        model = openai_model(
            base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1",
            concurrency=1,
            max_retries=1,
            policy=RetryPolicy(base_s=0),  # no drawn pause: the first is at its end before the second has a turn
        )

        first, later = model.answer(openai_requests("a", "b"))

    assert first.cause.startswith("ClientConnectorError: Cannot connect to host 127.0.0.1:")
    assert first.cause.endswith("; start the server, or correct base_url (2 attempts)")
    assert (first.attempts, first.is_fatal, later.is_fatal) == (2, True, True)
    assert later.attempts <= 1


class Once(BaseHTTPRequestHandler):
    def do_POST(self):
        self.wfile.write(b'HTTP/1.0 200 OK\r\n\r\n{"choices": [{"index": 0, "message": {"content": "ok"}}]}')

    def log_message(self, *args):
        pass


def test_gone_in_between(openai_model, openai_requests):
    """A server that has answered and is not reached later may come back: that is the error of its request alone."""
    with HTTPServer(("127.0.0.1", 0), Once) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        model = openai_model(base_url=url, concurrency=1, max_retries=0)
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        (answered,) = model.answer(openai_requests("a"))
        thread.join()

    gone, also = model.answer(openai_requests("b", "c"))

    assert (answered.text, gone.is_fatal, also.is_fatal) == ("ok", False, False)


def test_pause_holds_no_slot(openai_server, openai_model, openai_requests):
    """While a server's pause is kept, the only slot answers others; and the pause is kept."""
    openai_server.on("a", openai_server.refuse(429, Retry_After="0.2"), openai_server.stream("ok"))

    answers = openai_model(concurrency=1).answer(openai_requests("a", "b", "c"))

    first, _, _, second = openai_server.received
    assert [answer.text for answer in answers] == ["ok"] * 3
    assert openai_server.prompts() == ["a", "b", "c", "a"]
    assert second.at - first.at >= 0.2


def test_wrong_prompt(openai_model, openai_requests, openai_server):
    """A prompt of the wrong style is its own error, and is not sent."""
    (error,) = openai_model().answer(openai_requests("a", style=PromptStyle.COMPLETION))

    assert error.cause == 'a completion prompt cannot be sent to api = "chat"'
    assert openai_server.received == []


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "3", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_asked_pause(headers, pause_s):
    """Retry-After is seconds or a date; what is neither is no pause."""
    assert asked_pause_s(headers) == pause_s


def test_asked_pause_until_a_date():
    """A date in Retry-After is the time until then."""
    header = email.utils.formatdate(time.time() + 30, usegmt=True)

    assert 28 <= asked_pause_s({"retry-after": header}) <= 30


@pytest.mark.parametrize(
    ("attempts", "asked_s", "least_s", "most_s"),
    [(1, None, 0, 0.5), (3, None, 0, 2), (9, None, 0, 8), (5000, None, 0, 8), (1, 5.0, 5, 5.5), (1, 900.0, 60, 60.5)],
)
def test_pauses(attempts, asked_s, least_s, most_s):
    """Pauses are drawn from a range that doubles up to its cap; an asked one is kept, up to a cap."""
    pauses = [RetryPolicy().pause_s(attempts, asked_s) for _ in range(200)]

    assert least_s <= min(pauses)
    assert max(pauses) <= most_s
    assert max(pauses) - min(pauses) > 0.5 * (most_s - least_s)

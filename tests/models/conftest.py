"""A real server on this machine's loopback, told by each test how to answer which prompt."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_llmbench.models import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai import OpenAIModel
from pytest_llmbench.models.openai_dispatch import RetryPolicy
from pytest_llmbench.values import Message, Prompt, Request, Sampling

Behaviour = Callable[[BaseHTTPRequestHandler], None]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WITH_PATIENCE = OpenSettings(timeout_s=5)
AT_ONCE = RetryPolicy(base_s=0.001, cap_s=0.002)


def chunked(raw: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(raw), raw)


def event(table: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"model": "served-1", "system_fingerprint": "fp-7", **table}).encode() + b"\n\n"


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def prompt(self) -> str:
        return self.body["prompt"] if "prompt" in self.body else self.body["messages"][-1]["content"]


@dataclass
class OpenAIServer:
    """Behaviours by prompt, one an attempt, the last one for all further ones."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    behaviours: dict[str, list[Behaviour]] = field(default_factory=dict)
    n_connections: int = 0
    n_in_flight: int = 0
    most_in_flight: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, prompt: str, *behaviours: Behaviour) -> None:
        self.behaviours[prompt] = list(behaviours)

    def prompts(self) -> list[str]:
        return [received.prompt for received in self.received]

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        received = Received(
            handler.path, {name.lower(): value for name, value in handler.headers.items()}, body, time.perf_counter()
        )
        with self.lock:
            n_before = self.prompts().count(received.prompt)
            self.received.append(received)
        behaviours = self.behaviours.get(received.prompt, [self.stream("ok")])
        behaviours[min(n_before, len(behaviours) - 1)](handler)

    def events(
        self,
        *pieces: str,
        finish: str | None = "stop",
        usage: dict[str, int] | None = None,
        done: bool = True,
        key: str = "content",
    ) -> list[bytes]:
        made = [event({"choices": [{"index": 0, "delta": {key: piece}, "finish_reason": None}]}) for piece in pieces]
        if finish:
            made.append(event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
        if usage:
            made.append(event({"choices": [], "usage": usage}))
        return [*made, b"data: [DONE]\n\n"] if done else made

    def stream(self, *pieces: str, gap_s: float = 0.0, **kind: Any) -> Behaviour:
        return self.send_stream(*self.events(*pieces, **kind), gap_s=gap_s)

    def send_stream(self, *raw: bytes, gap_s: float = 0.0, has_end: bool = True) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(STREAM_HEAD)
            for piece in raw:
                self.is_over.wait(gap_s)
                handler.wfile.write(chunked(piece))
            if has_end:
                handler.wfile.write(b"0\r\n\r\n")

        return behave

    def together(self, barrier: threading.Barrier) -> Behaviour:
        """Answer when as many requests are there as the barrier waits for."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            with self.lock:
                self.n_in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.n_in_flight)
            barrier.wait(timeout=5)
            with self.lock:
                self.n_in_flight -= 1
            self.stream("ok")(handler)

        return behave

    def after(self, pause_s: float, behaviour: Behaviour) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            self.is_over.wait(pause_s)
            behaviour(handler)

        return behave

    def stalled(self, *raw: bytes) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            self.send_stream(*raw, has_end=False)(handler)
            self.is_over.wait(10)
            handler.close_connection = True

        return behave

    def dropped(self, *raw: bytes) -> Behaviour:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            if raw:
                self.send_stream(*raw, has_end=False)(handler)
            handler.close_connection = True

        return behave

    def sent(self, raw: bytes) -> Behaviour:
        """Send these bytes as they are, then close."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(raw)
            handler.close_connection = True

        return behave

    def respond(self, status: int, body: bytes | dict[str, Any], **headers: str) -> Behaviour:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), "Content-Type": "application/json", **headers}.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(raw)

        return behave

    def refuse(self, status: int, message: str = "not now", code: str | None = None, **headers: str) -> Behaviour:
        return self.respond(status, {"error": {"message": message, "code": code}}, **headers)


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    script = OpenAIServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 10

        def setup(self) -> None:
            super().setup()
            script.n_connections += 1

        def do_POST(self) -> None:
            with suppress(ConnectionError):  # the client may give up
                script.serve(self)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # so that closing waits for them, and for their sockets
        request_queue_size = 64  # with the usual 5, a burst of connections waits a second

    server = Server(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    script.is_over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def openai_may_use_aiohttp() -> bool:
    """Tell whether connections may be aiohttp's; a module that runs its tests both ways has its own."""
    return True


@pytest.fixture
def openai_model(
    openai_server: OpenAIServer, openai_may_use_aiohttp: bool, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., OpenAIModel]]:
    """Open models of the server; retries come at once."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    opened: list[OpenAIModel] = []

    def open_model(
        *,
        settings: OpenSettings = WITH_PATIENCE,
        policy: RetryPolicy = AT_ONCE,
        **entry: Any,
    ) -> OpenAIModel:
        table = {"provider": "openai", "model": "m-1", "base_url": openai_server.url, **entry}
        model = OpenAIModel(OpenAIEntry.model_validate(table), settings, policy, may_use_aiohttp=openai_may_use_aiohttp)
        opened.append(model)
        return opened[-1]

    yield open_model
    for model in opened:
        model.close()


@pytest.fixture
def openai_requests() -> Callable[..., tuple[Request, ...]]:
    """Make one request a prompt."""

    def make(*prompts: str, style: str = "chat", **sampling: Any) -> tuple[Request, ...]:
        made = (
            Prompt(messages=(Message(role="user", content=prompt),)) if style == "chat" else Prompt(text=prompt)
            for prompt in prompts
        )
        return tuple(
            Request(suite="jokes", case=f"case-{number}", sample=0, prompt=prompt, sampling=Sampling(**sampling))
            for number, prompt in enumerate(made)
        )

    return make


@pytest.fixture
def openai_ask(openai_model: Callable[..., OpenAIModel], openai_requests: Callable[..., Any]) -> Callable[..., Any]:
    """Ask one chat prompt; give its answer or error."""

    def ask(prompt: str = "hello", **entry: Any) -> Any:
        (result,) = openai_model(**entry).answer(openai_requests(prompt))
        return result

    return ask

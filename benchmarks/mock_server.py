"""A server that speaks OpenAI's protocol and costs next to nothing: fixed latency, jitter, faults that repeat.

Answers are "yes" or "no", drawn by a hash of the prompt (`answer_to`), streamed where a request asks for it.
Faults and jitter are drawn by a hash of the seed, the prompt and the number of the attempt, so that
every client meets the same ones on the same prompts.

    python benchmarks/mock_server.py --latency-ms 50 --faults 429=0.05,500=0.02,drop=0.01

It prints its base URL, then serves until its standard input ends.  `GET /stats` tells what it saw.
The protocol is written by hand on asyncio: one core gives more than 10,000 replies a second.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from zlib import crc32

REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Unavailable"}
USAGE = {"prompt_tokens": 120, "completion_tokens": 2, "total_tokens": 122}


def answer_to(prompt: str) -> str:
    """Give the answer to a prompt, for whoever writes the expected ones."""
    return "yes" if crc32(prompt.encode()) & 1 else "no"


def draw(*parts: object) -> float:
    """Draw a share in [0, 1) by a hash of the parts."""
    # no CRC: those of two attempts at a prompt differ by the same bits, whatever the prompt
    return int.from_bytes(sha256(":".join(map(str, parts)).encode()).digest()[:4]) / 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How the server behaves. `faults` maps a status, or "drop", to the share of attempts that meet it."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    gap_s: float = 0.0
    faults: tuple[tuple[str, float], ...] = ()
    retry_after_s: float = 1.0
    seed: int = 0

    def fault(self, prompt: str, attempt: int) -> str | None:
        """Give the fault of an attempt, if it has one."""
        at = draw("fault", self.seed, prompt, attempt)
        for name, share in self.faults:
            at -= share
            if at < 0:
                return name
        return None

    def delay_s(self, prompt: str, attempt: int) -> float:
        """Give the time until the reply begins."""
        if not self.jitter_s:
            return self.latency_s
        return self.latency_s + self.jitter_s * draw("jitter", self.seed, prompt, attempt)


@dataclass(slots=True)
class Seen:
    """What the server saw. `span_s` runs from the first request to the last."""

    attempts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    first_at: float = 0.0
    last_at: float = 0.0

    def told(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {
            "requests": self.attempts.total(),
            "prompts": len(self.attempts),
            "connections": self.connections,
            "most_in_flight": self.most_in_flight,
            "span_s": self.last_at - self.first_at,
            "faults": dict(self.faults),
        }


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another, no pipelining."""

    def __init__(self, manners: Manners, seen: Seen, loop: asyncio.AbstractEventLoop):
        self._manners = manners
        self._seen = seen
        self._loop = loop
        self._received = b""
        self._is_busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: Any = transport
        self._seen.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """End what was begun."""
        del exc
        self._settle()

    def data_received(self, data: bytes) -> None:
        """Take what came in; serve it where it is a whole request."""
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        line, *headers = head.lower().split(b"\r\n")
        length = next((int(h[15:]) for h in headers if h.startswith(b"content-length:")), 0)
        if len(rest) >= length:
            self._received = rest[length:]
            self._serve(line, rest[:length])

    def _serve(self, line: bytes, body: bytes) -> None:
        method, path, _ = line.split(b" ", 2)
        if method == b"get":
            known = path.endswith(b"/models") or path == b"/stats"
            told = self._seen.told() if path == b"/stats" else {"object": "list", "data": [{"id": "mock"}]}
            self._reply(200 if known else 404, told if known else {"error": {"message": "no such path"}})
            return
        request = json.loads(body)
        prompt = request["prompt"] if "prompt" in request else request["messages"][-1]["content"]
        seen = self._seen
        seen.attempts[prompt] += 1
        attempt = seen.attempts[prompt]
        self._is_busy = True
        seen.in_flight += 1
        seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
        seen.last_at = self._loop.time()
        seen.first_at = seen.first_at or seen.last_at
        delay_s = self._manners.delay_s(prompt, attempt)
        if delay_s:
            self._loop.call_later(delay_s, self._answer, request, prompt, attempt)
        else:
            self._answer(request, prompt, attempt)

    def _answer(self, request: dict[str, Any], prompt: str, attempt: int) -> None:
        if self._transport.is_closing():  # the client gave up
            return
        fault = self._manners.fault(prompt, attempt)
        if fault is not None:
            self._seen.faults[fault] += 1
        if fault == "drop":
            self._transport.abort()
        elif fault is not None:
            self._settle()
            headers = f"Retry-After: {self._manners.retry_after_s:g}\r\n" if fault in ("429", "503") else ""
            self._reply(int(fault), {"error": {"message": f"a fault drawn for attempt {attempt}"}}, headers)
        elif request.get("stream"):
            self._stream(events(answer_to(prompt), is_chat="messages" in request))
        else:
            self._settle()
            self._reply(200, completion(answer_to(prompt), is_chat="messages" in request))

    def _stream(self, pieces: list[bytes]) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
        chunks[-1] += b"0\r\n\r\n"
        if not self._manners.gap_s:
            self._settle()
            self._transport.write(head + b"".join(chunks))
            return
        self._transport.write(head)
        for number, chunk in enumerate(chunks):
            self._loop.call_later(number * self._manners.gap_s, self._transport.write, chunk)
        self._loop.call_later((len(chunks) - 1) * self._manners.gap_s, self._settle)

    def _reply(self, status: int, table: dict[str, Any], headers: str = "") -> None:
        body = json.dumps(table).encode()
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n{headers}"
        self._transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def _settle(self) -> None:
        if self._is_busy:
            self._is_busy = False
            self._seen.in_flight -= 1


def events(answer: str, *, is_chat: bool) -> list[bytes]:
    """Give the events of a streamed answer: two pieces of text, the end, the usage."""
    half = len(answer) // 2
    pieces = [_choice(piece, None, is_chat=is_chat) for piece in (answer[:half], answer[half:])]
    tables = [
        *({"choices": [choice]} for choice in pieces),
        {"choices": [_choice("", "stop", is_chat=is_chat)]},
        {"choices": [], "usage": USAGE},
    ]
    kind = "chat.completion.chunk" if is_chat else "text_completion"
    about = {"id": "mock-1", "object": kind, "created": 0, "model": "mock"}
    return [*(b"data: " + json.dumps({**about, **table}).encode() + b"\n\n" for table in tables), b"data: [DONE]\n\n"]


def _choice(text: str, finish_reason: str | None, *, is_chat: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"delta": {"content": text} if text else {}} if is_chat else {"text": text}
    return {"index": 0, **content, "finish_reason": finish_reason}


def completion(answer: str, *, is_chat: bool) -> dict[str, Any]:
    """Give the body of an answer that is not streamed."""
    content: dict[str, Any] = {"message": {"role": "assistant", "content": answer}} if is_chat else {"text": answer}
    choice = {"index": 0, **content, "finish_reason": "stop"}
    kind = "chat.completion" if is_chat else "text_completion"
    return {"id": "mock-1", "object": kind, "created": 0, "model": "mock", "choices": [choice], "usage": USAGE}


async def serve(manners: Manners, port: int) -> None:
    """Serve until standard input ends: the process that started it ended, or closed it."""
    loop = asyncio.get_running_loop()
    seen = Seen()
    server = await loop.create_server(
        lambda: Connection(manners, seen, loop), "127.0.0.1", port, backlog=1024, reuse_address=True
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    ended = asyncio.Event()

    def read() -> None:
        if not sys.stdin.buffer.read1(1):
            ended.set()

    loop.add_reader(sys.stdin.fileno(), read)
    await ended.wait()
    loop.remove_reader(sys.stdin.fileno())


def manners_of(options: argparse.Namespace) -> Manners:
    """Read the options."""
    pairs = [pair.split("=") for pair in options.faults.split(",") if pair]
    return Manners(
        latency_s=options.latency_ms / 1000,
        jitter_s=options.jitter_ms / 1000,
        gap_s=options.gap_ms / 1000,
        faults=tuple((name, float(share)) for name, share in pairs),
        retry_after_s=options.retry_after,
        seed=options.seed,
    )


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A cheap server that speaks OpenAI's protocol.")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="until a reply begins")
    parser.add_argument("--jitter-ms", type=float, default=0.0, help="up to so much more, drawn by a hash")
    parser.add_argument("--gap-ms", type=float, default=0.0, help="between the pieces of a stream; 0: in one write")
    parser.add_argument("--faults", default="", metavar="429=SHARE,500=SHARE,drop=SHARE", help="shares of attempts")
    parser.add_argument("--retry-after", type=float, default=1.0, metavar="S", help="asked for with 429 and 503")
    parser.add_argument("--seed", type=int, default=0, help="of the faults and the jitter")
    options = parser.parse_args()
    asyncio.run(serve(manners_of(options), options.port))


if __name__ == "__main__":
    main()

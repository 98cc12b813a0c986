"""What a server that speaks OpenAI's protocol sends back, read from raw bytes.

Two readers with one face: `EventReader` for a stream (server-sent events, one JSON object a
`data:` line), `BodyReader` for a whole body.  Building an object of a client library for every
piece of a stream costs more than everything else together, so here a piece is only parsed at once
while the first text is waited for; the rest is parsed in one go after the last byte.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class ReplyFault(Exception):
    """A reply that holds no answer: garbage, cut off, or an error object of the server.

    `status` is the code a server put into an error object, where it is a number.
    """

    def __init__(self, message: str, *, status: int | None = None):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was read: the text, and what the server said about it.

    `logprobs` are the objects in which it told of probabilities, a stream's in their order.
    """

    text: str
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    server_model: str | None = None
    fingerprint: str | None = None
    logprobs: tuple[Mapping[str, Any], ...] = ()


class Reader(Protocol):
    """Takes a reply as it comes in."""

    @property
    def is_complete(self) -> bool:
        """The server said that nothing more follows."""
        ...

    @property
    def text_at(self) -> float | None:
        """When the first piece of text came in; None where that cannot be known."""
        ...

    def feed(self, chunk: bytes, at: float) -> None:
        """Take the bytes that came in at a time."""
        ...

    def reply(self) -> Reply:
        """Read what was taken, after the last byte.

        Raises:
            ReplyFault: it holds no answer.
        """
        ...


class BodyReader:
    """Reads a reply that comes as one JSON body."""

    is_complete = False
    text_at: float | None = None

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes, at: float) -> None:
        """Keep the bytes."""
        del at
        self._chunks.append(chunk)

    def reply(self) -> Reply:
        """Read the body."""
        return read_completion(_parsed(b"".join(self._chunks)))


class EventReader:
    """Reads a reply that comes as a stream of events.

    Comments, pings and names of events are passed over.  A server that ignores `stream` and
    sends one body is understood too.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.text_at: float | None = None
        self._tail = b""
        self._fed_at = 0.0
        self._events: list[Any] = []  # parsed while the first text was waited for
        self._payloads: list[bytes] = []  # those after it
        self._others: list[bytes] = []  # lines that belong to no stream

    def feed(self, chunk: bytes, at: float) -> None:
        """Take the whole lines in the bytes, and keep the begun one."""
        self._fed_at = at
        lines = (self._tail + chunk).split(b"\n")
        self._tail = lines.pop()
        for line in lines:
            self._take(line, at)

    def _take(self, line: bytes, at: float) -> None:
        if not line.startswith(b"data:"):
            if line and not line.startswith((b":", b"event:", b"id:", b"retry:", b"\r")):
                self._others.append(line)
            return
        payload = line[5:].strip()
        if payload == b"[DONE]":
            self.is_complete = True
        elif self.text_at is not None and payload:
            self._payloads.append(payload)
        elif payload:
            try:
                event = json.loads(payload)
            except ValueError:
                self._payloads.append(payload)  # told as garbage by reply()
                return
            self._events.append(event)
            if _has_text(event):
                self.text_at = at

    def reply(self) -> Reply:
        """Put the pieces together."""
        if self._tail:
            self._take(self._tail, self._fed_at)
            self._tail = b""
        if not self._events and not self._payloads and self._others:
            return read_completion(_parsed(b"\n".join(self._others)))
        return _assemble([*self._events, *self._parsed_rest()], is_complete=self.is_complete)

    def _parsed_rest(self) -> list[Any]:
        try:
            rest: list[Any] = json.loads((b"[" + b",".join(self._payloads) + b"]").decode())
        except ValueError:
            return [_parsed(payload) for payload in self._payloads]  # raises at the one at fault
        return rest


def read_completion(body: Any) -> Reply:
    """Read the body of a chat or text completion.

    Raises:
        ReplyFault: it is an error object, or has no message.
    """
    body = _table(body)
    _refuse_error(body)
    for choice in _first_choices(body):
        message = choice.get("message", choice)  # a text completion has its text in the choice itself
        text = _text(_table(message))
        if text is None and "message" not in choice:
            break
        about = {**_about(body), "logprobs": tuple(_logprobs(choice))}
        return Reply(text=text or "", finish_reason=_word(choice, "finish_reason"), **about)
    raise ReplyFault("the reply holds no message")


def cut_at_stop(text: str, stop: Iterable[str]) -> str | None:
    """Cut a text before the first stop string left in it; None if there is none.

    `transformers serve` (5.23) and others stop at the string but leave it in the text.
    """
    places = [place for place in (text.find(word) for word in stop if word) if place >= 0]
    return text[: min(places)] if places else None


def _assemble(events: Iterable[Any], *, is_complete: bool) -> Reply:
    pieces: list[str] = []
    logprobs: list[Mapping[str, Any]] = []
    finish_reason: str | None = None
    has_choice = False
    about: dict[str, Any] = {}
    for event in events:
        table = _table(event)
        if "error" in table:
            _refuse_error(table)
        for choice in _first_choices(table):
            has_choice = True
            pieces.append(_delta_text(choice))
            logprobs.extend(_logprobs(choice))
            finish_reason = _word(choice, "finish_reason") or finish_reason
        if not about or table.get("usage"):  # the name stands in each event, the usage in the last
            about.update((key, value) for key, value in _about(table).items() if value is not None)
    if not is_complete and finish_reason is None:
        raise ReplyFault("the stream broke off before its end")
    if not has_choice:
        raise ReplyFault("the reply holds no message")
    return Reply(text="".join(pieces), finish_reason=finish_reason, logprobs=tuple(logprobs), **about)


def _logprobs(choice: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    told = choice.get("logprobs")
    return [told] if isinstance(told, dict) else []


def _has_text(event: Any) -> bool:
    try:
        return any(_delta_text(choice) for choice in _first_choices(_table(event)))
    except ReplyFault:
        return False  # told by reply()


def _delta_text(choice: Mapping[str, Any]) -> str:
    return _text(_table(choice.get("delta") or choice)) or ""


def _text(message: Mapping[str, Any]) -> str | None:
    """Give the answer's text in a message, a delta or a choice; what a model thought aloud is not part of it."""
    text = message.get("content", message.get("text"))
    if text is None:
        text = message.get("refusal")
    if text is not None and not isinstance(text, str):
        raise ReplyFault(f"the reply's text is no text but {json.dumps(text)[:80]}")
    return text


def _first_choices(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = table.get("choices")
    if choices is None:
        return []
    if not isinstance(choices, list):
        raise ReplyFault(f"the reply's choices are no list but {json.dumps(choices)[:80]}")
    return [choice for choice in map(_table, choices) if not choice.get("index")]


def _about(table: Mapping[str, Any]) -> dict[str, Any]:
    usage = table.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return {
        "input_tokens": _count(usage, "prompt_tokens"),
        "output_tokens": _count(usage, "completion_tokens"),
        "server_model": _word(table, "model"),
        "fingerprint": _word(table, "system_fingerprint"),
    }


def _refuse_error(table: Mapping[str, Any]) -> None:
    error = table.get("error")
    if not error:
        return
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and not isinstance(code, bool) else None
    raise ReplyFault(server_message(table) or "an error without a message", status=status)


def server_message(body: Any) -> str:
    """Find the short message in the error body of a server: OpenAI's form, FastAPI's, or plain text."""
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return body if isinstance(body, str) else json.dumps(body) if body else ""


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode())
    except ValueError:
        start = raw[:80].decode(errors="replace").strip()
        raise ReplyFault(f'the reply is no JSON: "{start}"' if start else "the reply is empty") from None


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ReplyFault(f"the reply has {json.dumps(value)[:80]} where an object belongs")
    return value


def _word(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    return value if isinstance(value, str) and value else None


def _count(table: Mapping[str, Any], key: str) -> int | None:
    value = table.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None

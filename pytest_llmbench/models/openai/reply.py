"""What a server that speaks OpenAI's protocol sends back, read from raw bytes.

Two readers with one face: `EventReader` for a stream (server-sent events, one JSON object a
`data:` line), `BodyReader` for a whole body.  Building an object of a client library for every
piece of a stream costs more than everything else together, so here a piece is only parsed at once
while the first text is waited for, or a stop string; the rest is parsed in one go after the last byte.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_llmbench.models.openai.message import ReplyFault, refuse_error
from pytest_llmbench.models.openai.transcript import Transcript, as_table, first_choices
from pytest_llmbench.models.stops import AnswerWatch
from pytest_llmbench.values import ToolCall

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What was read: the text, and what the server reported about it.

    `reasoning` and `refusal` are what came in fields of their own.  `logprobs` are the objects in which the server
    reported probabilities, a stream's in their order.
    """

    text: str
    reasoning: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    server_model: str | None = None
    fingerprint: str | None = None
    logprobs: tuple[Mapping[str, Any], ...] = ()


class Reader(Protocol):
    """Takes a reply as it comes in."""

    @property
    def is_complete(self) -> bool:
        """Nothing more is waited for: the server has ended its reply, or a stop string has ended the answer."""
        ...

    @property
    def text_at(self) -> float | None:
        """When the first piece of text of any kind came in; None where that cannot be known."""
        ...

    @property
    def stopped_at(self) -> float | None:
        """When a stop string ended the answer; None where none did."""
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

    def answer_at(self, place: int) -> float | None:
        """Tell when the character at a place of the text came in, after `reply`."""
        ...


class BodyReader:
    """Reads a reply that comes as one JSON body."""

    is_complete = False
    text_at: float | None = None
    stopped_at: float | None = None

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def feed(self, chunk: bytes, at: float) -> None:
        """Keep the bytes."""
        del at
        self._chunks.append(chunk)

    def reply(self) -> Reply:
        """Read the body."""
        return read_completion(_parsed(b"".join(self._chunks)))

    def answer_at(self, place: int) -> float | None:
        """Tell nothing: a body comes as a whole."""
        del place
        return None


class EventReader:
    """Reads a reply that comes as a stream of events.

    Comments, pings and names of events are passed over.  A server that ignores `stream` and
    sends one body is understood too.

    Args:
        watch: looks for the stop strings that were not sent; None where they were.
    """

    def __init__(self, watch: AnswerWatch | None = None) -> None:
        self.stopped_at: float | None = None
        self._is_done = False
        self._watch = watch
        self._transcript = Transcript()
        self._fault: ReplyFault | None = None
        self._tail = b""
        self._fed_at = 0.0
        self._is_first = True
        self._is_error = False  # by the name of the event
        self._payloads: list[bytes] = []  # those that are parsed at the end
        self._payload_times: list[float] = []
        self._others: list[bytes] = []  # lines that belong to no stream

    @property
    def is_complete(self) -> bool:
        """Whether the server has ended its reply, or a stop string has ended the answer."""
        return self._is_done or self.stopped_at is not None

    @property
    def text_at(self) -> float | None:
        """When the first piece of text of any kind came in."""
        return self._transcript.first_at

    def feed(self, chunk: bytes, at: float) -> None:
        """Take the bytes that came in at a time."""
        if self._is_first and chunk:
            self._is_first, chunk = False, chunk.removeprefix(_BOM)
        self._fed_at = at
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        for line in lines:
            self._take(line, at)

    def _take(self, line: bytes, at: float) -> None:
        if not line.startswith(b"data:"):
            if line.startswith(b"event:"):
                self._is_error = line[6:].strip() == b"error"
            elif line.strip() and not line.startswith((b":", b"id:", b"retry:")):
                self._others.append(line)
            return
        payload = line[5:].strip()
        if payload == b"[DONE]":
            self._is_done = True
        elif payload and self.text_at is not None and self._watch is None and not self._is_error:
            self._payloads.append(payload)
            self._payload_times.append(at)
        elif payload:
            self._read(payload, at)

    def _read(self, payload: bytes, at: float) -> None:
        """Read an event at once; a fault is kept for `reply`."""
        if self._fault is not None:
            return
        try:
            event = _parsed(payload)
            if self._is_error:
                refuse_error({"error": event})
            self._transcript.take(event, at)
        except ReplyFault as fault:
            self._fault = None if self.stopped_at is not None else fault
            return
        if self._watch is not None and self._transcript.has_text:
            has_reasoning = self._transcript.has_reasoning
            tail = self._transcript.tail(self._watch.tail_characters)
            self._watch.look(tail, self._transcript.text, has_reasoning=has_reasoning)
            if not self._watch.is_ended:  # not any more: what seemed an answer was reasoning
                self.stopped_at = None
            elif self.stopped_at is None:
                self.stopped_at = at

    def reply(self) -> Reply:
        """Put the pieces together."""
        if self._tail:
            self._take(self._tail, self._fed_at)
            self._tail = b""
        if not (self._transcript.n_events or self._payloads or self._fault) and self._others:
            return read_completion(_parsed(b"\n".join(self._others)))
        if self._fault is not None:
            raise self._fault
        for event, at in zip(self._parsed_rest(), self._payload_times, strict=True):
            self._transcript.take(event, at)
        self._payloads, self._payload_times = [], []
        is_ended = self.is_complete or self._transcript.finish_reason is not None
        if not is_ended and not (self._transcript.is_whole and self._transcript.has_text):
            raise ReplyFault("the stream broke off before its end")
        return _reply(self._transcript, self._others)

    def answer_at(self, place: int) -> float | None:
        """Tell when the character at a place of the text came in."""
        return self._transcript.at(place)

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
    table = as_table(body)
    refuse_error(table)
    transcript = Transcript()
    for choice in first_choices(table):
        if not transcript.take_whole(choice):
            raise ReplyFault("the reply holds no message")
        break
    transcript.take_about(table)
    return _reply(transcript, [])


def _reply(transcript: Transcript, others: list[bytes]) -> Reply:
    text, reasoning, refusal = transcript.text(), transcript.reasoning, transcript.refusal
    if not (text or reasoning or refusal or transcript.tool_calls):
        alien = others[:1] + [json.dumps(event).encode() for event in transcript.unread[:1]]
        if alien:
            line = alien[0][:80].decode(errors="replace").strip()
            raise ReplyFault(f'the stream has a line that belongs to no answer: "{line}"', is_lasting=True)
    if not transcript.has_choice:
        raise ReplyFault("the reply holds no message")
    return Reply(
        text=text if text.strip() or not transcript.own_refusal else transcript.own_refusal,
        reasoning=reasoning or None,
        refusal=refusal,
        finish_reason=transcript.finish_reason,
        tool_calls=transcript.tool_calls,
        logprobs=tuple(transcript.logprobs),
        **transcript.about,
    )


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.removeprefix(_BOM).decode())
    except ValueError:
        start = raw[:80].decode(errors="replace").strip()
        raise ReplyFault(f'the reply is no JSON: "{start}"' if start else "the reply is empty") from None

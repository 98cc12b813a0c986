"""From the bytes of a reply to what an application gave: whole JSON, server-sent events, or text."""

import codecs
import json
import re
from collections.abc import Mapping
from typing import Any, Protocol

from pytest_llmbench.models.http.entry import HttpEntry, ReplyPaths
from pytest_llmbench.models.http.paths import PathFault, find, parse_path

SHOWN_BYTES = 300
_LINE_END = re.compile(r"\r\n|\n|\r")


class ReplyFault(Exception):
    """A reply that holds no answer."""


class Reader(Protocol):
    """Reads a reply as it comes in. `first_at` is when its first text came, None where that is not measured."""

    first_at: float | None

    def feed(self, chunk: bytes, at: float) -> None:
        """Take a piece.

        Raises:
            ReplyFault: it can be no part of an answer.
        """
        ...

    def given(self) -> Mapping[str, Any]:
        """Give what was read, as `app_reply.answer_of` takes it.

        Raises:
            ReplyFault: it is no answer.
        """
        ...


def reader_for(entry: HttpEntry) -> Reader:
    """Make what reads the replies of an entry."""
    if entry.reply is None:
        return TextReader()
    return EventReader(entry.reply) if entry.stream == "sse" else BodyReader(entry.reply)


def excerpt(raw: bytes) -> str:
    """Give the beginning of a reply on one line, as a message quotes it."""
    text = raw[:SHOWN_BYTES].decode(errors="replace")
    return (" ".join(text.split()) or "nothing") + (" ..." if len(raw) > SHOWN_BYTES else "")


class BodyReader:
    """Reads one JSON value."""

    def __init__(self, paths: ReplyPaths):
        self.first_at: float | None = None
        self._paths = paths
        self._raw = bytearray()

    def feed(self, chunk: bytes, at: float) -> None:
        """Take a piece; the value is read at its end."""
        del at
        self._raw += chunk

    def given(self) -> Mapping[str, Any]:
        """Give what stands at the paths.

        Raises:
            ReplyFault: it is no JSON, or a path leads nowhere.
        """
        raw = bytes(self._raw)
        value = _parsed(raw)
        try:
            found = {key: find(parse_path(path), value) for key, path in _places(self._paths).items()}
        except PathFault as fault:
            raise ReplyFault(f"{fault} in the reply; it is: {excerpt(raw)}") from None
        return _plain(found)


class TextReader:
    """Reads a text that may come in pieces."""

    def __init__(self) -> None:
        self.first_at: float | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._texts: list[str] = []

    def feed(self, chunk: bytes, at: float) -> None:
        """Take a piece.

        Raises:
            ReplyFault: it is not UTF-8.
        """
        text = _decoded(self._decoder, chunk)
        if text:
            self.first_at = at if self.first_at is None else self.first_at
            self._texts.append(text)

    def given(self) -> Mapping[str, Any]:
        """Give the text.

        Raises:
            ReplyFault: it ends within a character.
        """
        _decoded(self._decoder, b"", is_last=True)
        return {"text": "".join(self._texts)}


class EventReader:
    """Reads server-sent events (the WHATWG's HTML standard, 9.2) whose data are JSON.

    The texts of all events are put together; of all else, the last event that has it counts.  Events without a text,
    such as those that begin or end a stream, are none of the answer.
    """

    def __init__(self, paths: ReplyPaths):
        self.first_at: float | None = None
        self._places = {key: parse_path(path) for key, path in _places(paths).items()}
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._begun: list[str] = []
        self._last_at = 0.0
        self._data: list[str] = []
        self._name = ""
        self._texts: list[str] = []
        self._found: dict[str, Any] = {}
        self._raw = bytearray()

    def feed(self, chunk: bytes, at: float) -> None:
        """Take a piece.

        Raises:
            ReplyFault: it is not UTF-8, no JSON, or the event of an error.
        """
        self._raw += chunk[: SHOWN_BYTES + 1 - len(self._raw)] if len(self._raw) <= SHOWN_BYTES else b""
        text = _decoded(self._decoder, chunk)
        self._begun.append(text)
        if "\n" in text or "\r" in text:
            self._split(at)

    def _split(self, at: float) -> None:
        begun = "".join(self._begun)
        # a carriage return at the end may be half of a line end
        whole = begun[:-1] if begun.endswith("\r") else begun
        *lines, rest = _LINE_END.split(whole)
        self._begun = [rest + begun[len(whole) :]]
        for line in lines:
            self._take(line, at)
        self._last_at = at

    def given(self) -> Mapping[str, Any]:
        """Give the texts of all events, and what else there was.

        Raises:
            ReplyFault: no event has a text.
        """
        self._begun.append("\n\n")  # servers leave out the blank line behind the last event
        self._split(self._last_at)
        if not self._texts:
            raise ReplyFault(f"no event of the stream has the text; it begins: {excerpt(bytes(self._raw))}")
        return _plain({**self._found, "text": "".join(self._texts)})

    def _take(self, line: str, at: float) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif not line:
            data, name = "\n".join(self._data), self._name
            self._data, self._name = [], ""
            if data and data != "[DONE]":
                self._event(name, data, at)

    def _event(self, name: str, data: str, at: float) -> None:
        if name == "error":
            raise ReplyFault(f"the stream has an error: {excerpt(data.encode(errors='replace'))}")
        event = _parsed(data.encode(errors="replace"))
        for key, path in self._places.items():
            try:
                value = find(path, event)
            except PathFault:
                continue
            if key != "text":
                self._found[key] = value
            elif isinstance(value, str):
                self.first_at = at if self.first_at is None and value else self.first_at
                self._texts.append(value)
            elif value is not None:
                raise ReplyFault(f"the text of an event is no text: {excerpt(data.encode(errors='replace'))}")


def _places(paths: ReplyPaths) -> Mapping[str, str]:
    places: dict[str, str] = paths.model_dump(exclude_none=True)
    return places


def _plain(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what is null, and write a text that is another JSON value as JSON."""
    given = {key: value for key, value in found.items() if value is not None or key == "text"}
    text = given["text"]
    if text is None:
        raise ReplyFault("the text of the reply is null")
    return given if isinstance(text, str) else {**given, "text": json.dumps(text, ensure_ascii=False)}


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise ReplyFault(f"the reply is no JSON; it is: {excerpt(raw)}") from None


def _decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, *, is_last: bool = False) -> str:
    try:
        return decoder.decode(chunk, is_last)
    except UnicodeDecodeError:
        raise ReplyFault("the reply is not UTF-8") from None

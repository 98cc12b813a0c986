"""The one message that the events of a reply make up, and when its parts came in."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pytest_llmbench.models.openai.message import (
    NOTHING,
    Piece,
    ReplyFault,
    check_choice,
    filter_of,
    finish_of,
    has_content,
    read_message,
    refuse_error,
)
from pytest_llmbench.models.tool_calls import CallPieces, calls_in, has_tool_calls
from pytest_llmbench.values import CONTENT_FILTER, ToolCall

_PLAIN = frozenset({"content", "role"})
_ALIEN_KEYS = ("content", "text", "response", "message", "output", "output_text", "completion", "generated_text")
"""What may hold a text in an event of another protocol."""


class Transcript:
    """Puts together what events say. Whole messages at a stream's end count once, whatever pieces came before."""

    def __init__(self) -> None:
        self.n_events = 0
        self.first_at: float | None = None
        self.has_choice = False
        self.has_reasoning = False
        self.is_whole = False
        self._has_delta = False
        self.finish_reason: str | None = None
        self.logprobs: list[Mapping[str, Any]] = []
        self.about: dict[str, Any] = {}
        self.unread: list[Any] = []
        self._texts: list[str] = []
        self._times: list[float] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []
        self._wholes: list[Piece] = []
        self._whole_at: float | None = None
        self._filter: str | None = None
        self._pieces = CallPieces()
        self._whole_calls: tuple[ToolCall, ...] = ()

    def take(self, event: Any, at: float) -> None:
        """Take an event of a stream.

        Raises:
            ReplyFault: it is none, or tells of a fault.
        """
        table = as_table(event)
        self.n_events += 1
        if "error" in table or table.get("object") == "error":
            refuse_error(table)
        for choice in first_choices(table):
            if not self._take_text(choice, at):
                self._take_choice(choice, at)
        if "choices" not in table and any(table.get(key) for key in _ALIEN_KEYS):
            self.unread.append(event)
        if not self.about or table.get("usage"):  # the name stands in each event, the usage in the last
            self.take_about(table)

    def _take_text(self, choice: Mapping[str, Any], at: float) -> bool:
        """Take a piece that is nothing but text, as most are, at a third of the cost of any; tells whether it is."""
        delta = choice.get("delta")
        if type(delta) is not dict or len(delta) > len(_PLAIN) or not delta.keys() <= _PLAIN:
            return False
        text = delta.get("content")
        if type(text) is not str or not text or choice.get("finish_reason") or choice.get("logprobs"):
            return False
        if choice.get("error") or choice.get("message"):
            return False
        if self.first_at is None:
            self.first_at = at
        self.has_choice = self._has_delta = True
        self._texts.append(text)
        self._times.append(at)
        return True

    def _take_choice(self, choice: Mapping[str, Any], at: float) -> None:
        check_choice(choice)
        self.has_choice = True
        delta, message = choice.get("delta"), choice.get("message")
        piece = read_message(as_table(delta)) if delta else NOTHING
        if delta and has_tool_calls(delta):
            self._pieces.take(delta)
            self.first_at = at if self.first_at is None else self.first_at
        if not piece and message:
            self._whole_calls = calls_in(as_table(message)) or self._whole_calls
            self._take_message(read_message(as_table(message)), at)
        elif not piece and choice.get("text"):
            piece = read_message(choice)
            if self._has_delta:  # as a message it would be whole, too
                self._take_message(piece, at)
                piece = NOTHING
        else:
            self._has_delta |= bool(piece)
        if piece:
            self.first_at = at if self.first_at is None else self.first_at
            if piece.text:
                self._texts.append(piece.text)
                self._times.append(at)
            self._thoughts.append(piece.reasoning)
            self._refusals.append(piece.refusal)
            self.has_reasoning |= bool(piece.reasoning)
        self._finish(choice)

    def _take_message(self, piece: Piece, at: float) -> None:
        if piece:
            self.is_whole = True
            self.first_at = at if self.first_at is None else self.first_at
            self._whole_at = at if self._whole_at is None else self._whole_at
            self.has_reasoning |= bool(piece.reasoning)
            self._wholes.append(piece)

    def _finish(self, choice: Mapping[str, Any]) -> None:
        logprobs = choice.get("logprobs")
        self.logprobs.extend([logprobs] if isinstance(logprobs, dict) else [])
        self.finish_reason = finish_of(choice) or self.finish_reason
        if finish_of(choice) == CONTENT_FILTER:
            self._filter = filter_of(choice)

    def take_whole(self, choice: Mapping[str, Any]) -> bool:
        """Take the choice of a whole reply; tells whether it has a message.

        Raises:
            ReplyFault: it cannot be read, or tells of a fault.
        """
        check_choice(choice)
        # a text completion has its text in the choice itself
        message = as_table(choice.get("message", choice))
        if "message" not in choice and not has_content(message):
            return False
        self.has_choice = True
        self._whole_calls = calls_in(message)
        self._take_message(read_message(message), 0.0)
        self._finish(choice)
        return True

    def take_about(self, table: Mapping[str, Any]) -> None:
        """Take what an event or a body says of the reply."""
        usage = table.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        details = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
        found = {
            "input_tokens": _count(usage, "prompt_tokens"),
            "output_tokens": _count(usage, "completion_tokens"),
            "reasoning_tokens": _count(details if isinstance(details, dict) else usage, "reasoning_tokens"),
            "server_model": _word(table, "model"),
            "fingerprint": _word(table, "system_fingerprint"),
        }
        self.about.update((key, value) for key, value in found.items() if value is not None)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that were called."""
        return self._pieces.calls or self._whole_calls

    @property
    def has_text(self) -> bool:
        """Whether text came, reasoning in a field aside."""
        return bool(self._wholes or self._texts)

    def text(self) -> str:
        """Give the text so far."""
        return _mended("".join(self._texts) or _united([piece.text for piece in self._wholes]))

    def tail(self, length: int) -> str:
        """Give the end of the text so far, with all of its last piece."""
        found: list[str] = []
        n_left = length
        for text in reversed(self._texts):
            found.append(text)
            n_left -= len(text) if len(found) > 1 else 0
            if n_left <= 0:
                break
        return "".join(reversed(found)) if found else self.text()

    @property
    def reasoning(self) -> str:
        """The reasoning that came in fields of its own."""
        return _mended("".join(self._thoughts) or _united([piece.reasoning for piece in self._wholes]))

    @property
    def own_refusal(self) -> str:
        """The refusal that the model put in a field of its own."""
        return _mended("".join(self._refusals) or _united([piece.refusal for piece in self._wholes]))

    @property
    def refusal(self) -> str | None:
        """Why there is no answer: the filter that stopped it, or the refusal that stands in place of a text."""
        if self._filter is not None:
            return self._filter
        return None if self.text().strip() else self.own_refusal or None

    def at(self, place: int) -> float | None:
        """Tell when the character at a place of the text came in."""
        if not self._texts:
            return self._whole_at
        end = 0
        for text, at in zip(self._texts, self._times, strict=True):
            end += len(text)
            if place < end:
                return at
        return None


def _united(texts: list[str]) -> str:
    """Give the text of whole messages: each may hold all that came before it, or only what is new."""
    texts = [text for text in texts if text]
    is_growing = all(later.startswith(earlier) for earlier, later in pairwise(texts))
    return "".join(texts[-1:] if is_growing else texts)


def _mended(text: str) -> str:
    """Join the halves of characters that were split over two pieces; a half alone becomes a replacement character."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def first_choices(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give the choices that are, or are pieces of, the first one.

    Raises:
        ReplyFault: they are no list of objects.
    """
    choices = table.get("choices")
    if choices is None:
        return []
    if not isinstance(choices, list):
        raise ReplyFault(f"the reply's choices are no list but {json.dumps(choices)[:80]}")
    return [choice for choice in map(as_table, choices) if not choice.get("index")]


def as_table(value: Any) -> dict[str, Any]:
    """Give a value that must be an object.

    Raises:
        ReplyFault: it is none.
    """
    if not isinstance(value, dict):
        raise ReplyFault(f"the reply has {json.dumps(value)[:80]} where an object belongs")
    return value


def _word(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    return value if isinstance(value, str) and value else None


def _count(table: Mapping[str, Any], key: str) -> int | None:
    value = table.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None

"""One message of a server, whole or a piece of a stream: its text, its reasoning, its refusal, its faults.

Servers agree on little beyond `content`: reasoning comes as `reasoning_content` (DeepSeek, vLLM, SGLang),
`reasoning` (OpenRouter, Groq, newer vLLM), `thinking` (Ollama), or as typed parts of the content (Mistral,
Anthropic); a provider's own fault may stand in a choice (OpenRouter), or be an object of its own (FastChat).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pytest_llmbench.values import CONTENT_FILTER

_REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_REASONING_PARTS = ("thinking", "reasoning", "thought", "summary")
_TEXT_KEYS = ("text", "thinking", "reasoning", "summary", "content", "value", "parts")

_BROKEN_FINISHES = frozenset({"error", "abort", "aborted", "network_error", "insufficient_system_resource"})
_FILTERED_FINISHES = frozenset(
    {"content_filter", "content_filtered", "safety", "prohibited_content", "blocklist", "spii", "recitation"}
    | {"sensitive", "guardrail_intervened", "moderation"}
)
_FILTER_CODES = frozenset(
    {"content_filter", "responsibleaipolicyviolation", "content_policy_violation", "moderation_blocked"}
    | {"data_inspection_failed", "contentpolicyviolationerror"}
)
_STATUS_BY_TYPE = MappingProxyType(
    {"BadRequestError": 400, "invalid_request_error": 400, "BadRequest": 400, "NotFoundError": 404}
)


class ReplyFault(Exception):
    """A reply that holds no answer: garbage, cut off, or an error object of the server.

    Args:
        message: what is wrong with it.
        status: the code a server put into an error object, where it is a number.
        is_lasting: the same request would meet the same.
        refusal: the provider's filter, where that is why there is no answer.
    """

    def __init__(
        self, message: str, *, status: int | None = None, is_lasting: bool = False, refusal: str | None = None
    ):
        super().__init__(message)
        self.status = status
        self.is_lasting = is_lasting
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What a message, or a piece of one, says."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""

    def __bool__(self) -> bool:
        return bool(self.text or self.reasoning or self.refusal)


NOTHING = Piece()


def read_message(message: Mapping[str, Any]) -> Piece:
    """Read a message, a delta, or the choice of a text completion.

    Raises:
        ReplyFault: its content is none that can be read.
    """
    content = message.get("content")
    if content is None:
        content = message.get("text")
    piece = Piece(text=content) if isinstance(content, str) else _read_parts(content)
    thought = next((thought for field in _REASONING_FIELDS if (thought := _words(message.get(field)))), "")
    refusal = message.get("refusal")
    return Piece(
        text=piece.text,
        reasoning=thought or piece.reasoning,
        refusal=refusal if isinstance(refusal, str) and refusal else piece.refusal,
    )


def has_content(message: Mapping[str, Any]) -> bool:
    """Tell whether a message has a place for an answer at all, be it empty."""
    return any(key in message for key in ("content", "text", "refusal", "tool_calls", *_REASONING_FIELDS))


def _read_parts(content: Any) -> Piece:
    if content is None:
        return NOTHING
    parts = [content] if isinstance(content, dict) else content
    if not isinstance(parts, list):
        raise ReplyFault(f"the reply's text is no text but {json.dumps(content)[:80]}", is_lasting=True)
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    for part in parts:
        kind = str(part.get("type", "")) if isinstance(part, dict) else ""
        if isinstance(part, dict) and (part.get("thought") is True or any(word in kind for word in _REASONING_PARTS)):
            thoughts.append(_words(part))
        elif kind == "refusal":
            refusals.append(_words(part.get("refusal")))
        else:
            texts.append(_words(part))
    found = Piece(text="".join(texts), reasoning="".join(thoughts), refusal="".join(refusals))
    if not found and any(not _is_empty_text(part) for part in parts):
        raise ReplyFault(f"the reply's text is no text but {json.dumps(content)[:80]}", is_lasting=True)
    return found


def _is_empty_text(part: Any) -> bool:
    return part == "" or (isinstance(part, dict) and any(part.get(key) == "" for key in _TEXT_KEYS))


def _words(value: Any) -> str:
    """Give the text in a value: itself, its parts', or that of the key that holds one."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_words, value))
    if isinstance(value, dict):
        return next((text for key in _TEXT_KEYS if (text := _words(value.get(key)))), "")
    return ""


def check_choice(choice: Mapping[str, Any]) -> None:
    """Check that a choice reports no fault of its provider.

    Raises:
        ReplyFault: it does.
    """
    if choice.get("error"):
        refuse_error(choice)
    finish = choice.get("finish_reason")
    if isinstance(finish, str) and finish.lower() in _BROKEN_FINISHES:
        raise ReplyFault(f'the provider broke off: finish_reason is "{finish}"')


def finish_of(choice: Mapping[str, Any]) -> str | None:
    """Give the finish reason of a choice; that of a filter by one name, whatever its provider calls it."""
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or not finish:
        return None
    return CONTENT_FILTER if finish.lower() in _FILTERED_FINISHES else finish


def filter_of(choice: Mapping[str, Any]) -> str:
    """Name the filter that ended a choice, with what it found where that is reported."""
    finish = str(choice.get("finish_reason"))
    found = _found_by_filter(choice)
    if not found and finish.lower() != CONTENT_FILTER:
        found = [finish]
    return _named(found)


def _named(found: Iterable[str]) -> str:
    names = ", ".join(dict.fromkeys(found))
    return f"content filter ({names})" if names else "content filter"


def _found_by_filter(table: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for key in ("content_filter_results", "content_filter_result"):
        results = table.get(key)
        for name, result in results.items() if isinstance(results, dict) else ():
            if isinstance(result, dict) and (result.get("filtered") is True or result.get("detected") is True):
                found.append(str(name))
    return found


def refusal_of(body: Any) -> str | None:
    """Name the content filter by which an error object explains itself; None if it is none."""
    error = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    inner = error.get("innererror") or error.get("inner_error") or {}
    inner = inner if isinstance(inner, dict) else {}
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("reasons"), list) and "flagged_input" in metadata:
        return _named(map(str, metadata["reasons"]))  # OpenRouter
    found = [*_found_by_filter(error), *_found_by_filter(inner)]
    codes = {str(code).lower() for code in (error.get("code"), error.get("type"), inner.get("code"))}
    return _named(found) if found or codes & _FILTER_CODES else None


def refuse_error(table: Mapping[str, Any]) -> None:
    """Check that an object is no error, in OpenAI's form or that of FastChat and old vLLM.

    Raises:
        ReplyFault: it is one.
    """
    error = table.get("error")
    if not error and table.get("object") == "error":
        error = table
    if not error:
        return
    details = error if isinstance(error, dict) else {}
    status = _status(details.get("code")) or _status(details.get("status"))
    if status is None:
        status = _STATUS_BY_TYPE.get(str(details.get("type")))
    raise ReplyFault(
        server_message(table) or "an error without a message", status=status, refusal=refusal_of({"error": error})
    )


def _status(code: Any) -> int | None:
    if isinstance(code, str) and code.isdecimal() and len(code) <= 6:
        code = int(code)
    if not isinstance(code, int) or isinstance(code, bool):
        return None
    return code // 100 if 10_000 <= code < 60_000 else code  # FastChat's 40303 is a 403


def server_message(body: Any) -> str:
    """Find the short message in the error body of a server: OpenAI's form, FastAPI's, or plain text."""
    for key in ("error", "message", "detail"):
        if isinstance(body, dict) and body.get(key):
            body = body[key]
    return body if isinstance(body, str) else json.dumps(body) if body else ""

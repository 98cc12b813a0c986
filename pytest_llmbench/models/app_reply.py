"""What an application gives for one request: a text, or a table of the text and what it knows beside it.

Both providers of applications read it here: the values a Python function returns, and those found in an HTTP reply.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.tool_calls import tool_call
from pytest_llmbench.models.validation import NotNegative, chief_error, describe_error, kept
from pytest_llmbench.values import Answer, Json

_Tokens = Annotated[int, Field(ge=0), kept(int)]
_Words = Annotated[str, Field(strict=True)]  # or bytes would be taken for text


class GivenCall(Strict):
    """One tool an application called. Arguments are a table, or the text that should have been one."""

    name: Annotated[str, Field(strict=True, min_length=1)]
    arguments: dict[str, object] | _Words = Field(default_factory=dict)


class AppReply(Strict):
    """The table an application may give instead of a text."""

    text: _Words
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    cost_usd: NotNegative | None = None
    context: tuple[_Words, ...] = ()
    tools: tuple[GivenCall, ...] = ()
    ttft_s: NotNegative | None = None
    data: dict[str, object] = Field(default_factory=dict)


class AppReplyFault(Exception):
    """What an application gave is no answer. Its name belongs before the message."""


def answer_of(given: object, kind: str = "dict") -> Answer:
    """Make an answer of what an application gave: a text, or a table with the keys of `AppReply`.

    Args:
        given: by the application.
        kind: what messages call a table.

    Raises:
        AppReplyFault: it is neither.
    """
    if isinstance(given, str):
        return Answer(text=whole_characters(given))
    if not isinstance(given, Mapping):
        raise AppReplyFault(f"gave {kind_of(given)}; it must give a text, or a dict with a text")
    try:
        reply = AppReply.model_validate(dict(given))
    except ValidationError as fault:
        raise AppReplyFault(f"gave a wrong {kind}: {describe_error(chief_error(fault), AppReply)}") from None
    return Answer(
        text=whole_characters(reply.text),
        input_tokens=reply.input_tokens,
        output_tokens=reply.output_tokens,
        ttft_s=reply.ttft_s,
        tool_calls=tuple(tool_call(call["name"], call["arguments"]) for call in _plain(reply, {"tools"})["tools"]),
        cost_usd=reply.cost_usd,
        app=_beside(reply),
    )


def _beside(reply: AppReply) -> Mapping[str, Json]:
    plain = _plain(reply, {"context", "data"})
    return {key: value for key, value in plain.items() if value}


def _plain(reply: AppReply, names: set[str]) -> Mapping[str, Any]:
    found = reply.model_dump(include=names)
    try:
        plain: Mapping[str, Any] = json.loads(whole_characters(json.dumps(found, allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as fault:
        raise AppReplyFault(f"gave beside its text what cannot be written as JSON: {fault}") from None
    return plain


def whole_characters(text: str) -> str:
    """Give a text that can be written as UTF-8: half a character becomes a replacement character."""
    if text.isascii():
        return str(text)  # a text of another class becomes a plain one
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def kind_of(value: object) -> str:
    """Name the kind of a value, as an error message needs it."""
    return "None" if value is None else f"a value of type {type(value).__name__}"

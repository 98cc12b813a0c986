"""What one request says to a server that speaks OpenAI's protocol, in the body of its POST."""

import json
import re
from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.logprobs import LONGEST_LABEL, TOP_LOGPROBS, TOP_LOGPROBS_OF_COMPLETIONS
from pytest_llmbench.models.presets import preset_of
from pytest_llmbench.values import PromptStyle, Request, Sampling

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
"""The paths of the APIs, below the base URL."""


def style_of(entry: OpenAIEntry) -> PromptStyle:
    """Tell which prompts an entry's API takes."""
    return PromptStyle.CHAT if entry.api == "chat" else PromptStyle.COMPLETION


class Extra(StrEnum):
    """What not every server knows, and a request can do without; the word by which servers blame it."""

    USAGE = "stream_options"
    SCHEMA = "response_format"
    LOGPROBS = "logprobs"


def extras_of(entry: OpenAIEntry, request: Request) -> frozenset[Extra]:
    """Give the extras that a request would like; what the entry sets itself is not ours to leave out."""
    wanted = {
        Extra.USAGE: entry.stream,
        Extra.SCHEMA: request.reply_schema is not None,
        Extra.LOGPROBS: bool(request.labels),
    }
    refused = preset_of(entry.provider).refuses
    return frozenset(
        extra
        for extra, is_wanted in wanted.items()
        if is_wanted and extra not in entry.extra_body and extra not in refused
    )


def sends_stop(entry: OpenAIEntry, request: Request) -> bool:
    """Return whether the stop strings are sent to a server.

    A chat model may reason, and a server that stops within the reasoning gives no answer; so there they are looked
    for here, behind the reasoning.  Entry and prompt style decide alone, so that all requests of a run are alike.
    """
    is_wanted = request.prompt.style is PromptStyle.COMPLETION or entry.reasoning == "none"
    return is_wanted and "stop" not in entry.omit


def request_body(entry: OpenAIEntry, request: Request) -> dict[str, Any]:
    """Give what is sent for a request that is to be answered in words, without extras and not streamed."""
    sampling, prompt = request.sampling, request.prompt
    optional = {
        "top_p": sampling.top_p,
        "stop": (list(sampling.stop) or None) if sends_stop(entry, request) else None,
        "seed": sampling.seed,
    }
    limits = {entry.max_tokens_field: sampling.most_tokens, "temperature": sampling.temperature}
    asked: dict[str, Any] = {"prompt": prompt.text}
    if prompt.style is PromptStyle.CHAT:
        asked = {"messages": [{"role": message.role, "content": message.content} for message in prompt.messages]}
    if prompt.tools:
        asked["tools"] = [tool.definition for tool in prompt.tools]
    return {
        "model": entry.model,
        **asked,
        **{key: value for key, value in {**limits, **optional}.items() if value is not None and not _omits(entry, key)},
        **entry.extra_body,
    }


def _omits(entry: OpenAIEntry, key: str) -> bool:
    return (key if key != entry.max_tokens_field else "max_tokens") in entry.omit


def sent_body(entry: OpenAIEntry, request: Request, extras: Collection[Extra]) -> dict[str, Any]:
    """Give what is sent for a request, with these extras, streamed where the entry says so."""
    found: dict[str, Any] = {"stream": True} if entry.stream else {}
    if Extra.USAGE in extras:
        found["stream_options"] = {"include_usage": True}
    if Extra.SCHEMA in extras:
        schema = {"name": "reply", "strict": True, "schema": request.reply_schema}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    if Extra.LOGPROBS in extras and entry.api == "chat":
        found |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    elif Extra.LOGPROBS in extras:
        found["logprobs"] = TOP_LOGPROBS_OF_COMPLETIONS if entry.base_url is None else TOP_LOGPROBS
    return {**request_body(entry, _picking_label(request) if request.picks_label else request), **found}


def _picking_label(request: Request) -> Request:
    """Have a few tokens written greedily: their likeliest others tell."""
    return replace(request, sampling=Sampling(max_tokens=most_output_tokens(request), seed=request.sampling.seed))


def most_output_tokens(request: Request) -> int:
    """Give how many tokens are written for a request at most; for a label as many as the longest can have."""
    if not request.picks_label:
        return request.sampling.most_tokens
    longest = max((len(label) for label in request.labels), default=0) + 1
    return min(LONGEST_LABEL, longest)


_REFUSING = re.compile(
    r"unsupported|not (?:be )?support|does not support|unknown|unrecognized|not allowed|not permitted|extra_forbidden"
    r"|deprecated|unexpected",
    re.IGNORECASE,
)


def way_around(message: str) -> str:
    """Name the keys of an entry that leave out the parameters a server refuses by its words; empty if it names none."""
    if not _REFUSING.search(message):
        return ""
    keys = ("max_tokens", "temperature", "top_p", "stop", "seed")
    refused = [key for key in keys if re.search(rf"(?<![\w-]){key}(?![\w-])", message)]
    ways = []
    if "max_tokens" in refused and "max_completion_tokens" in message:
        refused.remove("max_tokens")
        ways.append('max_tokens_field = "max_completion_tokens"')
    if refused:
        ways.insert(0, f"omit = {json.dumps(refused)}")
    return f"; write {' and '.join(ways)} in its entry" if ways else ""


def check_body(entry: OpenAIEntry) -> None:
    """Check what an entry adds to the body of its requests.

    Raises:
        UsageFault: it cannot be sent, or would change what is asked.
    """
    ours = {"model": "model", "messages": "the suite", "prompt": "the suite", "stream": "stream", "n": "--llm-samples"}
    for key in sorted(ours.keys() & entry.extra_body.keys()):
        raise UsageFault(f'Model "{entry.model}" sets {key} in extra_body; leave it out, it comes from {ours[key]}.')
    try:
        json.dumps(entry.extra_body, allow_nan=False)
    except (TypeError, ValueError) as fault:
        raise UsageFault(
            f'Model "{entry.model}" has a value in extra_body that JSON cannot hold ({fault}); write it as text.'
        ) from None

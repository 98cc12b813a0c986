"""What one request says to a server that speaks OpenAI's protocol, in the body of its POST."""

import json
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.values import PromptStyle, Request

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
"""The paths of the APIs, below the base URL."""


def style_of(entry: OpenAIEntry) -> PromptStyle:
    """Tell which prompts an entry's API takes."""
    return PromptStyle.CHAT if entry.api == "chat" else PromptStyle.COMPLETION


def request_body(entry: OpenAIEntry, request: Request) -> dict[str, Any]:
    """Give what is sent for a request, but for how the answer is to come back (streamed or not)."""
    sampling, prompt = request.sampling, request.prompt
    optional = {
        "top_p": sampling.top_p,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
    }
    asked: dict[str, Any] = {"prompt": prompt.text}
    if prompt.style is PromptStyle.CHAT:
        asked = {"messages": [{"role": message.role, "content": message.content} for message in prompt.messages]}
    return {
        "model": entry.model,
        **asked,
        entry.max_tokens_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        **{key: value for key, value in optional.items() if value is not None},
        **entry.extra_body,
    }


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

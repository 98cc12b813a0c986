"""The JSON of a prompt: a text, a list of messages, or an object of the messages and what goes with them."""

from dataclasses import dataclass
from typing import TypeAlias

from pytest_llmbench.values import Json, Message, Prompt, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptWithTools:
    """Messages with tools, as they stand in the JSON."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()


WrittenPrompt: TypeAlias = str | tuple[Message, ...] | PromptWithTools


def prompt_to_json(prompt: Prompt) -> Json:
    """Give a prompt as it is sent."""
    if prompt.text is not None:
        return prompt.text
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    if not prompt.tools:
        return messages
    return {"messages": messages, "tools": [tool.definition["function"] for tool in prompt.tools]}


def prompt_from_json(found: WrittenPrompt) -> Prompt:
    """Read what `prompt_to_json` gave."""
    if isinstance(found, str):
        return Prompt(text=found)
    if isinstance(found, PromptWithTools):
        return Prompt(messages=found.messages, tools=found.tools)
    return Prompt(messages=found)

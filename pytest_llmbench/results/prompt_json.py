"""The JSON of a prompt: a text, a list of messages, or an object of the messages and what goes with them."""

from dataclasses import dataclass
from typing import TypeAlias

from pytest_llmbench.values import Json, Message, Prompt, Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePrompt:
    """Messages with what goes with them, as they stand in the JSON."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    turns: tuple[str, ...] = ()


WrittenPrompt: TypeAlias = str | tuple[Message, ...] | WholePrompt


def prompt_to_json(prompt: Prompt) -> Json:
    """Give a prompt as it is sent."""
    if prompt.text is not None:
        return prompt.text
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    tools = [tool.definition["function"] for tool in prompt.tools]
    beside: dict[str, Json] = {"tools": tools, "turns": list(prompt.turns)}
    given = {key: value for key, value in beside.items() if value}
    return {"messages": messages, **given} if given else messages


def prompt_from_json(found: WrittenPrompt) -> Prompt:
    """Read what `prompt_to_json` gave."""
    if isinstance(found, str):
        return Prompt(text=found)
    if isinstance(found, WholePrompt):
        return Prompt(messages=found.messages, tools=found.tools, turns=found.turns)
    return Prompt(messages=found)

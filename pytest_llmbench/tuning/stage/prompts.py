"""The prompt and the answer of a row, in the values of a run."""

from typing import Any

from pytest_llmbench.values import Message, Prompt


def prompt_of(given: Any) -> Prompt:
    """Make a prompt of a row's, as a run would have it."""
    if isinstance(given, str):
        return Prompt(text=given)
    return Prompt(messages=tuple(Message(role=message["role"], content=message["content"]) for message in given))


def text_of(given: Any) -> str:
    """Give the text of an answer, which stands by itself or in a message."""
    return given if isinstance(given, str) else str(given[-1]["content"])

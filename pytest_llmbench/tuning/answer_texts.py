"""The text of an answer in what trainers hand over: messages, special tokens, what a run would have cut off."""

from collections.abc import Iterable
from typing import Any

from pytest_llmbench.models.reasoning import AUTO, separate
from pytest_llmbench.models.stops import cut_at_stop

ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "</s>", "<|end_of_text|>")
"""Tokens that end an answer, in texts that keep special tokens."""


def text_of(completion: Any) -> str:
    """Give the text of a completion: itself, or that of the last message, its text parts joined."""
    if isinstance(completion, list | tuple):
        completion = completion[-1] if completion else ""
    if isinstance(completion, dict):
        completion = completion.get("content")
    if isinstance(completion, list | tuple):
        return "".join(str(part.get("text") or "") for part in completion if isinstance(part, dict))
    return completion if isinstance(completion, str) else ""


def cut_at_end(text: str) -> str:
    """Cut a text at its first end token."""
    return text[: min((place for place in map(text.find, ENDS) if place >= 0), default=len(text))]


def without_what_a_run_cuts(text: str, stop: Iterable[str]) -> str:
    """Give an answer as a run grades it: cut at the suite's stop strings, for trainers know none, without reasoning.

    Args:
        text: what the model wrote.
        stop: the strings, looked for behind the reasoning.
    """
    cut = cut_at_stop(text, stop, AUTO)
    return separate(text if cut is None else cut, AUTO).text

"""Read the reply of a judge model: leniently around its JSON object, strictly within it.

Fences and prose around the object are passed over.  What cannot be used is an error of the judge, and no grade.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.values import CUT_OFF, Answer, AnswerError

_LONGEST_REPLY = 50_000

Vote = TypeVar("Vote")


class UnreadableReply(ValueError):
    """A reply that cannot be used; the message gives the reason."""


class Undecided(Exception):
    """No majority of all votes decides; the message names the decision."""


def read_votes(
    replies: Sequence[Answer | AnswerError], read: Callable[[str], Vote], *, asked: int
) -> tuple[list[Vote], list[str]]:
    """Read the replies about one answer; gives the votes, and why others are none.

    Args:
        replies: a vote each.
        read: reads one, and raises `UnreadableReply`.
        asked: how many votes were wanted.
    """
    votes: list[Vote] = []
    faults: list[str] = []
    for number, reply in enumerate(replies, start=1):
        try:
            votes.append(_read(reply, read))
        except UnreadableReply as fault:
            faults.append(f"vote {number}: {fault}" if asked > 1 else str(fault))
    return votes, faults


def _read(reply: Answer | AnswerError, read: Callable[[str], Vote]) -> Vote:
    if isinstance(reply, AnswerError):
        raise UnreadableReply(reply.cause.partition("\n")[0])
    try:
        return read(reply.text)
    except UnreadableReply as fault:
        if reply.finish_reason == CUT_OFF:
            raise UnreadableReply(f"{fault}; it was cut off, give the judge more max_tokens") from None
        raise


def no_grade(faults: Sequence[str]) -> str:
    """Explain why a judge's replies make no grade."""
    return f"the judge gave no grade: {'; '.join(faults) or 'it was not asked'}"


def is_majority(yes: int, read: int, asked: int, what: str) -> bool:
    """Tell whether so many of the votes are a majority of all that were asked for.

    Raises:
        Undecided: neither these nor the others are.
    """
    needed = asked // 2 + 1
    if yes < needed and read - yes < needed:
        raise Undecided(f"the judge's votes leave it open whether {what}")
    return yes >= needed


def object_with(key: str, reply: str, what: str = "") -> dict[str, Any]:
    """Find the one JSON object with a key in a reply; `what` is how a message calls such an object.

    Raises:
        UnreadableReply: there is none, or several that differ.
    """
    what = what or f"a {key}"
    if not reply.strip():
        raise UnreadableReply("it is empty")
    found: list[dict[str, Any]] = []
    decoder = json.JSONDecoder(object_pairs_hook=_without_twins)
    place = reply.find("{")
    while 0 <= place < _LONGEST_REPLY:
        try:
            entry, place = decoder.raw_decode(reply, place)
        except (ValueError, RecursionError):
            entry, place = None, place + 1
        if isinstance(entry, dict) and key in entry and entry not in found:
            found.append(entry)
        place = reply.find("{", place)
    if len(found) != 1:
        how_many = "several JSON objects" if found else "no JSON object"
        raise UnreadableReply(f'it holds {how_many} with {what}: "{clip(reply, 80)}"')
    return found[0]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)

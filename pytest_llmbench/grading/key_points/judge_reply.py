"""Read what a judge model replied about one answer: leniently around the JSON, strictly within it. Pure functions.

Fences and prose around the object are passed over.  An object that is not JSON, leaves a point out or
names one that does not exist cannot be used: that is an error of the judge, and no grade.

A judge must show what it saw.  A quote that is not in the answer, or that only repeats the task, is no evidence, and
the point is not made, whatever the judge claims.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import regex

from pytest_llmbench.grading.answer_text import MappedText, clip, normalise
from pytest_llmbench.grading.key_points.claims import Claim
from pytest_llmbench.grading.key_points.judge_prompt import PADDINGS, point_keys
from pytest_llmbench.grading.key_points.marks import GRADED_CHARACTERS
from pytest_llmbench.grading.key_points.rubric import KeyPointsCase

_LONGEST_REPLY = 50_000
_ELISION = regex.compile(r"\s*[\[(]?\.{3,}[\])]?\s*")
_EDGES = " \t\n\"'.,;:!?()[]"


class UnreadableReply(ValueError):
    """A reply that cannot be used; the message gives the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """An answer and its task, in which quotes are looked for."""

    original: str
    answer: MappedText
    task: tuple[MappedText, ...]

    @classmethod
    def of(cls, answer: str, task: Sequence[str]) -> Self:
        """Prepare the texts."""
        return cls(
            original=answer,
            answer=MappedText.of(answer, GRADED_CHARACTERS),
            task=tuple(MappedText.of(text, GRADED_CHARACTERS) for text in task),
        )

    def find(self, quote: str, *, is_echo_ok: bool) -> Claim | None:
        """Give where a quote stands in the answer, whatever its case, blanks and emphasis; None if it is no evidence.

        Words left out of a quote ("...") may be any.
        """
        pieces = _pieces(quote)
        span = _span(pieces, self.answer.text)
        if span is None or (not is_echo_ok and any(_span(pieces, text.text) for text in self.task)):
            return None
        start, end = self.answer.place(*span)
        return Claim(start=start, end=end, quote=self.original[start:end])


def _pieces(quote: str) -> tuple[regex.Pattern[str], ...]:
    """Make patterns of a quote, one for each stretch without an elision; none of one without a word."""
    stretches = [piece.strip(_EDGES) for piece in _ELISION.split(MappedText.of(quote, GRADED_CHARACTERS).text)]
    words_of = [r"\s+".join(map(regex.escape, text.split())) for text in stretches if any(map(str.isalnum, text))]
    return tuple(regex.compile(rf"(?<!\w){words}(?!\w)", regex.IGNORECASE) for words in words_of)


def _span(pieces: Sequence[regex.Pattern[str]], text: str) -> tuple[int, int] | None:
    """Give from where to where a text has all pieces, in their order."""
    begin, end = None, 0
    for piece in pieces:
        found = piece.search(text, end)
        if found is None:
            return None
        begin = found.start() if begin is None else begin
        end = found.end()
    return None if begin is None else (begin, end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """The claims of one reply that it shows, None where it finds none or shows none.

    `unfounded` names what it claims without evidence: points by their key, and "contradiction".
    """

    points: tuple[Claim | None, ...]
    contradiction: Claim | None
    padding: str
    unfounded: tuple[str, ...] = ()


def read_vote(reply: str, rules: KeyPointsCase, evidence: Evidence) -> Vote:
    """Read a reply.

    Raises:
        UnreadableReply: it cannot be used.
    """
    found = _object_with_points(reply)
    entries = _points(found["points"], rules)
    unfounded: list[str] = []

    def shown(name: str, is_claimed: object, quote: object, *, is_echo_ok: bool) -> Claim | None:
        if not isinstance(is_claimed, bool):
            raise UnreadableReply(f'of {name} it says neither true nor false: "{clip(json.dumps(is_claimed), 40)}"')
        if not is_claimed:
            return None
        claim = evidence.find(quote if isinstance(quote, str) else "", is_echo_ok=is_echo_ok)
        if claim is None:
            unfounded.append(name)
        return claim

    points = tuple(
        shown(key, entry.get("hit"), entry.get("quote"), is_echo_ok=point.echo_ok)
        for (key, entry), point in zip(entries.items(), rules.points, strict=True)
    )
    contradiction = shown(
        "contradiction", found.get("contradiction"), found.get("contradiction_quote"), is_echo_ok=True
    )
    padding = found.get("padding")
    if not isinstance(padding, str) or padding.lower() not in PADDINGS:
        written = clip(json.dumps(padding), 40)
        raise UnreadableReply(f"its padding is {written}; it must be {', '.join(PADDINGS)}")
    return Vote(points=points, contradiction=contradiction, padding=padding.lower(), unfounded=tuple(unfounded))


def _points(found: object, rules: KeyPointsCase) -> dict[str, Mapping[str, Any]]:
    """Give the entry of each point, by its key and in their order; a point may be called by its name too."""
    if not isinstance(found, dict):
        raise UnreadableReply('its "points" are no object')
    by_name = {
        normalise(point.name).casefold(): key for key, point in zip(point_keys(rules), rules.points, strict=True)
    }
    entries: dict[str, Mapping[str, Any]] = {}
    for name, entry in found.items():
        folded = normalise(name).casefold()
        key = folded if folded in by_name.values() else by_name.get(folded)
        if key is None:
            raise UnreadableReply(f'it names a point that does not exist: "{clip(name, 60)}"')
        if key in entries or not isinstance(entry, dict):
            raise UnreadableReply(f"what it says of {key} is {'there twice' if key in entries else 'no object'}")
        entries[key] = entry
    missing = [key for key in by_name.values() if key not in entries]
    if missing:
        raise UnreadableReply(f"it leaves out {', '.join(missing)}")
    return {key: entries[key] for key in by_name.values()}


def _object_with_points(reply: str) -> dict[str, Any]:
    """Find the one JSON object with points in a reply."""
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
        if isinstance(entry, dict) and "points" in entry and entry not in found:
            found.append(entry)
        place = reply.find("{", place)
    if len(found) != 1:
        what = "no JSON object with points" if not found else "several JSON objects with points"
        raise UnreadableReply(f'it holds {what}: "{clip(reply, 80)}"')
    return found[0]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)

"""Read what a judge model replied about one answer: leniently around the JSON, strictly within it. Pure functions.

Fences and prose around the object are passed over.  An object that is not JSON, leaves a point out or
names one that does not exist cannot be used: that is an error of the judge, and no grade.

A judge must show what it saw.  A quote that is not in the answer, or that only repeats the task, is no evidence, and
the point is not made, whatever the judge claims.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.grading.answer_text import clip, normalise
from pytest_llmbench.grading.judge.evidence import Evidence
from pytest_llmbench.grading.judge.reply import UnreadableReply, object_with
from pytest_llmbench.grading.key_points.claims import Claim
from pytest_llmbench.grading.key_points.judge_prompt import PADDINGS, point_keys
from pytest_llmbench.grading.key_points.rubric import KeyPointsCase


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
    found = object_with("points", reply, "points")
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

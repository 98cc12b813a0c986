"""The plan of a run that may stop early, and where it stopped: the types, and their JSON.

A plan is fixed before the first request.  It stands with its outcome in `llmbench.gate.suites[].stopping`; how many
of the planned cases were asked stands in `llmbench.incomplete`, for readers that know of no gate (docs/json.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

JsonObject = dict[str, Any]

ORDER = "sha256"
"""How cases are ordered: by this digest of the baseline's digest, the suite and the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPlan:
    """When a suite under a role is looked at, and what would stop it.

    `looks` count calls: a call is one sample of one unit (a case, or a cluster of them). `levels` are one-sided, for a
    suite alone; `family` is among how many suites a loss counts. `order_of` is the digest of the baseline's records,
    `units_sha256` of the units. `cases` are the planned ones; cases that the baseline lacks are not among them.
    """

    suite: str
    role: str
    mode: str
    rule: str
    units: int
    samples: int
    looks: tuple[int, ...]
    levels: tuple[float, ...]
    family: int
    margin: float
    order: str = ORDER
    order_of: str
    units_sha256: str
    gates: int | None = None
    """How many gates of the answer store asked in this order, this one among them; None where nobody counted."""
    cases: tuple[str, ...]

    def difference(self, other: "StopPlan") -> str | None:
        """Name the first thing in which two plans differ, with both values if a person can read them; else None."""
        for name, words in _WORDS.items():
            own, others = getattr(self, name), getattr(other, name)
            if own != others:
                is_readable = isinstance(own, str | int | float) and name not in _DIGESTS
                return f"{words} ({others}, now {own})" if is_readable else words
        return None


_WORDS = {
    "mode": "mode",
    "margin": "margin",
    "samples": "number of samples",
    "order_of": "baseline",
    "units": "number of cases or clusters",
    "units_sha256": "choice of cases",
    "looks": "looks",
    "rule": "rule",
    "levels": "levels",
    "family": "number of suites",
}
_DIGESTS = {"order_of", "units_sha256"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Where a suite stopped, or that it went to its end.

    `asked` counts cases; `look` is the number of the look, from 1, None where it is no look (`certain`). `reason` is
    "worse", "no worse", "better", "hopeless", "certain" or "end". `beyond` are the planned cases with an answer that
    came after the look and does not count, `not_asked` those without any.
    """

    plan: StopPlan
    asked: int
    look: int | None
    reason: str
    beyond: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()

    @property
    def is_early(self) -> bool:
        """Whether it was judged before all planned cases were asked."""
        return self.reason != END

    @property
    def is_completed(self) -> bool:
        """Whether the rest was asked after it had stopped."""
        return self.is_early and bool(self.beyond) and not self.not_asked


END = "end"


def stopping_json(stop: Stop) -> JsonObject:
    """Give a stop as it stands in the gate's entry of its suite."""
    plan = asdict(stop.plan)
    for name in ("suite", "role", "cases"):
        del plan[name]
    return {
        **plan,
        "asked": stop.asked,
        "look": stop.look,
        "reason": stop.reason,
        "beyond": list(stop.beyond),
        "not_asked": list(stop.not_asked),
    }


_OF_PLAN = tuple(field.name for field in fields(StopPlan) if field.name not in ("suite", "role", "cases"))


def stops_from_json(gate: object, cases: Mapping[tuple[str, str], Sequence[str]]) -> tuple[Stop, ...]:
    """Read the stops of a run out of its gate.

    Args:
        gate: of the block; anything but what was written there has no stop.
        cases: those of the run with a record, by suite and role.

    Raises:
        ValueError: a stop lacks a field, or has an impossible one.
    """
    suites = gate.get("suites") if isinstance(gate, dict) else None
    found = (entry for entry in (suites if isinstance(suites, list) else ()) if isinstance(entry, dict))
    return tuple(_stop_from_json(entry, cases) for entry in found if isinstance(entry.get("stopping"), dict))


def _stop_from_json(entry: JsonObject, cases: Mapping[tuple[str, str], Sequence[str]]) -> Stop:
    found: JsonObject = entry["stopping"]
    try:
        suite, role = str(entry["suite"]), str(entry["role"])
        values = {name: found[name] for name in _OF_PLAN}
        values |= {"looks": tuple(map(int, found["looks"])), "levels": tuple(map(float, found["levels"]))}
        not_asked, look = tuple(map(str, found["not_asked"])), found["look"]
        known = cases.get((suite, role), ())
        return Stop(
            plan=StopPlan(suite=suite, role=role, cases=(*known, *not_asked), **values),
            asked=int(found["asked"]),
            look=None if look is None else int(look),
            reason=str(found["reason"]),
            beyond=tuple(map(str, found["beyond"])),
            not_asked=not_asked,
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise ValueError(f'"stopping" of suite "{entry.get("suite")}" cannot be read ({fault!r})') from None


def incomplete_of(plans: Iterable[StopPlan], asked: Mapping[tuple[str, str, str], int]) -> dict[str, tuple[int, int]]:
    """Count the planned and the asked answers of each suite that was not asked whole, over all its roles.

    Args:
        plans: of a run.
        asked: the number of samples by suite, role and case.
    """
    counts: dict[str, tuple[int, int]] = {}
    for plan in plans:
        planned, answered = counts.get(plan.suite, (0, 0))
        answered += sum(min(asked.get((plan.suite, plan.role, case), 0), plan.samples) for case in plan.cases)
        counts[plan.suite] = planned + len(plan.cases) * plan.samples, answered
    return {suite: (planned, answered) for suite, (planned, answered) in counts.items() if answered < planned}


def incomplete_from_json(found: object) -> dict[str, tuple[int, int]]:
    """Read what was written of `incomplete_of`; what is none of it is left out."""
    entries = found.items() if isinstance(found, dict) else ()
    return {str(suite): (int(pair[0]), int(pair[1])) for suite, pair in entries if _are_counts(pair)}


def _are_counts(found: object) -> bool:
    return isinstance(found, list) and len(found) == 2 and all(isinstance(count, int) for count in found)

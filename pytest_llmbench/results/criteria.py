"""What a grade decides one by one, and a person can be asked about: the checks of an answer, and the points of one.

A grade of a suite without `checks` is one check with the name of its grader.  A check within a combination (`not`,
`any`, `all`) is part of that one.  Files may be foreign.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.results.checks import check_entries
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.values import Json, Outcome

JUDGED_KINDS = frozenset({"rubric"})
"""The kinds of checks that nothing but a judge model decides."""

POINTS = "points"
"""Where the parts of a grade of key points hold them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One decision of a grade: on a check, or on one point of it.

    `kind` is that of the check, or the grader; `passed` is None where the check broke.  `inner_kinds` are those in a
    check that is a combination.  `score` is that of a check, where it has one.
    `judge` is the model that decided it, None where none did.  `is_counted` is False for
    advice.
    """

    check: str
    point: str | None
    kind: str
    passed: bool | None
    inner_kinds: frozenset[str] = frozenset()
    judge: str | None = None
    is_counted: bool = True
    score: float | None = None

    @property
    def grader(self) -> str:
        """What decided it, as it is shown."""
        return self.kind if self.judge is None else f"{self.kind} by {self.judge}"


def criteria(record: Record, sample: Sample) -> tuple[Criterion, ...]:
    """Give what the grade of an answer decides: of each check its points, then the check itself."""
    judge = _text(sample.parts.get("judge"))
    if record.grader != CHECKS:
        passed = sample.outcome is Outcome.PASSED
        alone = Criterion(check=record.grader, point=None, kind=record.grader, passed=passed, judge=judge)
        return (*_points(alone, sample.parts), alone)
    found: list[Criterion] = []
    for entry in check_entries(sample.parts):
        check = Criterion(
            check=str(entry["name"]),
            point=None,
            kind=str(entry.get("kind")),
            passed=_switch(entry.get("passed")),
            inner_kinds=frozenset(_inner_kinds(entry)),
            judge=_judge_of(entry, judge),
            is_counted=entry.get("advice") is not True,
            score=_number(entry.get("score")),
        )
        found += [*_points(check, _mapping(entry.get("parts"))), check]
    return tuple(found)


def check_names(found: Sequence[Criterion]) -> tuple[str, ...]:
    """Name the checks among some criteria."""
    return tuple(dict.fromkeys(one.check for one in found))


def _points(check: Criterion, parts: Mapping[str, Json]) -> Iterator[Criterion]:
    listed = parts.get(POINTS)
    for point in listed if isinstance(listed, list | tuple) else ():
        if isinstance(point, Mapping) and isinstance(point.get("name"), str) and isinstance(point.get("hit"), bool):
            yield replace(check, point=point["name"], passed=point["hit"])


def _inner_kinds(entry: Mapping[str, Json]) -> Iterator[str]:
    for inner in check_entries(entry):
        yield str(inner.get("kind"))
        yield from _inner_kinds(inner)


def _judge_of(entry: Mapping[str, Json], judge: str | None) -> str | None:
    """Name the judge of a check: that of the sample, if the check is judged or its parts hold votes."""
    parts = _mapping(entry.get("parts"))
    is_judged = "votes" in parts or not JUDGED_KINDS.isdisjoint({str(entry.get("kind")), *_inner_kinds(entry)})
    return judge if is_judged else _text(parts.get("judge"))


def _mapping(found: Json) -> Mapping[str, Json]:
    return found if isinstance(found, Mapping) else {}


def _text(found: Json) -> str | None:
    return found if isinstance(found, str) else None


def _number(found: Json) -> float | None:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _switch(found: Json) -> bool | None:
    return found if isinstance(found, bool) else None

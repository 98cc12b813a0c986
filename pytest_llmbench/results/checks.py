"""The checks in the parts of a sample: which failed, and which flipped between two runs. Files may be foreign."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.values import Json

LABEL = "label"
"""The kind of the check for a label, whose details are those of the grader `yes_no`."""


RUBRIC = "rubric"
"""The kind of the check that a judge model decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPart:
    """What became of one check: `passed` is None where it broke, and where it only measures.

    `is_counted` is False for advice; `inner` are the checks that it holds, `parts` further details of its grade.
    """

    name: str
    kind: str
    passed: bool | None
    explanation: str
    is_counted: bool
    is_broken: bool = False
    parts: Mapping[str, Json] = field(default_factory=dict)
    inner: tuple["CheckPart", ...] = ()

    @property
    def is_judged(self) -> bool:
        """Whether a judge decided it, so that its explanation is worth reading where it passed, too."""
        return self.kind == RUBRIC


def check_parts(parts: Mapping[str, Json]) -> tuple[CheckPart, ...]:
    """Give the checks of a grade; none where it has no such parts."""
    return tuple(map(_part, check_entries(parts)))


def check_entries(parts: Mapping[str, Json]) -> tuple[Mapping[str, Json], ...]:
    """Give the checks of a grade as they stand in its parts; none where it has no such parts."""
    listed = parts.get(CHECKS)
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        return ()
    return tuple(entry for entry in listed if isinstance(entry, Mapping) and isinstance(entry.get("name"), str))


def label_parts(parts: Mapping[str, Json]) -> Mapping[str, Json]:
    """Give the details of the first check for a label; nothing where there is none."""
    listed = parts.get(CHECKS)
    entries = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
    found = (entry.get("parts") for entry in entries if isinstance(entry, Mapping) and entry.get("kind") == LABEL)
    return next((of_check for of_check in found if isinstance(of_check, Mapping)), {})


def _part(entry: Mapping[str, Json]) -> CheckPart:
    passed, parts = entry.get("passed"), entry.get("parts")
    explanation = entry.get("explanation") or entry.get("error") or ""
    return CheckPart(
        name=str(entry["name"]),
        kind=str(entry.get("kind") or ""),
        passed=passed if isinstance(passed, bool) else None,
        explanation=str(explanation).strip().split("\n", 1)[0],
        is_counted=entry.get("advice") is not True,
        is_broken=bool(entry.get("error")),
        parts=parts if isinstance(parts, Mapping) else {},
        inner=check_parts(entry),
    )


def has_split_votes(parts: Mapping[str, Json]) -> bool:
    """Tell whether the votes of a judge disagree, on the answer or on one of its checks."""
    return parts.get("split") is True or any(map(_is_split, check_parts(parts)))


def _is_split(check: CheckPart) -> bool:
    return check.parts.get("split") is True or any(map(_is_split, check.inner))


def deciding_parts(parts: Mapping[str, Json]) -> Mapping[str, Json]:
    """Give the details of the first check that failed and has some; those of the grade itself without checks."""
    checks = check_parts(parts)
    if not checks:
        return parts
    return next((found for check in checks if not check.passed for found in _details(check)), {})


def _details(check: CheckPart) -> Iterator[Mapping[str, Json]]:
    if check.parts:
        yield check.parts
    for inner in check.inner:
        if not inner.passed:
            yield from _details(inner)


def flipped(old: Sample | None, new: Sample | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the names of the checks that fail in the new sample and passed in the old one, and the other way round."""
    if old is None or new is None:
        return (), ()
    before = {check.name: check.passed for check in check_parts(old.parts)}
    pairs = [(check.name, before.get(check.name), check.passed) for check in check_parts(new.parts)]
    lost = tuple(name for name, was, now in pairs if was is True and now is False)
    return lost, tuple(name for name, was, now in pairs if was is False and now is True)


def pass_counts(records: Sequence[Record]) -> dict[tuple[str, str], dict[str, tuple[int, int]]]:
    """Count by suite and role, and by check, the answers that passed it and those that it was tried on."""
    found: dict[tuple[str, str], dict[str, tuple[int, int]]] = {}
    for record in records:
        for sample in record.answered:
            for check in check_parts(sample.parts):
                of_suite = found.setdefault((record.shown_suite, record.role), {})
                passed, tried = of_suite.get(check.name, (0, 0))
                of_suite[check.name] = (passed + bool(check.passed), tried + (check.passed is not None))
    return found


def broken_advice(records: Sequence[Record]) -> dict[tuple[str, str, str], tuple[int, int, str]]:
    """Count the answers on which a check of advice broke, and all it was tried on, and give the first cause.

    The keys are suite, role and check; a check that never broke has none.
    """
    found: dict[tuple[str, str, str], tuple[int, int, str]] = {}
    for record in records:
        for sample in record.answered:
            for check in check_parts(sample.parts):
                if not check.is_counted:
                    key = (record.shown_suite, record.role, check.name)
                    broken, of, why = found.get(key, (0, 0, ""))
                    found[key] = broken + check.is_broken, of + 1, why or check.is_broken * check.explanation
    return {key: counts for key, counts in found.items() if counts[0]}


def is_same_grader(old: str, new: str) -> bool:
    """Tell whether two records of one case were graded alike, by the names of their graders.

    Checks and a grader are, where their cases have the same digest: the one is short for the other.
    """
    return old == new or CHECKS in (old, new)

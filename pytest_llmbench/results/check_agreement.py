"""How far graders agree with people check by check, and point by point. Pure functions.

An annotation counts for the check or the point that it names.  One of the whole answer counts for the check where the
case has no other, and never for one of several; one that names a point and no check is about a point of the only check.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from pytest_llmbench.results.annotations import Annotation, answer_key
from pytest_llmbench.results.criteria import Criterion, check_names, criteria
from pytest_llmbench.results.grader_agreement import (
    Findings,
    GraderAgreement,
    Pair,
    agreement_of,
    kappa_of_clusters,
    majority,
    measure_agreement,
    ungraded_keys,
)
from pytest_llmbench.results.length_bias import LengthGroup, length_groups
from pytest_llmbench.results.proposed_minimum import ProposedMinimum, propose
from pytest_llmbench.results.records import Record, Sample

_MEASURED = "similar"
"""The kind of check whose score is a likeness, and that passes from a `min` on."""

_Graded: TypeAlias = tuple[Record, Sample, Criterion]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckAgreement:
    """The agreement on one check of a suite, or on one point of it.

    `is_every_point` is true for all points of a check together; `point` is then None.
    """

    check: str
    point: str | None
    is_every_point: bool
    found: GraderAgreement

    @property
    def label(self) -> str:
        """Name it: the check, and the point or that it is all of them."""
        if self.is_every_point:
            return f"{self.check}, every point"
        return self.check if self.point is None else f'{self.check}, point "{self.point}"'

    @property
    def is_whole_answer(self) -> bool:
        """Whether it is what people found of whole answers, as the agreement without checks has it too."""
        return all(pair.annotation.check is None and pair.annotation.point is None for pair in self.found.pairs)

    @property
    def by_length(self) -> tuple[LengthGroup, ...]:
        """The bias of the grader by the length of the answers."""
        return length_groups(self.found.pairs)

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases on which grader and people disagree, each once."""
        return tuple(dict.fromkeys(pair.record.case for pair in self.found.disagreements))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFindings:
    """The agreement check by check, and the annotations that count for none.

    `several` are of the whole answer to a case with several checks, `unknown` name a check or point that the grade of
    the answer does not have; `rest` counts those of other answers and cases as `Findings` does, and ties.
    `minimums` are proposed for the checks that measure a likeness.
    """

    checks: tuple[CheckAgreement, ...]
    minimums: tuple[ProposedMinimum, ...]
    several: int
    unknown: int
    rest: Findings


def measure_by_check(records: Sequence[Record], annotations: Iterable[Annotation]) -> CheckFindings:
    """Compare what grades decide one by one with the annotations of the same answers."""
    answers = _answers(records)
    cases = {(record.suite, record.case) for record in records}
    ungraded, lost = ungraded_keys(records), Counter[str]()
    about: dict[tuple[str, str, str | None], list[Annotation]] = {}
    for annotation in annotations:
        known = answers.get(annotation.key)
        if known is None:
            is_older = (annotation.suite, annotation.case) in cases
            lost["ungraded" if annotation.key in ungraded else "older" if is_older else "foreign"] += 1
            continue
        names = check_names([criterion for _, _, criterion in known])
        check = annotation.check if annotation.check is not None or len(names) != 1 else names[0]
        if check is None:
            lost["several"] += 1
        elif not any((check, annotation.point) == (one.check, one.point) for _, _, one in known):
            lost["unknown"] += 1
        else:
            about.setdefault((annotation.key, check, annotation.point), []).append(annotation)
    marks = {target: majority(given) for target, given in about.items()}
    pairs = [
        (graded, Pair(record=graded[0], sample=graded[1], annotation=mark, grader_passes=graded[2].passed is True))
        for (key, check, point), mark in marks.items()
        if mark is not None
        for graded in answers[key]
        if (graded[2].check, graded[2].point) == (check, point) and graded[2].passed is not None
    ]
    tied = sum(mark is None for mark in marks.values())
    return CheckFindings(
        checks=tuple(_agreements(pairs, [graded for known in _all(records) for graded in known])),
        minimums=tuple(_minimums(marks, answers)),
        several=lost["several"],
        unknown=lost["unknown"],
        rest=Findings(graders=(), older=lost["older"], foreign=lost["foreign"], tied=tied, ungraded=lost["ungraded"]),
    )


def _minimums(
    marks: Mapping[tuple[str, str, str | None], Annotation | None], answers: Mapping[str, Sequence[_Graded]]
) -> Iterable[ProposedMinimum]:
    """Propose a minimum for each check that measures and was annotated, whether it has one or not."""
    scored: dict[tuple[str, str], list[tuple[float, Annotation]]] = {}
    for (key, check, point), mark in marks.items():
        for record, _, criterion in answers[key] if mark is not None and point is None else ():
            if criterion.check == check and criterion.kind == _MEASURED and criterion.score is not None and mark:
                scored.setdefault((record.suite, check), []).append((criterion.score, mark))
    return (propose(*name, scored[name]) for name in sorted(scored))


def measure_with_checks(records: Sequence[Record], annotations: Sequence[Annotation]) -> Findings:
    """Compare grades with annotations of whole answers, and behind them those of checks, under the name of each."""
    found = measure_agreement(records, annotations)
    checks = (
        replace(one.found, suite=f"{one.found.suite}, {one.label}")
        for one in (measure_by_check(records, annotations).checks if found.of_checks else ())
        if not one.is_whole_answer
    )
    return replace(found, graders=(*found.graders, *checks))


def _all(records: Sequence[Record]) -> list[list[_Graded]]:
    return [
        [(record, sample, criterion) for criterion in criteria(record, sample)]
        for record in records
        for sample in record.answered
    ]


def _answers(records: Sequence[Record]) -> dict[str, list[_Graded]]:
    """Give the decisions on each answer, by its key: one of each grader, as patterns and a judge model may differ."""
    found: dict[str, dict[tuple[str, str | None, str], _Graded]] = {}
    for decisions in _all(records):
        for record, sample, criterion in decisions:
            key = answer_key(record.case_sha256, sample.answer or "")
            found.setdefault(key, {})[criterion.check, criterion.point, criterion.grader] = record, sample, criterion
    return {key: list(decisions.values()) for key, decisions in found.items()}


_Group: TypeAlias = tuple[str, str, str]
"""Suite, check and grader."""


def _group(graded: _Graded) -> _Group:
    record, _, criterion = graded
    return record.suite, criterion.check, criterion.grader


def _agreements(pairs: Sequence[tuple[_Graded, Pair]], graded: Sequence[_Graded]) -> Iterable[CheckAgreement]:
    """Give for each check its own agreement, that on all its points, and those on points that several cases have."""
    groups: dict[_Group, list[tuple[_Graded, Pair]]] = {}
    for one in pairs:
        groups.setdefault(_group(one[0]), []).append(one)
    decided: dict[_Group, list[_Graded]] = {}
    for decision in graded:
        decided.setdefault(_group(decision), []).append(decision)
    for group in sorted(groups):
        own, everything = groups[group], decided[group]
        by_point: dict[str | None, list[tuple[_Graded, Pair]]] = {}
        for one in own:
            by_point.setdefault(one[0][2].point, []).append(one)
        if None in by_point:
            yield _agreement(by_point.pop(None), everything, None)
        if len(by_point) > 1:
            yield _every_point([one for of_point in by_point.values() for one in of_point], everything)
        cases = _cases_of_points(everything)
        for point, of_point in by_point.items():
            if len(by_point) == 1 or len(cases[point]) > 1:
                yield _agreement(of_point, everything, point)


def _cases_of_points(decided: Sequence[_Graded]) -> Mapping[str | None, set[str]]:
    found: dict[str | None, set[str]] = {}
    for record, _, criterion in decided:
        found.setdefault(criterion.point, set()).add(record.case)
    return found


def _agreement(
    pairs: Sequence[tuple[_Graded, Pair]], decided: Sequence[_Graded], point: str | None, *, is_every: bool = False
) -> CheckAgreement:
    record, _, criterion = pairs[0][0]
    passes = [
        (other.role, one.passed)
        for other, _, one in decided
        if one.passed is not None and (one.point is not None if is_every else one.point == point)
    ]
    return CheckAgreement(
        check=criterion.check,
        point=point,
        is_every_point=is_every,
        found=agreement_of(record.suite, criterion.grader, [pair for _, pair in pairs], passes),
    )


def _every_point(pairs: Sequence[tuple[_Graded, Pair]], decided: Sequence[_Graded]) -> CheckAgreement:
    """Sum up all points of a check; those of one answer are no independent observations, so it is drawn whole."""
    made = _agreement(pairs, decided, None, is_every=True)
    clusters: dict[str, list[tuple[bool, bool]]] = {}
    for pair in made.found.pairs:
        clusters.setdefault(pair.annotation.key, []).append((pair.people_pass, pair.grader_passes))
    interval = kappa_of_clusters(list(clusters.values()))
    return replace(made, found=replace(made.found, kappa_interval=interval))

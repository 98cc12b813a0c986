from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

import factories
from pytest_llmbench.report.terminal.trust import check_lines, trust_lines
from pytest_llmbench.results.annotations import Annotation, Drawn, Mark, answer_key, answer_sha256
from pytest_llmbench.results.calibrated_checks import uncalibrated_suites
from pytest_llmbench.results.check_agreement import CheckAgreement, measure_by_check, measure_with_checks
from pytest_llmbench.results.criteria import criteria
from pytest_llmbench.results.grader_agreement import kappa_interval, kappa_of_clusters, measure_agreement
from pytest_llmbench.results.length_bias import length_groups
from pytest_llmbench.results.records import Record, SuiteInfo
from pytest_llmbench.values import Json, Outcome, Trust


def entry(name: str, passed: bool | None, kind: str = "contains", **others: Json) -> dict[str, Json]:
    return {"name": name, "kind": kind, "passed": passed, "score": None, "weight": 1, **others}


def record(case: int, *checks: Mapping[str, Json], words: int = 1, **others: Json) -> Record:
    passed = all(check["passed"] for check in checks)
    parts: dict[str, Json] = {"checks": [dict(check) for check in checks], **others}
    sample = factories.sample(float(passed), " ".join([f"answer-{case}"] * words), parts=parts)
    names = {"suite": "tickets", "case_sha256": f"digest-{case}", "grader": "checks"}
    return factories.record(f"case-{case}", sample, **names)


def mark(of: Record, passes: bool, check: str | None = None, point: str | None = None, by: str = "ann") -> Annotation:
    answer = of.samples[0].answer or ""
    return Annotation(
        key=answer_key(of.case_sha256, answer),
        case=of.case,
        suite=of.suite,
        answer_sha256=answer_sha256(answer),
        answer=answer,
        mark=Mark.PASS if passes else Mark.FAIL,
        by=by,
        at="",
        drawn=Drawn.RANDOM,
        check=check,
        point=point,
    )


TABLE = [(True, True)] * 40 + [(True, False)] * 10 + [(False, True)] * 20 + [(False, False)] * 30
"""Of 100 answers what people give and what the grader gives: kappa 0.40, TPR 40/50, TNR 30/50."""


def graded_table(check: str = "tone", kind: str = "rubric") -> tuple[list[Record], list[Annotation]]:
    records = [
        record(number, entry(check, grader, kind), entry("schema", number % 2 == 0, "json"))
        for number, (_, grader) in enumerate(TABLE)
    ]
    return records, [mark(of, people, check) for of, (people, _) in zip(records, TABLE, strict=True)]


def by_name(found: Sequence[CheckAgreement]) -> dict[tuple[str, str | None], CheckAgreement]:
    return {(one.check, "*" if one.is_every_point else one.point): one for one in found}


def test_a_check_has_the_figures_of_its_table() -> None:
    """By hand: chance agrees on 0.5 x 0.6 + 0.5 x 0.4 = 0.5, so kappa is (0.7 - 0.5) / 0.5; the other check has none."""
    records, marks = graded_table()

    (tone,) = measure_by_check(records, marks).checks

    assert (tone.check, tone.found.grader, tone.found.n, tone.found.rate) == ("tone", "rubric", 100, 0.7)
    assert tone.found.kappa == pytest.approx(0.4)
    assert (tone.found.tpr, tone.found.tnr) == (0.8, 0.6)
    # Rogan and Gladen: (0.6 + 0.6 - 1) / (0.8 + 0.6 - 1)
    assert tone.found.pass_rates == (("m", 0.6),)
    assert tone.found.corrected(0.6) == pytest.approx(0.5)


def test_an_annotation_counts_for_what_it_names_alone() -> None:
    """One of the whole answer is none of several checks; one of a check that is not there is counted and left out."""
    two = record(1, entry("tone", True), entry("schema", False))

    found = measure_by_check([two], [mark(two, True), mark(two, False, "tone"), mark(two, True, "other")])

    assert (found.several, found.unknown) == (1, 1)
    assert [(one.check, one.found.n, one.found.rate) for one in found.checks] == [("tone", 1, 0.0)]


def test_a_whole_answer_is_its_only_check() -> None:
    """Of a case with one check, or with a grader, the mark of the answer counts for that."""
    alone = record(1, entry("tone", True))
    plain = factories.record("case-2", factories.sample(0.0, "no"), suite="clickbait", grader="yes_no")

    found = measure_by_check([alone, plain], [mark(alone, True), mark(plain, True)])

    assert [(one.found.suite, one.check, one.found.rate) for one in found.checks] == [
        ("clickbait", "yes_no", 0.0),
        ("tickets", "tone", 1.0),
    ]


def test_an_annotation_of_a_check_is_none_of_the_whole_answer() -> None:
    """Without --by-check it is left out, and the line names the way to count it."""
    two = record(1, entry("tone", True), entry("schema", False))

    findings = measure_agreement([two], [mark(two, True, "tone")])

    assert findings.graders == ()
    assert list(trust_lines(findings))[-1] == "Left out: 1 annotation of one check or point; --by-check counts them."


def explained(case: int, *, sense: bool, word: bool, grader: str = "key_points", **parts: Json) -> Record:
    points: list[Json] = [{"name": "sense", "hit": sense}, {"name": "word", "hit": word}]
    sample = factories.sample(float(sense and word), f"answer {case}", parts={"points": points, **parts})
    names = {"suite": "jokes", "case_sha256": f"digest-{case}", "grader": grader}
    return factories.record(f"case-{case}", sample, **names)


def test_points_are_measured_one_by_one_and_together() -> None:
    """A mark that names a point and no check is about the only check's; the points of all answers are summed up too."""
    records = [explained(number, sense=number < 3, word=number < 1) for number in range(4)]
    marks = [mark(of, True, None, "sense") for of in records] + [
        mark(of, False, "key_points", "word") for of in records
    ]

    found = by_name(measure_by_check(records, marks).checks)

    assert found.keys() == {("key_points", "*"), ("key_points", "sense"), ("key_points", "word")}
    assert found["key_points", "sense"].found.rate == 3 / 4
    assert found["key_points", "word"].found.rate == 3 / 4
    every = found["key_points", "*"].found
    assert (every.n, every.n_answers, every.rate) == (8, 4, 6 / 8)
    assert every.pass_rates == (("m", 4 / 8),)


def test_a_point_of_one_case_is_counted_among_all_points_only() -> None:
    """Most suites have other points in each case: no line a point then, but one line for all."""
    one = explained(1, sense=True, word=True)
    other = factories.record(
        "case-2",
        factories.sample(0.0, "b", parts={"points": [{"name": "bread", "hit": False}]}),
        suite="jokes", case_sha256="digest-2", grader="key_points",
    )  # fmt: skip

    found = measure_by_check([one, other], [mark(one, True, None, "sense"), mark(other, True, None, "bread")]).checks

    assert [(check.is_every_point, check.found.n, check.found.rate) for check in found] == [(True, 2, 0.5)]


def test_the_report_has_checks_behind_whole_answers() -> None:
    """A row each; the only check of a case is the whole answer, which has its row already."""
    two, alone = record(1, entry("tone", True), entry("schema", False)), record(2, entry("tone", True))

    found = measure_with_checks([two, alone], [mark(two, True, "tone"), mark(alone, False)]).graders
    plain = measure_with_checks([two, alone], [mark(alone, False)]).graders

    assert [(one.suite, one.n, one.rate) for one in found] == [("tickets", 1, 0.0), ("tickets, tone", 2, 0.5)]
    assert [(one.suite, one.n) for one in plain] == [("tickets", 1)]


def test_several_people_on_a_check_are_a_majority_of_it() -> None:
    """Ties count for nothing, check by check."""
    two = record(1, entry("tone", True), entry("schema", False))
    marks = [mark(two, True, "tone", by=by) for by in ("ann", "bob")] + [mark(two, False, "tone", by="cid")]
    tied = [mark(two, by == "ann", "schema", by=by) for by in ("ann", "bob")]

    found = measure_by_check([two], [*marks, *tied])

    assert [(one.check, one.found.n, one.found.rate) for one in found.checks] == [("tone", 1, 1.0)]
    assert found.rest.tied == 1


def test_a_check_that_broke_is_compared_with_nobody() -> None:
    """It has no decision that people could agree with, and is no failed one."""
    broken = record(1, entry("tone", None, "rubric"), entry("schema", True))

    assert measure_by_check([broken], [mark(broken, False, "tone")]).checks == ()


def test_annotations_of_answers_without_a_grade_are_counted_as_such() -> None:
    """The answer is the same, and its judge gave no grade that could agree."""
    graded = record(1, entry("tone", True))
    error = replace(graded.samples[0], outcome=Outcome.ERROR, score=None, error="the judge gave no grade")
    ungraded = replace(graded, samples=(error,))

    by_check, whole = (
        measure_by_check([ungraded], [mark(graded, True)]),
        measure_agreement([ungraded], [mark(graded, True)]),
    )

    assert (by_check.rest.ungraded, by_check.rest.older) == (whole.ungraded, whole.older) == (1, 0)
    assert "Left out: 1 annotation of answers that have no grade here." in list(check_lines(by_check))


def test_a_judge_is_part_of_a_checks_grader() -> None:
    """The same check by two judges is two graders; a check that asks none has none."""
    points = entry("points", True, "key_points", parts={"votes": []})
    asked = record(1, entry("tone", True, "rubric"), points, entry("schema", True, "json"), judge="gpt")

    found = [(one.check, one.grader) for one in criteria(asked, asked.samples[0])]

    assert found == [("tone", "rubric by gpt"), ("points", "key_points by gpt"), ("schema", "json")]


def test_a_combination_knows_the_kinds_in_it() -> None:
    """`any` of a pattern and a rubric is decided by a judge too."""
    inner: list[Json] = [entry("contains", False), entry("rubric", True, "rubric")]
    both = record(1, entry("any of contains or rubric", True, "any", checks=inner), judge="gpt")

    (found,) = criteria(both, both.samples[0])

    assert (found.grader, found.inner_kinds) == ("any by gpt", {"contains", "rubric"})


LENGTHS = [
    # (words, people, grader): the short and the middle third alike, of the long third the grader passes two more of 30
    *[(10, True, True)] * 20, *[(10, False, False)] * 10,
    *[(20, True, True)] * 10, *[(20, True, False)] * 10, *[(20, False, True)] * 10,
    *[(40, True, True)] * 15, *[(40, False, True)] * 9, *[(40, False, False)] * 6,
]  # fmt: skip


def test_the_bias_against_length_is_that_of_each_third() -> None:
    """By hand: 20/30 - 20/30, 20/30 - 20/30, and 24/30 - 15/30 = +30 points of the long answers."""
    records = [
        record(number, entry("tone", grader, "rubric"), words=n) for number, (n, _, grader) in enumerate(LENGTHS)
    ]
    marks = [mark(of, people) for of, (_, people, _) in zip(records, LENGTHS, strict=True)]

    (tone,) = measure_by_check(records, marks).checks

    found = [(group.n, group.shortest, group.longest, pytest.approx(group.bias)) for group in tone.by_length]
    assert found == [(30, 10, 10, 0.0), (30, 20, 20, 0.0), (30, 40, 40, 0.3)]
    assert (
        "  grader less people, in points of pass rate by words: 10 +0.0 (n=30), 20 +0.0 (n=30), 40 +30.0 (n=30)"
        in list(check_lines(measure_by_check(records, marks)))
    )


@pytest.mark.parametrize(
    ("words", "sizes"),
    [([5] * 6, [6]), ([1, 2, 3, 4, 5, 6], [2, 2, 2]), ([1, 1, 1, 1, 1, 9], [5, 1]), ([3], [1]), ([], [])],
)
def test_answers_of_one_length_stay_together(words: list[int], sizes: list[int]) -> None:
    """A third cannot be cut out of answers that are all alike."""
    records = [record(number, entry("tone", True), words=n) for number, n in enumerate(words)]
    found = measure_by_check(records, [mark(of, True) for of in records]).checks
    pairs = found[0].found.pairs if found else ()

    assert [group.n for group in length_groups(pairs)] == sizes


def test_few_annotations_of_a_check_give_no_figures() -> None:
    """Below 60 answers agreement alone is printed, however many points of them are annotated."""
    records = [explained(number, sense=True, word=True) for number in range(40)]
    marks = [mark(of, True, None, point) for of in records for point in ("sense", "word")]

    lines = list(check_lines(measure_by_check(records, marks)))

    assert lines[:2] == [
        "jokes, key_points, every point (key_points): 80 annotations, 100.0% agreement (80 of 80)",
        "  kappa, TPR, TNR: too few annotations (at least 60 needed)",
    ]
    assert not any("kappa 1" in line or "words" in line for line in lines)


def test_the_lines_of_a_check() -> None:
    """What is printed of one, whole."""
    records, marks = graded_table()

    lines = list(check_lines(measure_by_check(records, [*marks, mark(records[0], True)])))

    assert lines == [
        "tickets, tone (rubric): 100 annotations, 70.0% agreement (70 of 100)",
        "  kappa 0.40 (0.22 to 0.58), TPR 80.0%, TNR 60.0%",
        "  pass rate of m: 60.0%, 50.0% corrected",
        "  grader less people by length: all answers have the same number of words",
        "  too lenient 20, too harsh 10: case-40, case-41, case-42, case-43, case-44 and 25 more",
        "Left out: 1 annotation of the whole answer to a case that has several checks.",
    ]


def test_points_of_one_answer_are_drawn_together() -> None:
    """Two marks that always agree with each other are no more evidence than one, so the interval stays as wide."""
    pairs = [*[(True, True)] * 20, *[(True, False)] * 5, *[(False, True)] * 10, *[(False, False)] * 15]

    alone, doubled = kappa_of_clusters([[pair] for pair in pairs]), kappa_of_clusters([[pair] * 2 for pair in pairs])

    assert alone == doubled
    narrow = kappa_interval([pair for pair in pairs for _ in range(2)])
    assert doubled is not None
    assert narrow is not None
    assert narrow[1] - narrow[0] < 0.8 * (doubled[1] - doubled[0])
    assert kappa_of_clusters([]) is None
    assert kappa_of_clusters([[(True, True)]]) is None


def info(trust: Trust | None = None) -> list[SuiteInfo]:
    return [
        SuiteInfo(suite="tickets", sha256="s", grader="checks", grader_version=1, path="t.yaml", trust=trust),
        SuiteInfo(suite="other", sha256="s", grader="checks", grader_version=1, path="o.yaml", trust=trust),
    ]


def test_a_judged_check_needs_sixty_annotations_of_its_own() -> None:
    """Those of another check do not count, nor does advice need any; suites without such a check are not named."""
    records, marks = graded_table()

    assert uncalibrated_suites(records, info(), marks[:60]) == {"tickets": None}
    (why,) = uncalibrated_suites(records, info(), marks[:59]).values()
    assert why == (
        'its check "tone" is decided by a judge model, and people have annotated it in 59 of the 60 '
        "answers that are needed (llmbench review RUN.json --by-check)"
    )
    chosen = [replace(one, drawn=Drawn.CHOSEN) for one in marks[59:61]]
    (why,) = uncalibrated_suites(records, info(), [*marks[:59], *chosen]).values()
    assert str(why).endswith("--by-check); 2 more are not of the random share")
    of_schema = [mark(of, True, "schema") for of in records]
    assert "annotated it in 0 of the 60" in str(uncalibrated_suites(records, info(), of_schema)["tickets"])
    advice = [record(1, entry("tone", True, "rubric", advice=True), entry("schema", True, "json"))]
    assert uncalibrated_suites(advice, info(), ()) == {}


def test_a_judged_check_must_agree_as_far_as_its_suite_requires() -> None:
    """With `trust` its own kappa and TNR count, and those of the judge that graded last."""
    records, marks = graded_table()

    assert uncalibrated_suites(records, info(Trust(kappa=0.1, tnr=0.5)), marks) == {"tickets": None}
    why = uncalibrated_suites(records, info(Trust(kappa=0.4, tnr=0.8)), marks)["tickets"]
    assert str(why).startswith(
        'check "tone": its grader agrees too little with people: kappa 0.22 at the least, TNR 60%'
    )
    judged = [record(999, entry("tone", True, "rubric"), entry("schema", True, "json"), judge="gpt")]
    assert "annotated it in 0 of the 60" in str(uncalibrated_suites([*records, *judged], info(), marks)["tickets"])


def liked(n: int, *, wrong_at: int, **others: Json) -> tuple[list[Record], list[Annotation]]:
    """Answers with the scores 0.01, 0.02, ...: people pass those from `wrong_at` hundredths on."""
    records = [record(i, entry("like", None, "similar", **{**others, "score": i / 100})) for i in range(1, n + 1)]
    return records, [mark(of, i >= wrong_at, "like") for i, of in enumerate(records, start=1)]


def test_a_minimum_is_proposed_where_a_check_measures() -> None:
    """Between the answers people pass and the others; an answer that is on the wrong side of it costs its share."""
    records, marks = liked(80, wrong_at=41)
    marks[9] = mark(records[9], True, "like")

    found = measure_by_check(records, marks)

    (one,) = found.minimums
    assert (one.n, one.minimum, one.tpr, one.tnr) == (80, 0.41, 40 / 41, 1.0)
    assert list(check_lines(found)) == [
        "tickets, like: 80 annotations; with min: 0.41 it agrees best with people: kappa 0.97, TPR 97.6%, TNR 100.0% "
        "on the same answers"
    ]


@pytest.mark.parametrize(
    ("n", "wrong_at", "why"),
    [(59, 30, "too few annotations (at least 60 needed)"), (60, 0, "people gave one outcome only")],
)
def test_no_minimum_is_proposed_from_too_little(n: int, wrong_at: int, why: str) -> None:
    """Few annotations, or all alike, are no ground for one."""
    (line,) = check_lines(measure_by_check(*liked(n, wrong_at=wrong_at)))

    assert line == f"tickets, like: {n} annotations; no `min` can be proposed: {why}"


def test_a_score_of_another_kind_is_no_likeness() -> None:
    """Nothing is proposed for checks whose threshold is not a cosine."""
    records, marks = graded_table()

    assert measure_by_check(records, marks).minimums == ()

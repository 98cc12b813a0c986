"""The grader `key_points`: which points an explanation makes, less what it pads, hedges and gets wrong.

    score = coverage x length x hedge, at most 0.4 with a forbidden claim
    coverage = share of the points made, by weight
    length = min(1, sqrt(limit / words)): twice too long costs 30 %
    hedge = 0.6 ** min(3, n), n switches to one more explanation; 0.8 for a single aside

Coverage alone rewards saying many things in the hope that one is right, which is what ChatGPT's
joke explanations did in the comparison this project grew from; hence the deductions.  A point
that stands in the prompt can be made by an echo, so such a point is reported.

`claims` defines what makes a claim.  Only the first 20,000 characters after the reasoning are
graded; all patterns of a case together have 1 s for an answer.
"""

from pathlib import Path

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.grading.answer_text import graded_unless_void
from pytest_llmbench.grading.base import Finding, Grader, GraderKind, Severity, rules_of
from pytest_llmbench.grading.key_points.claims import Claim
from pytest_llmbench.grading.key_points.judged import judge_grader
from pytest_llmbench.grading.key_points.marks import PatternMarks, mark
from pytest_llmbench.grading.key_points.rubric import KeyPointsCase, KeyPointsSuite, Rubric
from pytest_llmbench.grading.key_points.self_tests import check, only_judged
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason, Suite


def build(suite: Suite, root: Path) -> Grader:
    """Make the grader; every pattern is compiled here.

    Raises:
        SuiteFault: a pattern cannot be used; names case, point and pattern.
    """
    del root
    threshold = rules_of(suite, KeyPointsSuite).threshold
    rubrics = {case.id: Rubric.of(case, threshold) for case in suite.cases}

    def grade(case: Case, answer: Answer) -> Grade:
        name = rubrics[case.id].without_patterns
        if name is not None:
            raise LlmbenchError(f"{only_judged(name)}; name one with --llm-judge NAME, or write `any`")
        return _grade(mark(rubrics[case.id], answer.text))

    return graded_unless_void(grade)


def _grade(marks: PatternMarks) -> Grade:
    rubric = marks.rubric
    return Grade(
        score=marks.score,
        passed=marks.passed,
        reason=marks.reason,
        explanation=str(marks),
        parts={
            "points": [
                _part(p.phrases.name, claim) | {"weight": p.weight}
                for p, claim in zip(rubric.points, marks.points, strict=True)
            ],
            "forbidden": [_part(p.name, claim) for p, claim in zip(rubric.forbidden, marks.forbidden, strict=True)],
            "coverage": round(marks.coverage, 4),
            "length_factor": round(marks.length_factor, 4),
            "hedges": marks.hedges,
            "words": marks.words,
            "limit": rubric.limit,
            "ran_on": marks.ran_on,
        },
    )


def _part(name: str, claim: Claim | None) -> dict[str, Json]:
    return {
        "name": name,
        "hit": claim is not None,
        "start": claim.start if claim else None,
        "end": claim.end if claim else None,
        "quote": claim.quote if claim else None,
    }


def expected_text(case: Case) -> str:
    """Describe a right answer: the points it makes, and the first reference."""
    rules = rules_of(case, KeyPointsCase)
    points = "; ".join(point.name for point in rules.points)
    return "\n".join([f"Points: {points}", *rules.references[:1]])


def needs_judge(suite: Suite) -> Finding | None:
    """Explain that a suite with a point without patterns needs a judge."""
    for case in suite.cases:
        name = Rubric.of(case, 1).without_patterns
        if name is not None:
            message = f"{only_judged(name)}, and none is named; add --llm-judge NAME, or write `any`."
            return Finding(severity=Severity.ERROR, message=message, case=case.id)
    return None


def references(case: Case) -> tuple[str, ...]:
    """Give the right explanations."""
    return rules_of(case, KeyPointsCase).references


KIND = GraderKind(
    name="key_points",
    case_fields=KeyPointsCase,
    suite_fields=KeyPointsSuite,
    uncounted=frozenset({"judge"}),  # recorded where a judge was asked
    build=build,
    check=check,
    expected_text=expected_text,
    version=3,
    reasons=(Reason.CORRECT, Reason.MISSING_POINTS, Reason.FORBIDDEN_CLAIM, Reason.PADDING),
    judge_grader=judge_grader,
    needs_judge=needs_judge,
    references=references,
)

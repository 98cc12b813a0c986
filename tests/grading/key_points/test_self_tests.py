from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.values import Case, Suite

KIND = BUILT_IN["key_points"]
DOUGH: dict[str, Any] = {
    "points": [{"name": "money", "any": ["money", "cash"]}, {"name": "bread", "any": ["bread", r"knead\w*"]}],
    "references": ["Dough is slang for money and what is kneaded for bread."],
}
SUIT: dict[str, Any] = {
    "points": [{"name": "law", "any": ["court", "legal"]}, {"name": "clothes", "any": ["jacket", r"cloth\w+"]}],
    "references": ["A suit is clothes, and a case in court."],
}


def suite(
    *rules: dict[str, Any], joke: str = "Our baker quit.", threshold: float = 0.75, cluster: str | None = None
) -> Suite:
    cases = tuple(
        Case(
            suite="jokes",
            id=f"case-{place}",
            inputs={"joke": joke, "year": 2020},
            rules=KIND.case_fields.model_validate(fields),
            cluster=cluster,
        )
        for place, fields in enumerate(rules)
    )
    own = KIND.suite_fields.model_validate({"threshold": threshold})
    return Suite(name="jokes", path=Path("jokes.yaml"), grader="key_points", cases=cases, rules=own)


def checked(suite: Suite, *, is_thorough: bool = True) -> tuple[Finding, ...]:
    return KIND.check(suite, Path(), is_thorough=is_thorough)


def test_sound_rubrics_have_no_findings() -> None:
    """Rubrics whose references pass, and nothing else does, are left in peace."""
    findings = checked(suite(DOUGH, SUIT))

    assert findings == ()


@pytest.mark.parametrize(("is_thorough", "severity"), [(False, Severity.WARNING), (True, Severity.ERROR)])
def test_point_in_its_own_prompt_is_found(is_thorough: bool, severity: Severity) -> None:
    """A point that an echo of the prompt makes is a warning in a run and an error in `llmbench validate`."""
    findings = checked(suite(DOUGH, SUIT, joke="She wanted cash."), is_thorough=is_thorough)

    assert findings == (
        Finding(
            severity=severity,
            message='point "money" matches "cash" in the case\'s own input, so an echo makes it; '
            "choose other words, or set echo_ok: true.",
            case="case-0",
        ),
    )


def test_point_marked_so_may_stand_in_the_prompt() -> None:
    """`echo_ok` silences the finding for its point."""
    points = [DOUGH["points"][0] | {"echo_ok": True}, DOUGH["points"][1]]

    findings = checked(suite(DOUGH | {"points": points}, joke="She wanted cash."), is_thorough=False)

    assert findings == ()


@pytest.mark.parametrize("inputs", [{"lines": ["a", "some cash"]}, {"joke": {"text": "some cash"}}])
def test_inputs_are_searched_to_the_bottom(inputs: Mapping[str, Any]) -> None:
    """Texts inside lists and mappings are part of the prompt too."""
    rules = KIND.case_fields.model_validate(DOUGH)
    case = Case(suite="jokes", id="case", inputs=inputs, rules=rules)
    nested = Suite(name="jokes", path=Path(), grader="key_points", cases=(case,), rules=KIND.suite_fields())

    findings = checked(nested, is_thorough=False)

    assert len(findings) == 1


def echoing() -> Suite:
    points = [point | {"echo_ok": True} for point in DOUGH["points"]]
    return suite(DOUGH | {"points": points}, joke="Cash for bread.")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            suite(DOUGH | {"references": ["Dough is money."]}, SUIT),
            'the reference "Dough is money." fails: The answer misses bread. Widen the points, or mend it.',
        ),
        (echoing(), "an echo of the case's inputs passes; narrow the points, or raise the threshold."),
        (
            suite(DOUGH, DOUGH, SUIT),
            'the reference of case "case-1" passes; narrow the points, or raise the threshold.',
        ),
        (
            suite(DOUGH, SUIT, threshold=0.6),
            'its reference with that of case "case-1" added passes; narrow the points, or raise the threshold.',
        ),
        (
            suite(DOUGH | {"points": [{"name": name, "any": [f".*{name}"]} for name in ("money", "bread")]}, SUIT),
            'the reference "Dough is slang for money and what is kneaded for bread." loses no marks when it is denied; '
            "narrow the points.",
        ),
        (suite(DOUGH, threshold=0), "an empty answer passes; narrow the points, or raise the threshold."),
    ],
)
def test_rubric_that_judges_known_answers_wrongly_is_an_error(found: Suite, message: str) -> None:
    """References must pass and lose when denied; echoes, nothing, other explanations, and one more must not pass."""
    findings = checked(found)

    assert Finding(severity=Severity.ERROR, message=message, case="case-0") in findings


def test_paraphrases_are_not_strangers() -> None:
    """A reference of the same cluster may pass: it explains the same joke."""
    findings = checked(suite(DOUGH, DOUGH, cluster="dough"))

    assert findings == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"points": DOUGH["points"][:1]},
            "it has one point only; two independent ones distinguish an explanation from a guess.",
        ),
        ({"references": []}, "it has no reference, so nothing shows that its points can be made; add one."),
    ],
)
def test_thin_rubric_gets_advice(fields: dict[str, Any], message: str) -> None:
    """One point, or no reference, is allowed and remarked upon, in `llmbench validate` only."""
    thin = suite(DOUGH | fields, SUIT)

    findings = checked(thin)

    assert findings == (Finding(severity=Severity.ADVICE, message=message, case="case-0"),)
    assert checked(thin, is_thorough=False) == ()


def test_threshold_that_passes_forbidden_claims_is_remarked() -> None:
    """With a threshold at the cap of 0.4, an answer with a forbidden claim would pass."""
    findings = checked(suite(DOUGH, threshold=0.4))

    assert findings[0] == Finding(
        severity=Severity.WARNING,
        message="a threshold of 0.4 passes answers with a forbidden claim; set it over 0.4.",
    )


def test_pattern_that_never_ends_is_found_on_the_references() -> None:
    """A pattern that runs away on a known text is an error of its case, not a crash of the check."""
    loop = [{"name": "loop", "any": ["(a|a|aa)+(b|c)(a|a)*d"]}, DOUGH["points"][0]]

    findings = checked(suite({"points": loop, "references": ["a" * 60 + "e"]}))

    assert [(finding.severity, finding.case) for finding in findings] == [(Severity.ERROR, "case-0")]
    assert findings[0].message.startswith('"loop": the pattern ')

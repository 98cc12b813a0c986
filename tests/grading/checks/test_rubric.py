"""The keys of the check rubric, what is refused in them, and what `validate` remarks on a criterion."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_llmbench.cli.validate import validate
from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.grading.checks.rubric import RubricValue, remarks
from pytest_llmbench.suites.loader import LoadedSuite

Load = Callable[[str], LoadedSuite]

SUITE = """\
suite: tickets
prompt: {{completion: "{{{{ body }}}}"}}
checks:
  - {check}
cases:
  - {{id: one, body: "Twice!", expected: "Both charges were made on 3 May."}}
"""


def digest(load: Load, check: str) -> str:
    return load(SUITE.format(check=check)).suite.cases[0].sha256


def test_a_text_is_a_criterion(load: Load) -> None:
    """The short form is the same check as the long one, and its default grades written out change nothing."""
    short = digest(load, '{rubric: "Names both charges."}')

    assert digest(load, '{rubric: {criterion: "Names both charges."}, name: charges}') == short
    assert digest(load, '{rubric: {criterion: "Names both charges.", grades: {not_met: 0, met: 1}}}') == short


@pytest.mark.parametrize(
    "check",
    [
        '{rubric: "Names both of the charges."}',
        '{rubric: {criterion: "Names both charges.", reference: "{{ expected }}"}}',
        '{rubric: {criterion: "Names both charges.", examples: [{answer: "Two.", verdict: fail}]}}',
        '{rubric: {criterion: "Names both charges.", grades: {met: 1, partly: 0.5, not_met: 0}}}',
        '{rubric: "Names both charges.", path: text}',
    ],
)
def test_what_decides_is_in_the_digest(load: Load, check: str) -> None:
    """Criterion, reference, examples and grades make another case."""
    assert digest(load, check) != digest(load, '{rubric: "Names both charges."}')


def test_a_reference_may_be_a_template(load: Load) -> None:
    """It is rendered for each case, as all texts in checks."""
    suite = load(
        SUITE.format(check='{rubric: {criterion: "Says what {{ expected }} says.", reference: "{{ expected }}"}}')
    )

    rules: Any = suite.suite.cases[0].rules
    value = rules.checks[0].fields.rubric
    assert value.reference == ("Both charges were made on 3 May.",)
    assert suite.kind.expected_text(suite.suite.cases[0]).startswith("by a judge: Says what Both charges")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ('{rubric: ""}', "rubric.criterion: must not be blank"),
        ("{rubric: {reference: a}}", '"rubric.criterion" is missing'),
        ("{rubric: {criterion: a, grade: {a: 1}}}", 'there is no key "rubric.grade"'),
        ("{rubric: {criterion: a, grades: {yes: 1}}}", "names 1 grade; a rubric has two or three"),
        ("{rubric: {criterion: a, grades: {a: 1, b: 0.7, c: 0.3, d: 0}}}", "names 4 grades; a rubric has two or three"),
        ('{rubric: {criterion: a, grades: {"10": 1, "0": 0}}}', '"10" is no grade; write a word'),
        ("{rubric: {criterion: a, grades: {met: 0.9, not_met: 0}}}", "the best must be 1"),
        ("{rubric: {criterion: a, grades: {met: 1, fine: 1, not_met: 0}}}", "the scores must differ"),
        ("{rubric: {criterion: a, grades: {met: 1, Met: 0}}}", "two of the grades are the same word"),
        ("{rubric: {criterion: a, grades: {met: 2, not_met: 0}}}", "must be at most 1"),
        (
            "{key_points: {points: [{name: money}]}}",
            '"money" has no patterns, by which this check decides; write `any`',
        ),
        (
            "{rubric: {criterion: a, examples: [{answer: b, verdict: part}]}}",
            'the verdict "part" of an example is no grade; write met or not_met',
        ),
    ],
)
def test_what_is_no_rubric_is_refused_with_its_line(load: Load, check: str, message: str) -> None:
    """Before anything is asked, in one sentence."""
    with pytest.raises(SuiteFault) as raised:
        load(SUITE.format(check=check))

    assert message in str(raised.value)
    assert raised.value.line == 4


@pytest.mark.parametrize(
    ("verdict", "grade"),
    [("pass", "met"), ("part", "partly"), ("fail", "not_met"), ("Partly", "partly"), ("not met", "not_met")],
)
def test_an_example_has_a_grade_or_the_mark_of_a_person(verdict: str, grade: str) -> None:
    """So that an annotated answer can become an example as it is."""
    value = RubricValue.model_validate(
        {
            "criterion": "Names both charges.",
            "examples": [{"answer": "Two.", "verdict": verdict}],
            "grades": {"met": 1, "partly": 0.5, "not_met": 0},
        }
    )

    assert value.grade_of(value.examples[0]) == grade


@pytest.mark.parametrize(
    ("criterion", "found"),
    [
        ("Says that two charges were made on one day.", []),
        ("Refuses politely.", ["has 2 words"]),
        ("Is correct", ["has 2 words"]),
        ("Gives a good explanation of the joke.", ['asks for what is "good"']),
        ("The tone of the reply is appropriate.", ['asks for what is "appropriate"']),
        ("Refuses, and names no price.", ["is two criteria in one"]),
        ("Names the price and explains the delay.", ["is two criteria in one"]),
        ("The answer names the price and is short.", ["is two criteria in one"]),
        ("Is polite; names the price.", ["is two criteria in one"]),
        ("Names the price and the tone is friendly.", ["is two criteria in one"]),
        ("Names Rome and Paris as capitals.", ["may be two criteria in one"]),
        ('Says "good and cheap" word for word.', []),
        ("Well done and good", ['asks for what is "Well"', "may be two criteria in one"]),
    ],
)
def test_a_weak_criterion_is_remarked_on(criterion: str, found: list[str]) -> None:
    """Few words, vague words and two criteria in one leave the judge to make up its own measure."""
    said = [text for _, text in remarks(RubricValue(criterion=criterion))]

    assert len(said) == len(found)
    assert all(part in text for part, text in zip(found, said, strict=True))


def test_validate_names_the_line_of_a_weak_criterion(tmp_path: Path) -> None:
    """Of the suite, of a case, in a combination and in a turn; one that is a template is remarked on as rendered."""
    path = tmp_path / "suite.yaml"
    path.write_text("""\
suite: tickets
prompt: {chat: [{role: system, content: "Be brief."}]}
checks:
  - {rubric: "Is good about charges."}
  - rubric: "{{ criterion }}"
cases:
  - id: one
    criterion: Is nice.
    turns:
      - user: "Twice!"
        checks:
          - any:
              - {contains: a}
              - not:
                  rubric: "Refuses, and names no price."
""")

    found = validate([path], tmp_path).remarks

    lines = [
        remark.text.partition("suite.yaml:")[2].partition(" ")[::2] for remark in found if "criterion" in remark.text
    ]
    assert [(line, text.rpartition("; ")[0].partition('" ')[2]) for line, text in lines] == [
        ("4:", 'asks for what is "good", by which judges differ'),
        ("15:", "is two criteria in one"),
        ("5:", "has 2 words"),
        ("5:", 'asks for what is "nice", by which judges differ'),
    ]


def test_only_what_is_surely_two_criteria_is_a_warning() -> None:
    """Nouns joined by "and" are a hint."""
    severities = [
        severity
        for criterion in ("Refuses, and names no price.", "Names Rome and Paris as capitals.")
        for severity, _ in remarks(RubricValue(criterion=criterion))
    ]

    assert severities == [Severity.WARNING, Severity.ADVICE]


def test_grades_are_shown_from_the_best() -> None:
    """Whatever order they are written in."""
    value = RubricValue.model_validate({"criterion": "a", "grades": {"no": 0, "half": 0.5, "yes": 1}})

    assert value.words == ("yes", "half", "no")
    with pytest.raises(ValidationError):
        RubricValue.model_validate({"criterion": " "})

"""The grader of choices, by hand-made log-probabilities."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, Grade, Suite

KIND = BUILT_IN["choices"]
CASE = {"choices": ["Lyon", "Paris", "Besançon"], "expected": "Paris"}
SuiteOf = Callable[..., Suite]


def graded(suite: Suite, *logprobs: float) -> Grade:
    choices = KIND.choices(suite, suite.cases[0])
    assert choices is not None
    known = dict(zip(choices.texts, logprobs, strict=True))
    return KIND.build(suite, Path())(suite.cases[0], Answer(text="", label_logprobs=known))


@pytest.mark.parametrize(
    ("norm", "logprobs", "picked"),
    [
        ("none", (-4.0, -3.9, -7.0), "Paris"),
        ("none", (-4.0, -4.0, -7.0), "Lyon"),  # the first of equal ones
        ("chars", (-4.0, -4.9, -8.8), "Paris"),
        ("chars", (-4.0, -5.0, -8.0), "Lyon"),
        ("chars", (-4.0, -5.0, -7.9), "Besançon"),
        ("bytes", (-4.0, -5.0, -8.9), "Besançon"),  # nine bytes, eight characters
        ("bytes", (-4.0, -4.9, -9.0), "Paris"),
    ],
)
def test_the_likeliest_choice_is_the_answer(
    norm: str, logprobs: tuple[float, ...], picked: str, suite_of: SuiteOf
) -> None:
    """By its log-probability, divided by characters or bytes where the suite has it so."""
    grade = graded(suite_of("choices", CASE, suite={"choice_norm": norm}), *logprobs)

    assert (grade.parts["picked"], grade.passed, grade.reason) == (
        picked,
        picked == "Paris",
        "correct" if picked == "Paris" else "different",
    )


def test_any_of_several_right_choices_passes(suite_of: SuiteOf) -> None:
    """The suite's choices are those of a case that has none; the explanation names what was measured."""
    suite = suite_of("choices", {"expected": ["b", "c"]}, suite={"choices": ["a", "b", "c"], "choice_norm": "bytes"})

    assert graded(suite, -3, -2, -1).passed
    wrong = graded(suite, -1, -2, -3)
    assert wrong.explanation == 'Expected "b" or "c"; the likeliest for each byte is "a".'
    assert wrong.parts["choice_logprobs"] == {"a": -1, "b": -2, "c": -3}


def test_an_answer_without_probabilities_is_an_error(suite_of: SuiteOf) -> None:
    """A text alone does not tell which choice is the likeliest."""
    suite = suite_of("choices", CASE)

    with pytest.raises(ValueError, match="no log-probability of each choice"):
        KIND.build(suite, Path())(suite.cases[0], Answer(text="Paris", label_logprobs={"Paris": -1.0}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"expected": "a"}, 'case "case" has no choices; write some in it, or `choices` for the whole suite.'),
        (
            {"expected": "c", "choices": ["a", "b"]},
            'case "case" expects "c", which is none of its choices; each right answer is one of them.',
        ),
        (
            {"expected": "a", "choices": ["a", "b", "a"]},
            'case "case" expects "a", which stands among its choices more than once; each right answer is one of them.',
        ),
    ],
)
def test_a_case_that_cannot_be_right_is_a_fault(fields: dict[str, Any], message: str, suite_of: SuiteOf) -> None:
    """It is found before any model is asked."""
    with pytest.raises(SuiteFault) as caught:
        KIND.build(suite_of("choices", fields), Path())

    assert caught.value.message == message


@pytest.mark.parametrize("field", ["choice_norm: bytes", "target_delimiter: ''", "choices: [a, c]"])
def test_another_measure_makes_other_cases(field: str, tmp_path: Path) -> None:
    """With another norm, delimiter or other choices of the suite a case has another digest, and is not compared."""
    text = "suite: s\ngrader: choices\nprompt: {completion: '{{ q }}'}\ncases: [{id: a, q: Q, expected: a}]\n"
    path = tmp_path / "s.yaml"
    digests = set()
    for line in ("choices: [a, b]", f"choices: [a, b]\n{field}" if "choices" not in field else field):
        path.write_text(f"{text}{line}\n", encoding="utf-8")
        loaded = load_suite(path)
        assert loaded is not None
        digests.add(loaded.suite.cases[0].sha256)

    assert len(digests) == 2


def test_choices_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    """In YAML, `no` and numbers are words among choices."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "suite: s\ngrader: choices\nprompt: {completion: '{{ q }}'}\n"
        "cases:\n  - {id: a, q: 'Is 7 < 6?', choices: [yes, no, 12], expected: no}\n",
        encoding="utf-8",
    )

    loaded = load_suite(path)

    assert loaded is not None
    assert KIND.choices(loaded.suite, loaded.suite.cases[0]).texts == ("yes", "no", "12")  # type: ignore[union-attr]

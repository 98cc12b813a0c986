"""The grader `choices`: of several given texts, the one that a model finds likeliest behind its prompt.

Nothing is written.  The logarithm of the probability of `target_delimiter` and a choice, as they stand, is the sum of
those of its tokens; `choice_norm` divides it by the length of the choice, without the delimiter.  That is another
measure than `answer_by: choice` of `yes_no`, which adds up the spellings of each label.

Source: lm_eval 0.4.13, `api/task.py`, `ConfigurableTask.process_results` of `multiple_choice`: `none` is its `acc`,
`chars` its `acc_norm`, `bytes` its `acc_bytes`; of choices that are equally likely the first is taken.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.base import Choices, Grader, GraderKind, rules_of
from pytest_llmbench.grading.fields import as_list
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason, Suite

Norm = Literal["none", "chars", "bytes"]
_MEASURED = {"none": "", "chars": " for each character", "bytes": " for each byte"}

_Text = Annotated[str, Field(min_length=1)]
_Several = Annotated[tuple[_Text, ...], Field(min_length=2), BeforeValidator(as_list, json_schema_input_type=list[str])]


class ChoicesCase(Strict):
    """A case: the right choice, or several; `choices` in place of those of the suite."""

    expected: Annotated[
        tuple[_Text, ...], Field(min_length=1), BeforeValidator(as_list, json_schema_input_type=str | list[str])
    ]
    choices: _Several | None = None


class ChoicesSuite(Strict):
    """A suite: `choices` of the cases that have none, and what stands between the prompt and each.

    `choice_norm` divides the logarithm of a probability by the number of characters or bytes of its choice.
    """

    choices: _Several | None = None
    choice_norm: Norm = "none"
    target_delimiter: str = " "


def choices_of(suite: Suite, case: Case) -> Choices:
    """Give the choices of a case, and their delimiter."""
    own = rules_of(suite, ChoicesSuite)
    return Choices(texts=rules_of(case, ChoicesCase).choices or own.choices or (), delimiter=own.target_delimiter)


def likeliest(logprobs: Mapping[str, float], choices: Sequence[str], norm: Norm) -> str:
    """Give the choice with the largest logarithm of its probability, the first of several; `norm` as in the suite."""
    return max(choices, key=lambda choice: logprobs[choice] / _length(choice, norm))


def _length(choice: str, norm: Norm) -> int:
    return 1 if norm == "none" else len(choice) if norm == "chars" else len(choice.encode("utf-8", "surrogatepass"))


def in_digest(of_suite: ChoicesSuite) -> Mapping[str, Json]:
    """Give all fields of a suite: with another norm or delimiter it is another measure."""
    found: Mapping[str, Json] = of_suite.model_dump(mode="json", exclude_none=True)
    return found


def build(suite: Suite, root: Path) -> Grader:
    """Make the grader.

    Raises:
        SuiteFault: a case has no choices, or expects a text that is none of them or stands there twice.
    """
    del root
    norm = rules_of(suite, ChoicesSuite).choice_norm
    for case in suite.cases:
        _check(case, choices_of(suite, case).texts)

    def grade(case: Case, answer: Answer) -> Grade:
        choices = choices_of(suite, case).texts
        known = answer.label_logprobs or {}
        if not all(choice in known and math.isfinite(known[choice]) for choice in choices):
            raise ValueError("the answer has no log-probability of each choice; see docs/graders.md, choices")
        expected = rules_of(case, ChoicesCase).expected
        picked = likeliest(known, choices, norm)
        passed = picked in expected
        quoted = " or ".join(f'"{clip(text)}"' for text in expected)
        explanation = f'Expected {quoted}; the likeliest{_MEASURED[norm]} is "{clip(picked)}".'
        return Grade(
            score=float(passed),
            passed=passed,
            reason=Reason.CORRECT if passed else Reason.DIFFERENT,
            explanation=explanation,
            parts={
                "picked": picked,
                "expected": list(expected),
                "choice_norm": norm,
                "choice_logprobs": {choice: known[choice] for choice in choices},
            },
        )

    return grade


def _check(case: Case, choices: Sequence[str]) -> None:
    if not choices:
        message = f'case "{case.id}" has no choices; write some in it, or `choices` for the whole suite.'
        raise SuiteFault(message, path=case.path, line=case.line)
    for text in rules_of(case, ChoicesCase).expected:
        if choices.count(text) != 1:
            how = "is none of its choices" if text not in choices else "stands among its choices more than once"
            message = f'case "{case.id}" expects "{clip(text)}", which {how}; each right answer is one of them.'
            raise SuiteFault(message, path=case.path, line=case.line)


def right_answers(case: Case) -> tuple[str, ...]:
    """Give the right choices."""
    return rules_of(case, ChoicesCase).expected


def wrong_answers(suite: Suite, case: Case) -> tuple[str, ...]:
    """Give the choices that are not right."""
    return tuple(text for text in choices_of(suite, case).texts if text not in right_answers(case))


KIND = GraderKind(
    name="choices",
    case_fields=ChoicesCase,
    suite_fields=ChoicesSuite,
    build=build,
    text_fields=frozenset({"choices", "target_delimiter"}),
    reasons=(Reason.CORRECT, Reason.DIFFERENT),
    choices=choices_of,
    in_digest=in_digest,
    references=right_answers,
    wrong_answers=wrong_answers,
)

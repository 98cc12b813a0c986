"""The grader `yes_no`: one label out of a few, asked for as the whole answer.

Two readings of each answer (`label_reading`).  *Strict*: the answer is a label and nothing else, in any
case, with or without a full stop.  *Lenient*: the label a person would read.  An answer with only the
lenient one is `format` and fails, whatever its label: keeping to the asked format is a result of its own.

With `answer_by: choice` the model does not write: the likeliest label is its answer, and no format is
asked.  Probabilities of the labels, where a model gives them, stand in the parts as `p` and `p_other`,
the mass on neither.

Source: strict and flexible extraction side by side as in lm-evaluation-harness' GSM8K; that an
answer without a label is no label at all, unlike in openai/evals' confusion matrix.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import exp, fsum, isnan
from pathlib import Path
from typing import Literal, Self

import regex
from pydantic import Field, model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import clip, graded_unless_void, is_refusal
from pytest_llmbench.grading.base import Grader, GraderKind, expected_reference, rules_of
from pytest_llmbench.grading.label_reading import Labels, folded
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch
from pytest_llmbench.values import Answer, Case, Grade, Json, PromptStyle, Reason, Suite

_LABELS = ("yes", "no")
_RULE_TIME_S = 1.0


class YesNoCase(Strict):
    """A case and its right label."""

    expected: str


class RuleFields(Strict):
    """A trivial rule to set models against: `label` where the pattern is found in a case's inputs, else `otherwise`."""

    pattern: str = Field(min_length=1)
    label: str
    otherwise: str | None = None


class YesNoSuite(Strict):
    """The labels of a suite; `positive` (else the first) is the class that F1 and the yes-rate are about.

    `answer_by` choice has the model choose among the labels instead of writing; `probabilities` asks for
    those of the labels beside a written answer.
    """

    labels: tuple[str, ...] = Field(default=_LABELS, min_length=2)
    positive: str | None = None
    answer_by: Literal["text", "choice"] = "text"
    probabilities: Switch = False
    rule: RuleFields | None = None

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        keys = [folded(label) for label in self.labels]
        if "" in keys:
            raise ValueError("a label is blank; write a word")
        if len(set(keys)) < len(keys):
            raise ValueError(f"two labels are the same word: {', '.join(self.labels)}")
        if self.positive is not None and folded(self.positive) not in keys:
            raise ValueError(f'positive "{self.positive}" is none of the labels: {", ".join(self.labels)}')
        if self.rule is not None:
            self._check_rule(self.rule, keys)
        return self

    def _check_rule(self, rule: RuleFields, keys: list[str]) -> None:
        for name in filter(None, (rule.label, rule.otherwise)):
            if folded(name) not in keys:
                raise ValueError(f'the rule\'s "{name}" is none of the labels: {", ".join(self.labels)}')
        if rule.otherwise is None and len(self.labels) > 2:
            raise ValueError("with more than two labels a rule needs `otherwise`, the label where nothing is found")
        try:
            regex.compile(rule.pattern)
        except regex.error as fault:
            raise ValueError(f"the rule's pattern {rule.pattern!r} is no regular expression ({fault})") from None


def build(suite: Suite, root: Path) -> Grader:
    """Make the grader; the trivial rule is put to every case here.

    Raises:
        SuiteFault: a case expects something that is no label, or the rule takes too long on it.
    """
    del root
    rules = rules_of(suite, YesNoSuite)
    labels = Labels.of(rules.labels)
    for case in suite.cases:
        expected = rules_of(case, YesNoCase).expected
        if folded(expected) not in labels.by_key:
            known = ", ".join(labels.by_key.values())
            message = f'case "{case.id}" expects "{expected}"; the labels are: {known}. Write one of them.'
            raise SuiteFault(message, path=case.path, line=case.line)
    about_suite = _about_suite(rules, labels)
    by_rule = _by_rule(rules, labels, suite)

    is_chat = PromptStyle.CHAT in suite.prompt_source or not suite.prompt_source

    def grade(case: Case, answer: Answer) -> Grade:
        expected = labels.by_key[folded(rules_of(case, YesNoCase).expected)]
        plain = _grade(labels, expected, answer.text, is_chat=is_chat)
        parts = {**plain.parts, **about_suite, **by_rule.get(case.id, {}), **_probabilities(rules.labels, answer)}
        return replace(plain, parts=parts, format_ok=None if rules.answer_by == "choice" else plain.format_ok)

    return graded_unless_void(grade)


def _about_suite(rules: YesNoSuite, labels: Labels) -> dict[str, Json]:
    """Give the parts that a reader of the record needs; "yes" and "no", with "yes" positive, need none."""
    positive = labels.by_key[folded(rules.positive or rules.labels[0])]
    if (rules.labels, positive) == (_LABELS, _LABELS[0]):
        return {}
    return {"labels": rules.labels, "positive": positive}


def _by_rule(rules: YesNoSuite, labels: Labels, suite: Suite) -> dict[str, dict[str, Json]]:
    """Give the part that holds the label of the trivial rule, by case; nothing without a rule."""
    if rules.rule is None:
        return {}
    label = labels.by_key[folded(rules.rule.label)]
    otherwise = rules.rule.otherwise or next(other for other in rules.labels if other != label)
    pattern = regex.compile(rules.rule.pattern)
    found: dict[str, dict[str, Json]] = {}
    for case in suite.cases:
        text = "\n".join(str(value) for value in case.inputs.values())
        try:
            is_found = pattern.search(text, timeout=_RULE_TIME_S) is not None
        except TimeoutError:
            message = f'the rule\'s pattern takes too long on case "{case.id}"; take nested repetitions out of it.'
            raise SuiteFault(message, path=case.path, line=case.line) from None
        found[case.id] = {"rule": label if is_found else labels.by_key[folded(otherwise)]}
    return found


def _probabilities(labels: tuple[str, ...], answer: Answer) -> dict[str, Json]:
    """Give the parts `p` and `p_other` where the model gave the probability of each label; nothing else."""
    known = answer.label_logprobs or {}
    if not all(label in known and not isnan(known[label]) for label in labels):
        return {}
    p = {label: min(1.0, exp(min(0.0, known[label]))) for label in labels}
    # labels that begin alike may share mass, and rounding may exceed it
    return {"p": p, "p_other": max(0.0, 1 - fsum(p.values()))}


def scored_labels(suite: Suite) -> tuple[tuple[str, ...], bool]:
    """Give the labels whose probability is wanted, and whether the likeliest is to be the answer."""
    rules = rules_of(suite, YesNoSuite)
    picks_label = rules.answer_by == "choice"
    return (rules.labels if picks_label or rules.probabilities else ()), picks_label


def wrong_answers(suite: Suite, case: Case) -> tuple[str, ...]:
    """Give the labels that are not the right one."""
    return other_labels(rules_of(suite, YesNoSuite).labels, rules_of(case, YesNoCase).expected)


def other_labels(labels: Sequence[str], expected: str) -> tuple[str, ...]:
    """Give the labels that are not the expected one, in their order."""
    return tuple(label for label in labels if folded(label) != folded(expected))


def _grade(labels: Labels, expected: str, text: str, *, is_chat: bool) -> Grade:
    strict = labels.read_strictly(text)
    lenient = strict if strict or is_refusal(text) else labels.read_leniently(text, is_chat=is_chat)
    found = f'found "{clip(text)}"'
    if strict is not None:
        reason = Reason.CORRECT if strict == expected else Reason.WRONG_LABEL
        explanation = f'Expected "{expected}", {found}.'
    elif lenient is not None:
        reason = Reason.FORMAT
        is_right = "right" if lenient == expected else "wrong"
        explanation = f'The label is there ("{lenient}", {is_right}) but not alone: expected "{expected}", {found}.'
    else:
        reason, explanation = Reason.UNPARSED, f'No single label can be read: expected "{expected}", {found}.'
    return Grade(
        score=float(reason is Reason.CORRECT),
        passed=reason is Reason.CORRECT,
        reason=reason,
        explanation=explanation,
        format_ok=strict is not None,
        parts={"strict": strict, "lenient": lenient, "expected": expected, "lenient_correct": lenient == expected},
    )


KIND = GraderKind(
    name="yes_no",
    case_fields=YesNoCase,
    suite_fields=YesNoSuite,
    uncounted=frozenset({"positive", "probabilities", "rule"}),
    build=build,
    text_fields=frozenset({"labels", "positive", "rule"}),
    version=3,
    reasons=(Reason.CORRECT, Reason.WRONG_LABEL, Reason.FORMAT, Reason.UNPARSED),
    labels=scored_labels,
    references=expected_reference,
    wrong_answers=wrong_answers,
)

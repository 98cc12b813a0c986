"""The grader `yes_no`: one label out of a few, asked for as the whole answer.

Two readings of each answer.  *Strict*: the answer is a label and nothing else, in any case, with
or without a full stop.  *Lenient*: the label a person would read in the first line.  An answer
with only the lenient one is `format` and fails, whatever its label: keeping to the asked
format is a result of its own.  Only the first line is read, for base models run on into the next
example and write its label too.

With `answer_by: choice` the model does not write: the likeliest label is its answer, and no format is
asked.  Probabilities of the labels, where a model tells them, stand in the parts as `p` and `p_other`,
the mass on neither.

Source: strict and flexible extraction side by side as in lm-evaluation-harness' GSM8K; that an
answer without a label is no label at all, unlike in openai/evals' confusion matrix.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, fsum, isnan
from pathlib import Path
from typing import Literal, Self

import regex
from pydantic import Field, model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import clip, graded_unless_void, is_refusal, normalise
from pytest_llmbench.grading.base import Grader, GraderKind, rules_of
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason, Suite

_LABELS = ("yes", "no")
_RULE_TIME_S = 1.0
_FIRST_CHARACTERS = 2_000
"""How much of an answer is looked at; a label stands far before."""

_MARKDOWN = re.compile(r"```\w*|[*`\"#>]|(?<!\w)[_']|[_'](?!\w)")
_PREFIX = re.compile(r"(?:[^\s:]+ ){0,5}[^\s:]+ ?: ?")
_SENTENCE_END = re.compile(r"(?<=[.!?]) ")
_GROUNDS = re.compile(r"\s*(?:[—–(]|-- | - |\b(?:because|since|given|due to|as (?:it|this|that|the))\b)")
"""Where the grounds of a verdict begin, in which the other label may be a mere word."""
_FULL_STOP = re.compile(r"[.。]$")
_DENIAL = re.compile(r"(?:\bnot|n't)(?: (?:a|an|the|really|exactly|quite|simply))? $")
_DENIAL_LENGTH = 20
_NO_AS_MERE_WORD = r"(?! (?:one|longer|doubt|matter|such|idea|way|evidence|information|reason)\b)"


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
        keys = [_folded(label) for label in self.labels]
        if "" in keys:
            raise ValueError("a label is blank; write a word")
        if len(set(keys)) < len(keys):
            raise ValueError(f"two labels are the same word: {', '.join(self.labels)}")
        if self.positive is not None and _folded(self.positive) not in keys:
            raise ValueError(f'positive "{self.positive}" is none of the labels: {", ".join(self.labels)}')
        if self.rule is not None:
            self._check_rule(self.rule, keys)
        return self

    def _check_rule(self, rule: RuleFields, keys: list[str]) -> None:
        for name in filter(None, (rule.label, rule.otherwise)):
            if _folded(name) not in keys:
                raise ValueError(f'the rule\'s "{name}" is none of the labels: {", ".join(self.labels)}')
        if rule.otherwise is None and len(self.labels) > 2:
            raise ValueError("with more than two labels a rule needs `otherwise`, the label where nothing is found")
        try:
            regex.compile(rule.pattern)
        except regex.error as fault:
            raise ValueError(f"the rule's pattern {rule.pattern!r} is no regular expression ({fault})") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """The labels of a suite by their folded form, and the pattern that finds them in a folded line."""

    by_key: Mapping[str, str]
    word: re.Pattern[str]

    @classmethod
    def of(cls, labels: tuple[str, ...]) -> Self:
        """Prepare labels; the longest is tried first, for one may begin with another."""
        by_key = {_folded(label): label for label in labels}
        longest_first = sorted(by_key, key=len, reverse=True)
        words = (re.escape(key) + (_NO_AS_MERE_WORD if key == "no" else "") for key in longest_first)
        return cls(by_key=by_key, word=re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)"))

    def read_strictly(self, text: str) -> str | None:
        """Give the label that is the whole answer, but for one full stop."""
        text = text.strip()
        if len(text) > _FIRST_CHARACTERS:
            return None
        key = _folded(text)
        return self.by_key.get(key, self.by_key.get(_FULL_STOP.sub("", key)))

    def read_leniently(self, text: str) -> str | None:
        """Give the label that the first line with words says; None if it says none, or two."""
        for line in text.lstrip()[:_FIRST_CHARACTERS].splitlines():
            reading = self._without_prefix(_folded(_MARKDOWN.sub("", normalise(line))))
            if reading:
                return self._label_in(reading)
        return None

    def _without_prefix(self, line: str) -> str:
        prefix = _PREFIX.match(line)
        # "answer:" and "clickbait (yes/no):" announce; "no: the title says it all" has answered
        return line if prefix is None or len(self._said(prefix[0])) == 1 else line[prefix.end() :]

    def _label_in(self, line: str) -> str | None:
        """Read the first sentence that holds a label, up to its grounds if it holds two."""
        for sentence in _SENTENCE_END.split(line):
            said = self._said(sentence)
            if len(said) > 1:
                said = self._said(_GROUNDS.split(sentence, maxsplit=1)[0])
                return said.pop() if len(said) == 1 else None
            if said:
                return said.pop()
        return None

    def _said(self, text: str) -> set[str]:
        return {
            self.by_key[match[0]]
            for match in self.word.finditer(text)
            if not _DENIAL.search(text[max(0, match.start() - _DENIAL_LENGTH) : match.start()])
        }


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
        if _folded(expected) not in labels.by_key:
            known = ", ".join(labels.by_key.values())
            message = f'case "{case.id}" expects "{expected}"; the labels are: {known}. Write one of them.'
            raise SuiteFault(message, path=case.path, line=case.line)
    about_suite = _about_suite(rules, labels)
    by_rule = _by_rule(rules, labels, suite)

    def judge(case: Case, answer: Answer) -> Grade:
        expected = labels.by_key[_folded(rules_of(case, YesNoCase).expected)]
        grade = _grade(labels, expected, answer.text)
        parts = {**grade.parts, **about_suite, **by_rule.get(case.id, {}), **_probabilities(rules.labels, answer)}
        return replace(grade, parts=parts, format_ok=None if rules.answer_by == "choice" else grade.format_ok)

    return graded_unless_void(judge)


def _about_suite(rules: YesNoSuite, labels: Labels) -> dict[str, Json]:
    """Say in the parts what a reader of the record could not guess; "yes" and "no", with "yes" positive, he can."""
    positive = labels.by_key[_folded(rules.positive or rules.labels[0])]
    if (rules.labels, positive) == (_LABELS, _LABELS[0]):
        return {}
    return {"labels": rules.labels, "positive": positive}


def _by_rule(rules: YesNoSuite, labels: Labels, suite: Suite) -> dict[str, dict[str, Json]]:
    """Give the part that holds what the trivial rule says, by case; nothing without a rule."""
    if rules.rule is None:
        return {}
    label = labels.by_key[_folded(rules.rule.label)]
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
        found[case.id] = {"rule": label if is_found else labels.by_key[_folded(otherwise)]}
    return found


def _probabilities(labels: tuple[str, ...], answer: Answer) -> dict[str, Json]:
    """Give the parts `p` and `p_other` where the model told how likely each label is; nothing else."""
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


def _grade(labels: Labels, expected: str, text: str) -> Grade:
    strict = labels.read_strictly(text)
    lenient = strict if strict or is_refusal(text) else labels.read_leniently(text)
    found = f'found "{clip(text)}"'
    if strict is not None:
        reason = Reason.CORRECT if strict == expected else Reason.WRONG_LABEL
        explanation = f'Expected "{expected}", {found}.'
    elif lenient is not None:
        reason = Reason.FORMAT
        verdict = "right" if lenient == expected else "wrong"
        explanation = f'The label is there ("{lenient}", {verdict}) but not alone: expected "{expected}", {found}.'
    else:
        reason, explanation = Reason.UNPARSED, f'The first line says no single label: expected "{expected}", {found}.'
    return Grade(
        score=float(reason is Reason.CORRECT),
        passed=reason is Reason.CORRECT,
        reason=reason,
        explanation=explanation,
        format_ok=strict is not None,
        parts={"strict": strict, "lenient": lenient, "expected": expected, "lenient_correct": lenient == expected},
    )


def _folded(text: str) -> str:
    return normalise(text).casefold()


KIND = GraderKind(
    name="yes_no",
    case_fields=YesNoCase,
    suite_fields=YesNoSuite,
    build=build,
    text_fields=frozenset({"labels", "positive", "rule"}),
    has_format=True,
    reasons=(Reason.CORRECT, Reason.WRONG_LABEL, Reason.FORMAT, Reason.UNPARSED),
    labels=scored_labels,
)

"""The grader `yes_no`: one label out of a few, asked for as the whole answer.

Two readings of each answer.  *Strict*: the answer is a label and nothing else, in any case, with
or without a full stop.  *Lenient*: the label a person would read in the first line.  An answer
with only the lenient one is `format` and fails, whatever its label: keeping to the asked
format is a result of its own.  Only the first line is read, for base models run on into the next
example and write its label too.

Source: strict and flexible extraction side by side as in lm-evaluation-harness' GSM8K; that an
answer without a label is no label at all, unlike in openai/evals' confusion matrix.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.rules import rules_of
from pytest_llmbench.grading.text import clip, graded_unless_void, is_refusal, normalise
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Answer, Case, Grade, Grader, GraderKind, Reason, Suite

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


class YesNoSuite(Strict):
    """The labels of a suite; `positive` (else the first) is the class that F1 and the yes-rate are about."""

    labels: tuple[str, ...] = Field(default=("yes", "no"), min_length=2)
    positive: str | None = None

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        keys = [_folded(label) for label in self.labels]
        if "" in keys:
            raise ValueError("a label is blank; write a word")
        if len(set(keys)) < len(keys):
            raise ValueError(f"two labels are the same word: {', '.join(self.labels)}")
        if self.positive is not None and _folded(self.positive) not in keys:
            raise ValueError(f'positive "{self.positive}" is none of the labels: {", ".join(self.labels)}')
        return self


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
    """Make the grader.

    Raises:
        SuiteFault: a case expects something that is no label.
    """
    del root
    labels = Labels.of(rules_of(suite, YesNoSuite).labels)
    for case in suite.cases:
        expected = rules_of(case, YesNoCase).expected
        if _folded(expected) not in labels.by_key:
            known = ", ".join(labels.by_key.values())
            message = f'case "{case.id}" expects "{expected}"; the labels are: {known}. Write one of them.'
            raise SuiteFault(message, path=case.path, line=case.line)

    def judge(case: Case, answer: Answer) -> Grade:
        expected = labels.by_key[_folded(rules_of(case, YesNoCase).expected)]
        return _grade(labels, expected, answer.text)

    return graded_unless_void(judge)


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


KIND = GraderKind(name="yes_no", case_fields=YesNoCase, suite_fields=YesNoSuite, build=build, has_format=True)

"""The check `similar`: the cosine of the embeddings of answer and reference.  Advice unless the suite says otherwise.

It does not see what matters: an answer with the opposite meaning or another number is about as similar as a right one
(measured in docs/checks.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.grading.answer_text import clip
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.grading.checks.base import CheckKind, PathFields, Placed, Test, WrittenTexts, quoted
from pytest_llmbench.grading.checks.of_case import case_leaves
from pytest_llmbench.models.embedders import EmbedderSpec, cosine, shared_embedders
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Share, Switch, Text
from pytest_llmbench.values import Answer, Case, Grade, Reason, Suite

_NAME = "similar"


class SimilarValue(Strict):
    """What the answer is to resemble, by which embedder, and from which cosine it passes."""

    expected: WrittenTexts
    model: Text
    min: Share | None = None


class SimilarFields(PathFields):
    """A text that means about the same; `advice` unless the suite writes `advice: false`, and a `min`."""

    similar: SimilarValue
    advice: Switch = True

    @model_validator(mode="after")
    def _can_decide(self) -> Self:
        if not self.advice and self.similar.min is None:
            raise ValueError("without a `min` in `similar`, nothing is decided; write one, or take `advice: false` out")
        return self

    @property
    def decides(self) -> bool:
        """Whether an answer can pass or fail."""
        return self.similar.min is not None


def embedders_of(suite: Suite, root: Path) -> tuple[EmbedderSpec, ...]:
    """Give the embedders that the checks of a suite name, each once.

    Raises:
        SuiteFault: there is no such embedder.
    """
    leaves = ((case, leaf.fields) for case in suite.cases for leaf in case_leaves(case) if leaf.kind == _NAME)
    return tuple(_embedders([Placed(case=case, fields=fields) for case, fields in leaves], suite, root).values())


def references_of(cases: Iterable[Case]) -> Mapping[str, frozenset[str]]:
    """Give the texts that answers are compared with, by the name of the embedder."""
    found: dict[str, set[str]] = {}
    for case in cases:
        for leaf in case_leaves(case):
            if leaf.kind == _NAME:
                found.setdefault(leaf.fields.similar.model, set()).update(leaf.fields.similar.expected)
    return {name: frozenset(texts) for name, texts in found.items()}


def _embedders(placed: Sequence[Placed], suite: Suite, root: Path) -> dict[str, EmbedderSpec]:
    first = {one.fields.similar.model: one.case for one in reversed(placed)}
    return {name: _embedder(name, case, suite, root) for name, case in first.items()}


def _embedder(name: str, case: Case, suite: Suite, root: Path) -> EmbedderSpec:
    try:
        return shared_embedders().named(name, suite.path.parent, root)
    except UsageFault as fault:
        raise SuiteFault(f'case "{case.id}": check similar: {fault}', path=case.path, line=case.line) from None


def _tests(placed: Sequence[Placed], suite: Suite, root: Path) -> Sequence[Test]:
    references: dict[str, set[str]] = {}
    for one in placed:
        references.setdefault(one.fields.similar.model, set()).update(one.fields.similar.expected)
    embedders = _embedders(placed, suite, root)
    values = [one.fields.similar for one in placed]
    return [_test(value, embedders[value.model], references[value.model]) for value in values]


def _test(value: SimilarValue, embedder: EmbedderSpec, unknown: set[str]) -> Test:
    """Make the test; the references of all checks that share `unknown` are embedded with the first answer."""

    def test(case: Case, answer: Answer) -> Grade:
        del case
        embedders, text = shared_embedders(), answer.text.strip()
        own, *others = embedders.vectors(embedder, [text, *value.expected, *sorted(unknown)])
        unknown.clear()
        score = max(cosine(own, other) for other in others[: len(value.expected)])
        passed = value.min is None or score >= value.min
        asked = "" if value.min is None else f" of {value.min:g}"
        return Grade(
            score=min(1.0, max(0.0, score)),
            passed=passed,
            reason=Reason.CORRECT if passed else Reason.DIFFERENT,
            explanation=f'similar {score:.2f}{asked} to {quoted(value.expected, "or")}, found "{clip(answer.text)}".',
        )

    return test


def _expected(fields: Any) -> str:
    least = "" if fields.similar.min is None else f"at least {fields.similar.min:g} "
    return f"similar {least}to {quoted(fields.similar.expected, 'or')}"


def _findings(placed: Sequence[Placed], suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Tell what is missing for the embedders: an error before a run, and a warning where nothing is asked."""
    severity = Severity.WARNING if is_thorough else Severity.ERROR
    missing = [embedder.missing() for embedder in _embedders(placed, suite, root).values()]
    return tuple(Finding(severity=severity, message=f"check similar: {why}") for why in missing if why is not None)


SIMILAR = CheckKind(
    name=_NAME,
    fields=SimilarFields,
    build=_tests,
    expected=_expected,
    is_local=False,
    findings=_findings,
    always=lambda fields: True if fields.similar.min == 0 and not fields.advice else None,
)

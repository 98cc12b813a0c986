"""Self-tests of the rubrics of a `key_points` suite, before a model is asked.

A rubric is tried on answers whose right grade is known: its own references must pass; the prompt's inputs
given back, nothing at all and another case's reference must fail; a reference must no
longer pass when another explanation is added to it, and must lose marks when it is denied.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

from pytest_llmbench.grading.answer_text import GRADED_CHARACTERS, clip
from pytest_llmbench.grading.base import Finding, Severity, rules_of
from pytest_llmbench.grading.key_points.claims import Claim, Explanation
from pytest_llmbench.grading.key_points.marks import FORBIDDEN_CAP, PATTERNS_TIME_S, mark
from pytest_llmbench.grading.key_points.rubric import KeyPointsCase, KeyPointsSuite, Point, Rubric, input_texts
from pytest_llmbench.values import Case, Suite

_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+")

STRANGERS = 20
"""How many other cases' references a rubric is tried on."""


def check(suite: Suite, root: Path, *, is_thorough: bool) -> tuple[Finding, ...]:
    """Find points that stand in their own prompt; if thorough, also try each rubric on known answers."""
    del root
    rules = rules_of(suite, KeyPointsSuite)
    threshold = rules.threshold
    findings: list[Finding] = []
    if is_thorough and threshold <= FORBIDDEN_CAP:
        message = f"a threshold of {threshold:g} passes answers with a forbidden claim; set it over {FORBIDDEN_CAP:g}."
        findings.append(Finding(severity=Severity.WARNING, message=message))
    for place, case in enumerate(suite.cases):
        rubric = Rubric.of(case, threshold)
        name = rubric.without_patterns
        if name is not None and rules.judge is None:
            findings.append(_finding(case, f"{only_judged(name)}, and the suite has `judge: false`; write `any`."))
        others = [other for other in (*suite.cases[place + 1 :], *suite.cases[:place]) if _is_other(case, other)]
        try:
            for message in _echoes(case, rubric):
                findings.append(_finding(case, message, Severity.ERROR if is_thorough else Severity.WARNING))
            if is_thorough and name is None:
                findings.extend(_tried(case, rubric, others[:STRANGERS]))
        except TimeoutError as fault:
            findings.append(_finding(case, f"{fault}."))
    return tuple(findings)


def only_judged(name: str) -> str:
    """Explain that a point or a forbidden claim has no patterns."""
    return f'"{name}" has no patterns (`any`), so only a judge model can look for it'


def _echoes(case: Case, rubric: Rubric) -> Iterator[str]:
    texts = input_texts(case)
    for point in rubric.points:
        claim = None if point.is_echo_ok else _found_in(texts, point)
        if claim:
            yield (
                f'point "{point.phrases.name}" matches "{clip(claim.quote, 60)}" in the case\'s own input, so an echo '
                "makes it; choose other words, or set echo_ok: true."
            )


def _found_in(texts: Sequence[str], point: Point) -> Claim | None:
    for text in texts:
        claim = Explanation(text, limit=GRADED_CHARACTERS, time_s=PATTERNS_TIME_S).find(point.phrases)
        if claim:
            return claim
    return None


def _tried(case: Case, rubric: Rubric, others: Sequence[Case]) -> Iterator[Finding]:
    rules = rules_of(case, KeyPointsCase)
    for text in rules.references:
        if not (marks := mark(rubric, text)).passed:
            yield _finding(case, f'the reference "{clip(text, 60)}" fails: {marks} Widen the points, or mend it.')
        elif mark(rubric, _denied(text)).score >= marks.score:
            message = f'the reference "{clip(text, 60)}" loses no marks when it is denied; narrow the points.'
            yield _finding(case, message)
    for what, text in _wrong_answers(case, others):
        if mark(rubric, text).passed:
            yield _finding(case, f"{what} passes; narrow the points, or raise the threshold.")
    if len(rules.points) < 2:
        advice = "it has one point only; two independent ones distinguish an explanation from a guess."
        yield _finding(case, advice, Severity.ADVICE)
    if not rules.references:
        advice = "it has no reference, so nothing shows that its points can be made; add one."
        yield _finding(case, advice, Severity.ADVICE)


def _wrong_answers(case: Case, others: Sequence[Case]) -> Iterator[tuple[str, str]]:
    yield "an empty answer", ""
    yield "an echo of the case's inputs", "\n".join(input_texts(case))
    strange = [(other.id, text) for other in others for text in rules_of(other, KeyPointsCase).references[:1]]
    for other_id, text in strange:
        yield f'the reference of case "{other_id}"', text
    # the manner this grader exists for: one explanation after the other, in the hope that one is right
    for own in rules_of(case, KeyPointsCase).references[:1]:
        for other_id, text in strange[:1]:
            # at least as long as the reference itself, for a short alternative is an aside
            words = text.split()
            added = islice(cycle(words), max(len(words), len(own.split())))
            yield f'its reference with that of case "{other_id}" added', f"{own} Alternatively, {' '.join(added)}"


def _denied(text: str) -> str:
    """Deny each sentence of a text, without a negation that an alternative may hold itself."""
    sentences = (sentence for sentence in _BETWEEN_SENTENCES.split(text) if sentence)
    return " ".join(f"It is wrong to say that {sentence[:1].lower()}{sentence[1:]}" for sentence in sentences)


def _finding(case: Case, message: str, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(severity=severity, message=message, case=case.id)


def _is_other(case: Case, other: Case) -> bool:
    return other.id != case.id and (case.cluster is None or case.cluster != other.cluster)

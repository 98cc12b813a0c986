"""Graders that compare with what is written: `exact`, `contains` and `regex`.

They ask for no format, so `format_ok` is None; a right answer scores 1, a wrong one 0.
"""

from pathlib import Path
from typing import Annotated

import regex
from pydantic import AfterValidator, BeforeValidator, Field

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.answer_text import clip, ended, graded_unless_void, has_token_at_edge, is_empty
from pytest_llmbench.grading.base import Grader, GraderKind, expected_reference, rules_of
from pytest_llmbench.grading.equal_texts import folding, unseen_difference, unseen_in
from pytest_llmbench.grading.fields import NoFields, as_list
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason, Suite

PATTERN_TIME_S = 1.0
"""How long one answer may keep a pattern busy: patterns are the author's, but answers can be hostile."""


def _not_blank(text: str) -> str:
    if is_empty(text):
        raise ValueError("a blank text cannot be expected; write the text of a right answer")
    return text


Expected = Annotated[str, AfterValidator(_not_blank)]
ExpectedTexts = Annotated[
    tuple[Expected, ...],
    Field(min_length=1),
    BeforeValidator(as_list, json_schema_input_type=str | list[str]),
]


class OnePattern(Strict):
    """A case with one expected pattern."""

    expected: Expected


class OneText(Strict):
    """A case with one expected text; `verbatim` where each character counts."""

    expected: Expected
    verbatim: Switch = False


class SeveralTexts(Strict):
    """A case with one or several texts, all of which must occur; `verbatim` where each character counts."""

    expected: ExpectedTexts
    verbatim: Switch = False


class LetterCase(Strict):
    """A suite that may ignore upper and lower case."""

    ignore_case: Switch = False


def build_exact(suite: Suite, root: Path) -> Grader:
    """Make a grader that asks for the expected text and nothing else, whitespace around either trimmed."""
    del root
    ignores_case = rules_of(suite, LetterCase).ignore_case

    def grade(case: Case, answer: Answer) -> Grade:
        rules = rules_of(case, OneText)
        read = folding(is_verbatim=rules.verbatim, ignores_case=ignores_case)
        expected, found = rules.expected.strip(), answer.text.strip()
        forms = (found,) if rules.verbatim else (found, ended(found))
        passed = any(read(form).strip() == read(expected).strip() for form in forms)
        unseen = None if passed else unseen_difference(expected, found)
        return literal_grade(passed, f'"{clip(expected)}"', found, unseen=unseen)

    return graded_unless_void(grade)


def build_contains(suite: Suite, root: Path) -> Grader:
    """Make a grader that asks for every expected text somewhere in the answer, inside words too.

    A run of whitespace counts as one blank, in both, unless the case is `verbatim`.
    """
    del root
    ignores_case = rules_of(suite, LetterCase).ignore_case

    def grade(case: Case, answer: Answer) -> Grade:
        rules = rules_of(case, SeveralTexts)
        fold = folding(is_verbatim=rules.verbatim, ignores_case=ignores_case)

        def read(text: str) -> str:
            return fold(text) if rules.verbatim else " ".join(fold(text).split())

        is_whole = rules.verbatim or any(map(has_token_at_edge, rules.expected))
        found = read(answer.text if is_whole else ended(answer.text))
        missing = [text for text in rules.expected if read(text) not in found]
        quoted = clip(" and ".join(f'"{text}"' for text in missing or rules.expected))
        unseen = next(filter(None, (unseen_in(text, answer.text) for text in missing)), None)
        return literal_grade(not missing, quoted, answer.text, {"missing": missing}, unseen=unseen)

    return graded_unless_void(grade)


def build_regex(suite: Suite, root: Path) -> Grader:
    """Make a grader that asks for a full match of the case's pattern, the answer trimmed.

    Patterns are those of the `regex` package, a superset of `re`; flags stand in them, as in `(?i)yes`.

    Raises:
        SuiteFault: a pattern does not compile.
    """
    del root
    patterns = {case.id: _compiled(case) for case in suite.cases}

    def grade(case: Case, answer: Answer) -> Grade:
        pattern, found = patterns[case.id], answer.text.strip()
        try:
            is_match = any(
                pattern.fullmatch(form, timeout=PATTERN_TIME_S) for form in dict.fromkeys((found, ended(found)))
            )
        except TimeoutError:
            raise overtime(pattern.pattern, f'case "{case.id}": ') from None
        return literal_grade(is_match, f"a full match of {clip(pattern.pattern)}", found)

    return graded_unless_void(grade)


def literal_grade(
    passed: bool, expected: str, found: str, parts: dict[str, Json] | None = None, *, unseen: str | None = None
) -> Grade:
    """Give all or nothing, with what was expected and found in one sentence.

    `unseen` is the difference of two texts that look alike.
    """
    note = f" ({unseen})" if unseen else ""
    return Grade(
        score=float(passed),
        passed=passed,
        reason=Reason.CORRECT if passed else Reason.DIFFERENT,
        explanation=f'Expected {expected}, found "{clip(found)}"{note}.',
        parts=parts or {},
    )


def overtime(pattern: str, where: str = "") -> TimeoutError:
    """Give the fault of a pattern that would not end: the harness's, not the model's."""
    return TimeoutError(
        f"{where}the pattern {pattern} took over {PATTERN_TIME_S:g} s on this answer; take nested repetitions out of it"
    )


def _compiled(case: Case) -> regex.Pattern[str]:
    source = rules_of(case, OnePattern).expected
    try:
        return regex.compile(source)
    except regex.error as fault:
        message = f'case "{case.id}": {source!r} is no pattern ({fault}); write a regular expression.'
        raise SuiteFault(message, path=case.path, line=case.line) from None


_REASONS = (Reason.CORRECT, Reason.DIFFERENT)

EXACT = GraderKind(
    name="exact",
    case_fields=OneText,
    suite_fields=LetterCase,
    build=build_exact,
    version=3,
    reasons=_REASONS,
    references=expected_reference,
)
CONTAINS = GraderKind(
    name="contains",
    case_fields=SeveralTexts,
    suite_fields=LetterCase,
    build=build_contains,
    version=3,
    reasons=_REASONS,
)
REGEX = GraderKind(
    name="regex", case_fields=OnePattern, suite_fields=NoFields, build=build_regex, version=2, reasons=_REASONS
)

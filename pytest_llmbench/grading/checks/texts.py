"""Checks that compare with texts: equals, contains, contains_any, starts_with, ends_with, one_of.

They compare as the graders `exact` and `contains` do (`equal_texts`); `trim: false` compares whitespace too.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import regex

from pytest_llmbench.grading.answer_text import ended, has_token_at_edge
from pytest_llmbench.grading.checks.base import (
    CheckKind,
    Short,
    Test,
    TextFields,
    Written,
    WrittenTexts,
    each,
    quoted,
    scalar_text,
)
from pytest_llmbench.grading.checks.patterns import Pattern
from pytest_llmbench.grading.equal_texts import folding, unseen_difference, unseen_in
from pytest_llmbench.grading.match import CONTAINS as CONTAINS_GRADER
from pytest_llmbench.grading.match import EXACT as EXACT_GRADER
from pytest_llmbench.grading.match import PATTERN_TIME_S, literal_grade, overtime
from pytest_llmbench.values import Answer, Case, Grade, Json

_NUMBER = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?(?:[eE][-+]?\d{1,3})?")


class EqualsFields(TextFields):
    """The answer is this text; what matches a pattern of `delete` is taken out of both first, one after another."""

    equals: Written
    delete: tuple[Pattern, ...] = ()


class ContainsFields(TextFields):
    """Each of these texts occurs in the answer."""

    contains: WrittenTexts


class ContainsAnyFields(TextFields):
    """One of these texts occurs in the answer."""

    contains_any: WrittenTexts


class StartsWithFields(TextFields):
    """The answer begins with one of these texts."""

    starts_with: WrittenTexts


class EndsWithFields(TextFields):
    """The answer ends with one of these texts."""

    ends_with: WrittenTexts


class OneOfFields(TextFields):
    """The answer is one of these texts."""

    one_of: WrittenTexts


def _without(patterns: Sequence[str]) -> Callable[[str], str]:
    compiled = [regex.compile(pattern) for pattern in patterns]

    def without(text: str) -> str:
        for pattern in compiled:
            try:
                text = pattern.sub("", text, timeout=PATTERN_TIME_S)
            except TimeoutError:
                raise overtime(pattern.pattern) from None
        return text

    return without


def _forms(fields: TextFields, text: str) -> tuple[str, ...]:
    """Give an answer as it is and, unless each character counts, without the tokens that end a turn."""
    return (text, ended(text)) if fields.trim and not fields.verbatim else (text,)


def _fold(fields: TextFields) -> Callable[[str], str]:
    fold = folding(is_verbatim=fields.verbatim, ignores_case=fields.ignore_case)
    return (lambda text: fold(text.strip()).strip()) if fields.trim else fold


def _equal(fields: TextFields, texts: Sequence[str]) -> Test:
    fold, without = _fold(fields), _without(getattr(fields, "delete", ()))

    def read(text: str) -> str:
        return fold(without(text))

    wanted = {read(text) for text in texts}
    numbers = {Decimal(text) for text in texts if fields.path is not None and _NUMBER.fullmatch(text)}
    expected = quoted(texts, "or")

    def test(case: Case, answer: Answer) -> Grade:
        del case
        found = answer.text
        passed = any(read(form) in wanted for form in _forms(fields, found))
        # a number of a JSON answer is equal to how it is written otherwise: 5 and 5.0
        if not passed and numbers and _NUMBER.fullmatch(found):
            passed = Decimal(found) in numbers
        unseen = None if passed or len(texts) > 1 else unseen_difference(texts[0].strip(), found.strip())
        return literal_grade(passed, expected, found, unseen=unseen)

    return test


def _occurring(fields: TextFields, texts: Sequence[str], *, needs_all: bool) -> Test:
    fold = folding(is_verbatim=fields.verbatim, ignores_case=fields.ignore_case)

    def read(text: str) -> str:
        return fold(text) if fields.verbatim or not fields.trim else " ".join(fold(text).split())

    wanted = [(text, read(text)) for text in texts]
    is_whole = fields.verbatim or any(map(has_token_at_edge, texts))

    def test(case: Case, answer: Answer) -> Grade:
        del case
        found = read(answer.text if is_whole else ended(answer.text))
        missing = [text for text, folded in wanted if folded not in found]
        passed = not missing if needs_all else len(missing) < len(wanted)
        shown = quoted(missing, "and") if needs_all and missing else quoted(texts, "and" if needs_all else "or")
        # whitespace is one blank in both, so nothing else of plain text is unseen, and looking for it takes long
        is_plain = fields.trim and found.isascii() and found.isprintable()
        looked_for = () if passed or (is_plain and all(map(str.isascii, missing))) else missing
        unseen = next(filter(None, (unseen_in(text, answer.text) for text in looked_for)), None)
        return literal_grade(passed, shown, answer.text, unseen=unseen)

    return test


def _at_end(fields: TextFields, texts: Sequence[str], *, is_start: bool) -> Test:
    read = _fold(fields)
    wanted = tuple(read(text) for text in texts)
    expected = f"{quoted(texts, 'or')} at the {'beginning' if is_start else 'end'}"

    def test(case: Case, answer: Answer) -> Grade:
        del case
        forms = map(read, _forms(fields, answer.text))
        passed = any(found.startswith(wanted) if is_start else found.endswith(wanted) for found in forms)
        return literal_grade(passed, expected, answer.text)

    return test


def _short_of(kind: str, grader: str) -> Callable[..., Short | None]:
    """Give the short form of a check whose keys a case or suite of that grader may have too."""

    def short(given: Mapping[str, Json], *, is_of_suite: bool) -> Short | None:
        del is_of_suite
        options = {key for key, value in given.items() if (key, value) not in (("trim", True), ("fence", True))}
        if not options <= {kind, "ignore_case", "verbatim", "name", "weight", "required"}:
            return None
        verbatim = {"verbatim": given["verbatim"]} if given.get("verbatim") else {}
        expected = given[kind]
        texts = [scalar_text(text) for text in expected] if isinstance(expected, list) else scalar_text(expected)
        return grader, {"expected": texts, **verbatim}

    return short


EQUALS = CheckKind(
    name="equals",
    fields=EqualsFields,
    build=each(lambda fields: _equal(fields, (fields.equals,))),
    expected=lambda fields: quoted((fields.equals,), "or"),
    version=EXACT_GRADER.version,
    short=_short_of("equals", EXACT_GRADER.name),
)
ONE_OF = CheckKind(
    name="one_of",
    version=2,
    fields=OneOfFields,
    build=each(lambda fields: _equal(fields, fields.one_of)),
    expected=lambda fields: quoted(fields.one_of, "or"),
)
CONTAINS = CheckKind(
    name="contains",
    fields=ContainsFields,
    build=each(lambda fields: _occurring(fields, fields.contains, needs_all=True)),
    expected=lambda fields: f"contains {quoted(fields.contains, 'and')}",
    version=CONTAINS_GRADER.version,
    short=_short_of("contains", CONTAINS_GRADER.name),
)
CONTAINS_ANY = CheckKind(
    name="contains_any",
    version=2,
    fields=ContainsAnyFields,
    build=each(lambda fields: _occurring(fields, fields.contains_any, needs_all=False)),
    expected=lambda fields: f"contains {quoted(fields.contains_any, 'or')}",
)
STARTS_WITH = CheckKind(
    name="starts_with",
    version=2,
    fields=StartsWithFields,
    build=each(lambda fields: _at_end(fields, fields.starts_with, is_start=True)),
    expected=lambda fields: f"begins with {quoted(fields.starts_with, 'or')}",
)
ENDS_WITH = CheckKind(
    name="ends_with",
    version=2,
    fields=EndsWithFields,
    build=each(lambda fields: _at_end(fields, fields.ends_with, is_start=False)),
    expected=lambda fields: f"ends with {quoted(fields.ends_with, 'or')}",
)

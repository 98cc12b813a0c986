"""Checks that read the answer by a pattern: regex and number.

The patterns of an author are those of the `regex` package and have a time limit an answer, as in the grader `regex`.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated

import regex
from pydantic import AfterValidator, BeforeValidator

from pytest_llmbench.grading.answer_text import clip, ended
from pytest_llmbench.grading.checks.base import CheckKind, PathFields, Short, Test, Written, each
from pytest_llmbench.grading.checks.figures import figure_in
from pytest_llmbench.grading.match import PATTERN_TIME_S, literal_grade, overtime
from pytest_llmbench.grading.match import REGEX as REGEX_GRADER
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Switch
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason

_PROBES = ("x", "7 apples,\nand a pear.", '{"a": [1, 2]}', "Zażółć gęślą jaźń!", "no\n\nyes\n")
"""Answers unlike each other: a pattern that fits them all fits each."""


def _pattern(source: str) -> str:
    try:
        regex.compile(source)
    except regex.error as fault:
        raise ValueError(f"{source!r} is no pattern ({fault}); write a regular expression") from None
    return source


Pattern = Annotated[str, AfterValidator(_pattern)]
"""A pattern of the `regex` package."""


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be a number")
    try:
        number = Decimal(str(value).strip().replace(",", ""))
    except InvalidOperation:
        raise ValueError(f'must be a number, and not "{value}"') from None
    if not number.is_finite():
        raise ValueError("must be a number")
    return number


def _not_negative(number: Decimal) -> Decimal:
    if number < 0:
        raise ValueError("must be at least 0")
    return number


Number = Annotated[Decimal, BeforeValidator(_number, json_schema_input_type=float)]


class RegexFields(PathFields):
    """A pattern that fits the whole answer, or with `search` a part of it."""

    regex: Annotated[Written, AfterValidator(_pattern)]
    search: Switch = False
    ignore_case: Switch = False
    trim: Switch = True


class NumberValue(Strict):
    """A number, and how far one may be from it."""

    value: Number
    tolerance: Annotated[Number, AfterValidator(_not_negative)] = Decimal(0)


class NumberFields(PathFields):
    """The answer is a number, or with `search` its last number is this one."""

    number: NumberValue
    search: Switch = False


def _regex_test(fields: RegexFields) -> Test:
    pattern = regex.compile(fields.regex, regex.IGNORECASE if fields.ignore_case else 0)
    expected = f"a match of {clip(fields.regex)}" if fields.search else f"a full match of {clip(fields.regex)}"

    def test(case: Case, answer: Answer) -> Grade:
        del case
        text = answer.text.strip() if fields.trim else answer.text
        forms = dict.fromkeys((text, ended(text)) if fields.trim and not fields.search else (text,))
        look = pattern.search if fields.search else pattern.fullmatch
        try:
            is_match = any(look(form, timeout=PATTERN_TIME_S) for form in forms)
        except TimeoutError:
            raise overtime(fields.regex) from None
        return literal_grade(is_match, expected, text)

    return test


def _always_matches(fields: RegexFields) -> bool | None:
    pattern = regex.compile(fields.regex, regex.IGNORECASE if fields.ignore_case else 0)
    try:
        fits = all(
            (pattern.search if fields.search else pattern.fullmatch)(probe.strip(), timeout=PATTERN_TIME_S)
            for probe in _PROBES
        )
    except TimeoutError:
        return None
    return True if fits else None


def _regex_short(given: Mapping[str, Json], *, is_of_suite: bool) -> Short | None:
    del is_of_suite
    options = {key for key, value in given.items() if (key, value) not in (("trim", True), ("fence", True))}
    is_same = options - {"search", "ignore_case"} <= {"regex", "name", "weight", "required"}
    is_plain = not given.get("search") and not given.get("ignore_case")
    return ("regex", {"expected": given["regex"]}) if is_same and is_plain else None


def _number_test(fields: NumberFields) -> Test:
    want = fields.number
    expected = f"{want.value}{f' ± {want.tolerance}' if want.tolerance else ''}"

    def test(case: Case, answer: Answer) -> Grade:
        del case
        got = figure_in(answer.text, search=fields.search)
        if got is None:
            what = "no number" if fields.search else "not just a number"
            explanation = f'Expected {expected}, found {what}: "{clip(answer.text)}".'
            return Grade(score=0.0, passed=False, reason=Reason.UNPARSED, explanation=explanation)
        passed = abs(got - want.value) <= want.tolerance
        return literal_grade(passed, expected, str(got) if fields.search else answer.text)

    return test


REGEX = CheckKind(
    name="regex",
    fields=RegexFields,
    build=each(_regex_test),
    expected=lambda fields: f"{'a match of' if fields.search else 'all of it matches'} {clip(fields.regex)}",
    version=REGEX_GRADER.version,
    short=_regex_short,
    always=_always_matches,
)
NUMBER = CheckKind(
    name="number",
    version=2,
    fields=NumberFields,
    build=each(_number_test),
    expected=lambda fields: (
        f"the number {fields.number.value}" + (f" ± {fields.number.tolerance}" if fields.number.tolerance else "")
    ),
)

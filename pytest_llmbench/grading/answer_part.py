"""Take the answer out of a text by a pattern, before it is graded: the number behind `####`, the label in brackets.

It is the first group of the pattern that matched, or the whole match where there is none.
"""

from dataclasses import replace

import regex

from pytest_llmbench.grading.answer_text import clip, is_empty, void_or
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.grading.match import PATTERN_TIME_S, overtime
from pytest_llmbench.values import Answer, AnswerPart, Case, Grade, Reason


def part_of(text: str, part: AnswerPart) -> str | None:
    """Give the part of a text; None where there is none.

    Raises:
        TimeoutError: the pattern does not end.
    """
    found = None
    try:
        for match in regex.finditer(part.regex, text, timeout=PATTERN_TIME_S):
            found = match
            if part.match == "first":
                break
    except TimeoutError:
        raise overtime(part.regex) from None
    if found is None:
        return part.otherwise
    return next((group for group in found.groups() if group is not None), found.group())


def pattern_fault(source: str) -> str | None:
    """Explain why a text is no pattern; None if it is one."""
    try:
        regex.compile(source)
    except regex.error as fault:
        return f"{source!r} is no pattern ({fault}); write a regular expression"
    return None


def of_part(grader: Grader, part: AnswerPart) -> Grader:
    """Have a grader see a part of each answer; one without that part is `unparsed`."""

    def grade(case: Case, answer: Answer) -> Grade:
        if is_empty(answer.text):
            return grader(case, answer)
        text = part_of(answer.text, part)
        if text is None:
            explanation = f'`read` finds nothing ({part.regex}): "{clip(answer.text)}".'
            return void_or(Grade(score=0.0, passed=False, reason=Reason.UNPARSED, explanation=explanation), answer)
        found = grader(case, replace(answer, text=text))
        return replace(found, parts={**found.parts, "read": text})

    return grade

"""Grade a fixed conversation: each answer by the checks of its turn.

    score = mean of the scores of the turns that have checks
    passed = each of them passes

The conversation is one case, however many turns it has.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.grading.answer_text import refused
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.grading.checks.of_case import ConversationChecks
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Answer, Case, Grade, Json, Reason


def of_conversations(grader: Grader) -> Grader:
    """Have a grader of single answers grade those of conversations, turn by turn.

    Raises of the grader:
        LlmbenchError: a check broke, or the answer has other turns than the case.
    """

    def grade(case: Case, answer: Answer) -> Grade:
        rules = case.rules
        if not isinstance(rules, ConversationChecks):
            return grader(case, answer)
        answers = answer.turns or (answer,)  # a conversation of one turn is an answer as any other
        if len(answers) != len(rules.turns):
            raise LlmbenchError(f"the case has {len(rules.turns)} turns, and its answer {len(answers)}")
        return _together(rules, answers, _by_turn(grader, case, rules, answers))

    return grade


def _by_turn(grader: Grader, case: Case, rules: ConversationChecks, answers: Sequence[Answer]) -> list[Grade | None]:
    """Grade each turn; None for one without checks."""
    grades: list[Grade | None] = []
    failed: int | None = None
    for number, (turn, answer) in enumerate(zip(rules.turns, answers, strict=True), start=1):
        if turn.checks is None:
            grades.append(None)
            continue
        if failed is not None and rules.stop_on_fail:
            why = f"It does not count any more, as turn {failed} failed."
            grades.append(Grade(score=0.0, passed=False, reason=Reason.DIFFERENT, explanation=why))
            continue
        try:
            so_far = replace(answer, turns=tuple(answers[:number]))
            grade = refused(grader(replace(case, rules=turn.checks), so_far), answer)
        except LlmbenchError as fault:
            raise LlmbenchError(f"turn {number}: {fault}") from None
        grades.append(grade)
        failed = number if failed is None and not grade.passed else failed
    return grades


def _together(rules: ConversationChecks, answers: Sequence[Answer], grades: Sequence[Grade | None]) -> Grade:
    counted = [(number, grade) for number, grade in enumerate(grades, start=1) if grade is not None]
    failed = [(number, grade) for number, grade in counted if not grade.passed]
    formats = [grade.format_ok for _, grade in counted if grade.format_ok is not None]
    parts: dict[str, Json] = {
        "turns": [
            _part(turn.user, answer, grade) for turn, answer, grade in zip(rules.turns, answers, grades, strict=True)
        ],
        "checks": [check for number, grade in counted for check in _checks(number, grade)],
    }
    if failed:
        number, first = failed[0]
        others = ", ".join(str(other) for other, _ in failed[1:])
        also = f" Also failed: turn {others}." if others else ""
        reason, explanation = first.reason, f"turn {number}: {first.explanation}{also}"
    else:
        reason, explanation = (
            Reason.CORRECT,
            "The turn passed." if len(counted) == 1 else f"All {len(counted)} turns with checks passed.",
        )
    return Grade(
        score=mean([grade.score for _, grade in counted]),
        passed=not failed,
        reason=reason,
        explanation=explanation,
        format_ok=all(formats) if formats else None,
        parts=parts,
    )


def _part(user: str, answer: Answer, grade: Grade | None) -> dict[str, Json]:
    """Write a turn for the record; what is not known is left out."""
    facts: dict[str, Any] = {
        "user": user,
        "answer": answer.text,
        "passed": None if grade is None else grade.passed,
        "score": None if grade is None else grade.score,
        "reason": None if grade is None else str(grade.reason),
        "explanation": None if grade is None else grade.explanation,
        "read": None if grade is None else grade.parts.get("read"),
        "tool_calls": [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls] or None,
        "latency_s": answer.latency_s,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "app": dict(answer.app) or None,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _checks(number: int, grade: Grade) -> list[Json]:
    """Give the checks of a turn, with its number in their names."""
    listed = grade.parts.get("checks")
    found: list[Json] = []
    for check in listed if isinstance(listed, list) else ():
        if isinstance(check, Mapping):
            found.append({**check, "name": f"turn {number}: {check['name']}"})
    return found

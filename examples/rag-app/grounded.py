"""A check of our own: the answer must stand in what was retrieved."""

from pytest_llmbench import Answer, Case, Grade


def grounded(case: Case, answer: Answer) -> Grade:
    """Pass where every sentence is in a passage, or nothing was found and the answer declines."""
    passages = " ".join(answer.app.get("context", []))
    loose = [part for part in answer.text.split(". ") if part.rstrip(".") not in passages and "not say" not in part]
    return Grade(
        score=float(not loose),
        passed=not loose,
        reason="different" if loose else "correct",
        explanation=f"Not in the passages: {loose[0]}" if loose else "It rests on the passages.",
    )

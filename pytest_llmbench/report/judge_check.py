"""How often the grades of a judge changed when it judged again, in a line a suite. Pure functions."""

from collections.abc import Iterator

from pytest_llmbench.report.format import counted, percent
from pytest_llmbench.results.records import JudgeCheck, RunInfo


def judge_check_lines(facts: RunInfo) -> Iterator[str]:
    """Write what `--llm-check-judge` found; nothing where it was not asked for."""
    name = "" if facts.judge is None else facts.judge.model
    for suite, check in facts.judge_check.items():
        yield f"{suite}: judge {name}: {judge_check_text(check)}"


def judge_check_text(check: JudgeCheck) -> str:
    """Give how many grades changed, and what else people should know of it."""
    failed = f"; {counted(check.errors, 'answer')} could not be judged again" if check.errors else ""
    if not check.answers:
        return f"no answer has a second grade{failed}"
    rate = percent(check.changed / check.answers)
    text = f"{check.changed:,} of {counted(check.answers, 'grade')} changed when judged again ({rate})"
    only_scores = f"; scores changed in {check.scores_changed:,}" if check.scores_changed > check.changed else ""
    return f"{text}{only_scores}{failed}"

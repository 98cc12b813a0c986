"""How numbers and verdicts are written and coloured in a report."""

from collections.abc import Sequence
from enum import StrEnum

from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.report.format import digits_for, moment, short_commit, signed_points
from pytest_llmbench.report.format import percent as percentage
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Outcome


class Tone(StrEnum):
    """The colour of a word, which always stands beside its sign."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    DIM = "dim"


TONES = {
    Verdict.BETTER: Tone.GOOD,
    Verdict.NO_WORSE: Tone.GOOD,
    Verdict.WORSE: Tone.BAD,
    Verdict.TOO_FEW_CASES: Tone.WARN,
    Verdict.INCONCLUSIVE: Tone.WARN,
}
SIGNS = {Tone.GOOD: "✓", Tone.BAD: "✗", Tone.WARN: "◐", Tone.DIM: ""}
GRAVITY = (Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.TOO_FEW_CASES, Verdict.NO_WORSE, Verdict.BETTER)
"""The verdicts, the gravest first."""


def percent(value: float | None, cases: int) -> str:
    """Write a share with as many digits as so many cases allow."""
    return percentage(value, digits_for(cases), "–")


def points(value: float, cases: int) -> str:
    """Write a difference of shares in points, with its sign."""
    text = signed_points(value, digits_for(cases))
    return text.replace("+", "±") if float(text) == 0 else text.replace("-", "−")


def number(value: float | None) -> str:
    """Write a number with two digits behind the point."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def came_out(record: Record) -> str:
    """Describe the outcome of a case: passed, error, or the reasons it failed for."""
    if record.outcome is not Outcome.FAILED:
        return str(record.outcome)
    return ", ".join(_reasons(record)) or "failed"


def _reasons(record: Record) -> Sequence[str]:
    return list(dict.fromkeys(s.reason for s in record.samples if s.outcome is Outcome.FAILED and s.reason))


def stamp(datetime: str, commit: str) -> str:
    """Identify a run by its day, time and commit, as far as they are known."""
    short = short_commit(commit)
    return " · ".join(part for part in (moment(datetime), short and f"commit {short}") if part)

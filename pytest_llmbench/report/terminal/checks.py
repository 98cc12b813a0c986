"""Checks as text: those of one answer for its story, and how often each passed for the end of a run."""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.report.format import counted
from pytest_llmbench.report.safe_text import clipped, on_one_line, visible
from pytest_llmbench.report.terminal.layout import Styled, folded
from pytest_llmbench.results.checks import CheckPart, broken_advice, check_parts, pass_counts
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Json

_MAX_LINE = 300


def check_lines(parts: Mapping[str, Json]) -> Iterator[str]:
    """Give a line for each check of an answer, those that failed first; nothing where there is only one."""
    checks = check_parts(parts)
    if len(checks) > 1 or any(check.inner for check in checks):
        for check in sorted(checks, key=lambda check: check.passed is True):
            yield from _lines(check, "")


def _lines(check: CheckPart, indent: str) -> Iterator[str]:
    undecided = "broken" if check.is_broken else "measured"
    word = "passed" if check.passed else undecided if check.passed is None else "failed"
    advice = "" if check.is_counted else " (advice)"
    is_explained = not check.inner and (check.is_judged or not check.passed)
    reason = f": {check.explanation}" if is_explained else ""
    yield clipped(on_one_line(f"{indent}{word} {check.name}{advice}{reason}"), _MAX_LINE)
    for inner in check.inner:
        yield from _lines(inner, f"{indent}  ")


def broken_advice_lines(records: Sequence[Record]) -> Iterator[str]:
    """Name the checks of advice that could not be tried, which no outcome shows; the texts are not safe to print."""
    for (suite, role, name), (broken, of, why) in broken_advice(records).items():
        where = f"{suite} / {role}: the check {name} (advice) could not be tried"
        yield clipped(on_one_line(f"{where} on {broken} of {counted(of, 'answer')}: {why}"), _MAX_LINE)


def check_rate_lines(records: Sequence[Record], width: int | None) -> Iterator[Styled]:
    """Count for each suite with checks, under each model, how many answers passed each check."""
    found = pass_counts(records)
    has_roles = len({role for _, role in found}) > 1
    for (suite, role), counts in found.items():
        rates = ", ".join(f"{name} {passed}/{tried}" for name, (passed, tried) in counts.items())
        name = f"{suite} [{role}]" if has_roles else suite
        yield from folded((), visible(on_one_line(f"{name}, checks passed: {rates}")), width)

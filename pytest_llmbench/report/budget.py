"""What is over the budgets of suites, in sentences. Pure functions."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.report.format import counted, dollars, listed, seconds
from pytest_llmbench.results.over_budget import COST, OverBudget, over_budget
from pytest_llmbench.results.records import Record, RunInfo

_NAMED = 5
"""How many cases are named."""


def budget_lines(records: Sequence[Record], facts: RunInfo) -> Iterator[str]:
    """Write a line for each limit that a suite exceeds under a model; the texts are not safe to print."""
    for one in over_budget(records, facts):
        yield f"{one.suite} / {one.role}: {over_text(one)} ({listed(one.cases, _NAMED)})."


def over_text(one: OverBudget) -> str:
    """Write how many answers exceed a limit, and by how much at most."""
    show, most = (dollars, "the dearest") if one.limit == COST else (seconds, "the slowest")
    of = counted(one.measured, "answer")
    return f"{one.over:,} of {of} over the budget of {show(one.most)}, {most} {show(one.worst)}"

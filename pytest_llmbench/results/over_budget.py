"""The answers that cost more, or took longer, than the budget of their suite allows. Pure functions.

An answer that was reused from an earlier run has no latency: nobody waited for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.results.records import Record, RunInfo, Sample
from pytest_llmbench.results.spending import sample_cost
from pytest_llmbench.values import Budget

COST, LATENCY = "cost_usd", "latency_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class OverBudget:
    """How far the answers to a suite under a role are over one limit of its budget.

    `limit` is `cost_usd` or `latency_s`, `most` what it allows; `over` of the `measured` answers exceed it, `worst` is
    the highest value.  `cases` are those of such answers, in the order of the records.
    """

    suite: str
    role: str
    limit: str
    most: float
    over: int
    measured: int
    worst: float
    cases: tuple[str, ...]


def over_budget(records: Sequence[Record], facts: RunInfo) -> tuple[OverBudget, ...]:
    """Find what is over the budgets: by suite and role, cost before latency; nothing that is within them."""
    budgets = {suite.suite: suite.budget for suite in facts.suites if suite.budget is not None}
    prices = {model.role: model.price for model in facts.models}
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.suite in budgets:
            groups.setdefault((record.suite, record.role), []).append(record)

    def value(sample: Sample, role: str, limit: str) -> float | None:
        if limit == COST:
            return sample_cost(sample, prices.get(role))
        return None if sample.reused else sample.latency_s

    def found() -> Iterator[OverBudget]:
        for (suite, role), own in groups.items():
            for limit, most in _limits(budgets[suite]):
                values = [
                    (record.case, known)
                    for record in own
                    for sample in record.samples
                    if sample.answer is not None and (known := value(sample, role, limit)) is not None
                ]
                over = [(case, known) for case, known in values if known > most]
                if over:
                    yield OverBudget(
                        suite=suite,
                        role=role,
                        limit=limit,
                        most=most,
                        over=len(over),
                        measured=len(values),
                        worst=max(known for _, known in over),
                        cases=tuple(dict.fromkeys(case for case, _ in over)),
                    )

    return tuple(found())


def _limits(budget: Budget | None) -> Iterator[tuple[str, float]]:
    for limit in (COST, LATENCY):
        most = None if budget is None else getattr(budget, limit)
        if most is not None:
            yield limit, most

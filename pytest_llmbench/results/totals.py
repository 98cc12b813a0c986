"""What the block of a run says of all its records together."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pytest_llmbench.results.over_budget import over_budget
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.values import Outcome


def totals(records: Sequence[Record]) -> dict[str, Any]:
    """Count records and answers by outcome, and add up the tokens."""
    samples = [sample for record in records for sample in record.samples]
    return {
        "records": len(records),
        **{str(outcome): sum(record.outcome is outcome for record in records) for outcome in Outcome},
        "samples": len(samples),
        "errors": sum(sample.outcome is Outcome.ERROR for sample in samples),
        "input_tokens": sum(sample.input_tokens or 0 for sample in samples),
        "output_tokens": sum(sample.output_tokens or 0 for sample in samples),
    }


def over_budget_to_json(run: Run) -> dict[str, Any]:
    """Give the key for what is over the budgets of the suites; none where nothing is."""
    found = [asdict(one) for one in over_budget(run.records, run.facts)]
    return {"over_budget": found} if found else {}

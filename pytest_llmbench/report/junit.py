"""The properties of cases and suites in JUnit XML, as names and values. Pure functions."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.scoreboard import scoreboard
from pytest_llmbench.results.records import Record, usual_concurrency
from pytest_llmbench.stats import mean

_DIGITS = 6


def case_properties(record: Record) -> Iterator[tuple[str, object]]:
    """Give the properties of a case: outcome, model, and where there is one the score, the reasons and the latency.

    The latency is the mean of its new answers in seconds, measured under one load.
    """
    yield "outcome", str(record.outcome)
    yield "model", visible(record.model)
    if record.score is not None:
        yield "score", round(record.score, _DIGITS)
    reasons = sorted({sample.reason for sample in record.samples if sample.reason is not None})
    if reasons:
        yield "reason", visible(",".join(reasons))
    measured = [sample for sample in record.samples if sample.latency_s is not None and not sample.reused]
    concurrency = usual_concurrency(measured)
    latencies = [s.latency_s for s in measured if s.latency_s is not None and s.concurrency == concurrency]
    if latencies:
        yield "latency_s", round(mean(latencies), _DIGITS)


def not_asked_properties(model: str) -> Iterator[tuple[str, object]]:
    """Give the properties of a case that is not asked, since its suite was decided without it."""
    yield "outcome", "not asked"
    yield "model", visible(model)


def suite_properties(records: Sequence[Record]) -> Iterator[tuple[str, object]]:
    """Give the totals of each suite under each model; the latencies are those of one concurrency."""
    for line in scoreboard(records):
        of = f"{line.name}[{line.role}]"
        yield f"llmbench.cases.{of}", line.cases
        yield f"llmbench.passed.{of}", line.passed
        yield f"llmbench.errors.{of}", line.errors
        for name, value in (
            ("score", line.score),
            ("format_rate", line.format_rate),
            ("latency_p50_s", line.p50_s),
            ("latency_p95_s", line.p95_s),
            ("ttft_p50_s", line.ttft_p50_s),
        ):
            if value is not None:
                yield f"llmbench.{name}.{of}", round(value, _DIGITS)
        if line.concurrency is not None:
            yield f"llmbench.concurrency.{of}", line.concurrency

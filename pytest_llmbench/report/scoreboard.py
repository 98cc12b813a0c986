"""The scoreboard: a line a suite and model. Pure functions of records."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_llmbench.records import Record
from pytest_llmbench.report.text import seconds, visible
from pytest_llmbench.stats import mean, quantile, wilson_interval
from pytest_llmbench.values import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the scoreboard: a suite under a model. Rates are shares; None where there is nothing to tell."""

    suite: str
    role: str
    cases: int
    answered: int
    passed: int
    score: float | None
    interval: tuple[float, float] | None
    format_rate: float | None
    p50_s: float | None
    p95_s: float | None
    ttft_p50_s: float | None
    tokens_per_s: float | None
    concurrency: tuple[int, ...]
    errors: int


def scoreboard(records: Sequence[Record]) -> tuple[Line, ...]:
    """Sum records up, a line a suite and role, in the order they first come."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.suite, record.role), []).append(record)
    return tuple(_line(suite, role, group) for (suite, role), group in groups.items())


def _line(suite: str, role: str, records: Sequence[Record]) -> Line:
    scores = [record.score for record in records if record.score is not None]
    samples = [sample for record in records for sample in record.answered]
    formats = [sample.format_ok for sample in samples if sample.format_ok is not None]
    latencies = [sample.latency_s for sample in samples if sample.latency_s is not None]
    ttfts = [sample.ttft_s for sample in samples if sample.ttft_s is not None]
    rates = [s.output_tokens / s.latency_s for s in samples if s.output_tokens and s.latency_s]
    return Line(
        suite=suite,
        role=role,
        cases=len(records),
        answered=len(scores),
        passed=sum(record.outcome is Outcome.PASSED for record in records),
        score=mean(scores) if scores else None,
        interval=wilson_interval(mean(scores), len(scores)) if scores else None,
        format_rate=mean([float(ok) for ok in formats]) if formats else None,
        p50_s=quantile(latencies, 0.5) if latencies else None,
        p95_s=quantile(latencies, 0.95) if latencies else None,
        ttft_p50_s=quantile(ttfts, 0.5) if ttfts else None,
        tokens_per_s=quantile(rates, 0.5) if rates else None,
        concurrency=tuple(
            sorted({s.concurrency for s in samples if s.concurrency is not None and s.latency_s is not None})
        ),
        errors=sum(record.outcome is Outcome.ERROR for record in records),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column of the scoreboard: `weight` says which go first when the terminal is narrow (the heaviest stay)."""

    title: str
    cell: Callable[[Line], str]
    weight: int
    is_left: bool = False


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate * 100:.1f}%"


def _interval(line: Line) -> str:
    return "-" if line.interval is None else f"{line.interval[0] * 100:.1f}-{line.interval[1] * 100:.1f}"


def _duration(value_s: float | None) -> str:
    return "-" if value_s is None else seconds(value_s)


_COLUMNS = (
    _Column(title="suite", cell=lambda line: line.suite, weight=13, is_left=True),
    _Column(title="model", cell=lambda line: line.role, weight=13, is_left=True),
    _Column(title="cases", cell=lambda line: str(line.cases), weight=9),
    _Column(title="passed", cell=lambda line: str(line.passed), weight=3),
    _Column(title="score", cell=lambda line: _share(line.score), weight=13),
    _Column(title="95% interval", cell=_interval, weight=11),
    _Column(title="format", cell=lambda line: _share(line.format_rate), weight=8),
    _Column(title="p50", cell=lambda line: _duration(line.p50_s), weight=10),
    _Column(title="p95", cell=lambda line: _duration(line.p95_s), weight=6),
    _Column(title="TTFT", cell=lambda line: _duration(line.ttft_p50_s), weight=5),
    _Column(
        title="tok/s", cell=lambda line: "-" if line.tokens_per_s is None else f"{line.tokens_per_s:.1f}", weight=4
    ),
    _Column(title="at", cell=lambda line: _spans(line.concurrency), weight=2),
    _Column(title="errors", cell=lambda line: str(line.errors), weight=12),
)


_SHORT_WEIGHT = 10


def _spans(concurrency: Sequence[int]) -> str:
    if not concurrency:
        return "-"
    low, high = concurrency[0], concurrency[-1]
    return f"x{low}" if low == high else f"x{low}-{high}"


def scoreboard_lines(lines: Sequence[Line], width: int, *, is_short: bool = False) -> list[str]:
    """Lay the scoreboard out as text.

    The least needed columns are left out where it would be wider than `width`; all but the most
    needed ones with `is_short`.
    """
    columns = [column for column in _COLUMNS if not is_short or column.weight >= _SHORT_WEIGHT]
    while True:
        cells = [[visible(column.cell(line)) for column in columns] for line in lines]
        table = [[column.title for column in columns], *cells]
        widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
        if sum(widths) + 2 * (len(widths) - 1) <= width or max(c.weight for c in columns) == min(
            c.weight for c in columns
        ):
            break
        lightest = min(column.weight for column in columns)
        columns = [column for column in columns if column.weight > lightest]
    return [
        "  ".join(
            text.ljust(size) if column.is_left else text.rjust(size)
            for text, size, column in zip(row, widths, columns, strict=True)
        ).rstrip()
        for row in table
    ]


def reason_lines(records: Sequence[Record]) -> list[str]:
    """Count the reasons of the samples, a line a suite and role that has other than right answers."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for record in records:
        reasons = counts.setdefault((record.suite, record.role), Counter())
        reasons.update(sample.reason or "error" for sample in record.samples)
    return [
        visible(f"{suite} {role}: " + ", ".join(f"{count} {reason}" for reason, count in found.most_common()))
        for (suite, role), found in counts.items()
    ]

"""The times of a run, by suite and model: only those measured under one load are put together.

Latencies measured one at a time and under load mean different things, and so do loads of different size: they never
share a figure.  A model's load is the concurrency (requests in flight, rows of a batch) under which most of its
answers to a suite were measured, as on the scoreboard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.report.format import seconds
from pytest_llmbench.report.html.subject import Subject, grouped
from pytest_llmbench.report.html.svg import Scale, tag
from pytest_llmbench.results.records import Record, usual_concurrency
from pytest_llmbench.stats import quantile

_TICK_ROOM = 16  # for half of a number below the axis


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of one suite under one model, in seconds.

    `load` is 0 where it is not known.  `reused` answers were timed in another run, `others` under a different load;
    both are left out.
    """

    suite: str
    role: str
    load: int
    latencies_s: tuple[float, ...]
    ttfts_s: tuple[float, ...]
    tokens_per_s: tuple[float, ...]
    reused: int
    others: int

    @property
    def p50_s(self) -> float:
        """The median latency."""
        return quantile(self.latencies_s, 0.5)

    @property
    def p95_s(self) -> float:
        """The latency that 95% of the answers do not exceed."""
        return quantile(self.latencies_s, 0.95)


def timings(subject: Subject) -> tuple[Timing, ...]:
    """Collect the times, a suite and role each; those without any are left out."""
    groups = grouped(subject.run.records)
    found = (
        _timing(suite, role, groups[suite, role])
        for suite in subject.suites
        for role in subject.roles
        if (suite, role) in groups
    )
    return tuple(timing for timing in found if timing.latencies_s)


def _timing(suite: str, role: str, records: Sequence[Record]) -> Timing:
    timed = [s for record in records for s in record.answered if s.latency_s]
    own = [sample for sample in timed if not sample.reused]
    load = usual_concurrency(own)
    kept = [sample for sample in own if sample.concurrency == load]
    return Timing(
        suite=suite,
        role=role,
        load=load or 0,
        latencies_s=tuple(sample.latency_s for sample in kept if sample.latency_s),
        ttfts_s=tuple(sample.ttft_s for sample in kept if sample.ttft_s),
        tokens_per_s=tuple(s.output_tokens / s.latency_s for s in kept if s.output_tokens and s.latency_s),
        reused=len(timed) - len(own),
        others=len(own) - len(kept),
    )


def by_load(found: Sequence[Timing]) -> dict[int, list[Timing]]:
    """Part times by the load they were measured under, the least first."""
    return {load: [timing for timing in found if timing.load == load] for load in sorted({t.load for t in found})}


def load_text(load: int) -> str:
    """Describe the load under which times were measured."""
    if load == 0:
        return "under an unknown load"
    return "one at a time" if load == 1 else f"{load} at a time"


def time_axis(across: Scale, top: float, bottom: float) -> Iterator[Markup]:
    """Draw the lines and numbers of an axis of seconds."""
    for value in across.ticks():
        yield tag("path", d=f"M{across(value):.1f} {top}V{bottom}", class_="grid")
        x, is_last = across(value), across(value) > across.end - _TICK_ROOM
        anchor = "end" if is_last else "middle"
        yield tag("text", seconds(value), x=across.end if is_last else x, y=bottom + 15, class_=f"axis {anchor}")

"""Quality against speed, and the spread of latencies: one figure for each load they were measured under.

Latencies measured one at a time and under load mean different things, and so do loads of different size: they never
share a figure.  A model's load is the concurrency (requests in flight, rows of a batch) under which most of its
answers to a suite were measured, as on the scoreboard.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.gate.latency import usual_concurrency
from pytest_llmbench.report.html.format import percent
from pytest_llmbench.report.html.subject import Subject, grouped
from pytest_llmbench.report.html.svg import MARKS, Scale, log_scale, marker, picture, tag
from pytest_llmbench.report.safe_text import seconds
from pytest_llmbench.report.terminal.scoreboard import Line, scoreboard
from pytest_llmbench.results.records import Record
from pytest_llmbench.stats import quantile

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 40
_STRIP, _STRIP_WIDTH = 26, 440
_BINS = 48
_TICK_ROOM = 16  # for half of a number below the axis
_LETTER = 6.8  # the usual width of one in a name
_NAME_CHARACTERS = 18
_NAMES_LEFT_FROM = 0.8 * _WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of one suite under one model, in seconds.

    `load` is 0 where nobody said.  `reused` answers were timed in another run, `others` under another load; both are
    left out.
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
    """Say under which load times were measured."""
    if load == 0:
        return "under an unknown load"
    return "one at a time" if load == 1 else f"{load} at a time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture of what was measured under one load."""

    load: str
    picture: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A line of the table of latencies."""

    suite: str
    role: str
    place: int
    answers: int
    p50: str
    p95: str
    ttft_p50: str
    ttft_p95: str
    tokens_per_s: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The latencies measured under one load: a picture a suite, and the numbers."""

    load: str
    latencies: tuple[tuple[str, Markup], ...]
    ttfts: tuple[tuple[str, Markup], ...]
    table: tuple[Times, ...]


# -- quality against speed


def figures(subject: Subject) -> tuple[Figure, ...]:
    """Draw each suite under each model by median latency and score."""
    lines = {(line.suite, line.role): line for line in scoreboard(subject.run.records)}
    return tuple(
        Figure(load=load_text(load), picture=_scatter(subject, found, lines))
        for load, found in by_load(timings(subject)).items()
    )


def _scatter(subject: Subject, found: Sequence[Timing], lines: dict[tuple[str, str], Line]) -> Markup:
    across = log_scale([timing.p50_s for timing in found], _LEFT, _WIDTH - _RIGHT)
    up = Scale(low=0, high=1, start=_HEIGHT - _BOTTOM, end=_TOP)
    shown = [(timing, line) for timing in found if (line := lines[timing.suite, timing.role]).score is not None]
    places = [(across(timing.p50_s), up(line.score or 0.0), _short(timing.suite)) for timing, line in shown]
    return picture(
        _WIDTH,
        _HEIGHT,
        f"score against median latency, measured {load_text(found[0].load)}",
        *_score_axis(up, _LEFT, _WIDTH - _RIGHT),
        *_time_axis(across, _TOP, _HEIGHT - _BOTTOM),
        tag("text", "median latency (log)", x=(_LEFT + _WIDTH) / 2, y=_HEIGHT - 6, class_="axis middle"),
        *(
            _point(subject, timing, line, x, up, height)
            for (timing, line), (x, _, _), height in zip(shown, places, _name_heights(places), strict=True)
        ),
    )


def _point(subject: Subject, timing: Timing, line: Line, x: float, up: Scale, name_y: float) -> Markup:
    place = subject.roles.index(timing.role)
    score, interval = line.score or 0.0, line.interval or (0.0, 0.0)
    low, high = interval
    label = (
        f"{timing.suite}, {timing.role}: {percent(score, line.answered)} "
        f"({low * 100:.0f}% to {high * 100:.0f}%), {seconds(timing.p50_s)}"
    )
    side, end = (9, "") if x < _NAMES_LEFT_FROM else (-9, " end")
    return tag(
        "g",
        tag("title", label),
        tag("path", d=f"M{x:.1f} {up(low):.1f}V{up(high):.1f}", class_=f"whisker m{place % MARKS}"),
        marker(place, x, up(score)),
        tag("text", _short(timing.suite), x=x + side, y=name_y, class_=f"name{end}"),
    )


def _short(name: str) -> str:
    """Cut a name that would fill the picture; its title has it whole."""
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"


def _name_heights(points: Sequence[tuple[float, float, str]]) -> list[float]:
    """Give each name a height at which it covers none before it; points are (x, y, name)."""
    taken = [(x - 7, x + 7, y + 4) for x, y, _ in points]
    heights = []
    for x, y, name in points:
        width = 9 + _LETTER * len(name)
        left, right = (x + 7, x + 7 + width) if x < _NAMES_LEFT_FROM else (x - 7 - width, x - 7)
        tries = (y + 4 + step for step in (0, -13, 13, -26, 26, -39, 39))
        free = (h for h in tries if not any(left < r and right > q and abs(h - t) < 12 for q, r, t in taken))
        height = next(free, y + 4)
        taken.append((left, right, height))
        heights.append(height)
    return heights


def _score_axis(up: Scale, left: float, right: float) -> Iterator[Markup]:
    for value in up.ticks():
        yield tag("path", d=f"M{left} {up(value):.1f}H{right}", class_="grid")
        yield tag("text", f"{value * 100:.0f}%", x=left - 6, y=up(value) + 4, class_="axis end")


def _time_axis(across: Scale, top: float, bottom: float) -> Iterator[Markup]:
    for value in across.ticks():
        yield tag("path", d=f"M{across(value):.1f} {top}V{bottom}", class_="grid")
        x, is_last = across(value), across(value) > across.end - _TICK_ROOM
        anchor = "end" if is_last else "middle"
        yield tag("text", seconds(value), x=across.end if is_last else x, y=bottom + 15, class_=f"axis {anchor}")


# -- how latencies spread


def spreads(subject: Subject) -> tuple[Spread, ...]:
    """Draw how the latencies, and the times to the first token, spread."""
    return tuple(
        Spread(
            load=load_text(load),
            latencies=tuple(_strips(subject, [(timing, timing.latencies_s) for timing in found], "latency")),
            ttfts=tuple(_strips(subject, [(t, t.ttfts_s) for t in found if t.ttfts_s], "time to the first token")),
            table=tuple(_times(subject, timing) for timing in found),
        )
        for load, found in by_load(timings(subject)).items()
    )


def _strips(
    subject: Subject, found: Sequence[tuple[Timing, Sequence[float]]], what: str
) -> Iterator[tuple[str, Markup]]:
    """Draw a picture a suite, a strip a model."""
    for suite in dict.fromkeys(timing.suite for timing, _ in found):
        own = [(timing, values) for timing, values in found if timing.suite == suite]
        across = log_scale([value for _, values in own for value in values], 8, _STRIP_WIDTH - 8)
        bottom = len(own) * _STRIP + 6
        strips = [
            _strip(subject.roles.index(timing.role), timing, values, across, row * _STRIP + 4)
            for row, (timing, values) in enumerate(own)
        ]
        height = bottom + 22
        yield (
            suite,
            picture(_STRIP_WIDTH, height, f"{suite}: {what}, a strip a model", *_time_axis(across, 0, bottom), *strips),
        )


def _strip(place: int, timing: Timing, values: Sequence[float], across: Scale, top: float) -> Markup:
    middle, late = (quantile(values, share) for share in (0.5, 0.95))
    label = f"{timing.role}: {len(values)} answers, p50 {seconds(middle)}, p95 {seconds(late)}"
    base = top + _STRIP - 6
    return tag(
        "g",
        tag("title", label),
        tag("path", d=_bars(values, across, base), class_=f"bars m{place % MARKS}"),
        tag("path", d=f"M{across(middle):.1f} {top}V{base}", class_="median"),
        tag("path", d=f"M{across(late):.1f} {top + 8}V{base}", class_="late"),
    )


def _bars(values: Sequence[float], across: Scale, base: float) -> str:
    """Draw how often values fall into each of equal steps of the scale."""
    step = (across.end - across.start) / _BINS
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int((across(value) - across.start) / step))] += 1
    most = max(counts)
    full = _STRIP - 8
    return "".join(
        f"M{across.start + place * step:.1f} {base:.0f}v-{max(1.0, full * count / most):.1f}h{step - 1:.1f}V{base:.0f}z"
        for place, count in enumerate(counts)
        if count
    )


def _times(subject: Subject, timing: Timing) -> Times:
    def told(values: Sequence[float], share: float) -> str:
        return seconds(quantile(values, share)) if values else "–"

    notes = [f"{timing.reused} reused answers left out"] if timing.reused else []
    notes += [f"{timing.others} measured under another load left out"] if timing.others else []
    return Times(
        suite=timing.suite,
        role=timing.role,
        place=subject.roles.index(timing.role),
        answers=len(timing.latencies_s),
        p50=told(timing.latencies_s, 0.5),
        p95=told(timing.latencies_s, 0.95),
        ttft_p50=told(timing.ttfts_s, 0.5),
        ttft_p95=told(timing.ttfts_s, 0.95),
        tokens_per_s=f"{quantile(timing.tokens_per_s, 0.5):.1f}" if timing.tokens_per_s else "–",
        note="; ".join(notes),
    )

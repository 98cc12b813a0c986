"""How latencies, and the times to the first token, spread: a strip a model, and the numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.report.format import counted, seconds
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.html.svg import MARKS, Scale, log_scale, picture, tag
from pytest_llmbench.report.html.timings import Timing, by_load, load_text, time_axis, timings
from pytest_llmbench.stats import quantile

_STRIP, _STRIP_WIDTH = 26, 440
_BINS = 48


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


def section(subject: Subject) -> Section | None:
    """Make the section: the latencies, if any were measured."""
    found = spreads(subject)
    return (
        Section(name="latency", title=None, template=template("latency.html"), values={"spreads": found})
        if found
        else None
    )


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
            picture(_STRIP_WIDTH, height, f"{suite}: {what}, a strip a model", *time_axis(across, 0, bottom), *strips),
        )


def _strip(place: int, timing: Timing, values: Sequence[float], across: Scale, top: float) -> Markup:
    middle, late = (quantile(values, share) for share in (0.5, 0.95))
    label = f"{timing.role}: {counted(len(values), 'answer')}, p50 {seconds(middle)}, p95 {seconds(late)}"
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
    def quantile_text(values: Sequence[float], share: float) -> str:
        return seconds(quantile(values, share)) if values else "–"

    notes = [f"{counted(timing.reused, 'reused answer')} left out"] if timing.reused else []
    if timing.others:
        notes.append(f"{counted(timing.others, 'answer')} measured under a different load left out")
    return Times(
        suite=timing.suite,
        role=timing.role,
        place=subject.roles.index(timing.role),
        answers=len(timing.latencies_s),
        p50=quantile_text(timing.latencies_s, 0.5),
        p95=quantile_text(timing.latencies_s, 0.95),
        ttft_p50=quantile_text(timing.ttfts_s, 0.5),
        ttft_p95=quantile_text(timing.ttfts_s, 0.95),
        tokens_per_s=f"{quantile(timing.tokens_per_s, 0.5):.1f}" if timing.tokens_per_s else "–",
        note="; ".join(notes),
    )

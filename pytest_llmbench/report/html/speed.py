"""Quality against speed: a picture for each load the latencies were measured under."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.report.format import percent as percentage
from pytest_llmbench.report.format import seconds
from pytest_llmbench.report.html.format import percent
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.html.svg import MARKS, Scale, log_scale, marker, picture, tag
from pytest_llmbench.report.html.timings import Timing, by_load, load_text, time_axis, timings
from pytest_llmbench.report.terminal.scoreboard import Line, scoreboard

_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 40
_LETTER = 6.8  # the usual width of one in a name
_NAME_CHARACTERS = 18
_NAMES_LEFT_FROM = 0.8 * _WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture of what was measured under one load."""

    load: str
    picture: Markup


def section(subject: Subject) -> Section | None:
    """Make the section: quality against speed, if latencies were measured."""
    found = figures(subject)
    text, values = template("speed.html"), {"figures": found}
    return Section(name="speed", title="Speed", template=text, values=values, is_half=True) if found else None


def figures(subject: Subject) -> tuple[Figure, ...]:
    """Draw each suite under each model by median latency and score; one point alone compares nothing."""
    # where a model was trained on some of the cases, its point is that of the others
    lines = {(line.suite, line.role): line for line in reversed(scoreboard(subject.run.records))}
    scored = [timing for timing in timings(subject) if lines[timing.suite, timing.role].score is not None]
    return tuple(
        Figure(load=load_text(load), picture=_scatter(subject, found, lines))
        for load, found in by_load(scored).items()
        if len(found) > 1
    )


def _scatter(subject: Subject, found: Sequence[Timing], lines: dict[tuple[str, str], Line]) -> Markup:
    across = log_scale([timing.p50_s for timing in found], _LEFT, _WIDTH - _RIGHT)
    up = Scale(low=0, high=1, start=_HEIGHT - _BOTTOM, end=_TOP)
    shown = [(timing, lines[timing.suite, timing.role]) for timing in found]
    places = [(across(timing.p50_s), up(line.score or 0.0), _short(timing.suite)) for timing, line in shown]
    return picture(
        _WIDTH,
        _HEIGHT,
        f"score against median latency, measured {load_text(found[0].load)}",
        *_score_axis(up),
        *time_axis(across, _TOP, _HEIGHT - _BOTTOM),
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
        f"({percentage(low, 0)} to {percentage(high, 0)}), {seconds(timing.p50_s)}"
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
        # none on the axis, where a point at 0% stands
        tries = (h for step in (0, -13, 13, -26, 26, -39, 39) if (h := y + 4 + step) < _HEIGHT - _BOTTOM - 2)
        free = (h for h in tries if not any(left < r and right > q and abs(h - t) < 12 for q, r, t in taken))
        height = next(free, y + 4)
        taken.append((left, right, height))
        heights.append(height)
    return heights


def _score_axis(up: Scale) -> Iterator[Markup]:
    for value in up.ticks():
        yield tag("path", d=f"M{_LEFT} {up(value):.1f}H{_WIDTH - _RIGHT}", class_="grid")
        yield tag("text", percentage(value, 0), x=_LEFT - 6, y=up(value) + 4, class_="axis end")

"""Scores over time, a picture a suite: a line a model, broken where the runs are not of the same thing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor

from markupsafe import Markup

from pytest_llmbench.report.format import counted
from pytest_llmbench.report.format import percent as percentage
from pytest_llmbench.report.html.format import percent, stamp
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.html.svg import MARKS, Scale, marker, picture, tag
from pytest_llmbench.results.history import Entry

_WIDTH, _HEIGHT = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 18, 12, 38
_MOST_LABELS = 4
_MOST_MARKS = 40
"""Of more runs only the lines are drawn, with a mark at their ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A suite over time; `breaks` say what changed at which run."""

    suite: str
    picture: Markup
    breaks: tuple[str, ...]


def section(subject: Subject) -> Section | None:
    """Make the section: the scores over time, if there is more than one run."""
    found = panels(subject)
    values = {"panels": found, "all_roles": all_roles(subject)}
    return Section(name="time", title="Over time", template=template("timeline.html"), values=values) if found else None


def panels(subject: Subject) -> tuple[Panel, ...]:
    """Draw the suites of the run over all runs there are; nothing of one run alone."""
    files = _files(subject.history)
    if len(files) < 2:
        return ()
    return tuple(
        _panel(subject, suite, own, files)
        for suite in subject.suites
        if len(own := [entry for entry in subject.history if entry.suite == suite and entry.score is not None]) > 1
    )


def _files(history: Sequence[Entry]) -> list[Entry]:
    """Give an entry of each run, the oldest first."""
    by_file = {entry.file: entry for entry in history}
    return sorted(by_file.values(), key=lambda entry: (entry.date, entry.file))


def _panel(subject: Subject, suite: str, entries: Sequence[Entry], files: Sequence[Entry]) -> Panel:
    across = Scale(low=0, high=len(files) - 1, start=_LEFT + 8, end=_WIDTH - _RIGHT)
    up = _zoomed(entries)
    places = {entry.file: across(place) for place, entry in enumerate(files)}
    series = _series(subject, entries)
    breaks = _breaks(series)
    return Panel(
        suite=suite,
        picture=picture(
            _WIDTH,
            _HEIGHT,
            f"{suite}: score of {counted(len(files), 'run')}",
            *_axes(up, files, places),
            *(
                tag("path", tag("title", text), d=f"M{places[file]:.1f} {_TOP}V{_HEIGHT - _BOTTOM}", class_="break")
                for file, text in breaks.items()
            ),
            *_band(subject, series, places, up),
            *(mark for place, found in series.items() for mark in _line(place, found, places, up)),
        ),
        breaks=tuple(breaks.values()),
    )


def _zoomed(entries: Sequence[Entry]) -> Scale:
    """Give a scale that holds all intervals between round numbers: on 0 to 1 most lines would be flat."""
    ends = [end for entry in entries for end in entry.interval or ()] or [0.0, 1.0]
    low, high = floor(min(ends) * 10) / 10, ceil(max(ends) * 10) / 10
    return Scale(low=low, high=max(high, low + 0.1), start=_HEIGHT - _BOTTOM, end=_TOP)


def all_roles(subject: Subject) -> tuple[str, ...]:
    """Give the roles of the run, then those that only other runs have."""
    return tuple(dict.fromkeys([*subject.roles, *sorted({entry.role for entry in subject.history})]))


def _series(subject: Subject, entries: Sequence[Entry]) -> dict[int, list[Entry]]:
    """Give the entries of each model, the oldest first, by its place among all."""
    places = {role: place for place, role in enumerate(all_roles(subject))}
    found: dict[int, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.date, entry.file)):
        found.setdefault(places[entry.role], []).append(entry)
    return dict(sorted(found.items()))


def _breaks(series: dict[int, list[Entry]]) -> dict[str, str]:
    """Give what changed at each run at which a line breaks."""
    changed: dict[str, dict[str, None]] = {}
    moments: dict[str, str] = {}
    for entries in series.values():
        for entry in entries[1:]:
            if entry.breaks:
                changed.setdefault(entry.file, {}).update(dict.fromkeys(entry.breaks))
                moments[entry.file] = stamp(entry.date, entry.commit) or entry.file
    return {file: f"{moments[file]}: changed {', '.join(names)}" for file, names in changed.items()}


def _axes(up: Scale, files: Sequence[Entry], places: dict[str, float]) -> Iterator[Markup]:
    for value in (up.low, (up.low + up.high) / 2, up.high):
        yield tag("path", d=f"M{_LEFT} {up(value):.1f}H{_WIDTH - _RIGHT + 8}", class_="grid")
        yield tag("text", percentage(value, 0), x=_LEFT - 6, y=up(value) + 4, class_="axis end")
    last = len(files) - 1
    steps = min(_MOST_LABELS, len(files)) - 1
    for place in sorted({round(last * step / steps) for step in range(steps + 1)}):
        entry = files[place]
        side = " end" if place == last else "" if place == 0 else " middle"
        x = places[entry.file] + (8 if place == last else -8 if place == 0 else 0)
        for row, text in enumerate((_day(entry, files), entry.commit[:7])):
            yield tag("text", text, x=x, y=_HEIGHT - _BOTTOM + 18 + 13 * row, class_=f"axis{side}")


def _day(entry: Entry, files: Sequence[Entry]) -> str:
    """Give the day of a run, with the time where days alone do not distinguish the runs."""
    days = {other.date[:10] for other in files}
    return entry.date[:10] if len(days) == len(files) else entry.date[5:16].replace("T", " ")


def _band(subject: Subject, series: dict[int, list[Entry]], places: dict[str, float], up: Scale) -> Iterator[Markup]:
    """Draw the interval of the model that is gated; of several, of none: bands over each other cannot be read."""
    gated = {ruling.pairs.role for ruling in subject.gate.suites} if subject.gate else set()
    shown = [place for place in series if len(series) == 1 or {all_roles(subject)[place]} == gated]
    for place in shown:
        for part in _unbroken(series[place]):
            ends = [(places[entry.file], entry.interval) for entry in part if entry.interval]
            upper = [f"{x:.1f} {up(high):.1f}" for x, (_, high) in ends]
            lower = [f"{x:.1f} {up(low):.1f}" for x, (low, _) in reversed(ends)]
            yield tag("path", d=f"M{'L'.join([*upper, *lower])}Z", class_=f"band m{place % MARKS}")


def _line(place: int, entries: Sequence[Entry], places: dict[str, float], up: Scale) -> Iterator[Markup]:
    for part in _unbroken(entries):
        stops = [f"{places[entry.file]:.1f} {up(entry.score):.1f}" for entry in part if entry.score is not None]
        if len(stops) > 1:
            yield tag("path", d=f"M{'L'.join(stops)}", class_=f"line m{place % MARKS}")
    marked = entries if len(entries) <= _MOST_MARKS else (entries[0], entries[-1])
    for entry in marked:
        if entry.score is not None:
            label = f"{entry.role}, {stamp(entry.date, entry.commit)}: {percent(entry.score, entry.cases)}"
            yield marker(place, places[entry.file], up(entry.score), tag("title", label))


def _unbroken(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    part: list[Entry] = []
    for entry in entries:
        if entry.breaks and part:
            yield part
            part = []
        part.append(entry)
    if part:
        yield part

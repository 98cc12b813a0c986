"""The history as a table over time, as CSV and as JSON. Pure functions."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, fields

from pytest_llmbench.report.format import interval, moment, percent, seconds, short_commit
from pytest_llmbench.report.safe_text import on_one_line, printed_json
from pytest_llmbench.results.history import Entry, History

FORMATS = ("text", "csv", "json")

_TITLES = ("date", "commit", "cases", "score", "95% interval", "format", "p50", "errors", "changed")


def history_lines(history: History, form: str = "text") -> Iterator[str]:
    """Write the history in one of the formats."""
    if form == "json":
        yield printed_json([asdict(entry) for entry in history.entries])
    elif form == "csv":
        yield from _csv_lines(history)
    else:
        yield from _text_lines(history)


def _csv_lines(history: History) -> Iterator[str]:
    written = io.StringIO()
    names = [field.name for field in fields(Entry) if field.name != "interval"]
    writer = csv.DictWriter(written, [*names, "interval_low", "interval_high"], lineterminator="\n")
    writer.writeheader()
    for entry in history.entries:
        low, high = entry.interval or (None, None)
        row = {name: _as_text(getattr(entry, name)) for name in names}
        writer.writerow({**row, "breaks": " ".join(entry.breaks), "interval_low": low, "interval_high": high})
    yield from written.getvalue().splitlines()


def _as_text(value: object) -> object:
    """Keep a name from being a formula in the spreadsheet that reads the file."""
    if not isinstance(value, str):
        return value
    shown = on_one_line(value)
    return f"'{shown}" if shown[:1] in tuple("=+-@") else shown


def _text_lines(history: History) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in history.entries:
        groups.setdefault((entry.suite, entry.role), []).append(entry)
    # a role that several models had over time needs their names
    has_models = any(len({entry.model for entry in entries}) > 1 for entries in groups.values())
    titles = ("model", *_TITLES) if has_models else _TITLES
    rows = {
        key: [[on_one_line(entry.model), *_cells(entry)] if has_models else _cells(entry) for entry in entries]
        for key, entries in groups.items()
    }
    widths = [
        max(len(title), *(len(row[place]) for group in rows.values() for row in group), 0)
        for place, title in enumerate(titles)
    ]
    for place, ((suite, role), entries) in enumerate(groups.items()):
        if place:
            yield ""
        model = "" if has_models or entries[-1].model == role else f" ({entries[-1].model})"
        yield on_one_line(f"{suite} {role}{model}")
        for row in (list(titles), *rows[suite, role]):
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if not history.entries:
        yield "no run matches these filters"


def _latency(value_s: float, concurrency: int | None) -> str:
    return seconds(value_s) + ("" if concurrency is None else f" x{concurrency}")


def _cells(entry: Entry) -> list[str]:
    return [
        on_one_line(moment(entry.date)) or "-",
        on_one_line(short_commit(entry.commit)) or "-",
        entry.stopped_early or str(entry.cases),
        percent(entry.score),
        interval(entry.interval),
        percent(entry.format_rate),
        "-" if entry.p50_s is None else _latency(entry.p50_s, entry.concurrency),
        str(entry.errors),
        ", ".join(entry.breaks),
    ]

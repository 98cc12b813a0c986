"""What `--llm-plan` shows: what would be asked, what it would cost, and what it could decide."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.power import planned
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.sentences import plan_lines
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, table
from pytest_llmbench.runner.forecast import Forecast

_MINUTE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    title: str
    cell: Callable[[Forecast], str]
    is_left: bool = False


_COLUMNS = (
    _Column(title="suite", cell=lambda line: on_one_line(line.suite), is_left=True),
    _Column(title="model", cell=lambda line: on_one_line(line.role), is_left=True),
    _Column(title="cases", cell=lambda line: f"{line.cases:,}"),
    _Column(title="requests", cell=lambda line: f"{line.requests:,}"),
    _Column(title="stored", cell=lambda line: f"{line.stored:,}"),
    _Column(title="tokens in", cell=lambda line: _about(line.are_tokens_counted, f"{line.input_tokens:,}")),
    _Column(title="out at most", cell=lambda line: f"{line.output_tokens:,}"),
    _Column(title="USD at most", cell=lambda line: cost(line.cost_usd)),
    _Column(title="time", cell=lambda line: _about(line.is_pace_known, duration(line.duration_s))),
)


def forecast_lines(lines: Sequence[Forecast], margin: float, width: int) -> Iterator[Styled]:
    """Lay the plan out: a table, its sum, and a word on each suite's power to decide.

    Args:
        lines: a suite under a model each.
        margin: of the gate, a share.
        width: of the terminal.
    """
    titles = [Span(column.title, Style.TITLE) for column in _COLUMNS]
    rows = [[Span(visible(column.cell(line))) for column in _COLUMNS] for line in lines]
    yield from table([titles, *rows], [column.is_left for column in _COLUMNS])
    yield from folded((), _sum(lines), width)
    if notes := _notes(lines):
        yield from folded((), notes, width)
    for suite in dict.fromkeys(line.suite for line in lines):
        line = next(line for line in lines if line.suite == suite)
        advice = planned(line.units, line.samples, margin, is_greedy=line.is_greedy)
        for text in plan_lines(suite, line.units, advice, margin):
            yield from folded((), text, None)


def _sum(lines: Sequence[Forecast]) -> str:
    to_send = sum(line.requests - line.stored for line in lines)
    told = f"{to_send:,} requests would be sent"
    costs = [line.cost_usd for line in lines if line.cost_usd]
    if costs:
        told += f", for at most {cost(sum(costs))} USD"
    durations_s = [line.duration_s for line in lines if line.duration_s]
    if durations_s:
        told += f", in about {duration(sum(durations_s))}"
    if unpriced := _roles(lines, lambda line: line.cost_usd is None):
        told += f"; what {unpriced} costs is not known: no price in the models file"
    if untimed := _roles(lines, lambda line: line.duration_s is None):
        told += f"; how long {untimed} takes is not known before some answers of it are stored"
    return visible(f"{told}. Nothing was sent.")


def _roles(lines: Sequence[Forecast], is_meant: Callable[[Forecast], bool]) -> str:
    return ", ".join(dict.fromkeys(line.role for line in lines if is_meant(line)))


def _notes(lines: Sequence[Forecast]) -> str:
    notes = []
    if any(line.input_tokens and not line.are_tokens_counted for line in lines):
        notes.append("~ tokens: estimated, three bytes each.")
    if any(line.duration_s and not line.is_pace_known for line in lines):
        notes.append("~ time: by a rule of thumb; stored answers of the model will tell it better.")
    return " ".join(notes)


def cost(value_usd: float | None) -> str:
    """Write a price; 0 where nobody charges, ? where none is known."""
    if value_usd is None:
        return "?"
    if value_usd == 0:
        return "0"
    return f"{value_usd:.2f}" if value_usd >= 1 else f"{value_usd:.2g}"


def duration(value_s: float | None) -> str:
    """Write a duration to be expected, in seconds or minutes."""
    if value_s is None:
        return "?"
    if value_s < _MINUTE_S:
        return f"{value_s:.0f} s"
    return f"{value_s / _MINUTE_S:.0f} min"


def _about(is_known: bool, text: str) -> str:
    return text if is_known or text in ("0", "?", "0 s") else f"~{text}"

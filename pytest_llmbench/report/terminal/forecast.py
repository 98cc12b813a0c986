"""The output of `--llm-plan`: what would be asked, what it would cost, and what it could decide."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.early import StopMode
from pytest_llmbench.gate.power import expected_power
from pytest_llmbench.report.format import counted, dollars
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.sentences import planned_power_lines
from pytest_llmbench.report.stop_forecast import stop_forecast
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, table
from pytest_llmbench.runner.forecast import Forecast
from pytest_llmbench.values import GateKind

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
    _Column(title="cost at most", cell=lambda line: cost(line.cost_usd)),
    _Column(title="time", cell=lambda line: _about(line.is_pace_known, duration(line.duration_s))),
)


def forecast_lines(
    lines: Sequence[Forecast], margin: float, width: int, stop_mode: StopMode | None = None
) -> Iterator[Styled]:
    """Lay the plan out: a table, its sum, and each suite's power to decide.

    Args:
        lines: a suite under a model each.
        margin: of the gate, a share.
        width: of the terminal.
        stop_mode: when suites are decided early; None if they are not.
    """
    titles = [Span(column.title, Style.TITLE) for column in _COLUMNS]
    rows = [[Span(visible(column.cell(line))) for column in _COLUMNS] for line in lines]
    yield from table([titles, *rows], [column.is_left for column in _COLUMNS])
    yield from folded((), _sum(lines), width)
    if notes := _notes(lines):
        yield from folded((), notes, width)
    for suite in dict.fromkeys(line.suite for line in lines):
        line = next(line for line in lines if line.suite == suite)
        for text in _power_lines(line, margin):
            yield from folded((), text, None)
        if stop_mode is not None and line.gate is GateKind.STATISTICAL:
            yield from folded((), visible(stop_forecast(line, stop_mode, margin)), None)


def _power_lines(line: Forecast, margin: float) -> Iterator[str]:
    """Describe what a suite can decide by the rule of its gate."""
    if line.gate is GateKind.SMOKE:
        yield visible(f"{line.suite}: gate: smoke decides with any number of cases; each that passed must pass again")
    elif line.gate is GateKind.ADVICE:
        yield visible(f"{line.suite}: gate: advice, its verdict does not count")
    else:
        power = expected_power(line.units, line.samples, margin, is_greedy=line.is_greedy)
        yield from planned_power_lines(line.suite, line.units, power, margin)


def _sum(lines: Sequence[Forecast]) -> str:
    to_send = sum(line.to_send for line in lines)
    text = f"{counted(to_send, 'request')} would be sent"
    costs = [line.cost_usd for line in lines if line.cost_usd]
    if costs:
        text += f", for at most {dollars(sum(costs))}"
    durations_s = [line.duration_s for line in lines if line.duration_s]
    if durations_s:
        text += f", in about {duration(sum(durations_s))}"
    if unpriced := _roles(lines, lambda line: line.cost_usd is None):
        text += f"; the cost of {unpriced} is unknown: add a price to the models file"
    if untimed := _roles(lines, lambda line: line.duration_s is None):
        text += f"; the time of {untimed} is unknown until some of its answers are stored"
    return visible(f"{text}. Nothing was sent.")


def _roles(lines: Sequence[Forecast], is_meant: Callable[[Forecast], bool]) -> str:
    return ", ".join(dict.fromkeys(line.role for line in lines if is_meant(line)))


def _notes(lines: Sequence[Forecast]) -> str:
    notes = [
        visible(f"{counted(line.missing, 'recorded answer')} of {line.suite} / {line.role} missing: each is an error.")
        for line in lines
        if line.missing
    ]
    if any(line.input_tokens and not line.are_tokens_counted for line in lines):
        notes.append("~ tokens: estimated at three bytes per token.")
    if any(line.duration_s and not line.is_pace_known for line in lines):
        notes.append("~ time: a rough estimate, which improves once answers of the model are stored.")
    return " ".join(notes)


def cost(value_usd: float | None) -> str:
    """Write a price; ? where none is known."""
    return "?" if value_usd is None else dollars(value_usd)


def duration(value_s: float | None) -> str:
    """Write a duration to be expected, in seconds or minutes."""
    if value_s is None:
        return "?"
    if value_s < _MINUTE_S:
        return f"{value_s:.0f} s"
    return f"{value_s / _MINUTE_S:.0f} min"


def _about(is_known: bool, text: str) -> str:
    return text if is_known or text in ("0", "?", "0 s") else f"~{text}"

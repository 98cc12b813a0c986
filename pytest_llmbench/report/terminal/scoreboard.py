"""The scoreboard: a line for each suite and model. Pure functions of records.

Latencies measured under different loads never share a figure: a line has those of the concurrency (requests in
flight, rows in a batch) under which most of its answers were measured.  Reused answers have no time of this run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_llmbench.report.format import count_briefly, counted, dollars, interval, percent, seconds
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, plain, table
from pytest_llmbench.results.records import Record, RunInfo, SuiteInfo, TokenPrice, usual_concurrency
from pytest_llmbench.results.spending import Spending, judge_spending, model_spending
from pytest_llmbench.stats import mean, quantile, wilson_interval
from pytest_llmbench.values import CUT_OFF, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the scoreboard: a suite under a model. Rates are shares, None where there is nothing to measure.

    The times are those of `timed` answers, all measured at `concurrency` (None where that is not known);
    `measured` answers have a time in all. `errors` counts the cases that have a sample without an answer.
    `planned` is how many cases there would have been, where a suite stopped early.
    Of `samples` with an answer, `cut_off` ended at their limit of tokens. `spending` is the model's,
    `judge_spending` that of the judge of its answers. `is_trained` is a line of the cases that the model was trained
    on, which are in no other.
    """

    suite: str
    is_trained: bool
    role: str
    cases: int
    planned: int | None
    answered: int
    passed: int
    score: float | None
    interval: tuple[float, float] | None
    format_rate: float | None
    p50_s: float | None
    p95_s: float | None
    ttft_p50_s: float | None
    tokens_per_s: float | None
    concurrency: int | None
    timed: int
    measured: int
    errors: int
    samples: int
    cut_off: int
    spending: Spending
    judge_spending: Spending

    @property
    def name(self) -> str:
        """The suite, as the line is named."""
        return f"{self.suite} (trained on)" if self.is_trained else self.suite


def scoreboard(records: Sequence[Record], facts: RunInfo | None = None) -> tuple[Line, ...]:
    """Sum records up, a line a suite and role, in the order they first come; what a model was trained on stands apart.

    Args:
        records: of a run.
        facts: what it was made with, for its prices; None where they do not matter.
    """
    prices = {} if facts is None else {model.role: model.price for model in facts.models}
    judge_price = None if facts is None or facts.judge is None else facts.judge.price
    groups: dict[tuple[str, str], tuple[list[Record], list[Record]]] = {}
    for record in records:
        groups.setdefault((record.suite, record.role), ([], []))[record.is_trained].append(record)
    lines = (
        _line(suite, role, group, prices.get(role), judge_price)
        for (suite, role), sides in groups.items()
        for group in sides
        if group
    )
    planned = {} if facts is None else {(plan.suite, plan.role): len(plan.cases) for plan in facts.stop_plans}
    return tuple(
        line if line.is_trained else _with_planned(line, planned.get((line.suite, line.role), 0)) for line in lines
    )


def _with_planned(line: Line, planned: int) -> Line:
    return replace(line, planned=planned) if planned > line.cases and not line.is_trained else line


def _line(
    suite: str, role: str, records: Sequence[Record], price: TokenPrice | None, judge_price: TokenPrice | None
) -> Line:
    scores = [record.score for record in records if record.score is not None]
    samples = [sample for record in records for sample in record.answered]
    formats = [sample.format_ok for sample in samples if sample.format_ok is not None]
    measured = [sample for sample in samples if sample.latency_s is not None and not sample.reused]
    concurrency = usual_concurrency(measured)
    timed = [sample for sample in measured if sample.concurrency == concurrency]
    latencies = [sample.latency_s for sample in timed if sample.latency_s is not None]
    ttfts = [sample.ttft_s for sample in timed if sample.ttft_s is not None]
    rates = [s.output_tokens / s.latency_s for s in timed if s.output_tokens and s.latency_s]
    return Line(
        suite=suite,
        is_trained=records[0].is_trained,
        role=role,
        cases=len(records),
        planned=None,
        answered=len(scores),
        passed=sum(record.outcome is Outcome.PASSED for record in records),
        score=mean(scores) if scores else None,
        interval=wilson_interval(mean(scores), len(scores)) if scores else None,
        format_rate=mean([float(ok) for ok in formats]) if formats else None,
        p50_s=quantile(latencies, 0.5) if latencies else None,
        p95_s=quantile(latencies, 0.95) if latencies else None,
        ttft_p50_s=quantile(ttfts, 0.5) if ttfts else None,
        tokens_per_s=quantile(rates, 0.5) if rates else None,
        concurrency=concurrency,
        timed=len(timed),
        measured=len(measured),
        errors=sum(record.has_error for record in records),
        samples=len(samples),
        cut_off=sum(sample.finish_reason == CUT_OFF for sample in samples),
        spending=model_spending(samples, price),
        judge_spending=judge_spending([sample for record in records for sample in record.samples], judge_price),
    )


def _cases(line: Line) -> str:
    return str(line.cases) if line.planned is None else f"{line.cases} of {line.planned}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column of the scoreboard: `weight` says which go first when the terminal is narrow (the heaviest stay)."""

    title: str
    cell: Callable[[Line], str]
    weight: int
    is_left: bool = False
    style: Callable[[Line], Style] = lambda _: Style.PLAIN


def tokens_in_out(spending: Spending) -> str:
    """Write the tokens sent and received; `-` where nobody counted them."""
    sides = (spending.input_tokens, spending.output_tokens)
    if sides == (None, None):
        return "-"
    return "/".join("?" if count is None else count_briefly(count) for count in sides)


def cost_text(spending: Spending) -> str:
    """Write what is known of a cost, with a mark where that is not all of it; `-` where nothing is known."""
    if spending.usd is None:
        return "-"
    return dollars(spending.usd) if spending.is_whole else f">{dollars(spending.usd)}"


def _duration(value_s: float | None) -> str:
    return "-" if value_s is None else seconds(value_s)


def _format_style(line: Line) -> Style:
    return Style.PLAIN if line.format_rate in (None, 1.0) else Style.DOUBTFUL


def _errors_style(line: Line) -> Style:
    return Style.BAD if line.errors else Style.PLAIN


_COLUMNS = (
    _Column(title="suite", cell=lambda line: line.name, weight=13, is_left=True),
    _Column(title="model", cell=lambda line: line.role, weight=13, is_left=True),
    _Column(title="cases", cell=_cases, weight=9),
    _Column(title="passed", cell=lambda line: str(line.passed), weight=3),
    _Column(title="score", cell=lambda line: percent(line.score), weight=13),
    _Column(title="95% interval", cell=lambda line: interval(line.interval), weight=11),
    _Column(title="format", cell=lambda line: percent(line.format_rate), weight=8, style=_format_style),
    _Column(title="p50", cell=lambda line: _duration(line.p50_s), weight=10),
    _Column(title="p95", cell=lambda line: _duration(line.p95_s), weight=6),
    _Column(title="TTFT", cell=lambda line: _duration(line.ttft_p50_s), weight=5),
    _Column(
        title="tok/s", cell=lambda line: "-" if line.tokens_per_s is None else f"{line.tokens_per_s:.1f}", weight=4
    ),
    _Column(title="load", cell=lambda line: "-" if line.concurrency is None else f"x{line.concurrency}", weight=2),
    _Column(title="tok in/out", cell=lambda line: tokens_in_out(line.spending), weight=5),
    _Column(title="cost", cell=lambda line: cost_text(line.spending), weight=9),
    _Column(title="judge in/out", cell=lambda line: tokens_in_out(line.judge_spending), weight=1),
    _Column(title="judge cost", cell=lambda line: cost_text(line.judge_spending), weight=7),
    _Column(title="errors", cell=lambda line: str(line.errors), weight=12, style=_errors_style),
)


_SHORT_WEIGHT = 10
_LASTING_WEIGHT = 12  # of the columns that are there even without a value


def scoreboard_cells(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Give the titles and cells of all columns that are not empty."""
    rows = [[column.cell(line) for column in _COLUMNS] for line in lines]
    filled = [place for place in range(len(_COLUMNS)) if any(row[place] != "-" for row in rows)]
    return [_COLUMNS[place].title for place in filled], [[row[place] for place in filled] for row in rows]


def scoreboard_table(lines: Sequence[Line], width: int, *, is_short: bool = False) -> list[Styled]:
    """Lay the scoreboard out for a terminal.

    Columns without a value are left out; where it would be wider than `width`, also the least needed ones; all but the
    most needed ones with `is_short`.
    """
    columns = [
        column
        for column in _COLUMNS
        if (not is_short or column.weight >= _SHORT_WEIGHT)
        and (column.weight >= _LASTING_WEIGHT or any(column.cell(line) != "-" for line in lines))
    ]
    while True:
        cells = [[Span(on_one_line(column.cell(line)), column.style(line)) for column in columns] for line in lines]
        titles = [Span(column.title, Style.TITLE) for column in columns]
        laid_out = list(table([titles, *cells], [column.is_left for column in columns]))
        lightest = min(column.weight for column in columns)
        rest = [column for column in columns if column.weight > lightest]
        if not rest or max(len(plain(line)) for line in laid_out) <= width:
            return laid_out
        columns = rest


def scoreboard_lines(lines: Sequence[Line], width: int) -> list[str]:
    """Lay the scoreboard out as text."""
    return [plain(line) for line in scoreboard_table(lines, width)]


def times_left_out(lines: Sequence[Line]) -> str:
    """Count the latencies that are in no figure, being measured under another load; empty if there are none."""
    parts = [
        f"{line.timed:,} of {line.measured:,} for {line.name} / {line.role} ("
        f"{'load unknown' if line.concurrency is None else f'{line.concurrency} in flight'})"
        for line in lines
        if line.timed < line.measured
    ]
    return visible(f"Latencies count only answers measured at the usual load: {', '.join(parts)}.") if parts else ""


_MANY_CUT_OFF = 0.2
"""The share of answers that were cut off from which on the scoreboard names the key to raise."""


def cut_off_lines(lines: Sequence[Line], records: Sequence[Record]) -> list[str]:
    """Count the answers that ended at their limit of tokens, a line a suite and role that has some."""
    reasoned = {
        (record.shown_suite, record.role)
        for record in records
        for sample in record.samples
        if sample.finish_reason == CUT_OFF and sample.reasoning
    }
    found = []
    for line in lines:
        if not line.cut_off:
            continue
        text = f"{line.name} / {line.role}: cut off {line.cut_off:,} of {line.samples:,}"
        if line.cut_off >= _MANY_CUT_OFF * line.samples:
            is_reasoning = (line.name, line.role) in reasoned
            key = "reasoning_tokens in the model's entry" if is_reasoning else "max_tokens in the sampling of the suite"
            text += f" answers at their limit of tokens; raise {key}"
        found.append(visible(f"{text}."))
    return found


def left_out_lines(suites: Iterable[SuiteInfo]) -> Iterator[str]:
    """Name the suites that hold fewer cases than what they were imported from."""
    for suite in suites:
        if suite.source is not None and suite.source.left_out:
            count = counted(suite.source.left_out, "case")
            yield f"{suite.suite}: {count} of {suite.source.path} left out when it was imported."


def reused_line(records: Sequence[Record]) -> str:
    """Count the answers that were reused; empty if none were."""
    samples = [sample for record in records for sample in record.samples]
    reused = sum(sample.reused for sample in samples)
    if not reused:
        return ""
    return f"{reused:,} of {len(samples):,} answers were reused from an earlier run; --llm-reuse none asks again."


def reason_lines(records: Sequence[Record], width: int | None = None) -> list[Styled]:
    """Count the reasons of the samples, a line a suite and role."""
    counts: dict[tuple[str, str], Counter[str | None]] = {}
    for record in records:
        reasons = counts.setdefault((record.shown_suite, record.role), Counter())
        reasons.update(sample.reason for sample in record.samples)
    return [
        line
        for (suite, role), found in counts.items()
        for line in folded(
            (Span(f"{on_one_line(f'{suite} {role}')}: "),),
            visible(", ".join(_counted(reason, count) for reason, count in found.most_common())),
            width,
        )
    ]


def _counted(reason: str | None, count: int) -> str:
    return counted(count, "error") if reason is None else f"{count} {reason}"

"""Several runs side by side, each gated against the first. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.min_score import MinScoreRuling, with_floors
from pytest_llmbench.gate.rule import Verdict, overall
from pytest_llmbench.gate.rulings import Gate, SuiteRuling
from pytest_llmbench.report.format import counted, percent
from pytest_llmbench.report.json import comparison_json
from pytest_llmbench.report.markdown.escape import escaped, table_head, table_row
from pytest_llmbench.report.markdown.gate import comparison_markdown
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.sentences import gate_sentences, min_score_sentences, suite_name
from pytest_llmbench.report.terminal.gate import sentence_lines
from pytest_llmbench.report.terminal.layout import plain
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.results.run_json import JsonObject
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Outcome

_MAX_CASES = 60  # rows of the table of outcomes that are shown without being asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One run under its name, gated against the first and held to minimum scores; the first itself is neither."""

    name: str
    run: Run
    gate: Gate | None = None
    floors: tuple[MinScoreRuling, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on the run; None for the first."""
        return None if self.gate is None else with_floors(self.gate.verdict, self.floors)


Table = list[list[str]]
Groups = dict[tuple[str, str], list[Record]]
"""The records of a run by suite and role."""


def side_by_side_lines(
    columns: Sequence[Column], width: int | None = None, *, is_verbose: bool = False
) -> Iterator[str]:
    """Write several runs as text: a table of scores and verdicts, one of outcomes by case, each comparison."""
    yield from _aligned(_score_table(columns))
    outcomes = _outcome_table(columns, is_verbose=is_verbose)
    if outcomes:
        yield ""
        yield from _aligned(outcomes)
    for name, gate, column in _gated(columns):
        yield ""
        yield visible(f"{name}: {column.verdict}")
        sentences = [*gate_sentences(gate, is_verbose=is_verbose), *min_score_sentences(column.floors)]
        yield from (f"  {plain(line)}" for line in sentence_lines(sentences, None if width is None else width - 2))
    yield ""
    yield f"verdict: {_overall(columns)}"


def side_by_side_markdown(columns: Sequence[Column], *, is_verbose: bool = False) -> Iterator[str]:
    """Write the same as Markdown."""
    for table in (_score_table(columns), _outcome_table(columns, is_verbose=is_verbose)):
        if table:
            yield from _markdown(table)
            yield ""
    for name, gate, column in _gated(columns):
        yield f"### {escaped(name)}"
        yield ""
        yield from comparison_markdown(gate, is_verbose=is_verbose, floors=column.floors)
        yield ""
    yield f"**Verdict on all: {_overall(columns)}**"


def side_by_side_json(columns: Sequence[Column]) -> JsonObject:
    """Give the same as JSON: each candidate's comparison under its name."""
    return {
        "verdict": _overall(columns),
        "baseline": columns[0].name,
        "candidates": {
            column.name: comparison_json(column.gate, column.floors) for column in columns if column.gate is not None
        },
    }


def _gated(columns: Sequence[Column]) -> Iterator[tuple[str, Gate, Column]]:
    for column in columns:
        if column.gate is not None:
            yield f"{column.name} against {columns[0].name}", column.gate, column


def _overall(columns: Sequence[Column]) -> Verdict:
    return overall([column.verdict for column in columns if column.verdict is not None])


def _grouped(columns: Sequence[Column]) -> list[Groups]:
    """Give the records of each run by suite and role; the only role of a run is that of the first, if only one too."""
    found = []
    first = dict.fromkeys(record.role for record in columns[0].run.records)
    for column in columns:
        roles = dict.fromkeys(record.role for record in column.run.records)
        shown = dict(zip(roles, first if len(roles) == len(first) == 1 else roles, strict=True))
        groups: Groups = {}
        for record in column.run.records:
            groups.setdefault((record.shown_suite, shown[record.role]), []).append(record)
        found.append(groups)
    return found


def _has_roles(grouped: Sequence[Groups]) -> bool:
    return len({role for groups in grouped for _, role in groups}) > 1


def _score_table(columns: Sequence[Column]) -> Table:
    """Give the score of each suite and role under each run."""
    grouped = _grouped(columns)
    rows = [["suite", *(column.name for column in columns)]]
    for key in dict.fromkeys(key for groups in grouped for key in groups):
        cells = (_cell(column, groups.get(key, [])) for column, groups in zip(columns, grouped, strict=True))
        rows.append([suite_name(*key, _has_roles(grouped)), *cells])
    return rows


def _cell(column: Column, records: Sequence[Record]) -> str:
    scores = [record.score for record in records if record.score is not None]
    if not scores:
        return "errors only" if records else "-"
    errors = sum(record.has_error for record in records)
    parts = [percent(mean(scores)), *([counted(errors, "error")] if errors else [])]
    parts += [f"{r.verdict}{' (advice only)' if r.why_advice_only else ''}" for r in _rulings(column, records[0])]
    return ", ".join(parts)


def _rulings(column: Column, record: Record) -> Iterator[SuiteRuling]:
    """Give the rulings on the suite and role of a record."""
    for ruling in () if column.gate is None or record.is_trained else column.gate.suites:
        if (ruling.pairs.suite, ruling.pairs.role) == (record.suite, record.role):
            yield ruling


def _outcome_table(columns: Sequence[Column], *, is_verbose: bool) -> Table:
    """Give the outcome of each case and role under each run; empty where that is long and not asked for."""
    grouped = _grouped(columns)
    by_case = [
        {
            (suite, role, record.case): _outcome(record)
            for (suite, role), records in groups.items()
            for record in records
        }
        for groups in grouped
    ]
    cases = dict.fromkeys(key for outcomes in by_case for key in outcomes)
    if len(cases) > _MAX_CASES and not is_verbose:
        return []
    rows = [["case", *(column.name for column in columns)]]
    for suite, role, case in cases:
        outcomes = (found.get((suite, role, case), "-") for found in by_case)
        rows.append([suite_name(f"{suite}/{case}", role, _has_roles(grouped)), *outcomes])
    return rows


def _outcome(record: Record) -> str:
    """Describe the outcome of a record: passed, or the reason; with several samples, how many passed."""
    if len(record.samples) > 1 and record.outcome is not Outcome.ERROR:
        return f"{sum(sample.outcome is Outcome.PASSED for sample in record.samples)} of {len(record.samples)} passed"
    if record.outcome is Outcome.FAILED:
        return record.answered[0].reason or "failed"
    return str(record.outcome)


def _aligned(table: Table) -> Iterator[str]:
    widths = [max(len(on_one_line(row[place])) for row in table) for place in range(len(table[0]))]
    for row in table:
        yield "  ".join(on_one_line(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _markdown(table: Table) -> Iterator[str]:
    head, *rows = (list(map(escaped, cells)) for cells in table)
    yield from table_head(head)
    yield from map(table_row, rows)

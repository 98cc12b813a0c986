"""The story of one case for a failed test: what was asked, answered and expected, and why it failed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from pytest_llmbench.report.safe_text import clipped, on_one_line, visible
from pytest_llmbench.report.terminal.checks import check_lines
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, plain
from pytest_llmbench.report.transcript import transcript
from pytest_llmbench.results.checks import deciding_parts
from pytest_llmbench.results.records import Record, Sample
from pytest_llmbench.runner.runner import Item, Result
from pytest_llmbench.values import Json, Outcome

_MAX_INPUTS = 6
_MAX_CHARACTERS = 1200
_MAX_LINE = 300
_ROOM = 24  # characters beside a label, below which a text is not folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A heading and labelled texts, as they came; and where the case stands."""

    heading: str
    rows: tuple[tuple[str, str], ...]
    path: Path
    line: int

    def __str__(self) -> str:
        return "\n".join(plain(line) for line in self.lines())

    @property
    def headline(self) -> str:
        """The heading, safe to print."""
        return on_one_line(self.heading)

    def lines(self, width: int | None = None) -> Iterator[Styled]:
        """Lay it out, safe to print and clipped, for a terminal of that width; None for lines of any length."""
        rows = (*self.rows, ("case", f"{self.path}:{self.line}"))
        size = max(len(label) for label, _ in rows)
        yield from folded((), self.headline, width, Style.BAD)
        for label, text in rows:
            texts = visible(clipped(text.strip("\n"), _MAX_CHARACTERS)).split("\n")
            first, *rest = [piece for line in texts for piece in _folded(line, width, size + 4)]
            shown = f"  {on_one_line(label).ljust(size)}  "
            yield (Span(shown, Style.TITLE), Span(first)) if first else (Span(shown.rstrip(), Style.TITLE),)
            yield from ((Span(f"  {' ' * size}  {line}".rstrip()),) for line in rest)


def _folded(line: str, width: int | None, indent: int) -> list[str]:
    """Fold a line of an answer; what was folded stands as far in as it began, and two blanks further."""
    if width is None or width - indent < _ROOM or len(line) + indent <= width:
        return [line]
    begins = line[: len(line) - len(line.lstrip())]
    pieces = wrap(
        line,
        width - indent,
        subsequent_indent=f"{begins}  ",
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [visible(piece) for piece in pieces]  # a piece may begin with what a log obeys


def failure_story(item: Item, result: Result) -> Story:
    """Describe a case whose answer was graded as failed: reason, inputs, answer, what was expected, place."""
    samples = result.record.samples
    failed = [sample for sample in samples if sample.outcome is Outcome.FAILED]
    if not failed:
        answers = [row for sample in result.record.answered[:1] for row in _answer_rows(sample)]
        return _story(item, str(result.record.outcome), [*_inputs(item), *answers])
    shown = failed[0]
    rows = [
        *_inputs(item),
        *_answer_rows(shown),
        ("expected", item.loaded.kind.expected_text(item.case)),
    ]
    rows.extend(checks_row(shown.parts))
    rows.extend(differing_rows(deciding_parts(shown.parts)))
    explanation = (shown.explanation or "").strip()
    if "\n" in explanation:
        rows.append(("reason", explanation))
    if len(samples) > 1:
        rows.append(("samples", _samples(result.record, len(failed))))
    return _story(item, _heading(shown), rows)


def error_story(item: Item, result: Result) -> Story:
    """Describe a case that got no graded answer: the cause, and what was asked."""
    cause = result.record.samples[0].error or "no answer"
    rows = [("error", cause)] if "\n" in cause.strip() else []
    if result.record.samples[0].answer is not None:
        rows = [*_inputs(item), *_answer_rows(result.record.samples[0]), *rows]
    return _story(item, _first_line(cause), rows)


def wrong_line(nodeid: str, record: Record) -> Styled:
    """State in a line which test was wrong without failing, and why."""
    failed = next(sample for sample in record.samples if sample.outcome is Outcome.FAILED)
    return Span("WRONG", Style.DOUBTFUL), Span(f" {on_one_line(f'{nodeid} - {clipped(_heading(failed), _MAX_LINE)}')}")


def _story(item: Item, heading: str, rows: list[tuple[str, str]]) -> Story:
    return Story(heading=heading, rows=tuple(rows), path=item.case.path, line=item.case.line)


def _heading(failed: Sample) -> str:
    """Give the reason, the score where it is neither nothing nor all, and the first line of the explanation."""
    score = failed.score or 0.0
    part = f" (score {score:.2f})" if 0 < score < 1 else ""
    return f"{failed.reason}{part}: {_first_line(failed.explanation or '')}"


def _answer_rows(sample: Sample) -> Iterator[tuple[str, str]]:
    """Yield the text of an answer, and the tools that it calls; a text that is empty only where nothing is called."""
    talk = transcript(sample)
    if talk is not None:
        yield "conversation", talk
        return
    has_text = bool(sample.answer and sample.answer.strip())
    if has_text or not sample.tool_calls:
        yield "answer", (sample.answer or "") if has_text else "(empty)"
    if sample.tool_calls:
        yield "calls", "\n".join(map(str, sample.tool_calls))


def _samples(record: Record, failed: int) -> str:
    errors = sum(sample.outcome is Outcome.ERROR for sample in record.samples)
    text = f"{failed} of {len(record.samples)} failed; the first of them is shown"
    return f"{text}; {errors} without a grade" if errors else text


def _inputs(item: Item) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in list(item.case.inputs.items())[:_MAX_INPUTS]]


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


def checks_row(parts: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the row that lists the checks of an answer, those that failed first; nothing where it has one or none."""
    lines = list(check_lines(parts))
    if lines:
        yield "checks", "\n".join(lines)


def differing_rows(parts: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Yield the rows by which a result differs, from the parts of a grade; nothing for other grades.

    Rows are written as in a tuple of SQL, one a line.  A single value on each side is left out: the
    explanation holds it.
    """
    difference, sql = parts.get("difference"), parts.get("sql")
    if not isinstance(difference, Mapping):
        return
    sides = {name: _rows(difference.get(name)) for name in ("missing", "unexpected")}
    if any(len(rows) != 1 or len(rows[0]) != 1 for rows in sides.values()):
        for name, rows in sides.items():
            if rows:
                yield name, "\n".join(f"({', '.join(map(_cell, row))})" for row in rows)
    columns = difference.get("columns")
    if isinstance(columns, Mapping):
        names = {side: ", ".join(map(str, _cells(columns.get(side)))) for side in ("answer", "reference")}
        yield "columns", f"{names['answer']}\n(the reference: {names['reference']})"
    if isinstance(sql, str):
        yield "ran", f"{sql}\n(read as {parts.get('reading')}, on instance {parts.get('instance')})"


def _rows(found: Json) -> list[Sequence[Json]]:
    return [_cells(row) for row in _cells(found)]


def _cells(found: Json) -> Sequence[Json]:
    return found if isinstance(found, Sequence) and not isinstance(found, str) else ()


def _cell(value: Json) -> str:
    return "NULL" if value is None else str(value)

"""A run as Markdown to paste: every prompt, answer and grade. Pure functions."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.report.markdown.escape import escaped, fenced, table_head, table_row
from pytest_llmbench.report.terminal.run import record_blocks, record_heading
from pytest_llmbench.report.terminal.scoreboard import Line, scoreboard_cells
from pytest_llmbench.results.records import Record, Run


def record_markdown(record: Record, run: Run) -> Iterator[str]:
    """Write one record below a heading: what was sent and answered in code blocks, grades as text."""
    yield f"### {escaped(record_heading(record))}"
    yield ""
    for block in record_blocks(record, run):
        label = f"**{escaped(block.label)}**"
        if block.is_sentence and "\n" not in block.text:
            yield f"{label}: {escaped(block.text)}"
        else:
            yield label
            yield ""
            yield from fenced(block.text, None)
        yield ""


def scores_markdown(board: Sequence[Line]) -> Iterator[str]:
    """Write the scoreboard as a table; nothing without a line."""
    if not board:
        return
    titles, rows = scoreboard_cells(board)
    yield from table_head(titles, numbers=titles[2:])
    yield from (table_row(map(escaped, cells)) for cells in rows)

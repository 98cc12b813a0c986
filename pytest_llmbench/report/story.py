"""The story of one case for a failed test: what was asked, answered and expected, and why it failed."""

from collections.abc import Sequence

from pytest_llmbench.records import Record
from pytest_llmbench.report.look import Span, Style, Styled
from pytest_llmbench.report.text import clipped, on_one_line, visible
from pytest_llmbench.runner import Item, Result
from pytest_llmbench.values import Outcome

_MAX_INPUTS = 6
_MAX_CHARACTERS = 1200
_MAX_LINE = 300


def failure_story(item: Item, result: Result) -> str:
    """Tell a case whose answer was graded as failed: reason, inputs, answer, what was expected, place."""
    samples = result.record.samples
    failed = [sample for sample in samples if sample.outcome is Outcome.FAILED]
    if not failed:
        return layout(str(result.record.outcome), [*_inputs(item), ("case", _place(item))])
    shown = failed[0]
    rows = [
        *_inputs(item),
        ("answer", shown.answer or ""),
        ("expected", item.loaded.kind.expected_text(item.case)),
    ]
    explanation = (shown.explanation or "").strip()
    if "\n" in explanation:
        rows.append(("reason", explanation))
    if len(samples) > 1:
        rows.append(("samples", f"{len(failed)} of {len(samples)} failed; the first of them is shown"))
    return layout(f"{shown.reason}: {_first_line(explanation)}", [*rows, ("case", _place(item))])


def error_story(item: Item, result: Result) -> str:
    """Tell a case that got no graded answer: the cause, and what was asked."""
    cause = result.record.samples[0].error or "no answer"
    rows = [("error", cause)] if "\n" in cause.strip() else []
    if result.record.samples[0].answer is not None:
        rows = [*_inputs(item), ("answer", result.record.samples[0].answer), *rows]
    return layout(_first_line(cause), [*rows, ("case", _place(item))])


def wrong_line(nodeid: str, record: Record) -> Styled:
    """Tell in a line which test was wrong without failing, and why."""
    failed = next(sample for sample in record.samples if sample.outcome is Outcome.FAILED)
    why = clipped(_first_line(failed.explanation or ""), _MAX_LINE)
    return Span("WRONG", Style.DOUBTFUL), Span(f" {on_one_line(f'{nodeid} - {failed.reason}: {why}')}")


def layout(heading: str, rows: Sequence[tuple[str, str]]) -> str:
    """Lay out a heading and labelled texts, made safe to print and clipped."""
    size = max(len(label) for label, _ in rows)
    lines = [on_one_line(heading)]
    for label, text in rows:
        first, *rest = visible(clipped(text.strip("\n"), _MAX_CHARACTERS)).split("\n")
        lines.append(f"  {label.ljust(size)}  {first}".rstrip())
        lines.extend(f"  {' ' * size}  {line}".rstrip() for line in rest)
    return "\n".join(lines)


def _inputs(item: Item) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in list(item.case.inputs.items())[:_MAX_INPUTS]]


def _place(item: Item) -> str:
    return f"{item.case.path}:{item.case.line}"


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]

"""The table of a suite of labels, as text for the terminal. Pure functions."""

from collections.abc import Collection, Mapping, Sequence

from pytest_llmbench.report.labels import (
    LabelRow,
    LabelSuite,
    NumberStyle,
    label_suites,
    measures,
    probability_measures,
)
from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, table
from pytest_llmbench.results.classification import NO_PROMPTS
from pytest_llmbench.results.confusion import Confusion
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Prompt

_LABELS_IN_FULL = 4
"""Up to so many labels the confusion matrix is shown."""

_NEEDED = ("model", "strict", "lenient")
_GIVEN_UP = ("95% interval", "bal.acc", "F1", "neither", "Brier", "AUROC", "format", "MCC")
"""The columns that a narrow terminal leaves out first, in this order."""

_STYLE = NumberStyle(missing="-", to="-", undefined="0*", is_precise=True)

_Row = dict[str, str]


def label_lines(records: Sequence[Record], prompts: Mapping[str, Prompt] = NO_PROMPTS, width: int = 80) -> list[Styled]:
    """Lay out each suite of labels: its models, the baselines under them, and warnings."""
    return [line for suite in label_suites(records, prompts) for line in _lines(suite, width)]


def _lines(suite: LabelSuite, width: int) -> list[Styled]:
    rows = [_cells(row, suite) for row in suite.rows]
    heading = visible(f'{suite.suite}: labels {", ".join(suite.labels)}; positive is "{suite.positive}"')
    matrix = {title for row in suite.rows for title in _matrix_cells(row.confusion)}
    titles = _titles(rows, matrix, width - 2)
    below: list[tuple[str, Style]] = []
    if "MCC" in titles and any("0*" in row.values() for row in rows):
        below.append(("* MCC is undefined if only one label is expected or answered; it counts as 0.", Style.PLAIN))
    if matrix.intersection(titles):
        below.append(('"?" counts the answers in which no label could be read.', Style.PLAIN))
    else:
        models = ((row.name, row.confusion) for row in suite.rows if row.table is not None)
        below += [(f"{name}: {text}", Style.PLAIN) for name, confusion in models if (text := _matrix_text(confusion))]
    below += [(warning, Style.DOUBTFUL) for warning in suite.warnings]
    return [
        *folded((), heading, width),
        *_laid_out(rows, titles),
        *(line for text, style in below for line in folded((Span("  "),), visible(text), width, style)),
    ]


def _cells(row: LabelRow, suite: LabelSuite) -> _Row:
    return {
        "model": row.name if row.table is not None else f"({row.name})",
        **measures(row, suite.positive, _STYLE),
        **_matrix_cells(row.confusion),
        **(probability_measures(row, _STYLE) if suite.has_probabilities else {}),
    }


def _has_matrix(confusion: Confusion) -> bool:
    return len(confusion.labels) <= _LABELS_IN_FULL


def _matrix_text(confusion: Confusion) -> str:
    """Write the confusion matrix as a sentence; empty where there are too many labels."""
    if not _has_matrix(confusion):
        return ""
    answers = (*confusion.labels, "unreadable")
    return "; ".join(
        f"expected {label}: {', '.join(f'{count} {answer}' for count, answer in zip(counts, answers, strict=True))}"
        for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    )


def _matrix_cells(confusion: Confusion) -> _Row:
    if not _has_matrix(confusion):
        return {}
    answers = "/".join((*confusion.labels, "?"))
    return {
        f"expected {label}: {answers}": "/".join(map(str, counts))
        for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    }


def _titles(rows: Sequence[_Row], matrix: Collection[str], width: int) -> list[str]:
    """Give the columns that fit: the confusion matrix is left out first (it then stands below), then others."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    others = [
        title for title in (*_GIVEN_UP, *titles) if title in titles and title not in matrix and title not in _NEEDED
    ]
    if _width(rows, titles) > width:
        titles = [title for title in titles if title not in matrix]
    for title in dict.fromkeys(others):
        if _width(rows, titles) > width:
            titles.remove(title)
    return titles


def _laid_out(rows: Sequence[_Row], titles: Sequence[str]) -> list[Styled]:
    head = [Span(on_one_line(title), Style.TITLE) for title in titles]
    cells = [[Span(on_one_line(row.get(title, "-"))) for title in titles] for row in rows]
    return [(Span("  "), *line) for line in table([head, *cells], [title == "model" for title in titles])]


def _width(rows: Sequence[_Row], titles: Sequence[str]) -> int:
    return sum(_size(rows, title) + 2 for title in titles) - 2


def _size(rows: Sequence[_Row], title: str) -> int:
    return max(len(on_one_line(text)) for text in (title, *(row.get(title, "-") for row in rows)))

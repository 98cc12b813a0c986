"""The table of a suite of labels, as text for the terminal. Pure functions."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from pytest_llmbench.report.safe_text import on_one_line, visible
from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, table
from pytest_llmbench.results.classification import NO_PROMPTS, LabelTable, label_tables
from pytest_llmbench.results.confusion import Confusion
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Prompt

_LABELS_IN_FULL = 4
"""Up to so many labels the confusion matrix is shown."""

_NEEDED = ("model", "strict", "lenient")
_GIVEN_UP = ("95% interval", "bal.acc", "F1", "neither", "Brier", "AUROC", "format", "MCC")
"""The columns that a narrow terminal leaves out first, in this order."""

_Row = dict[str, str]


def label_lines(records: Sequence[Record], prompts: Mapping[str, Prompt] = NO_PROMPTS, width: int = 80) -> list[Styled]:
    """Tell each suite of labels in a table: its models, the baselines under them, and what to beware of."""
    tables = label_tables(records, prompts)
    return [line for _, suite in groupby(_by_suite(tables), key=lambda t: t.suite) for line in _lines([*suite], width)]


def _by_suite(tables: Sequence[LabelTable]) -> list[LabelTable]:
    names = [table.suite for table in tables]
    return sorted(tables, key=lambda table: names.index(table.suite))


def _lines(tables: Sequence[LabelTable], width: int) -> list[Styled]:
    widest = max(tables, key=lambda table: table.confusion.n)
    rows = [_model_row(table) for table in tables]
    rows += [
        {"model": f"({baseline.name})", "strict": (share := _share(baseline.confusion.accuracy)), "lenient": share}
        | _of_confusion(baseline.confusion, widest.positive)
        for baseline in widest.baselines
    ]
    heading = visible(f'{widest.suite}: labels {", ".join(widest.labels)}; positive is "{widest.positive}"')
    titles = _titles(rows, width - 2)
    below: list[tuple[str, Style]] = []
    if "MCC" in titles and any("0*" in row.values() for row in rows):
        text = "* MCC is undefined where one label only is expected or answered; it counts as 0."
        below.append((text, Style.PLAIN))
    if not any(" as " in title for title in titles):
        below += [(f"{table.role}: {text}", Style.PLAIN) for table in tables if (text := _matrix(table.confusion))]
    below += [(_warning(table), Style.DOUBTFUL) for table in tables if not table.is_above_baselines]
    return [
        *folded((), heading, width),
        *_laid_out(rows, titles),
        *(line for text, style in below for line in folded((Span("  "),), visible(text), width, style)),
    ]


def _matrix(confusion: Confusion) -> str:
    return ", ".join(f"{title} {cell}" for title, cell in _matrix_row(confusion).items())


def _warning(table: LabelTable) -> str:
    best = table.best_baseline
    return (
        f"{table.role} is not above the best baseline: {_share(table.strict.share)} strict, "
        f"{_share(best.confusion.accuracy)} by ({best.name})."
    )


def _model_row(table: LabelTable) -> _Row:
    told = table.probabilities
    low, high = table.strict.interval
    row = {
        "model": table.role,
        "format": _share(table.format_rate),
        "strict": _share(table.strict.share),
        "95% interval": f"{low * 100:.1f}-{high * 100:.1f}",
        "lenient": _share(table.lenient.share),
        **_of_confusion(table.confusion, table.positive),
    }
    if told is not None:
        row |= {"AUROC": _number(told.auroc), "Brier": _number(told.brier), "neither": _share(told.other)}
    return row


def _of_confusion(confusion: Confusion, positive: str) -> _Row:
    return {
        "bal.acc": _share(confusion.balanced_accuracy),
        "MCC": _number(confusion.mcc) if confusion.is_mcc_defined else "0*",
        "F1": _number(confusion.f1(positive)),
        f"{positive}-rate": _share(confusion.rate(positive)),
        **_matrix_row(confusion),
    }


def _matrix_row(confusion: Confusion) -> _Row:
    if len(confusion.labels) > _LABELS_IN_FULL:
        return {}
    answers = "/".join((*confusion.labels, "?"))
    return {
        f"{label} as {answers}": "/".join(map(str, counts))
        for label, counts in zip(confusion.labels, confusion.counts, strict=True)
    }


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate * 100:.1f}%"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _titles(rows: Sequence[_Row], width: int) -> list[str]:
    """Give the columns that fit: the confusion matrix goes first (it is told in lines then), the least needed next."""
    titles = list(dict.fromkeys(title for row in rows for title in row))
    matrix = [title for title in titles if " as " in title]
    others = [title for title in (*_GIVEN_UP, *titles) if title in titles and title not in (*matrix, *_NEEDED)]
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

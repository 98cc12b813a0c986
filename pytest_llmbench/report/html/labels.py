"""Suites of labels: format, accuracy read strictly and leniently, baselines to beat, confusion matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.report.html.format import number, percent
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.results.classification import LabelTable, label_tables
from pytest_llmbench.results.confusion import Confusion

_HEATS = 5
_MATRIX_LABELS = 12
"""Up to so many labels the confusion matrix is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """A model, or a baseline that reads nothing (`place` is None)."""

    name: str
    place: int | None
    cells: tuple[str, ...]
    is_not_above: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A confusion matrix: a row a label expected, each count with its heat 0..5."""

    role: str
    place: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelView:
    """A suite of labels."""

    suite: str
    positive: str
    columns: tuple[str, ...]
    rows: tuple[LabelRow, ...]
    matrices: tuple[Matrix, ...]
    warnings: tuple[str, ...]


def section(subject: Subject) -> Section | None:
    """Make the section: the suites of labels, if there are any."""
    views = label_views(subject)
    text, values = template("labels.html"), {"label_views": views}
    return Section(name="labels", title="Labels", template=text, values=values, is_half=True) if views else None


def label_views(subject: Subject) -> tuple[LabelView, ...]:
    """Sum up the suites of labels."""
    tables = label_tables(subject.run.records, subject.run.facts.prompts)
    return tuple(
        _view(suite, sorted(own, key=lambda table: subject.roles.index(table.role)), subject)
        for suite in subject.suites
        if (own := [table for table in tables if table.suite == suite])
    )


def _view(suite: str, tables: Sequence[LabelTable], subject: Subject) -> LabelView:
    widest = max(tables, key=lambda table: table.confusion.n)
    has_probabilities = any(table.probabilities for table in tables)
    titles = ["format", "strict", "95% interval", "lenient", "bal. acc.", "MCC", "F1", f"{widest.positive}-rate"]
    rows = [_model_row(table, subject.roles.index(table.role), has_probabilities) for table in tables]
    rows += [
        _baseline_row(baseline.name, baseline.confusion, widest.positive, has_probabilities)
        for baseline in widest.baselines
    ]
    return LabelView(
        suite=suite,
        positive=widest.positive,
        columns=(*titles, *(("AUROC", "Brier", "on neither") if has_probabilities else ())),
        rows=tuple(rows),
        matrices=tuple(
            _matrix(table, subject.roles.index(table.role)) for table in tables if len(table.labels) <= _MATRIX_LABELS
        ),
        warnings=tuple(_warning(table) for table in tables if not table.is_above_baselines),
    )


def _model_row(table: LabelTable, place: int, has_probabilities: bool) -> LabelRow:
    low, high = table.strict.interval
    told = table.probabilities
    probable = ("–",) * 3 if told is None else (number(told.auroc), number(told.brier), f"{told.other:.1%}")
    return LabelRow(
        name=table.role,
        place=place,
        is_not_above=not table.is_above_baselines,
        cells=(
            percent(table.format_rate, table.cases),
            percent(table.strict.share, table.cases),
            f"{low * 100:.0f}–{high * 100:.0f}",
            percent(table.lenient.share, table.cases),
            *_of_confusion(table.confusion, table.positive, table.cases),
            *(probable if has_probabilities else ()),
        ),
    )


def _baseline_row(name: str, confusion: Confusion, positive: str, has_probabilities: bool) -> LabelRow:
    right = percent(confusion.accuracy, confusion.n)
    cells = ("–", right, "–", right, *_of_confusion(confusion, positive, confusion.n))
    return LabelRow(name=name, place=None, cells=(*cells, *(("–",) * 3 if has_probabilities else ())))


def _of_confusion(confusion: Confusion, positive: str, cases: int) -> tuple[str, ...]:
    return (
        percent(confusion.balanced_accuracy, cases),
        number(confusion.mcc) if confusion.is_mcc_defined else "n/a",
        number(confusion.f1(positive)),
        percent(confusion.rate(positive), cases),
    )


def _matrix(table: LabelTable, place: int) -> Matrix:
    def heated(counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple((count, round(_HEATS * count / (sum(counts) or 1))) for count in counts)

    return Matrix(
        role=table.role,
        place=place,
        columns=(*table.labels, "?"),
        rows=tuple((label, heated(counts)) for label, counts in zip(table.labels, table.confusion.counts, strict=True)),
    )


def _warning(table: LabelTable) -> str:
    best = table.best_baseline
    return (
        f"{table.role} is not above the best baseline: {percent(table.strict.share, table.cases)} strict, "
        f"{percent(best.confusion.accuracy, table.cases)} by “{best.name}”."
    )

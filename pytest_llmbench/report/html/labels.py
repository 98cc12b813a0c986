"""Suites of labels: format, strict and lenient accuracy, baselines to beat, confusion matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.labels import (
    LabelRow,
    LabelSuite,
    NumberStyle,
    label_suites,
    measures,
    probability_measures,
)
from pytest_llmbench.results.classification import LabelTable

_HEATS = 5
_HALF_COLUMNS = 8
_MATRIX_LABELS = 12
"""Up to so many labels the confusion matrix is shown."""

_STYLE = NumberStyle(missing="–", to="–", undefined="n/a", is_precise=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """A model, or a baseline that reads nothing (`place` is None)."""

    name: str
    place: int | None
    cells: tuple[str, ...]


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
    rows: tuple[ShownRow, ...]
    matrices: tuple[Matrix, ...]
    warnings: tuple[str, ...]


def section(subject: Subject) -> Section | None:
    """Make the section: the suites of labels, if there are any."""
    views = label_views(subject)
    text, values = template("labels.html"), {"label_views": views}
    # a table with probabilities needs the whole width of a screen
    is_half = all(len(view.columns) <= _HALF_COLUMNS for view in views)
    return Section(name="labels", title="Labels", template=text, values=values, is_half=is_half) if views else None


def label_views(subject: Subject) -> tuple[LabelView, ...]:
    """Lay out the suites of labels."""
    found = label_suites(subject.run.records, subject.run.facts.prompts)
    # a suite on which a model was trained stands under two names
    order = {record.shown_suite: subject.suites.index(record.suite) for record in subject.run.records}
    return tuple(_view(suite, subject) for suite in sorted(found, key=lambda suite: (order[suite.suite], suite.suite)))


def _view(suite: LabelSuite, subject: Subject) -> LabelView:
    places = {role: place for place, role in enumerate(subject.roles)}
    rows = sorted(suite.rows, key=lambda row: len(places) if row.table is None else places[row.name])
    cells = [_cells(row, suite) for row in rows]
    tables = [row.table for row in rows if row.table is not None]
    return LabelView(
        suite=suite.suite,
        positive=suite.positive,
        columns=tuple(cells[0]),
        rows=tuple(
            ShownRow(name=row.name, place=None if row.table is None else places[row.name], cells=tuple(own.values()))
            for row, own in zip(rows, cells, strict=True)
        ),
        matrices=tuple(_matrix(table, places[table.role]) for table in tables if len(table.labels) <= _MATRIX_LABELS),
        warnings=suite.warnings,
    )


def _cells(row: LabelRow, suite: LabelSuite) -> dict[str, str]:
    probable = probability_measures(row, _STYLE) if suite.has_probabilities else {}
    return {**measures(row, suite.positive, _STYLE), **probable}


def _matrix(table: LabelTable, place: int) -> Matrix:
    def heated(counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple((count, round(_HEATS * count / (sum(counts) or 1))) for count in counts)

    return Matrix(
        role=table.role,
        place=place,
        columns=(*table.labels, "?"),
        rows=tuple((label, heated(counts)) for label, counts in zip(table.labels, table.confusion.counts, strict=True)),
    )

"""Suites of labels as rows of numbers, for terminal and HTML alike. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.report.format import digits_for, interval, percent
from pytest_llmbench.results.classification import Baseline, LabelTable, Probabilities, label_tables
from pytest_llmbench.results.confusion import Confusion
from pytest_llmbench.results.records import Record
from pytest_llmbench.values import Prompt

_BASELINES = {"rule": "the suite's rule", "last label": "repeating the last label of the prompt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """A model, or a baseline that reads nothing (`table` is None): its shares and its confusion matrix."""

    name: str
    table: LabelTable | None
    confusion: Confusion
    format_rate: float | None = None
    strict: float
    interval: tuple[float, float] | None = None
    lenient: float
    probabilities: Probabilities | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSuite:
    """A suite of labels: its models, then its baselines, and a warning for each model that beats no baseline."""

    suite: str
    labels: tuple[str, ...]
    positive: str
    rows: tuple[LabelRow, ...]
    warnings: tuple[str, ...]

    @property
    def has_probabilities(self) -> bool:
        """Whether a model gave probabilities of labels."""
        return any(row.probabilities for row in self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStyle:
    """How a surface writes numbers: what stands for a missing one, for a range, for an undefined MCC.

    With `is_precise` shares always have a digit behind the point, else only where there are cases enough.
    """

    missing: str
    to: str
    undefined: str
    is_precise: bool

    def share(self, value: float | None, cases: int) -> str:
        """Write a share."""
        return percent(value, 1 if self.is_precise else digits_for(cases), self.missing)

    def number(self, value: float | None) -> str:
        """Write a number between 0 and 1, or -1 and 1."""
        return self.missing if value is None else f"{value:.2f}"


def label_suites(records: Sequence[Record], prompts: Mapping[str, Prompt]) -> tuple[LabelSuite, ...]:
    """Sum up the suites of labels, in the order they first come."""
    by_suite: dict[str, list[LabelTable]] = {}
    for table in label_tables(records, prompts):
        by_suite.setdefault(table.suite, []).append(table)
    return tuple(_suite(tables) for tables in by_suite.values())


def _suite(tables: Sequence[LabelTable]) -> LabelSuite:
    widest = max(tables, key=lambda table: table.confusion.n)
    return LabelSuite(
        suite=widest.suite,
        labels=widest.labels,
        positive=widest.positive,
        rows=(*map(_model_row, tables), *map(_baseline_row, widest.baselines)),
        warnings=tuple(_warning(table) for table in tables if not table.is_above_baselines),
    )


def _model_row(table: LabelTable) -> LabelRow:
    return LabelRow(
        name=table.role,
        table=table,
        confusion=table.confusion,
        format_rate=table.format_rate,
        strict=table.strict.share,
        interval=table.strict.interval,
        lenient=table.lenient.share,
        probabilities=table.probabilities,
    )


def _baseline_row(baseline: Baseline) -> LabelRow:
    accuracy = baseline.confusion.accuracy
    return LabelRow(name=baseline.name, table=None, confusion=baseline.confusion, strict=accuracy, lenient=accuracy)


def _warning(table: LabelTable) -> str:
    best = table.best_baseline
    name = _BASELINES.get(best.name, best.name.replace("always ", "always answering ", 1))
    strict, accuracy = percent(table.strict.share), percent(best.confusion.accuracy)
    return f"{table.role} does not beat the trivial baseline: {strict} (strict) against {accuracy} for {name}."


def measures(row: LabelRow, positive: str, style: NumberStyle) -> dict[str, str]:
    """Write what the answers of a row come to, by the titles of the columns."""
    confusion, cases = row.confusion, row.confusion.n if row.table is None else row.table.cases
    digits = 1 if style.is_precise else 0
    return {
        "format": style.share(row.format_rate, cases),
        "strict": style.share(row.strict, cases),
        "95% interval": interval(row.interval, digits, to=style.to, missing=style.missing),
        "lenient": style.share(row.lenient, cases),
        "bal.acc": style.share(confusion.balanced_accuracy, cases),
        "MCC": style.number(confusion.mcc) if confusion.is_mcc_defined else style.undefined,
        "F1": style.number(confusion.f1(positive)),
        f"{positive}-rate": style.share(confusion.rate(positive), cases),
    }


def probability_measures(row: LabelRow, style: NumberStyle) -> dict[str, str]:
    """Write what the probabilities of a row come to, by the titles of the columns."""
    found = row.probabilities
    return {
        "AUROC": style.number(None if found is None else found.auroc),
        "Brier": style.number(None if found is None else found.brier),
        "neither": percent(None if found is None else found.other, missing=style.missing),
    }

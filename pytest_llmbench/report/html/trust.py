"""How far the graders agree with the people who annotated the same answers."""

from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.report.html.format import number, percent
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.html.svg import Scale, interval_bar
from pytest_llmbench.report.trust import TOO_FEW, TrustRow, trust_row
from pytest_llmbench.results.grader_agreement import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTrust:
    """A grader as the page shows it; the numbers of `row` as texts."""

    row: TrustRow
    agreement: str
    kappa: str
    bar: Markup | None
    tpr: str
    tnr: str
    note: str


def section(subject: Subject) -> Section | None:
    """Make the section: how far the graders agree with people, if people annotated answers."""
    rows = trust_rows(subject.trust)
    values = {"trust_rows": rows}
    return Section(name="trust", title="Trust", template=template("trust.html"), values=values) if rows else None


def trust_rows(findings: Findings | None) -> tuple[ShownTrust, ...]:
    """Lay out the graders whose answers people annotated."""
    return () if findings is None else tuple(_shown(trust_row(grader)) for grader in findings.graders)


def _shown(row: TrustRow) -> ShownTrust:
    return ShownTrust(
        row=row,
        agreement=percent(row.agreement, row.answers),
        kappa=number(row.kappa),
        bar=_bar(row),
        tpr=percent(row.tpr, row.answers),
        tnr=percent(row.tnr, row.answers),
        note="; ".join([*([] if row.is_enough else [TOO_FEW]), *row.notes]),
    )


def _bar(row: TrustRow) -> Markup | None:
    if row.kappa is None or row.interval is None:
        return None
    across = Scale(low=0, high=1, start=0, end=100)
    low, high = map(across, row.interval)
    label = f"kappa {number(row.kappa)}, 95% interval {' to '.join(map(number, row.interval))}"
    return interval_bar(label, across(row.kappa), (low, high))

"""How far the graders can be trusted, by what people said of the same answers."""

from dataclasses import dataclass

from markupsafe import Markup

from pytest_llmbench.report.html.format import number, percent
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.html.svg import Scale, stretched, tag
from pytest_llmbench.results.grader_agreement import ENOUGH, Findings, GraderAgreement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRow:
    """A grader: `lenient` answers it passes and people do not, `harsh` ones the other way round."""

    suite: str
    grader: str
    answers: int
    agreement: str
    kappa: str
    bar: Markup | None
    tpr: str
    tnr: str
    lenient: int
    harsh: int
    note: str


def section(subject: Subject) -> Section | None:
    """Make the section: how far the graders agree with people, if people annotated answers."""
    rows = trust_rows(subject.trust)
    values = {"trust_rows": rows}
    return Section(name="trust", title="Trust", template=template("trust.html"), values=values) if rows else None


def trust_rows(findings: Findings | None) -> tuple[TrustRow, ...]:
    """Sum up the graders that people's verdicts are there for."""
    return () if findings is None else tuple(_row(grader) for grader in findings.graders)


def _row(trust: GraderAgreement) -> TrustRow:
    passed = sum(pair.grader_passes for pair in trust.disagreements)
    notes = [] if trust.is_enough else [f"too few to say (at least {ENOUGH})"]
    notes += ["no answer was drawn at random"] if trust.is_all_used else []
    notes += [f"{trust.not_random} chosen ones left out"] if trust.not_random else []
    return TrustRow(
        suite=trust.suite,
        grader=trust.grader,
        answers=trust.n,
        agreement=percent(trust.rate, trust.n),
        kappa=number(trust.kappa) if trust.is_enough else "–",
        bar=_bar(trust) if trust.is_enough else None,
        tpr=percent(trust.tpr, trust.n) if trust.is_enough else "–",
        tnr=percent(trust.tnr, trust.n) if trust.is_enough else "–",
        lenient=passed,
        harsh=len(trust.disagreements) - passed,
        note="; ".join(notes),
    )


def _bar(trust: GraderAgreement) -> Markup | None:
    if trust.kappa is None or trust.kappa_interval is None:
        return None
    across = Scale(low=0, high=1, start=0, end=100)
    low, high = map(across, trust.kappa_interval)
    label = f"kappa {number(trust.kappa)}, 95% interval {' to '.join(map(number, trust.kappa_interval))}"
    track = tag("rect", x=0, y=4, width=100, height=2, class_="track")
    spread = tag("rect", x=low, y=3, width=max(high - low, 0.5), height=4, class_="range")
    here = tag("rect", x=min(across(trust.kappa), 99), y=0, width=1, height=10, class_="point")
    return stretched(100, 10, label, track, spread, here, class_="bar")

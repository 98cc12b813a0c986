"""The agreement of graders with people as rows, for terminal and HTML alike. Pure functions."""

from dataclasses import dataclass

from pytest_llmbench.report.format import counted
from pytest_llmbench.results.grader_agreement import ENOUGH, GraderAgreement

TOO_FEW = f"too few annotations (at least {ENOUGH} needed)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRow:
    """A grader in a suite, against the people who annotated its answers.

    `lenient` answers it passes and people do not, `harsh` ones the other way round.  `kappa`, `tpr` and `tnr` are
    None where there are too few annotations (`is_enough`) or they are undefined.
    """

    suite: str
    grader: str
    answers: int
    agreeing: int
    agreement: float
    is_enough: bool
    kappa: float | None
    interval: tuple[float, float] | None
    tpr: float | None
    tnr: float | None
    lenient: int
    harsh: int
    notes: tuple[str, ...]


def trust_row(found: GraderAgreement) -> TrustRow:
    """Sum up the agreement of a grader."""
    lenient = sum(pair.grader_passes for pair in found.disagreements)
    notes = []
    if found.not_random:
        noun = "annotation of an answer" if found.not_random == 1 else "annotations of answers"
        notes.append(f"left out: {found.not_random:,} {noun} chosen by hand, not at random")
    if found.is_all_used:
        notes.append("no answer was drawn at random, so these figures may be biased")
    return TrustRow(
        suite=found.suite,
        grader=found.grader,
        answers=found.n,
        agreeing=found.n - len(found.disagreements),
        agreement=found.rate,
        is_enough=found.is_enough,
        kappa=found.kappa if found.is_enough else None,
        interval=found.kappa_interval if found.is_enough else None,
        tpr=found.tpr if found.is_enough else None,
        tnr=found.tnr if found.is_enough else None,
        lenient=lenient,
        harsh=len(found.disagreements) - lenient,
        notes=tuple(notes),
    )


def annotations(count: int) -> str:
    """Count annotations."""
    return counted(count, "annotation")

"""The agreement of graders with people, as text. Pure functions."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.report.format import counted, listed, percent, signed_points
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.report.trust import TOO_FEW, TrustRow, annotations, trust_row
from pytest_llmbench.results.check_agreement import CheckAgreement, CheckFindings
from pytest_llmbench.results.grader_agreement import Findings, GraderAgreement, Pair
from pytest_llmbench.results.length_bias import LengthGroup
from pytest_llmbench.results.proposed_minimum import ProposedMinimum

_SHOWN_CHARACTERS = 200
_SHOWN_CASES = 5


def trust_lines(findings: Findings, faults: Sequence[str] = ()) -> Iterator[str]:
    """Write what was found: each grader with its disagreements, then what was left out."""
    for grader in findings.graders:
        yield from _grader_lines(grader)
    if not findings.graders:
        yield "No answer in these runs is annotated; annotate some with: llmbench review RUN.json"
    yield from _left_out(findings, "answer")
    if findings.of_checks:
        yield f"Left out: {annotations(findings.of_checks)} of one check or point; --by-check counts them."
    yield from map(visible, faults)


def check_lines(findings: CheckFindings, faults: Sequence[str] = ()) -> Iterator[str]:
    """Write what was found check by check, then what was left out."""
    for check in findings.checks:
        yield from _check_lines(check)
    yield from map(_minimum_line, findings.minimums)
    if not findings.checks and not findings.minimums:
        yield "No check in these runs is annotated; annotate some with: llmbench review RUN.json --by-check"
    if findings.several:
        yield f"Left out: {annotations(findings.several)} of the whole answer to a case that has several checks."
    if findings.unknown:
        yield f"Left out: {annotations(findings.unknown)} of a check or point that the grade does not have."
    yield from _left_out(findings.rest, "check or point")
    yield from map(visible, faults)


def _left_out(findings: Findings, tied: str) -> Iterator[str]:
    if findings.older:
        yield f"Left out: {annotations(findings.older)} of another answer to a case here, or of an older form of it."
    if findings.ungraded:
        yield f"Left out: {annotations(findings.ungraded)} of answers that have no grade here."
    if findings.foreign:
        yield f"Left out: {annotations(findings.foreign)} of cases that are not in these runs."
    if findings.tied:
        yield f"Left out: {counted(findings.tied, tied)} that as many people pass as fail."


def _grader_lines(found: GraderAgreement) -> Iterator[str]:
    row = trust_row(found)
    yield visible(f"{row.suite} ({row.grader}): {_agreement(row)}")
    yield from _figures(found, row)
    yield from (f"  {note}" for note in row.notes)
    for pair in found.disagreements:
        yield from _disagreement(pair)


def _check_lines(check: CheckAgreement) -> Iterator[str]:
    row = trust_row(check.found)
    yield visible(f"{row.suite}, {check.label} ({row.grader}): {_agreement(row)}")
    yield from _figures(check.found, row)
    groups = check.by_length
    if row.is_enough and len(groups) > 1:
        shown = ", ".join(f"{_words(group)} {signed_points(group.bias, 1)} (n={group.n})" for group in groups)
        yield f"  grader less people, in points of pass rate by words: {shown}"
    elif row.is_enough:
        yield "  grader less people by length: all answers have the same number of words"
    if check.cases:
        cases = listed(check.cases, _SHOWN_CASES)
        yield visible(f"  too lenient {row.lenient}, too harsh {row.harsh}: {cases}")
    yield from (f"  {note}" for note in row.notes)


def _minimum_line(found: ProposedMinimum) -> str:
    name = f"{found.suite}, {found.check}: {annotations(found.n)}"
    if found.minimum is None:
        why = "people gave one outcome only" if found.is_enough else TOO_FEW
        return visible(f"{name}; no `min` can be proposed: {why}")
    kappa = "" if found.kappa is None else f"kappa {found.kappa:.2f}, "
    rates = f"{kappa}TPR {percent(found.tpr)}, TNR {percent(found.tnr)}"
    return visible(f"{name}; with min: {found.minimum:g} it agrees best with people: {rates} on the same answers")


def _words(group: LengthGroup) -> str:
    return f"{group.shortest} to {group.longest}" if group.shortest != group.longest else f"{group.shortest}"


def _agreement(row: TrustRow) -> str:
    return f"{annotations(row.answers)}, {percent(row.agreement)} agreement ({row.agreeing} of {row.answers})"


def _figures(found: GraderAgreement, row: TrustRow) -> Iterator[str]:
    if not row.is_enough:
        yield f"  kappa, TPR, TNR: {TOO_FEW}"
        return
    low, high = row.interval or (0.0, 0.0)
    kappa = "undefined: people and grader gave one outcome only"
    if row.kappa is not None:
        kappa = f"{row.kappa:.2f} ({low:.2f} to {high:.2f})"
    yield f"  kappa {kappa}, TPR {percent(row.tpr)}, TNR {percent(row.tnr)}"
    for role, rate in found.pass_rates:
        corrected = found.corrected(rate)
        text = "cannot be corrected" if corrected is None else f"{percent(corrected)} corrected"
        yield visible(f"  pass rate of {role}: {percent(rate)}, {text}")


def _disagreement(pair: Pair) -> Iterator[str]:
    annotation, sample = pair.annotation, pair.sample
    note = f" ({annotation.note})" if annotation.note else ""
    yield visible(
        f"  {pair.record.suite}/{pair.record.case}: {annotation.by}: {annotation.mark}{note}; "
        f"grader: {sample.outcome} ({sample.reason}, score {sample.score or 0:.2f})"
    )
    answer = " ".join(clipped(sample.answer or "", _SHOWN_CHARACTERS).split())
    yield visible(f"    {answer or '(empty)'}")

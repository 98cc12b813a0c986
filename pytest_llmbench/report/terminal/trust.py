"""The agreement of graders with people, as text. Pure functions."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.report.format import counted, percent
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.report.trust import TOO_FEW, annotations, trust_row
from pytest_llmbench.results.grader_agreement import Findings, GraderAgreement, Pair

_SHOWN_CHARACTERS = 200


def trust_lines(findings: Findings, faults: Sequence[str] = ()) -> Iterator[str]:
    """Write what was found: each grader with its disagreements, then what was left out."""
    for grader in findings.graders:
        yield from _grader_lines(grader)
    if not findings.graders:
        yield "No answer in these runs is annotated; annotate some with: llmbench review RUN.json"
    if findings.older:
        yield f"Left out: {annotations(findings.older)} of another answer to a case here, or of an older form of it."
    if findings.foreign:
        yield f"Left out: {annotations(findings.foreign)} of cases that are not in these runs."
    if findings.tied:
        yield f"Left out: {counted(findings.tied, 'answer')} that as many people pass as fail."
    yield from map(visible, faults)


def _grader_lines(found: GraderAgreement) -> Iterator[str]:
    row = trust_row(found)
    agreement = f"{percent(row.agreement)} agreement ({row.agreeing} of {row.answers})"
    yield visible(f"{row.suite} ({row.grader}): {annotations(row.answers)}, {agreement}")
    if not row.is_enough:
        yield f"  kappa, TPR, TNR: {TOO_FEW}"
    else:
        low, high = row.interval or (0.0, 0.0)
        kappa = "undefined: people and grader gave one outcome only"
        if row.kappa is not None:
            kappa = f"{row.kappa:.2f} ({low:.2f} to {high:.2f})"
        yield f"  kappa {kappa}, TPR {percent(row.tpr)}, TNR {percent(row.tnr)}"
        for role, rate in found.pass_rates:
            corrected = found.corrected(rate)
            text = "cannot be corrected" if corrected is None else f"{percent(corrected)} corrected"
            yield visible(f"  pass rate of {role}: {percent(rate)}, {text}")
    yield from (f"  {note}" for note in row.notes)
    for pair in found.disagreements:
        yield from _disagreement(pair)


def _disagreement(pair: Pair) -> Iterator[str]:
    annotation, sample = pair.annotation, pair.sample
    note = f" ({annotation.note})" if annotation.note else ""
    yield visible(
        f"  {pair.record.suite}/{pair.record.case}: {annotation.by}: {annotation.mark}{note}; "
        f"grader: {sample.outcome} ({sample.reason}, score {sample.score or 0:.2f})"
    )
    answer = " ".join(clipped(sample.answer or "", _SHOWN_CHARACTERS).split())
    yield visible(f"    {answer or '(empty)'}")

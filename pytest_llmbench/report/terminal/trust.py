"""How far the graders can be trusted, as text. Pure functions."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.results.grader_agreement import ENOUGH, Findings, GraderAgreement, Pair

_SHOWN_CHARACTERS = 200


def trust_lines(findings: Findings, faults: Sequence[str] = ()) -> Iterator[str]:
    """Tell what was found: each grader with its disagreements, then what was left out."""
    for grader in findings.graders:
        yield from _grader_lines(grader)
    if not findings.graders:
        yield "No answer of these runs has a verdict; write some with: llmbench review RUN.json"
    if findings.older:
        yield f"{findings.older} verdicts are on another answer or an older form of a case here, and are left out."
    if findings.foreign:
        yield f"{findings.foreign} verdicts are on cases that are not in these runs."
    if findings.tied:
        yield f"{findings.tied} answers are left out: as many people pass them as do not."
    yield from map(visible, faults)


def _grader_lines(trust: GraderAgreement) -> Iterator[str]:
    right = sum(pair.people_pass == pair.grader_passes for pair in trust.pairs)
    yield visible(f"{trust.suite} ({trust.grader}): {trust.n} verdicts, agreement {_percent(trust.rate)} ({right})")
    if not trust.is_enough:
        yield f"  kappa, TPR, TNR: too few to say (at least {ENOUGH})"
    else:
        low, high = trust.kappa_interval or (0.0, 0.0)
        found = "undefined, all say the same" if trust.kappa is None else f"{trust.kappa:.2f} ({low:.2f} to {high:.2f})"
        yield f"  kappa {found}, TPR {_percent(trust.tpr)}, TNR {_percent(trust.tnr)}"
        for role, rate in trust.pass_rates:
            corrected = trust.corrected(rate)
            says = "cannot be corrected" if corrected is None else f"{_percent(corrected)} corrected"
            yield visible(f"  pass rate of {role}: {_percent(rate)}, {says}")
    if trust.not_random:
        yield f"  left out: {trust.not_random} verdicts on answers that were chosen, not drawn at random"
    if trust.is_all_used:
        yield "  no answer was drawn at random, so these figures may be better or worse than the truth"
    for pair in trust.disagreements:
        yield from _disagreement(pair)


def _disagreement(pair: Pair) -> Iterator[str]:
    verdict, sample = pair.verdict, pair.sample
    note = f" ({verdict.note})" if verdict.note else ""
    yield visible(
        f"  {pair.record.suite}/{pair.record.case}: {verdict.by} says {verdict.verdict}{note}, "
        f"the grader {sample.outcome} ({sample.reason}, score {sample.score or 0:.2f})"
    )
    answer = " ".join(clipped(sample.answer or "", _SHOWN_CHARACTERS).split())
    yield visible(f"    {answer or '(empty)'}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f}%"

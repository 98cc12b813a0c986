"""The gate: one verdict a suite, one for the whole, with known error rates.

The rule of `rule.py` is applied to the differences of each suite's cases (or clusters of
them), samples averaged first.  Samples that got no answer are unknown: the rule is applied with
all of them against the candidate and all for it.  docs/gate.md describes what it promises.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_llmbench.gate.answer_agreement import agreement
from pytest_llmbench.gate.broken import TooManyErrors, too_many_errors, why_broken
from pytest_llmbench.gate.comparison import Comparison, Kind, Pair, SuitePairs, suite_info
from pytest_llmbench.gate.latency import compare_latency
from pytest_llmbench.gate.latency_verdict import latency_ruling
from pytest_llmbench.gate.power import power_of
from pytest_llmbench.gate.rule import (
    PASSING,
    Claims,
    Units,
    Verdict,
    case_scores,
    claims_of,
    differences_of,
    same_at_both_ends,
    units_of,
)
from pytest_llmbench.gate.rulings import Gate, MovedCase, PooledRuling, SuiteRuling
from pytest_llmbench.gate.score_test import interval
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.smoke import (
    is_smoke,
    is_weakened,
    rule_smoke,
    smoke_suites_of_one_run,
)
from pytest_llmbench.gate.training import training_effect, training_notes
from pytest_llmbench.results.grader_agreement import untrusted_graders
from pytest_llmbench.results.records import Run, SuiteInfo
from pytest_llmbench.stats import holm, mean
from pytest_llmbench.values import GateKind


def decide(comparison: Comparison, settings: GateSettings) -> Gate:
    """Give the verdicts on two joined runs."""
    untrusted = untrusted_suites((comparison.baseline, comparison.candidate), settings)
    smoke = {
        (suite.suite, suite.role): _smoke_ruling(comparison, suite, settings)
        for suite in (
            *(suite for suite in comparison.suites if is_smoke(comparison.candidate, suite.suite)),
            *smoke_suites_of_one_run(comparison),
        )
        if not suite.blocked_by
    }
    judged = [
        (suite, units_of(suite.pairs))
        for suite in comparison.suites
        if suite.pairs and not suite.blocked_by and (suite.suite, suite.role) not in smoke
    ]
    rulings: dict[tuple[str, str], SuiteRuling] = dict(smoke)
    trusted = [entry for entry in judged if entry[0].suite not in untrusted]
    # what is advice only is no part of the family whose false alarms are bounded
    families = [trusted, *([entry] for entry in judged if entry[0].suite in untrusted)]
    for family in families:
        against = [claims_of(differences_of(units.against), settings.margin) for _, units in family]
        favour = [claims_of(differences_of(units.favour), settings.margin) for _, units in family]
        for (suite, units), *ends in zip(family, _with_alarms(against), _with_alarms(favour), strict=True):
            rulings[suite.suite, suite.role] = _ruling(suite, units, tuple(ends), settings)
    found = [rulings.get((suite.suite, suite.role)) or _blocked(suite) for suite in comparison.suites]
    found += [ruling for ruling in smoke.values() if ruling.pairs not in comparison.suites]
    excess = [one for one in too_many_errors(comparison.candidate, settings.max_errors) if one.suite not in untrusted]
    return Gate(
        settings=settings,
        comparison=_with_notes(comparison, excess, settings),
        suites=tuple(
            replace(
                _with_errors(ruling, excess, settings),
                why_advice_only=None if is_weakened(ruling.pairs) else untrusted.get(ruling.pairs.suite),
                training=training_effect(ruling.pairs),
            )
            for ruling in found
        ),
        broken=why_broken(comparison.candidate) or why_broken(comparison.baseline, owner="the baseline's "),
        too_many_errors=tuple(excess),
        together=tuple(_together(trusted, settings.margin)),
        latency=tuple(latency_ruling(facts, settings) for facts in compare_latency(comparison, settings.allowed)),
    )


def _with_errors(ruling: SuiteRuling, excess: Sequence[TooManyErrors], settings: GateSettings) -> SuiteRuling:
    """Take a pass from a suite with too many errors; a loss that is shown whatever they are stays one."""
    key = (ruling.pairs.suite, ruling.pairs.role)
    text = next((one.text(settings.max_errors) for one in excess if (one.suite, one.role) == key), None)
    if text is None:
        return ruling
    verdict = Verdict.INCONCLUSIVE if ruling.verdict in PASSING else ruling.verdict
    return replace(ruling, verdict=verdict, pairs=replace(ruling.pairs, notes=(*ruling.pairs.notes, text)))


def _with_notes(comparison: Comparison, excess: Sequence[TooManyErrors], settings: GateSettings) -> Comparison:
    """Name the suites with too many errors that only the candidate has."""
    compared = {(suite.suite, suite.role) for suite in comparison.suites}
    notes = [
        f"{one.suite} [{one.role}]: {one.text(settings.max_errors)}"
        for one in excess
        if (one.suite, one.role) not in compared
    ]
    return replace(comparison, notes=(*comparison.notes, *notes, *training_notes(comparison)))


def untrusted_suites(runs: Sequence[Run], settings: GateSettings) -> dict[str, str]:
    """Give the suites of the last run that are advice only, by their own key or for their grader, and why.

    A `trust:` that the first of two runs did not have, or had with other numbers, lets off nothing until that is
    allowed: it would switch the gate off unseen.
    """
    records = [record for run in runs for record in run.records]
    suites = runs[-1].facts.suites
    if len(runs) > 1 and Kind.GATE not in settings.allowed:
        suites = tuple(_with_trust_of(suite_info(runs[0].facts, suite.suite), suite) for suite in suites)
    advice = {suite.suite: "its file has `gate: advice`" for suite in suites if suite.gate is GateKind.ADVICE}
    return {**untrusted_graders(records, suites, settings.people), **advice}


def _with_trust_of(old: SuiteInfo | None, new: SuiteInfo) -> SuiteInfo:
    return new if old is None or new.trust is None else replace(new, trust=old.trust)


def _with_alarms(claims: Sequence[Claims]) -> list[tuple[Claims, bool]]:
    """Add to each suite's claims whether its loss counts as shown among all suites."""
    return list(zip(claims, holm([claim.alarm for claim in claims]), strict=True))


def _blocked(suite: SuitePairs) -> SuiteRuling:
    return SuiteRuling(pairs=suite, verdict=Verdict.INCONCLUSIVE, blocked_by=suite.blocked_by)


def _smoke_ruling(comparison: Comparison, suite: SuitePairs, settings: GateSettings) -> SuiteRuling:
    smoke, units = rule_smoke(comparison, suite), units_of(suite.pairs)
    found = _ruling(suite, units, (), settings) if units.known else SuiteRuling(pairs=suite, verdict=smoke.verdict)
    return replace(
        found, verdict=smoke.verdict, smoke=smoke, interval=None, power=None, is_real_drop=False, is_corrected=False
    )


def _ruling(
    suite: SuitePairs, units: Units, ends: tuple[tuple[Claims, bool], ...], settings: GateSettings
) -> SuiteRuling:
    verdicts = [claims.verdict(is_alarmed=is_alarmed) for claims, is_alarmed in ends]
    verdict = same_at_both_ends(*verdicts) if verdicts else Verdict.INCONCLUSIVE
    scores = units.known
    known = differences_of(scores)
    interval_against = interval(differences_of(units.against))
    interval_favour = interval(differences_of(units.favour)) if units.error_cases else interval_against
    all_scores = (s.score for p in suite.pairs for side in (p.baseline, p.candidate) for s in side.samples)
    return SuiteRuling(
        pairs=suite,
        verdict=verdict,
        baseline_score=mean([old for old, _ in scores]) if scores else None,
        candidate_score=mean([new for _, new in scores]) if scores else None,
        delta=known.mean if scores else None,
        interval=(interval_against[0], interval_favour[1]),
        units=len(units.favour),
        error_cases=units.error_cases,
        worse=_moved(suite.pairs, -1),
        better=_moved(suite.pairs, 1),
        is_real_drop=verdict is Verdict.NO_WORSE and all(claims.is_down for claims, _ in ends),
        is_corrected=any(claims.is_down and not is_alarmed for claims, is_alarmed in ends)
        and verdict is Verdict.TOO_FEW_CASES,
        is_fractional=any(score not in (0, 1, None) for score in all_scores),
        power=power_of(suite, known, settings.margin) if scores else None,
        agreement=agreement(suite.pairs),
    )


def _moved(pairs: Sequence[Pair], sign: int) -> tuple[MovedCase, ...]:
    return tuple(
        MovedCase(case=pair.candidate.case, baseline=pair.baseline, candidate=pair.candidate)
        for pair in pairs
        if (scores := case_scores(pair)) and (scores[1] - scores[0]) * sign > 1e-9
    )


def _together(judged: Sequence[tuple[SuitePairs, Units]], margin: float) -> Iterable[PooledRuling]:
    for role in dict.fromkeys(suite.role for suite, _ in judged):
        found = [(suite, units) for suite, units in judged if suite.role == role]
        if len(found) < 2:
            continue
        known = differences_of([scores for _, units in found for scores in units.known])
        against = differences_of([scores for _, units in found for scores in units.against])
        favour = differences_of([scores for _, units in found for scores in units.favour])
        ends = [claims_of(end, margin) for end in (against, favour)]
        yield PooledRuling(
            role=role,
            verdict=same_at_both_ends(*(claims.verdict(is_alarmed=claims.is_down) for claims in ends)),
            delta=known.mean if known.counts else 0.0,
            interval=(interval(against)[0], interval(favour)[1]),
            cases=sum(len(suite.pairs) for suite, _ in found),
        )

"""The gate: one verdict a suite, one for the whole, with known error rates.

The rule of `rule.py` is applied to the differences of each suite's cases (or clusters of
them), samples averaged first.  Samples that got no answer are unknown: the rule is applied with
all of them against the candidate and all for it.  docs/gate.md describes what it promises.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_llmbench.gate.answer_agreement import agreement
from pytest_llmbench.gate.broken import TooManyErrors, too_many_errors, why_broken
from pytest_llmbench.gate.judged import Judged, judge_suite, with_alarms
from pytest_llmbench.gate.latency import compare_latency
from pytest_llmbench.gate.latency_verdict import latency_ruling
from pytest_llmbench.gate.pairs import Comparison, Kind, Pair, SuitePairs, Why
from pytest_llmbench.gate.power import power_of
from pytest_llmbench.gate.rule import (
    PASSING,
    Claims,
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
from pytest_llmbench.gate.stops import CannotRepeat
from pytest_llmbench.gate.training import training_effect, training_notes
from pytest_llmbench.results.calibrated_checks import uncalibrated_suites
from pytest_llmbench.results.grader_agreement import untrusted_graders
from pytest_llmbench.results.records import Run, SuiteInfo
from pytest_llmbench.stats import mean
from pytest_llmbench.values import GateKind


def decide(comparison: Comparison, settings: GateSettings) -> Gate:
    """Give the verdicts on two joined runs."""
    comparison = _without_not_asked(comparison)
    untrusted = untrusted_suites((comparison.baseline, comparison.candidate), settings)
    smoke = {
        (suite.suite, suite.role): _smoke_ruling(comparison, suite, settings)
        for suite in (
            *(suite for suite in comparison.suites if is_smoke(comparison.candidate, suite.suite)),
            *smoke_suites_of_one_run(comparison),
        )
        if not suite.blocked_by
    }
    judged: list[Judged] = []
    rulings: dict[tuple[str, str], SuiteRuling] = dict(smoke)
    for suite in comparison.suites:
        key = (suite.suite, suite.role)
        if suite.pairs and not suite.blocked_by and key not in smoke:
            try:
                judged.append(judge_suite(comparison, suite, settings.margin))
            except CannotRepeat as fault:
                rulings[key] = SuiteRuling(pairs=suite, verdict=Verdict.INCONCLUSIVE, why_not_repeated=str(fault))
    trusted = [one for one in judged if one.suite.suite not in untrusted]
    # what is advice only is no part of the family whose false alarms are bounded
    families = [trusted, *([one] for one in judged if one.suite.suite in untrusted)]
    for family in families:
        ends = [[one.claims(is_for=is_for, margin=settings.margin) for one in family] for is_for in (False, True)]
        for one, *own in zip(family, *(with_alarms(family, claims) for claims in ends), strict=True):
            rulings[one.suite.suite, one.suite.role] = _ruling(one, tuple(own), settings)
    found = [rulings.get((suite.suite, suite.role)) or _blocked(suite) for suite in comparison.suites]
    found += [ruling for ruling in smoke.values() if ruling.pairs not in comparison.suites]
    excess = [
        one
        for one in too_many_errors(_judged_of(comparison.candidate, judged), settings.max_errors)
        if one.suite not in untrusted
    ]
    gate = Gate(
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
    if not gate.suites or gate.counted:
        return gate
    return replace(gate, comparison=replace(gate.comparison, notes=(*gate.comparison.notes, _NOTHING_DECIDES)))


_NOTHING_DECIDES = (
    "every suite that was compared is advice only, so nothing decides, and the verdict is inconclusive: run it "
    "together with a suite that counts, or with --llm-no-fail and without a baseline"
)
"""A pass would be none: a selection that leaves out what decides must not end with 0."""


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
    allowed: it would switch the gate off unseen.  So would a rubric that a suite of the first run has only since.
    """
    records = [record for run in runs for record in run.records]
    suites = runs[-1].facts.suites
    if len(runs) > 1 and Kind.GATE not in settings.allowed:
        suites = tuple(_with_trust_of(runs[0].facts.suite(suite.suite), suite) for suite in suites)
    advice = {suite.suite: "its file has `gate: advice`" for suite in suites if suite.gate is GateKind.ADVICE}
    judged = uncalibrated_suites(records, suites, settings.people)
    if len(runs) > 1 and Kind.GATE not in settings.allowed:
        judged = {suite: why for suite, why in judged.items() if not _is_newly_judged(suite, suites, runs[0])}
    # `trust` is asked of each judged check of a suite, and else of its grader as a whole
    others = [suite for suite in suites if suite.suite not in judged]
    uncalibrated = {suite: why for suite, why in judged.items() if why is not None}
    return {**untrusted_graders(records, others, settings.people), **uncalibrated, **advice}


def _is_newly_judged(suite: str, suites: Sequence[SuiteInfo], first: Run) -> bool:
    """Tell whether the first run has a suite, and no check in it that a judge decides."""
    own = [record for record in first.records if record.suite == suite]
    return bool(own) and suite not in uncalibrated_suites(own, suites, ())


def _with_trust_of(old: SuiteInfo | None, new: SuiteInfo) -> SuiteInfo:
    return new if old is None or new.trust is None else replace(new, trust=old.trust)


def _blocked(suite: SuitePairs) -> SuiteRuling:
    return SuiteRuling(pairs=suite, verdict=Verdict.INCONCLUSIVE, blocked_by=suite.blocked_by)


def _smoke_ruling(comparison: Comparison, suite: SuitePairs, settings: GateSettings) -> SuiteRuling:
    smoke, units = rule_smoke(comparison, suite), units_of(suite.pairs)
    judged = Judged(suite=suite, units=units)
    found = _ruling(judged, (), settings) if units.known else SuiteRuling(pairs=suite, verdict=smoke.verdict)
    return replace(
        found, verdict=smoke.verdict, smoke=smoke, interval=None, power=None, is_real_drop=False, is_corrected=False
    )


def _without_not_asked(comparison: Comparison) -> Comparison:
    """Leave out of what only the baseline has the cases that were planned and not asked: their suite names them."""
    plans = {(plan.suite, plan.role): frozenset(plan.cases) for plan in comparison.candidate.facts.stop_plans}
    suites = []
    for suite in comparison.suites:
        planned = plans.get((suite.suite, suite.role), frozenset())
        kept = (
            entry
            if entry.why is not Why.BASELINE_ONLY
            else replace(entry, cases=tuple(case for case in entry.cases if case not in planned))
            for entry in suite.left_out
        )
        suites.append(replace(suite, left_out=tuple(entry for entry in kept if entry.cases)))
    return replace(comparison, suites=tuple(suites))


def _judged_of(candidate: Run, judged: Sequence[Judged]) -> Run:
    """Give a run without the cases that were answered after their suite had stopped."""
    beyond = {
        (one.suite.suite, one.suite.role, case)
        for one in judged
        if one.stop is not None and one.stop.is_early
        for case in set(one.stop.beyond) - {pair.candidate.case for pair in one.suite.pairs}
    }
    if not beyond:
        return candidate
    return replace(candidate, records=tuple(r for r in candidate.records if (r.suite, r.role, r.case) not in beyond))


def _ruling(judged: Judged, ends: tuple[tuple[Claims, bool], ...], settings: GateSettings) -> SuiteRuling:
    suite, units = judged.suite, judged.units
    verdicts = [claims.verdict(is_alarmed=is_alarmed) for claims, is_alarmed in ends]
    verdict = same_at_both_ends(*verdicts) if verdicts else Verdict.INCONCLUSIVE
    scores = units.known
    known = differences_of(scores)
    all_scores = (s.score for p in suite.pairs for side in (p.baseline, p.candidate) for s in side.samples)
    return SuiteRuling(
        pairs=suite,
        verdict=verdict,
        baseline_score=mean([old for old, _ in scores]) if scores else None,
        candidate_score=mean([new for _, new in scores]) if scores else None,
        delta=known.mean if scores else None,
        interval=judged.interval,
        stop=judged.stop,
        levels=None if judged.shown is None else judged.levels,
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


def _together(judged: Sequence[Judged], margin: float) -> Iterable[PooledRuling]:
    for role in dict.fromkeys(one.suite.role for one in judged):
        found = [one for one in judged if one.suite.role == role]
        # a mean over suites of which some were asked in part is the mean of no suite
        if len(found) < 2 or len({one.share for one in found}) > 1:
            continue
        known = differences_of([scores for one in found for scores in one.units.known])
        against = differences_of([scores for one in found for scores in one.units.against])
        favour = differences_of([scores for one in found for scores in one.units.favour])
        ends = [claims_of(end, margin) for end in (against, favour)]
        yield PooledRuling(
            role=role,
            verdict=same_at_both_ends(*(claims.verdict(is_alarmed=claims.is_down) for claims in ends)),
            delta=known.mean if known.counts else 0.0,
            interval=(interval(against)[0], interval(favour)[1]),
            cases=sum(len(one.suite.pairs) for one in found),
        )

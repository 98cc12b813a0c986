"""Old runs of the same incumbent as further baseline answers.

An old run counts where it met the same model (identity), the same case, prompt, grader and
sampling, and really generated its answers; a stored answer is not a new one.  Before that, the
gate's own test asks whether today's incumbent differs from its past: a drifted past is left out.
No test sees a drift of a few points in a small suite, and none sees that a run was used to
choose its cases: do not pool such a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_llmbench.compare import Comparison, Key, Pair, SuitePairs, index, model_facts, suite_facts
from pytest_llmbench.records import Record, Run, Sample
from pytest_llmbench.score_test import MIN_UNITS, count_differences, evidence
from pytest_llmbench.stats import mean, t_quantile
from pytest_llmbench.values import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What old runs answered to the cases of one suite, and why some of them do not count."""

    answers: dict[str, tuple[Sample, ...]]
    runs: int
    refusals: tuple[str, ...]


def newest_first(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Order runs by their date; the first is the one compared, the others may be pooled."""
    return tuple(sorted(runs, key=lambda run: run.datetime, reverse=True))


def pool(comparison: Comparison, older: Sequence[Run]) -> Comparison:
    """Add the answers of older runs of the baseline where they qualify, and say where they do not.

    Raises:
        RunFileFault: a record in an older run has an impossible score, or a case is there twice.
    """
    indexed = [(run, index(run)) for run in older]
    suites: list[SuitePairs] = []
    counted = 0
    for suite in comparison.suites:
        past = _past(comparison.baseline, suite, indexed)
        notes = list(past.refusals)
        if past.answers and _has_drifted(suite, past):
            notes.append("today's baseline differs from its own past: older runs are not pooled")
        elif past.answers:
            counted = max(counted, past.runs)
            runs = f"{past.runs} older run{'' if past.runs == 1 else 's'}"
            notes.append(f"answers of {runs} of the baseline are pooled")
            suite = _with_past(suite, past)
        suites.append(replace(suite, notes=(*suite.notes, *notes)))
    return replace(comparison, suites=tuple(suites), baselines=(*comparison.baselines, *older), pooled_runs=counted)


def _past(today: Run, suite: SuitePairs, older: Sequence[tuple[Run, dict[str, dict[Key, Record]]]]) -> _Past:
    answers: dict[str, tuple[Sample, ...]] = {}
    refusals: list[str] = []
    runs = 0
    for run, roles in older:
        refusal = _refusal(today, run, suite)
        if refusal is not None:
            refusals.append(f"the run of {run.datetime or 'unknown date'} is not pooled: {refusal}")
            continue
        records = roles.get(suite.baseline_role, {})
        found = {
            pair.baseline.case: record.samples
            for pair in suite.pairs
            if (record := records.get((suite.suite, pair.baseline.case))) and _qualifies(record, pair.baseline)
        }
        runs += bool(found)
        for case, samples in found.items():
            answers[case] = (*answers.get(case, ()), *samples)
    return _Past(answers=answers, runs=runs, refusals=tuple(refusals))


def _refusal(today: Run, old: Run, suite: SuitePairs) -> str | None:
    """Say why a whole run does not count for a suite; None if it does."""
    now, was = model_facts(today.facts, suite.baseline_role), model_facts(old.facts, suite.baseline_role)
    if now is None or was is None:
        return "it does not tell which model it met"
    if now.identity != was.identity:
        return "it met another model"
    if now.sampling.get(suite.suite) != was.sampling.get(suite.suite):
        return "it has another sampling"
    graders = suite_facts(today.facts, suite.suite), suite_facts(old.facts, suite.suite)
    if graders[0] is None or graders[1] is None:
        return "it does not tell which grader it had"
    if (graders[0].grader, graders[0].grader_version) != (graders[1].grader, graders[1].grader_version):
        return "it has another grader"
    if today.facts.options.get("judge") != old.facts.options.get("judge"):
        return "it has another judge"
    return None


def _qualifies(old: Record, today: Record) -> bool:
    """Tell whether the answers of one old record count; one with an error does not, it may have lost the hard ones."""
    is_same = (old.case_sha256, old.prompt_sha256, old.grader) == (
        today.case_sha256,
        today.prompt_sha256,
        today.grader,
    )
    return is_same and all(sample.outcome is not Outcome.ERROR and not sample.reused for sample in old.samples)


def _has_drifted(suite: SuitePairs, past: _Past) -> bool:
    """Ask the gate's own test whether today's baseline differs from its past, either way."""
    differences = count_differences(
        pair.baseline.score - mean([sample.score or 0.0 for sample in past.answers[pair.baseline.case]])
        for pair in suite.pairs
        if pair.baseline.score is not None and pair.baseline.case in past.answers
    )
    if sum(count for _, count in differences.counts) < MIN_UNITS:
        return False
    quantile = t_quantile(0.95, round(differences.n) - 1)
    return max(evidence(differences, 0.0), evidence(differences.mirrored, 0.0)) > quantile


def _with_past(suite: SuitePairs, past: _Past) -> SuitePairs:
    pairs = tuple(
        Pair(baseline=pair.baseline, candidate=pair.candidate, older=past.answers.get(pair.baseline.case, ()))
        for pair in suite.pairs
    )
    return replace(suite, pairs=pairs)

"""Old runs of the same incumbent as further baseline answers.

An old run counts where it met the same model (identity), the same case, prompt, grader and
sampling, and really generated its answers; a stored answer is not a new one.  Before that, the
gate's own test asks whether today's incumbent differs from its past: a drifted past is left out.
No test sees a drift of a few points in a small suite, and none sees that a run was used to
choose its cases: do not pool such a run.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.gate.comparison import Key, index, refuse_copies, role_in, role_pairs, whole_part
from pytest_llmbench.gate.pairs import Comparison, Pair, SuitePairs
from pytest_llmbench.gate.score_test import MIN_UNITS, count_differences, evidence, noise_floor
from pytest_llmbench.models.identities import identity_differences
from pytest_llmbench.results.checks import is_same_grader
from pytest_llmbench.results.identity import embedder_differences, grader_difference, judge_differences
from pytest_llmbench.results.records import Record, Run, Sample
from pytest_llmbench.results.run_file import read_pooled, read_run
from pytest_llmbench.stats import mean, t_quantile
from pytest_llmbench.values import GateKind

UNDATED = "unknown date"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What old runs answered to the cases of one suite, the dates of those that count, and why others do not.

    `apart` are the differences of today's scores to those of each run that counts.
    """

    answers: dict[str, tuple[Sample, ...]]
    dates: tuple[str, ...]
    apart: tuple[float, ...]
    refusals: tuple[str, ...]


def newest_first(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Order runs by their date; the first is the one compared, the others may be pooled."""
    return tuple(sorted(runs, key=lambda run: run.datetime, reverse=True))


def pool(comparison: Comparison, older: Sequence[Run]) -> Comparison:
    """Add the answers of older runs of the baseline where they qualify, and note where they do not.

    Raises:
        UsageFault: a record in an older run has an impossible score, or a case is there twice.
    """
    indexed = [(run, index(run)) for run in older]
    suites: list[SuitePairs] = []
    for suite in comparison.suites:
        past = _past(comparison.baseline, suite, indexed)
        notes = list(past.refusals)
        if past.answers and _has_drifted(suite, past):
            notes.append("older runs are not pooled: the baseline's scores differ from theirs by more than chance")
        elif past.answers:
            notes.append(_pooled_text(suite, past))
            suite = _with_past(suite, past)
        suites.append(replace(suite, notes=(*suite.notes, *notes)))
    return replace(comparison, suites=tuple(suites), baselines=(*comparison.baselines, *older))


def _pooled_text(suite: SuitePairs, past: _Past) -> str:
    runs = f"{len(past.dates)} older run{'' if len(past.dates) == 1 else 's'}"
    part = "" if len(past.answers) == len(suite.pairs) else f", to {len(past.answers)} of {len(suite.pairs)} cases"
    return f"answers of {runs} of the baseline are pooled{part}"


def _past(today: Run, suite: SuitePairs, older: Sequence[tuple[Run, dict[str, dict[Key, Record]]]]) -> _Past:
    answers: dict[str, tuple[Sample, ...]] = {}
    refusals: list[str] = []
    dates: list[str] = []
    apart: list[float] = []
    for run, roles in older:
        # as where two runs are joined: the only role pairs whatever its name
        role = role_in(run, suite.baseline_role)
        records = roles.get(role, {})
        found = [
            (pair.baseline, record)
            for pair in suite.pairs
            if (record := records.get((suite.suite, pair.baseline.case))) and _qualifies(record, pair.baseline)
        ]
        refusal = _refusal(today, run, suite, role) or (None if found else _NONE_QUALIFIES)
        if refusal is not None:
            refusals.append(f"the run of {run.datetime or UNDATED} is not pooled: {refusal}")
            continue
        dates.append(run.datetime or UNDATED)
        for now, was in found:
            answers[now.case] = (*answers.get(now.case, ()), *was.samples)
            if now.score is not None and was.score is not None:
                apart.append(now.score - was.score)
    return _Past(answers=answers, dates=tuple(dates), apart=tuple(apart), refusals=tuple(refusals))


_NONE_QUALIFIES = "it has no case of this suite that is the same and was answered anew"


def _refusal(today: Run, old: Run, suite: SuitePairs, old_role: str) -> str | None:
    """Give why a whole run does not count for a suite; None if it does."""
    now, was = today.facts.model(suite.baseline_role), old.facts.model(old_role)
    if suite.suite in old.incomplete:
        return "it stopped early"
    if now is None or was is None:
        return "it does not record its model"
    if was.model != now.model:
        return f"its entry differs ({was.model}, not {now.model})"
    if differences := identity_differences(was.identity, now.identity):
        return f"its model differs ({', '.join(differences)})"
    if now.sampling.get(suite.suite) != was.sampling.get(suite.suite):
        return "its sampling differs"
    graders = today.facts.suite(suite.suite), old.facts.suite(suite.suite)
    if graders[0] is None or graders[1] is None:
        return "it does not record its grader"
    is_same = is_same_grader(graders[0].grader, graders[1].grader)
    if not is_same or grader_difference(*graders):
        return "its grader differs"
    if embedder_differences(graders[1], graders[0]):
        return "its embedder differs"
    if judge_differences(today.facts, old.facts, suite.suite):
        return "its judge differs"
    return None


def difference_of_runs(today: Run, old: Run) -> str | None:
    """Give the first difference by which two runs are not of one model, prompted and graded alike; None if none."""
    old_roles, roles = ({record.role for record in run.records} for run in (old, today))
    if old_roles != roles:
        return f"it has the roles {', '.join(sorted(old_roles))}, not {', '.join(sorted(roles))}"
    for suite, role in dict.fromkeys((record.suite, record.role) for record in today.records):
        names = [{r.model for r in run.records if r.role == role} for run in (today, old)]
        if names[0] != names[1]:
            return f'its model "{role}" is the entry {", ".join(sorted(names[1]))}, not {", ".join(sorted(names[0]))}'
        pairs = SuitePairs(suite=suite, role=role, baseline_role=role, pairs=())
        refusal = _refusal(today, old, pairs, role)
        if refusal is not None:
            return f"{refusal} in suite {suite}"
    return None


def _qualifies(old: Record, today: Record) -> bool:
    """Return whether the answers of one old record count; not with an error, which may have hit the hard ones."""
    is_same = (old.case_sha256, old.prompt_sha256) == (today.case_sha256, today.prompt_sha256)
    is_same = is_same and is_same_grader(old.grader, today.grader)
    return is_same and not (old.has_error or old.has_reused)


def _has_drifted(suite: SuitePairs, past: _Past) -> bool:
    """Apply the gate's own test to whether today's baseline differs from its past, either way."""
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
    floor = noise_floor(count_differences(past.apart), len(suite.pairs)) if past.apart else None
    return replace(suite, pairs=pairs, pooled=past.dates, noise_floor=floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A run to be compared with, and the file it was read from."""

    path: Path
    run: Run
    older: tuple[Run, ...] = ()
    """Runs that were taken as a baseline together with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """A planned case, with the role of its model.

    `needs_model` if its test asks the model itself, `is_trained` if the model was trained on it.
    """

    role: str
    suite: str
    case: str
    case_sha256: str
    cluster: str | None = None
    gate: GateKind = GateKind.STATISTICAL
    needs_model: bool = False
    is_trained: bool = False


def read_checked(path: Path) -> Run:
    """Read a run whose records can be judged.

    Raises:
        RunFileFault: it cannot be read, or has an impossible score.
    """
    run = read_run(path)
    try:
        index(run)
    except UsageFault as fault:
        raise RunFileFault(f"{path}: {fault}") from None
    return run


def read_baselines(paths: Sequence[Path]) -> tuple[Baseline, ...]:
    """Read the runs to be compared with, the newest first.

    Raises:
        RunFileFault: one cannot be read as a run, or has no record.
        UsageFault: a file is named twice, two hold the same run, or one stopped early in all its suites.
    """
    twice = [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise UsageFault(f"{twice[0]}: this baseline is named twice; name each run once.")
    by_run = [Baseline(path=path, run=read_checked(path), older=read_pooled(path)) for path in paths]
    by_run = [replace(baseline, run=_whole(baseline)) for baseline in by_run]
    empty = [baseline.path for baseline in by_run if not baseline.run.records]
    if empty:
        raise RunFileFault(f"{empty[0]}: this run has no records to compare with; run its suites again.")
    refuse_copies([(str(baseline.path), baseline.run) for baseline in by_run])
    order = newest_first([baseline.run for baseline in by_run])
    return tuple(sorted(by_run, key=lambda baseline: [run is baseline.run for run in order].index(True)))


def _whole(baseline: Baseline) -> Run:
    try:
        return whole_part(baseline.run)
    except UsageFault as fault:
        raise UsageFault(f"{baseline.path}: {fault}") from None


def check_plan(baseline: Baseline, planned: Iterable[PlannedCase]) -> None:
    """Check that a baseline has a case in common with the plan.

    Raises:
        UsageFault: no role of theirs pairs, or they share no case.
    """
    wanted: dict[str, dict[tuple[str, str], str]] = {}
    for case in planned:
        wanted.setdefault(case.role, {})[case.suite, case.case] = case.case_sha256
    known = index(baseline.run)
    changed = 0
    for old_role, new_role in role_pairs(list(known), list(wanted)):
        old, new = known[old_role], wanted[new_role]
        common = [(old[key].case_sha256, digest) for key, digest in new.items() if key in old]
        if any(was == now for was, now in common):
            return
        changed += len(common)
    if changed:
        raise UsageFault(
            f"{baseline.path} shares no case with this run: {changed} were changed since (their digests differ). "
            "Run the baseline's model again on the present suites."
        )
    names = ", ".join(sorted({suite for of_role in known.values() for suite, _ in of_role}))
    raise UsageFault(f"{baseline.path} shares no case with this run; it has the suites: {names}.")

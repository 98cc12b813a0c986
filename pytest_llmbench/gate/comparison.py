"""Join two runs: what is compared, what is not and why.

Records pair on role, suite, case and digest.  Nothing shrinks in silence: what one side lacks
is named, and a difference that would make the comparison another one than it seems (another
prompt of the same style, another grader, judge or number of samples) blocks it unless allowed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from math import isfinite

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.differences import Sides
from pytest_llmbench.gate.pairs import Comparison, Kind, LeftOut, Pair, SuitePairs, Why
from pytest_llmbench.results.records import Record, Run

Key = tuple[str, str]
"""Suite and case."""


def join(baseline: Run, candidate: Run, allowed: Iterable[Kind] = ()) -> Comparison:
    """Join two runs.

    Raises:
        UsageFault: they have no case in common, a record has an impossible score, or a case is there twice.
    """
    permitted, baseline = frozenset(allowed), whole_part(baseline)
    old, new = index(baseline), index(candidate)
    pairing = role_pairs(list(old), list(new))
    suites: list[SuitePairs] = []
    left_out: list[LeftOut] = []
    for old_role, new_role in pairing:
        sides = Sides(baseline, candidate, old_role, new_role, permitted)
        for suite in dict.fromkeys(suite for suite, _ in (*old[old_role], *new[new_role])):
            found = _suite_pairs(sides, suite, _of_suite(old[old_role], suite), _of_suite(new[new_role], suite))
            # a suite of which each side was given other cases is as one that only one side has, unless it was weakened
            is_weakened = any(difference.kind is Kind.GATE for difference in found.differences)
            has_changed = any(entry.why is Why.OTHER_DIGEST for entry in found.left_out)
            if found.pairs or found.trained or is_weakened or has_changed:
                suites.append(found)
            else:
                left_out += found.left_out
    left_out += _unpaired(old, {role for role, _ in pairing}, Why.BASELINE_ONLY)
    left_out += _unpaired(new, {role for _, role in pairing}, Why.CANDIDATE_ONLY)
    if not any(suite.pairs or suite.trained for suite in suites):
        raise UsageFault(_nothing_in_common(suites, left_out))
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        suites=tuple(suites),
        left_out=tuple(left_out),
        baselines=(baseline,),
        notes=_run_notes(baseline, candidate),
    )


def join_suite(
    baselines: tuple[Run, ...], candidate: Run, roles: tuple[str, str], suite: str, allowed: Iterable[Kind]
) -> Comparison:
    """Join one suite under a pair of roles (the baseline's, the candidate's), as `join` does; not pooled.

    Raises:
        UsageFault: see `index`.
    """
    baseline = baselines[0]
    old, new = index(baseline).get(roles[0], {}), index(candidate).get(roles[1], {})
    sides = Sides(baseline, candidate, *roles, frozenset(allowed))
    found = _suite_pairs(sides, suite, _of_suite(old, suite), _of_suite(new, suite))
    return Comparison(baseline=baseline, candidate=candidate, suites=(found,), baselines=baselines)


def index(run: Run) -> dict[str, dict[Key, Record]]:
    """Give the records by role, then suite and case.

    Raises:
        UsageFault: a record has an impossible score, or a case is there twice.
    """
    found: dict[str, dict[Key, Record]] = {}
    for record in run.records:
        of_role = found.setdefault(record.role, {})
        key = (record.suite, record.case)
        where = f'case "{record.case}" of suite "{record.suite}" under "{record.role}"'
        if key in of_role:
            raise UsageFault(f"{where} is in the run twice; run its suite file or its Python test, not both.")
        for score in (record.score, *(sample.score for sample in record.samples)):
            if score is not None and not (isinstance(score, int | float) and isfinite(score) and 0 <= score <= 1):
                raise UsageFault(f"{where} has the score {score}; scores must lie in 0..1; correct its grader.")
        of_role[key] = record
    return found


def is_same_run(one: Run, other: Run) -> bool:
    """Return whether two runs are one, read from copies of its file."""
    return bool(one.datetime) and one.datetime == other.datetime and one.records == other.records


def refuse_copies(named: Sequence[tuple[str, Run]]) -> None:
    """Check that no run counts twice.

    Args:
        named: runs, each with the name of its file.

    Raises:
        UsageFault: two are the same run.
    """
    for (name, run), (other_name, other) in combinations(named, 2):
        if is_same_run(run, other):
            raise UsageFault(f"{other_name}: this is the same run as {name}; name each run once.")


def role_in(run: Run, role: str) -> str:
    """Give the only role of a run, whatever its name; else the given one."""
    roles = {record.role for record in run.records}
    return roles.pop() if len(roles) == 1 else role


def whole_part(baseline: Run) -> Run:
    """Give a baseline without the suites that stopped early: their cases were kept because they looked good, or bad.

    Raises:
        UsageFault: none is left.
    """
    if not baseline.incomplete:
        return baseline
    records = tuple(record for record in baseline.records if record.suite not in baseline.incomplete)
    if baseline.records and not records:
        (suite, (planned, asked)), *_ = baseline.incomplete.items()
        raise UsageFault(
            f"the baseline stopped early ({suite}: {asked:,} of {planned:,} answers), and a part chosen by its results "
            "is no baseline; name a whole run, or ask the rest: repeat its command with --llm-stop-early off "
            "--llm-reuse all."
        )
    return replace(baseline, records=records)


def only_role(run: Run, role: str) -> Run:
    """Give the part of a run that one role has.

    Raises:
        UsageFault: the run has no such role.
    """
    roles = dict.fromkeys(record.role for record in run.records)
    if role not in roles:
        raise UsageFault(f'there is no model "{role}" in the run; it has: {", ".join(roles) or "no record"}.')
    return replace(run, records=tuple(record for record in run.records if record.role == role))


def role_pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, str]]:
    """Pair the roles of a baseline and a candidate: by name, or the only two whatever their names.

    Raises:
        UsageFault: one side has none, or they have none in common.
    """
    if not old or not new:
        side = "baseline" if not old else "candidate"
        raise UsageFault(f"the {side} has no records, so nothing can be compared; run it again.")
    if len(old) == len(new) == 1:
        return [(old[0], new[0])]
    common = [(role, role) for role in old if role in new]
    if not common:
        raise UsageFault(
            f"the runs have no role in common (baseline: {', '.join(old)}; candidate: {', '.join(new)}); give the "
            "candidate a role of the baseline with --llm-model ROLE=NAME, or pair two with llmbench compare --models."
        )
    return common


def _of_suite(records: Mapping[Key, Record], suite: str) -> dict[str, Record]:
    return {case: record for (name, case), record in records.items() if name == suite}


def _unpaired(records: Mapping[str, Mapping[Key, Record]], paired: set[str], why: Why) -> Iterator[LeftOut]:
    for role, of_role in records.items():
        if role not in paired:
            for suite in dict.fromkeys(suite for suite, _ in of_role):
                cases = tuple(case for name, case in of_role if name == suite)
                yield LeftOut(suite=suite, role=role, why=why, cases=cases)


def _suite_pairs(sides: Sides, suite: str, old: Mapping[str, Record], new: Mapping[str, Record]) -> SuitePairs:
    """Join one suite."""
    common = [case for case in old if case in new]
    same = [case for case in common if old[case].case_sha256 == new[case].case_sha256]
    shared = [Pair(baseline=old[case], candidate=new[case]) for case in same]
    is_allowed = Kind.TRAINED in sides.allowed
    trained = tuple(pair for pair in shared if pair.is_trained and not is_allowed)
    pairs = tuple(pair for pair in shared if is_allowed or not pair.is_trained)
    reasons = (
        (Why.TRAINED, [pair.candidate.case for pair in trained if pair.candidate.is_trained]),
        (Why.BASELINE_TRAINED, [pair.candidate.case for pair in trained if not pair.candidate.is_trained]),
        (Why.BASELINE_ONLY, [case for case in old if case not in new]),
        (Why.CANDIDATE_ONLY, [case for case in new if case not in old]),
        (Why.OTHER_DIGEST, [case for case in common if old[case].case_sha256 != new[case].case_sha256]),
    )
    return SuitePairs(
        suite=suite,
        role=sides.role,
        baseline_role=sides.baseline_role,
        pairs=pairs,
        trained=trained,
        left_out=tuple(
            LeftOut(suite=suite, role=sides.role, why=why, cases=tuple(cases)) for why, cases in reasons if cases
        ),
        differences=tuple(sides.differences(suite, pairs)),
        notes=tuple(sides.notes(suite, pairs)),
        can_samples_help=sides.can_samples_help(suite),
    )


def _run_notes(baseline: Run, candidate: Run) -> tuple[str, ...]:
    stopped = [
        f"of the baseline, {suite} stopped early ({asked:,} of {planned:,} answers) and is left out"
        for suite, (planned, asked) in baseline.incomplete.items()
    ]
    stopped += [
        f"the {side} ended early: {run.stopped}"
        for side, run in (("candidate", candidate), ("baseline", baseline))
        if run.stopped is not None
    ]
    return (*stopped, *(["both are the same run"] if is_same_run(baseline, candidate) else []))


def _nothing_in_common(suites: Sequence[SuitePairs], left_out: Sequence[LeftOut]) -> str:
    entries = [*(entry for suite in suites for entry in suite.left_out), *left_out]
    words = "; ".join(f"{entry.suite}: {len(entry.cases)} {entry.why}" for entry in entries[:5])
    return f"the runs have no case in common ({words}). Run both on the same suite files."

"""Join two runs: what is compared, what is not and why, what blocks a verdict.

Records pair on role, suite, case and digest.  Nothing shrinks in silence: what one side lacks
is named, and a difference that would make the comparison another one than it seems (another
prompt of the same style, another grader, judge or number of samples) blocks it unless allowed.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from math import isfinite

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.results.checks import is_same_grader
from pytest_llmbench.results.identity import embedder_differences, grader_difference, judge_differences, may_be_judged
from pytest_llmbench.results.records import ModelInfo, Record, Run, RunInfo, Sample, SuiteInfo
from pytest_llmbench.values import GateKind, Sampling, Split


class Kind(StrEnum):
    """A difference between runs that blocks unless it is allowed."""

    PROMPT = "prompt"
    GRADER = "grader"
    JUDGE = "judge"
    SAMPLES = "samples"
    GATE = "gate"
    TRAINED = "trained"
    MACHINE = "machine"
    CONCURRENCY = "concurrency"


class Why(StrEnum):
    """Why cases are not compared."""

    BASELINE_ONLY = "only in the baseline"
    CANDIDATE_ONLY = "only in the candidate"
    OTHER_DIGEST = "changed between the runs (another digest)"
    TRAINED = "the candidate was trained on them"
    BASELINE_TRAINED = "the baseline was trained on them"

    @property
    def is_training(self) -> bool:
        """Whether the cases prove nothing, because a model was trained on them."""
        return self in (Why.TRAINED, Why.BASELINE_TRAINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One case in both runs; `older` are pooled answers of earlier runs of the baseline."""

    baseline: Record
    candidate: Record
    older: tuple[Sample, ...] = ()

    @property
    def has_reused(self) -> bool:
        """Whether an answer on either side is one that an earlier run got."""
        return self.baseline.has_reused or self.candidate.has_reused

    @property
    def is_trained(self) -> bool:
        """Whether either model was trained on the case."""
        return self.baseline.is_trained or self.candidate.is_trained


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Cases that are not compared."""

    suite: str
    role: str
    why: Why
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference that blocks unless it is allowed; `text` describes it."""

    kind: Kind
    text: str
    is_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitePairs:
    """What two runs have in common of one suite under one role.

    `role` is the candidate's; `trained` are pairs that decide nothing, for a model was trained on their cases;
    `notes` are differences that do not block; `pooled` are the dates of the earlier runs of the baseline that gave
    answers, and `noise_floor` is how far two such runs lie apart (a share; None without any).
    `can_samples_help` is whether either model samples at a temperature over 0; None where that is unknown.
    """

    suite: str
    role: str
    baseline_role: str
    pairs: tuple[Pair, ...]
    trained: tuple[Pair, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    can_samples_help: bool | None = None
    pooled: tuple[str, ...] = ()
    noise_floor: float | None = None

    @property
    def blocked_by(self) -> tuple[Difference, ...]:
        """The differences that block a verdict."""
        return tuple(difference for difference in self.differences if not difference.is_allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs joined.

    `left_out` holds the suites and roles that only one of them has; `baselines` are all of the
    baseline's runs, the one compared first, for the spread between them.
    """

    baseline: Run
    candidate: Run
    suites: tuple[SuitePairs, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    baselines: tuple[Run, ...] = ()

    @property
    def pooled_runs(self) -> int:
        """How many earlier runs of the baseline gave answers, in the suite where most did."""
        return max((len(suite.pooled) for suite in self.suites), default=0)


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
        sides = _Sides(baseline, candidate, old_role, new_role, permitted)
        for suite in dict.fromkeys(suite for suite, _ in (*old[old_role], *new[new_role])):
            found = sides.suite(suite, _of_suite(old[old_role], suite), _of_suite(new[new_role], suite))
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
    sides = _Sides(baseline, candidate, *roles, frozenset(allowed))
    found = sides.suite(suite, _of_suite(old, suite), _of_suite(new, suite))
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


def model_info(facts: RunInfo, role: str) -> ModelInfo | None:
    """Give what a run records about the model of a role."""
    return next((model for model in facts.models if model.role == role), None)


def suite_info(facts: RunInfo, suite: str) -> SuiteInfo | None:
    """Give what a run records about a suite."""
    return next((known for known in facts.suites if known.suite == suite), None)


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


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two runs under one pair of roles."""

    baseline: Run
    candidate: Run
    baseline_role: str
    role: str
    allowed: frozenset[Kind]

    def suite(self, suite: str, old: Mapping[str, Record], new: Mapping[str, Record]) -> SuitePairs:
        """Join one suite."""
        temperatures = list(self._temperatures(suite))
        common = [case for case in old if case in new]
        same = [case for case in common if old[case].case_sha256 == new[case].case_sha256]
        shared = [Pair(baseline=old[case], candidate=new[case]) for case in same]
        is_allowed = Kind.TRAINED in self.allowed
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
            role=self.role,
            baseline_role=self.baseline_role,
            pairs=pairs,
            trained=trained,
            left_out=tuple(
                LeftOut(suite=suite, role=self.role, why=why, cases=tuple(cases)) for why, cases in reasons if cases
            ),
            differences=tuple(self._differences(suite, pairs)),
            notes=tuple(self._notes(suite, pairs)),
            can_samples_help=any(value > 0 for value in temperatures) if temperatures else None,
        )

    def _differences(self, suite: str, pairs: Sequence[Pair]) -> Iterator[Difference]:
        def difference(kind: Kind, differs: Callable[[Pair], bool], what: str) -> Iterator[Difference]:
            count = sum(differs(pair) for pair in pairs)
            if count:
                text = f"{count} of {len(pairs)} cases have {what}"
                yield Difference(kind=kind, text=text, is_allowed=kind in self.allowed)

        yield from difference(Kind.PROMPT, _has_other_prompt, "a different prompt of the same style")
        yield from difference(Kind.SAMPLES, self._has_other_samples, "a different number of samples")
        old, new = suite_info(self.baseline.facts, suite), suite_info(self.candidate.facts, suite)
        if text := grader_difference(old, new):
            yield Difference(kind=Kind.GRADER, text=text, is_allowed=Kind.GRADER in self.allowed)
        elif changed := embedder_differences(old, new):
            yield from difference(Kind.GRADER, lambda _: True, f"a different embedder ({'; '.join(changed)})")
        else:
            yield from difference(
                Kind.GRADER,
                lambda pair: not is_same_grader(pair.baseline.grader, pair.candidate.grader),
                "a different grader",
            )
        if weakened := _weakened_gate(self.baseline, self.candidate, suite):
            yield Difference(kind=Kind.GATE, text=weakened, is_allowed=Kind.GATE in self.allowed)
        parts = judge_differences(self.baseline.facts, self.candidate.facts, suite)
        if Kind.TRAINED in self.allowed:
            yield from difference(Kind.TRAINED, lambda pair: pair.is_trained, "a model that was trained on them")
        if parts:
            what = f"a different judge ({', '.join(parts)})"
            yield from difference(
                Kind.JUDGE, lambda pair: may_be_judged(pair.baseline) or may_be_judged(pair.candidate), what
            )

    def _has_other_samples(self, pair: Pair) -> bool:
        """Compare the numbers of samples; a suite that stopped early has not all that were planned."""
        own, suite = len(pair.candidate.samples), pair.candidate.suite
        plans = self.candidate.facts.stop_plans
        planned = next((p.samples for p in plans if (p.suite, p.role) == (suite, self.role)), own)
        return len(pair.baseline.samples) != max(own, planned)

    def _notes(self, suite: str, pairs: Sequence[Pair]) -> Iterator[str]:
        styles = sum(pair.baseline.prompt_style != pair.candidate.prompt_style for pair in pairs)
        if styles:
            first = next(pair for pair in pairs if pair.baseline.prompt_style != pair.candidate.prompt_style)
            yield f"prompt style differs: {first.baseline.prompt_style} -> {first.candidate.prompt_style}"
        old, new = (model_info(run.facts, role) for run, role in self._runs())
        if old and new and suite in old.sampling and suite in new.sampling:
            was, now = old.sampling[suite], new.sampling[suite]
            changed = [name for name in was.__slots__ if getattr(was, name) != getattr(now, name)]
            if changed:
                yield f"sampling differs: {', '.join(_change(name, was, now) for name in changed)}"
        yield from _split_notes(suite_info(self.baseline.facts, suite), suite_info(self.candidate.facts, suite))
        reused = sum(pair.has_reused for pair in pairs)
        if reused:
            yield f"{reused} of {len(pairs)} cases have a reused answer"

    def _temperatures(self, suite: str) -> Iterator[float]:
        for run, role in self._runs():
            model = model_info(run.facts, role)
            if model and suite in model.sampling:
                yield model.sampling[suite].temperature

    def _runs(self) -> tuple[tuple[Run, str], tuple[Run, str]]:
        return (self.baseline, self.baseline_role), (self.candidate, self.role)


def _split_notes(old: SuiteInfo | None, new: SuiteInfo | None) -> Iterator[str]:
    """Describe how a suite's split changed; a larger train side brings no case back that a model was trained on."""
    if old is None or new is None or old.split == new.split:
        return
    was, now = old.split, new.split
    if was is None or now is None:
        yield f"split differs: {_split_text(was)} -> {_split_text(now)}"
    elif was.train == now.train:
        yield f'split differs: another salt ("{was.salt}" -> "{now.salt}") puts other cases on the held-out side'
    else:
        how = "raised" if now.train > was.train else "lowered"
        yield f"split differs: the share of the train side was {how} from {was.train:g} to {now.train:g}"


def _split_text(split: Split | None) -> str:
    return "none" if split is None else f"{split.train:g} for training"


_STRICTNESS = (GateKind.ADVICE, GateKind.STATISTICAL, GateKind.SMOKE)


def _weakened_gate(baseline: Run, candidate: Run, suite: str) -> str | None:
    """Describe how a suite takes part in the gate more weakly than in the baseline; None if it does not."""
    old, new = suite_info(baseline.facts, suite), suite_info(candidate.facts, suite)
    if old is None or new is None or _STRICTNESS.index(new.gate) >= _STRICTNESS.index(old.gate):
        return None
    return f"gate differs: `{old.gate}` -> `{new.gate}`"


def _change(name: str, was: Sampling, now: Sampling) -> str:
    """Describe a key in which samplings differ, as "temperature 0 -> 1.3" or "no seed -> seed 5"."""
    values = getattr(was, name), getattr(now, name)
    old, new = (f"{value:g}" if isinstance(value, float) else json.dumps(value) for value in values)
    if all(value not in (None, ()) for value in values):
        return f"{name} {old} -> {new}"
    sides = zip(values, (old, new), strict=True)
    return " -> ".join(f"no {name}" if value in (None, ()) else f"{name} {text}" for value, text in sides)


def _has_other_prompt(pair: Pair) -> bool:
    is_same_style = pair.baseline.prompt_style == pair.candidate.prompt_style
    return is_same_style and pair.baseline.prompt_sha256 != pair.candidate.prompt_sha256


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

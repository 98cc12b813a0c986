"""From a plan to the look at which a suite stops: in a run as its answers come, and again from the files of two runs.

What a look shows follows from the plan and the records alone: the first units of the order, each with the samples
that were asked by then.  What came later does not count.  So the same records always stop at the same look.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.gate.baselines import pool
from pytest_llmbench.gate.comparison import role_in
from pytest_llmbench.gate.early import (
    RULE,
    SMALLEST_SUITE,
    LevelAt,
    StopMode,
    is_hopeless,
    levels_at,
    levels_of,
    looks_of,
    tenths,
    unit_order,
)
from pytest_llmbench.gate.pairs import Comparison, Pair, SuitePairs
from pytest_llmbench.gate.rule import Units, Verdict, claims_of, differences_of, same_at_both_ends, units_of
from pytest_llmbench.gate.score_test import ERROR_RATE
from pytest_llmbench.results.records import Record, Run, Sample, error_sample, outcome_of
from pytest_llmbench.results.stops import END, StopPlan
from pytest_llmbench.values import AnswerError

HOPELESS, CERTAIN = "hopeless", "certain"
"""Reasons to stop that are no verdict of a look."""


class CannotRepeat(LlmbenchError):
    """The records are not those that a stop was decided on; the message is a clause."""


def runs_digest(runs: Iterable[Run], role: str) -> str:
    """Give the digest of a baseline: of the records that its runs have under a role, in whatever order or format."""
    return sha256("\n".join(sorted(_run_digest(run, role_in(run, role)) for run in runs)).encode()).hexdigest()


def _run_digest(run: Run, role: str) -> str:
    own = sorted(
        (record.suite, record.case, record.case_sha256, [[s.outcome, s.score, s.answer] for s in record.samples])
        for record in run.records
        if record.role == role
    )
    return sha256(json.dumps(own).encode()).hexdigest()


def units_digest(units: Iterable[str]) -> str:
    """Give the digest of the names of units, in whatever order."""
    return sha256("\0".join(sorted(units)).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTerms:
    """What the suites of a run have in common: when to stop, the answers a case, and the rule of the gate.

    `margin` is a share of score; `family` the number of suites among which a loss counts.
    """

    mode: StopMode
    samples: int
    margin: float
    family: int


def plan_suite(key: tuple[str, str], clusters: Mapping[str, str | None], terms: StopTerms, *, digest: str) -> StopPlan:
    """Plan when a suite is looked at.

    Args:
        key: suite and role.
        clusters: of the cases that both sides will have.
        terms: of the run.
        digest: of the baseline.
    """
    names = dict.fromkeys(_unit(case, cluster) for case, cluster in clusters.items())
    looks = looks_of(len(names), terms.samples)
    return StopPlan(
        suite=key[0],
        role=key[1],
        mode=terms.mode,
        rule=RULE,
        units=len(names),
        samples=terms.samples,
        looks=looks,
        levels=tuple(round(level, 9) for level in levels_of(looks)),
        family=terms.family,
        margin=terms.margin,
        order_of=digest,
        units_sha256=units_digest(names),
        cases=tuple(case for unit in _in_order(key[0], clusters, digest) for case in unit),
    )


def _unit(case: str, cluster: str | None) -> str:
    return case if cluster is None else cluster


def _in_order(suite: str, clusters: Mapping[str, str | None], digest: str) -> tuple[tuple[str, ...], ...]:
    """Give the cases of each unit, in the order in which units are asked."""
    units: dict[str, list[str]] = {}
    for case, cluster in sorted(clusters.items()):
        units.setdefault(_unit(case, cluster), []).append(case)
    return tuple(tuple(units[name]) for name in unit_order(units, suite, digest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a suite shows at a look, or at the end: its pairs with the samples that count, and where the look stands.

    `level` gives the level of the look; `place` is of the look among those of the plan.
    """

    pairs: SuitePairs
    units: Units
    place: int
    level: LevelAt
    mode: StopMode
    margin: float

    def verdict(self, error_rate: float) -> Verdict:
        """Give the verdict by itself, where a false alarm may have this chance; inconclusive if the errors decide."""
        levels = levels_at(self.level.looks, self.place, self.mode, error_rate)
        ends = (claims_of(differences_of(end), self.margin, levels) for end in (self.units.against, self.units.favour))
        return same_at_both_ends(*(claims.verdict(is_alarmed=claims.is_down) for claims in ends))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where a suite stops: what it shows there, for which reason, at which look, and how many calls that are."""

    shown: Shown
    reason: str
    look: int | None
    calls: int


class SuiteView:
    """The records of one suite in two runs, seen from its plan.

    Args:
        plan: of the suite.
        suite: the two runs joined; the pairs not yet pooled.
        comparison: of which it is a part, for the pooled runs.

    Raises:
        CannotRepeat: they are not the units of the plan.
    """

    def __init__(self, plan: StopPlan, suite: SuitePairs, comparison: Comparison):
        self.plan = plan
        self._suite = suite
        self._comparison = comparison
        self._baseline = {
            record.case: record
            for record in comparison.baseline.records
            if (record.suite, record.role) == (suite.suite, suite.baseline_role)
        }
        self._pairs = {pair.candidate.case: pair for pair in suite.pairs}
        met = self._cases_met()
        clusters = {
            case: self._pairs[case].candidate.cluster if case in self._pairs else self._baseline[case].cluster
            for case in plan.cases
            if case in self._pairs or (case in self._baseline and case not in met)
        }
        self.units = _in_order(plan.suite, clusters, plan.order_of)
        names = {_unit(case, cluster) for case, cluster in clusters.items()}
        if units_digest(names) != plan.units_sha256:
            raise CannotRepeat("its cases are not those that were planned")

    def _cases_met(self) -> set[str]:
        """Give the cases of the candidate, compared or not: one that cannot be compared is none of the plan."""
        plan = self.plan
        return {r.case for r in self._comparison.candidate.records if (r.suite, r.role) == (plan.suite, plan.role)}

    # -- the looks

    def find(self) -> Found:
        """Give where the suite stops: at the first stage that gives a reason, or at the end.

        Raises:
            CannotRepeat: an answer is missing that a look needs.
        """
        for place in range(len(stages_of(self.plan)) - 1):
            found = self.at_stage(place)
            if found is not None:
                return found
        looks = self.plan.looks
        return Found(shown=self._shown(looks[-1], len(looks) - 1), reason=END, look=len(looks), calls=looks[-1])

    def at_stage(self, place: int) -> Found | None:
        """Give the stop at a stage before the end; None if it gives no reason to stop.

        Raises:
            CannotRepeat: an answer is missing that it needs.
        """
        calls, error_rate = stages_of(self.plan)[place], ERROR_RATE / self.plan.family
        if len(self.plan.looks) == 1:
            shown = self._bounded(calls)
            verdict = shown.verdict(error_rate)
            wanted = (Verdict.WORSE,) if shown.mode is StopMode.LOSS else _CERTAIN
            return Found(shown=shown, reason=CERTAIN, look=None, calls=calls) if verdict in wanted else None
        shown = self._shown(calls, place)
        verdict = shown.verdict(error_rate)
        if verdict in _STOPPING:
            return Found(shown=shown, reason=verdict.value, look=place + 1, calls=calls)
        may_be_hopeless = shown.mode is StopMode.DECIDED and self.plan.samples == 1
        if may_be_hopeless and is_hopeless(differences_of(shown.units.known), shown.margin, self.plan.looks):
            return Found(shown=shown, reason=HOPELESS, look=place + 1, calls=calls)
        return None

    def _has(self, calls: int) -> bool:
        return all(
            case in self._pairs and len(self._pairs[case].candidate.samples) >= count
            for unit, count in self.counts(calls)
            for case in unit
        )

    def counts(self, calls: int) -> list[tuple[tuple[str, ...], int]]:
        """Give how many samples of each unit the first calls are, for the units that have any."""
        full, more = divmod(calls, max(len(self.units), 1))
        counted = ((unit, full + (place < more)) for place, unit in enumerate(self.units))
        return [(unit, count) for unit, count in counted if count]

    def _shown(self, calls: int, place: int) -> Shown:
        if not self._has(calls):
            raise CannotRepeat("an answer is missing that it was decided on")
        pairs = tuple(
            replace(self._pairs[case], candidate=_first_samples(self._pairs[case].candidate, count), older=())
            for unit, count in self.counts(calls)
            for case in unit
        )
        return self._with_units(pairs, place)

    def _bounded(self, calls: int) -> Shown:
        """Show the units that are asked, and judge all of them: what is not asked is unknown, as errors are."""
        seen = self._shown(calls, 0)
        asked = {pair.candidate.case: pair.candidate for pair in seen.pairs.pairs}
        pairs = []
        for case in (case for unit in self.units for case in unit):
            old = self._baseline[case]
            samples = asked[case].samples if case in asked else ()
            unknown = (error_sample(AnswerError(cause="not asked")),) * (self.plan.samples - len(samples))
            pairs.append(Pair(baseline=old, candidate=_with_samples(asked.get(case, old), (*samples, *unknown))))
        bounded = self._with_units(tuple(pairs), 0)
        return replace(bounded, pairs=seen.pairs, units=replace(bounded.units, error_cases=seen.units.error_cases))

    def _with_units(self, pairs: tuple[Pair, ...], place: int) -> Shown:
        suite, comparison = replace(self._suite, pairs=pairs), self._comparison
        if len(comparison.baselines) > 1:
            pooled = pool(replace(comparison, suites=(suite,), baselines=()), comparison.baselines[1:])
            (suite,) = pooled.suites
        return Shown(
            pairs=suite,
            units=units_of(suite.pairs),
            place=place,
            level=LevelAt(looks=self.plan.looks, place=place),
            mode=StopMode(self.plan.mode),
            margin=self.plan.margin,
        )


_STOPPING = (Verdict.BETTER, Verdict.NO_WORSE, Verdict.WORSE)
_CERTAIN = (*_STOPPING, Verdict.TOO_FEW_CASES)


def stages_of(plan: StopPlan) -> tuple[int, ...]:
    """Give after how many calls a suite may be stopped: its looks; below 100 units, where the rest may be certain."""
    return plan.looks if plan.units >= SMALLEST_SUITE else tenths(plan.looks[-1])


def _first_samples(record: Record, count: int) -> Record:
    return record if len(record.samples) <= count else _with_samples(record, record.samples[:count])


def _with_samples(record: Record, samples: Sequence[Sample]) -> Record:
    outcome, score = outcome_of(samples)
    return replace(record, samples=tuple(samples), outcome=outcome, score=score)

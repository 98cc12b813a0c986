"""What of a suite is judged: all that two runs have in common, or what a planned look shows of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.early import LevelAt, holm, levels_at
from pytest_llmbench.gate.pairs import Comparison, SuitePairs
from pytest_llmbench.gate.rule import Claims, Units, claims_of, differences_of, units_of
from pytest_llmbench.gate.score_test import ERROR_RATE, PLAIN_LEVELS, Levels, interval
from pytest_llmbench.gate.stops import CannotRepeat, Found, Shown, SuiteView, runs_digest
from pytest_llmbench.results.stops import Stop, StopPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A suite as it is judged; `stop` and `shown` are None for one without a plan, which is looked at once.

    `share` is how much of its calls was judged.
    """

    suite: SuitePairs
    units: Units
    shown: Shown | None = None
    stop: Stop | None = None
    share: float = 1.0

    @property
    def levels(self) -> Levels:
        """The levels of its claims, as if it were the only suite."""
        if self.shown is None:
            return PLAIN_LEVELS
        return levels_at(self.shown.level.looks, self.shown.place, self.shown.mode, ERROR_RATE)

    def claims(self, *, is_for: bool, margin: float) -> Claims:
        """Give its claims with all that is unknown against the candidate, or for it."""
        return claims_of(differences_of(self.units.favour if is_for else self.units.against), margin, self.levels)

    @property
    def interval(self) -> tuple[float, float]:
        """Every mean difference that is not rejected, whatever the unknown samples are."""
        low, high = interval(differences_of(self.units.against), self.levels)
        if self.units.against != self.units.favour:
            _, high = interval(differences_of(self.units.favour), self.levels)
        return low, high


def judge_suite(comparison: Comparison, suite: SuitePairs, margin: float) -> Judged:
    """Give what of a suite is judged: by its plan, if the candidate's run has one for it.

    Raises:
        CannotRepeat: the records or the margin are not those of the plan, or stop at another look than was recorded.
    """
    key = (suite.suite, suite.role)
    plan = next((p for p in comparison.candidate.facts.stop_plans if (p.suite, p.role) == key), None)
    if plan is None:
        return Judged(suite=suite, units=units_of(suite.pairs))
    if plan.order_of != runs_digest(comparison.baselines, suite.baseline_role):
        raise CannotRepeat("it was planned against another baseline, or with other pooled runs")
    if abs(plan.margin - margin) > 1e-9:
        raise CannotRepeat(f"it was planned with a margin of {plan.margin * 100:g} points, not {margin * 100:g}")
    found = SuiteView(plan, suite, comparison).find()
    stop = _stop(plan, found, comparison)
    recorded = next((s for s in comparison.candidate.stops if (s.plan.suite, s.plan.role) == key), None)
    if recorded is not None and (recorded.look, recorded.reason) != (stop.look, stop.reason):
        raise CannotRepeat(
            f"the run recorded {_at(recorded)}, and its answers and grades give {_at(stop)}; grades were changed"
        )
    share = found.calls / plan.looks[-1]
    return Judged(suite=found.shown.pairs, units=found.shown.units, shown=found.shown, stop=stop, share=share)


def _at(stop: Stop) -> str:
    return f'"{stop.reason}"' + ("" if stop.look is None else f" at look {stop.look} of {len(stop.plan.looks)}")


def _stop(plan: StopPlan, found: Found, comparison: Comparison) -> Stop:
    judged = {pair.candidate.case: len(pair.candidate.samples) for pair in found.shown.pairs.pairs}
    met = {
        record.case: len(record.samples)
        for record in comparison.candidate.records
        if (record.suite, record.role) == (plan.suite, plan.role)
    }
    return Stop(
        plan=plan,
        asked=sum(case in met for case in plan.cases),
        look=found.look,
        reason=found.reason,
        beyond=tuple(case for case in plan.cases if case in met and met[case] > judged.get(case, 0)),
        not_asked=tuple(case for case in plan.cases if case not in met),
    )


def with_alarms(judged: Sequence[Judged], claims: Sequence[Claims]) -> list[tuple[Claims, bool]]:
    """Add to each suite's claims whether its loss counts as shown among all suites."""
    levels = [LevelAt() if one.shown is None else one.shown.level for one in judged]
    alarms = [(own.alarm, level) for own, level in zip(claims, levels, strict=True)]
    return list(zip(claims, holm(alarms), strict=True))

"""The course of a run that may stop early: suite by suite, look by look, in the order of the plans."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.comparison import join_suite, role_pairs
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.stops import CannotRepeat, Found, SuiteView, stages_of
from pytest_llmbench.report.stops import not_asked_reason
from pytest_llmbench.results.records import Record, Run, RunInfo
from pytest_llmbench.results.stops import StopPlan
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.staged import Part, Step

Records = Callable[[str], Record | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopCourse:
    """Asks until each suite stops (see `runner.staged.Course`).

    Args:
        items: of the run, in their order.
        plans: of its suites.
        runs: those compared with, the one that counts first.
        settings: of the gate.
        facts: gives what the run is made with, as far as it has come.
    """

    items: Sequence[Item]
    plans: Mapping[tuple[str, str], StopPlan]
    runs: Sequence[Run]
    settings: GateSettings
    facts: Callable[[], RunInfo]
    samples: int

    def steps(self, role: str, record: Records) -> Iterator[Step]:
        """Give the steps for a model; items that keep it open come last."""
        own = [item for item in self.items if item.spec.role == role]
        groups: dict[str, list[Item]] = {}
        for item in own:
            groups.setdefault(item.loaded.suite.name, []).append(item)
        for suite, items in sorted(groups.items(), key=lambda group: any(item.needs_model for item in group[1])):
            plan = self.plans.get((suite, role))
            if plan is None:
                yield Step(parts=self._sweeps(items))
            else:
                yield from self._suite(plan, items, record)

    def _sweeps(self, items: Sequence[Item]) -> tuple[Part, ...]:
        return tuple((item.key, sample) for sample in range(self.samples) for item in items)

    def _suite(self, plan: StopPlan, items: Sequence[Item], record: Records) -> Iterator[Step]:
        by_case: dict[str, Item] = {}
        for item in items:
            by_case.setdefault(item.case.id, item)
        units = self._units(plan, by_case)
        calls = [tuple((item.key, sample) for item in unit) for sample in range(self.samples) for unit in units]
        done, stages = 0, stages_of(plan)
        for place, until in enumerate(stages):
            yield Step(parts=tuple(part for call in calls[done:until] for part in call))
            done = until
            found = self._found(plan, place, items, record) if place < len(stages) - 1 else None
            if found is not None:
                reason = not_asked_reason(plan, found.calls, found.reason)
                yield Step(dropped=dict.fromkeys((item.key for item in items), reason))
                return
        planned = {item.key for unit in units for item in unit}
        yield Step(parts=self._sweeps([item for item in items if item.key not in planned]))

    def _units(self, plan: StopPlan, by_case: Mapping[str, Item]) -> list[list[Item]]:
        """Give the items of each unit, in the order of the plan."""
        units: dict[tuple[str, str], list[Item]] = {}
        for case in plan.cases:
            item = by_case[case]
            name = ("case", case) if item.case.cluster is None else ("cluster", item.case.cluster)
            units.setdefault(name, []).append(item)
        return list(units.values())

    def _found(self, plan: StopPlan, place: int, items: Sequence[Item], record: Records) -> Found | None:
        """Look at what is graded so far; None where nothing is to be stopped, or could be compared at all."""
        first = {item.case.id: item.key for item in reversed(items)}
        records = tuple(found for case in plan.cases if (found := record(first[case])) is not None)
        candidate = Run(records=records, facts=self.facts())
        pairs = role_pairs(
            list(dict.fromkeys(record.role for record in self.runs[0].records)),
            list(dict.fromkeys(item.spec.role for item in self.items)),
        )
        roles = next(pair for pair in pairs if pair[1] == plan.role)
        comparison = join_suite(tuple(self.runs), candidate, roles, plan.suite, self.settings.allowed)
        (suite,) = comparison.suites
        if suite.blocked_by:
            return None
        try:
            return SuiteView(plan, suite, comparison).at_stage(place)
        except CannotRepeat:
            return None

"""The plans of a run: which of its suites are looked at before their end, and on what cases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.baselines import Baseline, PlannedCase
from pytest_llmbench.gate.comparison import Key, index, role_pairs
from pytest_llmbench.gate.early import SMALLEST_SUITE, StopMode
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.stops import StopTerms, plan_suite, runs_digest
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.results.stops import StopPlan
from pytest_llmbench.values import GateKind


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPlans:
    """The plans of the suites that have one, and remarks on them, a clause each."""

    plans: tuple[StopPlan, ...]
    remarks: tuple[str, ...]


def all_runs(baselines: Sequence[Baseline]) -> tuple[Run, ...]:
    """Give the runs that are compared with, the one that counts first and then those that may be pooled."""
    newest, *others = baselines
    return (newest.run, *newest.older, *(run for other in others for run in (other.run, *other.older)))


def plan_stops(
    baselines: Sequence[Baseline],
    planned: Sequence[PlannedCase],
    *,
    mode: StopMode,
    samples: int,
    settings: GateSettings,
) -> StopPlans:
    """Plan the looks of a run.

    Suites that are no statistical ones, that the baseline lacks, or of which the first test of a case asks the model
    itself have none.

    Args:
        baselines: at least one, the newest first.
        planned: the cases, in the order of their tests.
        mode: when to stop.
        samples: answers a case.
        settings: of the gate.

    Raises:
        UsageFault: no role of the baseline pairs with one of the run.
    """
    runs, groups = all_runs(baselines), list(_groups(baselines[0].run, planned, settings))
    terms = StopTerms(mode=mode, samples=samples, margin=settings.margin, family=len(groups))
    plans = tuple(
        plan_suite(group.key, group.clusters, terms, digest=runs_digest(runs, group.baseline_role))
        for group in groups
        if not group.asks_itself
    )
    remarks = (remark for group in groups for remark in _remarks(group))
    return StopPlans(plans=plans, remarks=tuple(dict.fromkeys(remarks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """A suite under a role that the gate will judge: the clusters of the cases that both sides will have.

    `selected` counts the cases that could be compared if the baseline had them; `asks_itself` if the tests ask the
    model.
    """

    key: tuple[str, str]
    baseline_role: str
    clusters: Mapping[str, str | None]
    selected: int
    asks_itself: bool


def _groups(baseline: Run, planned: Sequence[PlannedCase], settings: GateSettings) -> Iterator[_Group]:
    known = index(baseline)
    by_suite: dict[tuple[str, str], list[PlannedCase]] = {}
    for case in planned:
        by_suite.setdefault((case.suite, case.role), []).append(case)
    for old_role, role in role_pairs(list(known), list(dict.fromkeys(case.role for case in planned))):
        for key, cases in by_suite.items():
            if key[1] != role or any(case.gate is not GateKind.STATISTICAL for case in cases):
                continue
            trained = set() if Kind.TRAINED in settings.allowed else _trained(known[old_role], cases)
            firsts = {case.case: case for case in reversed(cases) if case.case not in trained}
            clusters = {name: case.cluster for name, case in firsts.items() if _is_in(known[old_role], case)}
            if clusters:
                yield _Group(
                    key=key,
                    baseline_role=old_role,
                    clusters=clusters,
                    selected=len(firsts),
                    asks_itself=any(first.needs_model for first in firsts.values()),
                )


def _trained(known: Mapping[Key, Record], cases: Sequence[PlannedCase]) -> set[str]:
    """Give the cases that one of the models was trained on: the comparison leaves them out."""
    found = {case.case for case in cases if case.is_trained}
    old = (known.get((case.suite, case.case)) for case in cases)
    return found | {record.case for record in old if record is not None and record.is_trained}


def _is_in(known: Mapping[Key, Record], case: PlannedCase) -> bool:
    record = known.get((case.suite, case.case))
    return record is not None and record.case_sha256 == case.case_sha256


def _remarks(group: _Group) -> Iterator[str]:
    (suite, _), outside = group.key, group.selected - len(group.clusters)
    if group.asks_itself:
        yield f"{suite} is asked whole: the tests of its cases ask the model themselves"
        return
    if outside:
        yield (
            f"{suite}: {outside} of {group.selected} cases are not in the baseline as they are now; the plan is made "
            f"on the other {len(group.clusters)}"
        )
    units = len({cluster or ("case", case) for case, cluster in group.clusters.items()})
    if units < SMALLEST_SUITE:
        yield (
            f"{suite} is too small to stop early ({units} of {SMALLEST_SUITE} cases or clusters); it stops only where "
            "no answer to come can change the verdict"
        )

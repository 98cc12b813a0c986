"""The plans of a run: which of its suites are looked at before their end, and on what cases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.baselines import Baseline, PlannedCase
from pytest_llmbench.gate.comparison import Key, Kind, index, role_pairs
from pytest_llmbench.gate.early import SMALLEST_SUITE, StopMode
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.stopping import plan_suite, runs_digest
from pytest_llmbench.results.records import Record, Run
from pytest_llmbench.results.stopping import StopPlan
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
    runs = all_runs(baselines)
    known = index(baselines[0].run)
    remarks: list[str] = []
    groups: list[tuple[tuple[str, str], str, dict[str, str | None]]] = []
    for old_role, role in role_pairs(list(known), list(dict.fromkeys(case.role for case in planned))):
        own = [case for case in planned if case.role == role]
        for suite in dict.fromkeys(case.suite for case in own):
            cases = [case for case in own if case.suite == suite]
            if any(case.gate is not GateKind.STATISTICAL for case in cases):
                continue
            if any(first.needs_model for first in {case.case: case for case in reversed(cases)}.values()):
                remarks.append(f"{suite} is asked whole: the tests of its cases ask the model themselves")
                continue
            trained = set() if Kind.TRAINED in settings.allowed else _trained(known[old_role], cases)
            usable = [case for case in cases if case.case not in trained]
            clusters = {case.case: case.cluster for case in usable if _is_in(known[old_role], case)}
            if clusters:
                groups.append(((suite, role), old_role, clusters))
                remarks += _remarks(suite, len({case.case for case in usable}), clusters)
    plans = (
        plan_suite(
            key,
            clusters,
            mode=mode,
            samples=samples,
            margin=settings.margin,
            family=len(groups),
            digest=runs_digest(runs, old_role),
        )
        for key, old_role, clusters in groups
    )
    return StopPlans(plans=tuple(plans), remarks=tuple(dict.fromkeys(remarks)))


def _trained(known: Mapping[Key, Record], cases: Sequence[PlannedCase]) -> set[str]:
    """Give the cases that one of the models was trained on: the comparison leaves them out."""
    found = {case.case for case in cases if case.is_trained}
    old = (known.get((case.suite, case.case)) for case in cases)
    return found | {record.case for record in old if record is not None and record.is_trained}


def _is_in(known: Mapping[Key, Record], case: PlannedCase) -> bool:
    record = known.get((case.suite, case.case))
    return record is not None and record.case_sha256 == case.case_sha256


def _remarks(suite: str, selected: int, clusters: dict[str, str | None]) -> Iterator[str]:
    outside = selected - len(clusters)
    if outside:
        yield (
            f"{suite}: {outside} of {selected} cases are not in the baseline as they are now; the plan is made on the "
            f"other {len(clusters)}"
        )
    units = len({cluster or ("case", case) for case, cluster in clusters.items()})
    if units < SMALLEST_SUITE:
        yield (
            f"{suite} is too small to stop early ({units} of {SMALLEST_SUITE} cases or clusters); it stops only where "
            "no answer to come can change the verdict"
        )

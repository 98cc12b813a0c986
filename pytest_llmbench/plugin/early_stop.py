"""A run that may stop early: its option, and its start.

The plan is made where the cases are asked, under xdist in each worker; the controller passes on the files of the
baselines.  It is in the answer store before the first request.
"""

from collections.abc import Callable, Sequence

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import Baseline, PlannedCase
from pytest_llmbench.gate.early import StopMode
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.stop_plans import StopPlans, all_runs, plan_stops
from pytest_llmbench.plugin import gate_options, options
from pytest_llmbench.plugin.stop_course import StopCourse
from pytest_llmbench.runner.runner import Item, Runner
from pytest_llmbench.runner.stop_memory import StopMemory

_OFF = "off"


def stop_mode(config: pytest.Config) -> StopMode | None:
    """Read when a suite may be decided early; None where none may.

    Raises:
        UsageFault: the word is unknown, or another option contradicts it.
    """
    word = config.getoption("llm_stop_early") or config.getini("llm_stop_early") or _OFF
    if word == _OFF:
        return None
    if word not in tuple(StopMode):
        raise UsageFault(f'--llm-stop-early needs loss, decided or off, not "{word}".')
    mode = StopMode(word)
    if not options.listed(config, "llm_baseline")[0]:
        raise UsageFault("--llm-stop-early needs a run to compare with: add --llm-baseline FILE, or leave it out.")
    dist = config.getoption("dist", "no")
    if dist not in ("no", "load"):
        raise UsageFault(
            f"--llm-stop-early needs all cases of a model in one worker, and --dist {dist} deals them to several; "
            "leave --dist out."
        )
    if mode is StopMode.DECIDED and options.listed(config, "llm_min_score")[0]:
        raise UsageFault(
            "--llm-stop-early decided leaves cases out, and --llm-min-score is about all of them; use "
            "--llm-stop-early loss, or leave one of them out."
        )
    if mode is StopMode.DECIDED and gate_options.gate_tolerances(config).latency_margin is not None:
        raise UsageFault(
            "--llm-stop-early decided does not go with --llm-latency-margin, whose error rate is that of one look; use "
            "--llm-stop-early loss, or leave one of them out."
        )
    return mode


def planned_case(item: Item, *, is_trained: bool = False) -> PlannedCase:
    """Describe an item to the gate."""
    return PlannedCase(
        role=item.spec.role,
        suite=item.loaded.suite.name,
        case=item.case.id,
        case_sha256=item.case.sha256,
        cluster=item.case.cluster,
        gate=item.loaded.suite.gate,
        needs_model=item.needs_model,
        is_trained=is_trained,
    )


class EarlyStop:
    """Starts the runs that are gated against a baseline.

    Args:
        mode: when suites are decided early; None if they are not.
        settings: of the gate.
        baselines: gives the runs compared with, the newest first.
    """

    def __init__(self, mode: StopMode | None, settings: GateSettings, baselines: Callable[[], Sequence[Baseline]]):
        self.mode = mode
        self._settings = settings
        self._baselines = baselines

    def plans(self, runner: Runner, items: Sequence[Item]) -> StopPlans:
        """Plan the looks of a run; those of one that is not decided early are what they would be.

        Raises:
            UsageFault: see `plan_stops` and `Runner.is_trained`.
        """
        return plan_stops(
            self._baselines(),
            [planned_case(item, is_trained=runner.is_trained(item)) for item in items],
            mode=self.mode or StopMode.LOSS,
            samples=runner.settings.samples,
            settings=self._settings,
        )

    def start(self, runner: Runner, items: Sequence[Item], *, is_dealt: bool) -> None:
        """Start a run.

        Raises:
            UsageFault: see `Runner.start`, `StopMemory` and `plan_stops`.
        """
        baselines = self._baselines()
        specs = {item.spec.role: item.spec for item in items}
        if not baselines:
            runner.start(items, is_dealt=is_dealt)
            return
        runner.builder.open_store(specs.values())
        memory = StopMemory(store=runner.builder.store, specs=specs)
        plans = self.plans(runner, items).plans
        if self.mode is None:
            plans = memory.adopted(plans)
        memory.check(plans)
        memory.keep(plans)
        plans = memory.counted(plans)
        course = StopCourse(
            items=items,
            plans={(plan.suite, plan.role): plan for plan in plans},
            runs=all_runs(baselines),
            settings=self._settings,
            facts=runner.facts,
            samples=runner.settings.samples,
        )
        runner.start(items, is_dealt=is_dealt, course=None if self.mode is None else course, stop_plans=plans)

"""The gate of a run that is being made: against earlier runs, against minimum scores, or both."""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.baselines import Baseline
from pytest_llmbench.compare import join
from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.gate import Gate, GateSettings, doubts_of, judge
from pytest_llmbench.gate_options import FloorRuling, MinScore, rule_min_scores
from pytest_llmbench.pooling import pool
from pytest_llmbench.records import Run
from pytest_llmbench.verdicts import Verdict, exit_status, overall


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGate:
    """What is asked of a run: to be no worse than the first of the baselines, to reach the floors.

    The other baselines are older runs of the same model, pooled where they qualify.
    """

    baselines: tuple[Baseline, ...] = ()
    floors: tuple[MinScore, ...] = ()
    settings: GateSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRuling:
    """What the gate says of a run.  `gate` is None without a baseline; `refusal` is why nothing was judged at all."""

    asked: RunGate
    gate: Gate | None = None
    floors: tuple[FloorRuling, ...] = ()
    refusal: str | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole: a score below its minimum is worse, one that reaches it is no worse.

        Advice does not count.
        """
        if self.refusal is not None:
            return Verdict.INCONCLUSIVE
        verdicts = [floor.verdict for floor in self.floors if floor.doubt is None]
        if self.gate is not None:
            # a minimum that is reached takes nothing from `better`
            verdicts = [self.gate.verdict, *(verdict for verdict in verdicts if verdict is Verdict.WORSE)]
        return overall(verdicts)

    @property
    def exit_status(self) -> int:
        """0 if the model may be taken, 1 if not, 8 if that cannot be told."""
        return exit_status(self.verdict)


def judge_run(run: Run, asked: RunGate, *, stopped: str | None = None) -> RunRuling:
    """Judge a run.

    Args:
        run: all that was answered.
        asked: what is asked of it.
        stopped: why the run ended before its time; then it is not judged as if it were whole.
    """
    if stopped is None and not run.records:
        stopped = "no case was run"
    if stopped is not None:
        return RunRuling(asked=asked, refusal=stopped)
    try:
        gate = _compare([baseline.run for baseline in asked.baselines], run, asked.settings)
    except LlmbenchError as fault:
        return RunRuling(asked=asked, refusal=str(fault))
    doubted = doubts_of([*(baseline.run for baseline in asked.baselines[:1]), run], asked.settings)
    return RunRuling(asked=asked, gate=gate, floors=rule_min_scores(run.records, asked.floors, doubted))


def _compare(baselines: Sequence[Run], run: Run, settings: GateSettings) -> Gate | None:
    if not baselines:
        return None
    newest, *older = baselines
    joined = join(newest, run, settings.allowed)
    return judge(pool(joined, older) if older else joined, settings)

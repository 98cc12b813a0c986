"""The gate of a run: against its baselines, and the minimum scores that it must reach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.gate.baselines import Baseline, pool
from pytest_llmbench.gate.broken import why_broken
from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide, untrusted_suites
from pytest_llmbench.gate.min_score import MinScore, MinScoreRuling, rule_min_scores, with_floors
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.rule import Verdict, exit_status, overall
from pytest_llmbench.gate.rulings import Gate
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.results.records import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGate:
    """The requirements of a run: to be no worse than the first of the baselines, to reach the floors.

    The other baselines are older runs of the same model, pooled where they qualify.
    """

    baselines: tuple[Baseline, ...] = ()
    floors: tuple[MinScore, ...] = ()
    settings: GateSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRuling:
    """The result of the gate for a run.

    `gate` is None without a baseline; `refusal` is why nothing was judged at all, `is_broken` that a model could not
    be asked.
    """

    requirements: RunGate
    gate: Gate | None = None
    floors: tuple[MinScoreRuling, ...] = ()
    refusal: str | None = None
    is_broken: bool = False

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole: a score below its minimum is worse, one that reaches it is no worse.

        Power does not count.
        """
        if self.refusal is not None:
            return Verdict.INCONCLUSIVE
        if self.gate is not None:
            return with_floors(self.gate.verdict, self.floors)
        own = [floor.verdict for floor in self.floors if floor.why_advice_only is None]
        return overall([verdict for verdict in own if verdict is not None])

    @property
    def exit_status(self) -> int:
        """0 if the model may be taken, 1 if not or if it could not be asked, 8 if the gate cannot decide."""
        return 1 if self.is_broken else exit_status(self.verdict)


def decide_run(run: Run, requirements: RunGate, *, stopped: str | None = None) -> RunRuling:
    """Give the verdicts on a run.

    Args:
        run: all that was answered.
        requirements: what it must meet.
        stopped: why the run ended before its time; then it is not judged as if it were whole.
    """
    broken = why_broken(replace(run, stopped=stopped or run.stopped))
    if broken is not None:
        return RunRuling(requirements=requirements, refusal=broken, is_broken=True)
    if stopped is None and not run.records:
        stopped = "no case was run"
    if stopped is not None:
        return RunRuling(requirements=requirements, refusal=stopped)
    try:
        gate = compare_with(requirements.baselines, run, requirements.settings)
    except LlmbenchError as fault:
        return RunRuling(requirements=requirements, refusal=str(fault))
    if gate is not None and gate.broken is not None:
        return RunRuling(requirements=requirements, refusal=gate.broken, is_broken=True)
    untrusted = untrusted_suites(
        [*(baseline.run for baseline in requirements.baselines[:1]), run], requirements.settings
    )
    return RunRuling(
        requirements=requirements,
        gate=gate,
        floors=rule_min_scores(
            run.records,
            requirements.floors,
            untrusted,
            counts_trained=Kind.TRAINED in requirements.settings.allowed,
            incomplete=run.incomplete,
        ),
    )


def compare_with(baselines: Sequence[Baseline], run: Run, settings: GateSettings) -> Gate | None:
    """Gate a run against the first of the baselines, pooled with the others; None without any.

    Raises:
        UsageFault: see `join` and `pool`.
    """
    if not baselines:
        return None
    newest, *others = baselines
    older = [*newest.older, *(run for other in others for run in (other.run, *other.older))]
    joined = join(newest.run, run, settings.allowed)
    return decide(pool(joined, older) if older else joined, settings)

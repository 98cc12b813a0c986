"""The results of the gate: on a suite, on all suites together, on latency, on two runs."""

from dataclasses import dataclass

from pytest_llmbench.gate.answer_agreement import Agreement
from pytest_llmbench.gate.broken import TooManyErrors
from pytest_llmbench.gate.latency import LatencyComparison
from pytest_llmbench.gate.pairs import Comparison, Difference, SuitePairs
from pytest_llmbench.gate.power import Power
from pytest_llmbench.gate.rule import Verdict, exit_status, overall
from pytest_llmbench.gate.score_test import CONFIDENCE, ERROR_RATE, Levels
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.smoke import SmokeRuling
from pytest_llmbench.gate.training import TrainingEffect
from pytest_llmbench.results.records import Record
from pytest_llmbench.results.stops import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedCase:
    """A case whose score changed."""

    case: str
    baseline: Record
    candidate: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteRuling:
    """The verdict on one suite under one role, and what it rests on.

    Scores, `delta` and `interval` are shares; None where no case has an answer on both sides.
    `units` counts clusters, or cases where there are none. `error_cases` have a sample without an
    answer on either side. `is_real_drop` is a loss that is shown but lies inside the margin.
    `is_corrected` is a loss that would count alone, but not among all suites. `why_advice_only` is why the
    verdict does not count, as where the suite's grader is not trusted; None where it does.
    """

    pairs: SuitePairs
    verdict: Verdict
    baseline_score: float | None = None
    candidate_score: float | None = None
    delta: float | None = None
    interval: tuple[float, float] | None = None
    units: int = 0
    error_cases: tuple[str, ...] = ()
    worse: tuple[MovedCase, ...] = ()
    better: tuple[MovedCase, ...] = ()
    is_real_drop: bool = False
    is_corrected: bool = False
    is_fractional: bool = False
    power: Power | None = None
    agreement: Agreement | None = None
    blocked_by: tuple[Difference, ...] = ()
    why_advice_only: str | None = None
    stop: Stop | None = None
    """Where a suite that was to be decided early stopped; None for one without such a plan."""
    levels: Levels | None = None
    """The levels of the look it was judged at; None for one without a plan."""
    why_not_repeated: str | None = None
    """Why nothing is judged of a suite that was to be decided early: a clause."""
    smoke: SmokeRuling | None = None
    """For a suite with `gate: smoke`, in place of all that is statistical."""
    training: TrainingEffect | None = None
    """Both sides apart, where the candidate was trained on some of the cases."""

    @property
    def confidence(self) -> float:
        """The confidence of the interval: that of the look it was judged at."""
        if self.levels is None:
            return CONFIDENCE
        return 1 - self.levels.loss - (ERROR_RATE if self.levels.kept is None else self.levels.kept)

    @property
    def has_clusters(self) -> bool:
        """Whether cases were averaged in clusters."""
        return any(pair.candidate.cluster is not None for pair in self.pairs.pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledRuling:
    """All suites of a role as one: whether the mean over all their cases is no worse. No suite's own verdict."""

    role: str
    verdict: Verdict
    delta: float
    interval: tuple[float, float]
    cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRuling:
    """The latency under one role; the verdicts are None where latency is only reported."""

    facts: LatencyComparison
    verdict: Verdict | None = None
    ttft_verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The result of the gate for two runs.

    `broken` is why nothing is judged, where a model could not be asked; `too_many_errors` are suites of the candidate,
    compared or not, whose missing answers leave open whether it may pass.
    """

    settings: GateSettings
    comparison: Comparison
    suites: tuple[SuiteRuling, ...]
    together: tuple[PooledRuling, ...]
    latency: tuple[LatencyRuling, ...]
    broken: str | None = None
    too_many_errors: tuple[TooManyErrors, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The verdict on the whole: worse if any is, no worse if all are; advice does not count.

        A candidate whose run ended before its time is not judged as if it were whole.
        """
        if self.broken is not None or self.comparison.candidate.stopped is not None:
            return Verdict.INCONCLUSIVE
        return overall([*self.counted, *([Verdict.INCONCLUSIVE] if self.too_many_errors else [])])

    @property
    def counted(self) -> tuple[Verdict, ...]:
        """The verdicts that decide: of the suites that are no advice, and of latency where it is gated."""
        of_latency = (one for ruling in self.latency for one in (ruling.verdict, ruling.ttft_verdict))
        return (
            *(suite.verdict for suite in self.suites if suite.why_advice_only is None),
            *(verdict for verdict in of_latency if verdict is not None),
        )

    @property
    def exit_status(self) -> int:
        """0 if the candidate may be taken, 1 if not or if a model could not be asked, 8 if the gate cannot decide."""
        return 1 if self.broken is not None else exit_status(self.verdict)

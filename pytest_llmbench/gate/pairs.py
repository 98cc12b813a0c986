"""The values of a comparison: the cases two runs share, what is left out and why, and what differs."""

from dataclasses import dataclass
from enum import StrEnum

from pytest_llmbench.results.records import Record, Run, Sample


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
    def has_error(self) -> bool:
        """Whether a sample on either side has no answer."""
        return self.baseline.has_error or self.candidate.has_error

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

"""Records and runs: the types, and how a record is made from answers and grades.

A record is the full flat story of one item; a run is all records of one invocation.  The fields of `Record` and
`Sample` are those of their JSON, in its order (see `run_json.py` and docs/json.md): a field added here with a
default is written, and read where a file has it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pytest_llmbench.models.base import Identity, ReplicaInfo
from pytest_llmbench.results.stops import Stop, StopPlan
from pytest_llmbench.stats import mean
from pytest_llmbench.values import (
    Answer,
    AnswerError,
    AsTyped,
    Budget,
    GateKind,
    Grade,
    Json,
    Outcome,
    Prompt,
    Sampling,
    Source,
    Split,
    ToolCall,
    Trust,
)

Number = TypeVar("Number", int, float)

LARGEST = 2**53
"""No time and no count is larger: beyond it many readers of JSON no longer distinguish whole numbers."""

NOT_ASKED = "not asked: "
"""How the error of a sample begins that was left out on purpose, such as by a cost limit."""

Share: TypeAlias = Annotated[float, AsTyped(1)]
Seconds: TypeAlias = Annotated[float, AsTyped(LARGEST)]
Count: TypeAlias = Annotated[int, AsTyped(LARGEST)]
Switch: TypeAlias = Annotated[bool, AsTyped()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer with its grade, or the error that stands in its place."""

    answer: str | None
    outcome: Outcome
    score: Share | None
    reason: str | None
    explanation: str | None
    format_ok: Switch | None
    parts: Mapping[str, Json]
    latency_s: Seconds | None
    ttft_s: Seconds | None
    input_tokens: Count | None
    output_tokens: Count | None
    finish_reason: str | None
    concurrency: Count | None
    reused: Switch = False
    attempts: Count = 1
    error: str | None = None
    reasoning: str | None = None
    """What the model wrote before its answer: kept, never graded, never compared."""
    reasoning_tokens: Count | None = None
    ttfa_s: Seconds | None = None
    """The time to the first token of the answer, behind any reasoning."""
    node: Count | None = None
    """The number of the node of a cluster that gave the answer; nodes are numbered anew in each run."""
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools that were called; absent in the JSON where there are none."""
    cost_usd: Annotated[float, AsTyped(LARGEST)] | None = None
    """What the answer cost, as an application reports it; absent in the JSON where none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The story of one item: a case put to a model, its samples and what became of them."""

    suite: str
    case: str
    case_sha256: str
    model: str
    role: str
    prompt_style: str
    prompt_sha256: str
    grader: str
    score: Share | None
    outcome: Outcome
    cluster: str | None = None
    """The case's cluster; absent in the JSON where there is none."""
    twin_of: str | None = None
    """The test that met the same case under the same role before; absent in the JSON where there is none."""
    trained: Literal[False] | str | None = None
    """Why the model counts as trained on the case (`case`, `id`, `prompt`, `cluster`), False if it does not, None if
    nothing is known of its training."""
    samples: tuple[Sample, ...]

    @property
    def is_trained(self) -> bool:
        """Whether the model was trained on the case, so that the case proves nothing about it."""
        return bool(self.trained)

    @property
    def shown_suite(self) -> str:
        """The suite as tables name it: what a model was trained on is never counted with what it was not."""
        return f"{self.suite} (trained on)" if self.is_trained else self.suite

    @property
    def answered(self) -> tuple[Sample, ...]:
        """The samples that have an answer."""
        return tuple(sample for sample in self.samples if sample.outcome is not Outcome.ERROR)

    @property
    def has_error(self) -> bool:
        """Whether a sample has no answer, or none that was graded: such a case is counted with the errors."""
        return any(sample.outcome is Outcome.ERROR for sample in self.samples)

    @property
    def has_reused(self) -> bool:
        """Whether a sample is an answer that an earlier run got."""
        return any(sample.reused for sample in self.samples)

    @property
    def latencies_s(self) -> tuple[float, ...]:
        """The measured latencies of the samples, in their order."""
        return tuple(sample.latency_s for sample in self.samples if sample.latency_s is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """What a provider charges, in US dollars per million tokens."""

    input_per_million: float
    output_per_million: float

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """Give the price of tokens."""
        return (input_tokens * self.input_per_million + output_tokens * self.output_per_million) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a run knows of one of its models, by role."""

    role: str
    model: str
    identity: Identity
    sampling: Mapping[str, Sampling] = field(default_factory=dict)
    """The sampling used, by suite."""
    replicas: tuple[ReplicaInfo, ...] | None = None
    """Its replicas; None for a model that was on no cluster, and then absent in the JSON."""
    price: TokenPrice | None = None
    """As in the models file when the run was made; absent in the JSON where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteInfo:
    """What a run knows of one of its suites; `trust` is None where it asks for none in its grader."""

    suite: str
    sha256: str
    grader: str
    grader_version: int
    path: str
    trust: Trust | None = None
    gate: GateKind = GateKind.STATISTICAL
    """Absent in the JSON where it is the default, as in files that know of no other."""
    cases: tuple[str, ...] | None = None
    """The ids of all cases that the file holds, selected or not; recorded for `gate: smoke` alone."""
    n_cases: int | None = None
    """How many that are; None in files that do not hold it."""
    split: Split | None = None
    """Which cases a model may be trained on; absent in the JSON where the suite has no split."""
    source: Source | None = None
    """What it was imported from; absent in the JSON where it was not."""
    embedders: Mapping[str, Identity] | None = None
    """What the embedders of its checks are, by their names in the suite; absent in the JSON if none was opened."""
    budget: Budget | None = None
    """What an answer may cost and take; absent in the JSON where the suite has none."""
    grader_settings: Mapping[str, Json] | None = None
    """The fields of the suite that decide its grades, without defaults; None in files that do not hold them."""
    data_sha256: Mapping[str, str] | None = None
    """Digests of what the grades depend on beside the suite, such as a database, by name; absent without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSuite:
    """How a judge was asked about the answers of one suite; `prompt_sha256` is of the prompt's unchanging words."""

    prompt_sha256: str
    votes: int
    sampling: Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeInfo:
    """The judge model of a run: its name, what it is (None if it was never opened), and how it was asked, by suite."""

    model: str
    identity: Identity | None
    suites: Mapping[str, JudgedSuite]
    price: TokenPrice | None = None
    """Absent in the JSON where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCheck:
    """What became of answers of one suite that a judge graded a second time.

    `answers` have two grades, of which `changed` differ in the outcome of the answer or of a check, and
    `scores_changed` in the score; `errors` could not be graded again.  `cases` are those with a changed grade.
    """

    answers: Count
    changed: Count
    scores_changed: Count
    errors: Count
    cases: tuple[str, ...]
    input_tokens: Count
    output_tokens: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingUse:
    """What an API of embeddings was given by checks: `texts`, and their tokens, None where it counts none."""

    texts: Count
    input_tokens: Count | None = None
    price: TokenPrice | None = None

    @property
    def usd(self) -> float | None:
        """What it cost; None where that is not known."""
        if self.price is None or self.input_tokens is None:
            return None
        return self.price.usd(self.input_tokens, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a run found before cases were selected: the names of the suites below `paths`.

    The paths are relative to the root directory, with `/`; "." is all of it.
    """

    paths: tuple[str, ...]
    suites: tuple[str, ...]

    def lacks(self, suite: SuiteInfo) -> bool:
        """Return whether a suite that another run had below these paths was not found there."""
        is_below = any(path == "." or f"{suite.path}/".startswith(f"{path}/") for path in self.paths)
        return is_below and suite.suite not in self.suites


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a run was made with.

    `prompts` holds those sent, by `prompt_sha256`; `expected` what a right answer is, for people, by `case_sha256`.
    `judge` is None for a run without a judge model.
    """

    models: tuple[ModelInfo, ...] = ()
    suites: tuple[SuiteInfo, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    judge: JudgeInfo | None = None
    broken: Mapping[str, str] = field(default_factory=dict)
    """Why a model could not be asked, or not any more, by role."""
    collected: Collected | None = None
    """None where files were left out by an option (`--lf`, `--ignore`), and in files that do not hold it."""
    stop_plans: tuple[StopPlan, ...] = ()
    """Of the suites that may be decided before all cases are asked."""
    judge_check: Mapping[str, JudgeCheck] = field(default_factory=dict)
    """By suite, what `--llm-check-judge` found; absent in the JSON where it was not asked for."""
    embedding: Mapping[str, EmbeddingUse] = field(default_factory=dict)
    """By the names of the embedders that are APIs; absent in the JSON where there are none."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles of the models, in the order in which they were named."""
        return tuple(model.role for model in self.models)

    def model(self, role: str) -> ModelInfo | None:
        """Give what is recorded about the model of a role."""
        return next((model for model in self.models if model.role == role), None)

    def suite(self, name: str) -> SuiteInfo | None:
        """Give what is recorded about a suite."""
        return next((suite for suite in self.suites if suite.suite == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a run was made on, as far as it matters for latency. `node` is its name, which a container changes."""

    node: str = ""
    cpu: str = ""
    cpu_count: int | None = None
    architecture: str = ""
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All records of one invocation and what they were made with; `stopped` is why it ended before its time, if so.

    `records` has each case once under each role; `twins` are the records of tests that met one of them again.
    """

    records: tuple[Record, ...]
    facts: RunInfo
    twins: tuple[Record, ...] = ()
    datetime: str = ""
    commit: str = ""
    machine: Machine | None = None
    stopped: str | None = None
    stops: tuple[Stop, ...] = ()
    """Where its gate stopped, as its file has it; a run that is not written yet has only its plans."""
    incomplete: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The planned and the asked cases of the suites that were not asked whole."""


def outcome_of(samples: Sequence[Sample]) -> tuple[Outcome, float | None]:
    """Give the outcome and score of a record from its samples.

    It is an error if every sample is, passed if every answered sample passed, else failed; the
    score is the mean over answered samples.
    """
    answered = [sample for sample in samples if sample.outcome is not Outcome.ERROR]
    if not answered:
        return Outcome.ERROR, None
    passed = all(sample.outcome is Outcome.PASSED for sample in answered)
    return (Outcome.PASSED if passed else Outcome.FAILED), mean([sample.score or 0.0 for sample in answered])


def usual_concurrency(measured: Iterable[Sample]) -> int | None:
    """Give the concurrency most samples were measured under; the higher one of two, which a run was made with."""
    each = [sample.concurrency for sample in measured]
    if len(each) == 1:  # as in most records, of which there are many
        return each[0]
    counts = Counter(each)
    return max(counts, key=lambda found: (counts[found], found or 0), default=None)


def graded_sample(answer: Answer, grade: Grade) -> Sample:
    """Make the sample of a graded answer."""
    return Sample(
        outcome=grade.outcome,
        score=grade.score,
        reason=str(grade.reason),
        explanation=grade.explanation,
        format_ok=grade.format_ok,
        parts={**grade.parts, **_of_app(answer)},
        **_of_answer(answer),
    )


def ungraded_sample(answer: Answer, error: str) -> Sample:
    """Make the sample of an answer whose grading broke: an error that keeps the answer and its times."""
    return _ungraded(error, _of_answer(answer))


def error_sample(error: AnswerError) -> Sample:
    """Make the sample of a request that got no answer."""
    nothing = Answer(text="", attempts=error.attempts, concurrency=error.concurrency)
    return _ungraded(error.cause, {**_of_answer(nothing), "answer": None})


def _of_app(answer: Answer) -> dict[str, Json]:
    return {"app": dict(answer.app)} if answer.app else {}


def _ungraded(error: str, of_answer: dict[str, Any]) -> Sample:
    return Sample(
        outcome=Outcome.ERROR,
        score=None,
        reason=None,
        explanation=None,
        format_ok=None,
        parts={},
        error=error,
        **of_answer,
    )


def _of_answer(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "latency_s": _plausible(answer.latency_s),
        "ttft_s": _plausible(answer.ttft_s),
        "input_tokens": _plausible(answer.input_tokens),
        "output_tokens": _plausible(answer.output_tokens),
        "finish_reason": answer.finish_reason,
        "concurrency": answer.concurrency,
        "reused": answer.reused,
        "attempts": answer.attempts,
        "reasoning": answer.reasoning,
        "reasoning_tokens": _plausible(answer.reasoning_tokens),
        "ttfa_s": _plausible(answer.ttfa_s),
        "node": answer.node,
        "tool_calls": answer.tool_calls,
        "cost_usd": _plausible(answer.cost_usd),
    }


def _plausible(value: Number | None) -> Number | None:
    """Give a duration or a count, or None for what no clock can have measured and nobody counted."""
    return value if value is not None and 0 <= value <= LARGEST else None

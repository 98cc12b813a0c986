"""Records and runs, and their JSON both ways.

A record is the full flat story of one item; a run is all records of one invocation.
They live in pytest-benchmark's own JSON: a record in `extra_info["llmbench"]` of its
benchmark, the rest in a top-level `llmbench` block (docs/json.md).  What is written is strict JSON:
a number that is none (NaN, infinity) is null in it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, TypeAlias, TypeVar

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.models.base import Identity
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Answer, AnswerError, Grade, Json, Message, Outcome, Prompt, Sampling, Trust

T = TypeVar("T")
Number = TypeVar("Number", int, float)

SCHEMA = 1
"""The version of the record and of the block. Readers refuse newer ones."""

LARGEST = 2**53
"""No time and no count is larger: beyond it many readers of JSON no longer tell whole numbers apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer with its grade, or the error that stands in its place."""

    answer: str | None
    outcome: Outcome
    score: float | None
    reason: str | None
    explanation: str | None
    format_ok: bool | None
    parts: Mapping[str, Json]
    latency_s: float | None
    ttft_s: float | None
    input_tokens: int | None
    output_tokens: int | None
    finish_reason: str | None
    concurrency: int | None
    reused: bool = False
    attempts: int = 1
    error: str | None = None


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
    score: float | None
    outcome: Outcome
    samples: tuple[Sample, ...]
    cluster: str | None = None
    """The case's cluster, where it has one."""

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
class ModelInfo:
    """What a run knows of one of its models, by role."""

    role: str
    model: str
    identity: Identity
    sampling: Mapping[str, Sampling] = field(default_factory=dict)
    """The sampling used, by suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteInfo:
    """What a run knows of one of its suites; `trust` is None where it asks for none in its grader."""

    suite: str
    sha256: str
    grader: str
    grader_version: int
    path: str
    trust: Trust | None = None


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
    """All records of one invocation and what they were made with; `stopped` is why it ended before its time, if so."""

    records: tuple[Record, ...]
    facts: RunInfo
    datetime: str = ""
    commit: str = ""
    machine: Machine | None = None
    stopped: str | None = None


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


def graded_sample(answer: Answer, grade: Grade) -> Sample:
    """Make the sample of a graded answer."""
    return Sample(
        outcome=grade.outcome,
        score=grade.score,
        reason=str(grade.reason),
        explanation=grade.explanation,
        format_ok=grade.format_ok,
        parts=grade.parts,
        **_of_answer(answer),
    )


def ungraded_sample(answer: Answer, error: str) -> Sample:
    """Make the sample of an answer whose grading broke: an error that keeps the answer and its times."""
    return _ungraded(error, _of_answer(answer))


def error_sample(error: AnswerError) -> Sample:
    """Make the sample of a request that got no answer."""
    nothing = Answer(text="", attempts=error.attempts, concurrency=error.concurrency)
    return _ungraded(error.cause, {**_of_answer(nothing), "answer": None})


def _ungraded(error: str, of_answer: "JsonObject") -> Sample:
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


def _of_answer(answer: Answer) -> "JsonObject":
    return {
        "answer": answer.text,
        "latency_s": _possible(answer.latency_s),
        "ttft_s": _possible(answer.ttft_s),
        "input_tokens": _possible(answer.input_tokens),
        "output_tokens": _possible(answer.output_tokens),
        "finish_reason": answer.finish_reason,
        "concurrency": answer.concurrency,
        "reused": answer.reused,
        "attempts": answer.attempts,
    }


def _possible(value: Number | None) -> Number | None:
    """Give a duration or a count, or None for what no clock can have measured and nobody counted."""
    return value if value is not None and 0 <= value <= LARGEST else None


JsonObject: TypeAlias = dict[str, Any]

_RECORD_FIELDS = tuple(field.name for field in fields(Record))
_PLAIN_FIELDS = tuple(name for name in _RECORD_FIELDS if name != "samples")
_SAMPLE_FIELDS = tuple(field.name for field in fields(Sample))
_plain_values, _sample_values = attrgetter(*_PLAIN_FIELDS), attrgetter(*_SAMPLE_FIELDS)

_TEXT, _TEXT_OR_NULL = (str,), (str, NoneType)
_COUNT_OR_NULL, _NUMBER_OR_NULL = (int, NoneType), (int, float, NoneType)
_RECORD_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    dict.fromkeys(_RECORD_FIELDS, _TEXT) | {"score": _NUMBER_OR_NULL, "samples": (list,), "cluster": _TEXT_OR_NULL}
)
_SAMPLE_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    dict.fromkeys(("answer", "reason", "explanation", "finish_reason", "error"), _TEXT_OR_NULL)
    | dict.fromkeys(("score", "latency_s", "ttft_s"), _NUMBER_OR_NULL)
    | dict.fromkeys(("input_tokens", "output_tokens", "concurrency"), _COUNT_OR_NULL)
    | {"outcome": _TEXT, "format_ok": (bool, NoneType), "parts": (dict,), "reused": (bool,), "attempts": (int,)}
)
_SAMPLING_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"max_tokens": (int,), "temperature": (int, float), "top_p": _NUMBER_OR_NULL, "stop": (list,)}
    | {"seed": _COUNT_OR_NULL}
)
_SUITE_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"sha256": _TEXT, "grader": _TEXT, "grader_version": (int,), "path": _TEXT}
)
_MAY_LACK = frozenset({"cluster", "reused", "attempts", "error", *_SAMPLING_KINDS})
_MOST_BY_FIELD: Mapping[str, int] = MappingProxyType(
    {"score": 1}
    | dict.fromkeys(("latency_s", "ttft_s", "input_tokens", "output_tokens", "concurrency", "attempts"), LARGEST)
)
"""The fields that hold a number from 0 up to another."""


def record_to_json(record: Record) -> JsonObject:
    """Give the object that stands in `extra_info["llmbench"]`."""
    # not dataclasses.asdict, which copies every part of every sample: ten times the time
    found: JsonObject = {"schema": SCHEMA, **_strict_fields(_PLAIN_FIELDS, _plain_values(record))}
    found["samples"] = [_strict_fields(_SAMPLE_FIELDS, _sample_values(sample)) for sample in record.samples]
    if record.cluster is None:
        del found["cluster"]
    return found


_WRITTEN_AS_IT_IS = (str, int)  # a union of them would be made anew for each value
_MOST = frozenset({str, int, bool, NoneType, Outcome})


def _strict_fields(names: Sequence[str], values: Sequence[object]) -> JsonObject:
    """Give fields as strict JSON can hold them; most values are plain, and a call for each is what a record costs."""
    found: JsonObject = dict(zip(names, values, strict=True))
    for name, value in found.items():
        if value.__class__ not in _MOST:
            found[name] = _strict(value)
    return found


def _strict(found: object) -> Any:
    """Give a value as strict JSON can hold it: a number that is none is null, what JSON has no word for is a text."""
    if found is None or isinstance(found, _WRITTEN_AS_IT_IS):
        return found
    if isinstance(found, float):
        return found if isfinite(found) else None
    if isinstance(found, Mapping):
        return {str(key): _strict(value) for key, value in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, bytes):
        return [_strict(value) for value in found]
    return str(found)


def record_from_json(found: JsonObject) -> Record:
    """Read what `record_to_json` gave, and what a later version adds to it.

    Raises:
        ValueError: it is something else; the message says what of it.
    """
    values = _fields(found, _RECORD_KINDS, "it")
    outcome = _scored_outcome(found, "it")
    samples = tuple(_sample_from_json(sample) for sample in found["samples"])
    if not samples:
        raise ValueError("it has no samples")
    return Record(**{**values, "outcome": outcome, "samples": samples})


def _sample_from_json(found: Any) -> Sample:
    values = _fields(found, _SAMPLE_KINDS, "a sample")
    return Sample(**{**values, "outcome": _scored_outcome(found, "a sample")})


def _fields(found: Any, kinds: Mapping[str, tuple[type, ...]], what: str) -> JsonObject:
    if not isinstance(found, dict):
        raise ValueError(f"{what} is no object")
    for name, kind in kinds.items():
        if name not in found:
            if name in _MAY_LACK:
                continue
            raise ValueError(f'{what} has no "{name}"')
        value = found[name]
        is_kind, most = isinstance(value, kind), _MOST_BY_FIELD.get(name)
        if not is_kind or (most is not None and value is not None and not 0 <= value <= most):
            raise ValueError(f'{what} has {json.dumps(value)[:40]} as its "{name}"')
    return {name: value for name, value in found.items() if name in kinds}


def _scored_outcome(found: JsonObject, what: str) -> Outcome:
    """Give an outcome that has the score it needs."""
    try:
        outcome = Outcome(found["outcome"])
    except ValueError:
        raise ValueError(f'"{found["outcome"]}" is no outcome') from None
    if outcome is not Outcome.ERROR and found["score"] is None:
        raise ValueError(f"{what} is {outcome} and has no score")
    return outcome


def block_to_json(run: Run) -> JsonObject:
    """Give the top-level `llmbench` block: everything but the records that have a latency."""
    return {
        "schema": SCHEMA,
        "unmeasured": [record_to_json(record) for record in run.records if not record.latencies_s],
        **run_info_to_json(run.facts),
        "totals": _totals(run.records),
        **({} if run.stopped is None else {"stopped": run.stopped}),
        "gate": None,
    }


def run_info_to_json(facts: RunInfo) -> JsonObject:
    """Give what a run was made with, as it stands in the block."""
    found: JsonObject = {
        "models": {
            model.role: {
                "model": model.model,
                "identity": asdict(model.identity),
                "sampling": {suite: asdict(sampling) for suite, sampling in model.sampling.items()},
            }
            for model in facts.models
        },
        "suites": {
            suite.suite: {key: value for key, value in asdict(suite).items() if key != "suite"}
            for suite in facts.suites
        },
        "options": {**facts.options, **({} if facts.judge is None else {"judge": asdict(facts.judge)})},
        "prompts": {digest: prompt_to_json(prompt) for digest, prompt in facts.prompts.items()},
        "expected": dict(facts.expected),
    }
    return {name: _strict(value) for name, value in found.items()}


def run_info_from_json(found: JsonObject) -> RunInfo:
    """Read what `run_info_to_json` gave, and what a later version adds to it; what is missing is empty.

    Raises:
        ValueError: a suite or a sampling has something else in one of its fields; the message says which.
        TypeError, KeyError, AttributeError: it is something else.
    """
    options = dict(found.get("options", {}))
    judge = _judge_from_json(options.get("judge"))
    if judge is not None:
        del options["judge"]
    return RunInfo(
        judge=judge,
        models=tuple(
            ModelInfo(
                role=role,
                model=model["model"],
                identity=_known(Identity, model["identity"]),
                sampling={suite: _sampling_from_json(own, suite) for suite, own in model["sampling"].items()},
            )
            for role, model in found.get("models", {}).items()
        ),
        suites=tuple(
            SuiteInfo(
                **_fields(suite, _SUITE_KINDS, f'suite "{name}"'),
                suite=name,
                trust=_trust_from_json(suite.get("trust")),
            )
            for name, suite in found.get("suites", {}).items()
        ),
        options=options,
        prompts={digest: _prompt_from_json(prompt) for digest, prompt in found.get("prompts", {}).items()},
        expected={digest: str(text) for digest, text in found.get("expected", {}).items()},
    )


def _sampling_from_json(found: Any, suite: str) -> Sampling:
    values = _fields(found, _SAMPLING_KINDS, f'the sampling of suite "{suite}"')
    return Sampling(**{**values, "stop": tuple(values.get("stop", ()))})


def _judge_from_json(found: Any) -> JudgeInfo | None:
    """Read a judge; None where there is none, or one that only a grader of another package knows."""
    if not isinstance(found, dict) or "suites" not in found:
        return None
    return JudgeInfo(
        model=found["model"],
        identity=None if found["identity"] is None else _known(Identity, found["identity"]),
        suites={
            suite: _known(JudgedSuite, {**own, "sampling": _sampling_from_json(own["sampling"], suite)})
            for suite, own in found["suites"].items()
        },
    )


def _trust_from_json(found: JsonObject | None) -> Trust | None:
    return None if found is None else _known(Trust, found)


def _known(kind: type[T], found: JsonObject) -> T:
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in found.items() if name in names})


def merged_run_info(several: Sequence[RunInfo]) -> RunInfo:
    """Put the facts of several processes of one run together."""
    models: dict[str, ModelInfo] = {}
    for facts in several:
        for model in facts.models:
            sampling = {**models[model.role].sampling, **model.sampling} if model.role in models else model.sampling
            models[model.role] = replace(model, sampling=sampling)
    return RunInfo(
        models=tuple(models.values()),
        suites=tuple({suite.suite: suite for facts in several for suite in facts.suites}.values()),
        options={key: value for facts in several for key, value in facts.options.items()},
        prompts={digest: prompt for facts in several for digest, prompt in facts.prompts.items()},
        expected={digest: text for facts in several for digest, text in facts.expected.items()},
        judge=_merged_judge([facts.judge for facts in several if facts.judge is not None]),
    )


def _merged_judge(several: Sequence[JudgeInfo]) -> JudgeInfo | None:
    if not several:
        return None
    suites = {suite: own for judge in several for suite, own in judge.suites.items()}
    identities = [judge.identity for judge in several if judge.identity is not None]
    return replace(several[-1], identity=identities[-1] if identities else None, suites=suites)


def prompt_to_json(prompt: Prompt) -> Json:
    """Give a prompt as it is sent: a text, or a list of messages."""
    if prompt.text is not None:
        return prompt.text
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def _totals(records: Sequence[Record]) -> JsonObject:
    samples = [sample for record in records for sample in record.samples]
    return {
        "records": len(records),
        **{str(outcome): sum(record.outcome is outcome for record in records) for outcome in Outcome},
        "samples": len(samples),
        "errors": sum(sample.outcome is Outcome.ERROR for sample in samples),
        "input_tokens": sum(sample.input_tokens or 0 for sample in samples),
        "output_tokens": sum(sample.output_tokens or 0 for sample in samples),
    }


def read_run_file(path: Path) -> JsonObject:
    """Read a benchmark JSON that has our block.

    Raises:
        RunFileFault: it cannot be read, is no benchmark JSON, has no block of ours or a newer one.
    """
    try:
        # what others wrote may hold NaN, which is no number to us
        found = json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError:
        raise RunFileFault(f"{path}: there is no such file; write one with pytest --benchmark-json={path}.") from None
    except OSError as fault:
        raise RunFileFault(f"{path}: this file cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise RunFileFault(f"{path}: this is no benchmark JSON: it is not UTF-8.") from None
    except json.JSONDecodeError as fault:
        message = f"{path}:{fault.lineno}: this is not JSON, or it was cut off: {fault.msg}."
        raise RunFileFault(message) from None
    except ValueError as fault:
        raise RunFileFault(f"{path}: this is no benchmark JSON: {fault}.") from None
    except RecursionError:
        raise RunFileFault(f"{path}: this is no benchmark JSON: it is nested too deep.") from None
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), list):
        raise RunFileFault(f"{path}: this is no benchmark JSON; write one with pytest --benchmark-json.")
    block = found.get("llmbench")
    if not isinstance(block, dict) or not isinstance(block.get("schema"), int):
        raise RunFileFault(
            f"{path}: this is a plain pytest-benchmark file; only runs with --llm-model can be read here."
        )
    if block["schema"] > SCHEMA:
        message = (
            f"{path}: this file has schema {block['schema']}, this pytest-llmbench reads up to {SCHEMA}; update it."
        )
        raise RunFileFault(message)
    return found


def read_run(path: Path) -> Run:
    """Read a run back from its benchmark JSON.

    Raises:
        RunFileFault: see `read_run_file`; or a record in it is broken.
    """
    found = read_run_file(path)
    block = found["llmbench"]
    records = []
    for entry in _record_objects(found):
        try:
            records.append(record_from_json(entry))
        except ValueError as fault:
            case = entry.get("case") if isinstance(entry, dict) else None
            which = f'the record of case "{case}"' if case is not None else "a record"
            raise RunFileFault(f"{path}: {which} is broken: {fault}.") from None
    try:
        facts = run_info_from_json(block)
    except ValueError as fault:
        raise RunFileFault(f"{path}: the llmbench block is broken: {fault}.") from None
    except (TypeError, KeyError, AttributeError) as fault:
        raise RunFileFault(f"{path}: the llmbench block is broken: {type(fault).__name__}: {fault}.") from None
    commit = found.get("commit_info")
    return Run(
        records=tuple(records),
        facts=facts,
        datetime=str(found.get("datetime", "")),
        commit=str(commit.get("id", "")) if isinstance(commit, dict) else "",
        machine=machine_from_json(found.get("machine_info")),
        stopped=str(block["stopped"]) if block.get("stopped") else None,
    )


def machine_from_json(found: Any) -> Machine | None:
    """Read pytest-benchmark's `machine_info`; None where there is none."""
    if not isinstance(found, dict) or not found:
        return None
    cpu = found["cpu"] if isinstance(found.get("cpu"), dict) else {}
    count = cpu.get("count")
    return Machine(
        node=str(found.get("node", "")),
        cpu=str(cpu.get("brand_raw", "")),
        cpu_count=count if isinstance(count, int) else None,
        architecture=str(found.get("machine", "")),
        system=str(found.get("system", "")),
    )


def _record_objects(found: JsonObject) -> Iterator[Any]:
    for benchmark in found["benchmarks"]:
        extra_info = benchmark.get("extra_info") if isinstance(benchmark, dict) else None
        record = extra_info.get("llmbench") if isinstance(extra_info, dict) else None
        if record is not None:
            yield record
    unmeasured = found["llmbench"].get("unmeasured")
    yield from unmeasured if isinstance(unmeasured, list) else ()


def _prompt_from_json(found: Any) -> Prompt:
    if isinstance(found, str):
        return Prompt(text=found)
    return Prompt(messages=tuple(Message(role=str(m["role"]), content=str(m["content"])) for m in found))

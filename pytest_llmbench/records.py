"""Records and runs, and their JSON both ways.

A record is the full flat story of one item; a run is all records of one invocation.
They live in pytest-benchmark's own JSON: a record in `extra_info["llmbench"]` of its
benchmark, the rest in a top-level `llmbench` block (docs/json.md).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.models import Identity
from pytest_llmbench.stats import mean
from pytest_llmbench.values import Answer, AnswerError, Json, Message, Outcome, Prompt, Sampling

SCHEMA = 1
"""The version of the record and of the block. Readers refuse newer ones."""


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
    def latencies_s(self) -> tuple[float, ...]:
        """The measured latencies of the samples, in their order."""
        return tuple(sample.latency_s for sample in self.samples if sample.latency_s is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a run knows of one of its models, by role."""

    role: str
    model: str
    identity: Identity
    sampling: Mapping[str, Sampling] = field(default_factory=dict)
    """The sampling used, by suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFacts:
    """What a run knows of one of its suites."""

    suite: str
    sha256: str
    grader: str
    grader_version: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run was made with. `prompts` holds those sent, by `prompt_sha256`."""

    models: tuple[ModelFacts, ...] = ()
    suites: tuple[SuiteFacts, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)


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
    """All records of one invocation and what they were made with."""

    records: tuple[Record, ...]
    facts: Facts
    datetime: str = ""
    commit: str = ""
    machine: Machine | None = None


def settle(samples: Sequence[Sample]) -> tuple[Outcome, float | None]:
    """Give the outcome and score of a record from its samples.

    It is an error if every sample is, passed if every answered sample passed, else failed; the
    score is the mean over answered samples.
    """
    answered = [sample for sample in samples if sample.outcome is not Outcome.ERROR]
    if not answered:
        return Outcome.ERROR, None
    passed = all(sample.outcome is Outcome.PASSED for sample in answered)
    return (Outcome.PASSED if passed else Outcome.FAILED), mean([sample.score or 0.0 for sample in answered])


def error_sample(error: AnswerError) -> Sample:
    """Make the sample of a request that got no answer."""
    return _sample(None, error=error.cause, attempts=error.attempts, concurrency=error.concurrency)


def ungraded_sample(answer: Answer, error: str) -> Sample:
    """Make the sample of an answer whose grading broke: an error that keeps the answer and its times."""
    return _sample(answer, error=error, attempts=answer.attempts, concurrency=answer.concurrency)


def _sample(answer: Answer | None, *, error: str, attempts: int, concurrency: int | None) -> Sample:
    return Sample(
        answer=answer.text if answer else None,
        outcome=Outcome.ERROR,
        score=None,
        reason=None,
        explanation=None,
        format_ok=None,
        parts={},
        latency_s=answer.latency_s if answer else None,
        ttft_s=answer.ttft_s if answer else None,
        input_tokens=answer.input_tokens if answer else None,
        output_tokens=answer.output_tokens if answer else None,
        finish_reason=answer.finish_reason if answer else None,
        concurrency=concurrency,
        reused=answer.reused if answer else False,
        attempts=attempts,
        error=error,
    )


JsonObject: TypeAlias = dict[str, Any]

_RECORD_FIELDS = tuple(field.name for field in fields(Record))
_SAMPLE_FIELDS = tuple(field.name for field in fields(Sample))


def record_to_json(record: Record) -> JsonObject:
    """Give the object that stands in `extra_info["llmbench"]`."""
    # not dataclasses.asdict, which copies every part of every sample: ten times the time
    found: JsonObject = {"schema": SCHEMA, **{name: getattr(record, name) for name in _RECORD_FIELDS}}
    found["samples"] = [{name: getattr(sample, name) for name in _SAMPLE_FIELDS} for sample in record.samples]
    if record.cluster is None:
        del found["cluster"]
    return found


def record_from_json(found: JsonObject) -> Record:
    """Read what `record_to_json` gave.

    Raises:
        TypeError, KeyError, ValueError: it is something else.
    """
    values = {key: value for key, value in found.items() if key in _RECORD_FIELDS}
    samples = tuple(
        Sample(**{k: v for k, v in sample.items() if k in _SAMPLE_FIELDS} | {"outcome": Outcome(sample["outcome"])})
        for sample in found["samples"]
    )
    return Record(**{**values, "outcome": Outcome(found["outcome"]), "samples": samples})


def block_to_json(run: Run) -> JsonObject:
    """Give the top-level `llmbench` block: everything but the records that have a latency."""
    return {
        "schema": SCHEMA,
        "unmeasured": [record_to_json(record) for record in run.records if not record.latencies_s],
        **facts_to_json(run.facts),
        "totals": _totals(run.records),
        "gate": [],
    }


def facts_to_json(facts: Facts) -> JsonObject:
    """Give what a run was made with, as it stands in the block."""
    return {
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
        "options": dict(facts.options),
        "prompts": {digest: prompt_to_json(prompt) for digest, prompt in facts.prompts.items()},
    }


def facts_from_json(found: JsonObject) -> Facts:
    """Read what `facts_to_json` gave; what is missing is empty.

    Raises:
        TypeError, KeyError, AttributeError: it is something else.
    """
    return Facts(
        models=tuple(
            ModelFacts(
                role=role,
                model=model["model"],
                identity=Identity(**model["identity"]),
                sampling={
                    suite: Sampling(**{**own, "stop": tuple(own["stop"])}) for suite, own in model["sampling"].items()
                },
            )
            for role, model in found.get("models", {}).items()
        ),
        suites=tuple(SuiteFacts(suite=name, **suite) for name, suite in found.get("suites", {}).items()),
        options=found.get("options", {}),
        prompts={digest: _prompt_from_json(prompt) for digest, prompt in found.get("prompts", {}).items()},
    )


def merged_facts(several: Sequence[Facts]) -> Facts:
    """Put the facts of several processes of one run together."""
    models: dict[str, ModelFacts] = {}
    for facts in several:
        for model in facts.models:
            sampling = {**models[model.role].sampling, **model.sampling} if model.role in models else model.sampling
            models[model.role] = replace(model, sampling=sampling)
    return Facts(
        models=tuple(models.values()),
        suites=tuple({suite.suite: suite for facts in several for suite in facts.suites}.values()),
        options={key: value for facts in several for key, value in facts.options.items()},
        prompts={digest: prompt for facts in several for digest, prompt in facts.prompts.items()},
    )


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
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunFileFault(f"{path}: there is no such file; write one with pytest --benchmark-json={path}.") from None
    except OSError as fault:
        raise RunFileFault(f"{path}: this file cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise RunFileFault(f"{path}: this is no benchmark JSON: it is not UTF-8.") from None
    except json.JSONDecodeError as fault:
        message = f"{path}:{fault.lineno}: this is not JSON, or it was cut off: {fault.msg}."
        raise RunFileFault(message) from None
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
        except (TypeError, KeyError, ValueError, AttributeError) as fault:
            case = entry.get("case") if isinstance(entry, dict) else None
            raise RunFileFault(f"{path}: the record of case {case!r} is broken: {fault}.") from None
    try:
        facts = facts_from_json(block)
    except (TypeError, KeyError, AttributeError) as fault:
        raise RunFileFault(f"{path}: the llmbench block is broken: {type(fault).__name__}: {fault}.") from None
    return Run(
        records=tuple(records),
        facts=facts,
        datetime=str(found.get("datetime", "")),
        commit=str((found.get("commit_info") or {}).get("id", "")),
        machine=machine_from_json(found.get("machine_info")),
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
        record = (benchmark.get("extra_info") or {}).get("llmbench") if isinstance(benchmark, dict) else None
        if record is not None:
            yield record
    yield from found["llmbench"].get("unmeasured") or ()


def _prompt_from_json(found: Any) -> Prompt:
    if isinstance(found, str):
        return Prompt(text=found)
    return Prompt(messages=tuple(Message(role=m["role"], content=m["content"]) for m in found))

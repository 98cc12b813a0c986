"""The JSON of records and of what a run was made with, both ways.

They live in pytest-benchmark's own JSON: a record in `extra_info["llmbench"]` of its benchmark, the rest in a
top-level `llmbench` block (docs/json.md).  What is written is strict JSON: NaN and infinity are null in it.
Readers pass over fields that they do not know, and need none that has a default.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pytest_llmbench.models.base import Identity, ReplicaInfo
from pytest_llmbench.results.json_values import PLAIN, strict_json
from pytest_llmbench.results.prompt_json import WrittenPrompt, prompt_from_json, prompt_to_json
from pytest_llmbench.results.records import (
    Collected,
    EmbeddingUse,
    JudgeCheck,
    JudgeInfo,
    ModelInfo,
    Record,
    Run,
    RunInfo,
    Sample,
    SuiteInfo,
    TokenPrice,
)
from pytest_llmbench.results.stops import StopPlan
from pytest_llmbench.results.totals import over_budget_to_json, totals
from pytest_llmbench.values import AsTyped, Budget, GateKind, Json, Outcome, Sampling, Source, Split, Trust

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]

SCHEMA = 2
"""The version of the record and of the block. Readers refuse newer ones, and accept all older ones for good.

With 2, `answer` is without its reasoning, which stands in a field of its own; later fields are optional.
"""

_ABSENT_WHEN_NONE = ("cluster", "twin_of")
"""The fields of a record that are in its JSON only where they have a value."""

_ABSENT_WHEN_EMPTY = ("tool_calls", "cost_usd")
"""The fields of a sample that are in its JSON only where they have a value."""

_LONGEST_SHOWN = 40


@cache
def _adapter(kind: type[Any]) -> "TypeAdapter[Any]":
    """Build pydantic's reader and writer of a dataclass; a tenth of a second, so with the first record only."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _read(kind: type[T], found: object) -> T:
    """Read a dataclass.

    Raises:
        ValueError: a field is missing or has a value it cannot have; the message names the first of them.
    """
    from pydantic import ValidationError

    try:
        read: T = _adapter(kind).validate_python(found)  # type: ignore[arg-type]  # mypy: a type variable is not hashable
    except ValidationError as fault:
        raise ValueError(_first_cause(fault)) from None
    return read


_EXPECTED = {
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "dataclass_type": "must be an object",
    "tuple_type": "must be a list",
    "enum": "must be passed, failed or error",
    "greater_than_equal": "must be at least {ge:.0f}",
    "less_than_equal": "must be at most {le:.0f}",
}
"""What must stand in a field, by pydantic's name for what is wrong."""

_TRIED_TYPES = frozenset({"int", "float", "bool", "constrained-int", "constrained-float"})
"""What pydantic adds to the place of a value that may be of several types: which of them was tried."""


def _first_cause(fault: "ValidationError") -> str:
    first = fault.errors(include_url=False)[0]
    place = [part for part in first["loc"] if part not in _TRIED_TYPES]
    if first["type"] == "missing":
        *outer, name = place
        return f'{_path(outer) if outer else "it"} has no "{name}"'
    if not place:
        return "it is not an object"
    expected = _EXPECTED.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
    return f"{_path(place)} is {json.dumps(first['input'], default=str)[:_LONGEST_SHOWN]} and {expected}"


def _path(place: Sequence[int | str]) -> str:
    first, *others = place
    return f'"{first}{"".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in others)}"'


# -- a record


def record_to_json(record: Record) -> JsonObject:
    """Give the object that stands in `extra_info["llmbench"]`."""
    found: JsonObject = {"schema": SCHEMA}
    for name in _RECORD_FIELDS:
        value = getattr(record, name)
        if value is not None or name not in _ABSENT_WHEN_NONE:
            found[name] = value if value.__class__ in PLAIN else strict_json(value)
    # in their place, which is the last
    found["samples"] = [_sample_to_json(sample) for sample in record.samples]
    return found


def _sample_to_json(sample: Sample) -> JsonObject:
    found: JsonObject = {}
    for name in _SAMPLE_FIELDS:
        value = getattr(sample, name)
        found[name] = value if value.__class__ in PLAIN else strict_json(value)
    for name in _ABSENT_WHEN_EMPTY:
        if found[name] in (None, []):
            del found[name]
    return found


_RECORD_FIELDS = tuple(name for name in Record.__slots__ if name != "samples")
_SAMPLE_FIELDS = Sample.__slots__


def record_from_json(found: object) -> Record:
    """Read what `record_to_json` gave, and what a later version adds to it.

    Raises:
        ValueError: it is something else; the message names what of it.
    """
    record = _read(Record, found)
    if not record.samples:
        raise ValueError("it has no samples")
    _require_score(record, "it")
    for number, sample in enumerate(record.samples):
        _require_score(sample, f'"samples[{number}]"')
    return record


def _require_score(graded: Record | Sample, what: str) -> None:
    if graded.outcome is not Outcome.ERROR and graded.score is None:
        raise ValueError(f"{what} is {graded.outcome} and has no score")


# -- the block


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelOfRole:
    """A model as it stands in the block, under its role."""

    model: str
    identity: Identity
    sampling: Mapping[str, Sampling]
    price: TokenPrice | None = None
    replicas: tuple[ReplicaInfo, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _NamedSuite:
    """A suite as it stands in the block, under its name."""

    sha256: str
    grader: str
    grader_version: Annotated[int, AsTyped()]
    path: str
    trust: Trust | None = None
    gate: GateKind = GateKind.STATISTICAL
    cases: tuple[str, ...] | None = None
    n_cases: Annotated[int, AsTyped()] | None = None
    split: Split | None = None
    source: Source | None = None
    embedders: Mapping[str, Identity] | None = None
    budget: Budget | None = None
    grader_settings: Mapping[str, Json] | None = None
    data_sha256: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """What of the block describes the run; a judge stands among its options."""

    models: Mapping[str, _ModelOfRole] = field(default_factory=dict)
    suites: Mapping[str, _NamedSuite] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)
    prompts: Mapping[str, WrittenPrompt] = field(default_factory=dict)
    expected: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    collected: Collected | None = None
    stop_plans: tuple[StopPlan, ...] = ()
    judge_check: Mapping[str, JudgeCheck] = field(default_factory=dict)
    embedding: Mapping[str, EmbeddingUse] = field(default_factory=dict)


def block_to_json(run: Run) -> JsonObject:
    """Give the top-level `llmbench` block: everything but the records that have a latency."""
    return {
        "schema": SCHEMA,
        "unmeasured": [record_to_json(record) for record in (*run.records, *run.twins) if not record.latencies_s],
        **run_info_to_json(replace(run.facts, stop_plans=())),  # they stand in the gate
        **({"incomplete": {name: list(pair) for name, pair in run.incomplete.items()}} if run.incomplete else {}),
        "totals": totals(run.records),
        **over_budget_to_json(run),
        **({} if run.stopped is None else {"stopped": run.stopped}),
        "gate": None,
    }


def run_info_to_json(facts: RunInfo) -> JsonObject:
    """Give what a run was made with, as it stands in the block."""
    checks = facts.judge_check
    found: JsonObject = {
        "models": {model.role: _model_to_json(asdict(model)) for model in facts.models},
        "suites": {suite.suite: _suite_to_json(suite) for suite in facts.suites},
        "options": {**facts.options, **({} if facts.judge is None else {"judge": _known(asdict(facts.judge))})},
        "prompts": {digest: prompt_to_json(prompt) for digest, prompt in facts.prompts.items()},
        "expected": dict(facts.expected),
        **({"broken": dict(facts.broken)} if facts.broken else {}),
        **({} if facts.collected is None else {"collected": asdict(facts.collected)}),
        **({"stop_plans": [asdict(plan) for plan in facts.stop_plans]} if facts.stop_plans else {}),
        **({"judge_check": {suite: asdict(one) for suite, one in checks.items()}} if checks else {}),
        **({"embedding": {name: asdict(one) for name, one in facts.embedding.items()}} if facts.embedding else {}),
    }
    return {name: strict_json(value) for name, value in found.items()}


def _suite_to_json(suite: SuiteInfo) -> JsonObject:
    found = _without(asdict(suite), "suite")
    found = _without(found, "gate") if suite.gate is GateKind.STATISTICAL else found
    for name in ("cases", "n_cases", "split", "source", "embedders", "budget", "grader_settings", "data_sha256"):
        found = _without(found, name) if getattr(suite, name) is None else found
    for identity in found.get("embedders", {}).values():
        del identity["training"]
    return found


def _model_to_json(found: JsonObject) -> JsonObject:
    found = _without(found, "replicas") if found["replicas"] is None else found
    return _known(_without(found, "role"))


def _known(found: JsonObject) -> JsonObject:
    """Leave out a price that is not known, and what is known of the training where that is nothing."""
    identity = found["identity"]
    if identity is not None and identity["training"] is None:
        del identity["training"]
    return _without(found, "price") if found["price"] is None else found


def _without(found: JsonObject, name: str) -> JsonObject:
    del found[name]
    return found


def run_info_from_json(found: object) -> RunInfo:
    """Read what `run_info_to_json` gave, and what a later version adds to it; what is missing is empty.

    Raises:
        ValueError: it is something else; the message names what of it.
    """
    block = _read(_Block, found)
    options = dict(block.options)
    judge = _judge_in(options)
    return RunInfo(
        judge=judge,
        models=tuple(
            ModelInfo(role=role, **{part: getattr(model, part) for part in _ModelOfRole.__slots__})
            for role, model in block.models.items()
        ),
        suites=tuple(
            SuiteInfo(suite=name, **{part: getattr(suite, part) for part in _NamedSuite.__slots__})
            for name, suite in block.suites.items()
        ),
        options=options,
        prompts={digest: prompt_from_json(prompt) for digest, prompt in block.prompts.items()},
        expected=block.expected,
        broken=block.broken,
        collected=block.collected,
        stop_plans=block.stop_plans,
        judge_check=block.judge_check,
        embedding=block.embedding,
    )


def _judge_in(options: JsonObject) -> JudgeInfo | None:
    """Take the judge out of the options; None where there is none, or one that only a grader of another package knows.

    Raises:
        ValueError: it is a judge of ours with a field it cannot have.
    """
    found = options.get("judge")
    if not isinstance(found, dict) or "suites" not in found:
        return None
    del options["judge"]
    try:
        return _read(JudgeInfo, found)
    except ValueError as fault:
        raise ValueError(f"of the judge, {fault}") from None

"""The JSON of records and runs, both ways.

They live in pytest-benchmark's own JSON: a record in `extra_info["llmbench"]` of its benchmark, the rest in a
top-level `llmbench` block (docs/json.md).  What is written is strict JSON: NaN and infinity are null in it.
Readers pass over fields that they do not know, and need none that has a default.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.models.base import Identity, ReplicaInfo
from pytest_llmbench.results.json_values import PLAIN, strict_json
from pytest_llmbench.results.prompt_json import WrittenPrompt, prompt_from_json, prompt_to_json
from pytest_llmbench.results.records import (
    Collected,
    JudgeCheck,
    JudgeInfo,
    Machine,
    ModelInfo,
    Record,
    Run,
    RunInfo,
    Sample,
    SuiteInfo,
    TokenPrice,
)
from pytest_llmbench.results.stops import StopPlan, incomplete_from_json, stops_from_json
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
    }
    return {name: strict_json(value) for name, value in found.items()}


def _suite_to_json(suite: SuiteInfo) -> JsonObject:
    found = _without(asdict(suite), "suite")
    found = _without(found, "gate") if suite.gate is GateKind.STATISTICAL else found
    for name in ("cases", "n_cases", "split", "source", "embedders", "budget", "grader_settings"):
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


# -- a file


def read_run_file(path: Path) -> JsonObject:
    """Read a benchmark JSON that has our block.

    Raises:
        RunFileFault: it cannot be read, is no benchmark JSON, has no block of ours or a newer one.
    """
    return checked_run_object(path, _load(path))


def checked_run_object(path: Path, found: Any) -> JsonObject:
    """Check what was read of a file as `read_run_file` does."""
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), list):
        raise RunFileFault(f"{path}: this is not a benchmark JSON; write one with pytest --benchmark-json.")
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


def _load(path: Path) -> Any:
    try:
        # other programs write NaN into JSON; here it counts as null
        return json.loads(path.read_bytes(), parse_constant=lambda _: None)
    except FileNotFoundError:
        raise RunFileFault(f"{path}: there is no such file; write one with pytest --benchmark-json={path}.") from None
    except OSError as fault:
        raise RunFileFault(f"{path}: this file cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise RunFileFault(f"{path}: this is not a benchmark JSON: it is not UTF-8.") from None
    except json.JSONDecodeError as fault:
        message = f"{path}:{fault.lineno}: this is not JSON, or it was cut off: {fault.msg}."
        raise RunFileFault(message) from None
    except ValueError as fault:
        raise RunFileFault(f"{path}: this is not a benchmark JSON: {fault}.") from None
    except RecursionError:
        raise RunFileFault(f"{path}: this is not a benchmark JSON: it is nested too deep.") from None


def read_run(path: Path) -> Run:
    """Read a run back from its benchmark JSON.

    Raises:
        RunFileFault: see `read_run_file`; or a record in it is broken.
    """
    return _run_from_json(path, read_run_file(path))


def _run_from_json(path: Path, found: JsonObject) -> Run:
    block = found["llmbench"]
    records = []
    for entry in record_objects(found):
        try:
            records.append(record_from_json(entry))
        except ValueError as fault:
            case = entry.get("case") if isinstance(entry, dict) else None
            which = f'the record of case "{case}"' if case is not None else "a record"
            raise RunFileFault(f"{path}: {which} is broken: {fault}.") from None
    once, twins = _apart(records)
    try:
        facts = run_info_from_json(block)
        stops = stops_from_json(block.get("gate"), _cases(once))
    except ValueError as fault:
        raise RunFileFault(f"{path}: the llmbench block is broken: {fault}.") from None
    commit = found.get("commit_info")
    return Run(
        records=once,
        twins=twins,
        facts=replace(facts, stop_plans=tuple(stop.plan for stop in stops)),
        stops=stops,
        incomplete=incomplete_from_json(block.get("incomplete")),
        datetime=str(found.get("datetime", "")),
        commit=str(commit.get("id", "")) if isinstance(commit, dict) else "",
        machine=machine_from_json(found.get("machine_info")),
        stopped=str(block["stopped"]) if block.get("stopped") else None,
    )


def _cases(records: Sequence[Record]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        found.setdefault((record.suite, record.role), []).append(record.case)
    return found


def _apart(records: Sequence[Record]) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """Take the twins out; those of files that did not mark them are all but the first of a case under a role."""
    once: dict[tuple[str, str, str], Record] = {}
    twins: list[Record] = []
    for record in records:
        key = (record.suite, record.case, record.role)
        if record.twin_of is not None or key in once:
            twins.append(record)
        else:
            once[key] = record
    return tuple(once.values()), tuple(twins)


def with_pooled(newest: JsonObject, older: Sequence[JsonObject]) -> JsonObject:
    """Put further runs of one model, as read from their files, into the block of the newest, without the text twice.

    Runs that stand in the others' blocks come along.
    """
    runs = [found for run in older for found in (_without_pooled(run), *_pooled_objects(run))]
    own = _pooled_objects(newest)
    return {**newest, "llmbench": {**newest["llmbench"], "pooled": [*own, *runs]}}


def _without_pooled(found: JsonObject) -> JsonObject:
    return {**found, "llmbench": {name: value for name, value in found["llmbench"].items() if name != "pooled"}}


def _pooled_objects(found: JsonObject) -> list[JsonObject]:
    pooled = found["llmbench"].get("pooled")
    return list(pooled) if isinstance(pooled, list) else []


def read_pooled(path: Path) -> tuple[Run, ...]:
    """Read the further runs that `llmbench accept` put into a baseline.

    Raises:
        RunFileFault: see `read_run`.
    """
    return tuple(
        _run_from_json(path, checked_run_object(path, found)) for found in _pooled_objects(read_run_file(path))
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


def record_objects(found: JsonObject) -> Iterator[Any]:
    """Give the records of a file as they stand in it, those without a latency last."""
    for benchmark in found["benchmarks"]:
        extra_info = benchmark.get("extra_info") if isinstance(benchmark, dict) else None
        record = extra_info.get("llmbench") if isinstance(extra_info, dict) else None
        if record is not None:
            yield record
    unmeasured = found["llmbench"].get("unmeasured")
    yield from unmeasured if isinstance(unmeasured, list) else ()

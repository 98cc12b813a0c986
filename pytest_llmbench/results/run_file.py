"""The file of a run: a benchmark JSON with our records and block in it, and the further runs in a baseline's."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.results.records import Machine, Record, Run
from pytest_llmbench.results.run_json import JsonObject, record_from_json, run_info_from_json
from pytest_llmbench.results.run_lines import read_run_lines
from pytest_llmbench.results.run_object import checked_run_object
from pytest_llmbench.results.stops import incomplete_from_json, stops_from_json


def read_run(path: Path) -> Run:
    """Read a run back from its benchmark JSON; what is not of its records is never in memory as a whole.

    Raises:
        RunFileFault: see `read_run_file`; or a record in it is broken.
    """
    lines = read_run_lines(path)
    return _run_from_json(path, lines.head, _records(lines.entries(), lines.head))


def _run_from_json(path: Path, found: JsonObject, entries: Iterable[Any]) -> Run:
    block = found["llmbench"]
    records = []
    for entry in entries:
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
    pooled = _pooled_objects(read_run_lines(path).head)
    return tuple(_run_from_json(path, found, record_objects(checked_run_object(path, found))) for found in pooled)


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
    return _records(found["benchmarks"], found)


def _records(benchmarks: Iterable[Any], found: JsonObject) -> Iterator[Any]:
    for benchmark in benchmarks:
        extra_info = benchmark.get("extra_info") if isinstance(benchmark, dict) else None
        record = extra_info.get("llmbench") if isinstance(extra_info, dict) else None
        if record is not None:
            yield record
    unmeasured = found["llmbench"].get("unmeasured")
    yield from unmeasured if isinstance(unmeasured, list) else ()

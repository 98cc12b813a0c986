"""Which run files are the shards of one whole run, and what becomes of the facts in their blocks. Pure functions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.models.base import Identity, ReplicaInfo
from pytest_llmbench.models.identities import OF_MACHINE, SEVERAL, identity_differences, joined_identity
from pytest_llmbench.results.identity import embedder_differences
from pytest_llmbench.results.merged_info import merged_run_info
from pytest_llmbench.results.records import JudgeInfo, ModelInfo, RunInfo, SuiteInfo
from pytest_llmbench.results.run_file import machine_from_json
from pytest_llmbench.results.run_json import JsonObject, run_info_from_json
from pytest_llmbench.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardHead:
    """What a shard's file holds beside its records; `block` is the one of its `head`, from which `facts` were read."""

    path: Path
    index: int
    of: int
    facts: RunInfo
    block: JsonObject
    head: JsonObject


def shard_head(path: Path, head: JsonObject) -> ShardHead:
    """Read the head of a shard.

    Args:
        path: of the file.
        head: all of it but benchmarks, prompts and unmeasured records.

    Raises:
        RunFileFault: its block is broken.
        UsageFault: it is no shard, or its run did not come to its end.
    """
    block = head["llmbench"]
    try:
        facts = run_info_from_json(block)
    except ValueError as fault:
        raise RunFileFault(f"{path}: the llmbench block is broken: {fault}.") from None
    shard = facts.options.get("shard")
    place = (shard.get("index"), shard.get("of")) if isinstance(shard, dict) else (None, None)
    if not all(isinstance(number, int) for number in place):
        raise UsageFault(f"{path}: this is no shard of a run; only runs with --llm-shard I/N can be merged.")
    for key in ("stopped", "incomplete"):
        if block.get(key):
            raise UsageFault(
                f"{path}: this run is not whole ({block[key]}); run that shard again, its answer store has what came."
            )
    index, of = place
    return ShardHead(path=path, index=index, of=of, facts=facts, block=block, head=head)  # type: ignore[arg-type]


def check_whole(shards: Sequence[ShardHead]) -> None:
    """Check that the shards are all of one run, each once.

    Raises:
        UsageFault: one is missing or there twice, or two are of different numbers of shards.
    """
    first = shards[0]
    for other in shards:
        if other.of != first.of:
            raise UsageFault(
                f"{first.path} is shard {first.index} of {first.of}, {other.path} shard {other.index} of {other.of}; "
                "merge the shards of one run."
            )
    by_index: dict[int, ShardHead] = {}
    for shard in shards:
        if shard.index in by_index:
            raise UsageFault(
                f"{by_index[shard.index].path} and {shard.path} are both shard {shard.index} of {shard.of}; name each "
                "shard once."
            )
        by_index[shard.index] = shard
    missing = [str(index) for index in range(1, first.of + 1) if index not in by_index]
    if missing:
        named = ", ".join(str(shard.path) for shard in shards)
        raise UsageFault(f"{named}: shard {', '.join(missing)} of {first.of} is missing; merge all shards of the run.")


def check_alike(shards: Sequence[ShardHead]) -> None:
    """Check that the shards put one question to one model.

    Raises:
        UsageFault: two differ; both files are named.
    """
    for earlier, shard in combinations(shards, 2):
        difference = next(_differences(earlier, shard), None)
        if difference is not None:
            raise UsageFault(f"{earlier.path} and {shard.path} are not of one run: {difference}.")


def _differences(one: ShardHead, other: ShardHead) -> Iterator[str]:
    if one.block["schema"] != other.block["schema"]:
        yield f"schema {one.block['schema']} and {other.block['schema']}; rewrite them with llmbench migrate"
    for key in sorted(_options(one).keys() | _options(other).keys()):
        if _options(one).get(key) != _options(other).get(key):
            yield f"the option {key} differs ({_options(one).get(key)} and {_options(other).get(key)})"
    searched = one.facts.collected, other.facts.collected
    if None not in searched and _searched(one) != _searched(other):
        yield f"the one searched {_searched(one)}, the other {_searched(other)}"
    yield from _model_differences(one.facts.models, other.facts.models)
    suites = {suite.suite: suite for suite in one.facts.suites}
    for suite in other.facts.suites:
        if suite.suite in suites and _question(suite) != _question(suites[suite.suite]):
            yield f'the suite "{suite.suite}" or its grader differs'
        elif parts := embedder_differences(suites.get(suite.suite), suite):
            yield f'the embedder of the suite "{suite.suite}" differs ({"; ".join(parts)})'
    if not _is_same_judge(one.facts.judge, other.facts.judge):
        yield "the judge differs"


def _searched(shard: ShardHead) -> str:
    found = shard.facts.collected
    return "" if found is None else f"{', '.join(found.paths)} with the suites {', '.join(sorted(found.suites))}"


def _options(shard: ShardHead) -> Mapping[str, Json]:
    return {key: value for key, value in shard.facts.options.items() if key != "shard"}


def _question(suite: SuiteInfo) -> SuiteInfo:
    return replace(suite, path="", embedders=None)


def _model_differences(one: Sequence[ModelInfo], other: Sequence[ModelInfo]) -> Iterator[str]:
    was, now = ({model.role: model for model in models} for models in (one, other))
    if was and now and was.keys() != now.keys():
        yield f"the models are {', '.join(sorted(was))} and {', '.join(sorted(now))}"
    for role in was.keys() & now.keys():
        old, new = was[role], now[role]
        if old.model != new.model:
            yield f'the model "{role}" is {old.model} and {new.model}'
        parts = [part for part in identity_differences(old.identity, new.identity) if part not in OF_MACHINE]
        if parts:
            yield f'the model "{role}" differs in {", ".join(parts)}'
        for suite in old.sampling.keys() & new.sampling.keys():
            if old.sampling[suite] != new.sampling[suite]:
                yield f'the model "{role}" was asked with another sampling in "{suite}"'


def _is_same_judge(one: JudgeInfo | None, other: JudgeInfo | None) -> bool:
    if one is None or other is None:
        return one is other
    if one.model != other.model:
        return False
    if any(one.suites[suite] != other.suites[suite] for suite in one.suites.keys() & other.suites.keys()):
        return False
    if one.identity is None or other.identity is None:
        return True
    return all(part in OF_MACHINE for part in identity_differences(one.identity, other.identity))


def merged_facts(shards: Sequence[ShardHead]) -> RunInfo:
    """Put the facts of the shards together: those of the whole run, with `options.merged` in place of the shard."""
    facts = merged_run_info([shard.facts for shard in shards])
    identities: dict[str, list[Identity]] = {}
    for model in (model for shard in shards for model in shard.facts.models):
        identities.setdefault(model.role, []).append(model.identity)
    models = tuple(
        replace(model, identity=joined_identity(identities[model.role]), replicas=_all_replicas(shards, model.role))
        for model in facts.models
    )
    options = {**_options(shards[0]), "merged": len(shards)}
    return replace(facts, models=models, options=options)


def _all_replicas(shards: Sequence[ShardHead], role: str) -> tuple[ReplicaInfo, ...] | None:
    models = (model for shard in shards for model in shard.facts.models if model.role == role)
    found = [model.replicas for model in models if model.replicas is not None]
    return tuple(replica for replicas in found for replica in replicas) if found else None


def merged_totals(shards: Sequence[ShardHead]) -> dict[str, int]:
    """Add the totals of the shards up."""
    totals: Counter[str] = Counter()
    for shard in shards:
        found = shard.block.get("totals")
        totals.update({key: n for key, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {})
    return dict(totals)


def merged_machine(shards: Sequence[ShardHead]) -> JsonObject:
    """Give the machine of the shards: the first one's, with the processors of all where these differ."""
    infos = [shard.head.get("machine_info") for shard in shards]
    machine: JsonObject = dict(infos[0]) if isinstance(infos[0], dict) else {}
    names = kinds_of_machine(shards)
    if len(names) > 1:
        cpu = machine.get("cpu")
        machine["cpu"] = {**(cpu if isinstance(cpu, dict) else {}), "brand_raw": SEVERAL.join(names)}
    return machine


def kinds_of_machine(shards: Sequence[ShardHead]) -> list[str]:
    """Name the kinds of machine that the shards were run on, by processor and system."""
    found = (machine_from_json(shard.head.get("machine_info")) for shard in shards)
    return sorted(
        {
            f"{machine.cpu or machine.architecture} x{machine.cpu_count} {machine.system}"
            for machine in found
            if machine is not None
        }
    )


def remarks(shards: Sequence[ShardHead]) -> Iterator[str]:
    """Describe in what the shards differ without harm, and how many records a selection left out."""
    records, planned = merged_totals(shards).get("records", 0), _planned_records(shards)
    if planned is not None and records < planned:
        yield f"the shards hold {records} of {planned} records; -k, -m or the like left the others out"
    kinds = kinds_of_machine(shards)
    if len(kinds) > 1:
        yield f"the shards were run on {len(kinds)} kinds of machine; their latency cannot be gated: {'; '.join(kinds)}"
    commits = {str(_commit(shard)) for shard in shards}
    if len(commits) > 1:
        yield f"the shards are of {len(commits)} commits; that of {shards[0].path} is kept"
    days = sorted({str(shard.head.get("datetime", ""))[:10] for shard in shards})
    if len(days) > 1:
        yield f"the shards were run between {days[0]} and {days[-1]}; the earliest date is kept"


def _planned_records(shards: Sequence[ShardHead]) -> int | None:
    """Count the records of all cases of the suites; None where one side was run, or a suite's size is not recorded."""
    facts = merged_run_info([shard.facts for shard in shards])
    limit = facts.options.get("limit")
    sizes = [suite.n_cases for suite in facts.suites]
    if "split" in facts.options or None in sizes:
        return None
    most = [size if not isinstance(limit, int) else min(size, limit) for size in sizes if size is not None]
    return sum(most) * len(facts.models)


def _commit(shard: ShardHead) -> Any:
    info = shard.head.get("commit_info")
    return info.get("id") if isinstance(info, dict) else None

"""The shards of a run, written as the one run they are parts of.

Their records are copied a line at a time, so that memory does not grow with them: what is kept of a record is a
digest of its case.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from heapq import merge
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.results.run_json import JsonObject, run_info_to_json
from pytest_llmbench.results.run_lines import Benchmark, RunLines, read_run_lines
from pytest_llmbench.results.shards import (
    ShardHead,
    check_alike,
    check_whole,
    merged_facts,
    merged_machine,
    merged_totals,
    remarks,
    shard_head,
)

_LARGE = ("unmeasured", "prompts", "expected")
"""Parts of a block that grow with the number of cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """How many records the run has, and what people should know of the shards."""

    records: int
    remarks: tuple[str, ...]


def merge_shards(paths: Sequence[Path], target: Path) -> Merged:
    """Write the run that the shards are parts of; whole or not at all.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: they are not the shards of one run, or the run cannot be written.
    """
    with ExitStack() as stack:
        parts = [_read(path, stack) for path in paths]
        check_whole([part.head for part in parts])
        parts.sort(key=lambda part: part.head.index)
        heads = [part.head for part in parts]
        check_alike(heads)
        draft = target.with_name(f".{target.name}.draft")
        try:
            try:
                with draft.open("w", encoding="ascii") as file:
                    _write(file, parts)
                os.replace(draft, target)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as fault:
            raise UsageFault(f"{target}: cannot be written: {fault.strerror}.") from None
        return Merged(records=merged_totals(heads).get("records", 0), remarks=tuple(remarks(heads)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A shard: its head, its benchmarks where they are, and what is large of its block in files without a name."""

    head: ShardHead
    lines: RunLines
    spools: dict[str, IO[str]]

    def spooled(self, name: str) -> Iterator[str]:
        """Give the lines of a part of the block."""
        self.spools[name].seek(0)
        return (line.rstrip("\n") for line in self.spools[name])


def _read(path: Path, stack: ExitStack) -> _Part:
    lines = read_run_lines(path)
    block = lines.head["llmbench"]
    large = {name: block.pop(name, None) for name in _LARGE}
    spools: dict[str, IO[str]] = {}
    for name in _LARGE:
        found = large[name]
        file = spools[name] = stack.enter_context(_spool())
        if isinstance(found, dict):
            file.writelines(f"{json.dumps(key)}: {json.dumps(value)}\n" for key, value in found.items())
        elif isinstance(found, list):
            file.writelines(f"{json.dumps(record)}\n" for record in found)
    return _Part(head=shard_head(path, lines.head), lines=lines, spools=spools)


def _spool() -> AbstractContextManager[IO[str]]:
    return TemporaryFile("w+", encoding="ascii")


def _write(file: IO[str], parts: Sequence[_Part]) -> None:
    heads = [part.head for part in parts]
    cases = _Cases()
    first = heads[0].head
    file.write(f'{{\n"machine_info": {json.dumps(merged_machine(heads))}\n,')
    file.write(f'\n"commit_info": {json.dumps(first.get("commit_info"))}\n,\n"benchmarks": [\n')
    _write_all(file, _benchmarks(parts, cases), ",\n")
    date = min(str(head.head.get("datetime", "")) for head in heads)
    file.write(f'\n],\n"datetime": {json.dumps(date)},\n"version": {json.dumps(first.get("version"))},\n"llmbench": ')
    _write_block(file, parts, cases)
    file.write("\n}\n")


def _write_block(file: IO[str], parts: Sequence[_Part], cases: "_Cases") -> None:
    """Write the block, in the order in which a run writes its own."""
    heads = [part.head for part in parts]
    facts = run_info_to_json(merged_facts(heads))
    own = {"schema", *_LARGE, *facts, "totals", "gate", "over_budget"}
    others = {key: value for head in reversed(heads) for key, value in head.block.items() if key not in own}
    file.write(f'{{"schema": {heads[0].block["schema"]}, "unmeasured": [')
    _write_all(file, _unmeasured(parts, cases), ", ")
    file.write("]")
    for name, value in {**facts, "totals": merged_totals(heads), "gate": None, **others}.items():
        file.write(f", {json.dumps(name)}: ")
        if name in _LARGE:
            file.write("{")
            _write_all(file, _once(line for part in parts for line in part.spooled(name)), ", ")
            file.write("}")
        else:
            file.write(json.dumps(value))
    file.write("}")


def _write_all(file: IO[str], texts: Iterable[str], between: str) -> None:
    separator = ""
    for text in texts:
        file.write(f"{separator}{text}")
        separator = between


def _benchmarks(parts: Sequence[_Part], cases: "_Cases") -> Iterator[str]:
    """Give the benchmarks of all shards by name; those that are no cases were run in each, and are the first one's."""

    def keyed(part: _Part) -> Iterator[tuple[str, int, Benchmark]]:
        return ((one.fullname, part.head.index, one) for one in part.lines.benchmarks())

    by_index = {part.head.index: part.head for part in parts}
    for _, index, benchmark in merge(*map(keyed, parts), key=lambda found: found[:2]):
        if benchmark.record is not None:
            cases.add(by_index[index], benchmark.record)
            yield benchmark.text
        elif index == 1:
            yield benchmark.text


def _unmeasured(parts: Sequence[_Part], cases: "_Cases") -> Iterator[str]:
    """Give the records without a latency in the order of a run: by suite, case and role, twins last."""

    def keyed(part: _Part) -> Iterator[tuple[tuple[bool, str, str, str], int, Any]]:
        records = map(json.loads, part.spooled("unmeasured"))
        return ((_place_of(record, part.head.path), part.head.index, record) for record in records)

    by_index = {part.head.index: part.head for part in parts}
    for _, index, record in merge(*map(keyed, parts), key=lambda found: found[:2]):
        cases.add(by_index[index], record)
        yield json.dumps(record)


def _place_of(record: Any, path: Path) -> tuple[bool, str, str, str]:
    try:
        return "twin_of" in record, str(record["suite"]), str(record["case"]), str(record["role"])
    except (KeyError, TypeError):
        raise RunFileFault(f"{path}: a record has no suite, case or role.") from None


def _once(lines: Iterable[str]) -> Iterator[str]:
    """Leave out what was there before; a line begins with its key, which is a digest of the rest."""
    seen = set()
    for line in lines:
        key = line.partition(":")[0]
        digest = blake2b(key.encode(), digest_size=16).digest()
        if digest not in seen:
            seen.add(digest)
            yield line


class _Cases:
    """The cases written so far, by digest, with the shard of each."""

    def __init__(self) -> None:
        self._shards: dict[bytes, ShardHead] = {}

    def add(self, shard: ShardHead, record: JsonObject) -> None:
        """Add a record; a case may be in one shard again, as a twin.

        Raises:
            UsageFault: another shard has the case.
            RunFileFault: it is no record.
        """
        _, *key = _place_of(record, shard.path)
        digest = blake2b("\0".join(key).encode(), digest_size=16).digest()
        other = self._shards.setdefault(digest, shard)
        if other is not shard:
            suite, case, role = key
            raise UsageFault(
                f'{other.path} and {shard.path} both have the case "{case}" of "{suite}" under "{role}"; they are not '
                "shards of one run."
            )

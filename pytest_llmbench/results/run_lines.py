"""A benchmark JSON read a line at a time: what is large in it is never in memory as a whole.

`--benchmark-json` writes one line for each benchmark (see `plugin/internals/benchmark.py`). A file laid out
otherwise, as those of `--benchmark-save`, is read whole.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.results.run_json import JsonObject
from pytest_llmbench.results.run_object import checked_run_object, read_run_file

_LIST = b'"benchmarks": ['
_AT_ONCE = 500
"""So many benchmarks are read together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark of a file: its full name, by which files are sorted, and its text as it stands there.

    `record` is None for a benchmark of somebody else's.
    """

    fullname: str
    record: JsonObject | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLines:
    """A run file: `head` is all of it but the benchmarks, which are read when they are wanted."""

    path: Path
    head: JsonObject
    _whole: tuple[JsonObject, ...] | None = field(default=None, repr=False)

    def benchmarks(self) -> Iterator[Benchmark]:
        """Give the benchmarks, in the order of their names as a run is written.

        Raises:
            RunFileFault: one is broken.
        """
        if self._whole is not None:
            found = sorted(self._whole, key=lambda entry: str(entry.get("fullname")))
            yield from (_benchmark(self.path, entry, json.dumps(entry)) for entry in found)
            return
        for number, text in enumerate(self._texts(), 1):
            try:
                entry = json.loads(text, parse_constant=lambda _: None)
            except ValueError as fault:
                raise RunFileFault(f"{self.path}: benchmark {number} is not JSON: {fault}.") from None
            except RecursionError:
                raise RunFileFault(f"{self.path}: benchmark {number} is nested too deep.") from None
            yield _benchmark(self.path, entry, text.decode("ascii", errors="replace"))

    def entries(self) -> Iterator[Any]:
        """Give the benchmarks as they stand in the file, in its order.

        Raises:
            RunFileFault: see `read_run_file`.
        """
        if self._whole is not None:
            yield from self._whole
            return
        texts = self._texts()
        while part := list(islice(texts, _AT_ONCE)):
            try:
                # together, so that equal keys are one text
                yield from json.loads(b"[%b]" % b",".join(part), parse_constant=lambda _: None)
            except (ValueError, RecursionError):
                read_run_file(self.path)  # finds out what is wrong, and where
                raise

    def _texts(self) -> Iterator[bytes]:
        """Give the lines of the benchmarks, without what separates them."""
        with self.path.open("rb") as file:
            for line in file:
                if line.rstrip() == _LIST:
                    break
            for line in file:
                text = line.rstrip(b"\n").removesuffix(b",")
                if text in (b"]", b""):
                    return
                yield text


def _benchmark(path: Path, entry: Any, text: str) -> Benchmark:
    if not isinstance(entry, dict) or not isinstance(entry.get("fullname"), str):
        raise RunFileFault(f"{path}: a benchmark has no name; this is not a benchmark JSON.")
    extra_info = entry.get("extra_info")
    record = extra_info.get("llmbench") if isinstance(extra_info, dict) else None
    return Benchmark(fullname=entry["fullname"], record=record, text=text)


def read_run_lines(path: Path) -> RunLines:
    """Read the head of a run file, and leave its benchmarks where they are.

    Raises:
        RunFileFault: see `read_run_file`.
    """
    try:
        head = _head(path)
    except (OSError, ValueError, RecursionError):
        head = None
    if head is None:
        found = read_run_file(path)  # finds out what is wrong with it, too
        benchmarks = found.pop("benchmarks")
        return RunLines(path=path, head=found, _whole=tuple(benchmarks))
    checked_run_object(path, head)
    del head["benchmarks"]
    return RunLines(path=path, head=head)


def _head(path: Path) -> JsonObject | None:
    """Read all but the benchmarks; None for a file that is laid out otherwise."""
    with path.open("rb") as file:
        if file.readline().rstrip() != b"{":
            return None
        kept = [b"{"]
        is_listed, has_list = False, False
        for line in file:
            if not is_listed:
                has_list |= (is_listed := line.rstrip() == _LIST)
                kept.append(b'"benchmarks": []' if is_listed else line)
            elif line[:1] == b"]":
                is_listed = False
                kept.append(line[1:])
            elif line[:1] != b"{":
                return None
    head = json.loads(b"".join(kept), parse_constant=lambda _: None) if has_list else None
    return head if isinstance(head, dict) else None

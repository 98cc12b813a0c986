"""All knowledge of pytest-benchmark's insides (5.3).

Latencies are measured where a model is called and given to pytest-benchmark as the rounds of benchmarks, so that its
table, files and comparisons work on them.  Used here and not documented there: `config._benchmarksession`, its
`benchmarks`, `groups`, `options`, `logger`, `storage` with its `save`, `get_machine_info` and `save_json`, the
constructors of `BenchmarkFixture` and `Metadata`, the `update` and `options` of the latter, and the defaults of the
options that lay its table out.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llmbench.results.records import Machine, Record, Run
from pytest_llmbench.results.run_file import machine_from_json
from pytest_llmbench.results.run_json import block_to_json, record_to_json


def llmbench_replay() -> float:
    """Stand where a benchmark has its timer, which is named in its JSON as `options.timer`: the time was measured."""
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Replayed:
    """What pytest-benchmark reads of the fixture that made a benchmark."""

    name: str
    fullname: str
    group: str
    param: str
    params: dict[str, str]
    extra_info: dict[str, Any]
    cprofile_stats: None = None
    has_error: bool = False


class _Nothing:
    """Stands in the list of benchmarks when every record is unmeasured: else pytest-benchmark writes no file."""

    has_error = True

    def __bool__(self) -> bool:
        return False


_OF_THE_TABLE = {"sort": "min", "group_by": "group", "name": "normal"}
"""Options of pytest-benchmark's table that have a default."""

_FOR_THE_TABLE = ("columns", "time_unit", "histogram", "compare", "compare_fail", "verbose")
"""Options of pytest-benchmark that are unset, and for which it writes the table, or does something along with it."""


class Benchmarks:
    """Puts records into a pytest-benchmark session.

    Args:
        config: of the process that writes (under xdist the controller).
    """

    def __init__(self, config: pytest.Config):
        self._config = config
        self._session: Any = config._benchmarksession  # type: ignore[attr-defined]
        # what it writes is indented by an encoder in Python, which takes as long as two tests in ten, and much memory
        self._session.save_json = self._save_json
        self._save = self._session.storage.save
        self._session.storage.save = self._save_in_storage
        self.written: Path | None = None
        """The benchmark JSON, once it is written."""
        self.lost: str | None = None
        """Why it could not be written."""
        # not the session's own `disabled`, which xdist sets too
        self._is_disabled = bool(config.getoption("benchmark_disable") and not config.getoption("benchmark_enable"))

    @staticmethod
    def check_options(config: pytest.Config) -> None:
        """Refuse at once what pytest-benchmark would only find out at the end.

        Raises:
            pytest.UsageError: `--benchmark-json` names a file that cannot be written, as in a folder that is not there.
        """
        target = config.getoption("benchmark_json", None)
        if target is None:
            return
        file = Path(target).absolute()
        if not file.parent.is_dir():
            raise pytest.UsageError(f"--benchmark-json={target}: there is no folder {file.parent}; create it first.")
        if file.is_dir():
            raise pytest.UsageError(f"--benchmark-json={target}: this is a folder; name a file in it.")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise pytest.UsageError(
                f"--benchmark-json={target}: it cannot be written, its rights forbid it; name another file."
            )

    def finish_marks(self, functions: Sequence[pytest.Item]) -> None:
        """Have `--benchmark-only` keep the tests of cases and `--benchmark-skip` leave them out, as with any benchmark.

        They use no `benchmark` fixture, by which pytest-benchmark would know them.
        """
        for function in functions:
            if self._session.only:
                function.own_markers[:] = [mark for mark in function.own_markers if not _is_skip_of_others(mark)]
            elif self._session.skip:
                function.add_marker(pytest.mark.skip(reason="Skipping benchmark (--benchmark-skip active)."))

    def replay(self, record: Record, *, name: str, nodeid: str) -> None:
        """Record the latencies of a record as the rounds of one benchmark; nothing if it has none."""
        latencies = record.latencies_s
        if not latencies or self._is_disabled:
            return
        # not by `pedantic` of a fixture each, which takes longer than all else of a record
        replayed = _Replayed(
            name=name,
            fullname=nodeid,
            group=record.suite,
            param=f"{record.case}-{record.role}",
            params={"case": record.case, "model": record.model},
            extra_info={"llmbench": record_to_json(record)},
        )
        benchmark = self._metadata(replayed, iterations=1, options=self._options)
        for latency_s in latencies:
            benchmark.update(latency_s)
        self._session.benchmarks.append(benchmark)

    @cached_property
    def _metadata(self) -> Any:
        from pytest_benchmark.stats import Metadata

        return Metadata

    @cached_property
    def _options(self) -> dict[str, Any]:
        """The options of a benchmark, as its JSON has them; all of ours have the same."""
        from pytest_benchmark.fixture import BenchmarkFixture

        found: list[Any] = []
        options = {**self._session.options, "timer": SimpleNamespace(target=llmbench_replay), "cprofile": None}
        node = SimpleNamespace(name="", nodeid="", _nodeid="")  # the last is what 5.3.0 reads
        # xdist and --benchmark-disable switch measuring off; what is replayed has been measured
        fixture = BenchmarkFixture(
            node, add_stats=found.append, logger=self._session.logger, warner=None, disabled=False, **options
        )
        fixture.pedantic(_nothing)
        return dict(found[0].options)

    def _save_json(self, output_json: dict[str, Any]) -> None:
        """Write `--benchmark-json` as pytest-benchmark would, but a line for each benchmark."""
        try:
            with Path(self._session.json).open("w", encoding="ascii") as file:
                file.writelines(_lines(output_json))
        except OSError as fault:
            self.lost = f"{self._session.json}: the run could not be written: {fault.strerror}"
        else:
            self.written = Path(self._session.json)

    def _save_in_storage(self, output_json: dict[str, Any], name: str) -> None:
        """Save the run as pytest-benchmark does; a storage that cannot be written is no traceback."""
        try:
            self._save(output_json, name)
        except OSError as fault:
            self.lost = f"{self._session.storage}: the run could not be saved: {fault.strerror}"

    def clear_table(self) -> None:
        """Leave the records out of pytest-benchmark's table, a line a case, unless the user asks for it.

        The benchmarks of other tests stay in it.
        """
        if self._is_table_wanted:
            return
        groups = self._session.groups or ()
        of_others = [
            (name, [bench for bench in group if "llmbench" not in bench["extra_info"]]) for name, group in groups
        ]
        self._session.groups = [(name, group) for name, group in of_others if group]

    @property
    def _is_table_wanted(self) -> bool:
        given = {name: self._config.getoption(f"benchmark_{name}") for name in (*_OF_THE_TABLE, *_FOR_THE_TABLE)}
        return (
            self._config.get_verbosity() > 0
            or any(given[name] != usual for name, usual in _OF_THE_TABLE.items())
            or any(given[name] for name in _FOR_THE_TABLE)
        )

    @property
    def machine(self) -> Machine | None:
        """What this run is made on, as in its file."""
        return machine_from_json(self._session.get_machine_info())

    @property
    def commit(self) -> str:
        """The commit this run is made on, as in its file; empty where there is none."""
        found = self._config.hook.pytest_benchmark_generate_commit_info(config=self._config)
        return str(found.get("id") or "") if isinstance(found, dict) else ""

    @property
    def storage_folder(self) -> Path | None:
        """Where saved runs are; None where they are in no files."""
        folder = getattr(self._session.storage, "path", None)
        return folder if isinstance(folder, Path) else None

    def make_sure_a_file_is_written(self) -> None:
        """Have a requested file written even if no record has a latency."""
        if not self._session.benchmarks and not self._is_disabled:
            self._session.benchmarks.append(_Nothing())

    def expect_no_file(self) -> None:
        """Keep pytest-benchmark from reporting a file that a usage error keeps from being written."""
        self._session.json = self._session.save = self._session.autosave = None


def add_block(output_json: dict[str, Any], run: Run) -> None:
    """Put the top-level block into a benchmark JSON about to be written, and its records in a steady order."""
    output_json["llmbench"] = block_to_json(run)
    output_json["benchmarks"].sort(key=lambda benchmark: benchmark["fullname"])


def _lines(output_json: dict[str, Any]) -> Iterator[str]:
    """Give the lines of a benchmark JSON: an entry of the top level each, and each entry of a list there."""
    from pytest_benchmark.utils import safe_dumps

    opening = "{"
    for name, value in output_json.items():
        yield f"{opening}\n{safe_dumps(name)}: "
        if isinstance(value, list) and value:
            yield from (
                f"{mark}\n{safe_dumps(entry)}" for mark, entry in zip(chain("[", repeat(",")), value, strict=False)
            )
            yield "\n]"
        else:
            yield str(safe_dumps(value))
        opening = ","
    yield "\n}\n"


def _is_skip_of_others(mark: pytest.Mark) -> bool:
    return mark.name == "skip" and str(mark.kwargs.get("reason", "")).startswith("Skipping non-benchmark")


def _nothing() -> None:
    """Be what a benchmark runs that only shows its options."""

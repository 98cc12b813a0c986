"""What references do on instances, remembered between runs.

A suite's references are tried whenever it is collected, in several orders of the rows, which takes some
milliseconds each and would be paid by every run and every xdist worker.  What comes out depends on nothing but the
query, the instances' files, which are named after their content, and the code of this room; so it is kept
beside those files.  Faults are not kept: running out of time depends on more.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_llmbench.sql.pool import shared_worker
from pytest_llmbench.sql.protocol import Instance, Trial

SUFFIX = ".trials.json"


class TrialMemory:
    """The trials on some instances; no reference is tried twice, in this process or a later one."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self._instances = instances
        made_of = json.dumps([_versions(), [instance.to_json() for instance in instances]])
        name = hashlib.sha256(made_of.encode()).hexdigest()[:40]
        self._path = instances[0].file.with_name(name + SUFFIX)
        self._known: dict[str, Any] = {}
        self._is_changed = False
        with suppress(OSError, ValueError):  # not there yet, or of a process that was cut off
            self._known = dict(json.loads(self._path.read_text(encoding="utf-8")))
            os.utime(self._path)  # in use: see database/build.py

    def trials(self, sql: str, limit_s: float) -> tuple[Trial, ...]:
        """Give what a reference does on each instance.

        Raises `WorkerFaultError` if the worker fails.
        """
        found = self._known.get(sql)
        if found is None:
            trials = shared_worker().trials(sql, self._instances, limit_s)
            if any(trial.fault is not None for trial in trials):
                return trials
            self._known[sql] = found = [asdict(trial) for trial in trials]
            self._is_changed = True
        return tuple(Trial.from_json(trial) for trial in found)

    def save(self) -> None:
        """Keep what is new; if two processes save at once, the later one's knowledge stays."""
        if not self._is_changed:
            return
        with suppress(OSError), tempfile.TemporaryDirectory(dir=self._path.parent, prefix="building-") as scratch:
            file = Path(scratch) / self._path.name
            file.write_text(json.dumps(self._known), encoding="utf-8")
            os.replace(file, self._path)


@cache
def _versions() -> str:
    """Name the code a trial depends on: this room's, the parser's and the engine's."""
    digest = hashlib.sha256(f"{version('sqlglot')} {version('duckdb')}".encode())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()

"""Measure a command: CPU seconds of it and its children, wall seconds, peak memory."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a command took. `peak_mib` is the largest resident size of the process itself."""

    cpu_s: float
    wall_s: float
    peak_mib: float


COMPILED_ONCE = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "llmbench-pyc"),
}
"""Has Python compile what it runs the first time only, as where it is installed; kept apart from the sources."""


def run(command: Sequence[str], cwd: Path) -> Cost:
    """Run a command to its end and measure it.

    Raises:
        RuntimeError: it exits with other than 0.
    """
    started = time.perf_counter()
    with (cwd / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **COMPILED_ONCE}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = (cwd / "output.txt").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}:\n{tail}")
    return Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.perf_counter() - started,
        peak_mib=usage.ru_maxrss / 1024,
    )


def alternate(sides: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, Cost]:
    """Measure several sides in turn, so that a busy machine hits all alike; gives medians by side."""
    found: dict[str, list[Cost]] = {name: [] for name in sides}
    for number in range(rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            found[name].append(sides[name]())
    return {
        name: Cost(
            cpu_s=median(cost.cpu_s for cost in costs),
            wall_s=median(cost.wall_s for cost in costs),
            peak_mib=median(cost.peak_mib for cost in costs),
        )
        for name, costs in found.items()
    }


def pytest_command(*options: str) -> list[str]:
    """Give the command that runs pytest in this interpreter."""
    return [sys.executable, "-m", "pytest", "-q", *options]

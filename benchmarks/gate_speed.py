"""Measure `llmbench history` over 1,000 runs of 300 records and `llmbench compare` of two runs of 10,000.

    python benchmarks/gate_speed.py [ROUNDS]

Bars: history under 5 s and 500 MiB, compare under 3 s. The files (about 950 MB) are made in a temporary folder.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from gate_files import write_run
from measure import run

_LLMBENCH = str(Path(sys.executable).parent / "llmbench")
_BARS = {"history": (5.0, 500.0), "compare": (3.0, None)}


def main() -> int:
    """Print wall and processor seconds and peak memory of both; returns 1 where a bar is missed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    is_missed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = folder / "runs"
        runs.mkdir()
        for number in range(1000):
            write_run(runs / f"{number:04d}.json", records=300, number=number)
        for number in range(2):
            write_run(folder / f"big{number}.json", records=10_000, number=number)
        commands = {"history": ["history", "runs"], "compare": ["compare", "big0.json", "big1.json"]}
        for verb, arguments in commands.items():
            costs = [run([_LLMBENCH, *arguments], folder) for _ in range(rounds)]
            wall_s = median(cost.wall_s for cost in costs)
            cpu_s = median(cost.cpu_s for cost in costs)
            peak_mib = max(cost.peak_mib for cost in costs)
            limit_s, limit_mib = _BARS[verb]
            is_missed |= wall_s > limit_s or (limit_mib is not None and peak_mib > limit_mib)
            print(f"{verb}: {wall_s:.2f} s wall (bar {limit_s:g}), {cpu_s:.2f} s processor, {peak_mib:.0f} MiB")
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())

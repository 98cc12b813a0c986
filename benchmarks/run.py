"""Measure everything that docs/performance.md tells: `make perf`. Each part can be run alone.

Parts that compare with other tools install them into environments of their own and take long; they are
run by name: `python benchmarks/local.py`, `python benchmarks/api.py`.
"""

import subprocess
import sys
from pathlib import Path

PARTS = ("overhead.py", "start.py", "sql_judge.py", "grading.py", "report.py")


def main() -> None:
    """Run the parts one after another."""
    for part in PARTS:
        print(f"== {part}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(part))], check=True)


if __name__ == "__main__":
    main()

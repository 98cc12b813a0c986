"""Measure everything that docs/performance.md describes: `make perf`. Each part can be run alone.

The last two take most of the time, an hour and a half on two cores: one asks a mock server 200,000 times, the other
installs lm-evaluation-harness into an environment of its own and waits for it.
"""

import subprocess
import sys
from pathlib import Path

PARTS = (
    ("overhead.py",),
    ("start.py",),
    ("sql_judge.py",),
    ("graders.py",),
    ("grading.py",),
    ("training.py",),
    ("reasoning.py",),
    ("checks.py",),
    ("application.py",),
    ("shards.py",),
    ("cluster.py",),
    ("report.py",),
    ("importing.py",),
    ("gate_speed.py",),
    ("early_stop.py",),
    ("tuning.py",),
    ("api.py", "--full"),
    ("roofline.py",),
    ("local.py",),
)


def main() -> int:
    """Run the parts one after another; 1 if one fails."""
    failed = []
    for part, *options in PARTS:
        print(f"== {part}", flush=True)
        command = [sys.executable, str(Path(__file__).with_name(part)), *options]
        if subprocess.run(command, check=False).returncode:
            failed.append(part)
    print("failed: " + ", ".join(failed) if failed else "all parts ran")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

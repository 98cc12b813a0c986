"""What it costs to ask a Python function that returns at once, beside answers that are read from a file.

Run with `python benchmarks/application.py [CASES]`, or all parts with `make perf`.
"""

import sys
import tempfile
from pathlib import Path

from measure import alternate, pytest_command, run
from overhead import QUIET, write_recorded

ROUNDS = 3
CASES = 10_000
APP = "def answer(inputs): return inputs['word']\n"


def main(cases: int) -> None:
    """Compare the CPU time of both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        write_recorded(folder, cases)
        (folder / "instant_app.py").write_text(APP)
        costs = alternate(
            {
                model: lambda model=model: run(pytest_command("--llm-model", model, *QUIET, "suite.yaml"), folder)
                for model in ("recorded:answers.jsonl", "python:instant_app:answer")
            },
            rounds=ROUNDS,
        )
    recorded, asked = (cost.cpu_s for cost in costs.values())
    print(f"{cases:,} cases of a Python function: {asked / recorded:.3f}x the CPU of recorded answers (aim 1.1x)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else CASES)

"""Measure what several graders gain: one run of 1,000 distinct SQL answers, recorded, with one and with two graders.

    python benchmarks/graders.py [--rounds N] [--cases N]

Nearly all answers are wrong, in two ways of writing, so that each is read in every dialect: the dearest case there is.
Prints wall and CPU seconds of the whole pytest command, medians of rounds in turn, and whether the records of both
sides are equal.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measure import alternate, pytest_command, run
from sql_judge import REFERENCE, RIGHT, WRONG, write_database


def write_project(root: Path, n: int) -> None:
    """Write a suite of n questions and their recorded answers."""
    write_database(root)
    (root / "pytest.ini").write_text("[pytest]\n")
    cases, answers = [], []
    for number in range(n):
        cases.append({"id": f"q{number:04}", "question": f"How many users, {number}?", "reference": REFERENCE})
        text = (RIGHT if number % 2 else WRONG).format(168 + number)
        answers.append({"case": f"q{number:04}", "answer": text, "latency_s": 0.1})
    suite = {"suite": "users", "grader": "sql", "database": "bench", "prompt": {"completion": "{{ question }}"}}
    (root / "cases").mkdir()
    (root / "cases" / "users.yaml").write_text(json.dumps({**suite, "cases": cases}))
    (root / "fixtures" / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    (root / "fixtures" / "models.toml").write_text('[m]\nprovider = "recorded"\nanswers = "answers.jsonl"\n')


def records(root: Path, name: str) -> list[object]:
    """Give the records of a run."""
    return [one["extra_info"]["llmbench"] for one in json.loads((root / name).read_text())["benchmarks"]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_project(root, options.cases)

        def command(n_graders: int) -> list[str]:
            own = (f"--llm-graders={n_graders}", f"--benchmark-json=run-{n_graders}.json")
            return pytest_command("--llm-model", "m", "--llm-no-fail", "--benchmark-quiet", *own, "cases")

        costs = alternate({str(n): lambda n=n: run(command(n), root) for n in (1, 2)}, options.rounds)  # type: ignore[misc]
        for name, cost in costs.items():
            sys.stdout.write(
                f"{options.cases} SQL answers, {name} grader(s): {cost.wall_s:.1f} s wall, {cost.cpu_s:.1f} s CPU\n"
            )
        is_equal = records(root, "run-1.json") == records(root, "run-2.json")
        sys.stdout.write(f"records equal: {is_equal}; aim: 8 s wall with two graders on two cores\n")


if __name__ == "__main__":
    main()

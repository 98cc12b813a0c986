"""What the plugin costs: installed but unused, at the start, and for each recorded case beside a bare benchmark test.

Run with `python benchmarks/overhead.py`, or all parts with `make perf`.
"""

import json
import sys
import tempfile
from pathlib import Path

from measure import Cost, alternate, pytest_command, run

ROUNDS = 5
CASES = 10_000
FEW = 1_000
QUIET = ("--benchmark-quiet", "-p", "no:cacheprovider", "--benchmark-json=run.json")

BARE = """
import json
import pytest

EXTRA = json.loads({extra!r})

class Timer:
    def __init__(self): self.readings = []
    def __call__(self): return self.readings.pop()

@pytest.mark.parametrize("case", [f"case-{{i}}" for i in range({cases})])
def test_case(benchmark, case):
    benchmark.group = "exact"
    benchmark.extra_info["llmbench"] = {{**EXTRA, "case": case}}
    benchmark.pedantic(int, rounds=1)
"""


def unused(folder: Path) -> None:
    """Compare pytest with and without the plugin in a project that does not use it."""
    (folder / "test_one.py").write_text("def test_one(): pass\n")
    without = pytest_command("-p", "no:llmbench", "-p", "no:cacheprovider")
    costs = alternate(
        {
            "without": lambda: run(without, folder),
            "with": lambda: run(pytest_command("-p", "no:cacheprovider"), folder),
        },
        rounds=4 * ROUNDS + 1,
    )
    ratio = costs["with"].cpu_s / costs["without"].cpu_s
    print(f"installed but unused: {ratio:.3f}x the CPU of pytest without it (aim 1.02x)")


def started(folder: Path) -> None:
    """Compare a run of what `llmbench init` writes, three recorded cases, with pytest and one trivial test."""
    (folder / "project").mkdir()
    run([str(Path(sys.executable).with_name("llmbench")), "init"], folder / "project")
    (folder / "trivial").mkdir()
    (folder / "trivial" / "test_one.py").write_text("def test_one(): pass\n")
    (folder / "trivial" / "pytest.ini").write_text("[pytest]\n")
    # hypothesis, which our own tests need, is imported by its plugin at each end of pytest: users do not pay that
    quiet = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    costs = alternate(
        {
            "trivial": lambda: run(pytest_command(*quiet), folder / "trivial"),
            "recorded": lambda: run(
                pytest_command("--llm-model", "example", "--llm-no-fail", *quiet, "cases"), folder / "project"
            ),
        },
        rounds=4 * ROUNDS + 1,
    )
    ratio = costs["recorded"].cpu_s / costs["trivial"].cpu_s
    print(f"the example of llmbench init over pytest with one trivial test: {ratio:.2f}x CPU (aim 1.4x)")


def write_recorded(folder: Path, cases: int) -> None:
    """Write a project of that many recorded cases, every answer right."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "suite.yaml").write_text(
        "suite: exact\ngrader: exact\nprompt: {completion: 'Say {{ word }}.'}\ndata: rows.jsonl\n"
    )
    rows = [{"id": f"case-{i}", "word": f"word {i}", "expected": f"word {i}"} for i in range(cases)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [
        {"case": row["id"], "answer": row["word"], "latency_s": 0.25, "ttft_s": 0.125, "output_tokens": 3}
        for row in rows
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))


def recorded_run(folder: Path) -> Cost:
    """Run the recorded cases."""
    return run(pytest_command("--llm-model", "recorded:answers.jsonl", *QUIET, "suite.yaml"), folder)


def write_bare(folder: Path, cases: int, record: dict[str, object]) -> None:
    """Write a project of that many tests that do no more than record the same extra_info."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_bare.py").write_text(BARE.format(cases=cases, extra=json.dumps(record)))


def per_case(folder: Path) -> None:
    """Compare recorded cases with bare benchmark tests that write the same extra_info."""
    for name, count in (("few", FEW), ("many", CASES)):
        write_recorded(folder / name, count)
    recorded_run(folder / "few")
    record = json.loads((folder / "few" / "run.json").read_text())["benchmarks"][0]["extra_info"]["llmbench"]
    write_bare(folder / "bare", CASES, record)
    write_recorded(folder / "one", 1)
    costs = alternate(
        {
            "one": lambda: recorded_run(folder / "one"),
            "few": lambda: recorded_run(folder / "few"),
            "many": lambda: recorded_run(folder / "many"),
            "bare": lambda: run(pytest_command(*QUIET, "test_bare.py"), folder / "bare"),
        },
        rounds=3,
    )
    many, few, one, bare = costs["many"], costs["few"], costs["one"], costs["bare"]
    each_many = (many.cpu_s - one.cpu_s) / (CASES - 1) * 1000
    each_few = (few.cpu_s - one.cpu_s) / (FEW - 1) * 1000
    print(f"{CASES:,} recorded cases: {each_many:.2f} ms CPU a case, peak {many.peak_mib:.0f} MiB")
    print(f"{CASES:,} bare benchmark.pedantic tests: {bare.cpu_s / CASES * 1000:.2f} ms, peak {bare.peak_mib:.0f} MiB")
    print(f"CPU {many.cpu_s / bare.cpu_s:.2f}x (aim 1.0x), memory {many.peak_mib / bare.peak_mib:.2f}x")
    print(f"CPU a case at {CASES:,} over {FEW:,}: {each_many / each_few:.2f}x (aim 1.1x)")


def main() -> None:
    """Measure all three."""
    with tempfile.TemporaryDirectory() as name:
        for part in (unused, started, per_case):
            folder = Path(name) / part.__name__
            folder.mkdir()
            part(folder)


if __name__ == "__main__":
    main()

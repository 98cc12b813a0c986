"""What an API run costs, `pytest --llm-model` end to end and streaming, beside bare scripts that ask the same.

    python benchmarks/api.py            # 1,000 cases; some minutes
    python benchmarks/api.py --full     # and 10,000
    python benchmarks/api.py --only faults --rounds 1

Each run has a mock server of its own (`mock_server.py`), whose time counts for nobody.  Needs aiohttp.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from measure import Cost, alternate, pytest_command, run
from mock_server import answer_to
from overhead import QUIET as PLAIN
from overhead import write_bare

# hypothesis, which only our own tests need, has a plugin that imports all of it at the end of each run: 0.8 s
QUIET = (*PLAIN, "-p", "no:hypothesispytest")
HERE = Path(__file__).parent
CASES = 1_000
MANY = 10_000
MOCK_ENTRY = '[mock]\nprovider = "openai"\nmodel = "mock"\nbase_url = "{url}"\n'
SUITE = """
suite: clickbait
grader: exact
sampling: {max_tokens: 4, temperature: 0}
prompt:
  chat: [{role: user, content: "{{ question }}"}]
data: rows.jsonl
"""
SHOTS = (
    "Say whether a headline is clickbait, with yes or no.\n"
    "Headline: 21 things only people from small towns will understand\nAnswer: yes\n"
    "Headline: Central bank leaves rates unchanged\nAnswer: no\n"
    "Headline: You won't believe what this dog did next\nAnswer: yes\n"
    "Headline: Peering through the fog of inflation\nAnswer: no\n"
)


class Project:
    """A folder with a suite of so many cases, asked in one way; what the last run found is kept in `found`."""

    def __init__(self, folder: Path, cases: int):
        folder.mkdir(parents=True)
        self.folder = folder
        self.cases = cases
        self.found: dict[str, Any] = {}
        (folder / "pytest.ini").write_text("[pytest]\n")
        (folder / "suite.yaml").write_text(SUITE)
        with (folder / "rows.jsonl").open("w") as rows:
            for number in range(cases):
                question = f"{SHOTS}Headline: number {number} of those that matter\nAnswer:"
                row = {"id": f"case-{number}", "question": question, "expected": answer_to(question)}
                rows.write(json.dumps(row) + "\n")

    def ours(self, in_flight: int, *server: str) -> Cost:
        """Run the cases with pytest."""
        # hypothesis, which our own tests need, is imported by its plugin at each end of pytest: 0.8 s nobody else pays
        options = (
            "-p",
            "no:hypothesispytest",
            "--llm-models-file=models.toml",
            "--llm-model=mock",
            f"--llm-concurrency={in_flight}",
        )
        command = pytest_command(*options, "--llm-no-fail", *QUIET, "suite.yaml")
        with mock(*server) as url:
            (self.folder / "models.toml").write_text(MOCK_ENTRY.format(url=url))
            # 1 is the exit of a run that has errors
            cost = run(["sh", "-c", '"$@"; test $? -le 1', "sh", *command], self.folder)
            totals = json.loads((self.folder / "run.json").read_text())["llmbench"]["totals"]
            self.found = {**seen(url), **totals}
        if self.found["records"] != self.cases or self.found["prompts"] != self.cases or self.found["failed"]:
            raise RuntimeError(f"not every case was asked and answered right: {self.found}")
        return cost

    def bare(self, script: str, in_flight: int, *server: str) -> Cost:
        """Run the same requests with a bare script."""
        with mock(*server) as url:
            cost = run([sys.executable, str(HERE / script), url, "rows.jsonl", str(in_flight)], self.folder)
        said = (self.folder / "output.txt").read_text()
        if said != f"{self.cases} right\n":
            raise RuntimeError(f"{script} did not answer all right: {said}")
        return cost


@contextmanager
def mock(*options: str) -> Iterator[str]:
    """Start a mock server; gives its base URL."""
    command = [sys.executable, str(HERE / "mock_server.py"), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield (process.stdout.readline() if process.stdout else "").strip()
        process.communicate()  # closing its input ends it


def seen(url: str) -> dict[str, Any]:
    """Ask a mock server what it saw."""
    with urlopen(url.removesuffix("/v1") + "/stats") as reply:
        told: dict[str, Any] = json.loads(reply.read())
    return told


def say(what: str, figures: str, ratio: float | str, aim: str) -> None:
    """Print a row of the table."""
    shown = ratio if isinstance(ratio, str) else f"{ratio:.2f}x"
    print(f"| {what} | {figures} | {shown} | {aim} |", flush=True)


def warm_up(folder: Path) -> None:
    """Have everything compiled that will be measured."""
    one = Project(folder, 1)
    one.ours(1)
    for script in ("bare_aiohttp.py", "bare_openai.py"):
        one.bare(script, 1)


def loaded(folder: Path, rounds: int, cases: int, aim: str) -> None:
    """Compare wall time at 50 ms and 64 in flight with a bare aiohttp script."""
    project = Project(folder, cases)
    server = ("--latency-ms=50",)
    sides = {
        "ours": partial(project.ours, 64, *server),
        "aiohttp": partial(project.bare, "bare_aiohttp.py", 64, *server),
    }
    costs = alternate(sides, rounds)
    figures = ", ".join(f"{name} {cost.wall_s:.2f} s wall {cost.cpu_s:.2f} s CPU" for name, cost in costs.items())
    figures += f"; requests spread over {project.found['span_s']:.2f} s (ideal {cases * 0.05 / 64:.2f})"
    say(f"{cases:,} cases, 50 ms, 64 in flight", figures, costs["ours"].wall_s / costs["aiohttp"].wall_s, aim)


def distant(folder: Path, rounds: int) -> None:
    """Compare wall time at 300 ms and 64 in flight with the ideal."""
    project, one = Project(folder, CASES), Project(folder / "one", 1)
    costs = alternate(
        {"ours": partial(project.ours, 64, "--latency-ms=300"), "start-up": partial(one.ours, 64)}, rounds
    )
    ideal_s = CASES * 0.3 / 64
    beyond_s = costs["ours"].wall_s - costs["start-up"].wall_s
    figures = f"{costs['ours'].wall_s:.2f} s, of it start-up {costs['start-up'].wall_s:.2f} s, ideal {ideal_s:.2f} s"
    say(f"{CASES:,} cases, 300 ms, 64 in flight", figures, beyond_s / ideal_s, "1.1x beyond start-up")


def cpu_a_case(folder: Path, rounds: int) -> None:
    """Compare CPU time a case at 0 ms and 16 in flight, start-up taken off, with a bare AsyncOpenAI script."""
    project, one = Project(folder, CASES), Project(folder / "one", 1)
    sides: dict[str, Callable[[], Cost]] = {
        "ours": partial(project.ours, 16),
        "openai": partial(project.bare, "bare_openai.py", 16),
        "our start": partial(one.ours, 16),
        "openai start": partial(one.bare, "bare_openai.py", 16),
    }
    costs = alternate(sides, rounds)
    ours_ms, openai_ms = (
        (costs[name].cpu_s - costs[start].cpu_s) / (CASES - 1) * 1000
        for name, start in (("ours", "our start"), ("openai", "openai start"))
    )
    starts = f"start-up {costs['our start'].cpu_s:.2f} s and {costs['openai start'].cpu_s:.2f} s"
    figures = f"ours {ours_ms:.2f} ms, AsyncOpenAI streaming {openai_ms:.2f} ms; {starts}"
    say("CPU a case, 0 ms, 16 in flight", figures, ours_ms / openai_ms, "0.6x")


def start_up(folder: Path, rounds: int) -> None:
    """Compare one case with pytest and one trivial test."""
    one = Project(folder, 1)
    trivial = folder / "trivial"
    trivial.mkdir()
    (trivial / "test_one.py").write_text("def test_one(): pass\n")
    (trivial / "pytest.ini").write_text("[pytest]\n")
    plain = pytest_command("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    costs = alternate({"ours": partial(one.ours, 1), "trivial": lambda: run(plain, trivial)}, 2 * rounds - 1)
    figures = ", ".join(f"{name} {cost.wall_s:.2f} s wall {cost.cpu_s:.2f} s CPU" for name, cost in costs.items())
    say("one case, over pytest with one trivial test", figures, costs["ours"].wall_s / costs["trivial"].wall_s, "2.6x")


def faults(folder: Path, rounds: int) -> None:
    """Compare runs that meet faults with one that meets none, at 50 ms and 16 in flight."""
    project = Project(folder, CASES)
    told: dict[str, dict[str, Any]] = {}

    def side(name: str, shares: str) -> Cost:
        cost = project.ours(16, "--latency-ms=50", f"--faults={shares}")
        told[name] = project.found
        return cost

    sides: dict[str, Callable[[], Cost]] = {
        "none": partial(side, "none", ""),
        "5/2/1 %": partial(side, "5/2/1 %", "429=0.05,500=0.02,drop=0.01"),
        "20/10/5 %": partial(side, "20/10/5 %", "429=0.2,500=0.1,drop=0.05"),
    }
    costs = alternate(sides, rounds)
    for name, aim in (("5/2/1 %", "0 errors, 3 s longer"), ("20/10/5 %", "nothing lost, ends normally")):
        totals, longer_s = told[name], costs[name].wall_s - costs["none"].wall_s
        figures = (
            f"{costs[name].wall_s:.2f} s against {costs['none'].wall_s:.2f} s; {totals['passed']} right, "
            f"{totals['failed']} wrong, {totals['error']} errors, {totals['requests']} requests"
        )
        say(f"{name} 429 / 500 / dropped, 50 ms, 16 in flight", figures, f"{longer_s:+.1f} s", aim)


def memory(folder: Path, rounds: int) -> None:
    """Compare peak memory at 10,000 cases with bare benchmark tests that carry the same record."""
    project = Project(folder, MANY)
    project.ours(64)
    record = json.loads((folder / "run.json").read_text())["benchmarks"][0]["extra_info"]["llmbench"]
    write_bare(folder / "bare", MANY, record)
    costs = alternate(
        {
            "ours": partial(project.ours, 64),
            "bare": lambda: run(pytest_command(*QUIET, "test_bare.py"), folder / "bare"),
        },
        rounds,
    )
    figures = ", ".join(f"{name} {cost.peak_mib:.0f} MiB" for name, cost in costs.items())
    say(f"peak memory, {MANY:,} cases", figures, costs["ours"].peak_mib / costs["bare"].peak_mib, "0.94x")


PARTS: dict[str, Callable[[Path, int], None]] = {
    "loaded": partial(loaded, cases=CASES, aim="2.2x"),
    "distant": distant,
    "cpu": cpu_a_case,
    "start": start_up,
    "faults": faults,
}
FULL_PARTS: dict[str, Callable[[Path, int], None]] = {
    "many": partial(loaded, cases=MANY, aim="1.8x"),
    "memory": memory,
}


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(description="What an API run costs.")
    parser.add_argument("--full", action="store_true", help="also the parts with 10,000 cases")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts; default 3")
    parser.add_argument("--only", choices=[*PARTS, *FULL_PARTS], help="only this part")
    options = parser.parse_args()
    parts = {**PARTS, **FULL_PARTS}
    names = [options.only] if options.only else [*PARTS, *(FULL_PARTS if options.full else ())]
    print("| what | measured | found | aim |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        warm_up(Path(folder) / "warm")
        for name in names:
            parts[name](Path(folder) / name, options.rounds)


if __name__ == "__main__":
    main()

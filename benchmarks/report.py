"""What the HTML report costs: to write, to open in Chromium, to filter; and how large it is.

Run with `python benchmarks/report.py`, or all parts with `make perf`.
"""

import json
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from measure import run

ROUNDS = 5
MODELS = ("llama-7b", "llama-13b", "llama-33b", "chatgpt")
SUITES = ("jokes", "clickbait", "sql")
_SYLLABLES = ("ba", "co", "du", "fi", "go", "ha", "ju", "ki", "lo", "ma", "ne", "po", "ra", "so", "tu", "ve", "wa")
_REPORT = "import sys; from pytest_llmbench.cli import main; sys.exit(main(sys.argv[1:]))"

# From the click to the second frame behind it: by then the new list is on the screen.
_FILTER = """async (name) => {
    const start = performance.now();
    document.querySelector(`#filters button[data-filter="${name}"]`).click();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - start;
}"""
_SEARCH = """async (text) => {
    const start = performance.now(), search = document.getElementById("search");
    search.value = text;
    search.dispatchEvent(new Event("input"));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - start;
}"""


def write_run(path: Path, *, cases: int, number: int) -> None:
    """Write a run of so many cases, a third of them a suite, under four models; answers differ from run to run."""
    noise = random.Random(number)
    benchmarks, prompts, expected = [], {}, {}
    for place in range(cases):
        suite, case = SUITES[place % 3], f"case-{place:04d}"
        fixed = random.Random(place)
        prompts[f"prompt of {suite} {case}"] = f"{_FRAMES[suite]}{_words(fixed, 15)}\nThe answer:"
        expected[f"digest of {suite} {case}"] = _words(fixed, 20)
        for at, model in enumerate(MODELS):
            benchmarks.append(_benchmark(suite, case, model, noise, right=noise.random() < 0.4 + 0.13 * at))
    found = {
        "machine_info": {"node": "vm", "machine": "x86_64", "system": "Linux", "cpu": {"brand_raw": "CPU", "count": 2}},
        "commit_info": {"id": f"{number:040x}"},
        "benchmarks": benchmarks,
        "datetime": f"2026-0{number}-01T03:00:00+00:00",
        "llmbench": {
            "schema": 1,
            "models": {
                name: {"model": name, "identity": {"provider": "recorded", "model": name}, "sampling": {}}
                for name in MODELS
            },
            "suites": {
                suite: {"sha256": "s", "grader": _GRADERS[suite], "grader_version": 1, "path": f"cases/{suite}.yaml"}
                for suite in SUITES
            },
            "options": {"samples": 1},
            "prompts": prompts,
            "expected": expected,
        },
    }
    path.write_text(json.dumps(found), encoding="utf-8")


_GRADERS = {"jokes": "key_points", "clickbait": "yes_no", "sql": "sql"}
_FRAMES = {suite: f"{suite}: an instruction with some examples. " * 12 for suite in SUITES}
_ANSWER_WORDS = {"jokes": 60, "clickbait": 1, "sql": 25}


def _words(noise: random.Random, count: int) -> str:
    return " ".join("".join(noise.choices(_SYLLABLES, k=noise.randint(1, 4))) for _ in range(count))


def _benchmark(suite: str, case: str, model: str, noise: random.Random, *, right: bool) -> dict[str, Any]:
    latency_s = noise.lognormvariate(0, 0.4)
    answer = ("yes" if right else "no") if suite == "clickbait" else _words(noise, _ANSWER_WORDS[suite])
    sample = {
        "answer": answer,
        "outcome": "passed" if right else "failed",
        "score": float(right),
        "reason": "correct" if right else "different",
        "explanation": f"The answer {_words(noise, 8)}.",
        "format_ok": right if suite == "clickbait" else None,
        "parts": _parts(suite, answer, noise),
        "latency_s": latency_s,
        "ttft_s": latency_s / 4,
        "input_tokens": 300,
        "output_tokens": 80,
        "finish_reason": "stop",
        "concurrency": 1,
    }
    record = {
        "schema": 1,
        "suite": suite,
        "case": case,
        "case_sha256": f"digest of {suite} {case}",
        "model": model,
        "role": model,
        "prompt_style": "completion",
        "prompt_sha256": f"prompt of {suite} {case}",
        "grader": _GRADERS[suite],
        "score": sample["score"],
        "outcome": sample["outcome"],
        "samples": [sample],
    }
    return {"name": f"{case}[{model}]", "extra_info": {"llmbench": record}}


def _parts(suite: str, answer: str, noise: random.Random) -> dict[str, Any]:
    if suite == "clickbait":
        return {"expected": "yes", "strict": answer, "lenient": answer}
    if suite == "sql":
        rows = [[noise.randrange(1000), _words(noise, 1)] for _ in range(3)]
        return {"reading": "duckdb", "sql": answer, "instance": "summer", "difference": {"missing": rows}}
    points = [{"name": _words(noise, 2), "hit": True, "start": 10 * at, "end": 10 * at + 8} for at in range(3)]
    return {"points": points, "forbidden": [], "words": len(answer.split())}


def measure_writing(folder: Path, files: Sequence[Path]) -> Path:
    """Write a report a few times and say what it took."""
    target = folder / "report.html"
    command = [sys.executable, "-c", _REPORT, "report", *map(str, files), "-o", str(target)]
    costs = [run(command, folder) for _ in range(ROUNDS)]
    wall_s, cpu_s, peak_mib = (
        median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s", "peak_mib")
    )
    size = target.stat().st_size
    print(f"  written in {wall_s:.1f} s ({cpu_s:.1f} s of CPU, {peak_mib:.0f} MiB); file {size / 1e6:.2f} MB")
    return target


def measure_reading(target: Path) -> None:
    """Open a report in a new tab a few times, filter it and search it, and say what it took."""
    from playwright.sync_api import sync_playwright

    ready_s, filters_ms, searches_ms = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(ROUNDS):
            page = browser.new_page()
            page.goto(target.as_uri())
            page.wait_for_selector("html[data-ready]")
            ready_s.append(page.evaluate("performance.getEntriesByName('ready')[0].startTime") / 1000)
            page.evaluate(_FILTER, "all")
            filters_ms += [page.evaluate(_FILTER, name) for name in ("failing", "worse", "disagree", "all")]
            searches_ms += [page.evaluate(_SEARCH, text) for text in ("b", "ba", "bax", "")]
            page.close()
        browser.close()
    print(
        f"  ready in {median(ready_s):.2f} s; filter {median(filters_ms):.0f} ms (slowest {max(filters_ms):.0f}); "
        f"search {median(searches_ms):.0f} ms (slowest {max(searches_ms):.0f})"
    )


def main() -> None:
    """Measure a report of the usual size, and one that is ten times as large."""
    for cases, runs, aims in (
        (300, 3, "aim: under 3 MB, ready under 1.5 s, filter under 300 ms"),
        (3_000, 2, "aim: under 12 MB, ready under 4 s, written in under 5 s"),
    ):
        print(f"report of {cases:,} cases x {len(MODELS)} models x {runs} runs ({aims})")
        with tempfile.TemporaryDirectory() as name:
            files = [Path(name) / f"run-{number}.json" for number in range(1, runs + 1)]
            for number, path in enumerate(files, start=1):
                write_run(path, cases=cases, number=number)
            measure_reading(measure_writing(Path(name), files))


if __name__ == "__main__":
    main()

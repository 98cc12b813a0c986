"""Benchmark JSONs of any size, made without a model: what history and compare are measured on."""

import json
import random
from pathlib import Path
from typing import Any

_MACHINE = {"node": "vm", "machine": "x86_64", "system": "Linux", "cpu": {"brand_raw": "AMD EPYC", "count": 2}}
_TEXT = "The answer, as a model of some hundred tokens may give it, with its reasons. " * 4


def write_run(path: Path, *, records: int, number: int = 0, suites: int = 3, model: str = "llama-13b") -> None:
    """Write a run as pytest-benchmark does: pretty-printed, one benchmark a record."""
    noise = random.Random(number)
    names = [f"suite{place}" for place in range(suites)]
    found: dict[str, Any] = {
        "machine_info": _MACHINE,
        "commit_info": {"id": f"{number:040x}", "dirty": False, "project": "p", "branch": "main"},
        "benchmarks": [_benchmark(names[place % suites], place, model, noise) for place in range(records)],
        "datetime": f"2026-{1 + number // 28 % 12:02d}-{1 + number % 28:02d}T03:00:{number // 336:02d}.000000+00:00",
        "version": "5.3.1",
        "llmbench": {
            "schema": 1,
            "unmeasured": [],
            "models": {model: {"model": model, "identity": {"provider": "recorded", "model": model}, "sampling": {}}},
            "suites": {
                name: {"sha256": "s", "grader": "exact", "grader_version": 1, "path": f"{name}.yaml"} for name in names
            },
            "options": {"samples": 1},
            "prompts": {},
            "totals": {},
            "gate": [],
        },
    }
    path.write_text(json.dumps(found, indent=4), encoding="utf-8")


def _benchmark(suite: str, place: int, model: str, noise: random.Random) -> dict[str, Any]:
    passed = noise.random() < 0.8
    latency_s = noise.lognormvariate(0, 0.3)
    sample: dict[str, Any] = {
        "answer": _TEXT,
        "outcome": "passed" if passed else "failed",
        "score": float(passed),
        "reason": "correct" if passed else "different",
        "explanation": "Expected something, found something else.",
        "format_ok": True,
        "parts": {},
        "latency_s": latency_s,
        "ttft_s": latency_s / 4,
        "input_tokens": 300,
        "output_tokens": 80,
        "finish_reason": "stop",
        "concurrency": 1,
        "reused": False,
        "attempts": 1,
        "error": None,
    }
    record = {
        "schema": 1,
        "suite": suite,
        "case": f"case{place}",
        "case_sha256": "c" * 64,
        "model": model,
        "role": model,
        "prompt_style": "chat",
        "prompt_sha256": f"{place:064x}",
        "grader": "exact",
        "score": float(passed),
        "outcome": sample["outcome"],
        "samples": [sample],
    }
    stats = dict.fromkeys(("min", "max", "mean", "median", "q1", "q3", "total"), latency_s)
    stats |= dict.fromkeys(("stddev", "iqr", "ops", "rounds", "iterations", "hd15iqr", "ld15iqr"), 1)
    return {
        "group": suite,
        "name": f"case{place}[{model}]",
        "fullname": f"cases/{suite}.yaml::case{place}[{model}]",
        "params": {"case": f"case{place}", "model": model},
        "param": f"case{place}-{model}",
        "extra_info": {"llmbench": record},
        "options": {"disable_gc": False, "timer": "llmbench_replay", "min_rounds": 5, "max_time": 1.0, "warmup": False},
        "stats": {**stats, "outliers": "0;0", "data": [latency_s]},
    }

"""The main job on a real model: SmolLM2 on the three shipped suites, as the README runs it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_a_real_model_is_judged_on_the_shipped_suites(
    tmp_path: Path, read_run_strictly: Callable[[Path], dict[str, Any]]
) -> None:
    """SmolLM2 answers two cases of each suite; the JSON holds quality and latency, and stock tools read it."""
    target = tmp_path / "run.json"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--llm-model", "smollm2-135m", "--llm-no-fail"]

    run = subprocess.run(
        [*command, "--llm-limit", "2", f"--benchmark-json={target}", "cases/"], cwd=ROOT, capture_output=True, text=True
    )
    compare = subprocess.run(["pytest-benchmark", "compare", str(target)], cwd=tmp_path, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout + run.stderr
    found = read_run_strictly(target)
    records = [benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"]]
    assert sorted(record["suite"] for record in records) == ["clickbait", "clickbait", "jokes", "jokes", "sql", "sql"]
    for record in records:
        (sample,) = record["samples"]
        assert record["outcome"] in ("passed", "failed")
        assert sample["answer"]
        assert 0 < sample["ttft_s"] <= sample["latency_s"]
        assert sample["output_tokens"] > 0
    assert found["llmbench"]["unmeasured"] == []
    assert len(found["llmbench"]["models"]["smollm2-135m"]["identity"]["weights"]) >= 32
    for name in ("clickbait", "jokes", "sql"):
        assert f"benchmark '{name}': 2 tests" in compare.stdout, compare.stdout + compare.stderr


def test_the_published_answers_come_out_as_published(tmp_path: Path) -> None:
    """The four models of the published comparison: failed, failed, failed, passed on its one SQL question.

    Side by side they are too few cases to take one for another.
    """
    models = ("llama-7b-published", "llama-13b-published", "llama-33b-published", "chatgpt-published")
    options = [option for model in models for option in ("--llm-model", model)]
    target = tmp_path / "published.json"
    pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", f"--benchmark-json={target}"]

    run = subprocess.run(
        [*pytest_command, *options, "-k", "login-users-last-week", "cases/sql.yaml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    compare = subprocess.run(
        [str(Path(sys.executable).parent / "llmbench"), "compare", str(target), "--models", *models],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    lines = [line.split(" - ")[0] for line in run.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR"))]
    assert sorted(lines) == sorted(
        [
            *(f"FAILED cases/sql.yaml::login-users-last-week[{model}]" for model in models[:3]),
            f"PASSED cases/sql.yaml::login-users-last-week[{models[3]}]",
        ]
    ), run.stdout + run.stderr
    assert compare.returncode == 8
    assert [line.split() for line in compare.stdout.splitlines() if line.startswith("sql/")] == [
        ["sql/login-users-last-week", "wrong-result", "wrong-result", "wrong-result", "passed"]
    ]
    assert [line for line in compare.stdout.splitlines() if line.endswith(": too few cases")] == [
        *(f"{model} against {models[0]}: too few cases" for model in models[1:]),
        "verdict: too few cases",
    ]

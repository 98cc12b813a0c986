"""Measure rewards and training data: a call of 64 completions for each kind of grader, the export of 10,000 records.

    python benchmarks/training.py [--rounds N] [--records N]

Rewards are measured as a trainer sees them, in wall seconds of one call with distinct completions of cases of the
shipped suites; SQL is executed in its worker.  The export is the whole command, in CPU seconds, on a suite of labels.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from measure import alternate, run

from pytest_llmbench.results.records import Record, Run, RunInfo, Sample, SuiteInfo
from pytest_llmbench.results.run_json import block_to_json
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.tuning.rewards import Rewards
from pytest_llmbench.values import Outcome, PromptStyle, Side

ROOT = Path(__file__).parent.parent
CALL = 64
"""Completions in a call: eight prompts, eight answers each."""

ANSWERS = {
    "clickbait": (
        "yes",
        "no",
        "Yes.",
        "I would say clickbait, {n}",
        "maybe {n}",
        "no way, {n}",
        "",
        "yes yes",
    ),
    "jokes": ("It plays on two meanings of a word, for the {n}th time, so that one takes it at its word.",),
    "sql": ("SELECT COUNT(*) + {n} - {n} FROM events WHERE user_id <> -{n}",),
}


def reward_call_s(suite: str, rounds: int) -> list[float]:
    """Give the seconds of each call of a suite's reward function, the first one left out."""
    path = ROOT / "cases" / f"{suite}.yaml"
    loaded = load_suite(path)
    if loaded is None:
        raise RuntimeError(f"{path} is no suite")
    train = [case.id for case in loaded.suite.cases if case.side is Side.TRAIN]
    reward = Rewards.of([path], root=ROOT).trl("score")
    found = []
    for number in range(rounds + 1):
        cases = [train[(number * 8 + place // 8) % len(train)] for place in range(CALL)]
        texts = [ANSWERS[suite][place % len(ANSWERS[suite])].format(n=number * CALL + place) for place in range(CALL)]
        started = time.perf_counter()
        rewards = reward(completions=texts, suite=[suite] * CALL, case_id=cases)
        found.append(time.perf_counter() - started)
        if None in rewards:
            raise RuntimeError(f"{suite}: an answer has no reward")
    return found[1:]


def write_records(folder: Path, n: int) -> None:
    """Write a suite of labels with n cases, and a run with a right or a wrong answer to each."""
    cases = "".join(f"  - {{id: c{i}, headline: 'Headline {i} of many', expected: 'yes'}}\n" for i in range(n))
    head = (
        'suite: s\ngrader: yes_no\nsplit: {train: 0.5}\nprompt: {completion: "{{ headline }}\\nClickbait:"}\ncases:\n'
    )
    (folder / "s.yaml").write_text(head + cases)
    loaded = load_suite(folder / "s.yaml")
    if loaded is None:
        raise RuntimeError("no suite")
    records = []
    for case in loaded.suite.cases:
        is_right = int(hashlib.sha256(case.id.encode()).hexdigest(), 16) % 2 == 0
        sample = Sample(
            answer=" yes" if is_right else " no", outcome=Outcome.PASSED if is_right else Outcome.FAILED,
            score=float(is_right), reason="correct" if is_right else "wrong-label", explanation="", format_ok=True,
            parts={}, latency_s=None, ttft_s=None, input_tokens=40, output_tokens=1, finish_reason="stop",
            concurrency=1,
        )  # fmt: skip
        asked = loaded.prompts[PromptStyle.COMPLETION][case.id]
        records.append(
            Record(
                suite="s", case=case.id, case_sha256=case.sha256, model="m", role="m", prompt_style=asked.style,
                prompt_sha256=asked.sha256, grader="yes_no", score=sample.score, outcome=sample.outcome,
                samples=(sample,),
            )
        )  # fmt: skip
    info = SuiteInfo(suite="s", sha256="", grader="yes_no", grader_version=loaded.kind.version, path="s.yaml")
    block = block_to_json(Run(records=tuple(records), facts=RunInfo(suites=(info,))))
    (folder / "run.json").write_text(json.dumps({"benchmarks": [], "llmbench": block}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=10_000)
    options = parser.parse_args()
    for suite, grader in (("clickbait", "yes_no"), ("jokes", "key_points"), ("sql", "sql")):
        calls = reward_call_s(suite, options.rounds)
        sys.stdout.write(
            f"reward call of {CALL} completions, {grader}: {median(calls) * 1e3:.0f} ms "
            f"({min(calls) * 1e3:.0f} to {max(calls) * 1e3:.0f}), {median(calls) / CALL * 1e3:.2f} ms an answer\n"
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_records(folder, options.records)

        def command(kind: str) -> list[str]:
            code = "import sys; from pytest_llmbench.cli import main; sys.exit(main())"
            own = ["s.yaml", "--format", kind, "--runs", "run.json", "-o", f"{kind}.out"]
            return [sys.executable, "-c", code, "export-training", *own]

        kinds = ("sft", "preference")
        costs = alternate({kind: lambda kind=kind: run(command(kind), folder) for kind in kinds}, options.rounds)  # type: ignore[misc]
        for kind, cost in costs.items():
            sys.stdout.write(
                f"export of {options.records:,} records, {kind}: {cost.cpu_s:.1f} s CPU, {cost.wall_s:.1f} s wall, "
                f"peak {cost.peak_mib:.0f} MiB\n"
            )


if __name__ == "__main__":
    main()

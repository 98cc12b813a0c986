"""Measure the graders of words: CPU time an answer, without a model.

    python benchmarks/grading.py

10,000 answers to headlines, 1,000 explanations of jokes by their patterns, and 1,000 by a judge's replies, which
are written here. Suites are loaded before anything is measured. Prints one line a figure: the median of five rounds.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.values import Answer, Case, PromptStyle

ROOT = Path(__file__).parent.parent
ROUNDS = 5
HEADLINES = 10_000
EXPLANATIONS = 1_000
LABELS = (
    "yes",
    "no",
    " Yes.",
    "No, it tells the news.",
    "**Yes**",
    "Answer: no",
    "Well, that depends on what one calls clickbait. " * 5,
    "I'm sorry, but I cannot judge headlines.",
    "",
    "yes\n\n6. Ten things you never knew\nClickbait: yes\n\n" * 20,
)

Judged = tuple[Case, Answer]


def load(name: str) -> LoadedSuite:
    """Load a shipped suite."""
    loaded = load_suite(ROOT / "cases" / f"{name}.yaml")
    if loaded is None:
        raise SystemExit(f"cases/{name}.yaml is no suite")
    return loaded


def headlines(loaded: LoadedSuite) -> list[Judged]:
    """Give answers of every form to the headlines in turn."""
    pairs = zip(cycle(loaded.suite.cases), cycle(LABELS), strict=False)
    return [(case, Answer(text=text)) for case, text in islice(pairs, HEADLINES)]


def explanations(loaded: LoadedSuite) -> list[Judged]:
    """Give the answers written by hand, again and again."""
    cases = {case.id: case for case in loaded.suite.cases}
    rows = [json.loads(line) for line in (ROOT / "tests" / "data" / "joke-answers.jsonl").read_text().splitlines()]
    return [(cases[row["case"]], Answer(text=row["answer"])) for row in islice(cycle(rows), EXPLANATIONS)]


def reply_to(case: Case, answer: Answer) -> str:
    """Write what a judge would say: every point made, by the first words of the answer."""
    quote = " ".join(answer.text.split()[:6])
    n_points = len(case.rules.points)  # type: ignore[attr-defined]
    points = {f"p{number}": {"quote": quote, "hit": True} for number in range(1, n_points + 1)}
    return json.dumps({"points": points, "contradiction_quote": "", "contradiction": False, "padding": "none"})


def measure(name: str, grade: Callable[[Case, Answer], object], judged: Sequence[Judged]) -> None:
    """Grade all answers in rounds, and print the CPU time of one."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for case, answer in judged:
            grade(case, answer)
        rounds.append((time.process_time() - started) / len(judged))
    print(f"{name:<42} {statistics.median(rounds) * 1e6:>8.0f} us an answer ({len(judged):,} answers)")


def main() -> None:
    """Measure all of them."""
    clickbait, jokes = load("clickbait"), load("jokes")
    measure("yes_no", clickbait.kind.build(clickbait.suite, ROOT), headlines(clickbait))
    judged = explanations(jokes)
    measure("key_points", jokes.kind.build(jokes.suite, ROOT), judged)
    judge = jokes.kind.judge_grader(jokes.suite, ROOT)
    if judge is None:
        raise SystemExit("cases/jokes.yaml asks for no judge")
    replies = {answer.text: Answer(text=reply_to(case, answer)) for case, answer in judged}
    measure("key_points by a judge: its prompt", lambda c, a: judge.prompt(c, a, PromptStyle.CHAT), judged)
    measure("key_points by a judge: reading its reply", lambda c, a: judge.grade(c, a, [replies[a.text]]), judged)


if __name__ == "__main__":
    main()

"""Measure taking reasoning off answers: CPU an answer, for 10,000 answers of 2,000 characters.

Run it with `python benchmarks/reasoning.py`.  The aim is below 20 microseconds for texts without marks.
"""

import statistics
import time

from pytest_llmbench.models.reasoning import separate
from pytest_llmbench.values import Answer

ANSWERS = 10_000
CHARACTERS = 2_000
PASSES = 5

PROSE = "The title names the facts of the matter, so a reader knows what it is about; it's no clickbait. "
SQL = "SELECT a.user_id, count(*) FROM events a WHERE a.timestamp >= now() - INTERVAL 7 DAY GROUP BY a.user_id; "
TAGGED = "<p>It is a <b>list</b>, so the title is one that asks to be clicked.</p> "
TEXTS = {
    "prose": PROSE,
    "SQL": SQL,
    "HTML, which resembles marks": TAGGED,
    "<think> and prose": "<think>" + PROSE,
    "gpt-oss": "<|channel|>analysis<|message|>" + PROSE,
}
ENDS = {"<think> and prose": "</think>yes", "gpt-oss": "<|end|><|start|>assistant<|channel|>final<|message|>yes"}


def text_of(name: str) -> str:
    """Give a text of the length that is measured."""
    end = ENDS.get(name, "")
    repeated = TEXTS[name] + PROSE * CHARACTERS if end else TEXTS[name] * CHARACTERS
    return repeated[: CHARACTERS - len(end)] + end


def cpu_us(texts: list[str]) -> float:
    """Give the CPU time of one text in microseconds: the median of some passes."""
    found = []
    for _ in range(PASSES):
        started = time.process_time()
        for text in texts:
            separate(text)
        found.append((time.process_time() - started) / len(texts) * 1e6)
    return statistics.median(found)


def main() -> None:
    """Print a line a kind of text."""
    for name in TEXTS:
        text = text_of(name)
        # texts of their own, as answers are: nothing may be remembered of the one before
        texts = [Answer(text=f"{text[:-1]}{place % 10}").text for place in range(ANSWERS)]
        print(f"{name:30} {cpu_us(texts):8.1f} us an answer of {len(text):,} characters")


if __name__ == "__main__":
    main()

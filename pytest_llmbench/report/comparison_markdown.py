"""What the gate says, as Markdown for a pull request or a job summary."""

import re
from collections.abc import Iterator

from pytest_llmbench.gate import Gate, MovedCase
from pytest_llmbench.report.comparison import everything_said, telling_sample
from pytest_llmbench.report.text import clipped, visible

_MAX_CHARACTERS = 600


def comparison_markdown(gate: Gate, *, is_verbose: bool = False) -> Iterator[str]:
    """Tell a judged comparison: a table with a row a suite, the details as a list, the overall verdict last."""
    said = list(everything_said(gate, is_verbose=False))
    yield "| | verdict | |"
    yield "|---|---|---|"
    for line in said:
        yield f"| {escaped(line.name)} | {line.verdict or ''} | {escaped(line.sentence)} |"
    yield ""
    for line in said:
        if line.details:
            yield f"**{escaped(line.name)}**"
            yield ""
            yield from (f"- {escaped(detail)}" for detail in line.details)
            yield ""
    if is_verbose:
        yield from _answers(gate)
    yield f"**Verdict: {gate.verdict}**"


def _answers(gate: Gate) -> Iterator[str]:
    for ruling in gate.suites:
        for word, moved in (("worse", ruling.worse), ("better", ruling.better)):
            for case in moved:
                yield f"{escaped(ruling.pairs.suite)}/{escaped(case.case)} got {word}:"
                yield ""
                yield from _case(case, is_worse=word == "worse")


def _case(moved: MovedCase, *, is_worse: bool) -> Iterator[str]:
    for word, record, wants_low in (
        ("baseline", moved.baseline, not is_worse),
        ("candidate", moved.candidate, is_worse),
    ):
        sample = telling_sample(record, wants_low=wants_low)
        yield f"{word}{f' ({sample.reason})' if sample else ''}:"
        yield ""
        yield from fenced((sample.answer or "") if sample else "no answer")
        yield ""


def fenced(text: str) -> Iterator[str]:
    """Put a text from outside into a code block it cannot get out of."""
    safe = visible(clipped(text.strip("\n"), _MAX_CHARACTERS))
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", safe)), 3)
    yield fence
    yield from safe.split("\n")
    yield fence


def escaped(text: str) -> str:
    """Make a text from outside plain in Markdown, in a table too."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", visible(text).replace("\n", " "))

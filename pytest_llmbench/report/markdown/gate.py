"""What the gate says, as Markdown for a pull request or a job summary."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.gate.decision import Gate, MovedCase
from pytest_llmbench.report.markdown.escape import escaped, fenced, table_head, table_row
from pytest_llmbench.report.safe_text import clipped
from pytest_llmbench.report.sentences import Said, everything_said, telling_sample

_MAX_NAME = 100
_MAX_SENTENCE = 600

VERDICT_HEAD = table_head(["", "verdict", ""])


def comparison_markdown(gate: Gate, *, is_verbose: bool = False) -> Iterator[str]:
    """Tell a judged comparison: a table with a row a suite, the details as a list, the overall verdict last."""
    said = list(everything_said(gate, is_verbose=False))
    yield from VERDICT_HEAD
    yield from verdict_rows(said)
    yield ""
    for line in said:
        if line.details:
            yield f"**{escaped(line.name)}**"
            yield ""
            yield from (f"- {escaped(detail)}" for detail in line.details)
            yield ""
    if is_verbose:
        yield from _answers(gate)
    if gate.broken is not None:
        yield f"not judged: {escaped(gate.broken)}"
        yield ""
    yield f"**Verdict: {gate.verdict}**"


def verdict_rows(said: Sequence[Said]) -> Iterator[str]:
    """Give the rows of the table of verdicts."""
    for line in said:
        sentence = escaped(clipped(line.sentence, _MAX_SENTENCE))
        yield table_row([escaped(clipped(line.name, _MAX_NAME)), str(line.verdict or ""), sentence])


def _answers(gate: Gate) -> Iterator[str]:
    for ruling in gate.suites:
        for word, moved in (("worse", ruling.worse), ("better", ruling.better)):
            for case in moved:
                yield f"{escaped(f'{ruling.pairs.suite}/{case.case}')} got {word}:"
                yield ""
                yield from _case(case, is_worse=word == "worse")


def _case(moved: MovedCase, *, is_worse: bool) -> Iterator[str]:
    for word, record, wants_low in (
        ("baseline", moved.baseline, not is_worse),
        ("candidate", moved.candidate, is_worse),
    ):
        sample = telling_sample(record, wants_low=wants_low)
        yield f"{word} ({escaped(sample.reason or '')}):" if sample else f"{word}:"
        yield ""
        yield from fenced((sample.answer or "") if sample else "no answer")
        yield ""

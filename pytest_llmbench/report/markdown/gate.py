"""The gate as Markdown for a pull request or a job summary."""

from collections.abc import Iterator, Sequence

from pytest_llmbench.gate.min_score import MinScoreRuling, with_floors
from pytest_llmbench.gate.rulings import Gate, MovedCase
from pytest_llmbench.report.markdown.escape import escaped, fenced, table_head, table_row
from pytest_llmbench.report.safe_text import clipped
from pytest_llmbench.report.sentences import Sentence, deciding_sample, gate_sentences, min_score_sentences
from pytest_llmbench.report.transcript import answer_text

_MAX_NAME = 100
_MAX_SENTENCE = 600

VERDICT_HEAD = table_head(["", "verdict", ""])


def comparison_markdown(
    gate: Gate, *, is_verbose: bool = False, floors: Sequence[MinScoreRuling] = ()
) -> Iterator[str]:
    """Write a comparison: a table with a row for each suite, the details as a list, the overall verdict last."""
    sentences = [*gate_sentences(gate, is_verbose=False), *min_score_sentences(floors)]
    yield from VERDICT_HEAD
    yield from verdict_rows(sentences)
    yield ""
    for sentence in sentences:
        if sentence.details:
            yield f"**{escaped(sentence.name)}**"
            yield ""
            yield from (f"- {escaped(detail)}" for detail in sentence.details)
            yield ""
    if is_verbose:
        yield from _answers(gate)
    if gate.broken is not None:
        yield f"not judged: {escaped(gate.broken)}"
        yield ""
    yield f"**Verdict: {with_floors(gate.verdict, floors)}**"


def verdict_rows(sentences: Sequence[Sentence]) -> Iterator[str]:
    """Give the rows of the table of verdicts."""
    for sentence in sentences:
        text = escaped(clipped(sentence.text, _MAX_SENTENCE))
        yield table_row([escaped(clipped(sentence.name, _MAX_NAME)), str(sentence.verdict or ""), text])


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
        sample = deciding_sample(record, wants_low=wants_low)
        yield f"{word} ({escaped(sample.reason or '')}):" if sample else f"{word}:"
        yield ""
        yield from fenced(answer_text(sample) if sample else "no answer")
        yield ""

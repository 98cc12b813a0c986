"""A run as text to read: every prompt, answer and grade."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.report.format import counted, seconds
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.failure import checks_row, differing_rows
from pytest_llmbench.report.tool_calls import tool_lines
from pytest_llmbench.report.transcript import transcript
from pytest_llmbench.results.checks import deciding_parts
from pytest_llmbench.results.records import Record, Run, Sample
from pytest_llmbench.values import Json, Outcome, Prompt


@dataclass(frozen=True, slots=True)
class Block:
    """A labelled part of a record; `is_sentence` where the text is ours, and not one that was sent or answered."""

    label: str
    text: str
    is_sentence: bool = False


def record_lines(record: Record, run: Run) -> Iterator[str]:
    """Write one record: what was sent, each answer, each grade."""
    yield visible(f"== {record_heading(record)}")
    for block in record_blocks(record, run):
        yield visible(f"-- {block.label}")
        yield from (f"   {line}".rstrip() for line in visible(block.text).split("\n"))
    yield ""


def record_heading(record: Record) -> str:
    """Name a record, its outcome and its score."""
    score = "no score" if record.score is None else f"score {record.score:.2f}"
    return f"{record.suite}/{record.case} [{record.role}]: {record.outcome}, {score}"


def record_blocks(record: Record, run: Run) -> Iterator[Block]:
    """Give the parts of a record in their order; texts are as they came, not safe to print."""
    prompt = run.facts.prompts.get(record.prompt_sha256)
    if prompt is not None:
        yield from _prompt_blocks(prompt)
    expected = run.facts.expected.get(record.case_sha256)
    if expected is not None:
        yield Block("expected", expected)
    for number, sample in enumerate(record.samples, start=1):
        which = f" {number}" if len(record.samples) > 1 else ""
        for block in _sample_blocks(sample):
            yield Block(f"{block.label}{which}", block.text, block.is_sentence)


def _prompt_blocks(prompt: Prompt) -> Iterator[Block]:
    if prompt.text is not None:
        yield Block("prompt", prompt.text)
    if prompt.tools:
        yield Block("tools", "\n".join(tool_lines(prompt.tools)))
    for message in prompt.messages:
        yield Block(message.role, message.content)


def _sample_blocks(sample: Sample) -> Iterator[Block]:
    if sample.reasoning is not None:
        yield Block("reasoning", sample.reasoning)
    talk = transcript(sample)
    if talk is not None:
        yield Block("conversation", talk)
    elif sample.answer is not None and (sample.answer or not sample.tool_calls):
        yield Block("answer", sample.answer)
    if sample.tool_calls and talk is None:
        yield Block("calls", "\n".join(map(str, sample.tool_calls)))
    if sample.outcome is Outcome.ERROR:
        yield Block("error", sample.error or "")
    else:
        yield Block("grade", f"{sample.reason} (score {sample.score:.2f}): {sample.explanation}", is_sentence=True)
        for label, text in (*checks_row(sample.parts), *differing_rows(deciding_parts(sample.parts))):
            yield Block(label, text)
    yield from _judge_blocks(sample.parts)
    cost = ", ".join(_cost(sample))
    if cost:
        yield Block("cost", cost, is_sentence=True)


def _judge_blocks(parts: Mapping[str, Json]) -> Iterator[Block]:
    """Give what a judge replied, word for word; the file may be foreign."""
    replies = parts.get("judge_replies")
    if not isinstance(replies, Sequence) or isinstance(replies, str):
        return
    for number, reply in enumerate(replies, start=1):
        # one a vote, of a suite with checks one a rubric and vote
        which = f", {number} of {len(replies)}" if CHECKS in parts else f", vote {number}"
        which = which if len(replies) > 1 else ""
        yield Block(f"reply of the judge{which}", reply if isinstance(reply, str) else "(none)")


def _cost(sample: Sample) -> Iterator[str]:
    for value, word in (
        (sample.latency_s, "total"),
        (sample.ttft_s, "to the first token"),
        (sample.ttfa_s if sample.ttfa_s != sample.ttft_s else None, "to the first token of the answer"),
    ):
        if value:
            yield f"{seconds(value)} {word}"
    for count, word in (
        (sample.input_tokens, "input"),
        (sample.output_tokens, "output"),
        (sample.reasoning_tokens, "reasoning"),
    ):
        if count:
            yield counted(count, f"{word} token")

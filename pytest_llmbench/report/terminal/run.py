"""A run as text to read: every prompt, answer and grade."""

from collections.abc import Iterator

from pytest_llmbench.report.format import counted, seconds
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.failure import checks_row, differing_rows
from pytest_llmbench.results.checks import deciding_parts
from pytest_llmbench.results.records import Record, Run, Sample
from pytest_llmbench.values import Outcome, Prompt


def record_lines(record: Record, run: Run) -> Iterator[str]:
    """Write one record: what was sent, each answer, each grade."""
    score = "no score" if record.score is None else f"score {record.score:.2f}"
    yield visible(f"== {record.suite}/{record.case} [{record.role}]: {record.outcome}, {score}")
    prompt = run.facts.prompts.get(record.prompt_sha256)
    if prompt is not None:
        yield from _prompt_lines(prompt)
    expected = run.facts.expected.get(record.case_sha256)
    if expected is not None:
        yield from _block("expected", expected)
    for number, sample in enumerate(record.samples, start=1):
        which = f" {number}" if len(record.samples) > 1 else ""
        yield from _sample_lines(sample, which)
    yield ""


def _prompt_lines(prompt: Prompt) -> Iterator[str]:
    if prompt.text is not None:
        yield from _block("prompt", prompt.text)
    for message in prompt.messages:
        yield from _block(message.role, message.content)


def _sample_lines(sample: Sample, which: str) -> Iterator[str]:
    if sample.reasoning is not None:
        yield from _block(f"reasoning{which}", sample.reasoning)
    if sample.answer is not None:
        yield from _block(f"answer{which}", sample.answer)
    if sample.outcome is Outcome.ERROR:
        yield from _block(f"error{which}", sample.error or "")
    else:
        yield from _block(f"grade{which}", f"{sample.reason} (score {sample.score:.2f}): {sample.explanation}")
        for label, text in (*checks_row(sample.parts), *differing_rows(deciding_parts(sample.parts))):
            yield from _block(f"{label}{which}", text)
    times = [
        f"{seconds(value)} {word}"
        for value, word in (
            (sample.latency_s, "total"),
            (sample.ttft_s, "to the first token"),
            (sample.ttfa_s if sample.ttfa_s != sample.ttft_s else None, "to the first token of the answer"),
        )
        if value
    ]
    tokens = [
        counted(count, f"{word} token")
        for count, word in (
            (sample.input_tokens, "input"),
            (sample.output_tokens, "output"),
            (sample.reasoning_tokens, "reasoning"),
        )
        if count
    ]
    if times or tokens:
        yield from _block(f"cost{which}", ", ".join([*times, *tokens]))


def _block(label: str, text: str) -> Iterator[str]:
    yield visible(f"-- {label}")
    yield from (f"   {line}".rstrip() for line in visible(text).split("\n"))

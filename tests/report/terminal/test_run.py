"""`llmbench show`: a record as text to read."""

from dataclasses import replace

import pytest

import factories
from pytest_llmbench.report.terminal.run import record_lines
from pytest_llmbench.results.records import Record, Run, RunInfo, error_sample, graded_sample
from pytest_llmbench.values import Answer, AnswerError, Grade, Message, Outcome, Prompt

GRADE = Grade(score=1.0, passed=True, reason="correct", explanation="As expected.")
SAMPLE = graded_sample(
    Answer(text="Paris.\nOf course.", latency_s=0.25, ttft_s=0.02, input_tokens=9, output_tokens=2), GRADE
)
RECORD = factories.record(
    "france", SAMPLE, suite="capitals", role="old", model="gpt", prompt_style="completion", case_sha256=""
)


def lines(record: Record, prompt: Prompt | None = None, expected: str | None = None) -> list[str]:
    prompts = {} if prompt is None else {"p": prompt}
    told = {} if expected is None else {record.case_sha256: expected}
    return list(record_lines(record, Run(records=(record,), facts=RunInfo(prompts=prompts, expected=told))))


def test_a_record_is_told_from_prompt_to_cost() -> None:
    """What was sent and expected, the answer, the grade, times and tokens, a blank line."""
    assert lines(RECORD, Prompt(text="Q: Capital of France?\n\nA:"), "Paris") == [
        "== capitals/france [old]: passed, score 1.00",
        "-- prompt",
        "   Q: Capital of France?",
        "",
        "   A:",
        "-- expected",
        "   Paris",
        "-- answer",
        "   Paris.",
        "   Of course.",
        "-- grade",
        "   correct (score 1.00): As expected.",
        "-- cost",
        "   0.25s total, 20ms to the first token, 9 input tokens, 2 output tokens",
        "",
    ]


def test_messages_are_told_by_role() -> None:
    """Each message of a chat is a block under its role."""
    prompt = Prompt(messages=(Message(role="system", content="Be brief."), Message(role="user", content="Capital?")))

    assert lines(RECORD, prompt)[1:5] == ["-- system", "   Be brief.", "-- user", "   Capital?"]


def test_samples_are_numbered_and_an_error_tells_its_cause() -> None:
    """Of several samples each has its number; an error has no grade and no cost, and an unknown prompt is left out."""
    error = error_sample(AnswerError(cause="HTTP 500\nTraceback"))
    bare = graded_sample(Answer(text=""), replace(GRADE, score=0.5, passed=False, reason="empty"))
    record = replace(RECORD, samples=(error, bare), score=0.5, outcome=Outcome.FAILED)

    assert lines(record) == [
        "== capitals/france [old]: failed, score 0.50",
        "-- error 1",
        "   HTTP 500",
        "   Traceback",
        "-- answer 2",
        "",
        "-- grade 2",
        "   empty (score 0.50): As expected.",
        "",
    ]


def test_a_record_of_errors_has_no_score() -> None:
    """Where nothing was answered there is no number to show."""
    record = replace(RECORD, samples=(error_sample(AnswerError(cause="x")),), score=None, outcome=Outcome.ERROR)

    assert lines(record)[0] == "== capitals/france [old]: error, no score"


@pytest.mark.parametrize("place", ["suite", "answer", "explanation", "prompt", "role"])
def test_nothing_of_a_file_acts_on_the_terminal(place: str) -> None:
    """Whatever part of a run file holds an escape, it is shown."""
    hostile = "\x1b[2J\x9b\u202e"
    sample = replace(SAMPLE, **{place: hostile}) if place in ("answer", "explanation") else SAMPLE
    record = replace(RECORD, samples=(sample,), suite=hostile if place == "suite" else "s")
    message = Message(role=hostile if place == "role" else "user", content=hostile if place == "prompt" else "q")

    text = "\n".join(lines(record, Prompt(messages=(message,))))

    assert not set(text) & set(hostile) - set("[2J")
    assert r"\x1b[2J\x9b\u202e" in text


def test_reasoning_is_told_before_the_answer() -> None:
    """Reasoning, its tokens, and the time to the first token of the answer stand in the story where there are any."""
    sample = replace(SAMPLE, reasoning="Rome?\nNo.", reasoning_tokens=5, ttfa_s=0.2)

    found = lines(replace(RECORD, samples=(sample,)))

    assert found[1:6] == ["-- reasoning", "   Rome?", "   No.", "-- answer", "   Paris."]
    assert (
        "   0.25s total, 20ms to the first token, 0.20s to the first token of the answer, 9 input tokens, "
        "2 output tokens, 5 reasoning tokens"
    ) in found

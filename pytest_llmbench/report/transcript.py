"""An answer as one text: with its calls, or the conversation turn by turn. Files may be foreign."""

from collections.abc import Iterator, Mapping, Sequence

from pytest_llmbench.results.records import Sample
from pytest_llmbench.values import Json, ToolCall

TURNS = "turns"
"""The part of a grade that holds the turns of a conversation."""


def transcript(sample: Sample) -> str | None:
    """Write the conversation of a sample; None where it has none."""
    turns = sample.parts.get(TURNS)
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        return None
    lines = [line for turn in turns if isinstance(turn, Mapping) for line in _turn(turn)]
    return "\n".join(lines) or None


def answer_text(sample: Sample) -> str:
    """Give all of an answer: the conversation, or the text and the calls behind it."""
    talk = transcript(sample)
    return "\n".join(filter(None, [sample.answer, *map(str, sample.tool_calls)])) if talk is None else talk


def _turn(turn: Mapping[str, Json]) -> Iterator[str]:
    yield f"user: {turn.get('user', '')}"
    answer, calls = turn.get("answer"), turn.get("tool_calls")
    if answer or not calls:
        yield f"model: {answer or '(empty)'}"
    for call in calls if isinstance(calls, Sequence) and not isinstance(calls, str) else ():
        if isinstance(call, Mapping):
            arguments = call.get("arguments")
            made = arguments if isinstance(arguments, Mapping | str) else {}
            yield f"calls: {ToolCall(name=str(call.get('name')), arguments=made)}"

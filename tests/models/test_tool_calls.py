"""Tool calls are read from what servers, applications and files give."""

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.reply import EventReader, read_completion
from pytest_llmbench.models.openai.request_body import sent_body
from pytest_llmbench.models.recorded import Recording
from pytest_llmbench.models.tool_calls import tool_call
from pytest_llmbench.values import Answer, Message, Prompt, Request, Sampling, Tool, ToolCall

SEARCH = ToolCall(name="search", arguments={"text": "refund"})
CLOSE = ToolCall(name="close", arguments={})


def call(name: str | None, arguments: Any, **more: Any) -> dict[str, Any]:
    return {**more, "function": {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}}  # fmt: skip


TEXT = '{"text": "refund"}'
STREAMS = {
    "pieces, as OpenAI sends them": [
        [call("search", "", index=0, id="a", type="function")],
        [call(None, '{"text": ', index=0)],
        [call(None, '"refund"}', index=0)],
        [call("close", "{}", index=1, id="b")],
    ],
    "the name in each piece": [[call("search", '{"text": ', index=0)], [call("search", '"refund"}', index=0)], [call("close", "", index=1)]],
    "whole ones, all with the index 0": [[call("search", TEXT, index=0, id="a")], [call("close", "{}", index=0, id="b")]],
    "whole ones without an index": [[call("search", TEXT), call("close", None)]],
    "arguments as an object": [[call("search", {"text": "refund"}, index=0)], [call("close", {}, index=1)]],
}  # fmt: skip


def stream(deltas: list[Any]) -> bytes:
    events = [{"choices": [{"index": 0, "delta": {"tool_calls": delta}}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("deltas", STREAMS.values(), ids=STREAMS)
def test_a_stream_gives_its_calls(deltas: list[Any]) -> None:
    """However a server cuts and counts its calls, they are put together, and the first piece is timed."""
    reader = EventReader()
    reader.feed(stream(deltas), 2.5)

    reply = reader.reply()

    assert reply.tool_calls == (SEARCH, CLOSE)
    assert (reply.text, reply.finish_reason, reader.text_at) == ("", "tool_calls", 2.5)


def test_a_text_may_come_with_calls() -> None:
    """Pieces of both are told apart, also those that are read only at the end of the stream."""
    reader = EventReader()
    reader.feed(b'data: {"choices": [{"delta": {"content": "I look."}}]}\n\n' + stream(STREAMS["whole ones without an index"]), 1.0)  # fmt: skip

    reply = reader.reply()

    assert (reply.text, reply.tool_calls) == ("I look.", (SEARCH, CLOSE))


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "tool_calls": [call("search", TEXT, id="a"), call("close", "{}", id="b")]},
        {"tool_calls": [call("search", {"text": "refund"}), call("close", None)]},
    ],
)
def test_a_whole_reply_gives_its_calls(message: dict[str, Any]) -> None:
    """A reply that is not streamed is read likewise."""
    reply = read_completion({"choices": [{"message": message, "finish_reason": "tool_calls"}]})

    assert (reply.text, reply.tool_calls) == ("", (SEARCH, CLOSE))


def test_the_single_call_of_older_servers_is_one() -> None:
    """`function_call` is a call too."""
    message = {"content": None, "function_call": {"name": "search", "arguments": TEXT}}

    assert read_completion({"choices": [{"message": message}]}).tool_calls == (SEARCH,)


@pytest.mark.parametrize("arguments", ['{"text": "refu', "[1]", "NaN", '"refund"'])
def test_arguments_that_are_no_object_stay_as_they_came(arguments: str) -> None:
    """A check can say so; nothing is lost."""
    assert tool_call("search", arguments).arguments == arguments


def test_tools_are_part_of_what_is_sent_and_of_its_digest() -> None:
    """The body has them as the protocol writes them; without any, the digest is that of earlier releases."""
    tool = Tool(name="search", description="Look it up", parameters={"type": "object"})
    plain = Prompt(messages=(Message(role="user", content="?"),))
    prompt = Prompt(messages=plain.messages, tools=(tool,))
    request = Request(suite="s", case="c", sample=0, prompt=prompt, sampling=Sampling())

    body = sent_body(OpenAIEntry(provider="openai", model="m"), request, ())

    function = {"name": "search", "description": "Look it up", "parameters": {"type": "object"}}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert plain.sha256 == "93c165e2cf42e4d9a53d37f2bed7c35ac0d7d5ae2d46070f7d32f87255059ff7"
    assert prompt.sha256 != plain.sha256


def test_a_tool_without_parameters_says_so() -> None:
    """`strict: false` and `parameters: {}` are sent as they stand; what is not given is not sent."""
    function = {"name": "now", "parameters": {}, "strict": False}
    assert Tool(name="now", parameters={}, strict=False).definition == {"type": "function", "function": function}
    assert Tool(name="now").definition == {"type": "function", "function": {"name": "now"}}


LINES = """\
{"case": "alone", "tool_calls": [{"name": "search", "arguments": {"text": "refund"}}]}
{"case": "with-text", "answer": "I look.", "tool_calls": [{"function": {"name": "close", "arguments": "{}"}}]}
{"custom_id": "s/batch/0", "response": {"body": {"choices": [{"message": {"content": null, "tool_calls": [{"function": {"name": "close", "arguments": "{}"}}]}}]}}}
"""


def recorded(path: Path, lines: str, case: str) -> Answer:
    file = path / "answers.jsonl"
    file.write_text(lines)
    prompt = Prompt(text="?")
    found = Recording(file).find(Request(suite="s", case=case, sample=0, prompt=prompt, sampling=Sampling()))
    assert isinstance(found, Answer)
    return found


@pytest.mark.parametrize(
    ("case", "text", "calls"),
    [("alone", "", (SEARCH,)), ("with-text", "I look.", (CLOSE,)), ("batch", "", (CLOSE,))],
)
def test_recorded_answers_may_have_calls(tmp_path: Path, case: str, text: str, calls: tuple[ToolCall, ...]) -> None:
    """A line names calls as applications do or as the protocol does, and an answer of a batch has its own."""
    answer = recorded(tmp_path, LINES, case)

    assert (answer.text, answer.tool_calls) == (text, calls)


@pytest.mark.parametrize("calls", ["3", '[{"arguments": {}}]', '["search"]'])
def test_recorded_calls_that_are_none_are_named(tmp_path: Path, calls: str) -> None:
    """A list of something else is a fault of the file, with its line."""
    with pytest.raises(UsageFault, match=r"answers.jsonl:1: this line has .* as its tool_calls; it must be a list of"):
        recorded(tmp_path, f'{{"case": "a", "answer": "x", "tool_calls": {calls}}}', "a")

"""Replies read from their bytes, without a server."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.models.openai.message import ReplyFault, server_message
from pytest_llmbench.models.openai.reply import (
    BodyReader,
    EventReader,
    Reply,
    read_completion,
)


def piece(text, **more):
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": text}, **more}]}


def stream(*events, end="\n\n"):
    return b"".join(b"data: " + json.dumps(event).encode() + end.encode() for event in events) + b"data: [DONE]\n\n"


def read(raw, *cuts):
    reader = EventReader()
    edges = [0, *sorted(cuts), len(raw)]
    for at, (start, end) in enumerate(pairwise(edges)):
        reader.feed(raw[start:end], float(at))
    return reader


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
WHOLE = stream(piece(""), piece("Grüße"), piece(" 🙂"), piece("", finish_reason="stop"), USAGE)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=12))
def test_any_cut(cuts):
    """However the network cuts a stream, in lines or in letters, the same reply is read."""
    reply = read(WHOLE, *cuts).reply()

    assert reply == Reply(
        text="Grüße 🙂", finish_reason="stop", input_tokens=3, output_tokens=2, server_model="m", fingerprint=None
    )


@pytest.mark.parametrize(
    "raw",
    [
        stream(piece("ok", finish_reason="stop"), end="\r\n\r\n"),
        b": ping\n\nevent: message\nid: 7\nretry: 10\n" + stream(piece("ok", finish_reason="stop")),
        stream(piece("ok", finish_reason="stop")).replace(b"data: ", b"data:"),
        stream(piece("ok", finish_reason="stop")).removesuffix(b"data: [DONE]\n\n"),
        stream(piece("ok", finish_reason="stop")).removesuffix(b"\n\ndata: [DONE]\n\n"),
        b"data:\n\n" + stream(piece("ok"), {"choices": [], "prompt_filter_results": []}),
        stream({"choices": [{"text": "ok", "finish_reason": "stop"}]}),
        stream(piece("ok"), {"choices": [{"index": 1, "delta": {"content": "another choice"}}]}),
        stream({"choices": [{"delta": {"reasoning_content": "hm"}}]}, piece("ok")),
        stream({"choices": [{"delta": {"content": None, "reasoning": "hm"}}]}, piece("ok")),
        stream({"choices": [{"delta": {"refusal": "ok"}}]}),
        b'{"choices": [{"message": {"content": "ok"}}]}',
        b'{\n "choices":\n [{"message": {"content": "ok"}}]\n}\n',
    ],
)
def test_shapes_of_streams(raw):
    """Line ends, comments, event names, ends without a mark, other choices, thoughts and plain bodies are understood."""
    assert read(raw).reply().text == "ok"


@pytest.mark.parametrize(
    ("events", "text_at"),
    [
        ((piece("a"), piece("b")), 0.0),
        ((piece(""), piece("b")), 1.0),
        (({"choices": [{"delta": {"reasoning": "hm"}}]}, {"choices": [{"delta": {"role": "assistant"}}]}), 0.0),
        (({"choices": [{"delta": {"role": "assistant"}}]}, {"choices": [{"delta": {"thinking": "hm"}}]}), 1.0),
        (({"choices": "broken"}, piece("b")), None),
    ],
)
def test_first_text(events, text_at):
    """The first text is the first piece of reasoning or answer that is not empty."""
    first, second = (b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    reader = EventReader()

    reader.feed(first, 0.0)
    reader.feed(second, 1.0)

    assert reader.text_at == text_at


def test_first_text_in_a_line_without_an_end():
    """Where the only text comes in a last line that is never ended, its time is that of the bytes that brought it."""
    reader = EventReader()

    reader.feed(b": ping\n\ndata: ", 1.0)
    reader.feed(json.dumps(piece("ok", finish_reason="stop")).encode(), 2.0)

    assert (reader.reply().text, reader.text_at) == ("ok", 2.0)


def test_complete():
    """A stream is complete when it says so, and not because a text says it."""
    said = read(stream(piece("\ndata: [DONE]\n")).removesuffix(b"data: [DONE]\n\n"))
    done = read(stream(piece("x")))

    assert (said.is_complete, done.is_complete) == (False, True)


@pytest.mark.parametrize(
    ("body", "text", "finish_reason"),
    [
        ({"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}, "", "stop"),
        ({"choices": [{"message": {"content": None}, "finish_reason": "length"}]}, "", "length"),
        ({"choices": [{"message": {}, "finish_reason": "tool_calls"}]}, "", "tool_calls"),
        ({"choices": [{"message": {"content": "par"}, "finish_reason": "content_filter"}]}, "par", "content_filter"),
        ({"choices": [{"message": {"content": None, "refusal": "I can't"}}]}, "I can't", None),
        ({"choices": [{"text": "", "finish_reason": "stop"}]}, "", "stop"),
        ({"choices": [{"message": {"content": "a"}, "finish_reason": 7}], "usage": None, "model": None}, "a", None),
    ],
)
def test_answers_that_are_short(body, text, finish_reason):
    """An empty, filtered or refused message is an answer; judging it is the grader's."""
    reader = BodyReader()
    reader.feed(json.dumps(body).encode(), 0.0)

    reply = reader.reply()

    assert (reply.text, reply.finish_reason) == (text, finish_reason)
    assert (reply.input_tokens, reply.server_model) == (None, None)


def test_empty_stream_of_an_answer():
    """A stream that names a choice and no text is an empty answer."""
    assert read(stream(piece("", finish_reason="stop"))).reply() == Reply(
        text="", finish_reason="stop", server_model="m"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "the reply holds no message"),
        ({"choices": [{"finish_reason": "stop"}]}, "the reply holds no message"),
        ({"choices": [7]}, "the reply has 7 where an object belongs"),
        (None, "the reply has null where an object belongs"),
        ({"error": "out of memory"}, "out of memory"),
        ({"error": {"code": 500}}, '{"code": 500}'),
    ],
)
def test_bodies_that_are_no_answer(body, message):
    """A body without a message is a fault that says what is there instead."""
    with pytest.raises(ReplyFault) as raised:
        read_completion(body)

    assert str(raised.value) == message


def test_empty_body():
    """A reply without a byte is told as empty."""
    with pytest.raises(ReplyFault, match=r"^the reply is empty$"):
        BodyReader().reply()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "m", "code": 1}}, "m"),
        ({"error": "m"}, "m"),
        ({"message": "m"}, "m"),
        ({"detail": "m"}, "m"),
        ({"other": 1}, '{"other": 1}'),
        ("m", "m"),
        (None, ""),
    ],
)
def test_server_message(body, message):
    """The short message of a server is found in the forms that are common."""
    assert server_message(body) == message

"""The many ways in which servers give, stop and refuse answers, streamed and whole."""

import json

import pytest

from pytest_llmbench.models.separated import SeparatedModel
from pytest_llmbench.values import AnswerError

THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
TEXT = {"type": "text", "text": "yes"}

MESSAGES = {
    "content": {"content": "yes"},
    "parts": {"content": [TEXT]},
    "parts of two": {"content": [{"type": "text", "text": "y"}, {"type": "output_text", "text": "es"}]},
    "one part": {"content": TEXT},
    "texts": {"content": ["y", "es"]},
    "text with a value": {"content": [{"type": "text", "text": {"value": "yes", "annotations": []}}]},
}
THOUGHTFUL = {
    "reasoning_content": {"reasoning_content": "hm", "content": "yes"},
    "reasoning": {"reasoning": "hm", "content": "yes"},
    "both": {"reasoning": "hm", "reasoning_content": "hm", "content": "yes"},
    "thinking": {"thinking": "hm", "content": "yes"},
    "reasoning_details": {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "content": "yes"},
    "Mistral's parts": {"content": [THINKING, TEXT]},
    "Anthropic's parts": {"content": [{"type": "thinking", "thinking": "hm"}, TEXT]},
    "parts of Gemini": {"content": [{"text": "hm", "thought": True}, {"text": "yes"}]},
    "field and marks": {"reasoning_content": "hm", "content": "<think>hm</think>\n\nyes"},
    "marks": {"content": "<think>hm</think>\n\nyes"},
    "space": {"reasoning_content": "hm", "content": "\n\nyes"},
}


@pytest.fixture
def ask(openai_model, openai_requests):
    """Ask one chat prompt of a model whose answers come apart from their reasoning."""

    def ask(*, stop=(), reasoning_tokens=0, **entry):
        model = SeparatedModel(openai_model(**entry), entry.get("reasoning", "auto"))
        (answer,) = model.answer(openai_requests("hello", stop=stop, reasoning_tokens=reasoning_tokens))
        return answer

    return ask


def sent(server, message, *, streamed, key="delta", finish="stop", **more):
    """Make a reply of a message, as one body or as a stream with the message in one event."""
    if not streamed:
        return server.whole({"message": message, "finish_reason": finish, **more})
    return server.choices(
        {"delta": {"role": "assistant"}}, {key: message}, {"delta": {}, "finish_reason": finish, **more}
    )


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_texts(openai_server, ask, message, streamed):
    """Whatever form its content has, the text of a message is read."""
    openai_server.on("hello", sent(openai_server, message, streamed=streamed))

    answer = ask(stream=streamed)

    assert (answer.text, answer.reasoning, answer.attempts) == ("yes", None, 1)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("message", THOUGHTFUL.values(), ids=THOUGHTFUL)
@pytest.mark.parametrize("stop", [(), ("\n",)], ids=["", "with stop"])
def test_reasoning(openai_server, ask, message, streamed, stop):
    """Whatever field or mark its reasoning is in, the answer comes without it, and no stop string ends it before."""
    openai_server.on("hello", sent(openai_server, message, streamed=streamed))

    answer = ask(stream=streamed, stop=stop)

    assert (answer.text, answer.reasoning) == ("yes", "hm")


@pytest.mark.parametrize(
    "choices",
    [
        [{"message": {"content": "yes"}}],
        [{"delta": {"role": "assistant"}}, {"message": {"content": "yes"}}],
        [{"delta": {}, "message": {"content": "yes"}}],
        [{"text": "yes"}],
        [{"delta": {}, "text": "yes"}],
        [{"delta": {"content": "y"}}, {"delta": {"content": "es"}}, {"message": {"content": "yes"}}],
        [{"delta": {"content": "y"}}, {"delta": {"content": "es"}}, {"delta": {}, "text": "yes"}],
        [{"delta": {"content": "yes"}, "message": {"content": "yes"}}],
        [{"message": {"content": "y"}}, {"message": {"content": "yes"}}],
        [{"message": {"content": "y"}}, {"message": {"content": "es"}}],
        [{"text": "y"}, {"text": "es"}],
    ],
)
def test_messages_in_streams(openai_server, ask, choices):
    """A message or text in place of a delta is read, and a whole one behind its pieces is not counted twice."""
    openai_server.on("hello", openai_server.choices(*choices, {"delta": {}, "finish_reason": "stop"}))

    assert ask().text == "yes"


def test_repeated_pieces(openai_server, ask):
    """Equal pieces of a stream are pieces, not repetitions."""
    openai_server.on("hello", openai_server.choices({"text": "ha"}, {"text": "ha", "finish_reason": "stop"}))

    assert ask().text == "haha"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("choice", "cause"),
    [
        ({"finish_reason": "error", "error": {"code": 502, "message": "Upstream left"}}, "Upstream left"),
        ({"error": {"message": "Upstream left"}}, "Upstream left"),
        *(
            ({"finish_reason": word}, f'the provider broke off: finish_reason is "{word}"')
            for word in ("error", "abort", "network_error")
        ),
    ],
)
def test_faults_in_choices(openai_server, ask, choice, cause, streamed):
    """A provider's fault told inside a choice is an error that is tried again, whatever text came before."""
    message = {"content": "The head"}
    broken = (
        openai_server.choices({"delta": message}, {"delta": {}, **choice})
        if streamed
        else openai_server.whole({"message": message, **choice})
    )
    openai_server.on("hello", broken, sent(openai_server, {"content": "yes"}, streamed=streamed), broken)

    again = ask(stream=streamed)
    error = ask(stream=streamed, max_retries=0)

    assert (again.text, again.attempts) == ("yes", 2)
    assert error == AnswerError(cause=cause, attempts=1, concurrency=1)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("error", "n_attempts"),
    [
        ({"object": "error", "message": "maximum context length is 4096", "code": 400}, 1),
        ({"object": "error", "message": "maximum context length is 4096", "code": 40303}, 1),
        ({"object": "error", "message": "maximum context length is 4096", "type": "BadRequestError", "code": None}, 1),
        ({"object": "error", "message": "maximum context length is 4096", "code": "400"}, 1),
        ({"object": "error", "message": "out of memory", "code": 50002}, 2),
        ({"error": {"message": "overloaded", "code": 503}}, 2),
    ],
)
def test_error_objects(openai_server, ask, error, n_attempts, streamed):
    """An error object in place of an answer keeps its words, and is tried again only where that may help."""
    made = (
        openai_server.send_stream(b"data: " + json.dumps(error).encode() + b"\n\n", b"data: [DONE]\n\n")
        if streamed
        else openai_server.respond(200, error)
    )
    openai_server.on("hello", made)

    found = ask(stream=streamed, max_retries=1)

    words = error.get("message") or error["error"]["message"]
    assert found.cause == words + (" (2 attempts)" if n_attempts == 2 else "")
    assert len(openai_server.received) == n_attempts


def test_named_error_event(openai_server, ask):
    """An event named "error" is one, whatever its object looks like."""
    raw = b'event: error\ndata: {"message": "no such model", "code": 404}\n\n'
    openai_server.on("hello", openai_server.send_stream(raw))

    assert ask() == AnswerError(cause="no such model", attempts=1, concurrency=1)


@pytest.mark.parametrize("streamed", [True, False])
def test_byte_order_mark(openai_server, ask, streamed):
    """A byte order mark before a stream or a body is no part of it."""
    body = json.dumps({"choices": [{"message": {"content": "yes"}}]}).encode()
    stream = b"".join(openai_server.events("yes"))
    openai_server.on(
        "hello",
        openai_server.send_stream(b"\xef\xbb\xbf" + stream)
        if streamed
        else openai_server.respond(200, b"\xef\xbb\xbf" + body),
    )

    assert ask(stream=streamed).text == "yes"


def test_split_surrogates(openai_server, ask):
    """The two halves of a character that a server splits over two pieces become that character."""
    halves = [b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\n' % half for half in (b"yes \\ud83d", b"\\ude00")]
    openai_server.on("hello", openai_server.send_stream(*halves, b"data: [DONE]\n\n"))

    assert ask().text == "yes 😀"


def test_half_a_surrogate(openai_server, ask):
    """A half alone becomes a replacement character, so that the text can be written anywhere."""
    openai_server.on(
        "hello",
        openai_server.send_stream(b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n', b"data: [DONE]\n\n"),
    )

    assert ask().text == "a\ufffd"


@pytest.mark.parametrize(
    "line",
    [
        b"yes, it is\n",
        b'{"response": "yes"}\n',
        b'data: {"type": "content", "text": "yes"}\n\n',
        b'data: {"message": {"content": "yes"}}\n\n',
    ],
)
def test_lines_that_belong_to_nothing(openai_server, ask, line):
    """Where no text came, a line of another protocol is an error, not an empty answer; asking again changes nothing."""
    end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
    raw = line + b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n"
    openai_server.on("hello", openai_server.send_stream(raw))

    error = ask()

    assert error.cause.startswith('the stream has a line that belongs to no answer: "')
    assert "yes" in error.cause
    assert len(openai_server.received) == 1


def test_lines_beside_an_answer(openai_server, ask):
    """Beside an answer such a line does no harm."""
    openai_server.on("hello", openai_server.send_stream(b"hello\n", *openai_server.events("yes")))

    assert ask().text == "yes"


def test_no_text_at_all(openai_server, ask):
    """A content of parts none of which is text is an error that asking again does not change."""
    openai_server.on("hello", openai_server.whole({"message": {"content": [{"type": "image_url", "image_url": 7}]}}))

    error = ask(stream=False)

    assert error.cause.startswith("the reply's text is no text but [{")
    assert len(openai_server.received) == 1


FILTER = {"content_filter_results": {"hate": {"filtered": True}, "violence": {"filtered": False}}}
AZURE = {
    "error": {
        "code": "content_filter",
        "message": "The prompt was filtered.",
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"jailbreak": {"filtered": True, "detected": True}},
        },
    }
}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("message", "finish", "more", "text", "refusal"),
    [
        ({}, "content_filter", {}, "", "content filter"),
        ({"content": "ye"}, "content_filter", {}, "ye", "content filter"),
        ({"content": ""}, "content_filter", FILTER, "", "content filter (hate)"),
        ({"content": None}, "SAFETY", {}, "", "content filter (SAFETY)"),
        ({"content": "", "refusal": "I can't."}, "stop", {}, "I can't.", "I can't."),
        ({"content": None, "refusal": "Non."}, "stop", {}, "Non.", "Non."),
        ({"content": [{"type": "refusal", "refusal": "Non."}]}, "stop", {}, "Non.", "Non."),
        ({"content": "yes", "refusal": None}, "stop", {}, "yes", None),
        ({"content": "yes", "refusal": "I can't."}, "stop", {}, "yes", None),
    ],
)
def test_refusals(openai_server, ask, message, finish, more, text, refusal, streamed):
    """What a filter ended, or the model declined in a field of its own, says so beside its text."""
    openai_server.on("hello", sent(openai_server, message, streamed=streamed, finish=finish, **more))

    answer = ask(stream=streamed)

    assert (answer.text, answer.refusal) == (text, refusal)
    assert answer.finish_reason == ("content_filter" if "filter" in (refusal or "") else finish)


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (400, AZURE, "content filter (jailbreak)"),
        (400, {"error": {"code": "content_policy_violation", "message": "no"}}, "content filter"),
        (
            403,
            {"error": {"code": 403, "metadata": {"reasons": ["hate"], "flagged_input": "x"}}},
            "content filter (hate)",
        ),
    ],
)
def test_filtered_prompts(openai_server, ask, status, body, refusal):
    """A filter that refuses the prompt is a refusal, as one that ends the answer, and is not tried again."""
    openai_server.on("hello", openai_server.respond(status, body))

    answer = ask()

    assert (answer.text, answer.finish_reason, answer.refusal) == ("", "content_filter", refusal)
    assert len(openai_server.received) == 1


def test_filter_in_a_stream(openai_server, ask):
    """A filter that is told as an error of the stream is a refusal too."""
    openai_server.on("hello", openai_server.send_stream(b"data: " + json.dumps(AZURE).encode() + b"\n\n"))

    assert ask().refusal == "content filter (jailbreak)"


def test_reasoning_tokens(openai_server, ask):
    """Tokens of reasoning are those the server counts."""
    usage = {"prompt_tokens": 3, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 7}}
    openai_server.on("hello", openai_server.stream("yes", usage=usage))

    answer = ask()

    assert (answer.output_tokens, answer.reasoning_tokens) == (9, 7)


# -- stop strings


@pytest.mark.parametrize(
    ("style", "reasoning", "is_sent"),
    [("chat", "auto", False), ("chat", ["(", ")"], False), ("chat", "none", True), ("completion", "auto", True)],
)
def test_stops_that_are_sent(openai_server, openai_model, openai_requests, style, reasoning, is_sent):
    """Entry and prompt style alone decide whether a server is told the stop strings."""
    api = "chat" if style == "chat" else "completions"

    openai_model(api=api, reasoning=reasoning).answer(openai_requests("hello", style=style, stop=("\n",)))

    assert ("stop" in openai_server.received[0].body) is is_sent


@pytest.mark.parametrize("cuts", [1, 2, 7])
def test_stop_behind_reasoning(openai_server, ask, cuts):
    """A stop string ends the answer, not the reasoning, however marks and stops are split over pieces."""
    text = "<think>\nit may be\n no\n</think>\n\nyes\nand more\n"
    pieces = [text[place : place + cuts] for place in range(0, len(text), cuts)]
    openai_server.on("hello", openai_server.stream(*pieces, finish="length"))

    answer = ask(stop=("\n",))

    assert (answer.text, answer.reasoning, answer.finish_reason) == ("yes", "it may be\n no", "stop")


def test_stream_closed_at_a_stop(openai_server, ask):
    """A stream is not waited for once a stop string has ended its answer; the latency ends there."""
    openai_server.on("hello", openai_server.stalled(*openai_server.events("yes\n", "mo", finish=None, done=False)))

    answer = ask(stop=("\n",))

    assert (answer.text, answer.finish_reason, answer.attempts) == ("yes", "stop", 1)
    assert answer.latency_s < 4


def test_usage_behind_a_stop(openai_server, ask):
    """Usage that follows a stop at once is taken along, and text that does is not."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    openai_server.on("hello", openai_server.stream("yes\n", "no", usage=usage))

    answer = ask(stop=("\n",))

    assert (answer.text, answer.output_tokens) == ("yes", 4)


def test_a_closing_mark_right_behind_a_stop(openai_server, ask):
    """Where a closing mark follows at once, what seemed an answer was reasoning, and the stream is read on."""
    openai_server.on("hello", openai_server.stream("it may be\n", "no</think>", "\n\nyes\n", "so", gap_s=0.02))

    answer = ask(stop=("\n",))

    assert (answer.text, answer.reasoning, answer.attempts) == ("yes", "it may be\nno", 1)


def test_a_filter_behind_a_stop(openai_server, ask):
    """A filter that ends what follows a stop string has ended no answer."""
    openai_server.on("hello", openai_server.stream("yes\n", "ugh", finish="content_filter"))

    assert (ask(stop=("\n",)).text, ask(stop=("\n",)).refusal) == ("yes", None)


def test_reasoning_that_the_template_opened(openai_server, ask):
    """With room for reasoning, a stop string before a closing mark does not end a text."""
    openai_server.on("hello", openai_server.stream("it may be\n", " no\n", "</think>", "\n\n", "yes\n", "no"))

    assert ask(stop=("\n",), reasoning_tokens=64).text == "yes"


def test_room_for_reasoning(openai_server, ask):
    """Room for reasoning is asked for on top of the answer's tokens."""
    ask(reasoning_tokens=100)

    assert openai_server.received[0].body["max_tokens"] == 256 + 100


def test_times_of_marked_reasoning(openai_server, ask):
    """The first token of the answer is timed behind the reasoning; without any, it is the first token."""
    openai_server.on("hello", openai_server.stream("<think>", "a", "</think>", "\n\n", "yes", gap_s=0.02))
    marked = ask()
    openai_server.on("hello", openai_server.stream("yes", " it is", gap_s=0.02))
    plain = ask()

    assert marked.ttft_s + 0.07 <= marked.ttfa_s <= marked.latency_s
    assert plain.ttft_s == plain.ttfa_s

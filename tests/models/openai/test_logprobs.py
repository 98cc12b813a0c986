"""Probabilities of labels behind an API, replies held to a schema, and servers that know neither."""

import json
from dataclasses import replace
from math import exp, log

import pytest

from pytest_llmbench.models.openai.logprobs import Step, label_logprobs, steps_of

YES_NO = ("yes", "no")


def step(written, **p):
    """Make a step; underscores in the names stand for blanks."""
    return Step(written=written, p={name.replace("_", " "): share for name, share in p.items()})


def weighed(steps, labels):
    found = label_logprobs(steps, labels)
    return {label: round(exp(value), 6) for label, value in found.items()}


@pytest.mark.parametrize(
    ("steps", "labels", "expected"),
    [
        ([step("Yes", Yes=0.5, _yes=0.1, YES=0.05, no=0.2, maybe=0.1)], YES_NO, {"yes": 0.65, "no": 0.2}),
        ([step(" no", _no=0.9, _yes=0.05), step(".", **{".": 1.0})], YES_NO, {"yes": 0.05, "no": 0.9}),
        ([step("\n", **{"\n": 0.8, "no": 0.2}), step("yes", yes=0.5, no=0.5)], YES_NO, {"yes": 0.4, "no": 0.6}),
        ([step("I", I=1.0), step("yes", yes=1.0)], YES_NO, {"yes": 0.0, "no": 0.0}),
        ([step("click", click=0.6, news=0.3), step("bait", bait=0.5, s=0.5)], ("clickbait", "news"),
         {"clickbait": 0.3, "news": 0.3}),
        ([step("news", news=0.6, click=0.3, c=0.05)], ("clickbait", "news"), {"clickbait": 0.3, "news": 0.6}),
        ([step("click", click=0.7)], ("clickbait", "news"), {"clickbait": 0.7, "news": 0.0}),
        ([step("no", no=0.8, yes=0.1), step(" idea", _idea=0.25, **{".": 0.75})], ("no", "no idea", "yes"),
         {"no": 0.6, "no idea": 0.2, "yes": 0.1}),
        ([step("po", po=0.9), step("sitive", sitive=1.0)], ("positive", "polite"), {"positive": 0.9, "polite": 0.0}),
        ([step("A", A=0.6, a=0.3)], ("a", "A"), {"a": 0.3, "A": 0.6}),
        ([step("▁Yes", **{"▁Yes": 0.7, "▁No": 0.2})], YES_NO, {"yes": 0.7, "no": 0.2}),
        ([step("", **{"": 0.9, "yes": 0.1})], YES_NO, {"yes": 0.1, "no": 0.0}),
    ],
)  # fmt: skip
def test_choices_are_weighed_along_what_was_written(steps, labels, expected):
    """Each spelling counts once; a longer label takes its mass from the shorter one it begins with."""
    assert weighed(steps, labels) == expected


def test_nothing_told_is_nothing_known():
    """Without steps no label has a probability, not even a low one."""
    assert label_logprobs([], YES_NO) is None


@pytest.mark.parametrize(
    "tables",
    [
        [],
        [{}],
        [{"content": None}],
        [{"content": [7, {"token": 7}]}],
        [{"tokens": None, "token_logprobs": None, "top_logprobs": None}],
    ],
)
def test_what_is_no_table_of_tokens_tells_nothing(tables):
    """Servers that send empty or other objects are not an error."""
    assert steps_of(tables) == ()


def test_both_forms_of_tables_are_read():
    """Those of chats, and those of completions, in which the alternatives are a mapping."""
    chat = {"content": [{"token": "yes", "logprob": log(0.5), "top_logprobs": [{"token": "no", "logprob": log(0.25)}]}]}
    completion = {"tokens": ["yes"], "token_logprobs": [log(0.5)], "top_logprobs": [{"no": log(0.25)}]}
    without_others = {"tokens": ["yes"], "token_logprobs": [log(0.5)], "top_logprobs": None}

    assert [weighed(steps_of([table]), YES_NO) for table in (chat, completion, without_others)] == [
        {"yes": 0.5, "no": 0.25},
        {"yes": 0.5, "no": 0.25},
        {"yes": 0.5, "no": 0.0},
    ]


# -- in requests and replies


def told(**p):
    """Give what a chat server says of its first token."""
    (written, share), *others = p.items()
    top = [{"token": token, "logprob": log(value)} for token, value in others]
    return {"content": [{"token": written, "logprob": log(share), "top_logprobs": top}]}


def body(text, logprobs=None):
    label = {"index": 0, "message": {"content": text}, "finish_reason": "stop", "logprobs": logprobs}
    return {"choices": [label]}


@pytest.fixture
def openai_ask_with(openai_server, openai_model, openai_requests):
    """Ask one prompt with fields of the request; give what came back, and what the server received."""

    def ask(*behaviours, prompts=("hello",), style="chat", entry=None, **request):
        for prompt in prompts:
            openai_server.on(prompt, *behaviours)
        model = openai_model(**{"stream": False, **(entry or {})})
        asked = [replace(one, **request) for one in openai_requests(*prompts, style=style, max_tokens=9)]
        return [model.answer([one])[0] for one in asked], [received.body for received in openai_server.received]

    return ask


def test_probabilities_stand_beside_an_answer(openai_server, openai_ask_with):
    """The answer is what was written; the probabilities come with it, in one request."""
    (answer,), (sent,) = openai_ask_with(
        openai_server.respond(200, body("Yes, it is.", told(Yes=0.5, No=0.25))), labels=YES_NO
    )

    assert answer.text == "Yes, it is."
    assert {name: round(exp(value), 6) for name, value in answer.label_logprobs.items()} == {"yes": 0.5, "no": 0.25}
    assert (sent["logprobs"], sent["top_logprobs"], sent["max_tokens"]) == (True, 20, 9)


def test_a_streams_probabilities_are_put_together(openai_server, openai_ask_with):
    """Each event tells of its own tokens."""
    events = [
        {"choices": [{"index": 0, "delta": {"content": text}, "logprobs": {"content": [token]}}]}
        for text, token in (
            ("click", {"token": "click", "logprob": log(0.5)}),
            ("bait", {"token": "bait", "logprob": log(0.5)}),
        )
    ]
    raw = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]

    (answer,), _ = openai_ask_with(
        openai_server.send_stream(*raw, b"data: [DONE]\n\n"), labels=("clickbait", "news"), entry={"stream": True}
    )

    assert answer.text == "clickbait"
    assert exp(answer.label_logprobs["clickbait"]) == pytest.approx(0.25)


def test_the_likeliest_choice_is_the_answer(openai_server, openai_ask_with):
    """Where a model chooses, what it wrote does not matter, and only a few tokens are written, greedily."""
    (answer,), (sent,) = openai_ask_with(
        openai_server.respond(200, body("Well,", told(Well=0.5, no=0.3, yes=0.1))), labels=YES_NO, picks_label=True
    )

    assert (answer.text, answer.finish_reason, answer.ttft_s) == ("no", "choice", None)
    assert (sent["max_tokens"], sent["temperature"]) == (4, 0.0)


@pytest.mark.parametrize(
    ("logprobs", "says"),
    [
        (None, "the server reports no probabilities"),
        (told(Well=0.5, hm=0.1), "none of the labels is among the likeliest"),
    ],
)
def test_a_choice_that_is_not_told_is_an_error(openai_server, openai_ask_with, logprobs, says):
    """It is not known what the model would choose, which is no wrong answer."""
    (error,), _ = openai_ask_with(openai_server.respond(200, body("Well,", logprobs)), labels=YES_NO, picks_label=True)

    assert error.cause.startswith(says)


def test_completions_are_asked_in_their_own_way(openai_server, openai_ask_with):
    """There the number of alternatives is the field itself."""
    reply = {"choices": [{"index": 0, "text": " yes", "logprobs": {"tokens": [" yes"], "token_logprobs": [log(0.5)]}}]}

    (answer,), (sent,) = openai_ask_with(
        openai_server.respond(200, reply), style="completion", entry={"api": "completions"}, labels=YES_NO
    )

    assert exp(answer.label_logprobs["yes"]) == pytest.approx(0.5)
    assert sent["logprobs"] == 20
    assert "top_logprobs" not in sent


SCHEMA = {"type": "object", "required": ["hit"], "properties": {"hit": {"type": "boolean"}}}


def test_a_reply_is_held_to_its_schema(openai_server, openai_ask_with):
    """A server that knows schemas is sent the request's."""
    (answer,), (sent,) = openai_ask_with(openai_server.respond(200, body('{"hit": true}')), reply_schema=SCHEMA)

    assert answer.text == '{"hit": true}'
    assert sent["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA},
    }


@pytest.mark.parametrize("message", ["response_format is not supported", "Unrecognized request argument supplied"])
@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_no_schema_is_asked_without(openai_server, openai_ask_with, message, status):
    """Whatever words it refuses it in, the request is sent again without."""
    behaviours = openai_server.refuse(status, message), openai_server.respond(200, body("{}"))

    (answer,), sent = openai_ask_with(*behaviours, reply_schema=SCHEMA)

    assert (answer.text, answer.attempts) == ("{}", 1)
    assert ["response_format" in one for one in sent] == [True, False]


def test_what_a_server_does_not_know_is_not_sent_again(openai_server, openai_ask_with):
    """One refusal is enough for all further requests of the model."""
    refuse, give = openai_server.refuse(400, "unknown field"), openai_server.respond(200, body("{}"))

    answers, sent = openai_ask_with(refuse, give, give, prompts=["a", "a", "a"], reply_schema=SCHEMA)

    assert [answer.text for answer in answers] == ["{}", "{}", "{}"]
    assert ["response_format" in one for one in sent] == [True, False, False, False]


def test_a_request_that_is_refused_without_too_is_its_own_error(openai_server, openai_ask_with):
    """A prompt that is too long says nothing about schemas: the next request has its schema."""
    refuse, give = openai_server.refuse(400, "the prompt is too long"), openai_server.respond(200, body("{}"))

    answers, sent = openai_ask_with(refuse, refuse, give, prompts=["a", "a"], reply_schema=SCHEMA)

    assert answers[0].cause == "BadRequestError (HTTP 400): the prompt is too long"
    assert answers[1].text == "{}"
    assert ["response_format" in one for one in sent] == [True, False, True]


def test_probabilities_that_a_server_refuses_are_done_without(openai_server, openai_ask_with):
    """Beside an answer they are a gift; as the answer they are needed."""
    refuse, give = openai_server.refuse(400, "logprobs are not supported"), openai_server.respond(200, body("yes"))

    (answer,), _ = openai_ask_with(refuse, give, labels=YES_NO)
    (error,), _ = openai_ask_with(refuse, give, prompts=["other"], labels=YES_NO, picks_label=True)

    assert (answer.text, answer.label_logprobs) == ("yes", None)
    assert error.cause.startswith("the server reports no probabilities")


def test_what_the_entry_sends_itself_is_left_to_it(openai_server, openai_ask_with):
    """A response format in `extra_body` is the user's own."""
    own = {"response_format": {"type": "json_object"}}

    _, (sent,) = openai_ask_with(openai_server.respond(200, body("{}")), reply_schema=SCHEMA, entry={"extra_body": own})

    assert sent["response_format"] == {"type": "json_object"}

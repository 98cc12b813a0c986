"""The provider against a real server: llama.cpp's, with SmolLM2."""

import json
import math
from dataclasses import replace

import pytest

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.provider import PROVIDER

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def openai_llama_url(serve_smollm2):
    server = serve_smollm2(2048)
    yield server.listening_address + "/v1"
    del server


@pytest.fixture
def openai_ask_llama(openai_llama_url, openai_requests):
    def ask(*prompts, style="chat", entry=None, fields=None, **sampling):
        table = {"provider": "openai", "model": "smollm2", "base_url": openai_llama_url, **(entry or {})}
        requests = [replace(one, **(fields or {})) for one in openai_requests(*prompts, style=style, **sampling)]
        with PROVIDER.open(OpenAIEntry.model_validate(table), OpenSettings(concurrency=2, timeout_s=60)) as model:
            return model.answer(requests), model.identity

    return ask


def test_chat(openai_ask_llama):
    """A streamed chat answer has text, tokens, an end, and both times."""
    (answer,), identity = openai_ask_llama("What is the capital of France? One word.", max_tokens=12)

    assert "Paris" in answer.text
    assert answer.finish_reason in ("stop", "length")
    assert answer.input_tokens > 10
    assert 1 <= answer.output_tokens <= 12
    assert 0 < answer.ttft_s <= answer.latency_s
    assert identity.server_model == "smollm2"


def test_streamed_or_not(openai_ask_llama):
    """The same greedy request gives the same answer streamed and in one body, in chats and in completions."""
    for api, style in (("chat", "chat"), ("completions", "completion")):
        answers = [
            openai_ask_llama(
                "The capital of France is", style=style, entry={"api": api, "stream": stream}, max_tokens=8
            )[0][0]
            for stream in (True, False)
        ]

        streamed, whole = answers
        assert streamed.text == whole.text
        assert streamed.text
        assert streamed.finish_reason == whole.finish_reason == "length"
        assert (streamed.input_tokens, streamed.output_tokens) == (whole.input_tokens, whole.output_tokens)
        assert streamed.output_tokens == 8
        assert whole.ttft_s is None
        assert whole.latency_s > 0


def test_stop(openai_ask_llama):
    """A stop string ends the answer and is not in it."""
    (answer,), _ = openai_ask_llama(
        "The capital of France is", style="completion", entry={"api": "completions"}, max_tokens=20, stop=(".",)
    )

    assert answer.text == " Paris"
    assert answer.finish_reason == "stop"


def test_seed(openai_ask_llama):
    """At a temperature, the same seed gives the same answer, and another seed another one."""
    first, again, other = (
        openai_ask_llama("Tell me a story.", max_tokens=24, temperature=1.5, seed=seed)[0][0].text for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_several_in_flight(openai_ask_llama):
    """More requests than slots are all answered, in order."""
    cities = {"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin"}
    prompts = [f"The capital of {country} is" for country in cities]

    answers, _ = openai_ask_llama(*prompts, style="completion", entry={"api": "completions"}, max_tokens=3)

    assert [city in answer.text for city, answer in zip(cities.values(), answers, strict=True)] == [True] * 4


@pytest.mark.parametrize(("api", "style"), [("chat", "chat"), ("completions", "completion")])
@pytest.mark.parametrize("stream", [True, False])
def test_choices(openai_ask_llama, api, style, stream):
    """The model chooses between labels by their probabilities, which a local run of the same weights tells alike."""
    question = "Is the sky green? Answer yes or no."
    prompt = question if api == "chat" else f"Q: {question}\nA:"

    (answer,), _ = openai_ask_llama(
        prompt, style=style, entry={"api": api, "stream": stream}, fields={"labels": ("yes", "no"), "picks_label": True}
    )

    shares = {choice: math.exp(logprob) for choice, logprob in answer.label_logprobs.items()}
    local = {"chat": {"yes": 0.080, "no": 0.315}, "completions": {"yes": 0.081, "no": 0.201}}[api]
    assert answer.text == "no"
    assert shares == pytest.approx(local, abs=0.05)


def test_schema(openai_ask_llama):
    """A reply is held to the request's schema, whatever the model would have written."""
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["quote", "hit"],
        "properties": {"quote": {"type": "string"}, "hit": {"type": "boolean"}},
    }

    (answer,), _ = openai_ask_llama("Is the sky green?", fields={"reply_schema": schema}, max_tokens=96)

    assert set(json.loads(answer.text)) == {"quote", "hit"}


def test_request_it_refuses(openai_ask_llama):
    """A request the server cannot take is that case's error, with its own words."""
    (error,), _ = openai_ask_llama("word " * 3000, max_tokens=4)

    assert error.cause.startswith("BadRequestError (HTTP 400): ")
    assert "context" in error.cause

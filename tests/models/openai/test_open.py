"""Which entries an API can be opened with, and what a wrong one is told."""

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.provider import PROVIDER
from pytest_llmbench.values import PromptStyle


def entry(**fields):
    return OpenAIEntry.model_validate({"provider": "openai", "model": "gpt-4o-mini", **fields})


@pytest.mark.parametrize(
    ("fields", "style"),
    [
        ({}, PromptStyle.CHAT),
        ({"api": "completions"}, PromptStyle.COMPLETION),
        ({"prompt_style": "chat"}, PromptStyle.CHAT),
        ({"api": "completions", "prompt_style": "completion"}, PromptStyle.COMPLETION),
    ],
)
def test_prompt_style(monkeypatch, fields, style):
    """The API decides the style of prompts, and an entry may say the same."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    assert PROVIDER.prompt_style(entry(**fields)) is style


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {},
            'Model "gpt-4o-mini" needs an API key: set OPENAI_API_KEY, or name another variable with api_key_env.',
        ),
        (
            {"api_key_env": "EMPTY_KEY", "base_url": "https://gateway.example/v1"},
            'Model "gpt-4o-mini" needs an API key: set EMPTY_KEY, or name another variable with api_key_env.',
        ),
        (
            {"api_key_env": "BROKEN_KEY"},
            "BROKEN_KEY holds characters that cannot be sent in a header; set it to plain ASCII.",
        ),
        (
            {"headers_env": {"X-Team": "NO_SUCH"}},
            'Model "gpt-4o-mini" needs a value for the header X-Team: set NO_SUCH, '
            "or name another variable in headers_env.",
        ),
        (
            {"prompt_style": "completion"},
            'Model "gpt-4o-mini" has prompt_style = "completion", but its api is "chat", which takes chat prompts: '
            'set api = "completions", or leave prompt_style out.',
        ),
        (
            {"prompt_style": "chat", "api": "completions"},
            'Model "gpt-4o-mini" has prompt_style = "chat", but its api is "completions", which takes completion '
            'prompts: set api = "chat", or leave prompt_style out.',
        ),
        (
            {"extra_body": {"stream": False}},
            'Model "gpt-4o-mini" sets stream in extra_body; leave it out, it comes from stream.',
        ),
        (
            {"extra_body": {"top_k": float("nan")}},
            'Model "gpt-4o-mini" has a value in extra_body that JSON cannot hold (Out of range float values are not '
            "JSON compliant: nan); write it as text.",
        ),
        *(
            (
                {"base_url": url},
                'Model "gpt-4o-mini" has a base_url that is no web address; '
                'write one such as "http://127.0.0.1:8000/v1".',
            )
            for url in ("localhost:8000/v1", "http://", "http://host:port/v1", "ftp://host/")
        ),
    ],
)
def test_usage_faults(monkeypatch, fields, message):
    """An entry that cannot work is refused before anything is asked, with the way out."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("EMPTY_KEY", " \n")
    monkeypatch.setenv("BROKEN_KEY", "sk-ключ")

    with pytest.raises(UsageFault) as raised:
        PROVIDER.prompt_style(entry(**fields))
    with pytest.raises(UsageFault):
        PROVIDER.open(entry(**fields), OpenSettings())

    # Python 3.11 ends the sentence before the value
    assert str(raised.value).replace(" compliant)", " compliant: nan)") == message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_loopback_needs_no_key(monkeypatch, host):
    """A server on this machine may be asked without a key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert PROVIDER.prompt_style(entry(base_url=f"http://{host}:8000/v1")) is PromptStyle.CHAT


def test_other_ways_than_a_key(monkeypatch):
    """A server that is let in by an Authorization header of one's own needs no key."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("TOKEN", "Basic abc")
    fields = {"base_url": "https://gateway.example/v1", "headers_env": {"authorization": "TOKEN"}}

    assert PROVIDER.prompt_style(entry(**fields)) is PromptStyle.CHAT


def test_address_from_the_environment(openai_server, openai_model, openai_requests, monkeypatch):
    """Without a base_url the variable the official client knows decides."""
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url)

    (answer,) = openai_model(base_url=None).answer(openai_requests("a"))

    assert answer.text == "ok"


def test_opened_by_the_provider(openai_server, openai_requests, monkeypatch):
    """The provider's model answers, and a with statement closes it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    with PROVIDER.open(entry(base_url=openai_server.url), OpenSettings(timeout_s=5)) as model:
        (answer,) = model.answer(openai_requests("a"))

    assert answer.text == "ok"
    assert openai_server.received[0].headers["authorization"] == "Bearer sk-1"

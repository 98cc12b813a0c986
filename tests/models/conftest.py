"""Models of the server on this machine's loopback."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.model import OpenAIModel
from pytest_llmbench.models.openai.retries import RetryPolicy
from pytest_llmbench.values import Message, Prompt, Request, Sampling

WITH_PATIENCE = OpenSettings(timeout_s=5)
AT_ONCE = RetryPolicy(base_s=0.001, cap_s=0.002)


@pytest.fixture
def openai_model(openai_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., OpenAIModel]]:
    """Open models of the server; retries come at once."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    opened: list[OpenAIModel] = []

    def open_model(
        *,
        settings: OpenSettings = WITH_PATIENCE,
        policy: RetryPolicy = AT_ONCE,
        **entry: Any,
    ) -> OpenAIModel:
        table = {"provider": "openai", "model": "m-1", "base_url": openai_server.url, **entry}
        model = OpenAIModel(OpenAIEntry.model_validate(table), settings, policy)
        opened.append(model)
        return opened[-1]

    yield open_model
    for model in opened:
        model.close()


@pytest.fixture
def openai_requests() -> Callable[..., tuple[Request, ...]]:
    """Make one request a prompt."""

    def make(*prompts: str, style: str = "chat", **sampling: Any) -> tuple[Request, ...]:
        made = (
            Prompt(messages=(Message(role="user", content=prompt),)) if style == "chat" else Prompt(text=prompt)
            for prompt in prompts
        )
        return tuple(
            Request(suite="jokes", case=f"case-{number}", sample=0, prompt=prompt, sampling=Sampling(**sampling))
            for number, prompt in enumerate(made)
        )

    return make


@pytest.fixture
def openai_ask(openai_model: Callable[..., OpenAIModel], openai_requests: Callable[..., Any]) -> Callable[..., Any]:
    """Ask one chat prompt; give its answer or error."""

    def ask(prompt: str = "hello", **entry: Any) -> Any:
        (result,) = openai_model(**entry).answer(openai_requests(prompt))
        return result

    return ask

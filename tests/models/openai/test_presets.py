"""Providers by name, addresses with queries, and parameters that servers refuse."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.catalog import BUILT_IN, Catalog
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.endpoint import endpoint_of
from pytest_llmbench.models.openai.request_body import way_around
from pytest_llmbench.models.presets import PRESETS
from pytest_llmbench.values import PromptStyle

NAMES = ("azure", "ollama", "openrouter", "vllm", "lmstudio", "anthropic", "gemini", "groq", "mistral")


def entry(provider, **fields):
    return OpenAIEntry.model_validate({"provider": provider, "model": "m-1", **fields})


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION", "OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_names():
    """Each preset is a provider by its name."""
    assert set(PRESETS) == set(NAMES) <= set(BUILT_IN)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "azure"])
def test_by_name_alone(tmp_path, monkeypatch, name):
    """`PROVIDER:MODEL` needs nothing but the key of a preset that has one."""
    (spec,) = Catalog(tmp_path / "none.toml", {}).choose([f"{name}:llama3.2"], tmp_path)
    key = PRESETS[name].keys["api_key_env"]
    if PRESETS[name].needs_key:
        with pytest.raises(UsageFault, match=f'"llama3.2" needs an API key: set {key}'):
            spec.provider.prompt_style(spec.entry)
    monkeypatch.setenv(key, "sk-1")

    assert spec.provider.prompt_style(spec.entry) is PromptStyle.CHAT
    assert (spec.entry.model, spec.role) == ("llama3.2", "llama3.2")
    assert endpoint_of(spec.entry).key == "sk-1"
    assert urlsplit(endpoint_of(spec.entry).address).path.startswith(("/v1", "/api/v1", "/openai/v1"))


def test_own_keys_come_first():
    """What an entry writes itself comes before its preset."""
    own = entry("ollama", base_url="http://gpu-box:11434/v1", omit=["stop"])

    assert endpoint_of(own).address == "http://gpu-box:11434/v1"
    assert own.omit == ("stop",)
    assert entry("mistral").omit == ("seed",)
    assert entry("vllm", serve="vllm serve m --port {port}").base_url is None


def test_models_file(tmp_path):
    """A preset is named in the models file as any provider, and an unknown key of it is a fault."""
    file = tmp_path / "models.toml"
    file.write_text('[a]\nprovider = "ollama"\nmodel = "llama3.2"\n[b]\nprovider = "ollama"\nmodell = "x"\n')

    assert Catalog(file, {}).choose(["a"], Path())[0].entry.base_url == "http://localhost:11434/v1"
    with pytest.raises(UsageFault, match='the unknown key "modell"'):
        Catalog(file, {}).choose(["b"], Path())


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (
            {"base_url": "{root}", "api_version": "2024-10-21"},
            "/openai/deployments/m-1/chat/completions?api-version=2024-10-21",
        ),
        ({"base_url": "{root}/openai/", "api_version": "v"}, "/openai/deployments/m-1/chat/completions?api-version=v"),
        (
            {"base_url": "{root}/openai/deployments/gpt4?api-version=2024-06-01"},
            "/openai/deployments/gpt4/chat/completions?api-version=2024-06-01",
        ),
        ({"base_url": "{root}/openai/v1"}, "/openai/v1/chat/completions"),
    ],
)
def test_azure(openai_server, openai_model, openai_requests, monkeypatch, fields, path):
    """Azure's deployments are asked with their version and its header, its newer API as any other."""
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-secret")
    fields["base_url"] = fields["base_url"].format(root=openai_server.url.removesuffix("/v1"))

    model = openai_model(provider="azure", **fields)
    (answer,) = model.answer(openai_requests("hello"))

    received = openai_server.received[0]
    assert (answer.text, received.path) == ("ok", path)
    assert received.headers["api-key"] == "az-secret"
    assert "authorization" not in received.headers
    assert model.identity.provider == "azure"
    assert "secret" not in repr(model.identity)


def test_azure_from_the_environment(openai_server, openai_model, openai_requests, monkeypatch):
    """Address and version may stand in the variables that the official client knows."""
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", openai_server.url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")

    openai_model(provider="azure", base_url=None).answer(openai_requests("hello"))

    assert openai_server.received[0].path == "/openai/deployments/m-1/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {},
            'Model "m-1" needs the address of its Azure resource: write base_url = "https://RESOURCE.openai.azure.com" '
            "in its entry, or set AZURE_OPENAI_ENDPOINT.",
        ),
        (
            {"base_url": "https://r.openai.azure.com"},
            'Model "m-1" needs the version of Azure\'s API: write api_version = "2024-10-21" in its entry, '
            "or a base_url that ends in /openai/v1.",
        ),
    ],
)
def test_azure_entries_that_lack_something(fields, message):
    """An Azure entry without address or version is refused before anything is asked."""
    with pytest.raises(UsageFault) as raised:
        endpoint_of(entry("azure", **fields))

    assert str(raised.value) == message


def test_query(openai_server, openai_model, openai_requests):
    """What a base_url has as its query stays at the end, and its values are in no message."""
    openai_server.on("hello", openai_server.refuse(400, "token query-secret is odd"))

    (error,) = openai_model(base_url=f"{openai_server.url}?token=query-secret&a=").answer(openai_requests("hello"))

    assert openai_server.received[0].path == "/v1/chat/completions?token=query-secret&a="
    assert error.cause == "BadRequestError (HTTP 400): token *** is odd"


@pytest.mark.parametrize("added", ["/chat/completions", "/completions", "/chat/completions/"])
def test_whole_path(added):
    """A base_url that holds the path of the API is a fault that says what to cut."""
    with pytest.raises(UsageFault) as raised:
        endpoint_of(entry("openai", base_url=f"http://127.0.0.1:8000/v1{added}"))

    assert f'cut "{added.rstrip("/")}" off' in str(raised.value)


@pytest.mark.parametrize(
    ("message", "way"),
    [
        (
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported.",
            '; write omit = ["temperature"] in its entry',
        ),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            '; write max_tokens_field = "max_completion_tokens" in its entry',
        ),
        (
            "Unsupported parameters: max_tokens (use max_completion_tokens), temperature, stop",
            '; write omit = ["temperature", "stop"] and max_tokens_field = "max_completion_tokens" in its entry',
        ),
        (
            '[{"type": "extra_forbidden", "loc": ["body", "seed"]}, {"type": "extra_forbidden", "loc": ["body", "stop"]}]',
            '; write omit = ["stop", "seed"] in its entry',
        ),
        ("maximum context length is 4096, max_tokens is too large", ""),
        ("stop", ""),
        ("unsupported model", ""),
    ],
)
def test_refused_parameters(openai_server, openai_ask, message, way):
    """A parameter that a server refuses ends with the keys that leave it out, all in one go."""
    openai_server.on("hello", openai_server.refuse(400, message))

    error = openai_ask()

    assert way_around(message) == way
    assert error.cause == f"BadRequestError (HTTP 400): {message}{way}"


def test_omitted(openai_server, openai_model, openai_requests):
    """What an entry omits is not sent, and stop strings are looked for here all the same."""
    openai_server.on("hello", openai_server.stream("yes\n", "no"))
    omitted = ["max_tokens", "temperature", "top_p", "stop", "seed"]
    model = openai_model(omit=omitted, reasoning="none", max_tokens_field="max_completion_tokens")

    (answer,) = model.answer(openai_requests("hello", stop=("\n",), top_p=0.5, seed=3))

    assert set(openai_server.received[0].body) == {"model", "messages", "stream", "stream_options"}
    assert answer.text == "yes"


def test_extras_that_a_preset_refuses(openai_server, openai_model, openai_requests):
    """What a provider is known to refuse is not tried first."""
    openai_model(provider="mistral", base_url=openai_server.url).answer(openai_requests("hello"))

    assert "stream_options" not in openai_server.received[0].body

"""How requests get to a server: through the envelope the official client makes, the environment's proxies, and no other host."""

import asyncio
import sys
from importlib import metadata

import httpx2
import openai
import pytest

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai import client
from pytest_llmbench.models.openai.client import name_of
from pytest_llmbench.models.openai.endpoint import endpoint_of
from pytest_llmbench.models.openai.envelope import Envelope, envelope_of
from pytest_llmbench.models.openai.provider import PROVIDER

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
FAR = "http://llm.invalid/v1"

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUXtT5Du7wwqdmA/Ct20Z27kLCvUcwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGYSB0ZXN0MCAXDTI2MTEyOTIyMDYzNFoYDzIxMjYxMTA1MjIw
NjM0WjARMQ8wDQYDVQQDDAZhIHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQND5HYGXFKgWfBG7sywspuqqKzc8v8kxUEnUMVuXrB25UWwZZji/5ObO+XITdg
p4fYSPra6bZSglYP61y3TCwEo1MwUTAdBgNVHQ4EFgQUefFG+fQ+7e3D3ELvtHtR
lcupjDkwHwYDVR0jBBgwFoAUefFG+fQ+7e3D3ELvtHtRlcupjDkwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAYhdyLF9/Wwwao0575JckBJPwCP/Eh
K9iqJHkOOUKpTAIhAIU3LBkEWDIUbfmN9gMb+xPQWODz9rv9g7KmdR0kVvwe
-----END CERTIFICATE-----
"""
"""Of nobody; its key was not kept."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for variable in PROXY_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


# -- the envelope


def envelope(**entry) -> Envelope:
    table = {"provider": "openai", "model": "m-1", "base_url": "http://127.0.0.1:9/v1", **entry}
    return asyncio.run(envelope_of(endpoint_of(OpenAIEntry.model_validate(table)), "/chat/completions"))


def test_envelope_of_the_official_client(monkeypatch):
    """Address, query, key and the client's own headers are those it would send; a request's own are not kept."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    made = envelope(base_url="http://127.0.0.1:9/v1?tenant=a b")

    assert made.url == "http://127.0.0.1:9/v1/chat/completions?tenant=a+b"
    assert made.headers["authorization"] == "Bearer sk-1"
    assert made.headers["user-agent"] == f"AsyncOpenAI/Python {openai.__version__}"
    assert not {"content-length", "host", "connection", "accept-encoding"} & set(made.headers)


def test_name_and_password_of_an_address():
    """They go in the header, as with the official client, and leave the address."""
    made = envelope(base_url="http://me:secret@127.0.0.1:9/v1")

    assert made.url == "http://127.0.0.1:9/v1/chat/completions"
    assert made.headers["authorization"] == "Basic bWU6c2VjcmV0"


def test_each_request_has_an_idempotency_key_of_its_own():
    """A copied key could give each case the first one's answer."""
    made = Envelope(url="http://a", headers={"a": "b"}, idempotency_header="idempotency-key")

    first, second = made.headers_of(1), made.headers_of(1)

    assert first["idempotency-key"] != second["idempotency-key"]
    assert first["a"] == "b"


def test_retries_are_counted(openai_server, openai_ask):
    """A server sees which attempt it is, in the official client's header."""
    openai_server.on("hello", openai_server.refuse(500), openai_server.stream("ok"))

    openai_ask()

    assert [received.headers["x-stainless-retry-count"] for received in openai_server.received] == ["0", "1"]


def test_nothing_of_the_client_is_imported_to_open_a_model(monkeypatch):
    """To open a model, to check its key and to describe it imports no client: that costs most of a second."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("openai", "httpx2", "aiohttp")]:
        monkeypatch.delitem(sys.modules, name)
    entry = OpenAIEntry(provider="openai", model="m-1", base_url="http://127.0.0.1:9/v1")

    with PROVIDER.open(entry, OpenSettings()) as model:
        libraries = model.identity.libraries

    assert libraries == {"openai": metadata.version("openai")}
    assert not {"openai", "httpx2", "aiohttp"} & set(sys.modules)


# -- what is sent


def test_long_bodies(openai_server, openai_ask):
    """A prompt of megabytes is sent whole, and without a warning."""
    prompt = "x" * 3_000_000

    answer = openai_ask(prompt)

    assert answer.text == "ok"
    assert openai_server.received[0].prompt == prompt


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "all_proxy"])
def test_proxies_of_the_environment(openai_server, openai_ask, monkeypatch, variable):
    """A request to another machine goes through the proxy the environment names, to the address it is for."""
    monkeypatch.setenv(variable, openai_server.url.removesuffix("/v1").removeprefix("http://"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    answer = openai_ask(base_url=FAR)

    assert answer.text == "ok"
    assert openai_server.received[0].path == f"{FAR}/chat/completions"
    assert openai_server.received[0].headers["host"] == "llm.invalid"


def test_hosts_without_a_proxy(openai_server, openai_ask, monkeypatch):
    """NO_PROXY keeps its hosts from the proxy."""
    monkeypatch.setenv("HTTP_PROXY", openai_server.url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", ".invalid")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    error = openai_ask(base_url=FAR, max_retries=0)

    assert error.cause.startswith("ClientConnectorDNSError: Cannot connect to host llm.invalid:80")
    assert openai_server.received == []


def test_a_proxy_that_cannot_be_used(openai_ask, monkeypatch):
    """It is named before anything is sent, with the way out."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")

    error = openai_ask(base_url=FAR)

    assert error.is_fatal
    assert error.cause == (
        "the environment names a socks5 proxy, which cannot be used; set HTTP_PROXY to one of HTTP, or NO_PROXY to "
        "the server's host"
    )


def test_certificates_of_the_environment(monkeypatch, tmp_path):
    """SSL_CERT_FILE is what is trusted, as with the official client."""
    (tmp_path / "one.pem").write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))

    assert len(client._certificates().get_ca_certs()) == 1


# -- redirects


def test_a_redirect_on_the_same_host_is_followed(openai_server, openai_ask):
    """With method, body and key."""
    moved = f"{openai_server.url}/chat/completions?moved=1"
    openai_server.on("hello", openai_server.respond(308, b"", Location=moved), openai_server.stream("ok"))

    answer = openai_ask()

    assert answer.text == "ok"
    assert [received.path.partition("?")[2] for received in openai_server.received] == ["", "moved=1"]
    assert openai_server.received[1].prompt == "hello"


@pytest.mark.parametrize(
    ("status", "location", "named"),
    [
        (307, "http://key-collector.invalid/v1", "key-collector.invalid"),
        (308, "http://me:secret@127.0.0.1:1/v1", "127.0.0.1:1"),
        (302, "/v1/other", "127.0.0.1:"),  # a client would ask with GET
        (301, "", "127.0.0.1:"),
    ],
)
def test_other_redirects_are_errors(openai_server, openai_ask, status, location, named):
    """The key is not sent to another host, and no answer is made of a GET."""
    openai_server.on("hello", openai_server.respond(status, b"", Location=location))

    error = openai_ask()

    assert error.cause.startswith(f"HTTP {status}: a redirect to {named}")
    assert error.cause.endswith("set base_url to the address itself")
    assert error.attempts == 1
    assert len(openai_server.received) == 1


def test_redirects_in_a_circle(openai_server, openai_ask):
    """They end."""
    openai_server.on("hello", openai_server.respond(307, b"", Location="/v1/chat/completions"))

    assert openai_ask().cause == "more than 5 redirects, one after another"


# -- errors


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 503, 529])
def test_errors_have_the_official_names(status):
    """As `openai` would raise them."""

    async def raised() -> str:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(status))
        made = httpx2.AsyncClient(transport=transport)
        async with openai.AsyncOpenAI(api_key="k", max_retries=0, http_client=made) as official:
            with pytest.raises(openai.APIStatusError) as found:
                await official.post("/chat/completions", cast_to=object)
        return type(found.value).__name__

    assert name_of(status) == asyncio.run(raised())


def test_a_server_that_speaks_http_2_only(openai_server, openai_ask):
    """What it sends is no HTTP/1.1, and the error says what can be done."""
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # the frame with which such a server begins
    openai_server.on("hello", openai_server.sent(settings + b"\r\n\r\n"))

    error = openai_ask(max_retries=0)

    assert error.cause.endswith("a server that speaks HTTP/2 only needs a proxy before it that speaks HTTP/1.1")


def test_an_aiohttp_that_is_too_old(monkeypatch):
    """It is named when a model is opened, with the command that mends it."""
    monkeypatch.setattr(client, "AIOHTTP", "999.1")
    entry = OpenAIEntry(provider="openai", model="m-1", base_url="http://127.0.0.1:9/v1")

    with pytest.raises(ModelFault, match=r'needs aiohttp 999\.1 or newer.*pip install -U "aiohttp>=999\.1"'):
        PROVIDER.open(entry, OpenSettings())

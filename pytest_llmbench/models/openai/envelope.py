"""Where and with which headers the official client sends a request: asked of it once for all requests of a model.

The client knows keys, Azure, queries and its own headers; to put all that together anew costs it as much for each
request as sending it.  So it builds one, for a transport that keeps what it is handed instead of sending it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pytest_llmbench.models.openai.endpoint import Endpoint

_OF_ONE_REQUEST = frozenset({"content-length", "host", "connection", "accept-encoding"})
"""Headers that belong to a request, or to the connection it goes through, and are made anew with each."""
_IDEMPOTENCY = "idempotency-key"
_RETRY_COUNT = "x-stainless-retry-count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What all requests to one address have in common. Never shown: it holds secrets."""

    url: str
    headers: Mapping[str, str]
    idempotency_header: str | None
    """A request that has its key may be taken for a repetition, and get the first one's answer: each has its own."""

    def headers_of(self, attempts: int) -> Mapping[str, str]:
        """Give the headers of the n-th attempt at a request."""
        own = {} if attempts == 1 else {_RETRY_COUNT: str(attempts - 1)}
        if self.idempotency_header is not None:
            own[self.idempotency_header] = f"llmbench-{uuid.uuid4()}"
        return {**self.headers, **own} if own else self.headers


async def envelope_of(endpoint: Endpoint, path: str) -> Envelope:
    """Let the official client build a request to an API, below the base URL; nothing is sent."""
    import httpx2
    import openai

    built: list[Any] = []

    class Keep(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            built.append(request)
            return httpx2.Response(200, request=request)

    own_headers = {"api-key": endpoint.key} if endpoint.has_azure_key else {}
    # no timeout and no retries of its own: ours know the slots and the halt
    async with openai.AsyncOpenAI(
        api_key=endpoint.key,
        base_url=endpoint.address,
        default_query=endpoint.query,
        max_retries=0,
        timeout=None,
        default_headers={**own_headers, **endpoint.headers},
        http_client=httpx2.AsyncClient(transport=Keep(), trust_env=False),
    ) as client:
        omitted: Any = {"headers": {"Authorization": openai.Omit()}} if endpoint.has_azure_key else {}
        await client.post(path, cast_to=httpx2.Response, content=b"{}", options=omitted)
    request = built[0]
    parts = urlsplit(str(request.url))
    headers = {name: value for name, value in request.headers.items() if name not in _OF_ONE_REQUEST}
    return Envelope(
        # a name and password are in the headers by now
        url=urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])),
        headers=MappingProxyType({name: value for name, value in headers.items() if name != _IDEMPOTENCY}),
        idempotency_header=_IDEMPOTENCY if _IDEMPOTENCY in headers else None,
    )

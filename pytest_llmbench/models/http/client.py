"""The way to a service: one request out, the pieces of one reply in, capped in bytes, and never to another host."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from pytest_llmbench.models.http.reply import excerpt
from pytest_llmbench.models.openai.endpoint import Endpoint
from pytest_llmbench.models.openai.failure import FORBIDDEN_AT_FIRST, Failure, Retry, asked_pause_s, is_retried

MOST_BYTES = 16 * 1024 * 1024
"""A reply that is longer is no answer; of one that is refused, only the beginning is read."""

_MOST_REFUSED_BYTES = 4096
_KEPT_S = 2.0  # less than the 5 s after which uvicorn closes an idle connection, maybe as a request is on its way


class Client:
    """Sends requests to one address. Made outside of any event loop; used and closed in one.

    Args:
        endpoint: where to, with the headers.
        method: of HTTP.
        is_repeatable: a request may be sent again, though the service may have acted on it.
    """

    def __init__(self, endpoint: Endpoint, method: str, *, is_repeatable: bool):
        import anyio
        import httpx2

        self._httpx = httpx2
        self._anyio = anyio
        self._endpoint = endpoint
        self._method = method
        self.is_repeatable = is_repeatable
        self._n_forbidden = 0  # replies of HTTP 403
        self.is_let_in = False
        self._client = httpx2.AsyncClient(
            timeout=None,  # one limit covers the whole request, set where it is sent
            follow_redirects=False,  # the headers are for this host
            trust_env=not endpoint.is_loopback,
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=_KEPT_S),
            headers={"accept-encoding": "identity", **endpoint.headers},
        )

    @asynccontextmanager
    async def exchange(self, query: Mapping[str, str], body: bytes | None, accept: str) -> AsyncIterator[Any]:
        """Send a request; give the pieces of the reply, with its type before them, as they come in.

        Raises:
            Failure: it could not be sent, or was refused; also while the pieces are read.
        """
        headers = {"accept": accept} if body is None else {"accept": accept, "content-type": "application/json"}
        sent: dict[str, Any] = {"content": body, "headers": headers}
        try:
            async with self._client.stream(self._method, self._endpoint.url, params=dict(query), **sent) as response:
                await self._check(response)
                self.is_let_in = True
                yield response.headers.get("content-type", ""), self._pieces(response)
        except (self._httpx.ConnectError, self._httpx.ConnectTimeout) as fault:
            raise self._broken(fault, was_sent=False) from fault
        except (self._httpx.RequestError, ssl.SSLError, self._anyio.EndOfStream) as fault:
            raise self._broken(fault, was_sent=True) from fault

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _pieces(self, response: Any) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for piece in response.aiter_bytes():
            n_bytes += len(piece)
            if n_bytes > MOST_BYTES:
                raise Failure(f"the reply is longer than {MOST_BYTES // 1024**2} MiB; it is not read further")
            yield piece

    async def _check(self, response: Any) -> None:
        """Check that a reply has an answer.

        Raises:
            Failure: its status is another.
        """
        status: int = response.status_code
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            place = urlsplit(response.headers.get("location", "")).hostname or self._endpoint.host
            raise Failure(
                f"HTTP {status}: a redirect to {self._endpoint.masked(place)}, which is not followed; set url to the "
                "address itself",
                status=status,
            )
        raw = b""
        async for piece in response.aiter_bytes():
            raw += piece
            if len(raw) >= _MOST_REFUSED_BYTES:
                break
        cause = f"HTTP {status}: {self._endpoint.masked(excerpt(raw))}"
        self._n_forbidden += status == 403
        if status == 401 or (status == 403 and not self.is_let_in):
            is_fatal = status == 401 or self._n_forbidden >= FORBIDDEN_AT_FIRST
            way_out = (
                "check the values of headers_env" if self._endpoint.headers else "no key was sent, see headers_env"
            )
            raise Failure(f"{cause}; {way_out}", Retry.FATAL if is_fatal else Retry.NEVER, status=status)
        raise Failure(
            cause,
            # a service that has no room for a request did not act on it
            Retry.LATER if is_retried(status) and (self.is_repeatable or status == 429) else Retry.NEVER,
            status=status,
            asked_pause_s=asked_pause_s(response.headers),
        )

    def _broken(self, fault: BaseException, *, was_sent: bool) -> Failure:
        detail = self._endpoint.masked(str(fault)) or "no reason given"
        if not was_sent:
            way_out = "start the service, or correct its url"
            cause = f"no connection to {self._endpoint.host} ({detail}); {way_out}"
            return Failure(cause, Retry.UNREACHED)
        return Failure(f"{type(fault).__name__}: {detail}", Retry.LATER if self.is_repeatable else Retry.NEVER)

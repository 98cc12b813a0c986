"""The way to a server that speaks OpenAI's protocol: a body out, the bytes of the reply in, and what can go wrong.

The official client builds the envelope of the requests (`envelope.py`); one aiohttp session sends them.  Through the
client's own call each request took three times the CPU: a third of it for putting it together anew, a third for the
layers of transport under it.
"""

import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.openai.endpoint import Endpoint
from pytest_llmbench.models.openai.envelope import Envelope, envelope_of
from pytest_llmbench.models.openai.failure import (
    BODY_STATUSES,
    FORBIDDEN_AT_FIRST,
    Failure,
    Retry,
    asked_pause_s,
    is_retried,
)
from pytest_llmbench.models.openai.message import refusal_of, server_message
from pytest_llmbench.models.openai.request_body import Extra, way_around

AIOHTTP = "3.14.4"
"""The oldest that is tried."""
MOST_REDIRECTS = 5
KEPT_REDIRECTS = frozenset({307, 308})
"""Those that keep the method and body (RFC 9110, 15.4); after the others a client would ask with GET."""
LONG_BODY = 2**20
"""Bytes from which aiohttp wants a body as a file."""
FIELD_BYTES = 2**16
"""The longest header of a reply: gateways put more into one than aiohttp's 8 KiB."""
STATUS_NAMES = MappingProxyType(
    {
        400: "BadRequestError",
        401: "AuthenticationError",
        403: "PermissionDeniedError",
        404: "NotFoundError",
        409: "ConflictError",
        422: "UnprocessableEntityError",
        429: "RateLimitError",
    }
)
"""What the official client calls its errors, by HTTP status."""


class Client:
    """Sends requests to one path of a server. Made outside of any event loop; used and closed in one.

    Args:
        endpoint: where to.
        path: of the API, below the base URL.

    Raises:
        ModelFault: the aiohttp that is installed is too old.
    """

    def __init__(self, endpoint: Endpoint, path: str):
        installed = metadata.version("aiohttp")
        if _numbers(installed) < _numbers(AIOHTTP):
            raise ModelFault(
                f"An API needs aiohttp {AIOHTTP} or newer, and {installed} is installed: "
                f'pip install -U "aiohttp>={AIOHTTP}".'
            )
        self.version = metadata.version("openai")
        self._endpoint = endpoint
        self._path = path
        self._session: Any = None
        self._n_forbidden = 0  # replies of HTTP 403
        self.is_let_in = False  # a request was taken, so address and key are right
        self._has_kept = False  # a connection, from a reply that was read to its end

    async def prepare(self) -> None:
        """Do, once, what belongs to no answer: the imports (0.7 s), the envelope, the session.

        Raises:
            Failure: the proxy of the environment cannot be used.
        """
        if self._session is not None:
            return
        import aiohttp
        from yarl import URL

        self._aiohttp = aiohttp
        self._envelope: Envelope = await envelope_of(self._endpoint, self._path)
        self._address: Any = URL(self._envelope.url, encoded=True)
        parts = urlsplit(self._envelope.url)
        self._proxy = None if self._endpoint.is_loopback else proxy_for(parts)  # no proxy can reach our loopback
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_certificates() if parts.scheme == "https" else True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # one limit, set where it is sent
            cookie_jar=aiohttp.DummyCookieJar(),  # no answer depends on those before it
            max_line_size=FIELD_BYTES,
            max_field_size=FIELD_BYTES,
        )

    @asynccontextmanager
    async def exchange(self, body: bytes, attempts: int = 1) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a body, for the n-th time; give the bytes of the reply as they come in.

        Raises:
            Failure: also while the bytes are read.
        """
        try:
            async with await self._sent(body, attempts) as response:
                if not 200 <= response.status < 300:
                    raise self._refused(response.status, response.headers, await response.read())
                self.is_let_in = True
                yield response.content.iter_any()
                self._has_kept = True
        except (self._aiohttp.ClientError, OSError) as fault:
            raise self._broken(fault) from fault

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _sent(self, body: bytes, attempts: int) -> Any:
        """Send a body, following redirects on the same host only: the headers hold its key."""
        address, url = self._address, self._envelope.url
        for _ in range(MOST_REDIRECTS):
            response = await self._session.post(
                address,
                data=body if len(body) < LONG_BODY else io.BytesIO(body),
                headers=self._envelope.headers_of(attempts),
                allow_redirects=False,
                proxy=self._proxy,
            )
            if not 300 <= response.status < 400:
                return response
            place = urljoin(url, response.headers.get("location", ""))
            status: int = response.status
            response.release()
            if status not in KEPT_REDIRECTS or not _is_same_host(urlsplit(url), urlsplit(place)):
                raise Failure(
                    f"HTTP {status}: a redirect to {self._endpoint.masked(urlsplit(place).netloc.rpartition('@')[2])}, "
                    "which is not followed, since the key is for this host; set base_url to the address itself",
                    status=status,
                )
            address, url = type(address)(place, encoded=True), place
        raise Failure(f"more than {MOST_REDIRECTS} redirects, one after another")

    def _broken(self, fault: BaseException) -> Failure:
        name = type(fault).__name__
        detail = self._endpoint.masked(str(fault))
        if "NO_APPLICATION_PROTOCOL" in detail or "Expected HTTP/" in detail:
            detail += "; a server that speaks HTTP/2 only needs a proxy before it that speaks HTTP/1.1"
        retry = Retry.LATER
        if isinstance(fault, self._aiohttp.ClientConnectorError) and not isinstance(
            fault, self._aiohttp.ClientSSLError
        ):
            retry = Retry.UNREACHED
            detail += "; start the server, or correct base_url"
        elif self._has_kept and isinstance(fault, self._aiohttp.ServerDisconnectedError):
            retry = Retry.AT_ONCE
        return Failure(f"{name}: {detail}" if detail else name, retry)

    def _refused(self, status: int, headers: Mapping[str, str], raw: bytes) -> Failure:
        body = _error_of(raw)
        own_message = server_message(body)
        message = self._endpoint.masked(own_message)
        cause = f"{name_of(status)} (HTTP {status})" + (f": {message}" if message else "")
        refusal = refusal_of(body) if 400 <= status < 500 else None
        if refusal is not None:
            return Failure(cause, status=status, refusal=refusal)
        variable = self._endpoint.key_variable
        self._n_forbidden += status == 403
        if status == 401 or (status == 403 and not self.is_let_in):
            way_out = f"check the key in {variable}" if self._endpoint.has_key else f"no key was sent, set {variable}"
            is_fatal = status == 401 or self._n_forbidden >= FORBIDDEN_AT_FIRST
            return Failure(f"{cause}; {way_out}", Retry.FATAL if is_fatal else Retry.NEVER, status=status)
        if status == 429 and isinstance(body, dict) and body.get("code") == "insufficient_quota":
            return Failure(f"{cause}; the account of the key in {variable} has no credit", Retry.FATAL)
        return Failure(
            f"{cause}{way_around(own_message) if status in BODY_STATUSES else ''}",
            Retry.LATER if is_retried(status) else Retry.NEVER,
            status=status,
            asked_pause_s=asked_pause_s(headers),
            blamed=blamed_extras(own_message) if status in BODY_STATUSES else frozenset(),
        )


def name_of(status: int) -> str:
    """Name the error of an HTTP status as the official client does."""
    return "InternalServerError" if status >= 500 else STATUS_NAMES.get(status, "APIStatusError")


def proxy_for(address: SplitResult) -> str | None:
    """Find the proxy that the environment names for an address; None where it names none.

    Raises:
        Failure: it is one that cannot be used.
    """
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(address.netloc.rpartition("@")[2]):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        raise Failure(
            f"the environment names a {scheme} proxy, which cannot be used; set {address.scheme.upper()}_PROXY to one "
            "of HTTP, or NO_PROXY to the server's host",
            Retry.FATAL,
        )
    return proxy


def blamed_extras(message: str) -> frozenset[Extra]:
    """Tell which extras a server's message is about."""
    return frozenset(extra for extra, words in _BLAMING.items() if any(word in message for word in words))


_BLAMING = MappingProxyType(
    {
        Extra.USAGE: ("stream_options",),
        Extra.SCHEMA: ("response_format", "json_schema", "guided", "grammar"),
        Extra.LOGPROBS: ("logprobs",),
    }
)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _is_same_host(old: SplitResult, new: SplitResult) -> bool:
    is_downgrade = old.scheme == "https" and new.scheme != "https"
    is_same_port = old.port == new.port or (old.scheme != new.scheme and new.port is None)
    return new.scheme in ("http", "https") and old.hostname == new.hostname and is_same_port and not is_downgrade


def _certificates() -> Any:
    """Give the certificates that the official client trusts: SSL_CERT_FILE, SSL_CERT_DIR, else its own choice."""
    import httpx2

    return httpx2.create_ssl_context()


def _error_of(raw: bytes) -> Any:
    """Read the body of an error as the official client does: the object under "error", the whole, or the text."""
    text = raw.decode(errors="replace").strip()
    try:
        body = json.loads(text)
    except ValueError:
        return text
    return body.get("error", body) if isinstance(body, dict) else body

"""The way to a server that speaks OpenAI's protocol: where it is, what is sent along, what can go wrong.

The only module that talks to the `openai` package.  Its client sends raw bytes and hands back raw
bytes (`AsyncOpenAI.post`, documented for endpoints the package does not know), which costs a third
of what its typed calls cost.  Another transport needs the three methods of `OfficialClient`.
"""

import email.utils
import math
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pytest_llmbench.models.openai.endpoint import Endpoint
from pytest_llmbench.models.openai.message import refusal_of, server_message
from pytest_llmbench.models.openai.request_body import Extra, way_around
from pytest_llmbench.models.openai.retries import Load

RETRIED_STATUSES = frozenset({408, 409, 429})
FULL_STATUSES = frozenset({429, 503})
BODY_STATUSES = frozenset({400, 422})


class Failure(Exception):
    """One attempt at a request failed.

    Args:
        cause: what happened, for people.
        is_retryable: another attempt may succeed.
        is_fatal: no request of this model can succeed.
        status: the HTTP status it met; None where there was none.
        asked_pause_s: the pause the server asked for.
        blamed: the extras that the server does not know, by its own words.
        was_kept: it was sent on a connection kept from an earlier reply, and that was closed before a byte came.
        refusal: the content filter of the provider, where that is why.
    """

    def __init__(
        self,
        cause: str,
        *,
        is_retryable: bool = False,
        is_fatal: bool = False,
        status: int | None = None,
        asked_pause_s: float | None = None,
        blamed: frozenset[Extra] = frozenset(),
        was_kept: bool = False,
        refusal: str | None = None,
    ):
        super().__init__(cause)
        self.cause = cause
        self.is_retryable = is_retryable
        self.is_fatal = is_fatal
        self.status = status
        self.asked_pause_s = asked_pause_s
        self.blamed = blamed
        self.was_kept = was_kept
        self.refusal = refusal

    @property
    def is_about_body(self) -> bool:
        """Whether the server could not take what it was sent."""
        return self.status in BODY_STATUSES

    @property
    def load(self) -> Load:
        """What it tells about how busy the server is."""
        if self.status in FULL_STATUSES:
            return Load.REFUSED
        is_mine = self.status is not None and not is_retried(self.status)
        return Load.SERVED if is_mine else Load.UNKNOWN


class OfficialClient:
    """Sends requests through the official client, and says in our words what goes wrong.

    Made outside of any event loop; used and closed in one.  Where aiohttp is installed, the connections are
    its: httpx2 2.16 looks at every connection for each request, which takes as long as all else from
    64 in flight on.

    Args:
        endpoint: where to.
        path: of the API, below the base URL.
        concurrency: how many connections are worth keeping.
        may_use_aiohttp: use it where it is installed.
    """

    def __init__(self, endpoint: Endpoint, path: str, concurrency: int, *, may_use_aiohttp: bool = True):
        import anyio
        import httpx2
        import openai

        self.version: str = openai.__version__
        self._openai = openai
        self._httpx = httpx2
        self._anyio = anyio
        self._endpoint = endpoint
        self._path = path
        self._is_let_in = False  # a request was taken, so the key is right
        self._has_kept = False  # a connection, from a reply that was read to its end
        self._client = openai.AsyncOpenAI(
            api_key=endpoint.key,
            base_url=endpoint.address,
            default_query=endpoint.query,
            max_retries=0,  # ours know the slots and the halt
            timeout=None,  # one limit covers the whole request, set where it is sent
            default_headers={**({"api-key": endpoint.key} if self._has_azure_key else {}), **endpoint.headers},
            http_client=self._transport(concurrency, may_use_aiohttp=may_use_aiohttp),
        )

    def _transport(self, concurrency: int, *, may_use_aiohttp: bool) -> Any:
        settings: dict[str, Any] = {
            "timeout": None,
            "trust_env": not self._endpoint.is_loopback,  # no proxy can reach this machine's loopback
        }
        # aiohttp 3.14 refuses an address with a name and password in it when there is a key as well
        if may_use_aiohttp and not urlsplit(self._endpoint.url).username:
            with suppress(RuntimeError):  # openai's way to say that it is not installed
                # to aiohttp 0 is no limit, and None its own of 100
                return self._openai.DefaultAioHttpClient(**settings, limits=self._httpx.Limits(max_connections=0))
        limits = self._httpx.Limits(max_connections=None, max_keepalive_connections=concurrency)
        return self._openai.DefaultAsyncHttpxClient(**settings, limits=limits)

    @property
    def _has_azure_key(self) -> bool:
        """Azure takes its key in a header of its own, and a token where the entry gives one in place of it."""
        has_token = any(name.lower() == "authorization" for name in self._endpoint.headers)
        return self._endpoint.is_azure and self._endpoint.has_key and not has_token

    async def prepare(self) -> None:
        """Import what the client would import within its first request (20 ms that belong to no answer)."""
        self._anyio.Event()
        await self._anyio.sleep(0)

    @asynccontextmanager
    async def exchange(self, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send a body; give the bytes of the reply as they come in.

        Raises:
            Failure: also while the bytes are read.
        """
        openai, httpx = self._openai, self._httpx
        try:
            response = await self._client.post(
                self._path,
                cast_to=httpx.Response,
                content=body,
                stream=True,
                stream_cls=openai.AsyncStream[object],
                options={"headers": {"Authorization": openai.Omit()}} if self._has_azure_key else {},
            )
            self._is_let_in = True
            raw: Any = response  # typed as a stream, but with this cast_to it is the response itself
            try:
                yield raw.aiter_bytes()
            finally:
                await raw.aclose()
            self._has_kept = True
        except openai.APIStatusError as fault:
            raise self._refused(fault) from fault
        except openai.APIConnectionError as fault:
            raise self._broken(fault.__cause__ or fault) from fault
        # openai 3.54 maps the last two as well (pydantic/httpx2#854)
        except (httpx.RequestError, ssl.SSLError, self._anyio.EndOfStream) as fault:
            raise self._broken(fault) from fault

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _broken(self, fault: BaseException) -> Failure:
        cause = fault.__cause__
        if type(cause).__module__.startswith("aiohttp"):  # openai calls them all timeouts
            fault = cause or fault
        detail = self._endpoint.masked(str(fault))
        name = type(fault).__name__
        # aiohttp has a kind of its own for it; httpx2 says it in words
        is_unanswered = name == "ServerDisconnectedError" or "disconnected without sending" in detail
        return Failure(
            f"{name}: {detail}" if detail else name, is_retryable=True, was_kept=self._has_kept and is_unanswered
        )

    def _refused(self, fault: Any) -> Failure:
        status: int = fault.status_code
        message = self._endpoint.masked(server_message(fault.body))
        cause = f"{type(fault).__name__} (HTTP {status})" + (f": {message}" if message else "")
        refusal = refusal_of(fault.body) if 400 <= status < 500 else None
        if refusal is not None:
            return Failure(cause, status=status, refusal=refusal)
        variable = self._endpoint.key_variable
        # firewalls and moderation answer 403 to one prompt, so later it tells nothing of the key
        if status == 401 or (status == 403 and not self._is_let_in):
            way_out = f"check the key in {variable}" if self._endpoint.has_key else f"no key was sent, set {variable}"
            return Failure(f"{cause}; {way_out}", is_fatal=True)
        if status == 429 and fault.code == "insufficient_quota":
            return Failure(f"{cause}; the account of the key in {variable} has no credit", is_fatal=True)
        return Failure(
            f"{cause}{way_around(server_message(fault.body)) if status in BODY_STATUSES else ''}",
            is_retryable=is_retried(status),
            status=status,
            asked_pause_s=asked_pause_s(fault.response.headers),
            blamed=blamed_extras(server_message(fault.body)) if status in BODY_STATUSES else frozenset(),
        )


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


def is_retried(status: int) -> bool:
    """Tell whether a request that met this HTTP status is worth sending again."""
    return status in RETRIED_STATUSES or not 400 <= status < 500


def asked_pause_s(headers: Mapping[str, str]) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3: seconds or a date), or OpenAI's `retry-after-ms`."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            pause_s = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if math.isfinite(pause_s) and pause_s >= 0:
            return pause_s
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())

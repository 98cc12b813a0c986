"""An application as a model: a service behind a URL, asked over HTTP for each case.

One event loop, run inside `answer()`, keeps the requests in flight, as for models behind OpenAI's protocol.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.app_reply import AppReplyFault, answer_of
from pytest_llmbench.models.app_request import last_user_message, messages_of, new_session, sampling_of, tools_of
from pytest_llmbench.models.base import Identity, OpenSettings, Traits
from pytest_llmbench.models.http.client import Client
from pytest_llmbench.models.http.endpoint import endpoint_of
from pytest_llmbench.models.http.entry import HttpEntry
from pytest_llmbench.models.http.reply import ReplyFault, reader_for
from pytest_llmbench.models.http.templates import TemplateFault, compile_value
from pytest_llmbench.models.openai.exchanges import Exchanges
from pytest_llmbench.models.openai.failure import Failure, Retry
from pytest_llmbench.models.openai.retries import Load, RetryPolicy, Tried
from pytest_llmbench.values import Answer, AnswerError, PromptStyle, Request

CONCURRENCY = 16
TIMEOUT_S = 120.0
_MESSAGE_LENGTH = 500  # room for the beginning of a reply
_ACCEPTED = {"none": "application/json", "sse": "text/event-stream", "text": "text/plain, */*"}


class HttpProvider:
    """Opens services behind a URL."""

    entry_type = HttpEntry
    target_field = "url"

    def traits(self, entry: HttpEntry) -> Traits:
        """Give the traits of a service: it takes the fields of the case, and its code may change unseen."""
        return Traits(
            is_api=True,
            is_local=False,
            takes_inputs=True,
            takes_tools=True,
            reports_cost=True,
            is_unversioned=entry.version is None,
        )

    def prompt_style(self, entry: HttpEntry) -> PromptStyle | None:
        """Take any style, unless the entry names one; look at the entry without sending anything.

        Raises:
            UsageFault: it contradicts itself, a template is none, or a variable is not set.
        """
        host = endpoint_of(entry).host
        if entry.stream == "text" and entry.reply is not None:
            raise UsageFault(
                f'The service at {host} has stream = "text", where the whole reply is the answer: leave out reply, or '
                "set another stream."
            )
        if entry.stream != "text" and entry.reply is None:
            raise UsageFault(
                f"The service at {host} needs the place of the answer in its replies: add "
                'reply = { text = "$.answer" }, or stream = "text" where the whole reply is the answer.'
            )
        if entry.method == "GET" and entry.body is not None:
            raise UsageFault(f'The service at {host} has a body, which method = "GET" cannot send; use query.')
        try:
            compile_value(entry.query, "query")
            compile_value(entry.body, "body")
        except TemplateFault as fault:
            raise UsageFault(f"The service at {host}: {fault}.") from None
        return None if entry.prompt_style == "auto" else PromptStyle(entry.prompt_style)

    def open(self, entry: HttpEntry, settings: OpenSettings) -> "HttpModel":
        """Make the client; nothing is sent yet."""
        self.prompt_style(entry)
        return HttpModel(entry, settings)


class HttpModel(Exchanges):
    """A service behind a URL.

    Args:
        entry: of the models file.
        settings: of the command line.
        policy: how long to wait before a failed request is sent again.
    """

    def __init__(self, entry: HttpEntry, settings: OpenSettings, policy: RetryPolicy | None = None):
        endpoint = endpoint_of(entry)
        super().__init__(f"The service at {endpoint.host}", settings.concurrency or entry.concurrency or CONCURRENCY)
        self._entry = entry
        self._policy = policy or RetryPolicy()
        self._timeout_s = settings.timeout_s or entry.timeout_s or TIMEOUT_S
        self._endpoint = endpoint
        self._query = compile_value(entry.query, "query")
        self._body = compile_value(entry.body, "body")
        self._client = Client(self._endpoint, entry.method, is_repeatable=entry.retry_unsafe or entry.method == "GET")
        self.identity = self._identified()

    async def _disconnect(self) -> None:
        await self._client.close()

    def _identified(self) -> Identity:
        entry = self._entry
        form = [entry.query, entry.body, entry.reply and entry.reply.model_dump()]
        settings: dict[str, Any] = {"method": entry.method, "stream": entry.stream}
        if self._endpoint.path_digest is not None:
            settings["path"] = self._endpoint.path_digest
        return Identity(
            provider="http",
            model=self._endpoint.host,
            weights=entry.version,
            template_sha256=hashlib.sha256(json.dumps(form, sort_keys=True, default=str).encode()).hexdigest(),
            settings=settings,
        )

    async def _attempt(
        self, request: Request, attempts: int, in_flight: int
    ) -> tuple[Answer | AnswerError | None, Tried]:
        """Try once; gives the answer or the error, or neither where it is to be tried again."""
        try:
            answer = await self._exchange(request)
            return replace(answer, attempts=attempts, concurrency=in_flight), Tried(load=Load.SERVED)
        except Failure as fault:
            failure = fault
        except AppReplyFault as fault:
            failure = Failure(f"the service {fault}")
        except (ReplyFault, TemplateFault) as fault:
            failure = Failure(self._endpoint.masked(str(fault), length=_MESSAGE_LENGTH))
        except Exception as fault:  # whatever broke one of many requests in flight is its own error
            failure = Failure(f"{type(fault).__name__}: {self._endpoint.masked(str(fault))}")
        if failure.is_retryable and attempts <= self._entry.max_retries:
            pause_s = self._policy.pause_s(attempts, failure.asked_pause_s)
            return None, Tried(load=failure.load, again_in_s=pause_s)
        error = failure.as_error(attempts, in_flight, is_let_in=self._client.is_let_in)
        return error, Tried(load=failure.load)

    async def _exchange(self, request: Request) -> Answer:
        """Send a request and read its answer.

        Raises:
            Failure: it could not be sent, or was refused, or took too long.
            ReplyFault: what came back holds no answer.
            AppReplyFault: what is at its paths is of the wrong kind.
            TemplateFault: what is sent cannot be rendered for the case.
        """
        query, body = self._rendered(request)
        reader = reader_for(self._entry)
        sent = time.perf_counter()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.exchange(query, body, _ACCEPTED[self._entry.stream]) as (kind, pieces),
            ):
                if self._entry.reply is None and "html" in kind:
                    raise Failure(f"the reply is a web page ({kind}), not a text")
                async for piece in pieces:
                    reader.feed(piece, time.perf_counter())
        except TimeoutError:
            retry = Retry.LATER if self._client.is_repeatable else Retry.NEVER
            raise Failure(f"no complete answer within {self._timeout_s:g} s", retry) from None
        last = time.perf_counter()
        answer = answer_of(reader.given(), "reply")
        ttft_s = None if reader.first_at is None else reader.first_at - sent
        return replace(answer, latency_s=last - sent, ttft_s=ttft_s)

    def _rendered(self, request: Request) -> tuple[Mapping[str, str], bytes | None]:
        names = {
            "prompt": last_user_message(request.prompt),
            "messages": messages_of(request.prompt),
            "sampling": sampling_of(request),
            "tools": tools_of(request.prompt),
            **request.inputs,
            "_session": new_session(request),
        }
        query = {key: value if isinstance(value, str) else _json(value) for key, value in self._query(names).items()}
        body = None if self._entry.body is None else _json(self._body(names)).encode()
        return query, body


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as fault:
        raise TemplateFault(f"what is to be sent cannot be written as JSON: {fault}") from None


PROVIDER = HttpProvider()

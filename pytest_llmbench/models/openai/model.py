"""A model behind an API that speaks OpenAI's protocol.

One event loop, run inside `answer()`, keeps the requests in flight; it and its connections live until
`close()`.  Times are those of the attempt that succeeded: the first text after the sending, and
the last byte.  Nothing is sent to warm a server up.
"""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

from pytest_llmbench.models.base import Identity, OpenSettings, Training
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.answers import answer_began, answer_of, reader_for
from pytest_llmbench.models.openai.client import Client
from pytest_llmbench.models.openai.endpoint import endpoint_of
from pytest_llmbench.models.openai.exchanges import Exchanges
from pytest_llmbench.models.openai.failure import Failure, Retry, is_retried
from pytest_llmbench.models.openai.logprobs import NoLabel
from pytest_llmbench.models.openai.message import ReplyFault
from pytest_llmbench.models.openai.request_body import PATHS, Extra, extras_of, sent_body, style_of
from pytest_llmbench.models.openai.retries import Load, RetryPolicy, Tried
from pytest_llmbench.models.openai.server import Server, served_name
from pytest_llmbench.models.reasoning import marks_of
from pytest_llmbench.values import CONTENT_FILTER, Answer, AnswerError, Request

CONCURRENCY = 16
TIMEOUT_S = 120.0
DRAIN_S = 0.1  # for the end of a stream that is complete, and the usage behind a stop; openai waits as long


class OpenAIModel(Exchanges):
    """An opened API.

    Args:
        entry: what the models file says.
        settings: what the command line says.
        policy: how long to wait before a failed request is sent again.
        server: closed with the model.
        training: what is known of it.
    """

    def __init__(
        self,
        entry: OpenAIEntry,
        settings: OpenSettings,
        policy: RetryPolicy | None = None,
        server: Server | None = None,
        training: Training | None = None,
    ):
        super().__init__(f'Model "{entry.model}"', settings.concurrency or entry.concurrency or CONCURRENCY)
        self._training = training
        self._entry = entry
        self._server = server
        self._policy = policy or RetryPolicy()
        self._timeout_s = settings.timeout_s or entry.timeout_s or TIMEOUT_S
        self._marks = marks_of(entry.reasoning)
        self._endpoint = endpoint_of(entry)
        self._client = Client(self._endpoint, PATHS[entry.api])
        self._unknown: frozenset[Extra] = frozenset()
        self._server_models: set[str] = set()
        self._fingerprints: set[str] = set()

    @property
    def identity(self) -> Identity:
        """What the entry says, and what the server has reported by now."""
        settings: dict[str, Any] = {
            "base_url": self._endpoint.host,
            "api": self._entry.api,
            "stream": self._entry.stream,
            "max_tokens_field": self._entry.max_tokens_field,
        }
        if self._endpoint.path_digest is not None:  # a gateway may have a server behind each
            settings["base_path"] = self._endpoint.path_digest
        if self._entry.omit:
            settings["omit"] = list(self._entry.omit)
        if self._entry.api_version is not None:
            settings["api_version"] = self._entry.api_version
        if self._entry.extra_body:
            settings["extra_body"] = dict(self._entry.extra_body)
        if self._entry.serve is not None:  # its port is another each time
            settings |= {"base_url": "served", "serve": served_name(self._entry.serve)}
        if self._fingerprints:
            settings["system_fingerprint"] = ", ".join(sorted(self._fingerprints))
        return Identity(
            provider=self._entry.provider,
            model=self._entry.model,
            server_model=", ".join(sorted(self._server_models)) or None,
            libraries={"openai": self._client.version},
            settings=settings,
            training=self._training,
        )

    def close(self) -> None:
        """Stop what is in flight, close the connections and the event loop, and end the server."""
        super().close()
        if self._server is not None:
            with self._lock:
                self._server.close()

    async def _prepare(self) -> None:
        await self._client.prepare()

    async def _disconnect(self) -> None:
        await self._client.close()

    async def _attempt(
        self, request: Request, attempts: int, in_flight: int
    ) -> tuple[Answer | AnswerError | None, Tried]:
        """Try once; gives the answer or the error, or neither where it is to be tried again."""
        result = await self._try(request, attempts, in_flight)
        if isinstance(result, Answer):
            return result, Tried(load=Load.SERVED)
        failure = result
        end = None if self._server is None else self._server.end
        if end is not None:  # nobody will answer any more
            failure = Failure(end, Retry.FATAL)
        if failure.is_retryable and attempts <= self._entry.max_retries:
            # llama.cpp's server, for one, closes after each streamed reply without saying so: what was sent before
            # that was noticed goes out at once, on a new connection
            is_at_once = failure.retry is Retry.AT_ONCE and attempts == 1
            pause_s = 0.0 if is_at_once else self._policy.pause_s(attempts, failure.asked_pause_s)
            return None, Tried(load=failure.load, again_in_s=pause_s)
        error = failure.as_error(attempts, in_flight, is_let_in=self._client.is_let_in)
        return error, Tried(load=failure.load)

    async def _try(self, request: Request, attempts: int, in_flight: int) -> Answer | Failure:
        """Send a request with the extras its server is not known to refuse, and without those it now refuses.

        Servers that do not know an extra say so in a 400, not all in words that can be understood.
        """
        extras = extras_of(self._entry, request) - self._unknown
        result = await self._caught(request, attempts, in_flight, extras)
        if isinstance(result, Answer) or not (extras and result.is_about_body):
            return result
        if blamed := result.blamed & extras:
            self._unknown |= blamed
            return await self._try(request, attempts, in_flight)
        if doubtful := extras - {Extra.USAGE}:
            plain = await self._caught(request, attempts, in_flight, extras - doubtful)
            if isinstance(plain, Answer) or not plain.is_about_body:
                self._unknown |= doubtful
                return plain
        return result

    async def _caught(
        self, request: Request, attempts: int, in_flight: int, extras: frozenset[Extra]
    ) -> Answer | Failure:
        try:
            return await self._exchange(request, attempts, in_flight, extras)
        except Failure as fault:
            failure = fault
        except NoLabel as fault:
            return Failure(str(fault))
        except ReplyFault as fault:
            is_retryable = not fault.is_lasting and (fault.status is None or is_retried(fault.status))
            retry = Retry.LATER if is_retryable else Retry.NEVER
            failure = Failure(self._endpoint.masked(str(fault)), retry, status=fault.status, refusal=fault.refusal)
        except Exception as fault:  # the one place where whatever broke becomes the error of its request
            return Failure(f"{type(fault).__name__}: {self._endpoint.masked(str(fault))}")
        if failure.refusal is None:
            return failure
        return Answer(
            text="",
            finish_reason=CONTENT_FILTER,
            refusal=self._endpoint.masked(failure.refusal),
            concurrency=in_flight,
            attempts=attempts,
        )

    async def _exchange(self, request: Request, attempts: int, in_flight: int, extras: frozenset[Extra]) -> Answer:
        """Send a request and read its answer.

        Raises:
            Failure: it could not be sent, or was refused, or took too long.
            ReplyFault: what came back holds no answer.
        """
        reader = reader_for(self._entry, request, self._marks)
        body = self._body(request, extras)
        loop = asyncio.get_running_loop()
        sent = last = time.perf_counter()
        deadline = loop.time() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s) as limit, self._client.exchange(body, attempts) as chunks:
                was_complete = False
                async for chunk in chunks:
                    last = time.perf_counter()
                    reader.feed(chunk, last)
                    if reader.is_complete is not was_complete:
                        was_complete = reader.is_complete
                        limit.reschedule(loop.time() + DRAIN_S if was_complete else deadline)
        except Failure:
            if not reader.is_complete:  # what breaks after the end takes nothing from the answer
                raise
        except TimeoutError:
            if not reader.is_complete:
                raise Failure(f"no complete answer within {self._timeout_s:g} s", Retry.LATER) from None
        reply = reader.reply()
        if reply.server_model:
            self._server_models.add(reply.server_model)
        if reply.fingerprint:
            self._fingerprints.add(reply.fingerprint)
        answer = answer_of(request, reply, self._marks)
        ttft_s = ttfa_s = None
        if not request.picks_label and reader.text_at is not None:
            answer_at = answer_began(reader, reply, self._marks)
            ttft_s, ttfa_s = reader.text_at - sent, None if answer_at is None else answer_at - sent
        last = last if reader.stopped_at is None else reader.stopped_at
        return replace(
            answer, latency_s=last - sent, ttft_s=ttft_s, ttfa_s=ttfa_s, concurrency=in_flight, attempts=attempts
        )

    def _body(self, request: Request, extras: frozenset[Extra]) -> bytes:
        if request.prompt.style is not style_of(self._entry):
            raise Failure(f'a {request.prompt.style} prompt cannot be sent to api = "{self._entry.api}"')
        return json.dumps(sent_body(self._entry, request, extras)).encode()

"""Embeddings of an API: `POST /embeddings` of OpenAI's protocol."""

import asyncio
import json
import math
from collections.abc import Sequence
from typing import Any

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import Identity, OpenSettings, Vector
from pytest_llmbench.models.entries import OpenAIEntry
from pytest_llmbench.models.openai.client import Client
from pytest_llmbench.models.openai.endpoint import endpoint_of
from pytest_llmbench.models.openai.failure import Failure, Retry
from pytest_llmbench.models.openai.retries import RetryPolicy

_TIMEOUT_S = 60.0


def check(entry: OpenAIEntry) -> None:
    """Look for the address and the key.

    Raises:
        UsageFault: something is missing.
    """
    if entry.serve is not None:
        raise UsageFault(f'The embedder "{entry.model}" has `serve`; start its server, and name its base_url.')
    endpoint_of(entry)


class EndpointEmbedder:
    """An embedder behind an API.

    Raises:
        ModelFault: its address or key is missing.
    """

    def __init__(self, entry: OpenAIEntry, settings: OpenSettings, policy: RetryPolicy | None = None):
        try:
            check(entry)
            self._endpoint = endpoint_of(entry)
        except UsageFault as fault:
            raise ModelFault(str(fault)) from None
        self._entry = entry
        self._client = Client(self._endpoint, "/embeddings")
        self._timeout_s = settings.timeout_s or entry.timeout_s or _TIMEOUT_S
        self._policy = policy or RetryPolicy()
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._server_model: str | None = None
        self._input_tokens: int | None = None
        self._is_down = False

    @property
    def identity(self) -> Identity:
        """What it is, and what the server calls it; which weights it has is not known."""
        return Identity(
            provider=self._entry.provider,
            model=self._entry.model,
            server_model=self._server_model,
            libraries={"openai": self._client.version},
            settings={"host": self._endpoint.host, "extra_body": json.dumps(self._entry.extra_body, sort_keys=True)},
        )

    @property
    def input_tokens(self) -> int | None:
        """The tokens of all texts, as the server counts them; None where it counts none."""
        return self._input_tokens

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Ask for the vectors; what may pass is asked again as the entry says.

        A server that could not be reached in all attempts is tried once by each further request, until one succeeds:
        its pauses would else be waited for with every answer of a run.
        """
        try:
            return self._runner.run(self._asked(texts))
        except Failure as failure:
            raise ModelFault(f'The embedder "{self._entry.model}" gives no vectors: {failure.cause}') from None

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._client.close())
        self._runner.close()

    async def _asked(self, texts: Sequence[str]) -> list[Vector]:
        await self._client.prepare()
        content = {"model": self._entry.model, "input": list(texts), "encoding_format": "float"}
        body = json.dumps({**content, **self._entry.extra_body}).encode()
        attempts, most = 0, 1 if self._is_down else 1 + self._entry.max_retries
        while True:
            attempts += 1
            try:
                async with asyncio.timeout(self._timeout_s):
                    async with self._client.exchange(body, attempts) as chunks:
                        reply = b"".join([chunk async for chunk in chunks])
                found = self._read(reply, len(texts))
                self._is_down = False
                return found
            except TimeoutError:
                failure = Failure(f"no reply within {self._timeout_s:g} s", Retry.LATER)
            except Failure as fault:
                failure = fault
            if not failure.is_retryable or attempts >= most:
                self._is_down = failure.retry is Retry.UNREACHED
                raise failure
            await asyncio.sleep(self._policy.pause_s(attempts, failure.asked_pause_s))

    def _read(self, reply: bytes, n_texts: int) -> list[Vector]:
        """Read the vectors of a reply, in the order of the texts.

        Raises:
            Failure: it holds something else.
        """
        try:
            found: Any = json.loads(reply)
            rows = sorted(found["data"], key=lambda row: row["index"])
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
            self._server_model = str(found["model"]) if found.get("model") else None
            usage = found.get("usage")
        except (ValueError, TypeError, KeyError, AttributeError):
            shown = self._endpoint.masked(reply[:300].decode(errors="replace"))
            raise Failure(f"the reply holds no embeddings: {shown}") from None
        if len(vectors) != n_texts or len({len(vector) for vector in vectors}) > 1:
            raise Failure(f"the reply holds {len(vectors)} vectors for {n_texts} texts, or of several lengths")
        units = [_unit(vector) for vector in vectors]
        counted = _counted(usage)
        if counted is not None:
            self._input_tokens = counted + (self._input_tokens or 0)
        return units


def _counted(usage: Any) -> int | None:
    """Read how many tokens a server has counted; None if it tells none."""
    found = [usage.get(key) for key in ("prompt_tokens", "total_tokens")] if isinstance(usage, dict) else []
    return next((count for count in found if isinstance(count, int) and not isinstance(count, bool)), None)


def _unit(vector: list[float]) -> Vector:
    length = math.sqrt(math.fsum(number * number for number in vector))
    if not 0 < length < math.inf:
        raise Failure("the reply holds a vector without a length")
    return [number / length for number in vector]

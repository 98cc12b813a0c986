"""What a run would ask and cost, forecast before anything is sent."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from pytest_llmbench.grading.checks.similar import references_of
from pytest_llmbench.grading.registry import CHECKS
from pytest_llmbench.models.base import CountsTokens
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.openai.request_body import most_output_tokens
from pytest_llmbench.runner.budget import n_bytes, usd
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.store.keys import entry_key
from pytest_llmbench.runner.store.store import AnswerStore, ModelAnswers, Pace
from pytest_llmbench.values import AnswerError, GateKind, Message, Prompt, Request

_BYTES_PER_TOKEN, _TOKENS_PER_MESSAGE = 3, 4
"""What a prompt has, rather too much, where there is no tokenizer at hand: English text has four bytes a token."""

_API_CONCURRENCY = 16
_API_S, _API_S_PER_TOKEN = 0.5, 0.02
"""What a request to an API takes, where none was ever stored: some overhead, and 50 tokens a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What one model would be asked of one suite.

    `stored` of the `requests` are answered by the store, or recorded; `missing` is how many recorded answers are not
    there. Tokens, cost and time are of the rest, which is sent.
    `are_tokens_counted` is False where `input_tokens` is estimated; `output_tokens` is the most there can be.
    `cost_usd`, the most too, is 0 where nobody charges and None where no price is known; `duration_s` is None
    where nothing is known, and a rule of thumb unless `is_pace_known`.
    """

    suite: str
    role: str
    cases: int
    units: int
    samples: int
    is_greedy: bool
    requests: int
    stored: int
    input_tokens: int
    are_tokens_counted: bool
    output_tokens: int
    cost_usd: float | None
    duration_s: float | None
    is_pace_known: bool
    missing: int = 0
    gate: GateKind = GateKind.STATISTICAL

    @property
    def to_send(self) -> int:
        """How many requests would be sent."""
        return self.requests - self.stored - self.missing


def forecast(builder: RequestBuilder, items: Sequence[Item]) -> tuple[Forecast, ...]:
    """Forecast what the models would be asked: a line for each suite and role, in the order of the items.

    Raises:
        UsageFault: see `check_styles`, `check_price` and `look_into_store` of `RequestBuilder`.
        ModelFault: recorded answers cannot be read.
    """
    builder.check_styles(items)
    groups: dict[tuple[str, str], list[tuple[Item, tuple[Request, ...]]]] = {}
    for item, requests in zip(items, builder.requests(items), strict=True):
        groups.setdefault((item.spec.role, item.loaded.suite.name), []).append((item, requests))
    specs = {item.spec.role: item.spec for item in items}
    for spec in specs.values():
        builder.check_price(spec)
    store = builder.look_into_store()
    try:
        prospects = {role: _Prospect(builder, spec, store) for role, spec in specs.items()}
        return tuple(prospects[role].suite(group) for (role, _), group in groups.items())
    finally:
        if store is not None:
            store.close()


def texts_to_embed(items: Sequence[Item], samples: int) -> dict[str, int]:
    """Count the texts that embedders would be given at most, by their names: references once, and each answer."""
    references: dict[str, set[str]] = {}
    answers: Counter[str] = Counter()
    for item in items:
        of_case = references_of([item.case]) if item.loaded.suite.grader == CHECKS else {}
        for name, texts in of_case.items():
            references.setdefault(name, set()).update(texts)
            answers[name] += samples
    return {name: answers[name] + len(texts) for name, texts in references.items()}


class _Prospect:
    """What is known of a model that is not opened."""

    def __init__(self, builder: RequestBuilder, spec: ModelSpec, store: AnswerStore | None):
        self._builder = builder
        self._spec = spec
        settings, provider = builder.settings.open_settings, spec.provider
        self._count = provider.token_counter(spec.entry, settings) if isinstance(provider, CountsTokens) else None
        found = None if store is None else store.look_up(entry_key(spec.entry), spec.role)
        self._answers: ModelAnswers | None = None if found is None else found[0]
        self._pace: Pace | None = None if found is None else found[1]
        self._concurrency = settings.concurrency or spec.entry.concurrency or _API_CONCURRENCY
        self._is_recorded, self._is_api = spec.traits.is_recorded, spec.traits.is_api

    def suite(self, plan: Sequence[tuple[Item, tuple[Request, ...]]]) -> Forecast:
        """Forecast what the model would be asked of one suite."""
        items = [item for item, _ in plan]
        requests = [request for _, own in plan for request in own]
        n_requests = sum(1 + len(request.prompt.turns) for request in requests)
        to_send = [] if self._is_recorded else [request for request in requests if not self._is_stored(request)]
        missing = (
            self._n_missing([turn for request in requests for turn in _turns(request)]) if self._is_recorded else 0
        )
        to_send = [turn for request in to_send for turn in _turns(request)]
        input_tokens = sum(_by_prompt(to_send, self._count or _estimated))
        input_tokens += sum(request.turn * self._most_output_tokens(request) for request in to_send)
        output_tokens = sum(self._most_output_tokens(request) for request in to_send)
        price = self._spec.entry.price
        cost = 0.0 if self._spec.traits.is_free or not to_send else None
        return Forecast(
            suite=items[0].loaded.suite.name,
            role=self._spec.role,
            cases=len(items),
            units=len({item.case.cluster or f"case {item.case.id}" for item in items}),
            samples=self._builder.settings.samples,
            is_greedy=all(self._builder.sampling(item).temperature == 0 for item in items),
            requests=n_requests,
            stored=n_requests - len(to_send) - missing,
            missing=missing,
            gate=items[0].loaded.suite.gate,
            input_tokens=input_tokens,
            are_tokens_counted=self._count is not None,
            output_tokens=output_tokens,
            cost_usd=cost if price is None else usd(price, input_tokens, output_tokens),
            duration_s=self._duration_s(to_send, output_tokens),
            is_pace_known=self._pace is not None,
        )

    def _n_missing(self, requests: Sequence[Request]) -> int:
        """Count the requests that recorded answers hold no answer to; to look costs nothing but the file."""
        with closing(self._builder.open_model(self._spec)) as model:
            return sum(isinstance(answer, AnswerError) for answer in model.answer(requests))

    def _is_stored(self, request: Request) -> bool:
        return self._answers is not None and self._answers.find(self._answers.key(request)) is not None

    def _most_output_tokens(self, request: Request) -> int:
        # an API picks a label by writing a few tokens; a local model scores it
        return 0 if request.picks_label and not self._is_api else most_output_tokens(request)

    def _duration_s(self, to_send: Sequence[Request], output_tokens: int) -> float | None:
        if not to_send:
            return 0.0
        if self._pace is not None:
            own_s = self._pace.latency_s / self._concurrency if self._is_api else self._pace.per_answer_s
            return len(to_send) * own_s
        if self._is_api:
            return (len(to_send) * _API_S + output_tokens * _API_S_PER_TOKEN) / self._concurrency
        return None


def _by_prompt(requests: Sequence[Request], count: Callable[[Prompt], int]) -> list[int]:
    """Count the tokens of each request; samples of a case have one prompt."""
    known: Mapping[Prompt, int] = {prompt: count(prompt) for prompt in {request.prompt for request in requests}}
    return [known[request.prompt] for request in requests]


def _turns(request: Request) -> Iterator[Request]:
    """Give the requests of a conversation, without the answers in them, which are not known."""
    messages = request.prompt.messages
    yield request
    for turn, said in enumerate(request.prompt.turns, start=1):
        messages = (*messages, Message(role="user", content=said))
        yield replace(request, prompt=Prompt(messages=messages, tools=request.prompt.tools), turn=turn)


def _estimated(prompt: Prompt) -> int:
    return math.ceil(n_bytes(prompt) / _BYTES_PER_TOKEN) + _TOKENS_PER_MESSAGE * len(prompt.messages)

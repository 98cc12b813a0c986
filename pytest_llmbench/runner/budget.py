"""A limit on what a run may cost: when the known prices reach it, nothing more is asked.

What an answer costs is known when it is there.  So that the limit holds, no more is sent at a time than what could
be paid if every answer were as long as it may be; when not even one could be, one at a time is sent until
the limit is reached.  It is passed by the cost of that last answer at most.

Not counted: what a provider charges for a request that gave no answer, and for what a test asks its model itself.
"""

import itertools
import json
import threading
from collections.abc import Iterable, Sequence

from pytest_llmbench.models.base import Model, Wrapped
from pytest_llmbench.models.entries import Price
from pytest_llmbench.results.records import NOT_ASKED, TokenPrice
from pytest_llmbench.runner.calls import first_fatal
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request

_LEAST_BYTES_PER_TOKEN = 2
"""What a prompt is sure to have, and more: so its tokens are never guessed too few."""

_PER_MESSAGE = 8  # tokens that a chat template adds


class Budget:
    """What a run may spend, on all its models together; a judge may ask beside them.

    `refused` counts requests that were not sent, `unpriced` answers whose cost nobody knows.

    Args:
        most_usd: the limit.
    """

    def __init__(self, most_usd: float):
        self.most_usd = most_usd
        self.spent_usd = 0.0
        self.refused = 0
        self.unpriced = 0
        self._claimed_usd = 0.0
        self._changed = threading.Condition()

    def claim(self, costs_usd: Sequence[float]) -> int:
        """Claim the cost of some requests, and give how many of them, from the first, may be sent now.

        Waits for what others have in flight.

        Args:
            costs_usd: what each may cost at most.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not self._claimed_usd or self.spent_usd >= self.most_usd or costs_usd[0] <= self._left_usd
            )
            if self.spent_usd >= self.most_usd:
                return 0
            sums = itertools.accumulate(costs_usd)
            n = max(1, sum(1 for _ in itertools.takewhile(lambda total: total <= self._left_usd, sums)))
            self._claimed_usd += sum(costs_usd[:n])
            return n

    def pay(self, claimed_usd: Sequence[float], cost_usd: float) -> None:
        """Replace what was claimed for requests by what they cost."""
        with self._changed:
            self._claimed_usd = max(0.0, self._claimed_usd - sum(claimed_usd))
            self.spent_usd += cost_usd
            self._changed.notify_all()

    def refuse(self, n: int) -> AnswerError:
        """Count requests that are not sent, and give the error of each."""
        with self._changed:
            self.refused += n
        return AnswerError(
            cause=f"{NOT_ASKED}--llm-max-cost {self.most_usd:g} was reached, the answers of this run cost "
            f"{self.spent_usd:.4g} USD; raise it, and the next run asks only for the rest",
            attempts=0,
        )

    @property
    def _left_usd(self) -> float:
        return self.most_usd - self.spent_usd - self._claimed_usd


class PricedModel(Wrapped):
    """Asks a model as long as its budget allows.

    Args:
        model: the model; closing this closes it.
        price: of its tokens; None for an application, whose answers report what they cost.  As nothing is known before
            the first of them, no more are asked at a time than are in flight, at the price of the dearest so far.
        budget: of the run.
    """

    def __init__(self, model: Model, price: Price | None, budget: Budget):
        super().__init__(model)
        self._price = price
        self._budget = budget
        self._dearest_usd = 0.0

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer requests in the order given (see `Model.answer`), until the budget is spent."""
        priced = [] if self._price is None else [most_usd(self._price, request) for request in requests]
        answers: list[Answer | AnswerError] = []
        while (first := len(answers)) < len(requests):
            n_left = len(requests) - first
            costs = priced[first:] or [self._dearest_usd] * min(n_left, self.concurrency)
            size = self._budget.claim(costs)
            if not size:
                return (*answers, *self._refused(range(first, len(requests)), arrived))
            part = slice(first, first + size)
            asked = self._ask(requests[part], costs[:size], _shifted(arrived, first), halt)
            answers += asked
            fatal = first_fatal(asked)
            if fatal is not None:
                return (*answers, *[fatal] * (len(requests) - len(answers)))
            if len(asked) != size:
                break  # the caller counts too, and reports it
        return tuple(answers)

    def _ask(
        self,
        requests: Sequence[Request],
        costs_usd: Sequence[float],
        arrived: Arrived | None,
        halt: threading.Event | None,
    ) -> tuple[Answer | AnswerError, ...]:
        asked: tuple[Answer | AnswerError, ...] = ()
        try:
            asked = self._model.answer(requests, arrived=arrived, halt=halt)
        finally:
            paid = [cost_usd(self._price, *pair) for pair in zip(requests, asked, strict=False)]
            self._budget.pay(costs_usd, sum(paid))
        self._dearest_usd = max([self._dearest_usd, *paid])
        if self._price is None:
            self._budget.unpriced += sum(isinstance(one, Answer) and one.cost_usd is None for one in asked)
        return asked

    def _refused(self, indices: Sequence[int], arrived: Arrived | None) -> list[AnswerError]:
        refusal = self._budget.refuse(len(indices))
        for index in indices:
            if arrived is not None:
                arrived(index, refusal)
        return [refusal] * len(indices)


def _shifted(arrived: Arrived | None, first: int) -> Arrived | None:
    return None if arrived is None else lambda index, answer: arrived(first + index, answer)


def cost_usd(price: Price | None, request: Request, answer: Answer | AnswerError) -> float:
    """Give what an answer cost; what a server does not count is estimated, rather too high.

    What an application reports goes before the price of its tokens; without either it is 0.
    """
    if isinstance(answer, AnswerError) or answer.reused:
        return 0.0
    if answer.cost_usd is not None or price is None:
        return answer.cost_usd or 0.0
    asked = _most_tokens(request.prompt) if answer.input_tokens is None else answer.input_tokens
    written = len(answer.text.encode(errors="replace")) // _LEAST_BYTES_PER_TOKEN
    estimated = _most_output_tokens(request) if request.picks_label else written
    return usd(price, asked, estimated if answer.output_tokens is None else answer.output_tokens)


def most_usd(price: Price, request: Request) -> float:
    """Give what the answer to a request can cost at most."""
    return usd(price, _most_tokens(request.prompt), _most_output_tokens(request))


def _most_output_tokens(request: Request) -> int:
    from pytest_llmbench.models.openai.request_body import most_output_tokens  # few runs have a limit

    return most_output_tokens(request)


def usd(price: Price, input_tokens: int, output_tokens: int) -> float:
    """Give the price of tokens."""
    return _recorded(price).usd(input_tokens, output_tokens)


def token_price(price: Price | None) -> TokenPrice | None:
    """Give the price of an entry as a run records it."""
    return None if price is None else _recorded(price)


def _recorded(price: Price) -> TokenPrice:
    return TokenPrice(input_per_million=price.input_per_million, output_per_million=price.output_per_million)


def _most_tokens(prompt: Prompt) -> int:
    return n_bytes(prompt) // _LEAST_BYTES_PER_TOKEN + _PER_MESSAGE * len(prompt.messages)


def most_tokens(texts: Iterable[str]) -> int:
    """Give how many tokens some texts may have at most."""
    return sum(len(text.encode(errors="replace")) for text in texts) // _LEAST_BYTES_PER_TOKEN


def n_bytes(prompt: Prompt) -> int:
    """Give the length of what is sent."""
    texts = [prompt.text or "", *(message.content for message in prompt.messages)]
    texts += [json.dumps(tool.definition) for tool in prompt.tools]
    return sum(len(text.encode(errors="replace")) for text in texts)

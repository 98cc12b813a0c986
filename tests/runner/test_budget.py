"""A limit on what a run may cost: what is sent, what is not, and what is counted."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from pytest_llmbench.models.base import Identity, Opened
from pytest_llmbench.models.embedders import EmbedderSpec
from pytest_llmbench.models.entries import OpenAIEntry, Price
from pytest_llmbench.models.openai.request_body import sent_body
from pytest_llmbench.runner.budget import Budget, PricedModel, cost_usd, most_usd
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import RunSettings
from pytest_llmbench.values import Answer, AnswerError, Arrived, Message, Prompt, Request, Sampling

IDENTITY = Identity(provider="p", model="m")
A_DOLLAR_A_TOKEN = Price(input_per_million=0, output_per_million=1e6)


@dataclass
class Model(Opened):
    """Gives answers of so many tokens, in order; `batches` holds how many it was asked by call."""

    tokens: Sequence[int | AnswerError | None] = (1,) * 100
    batches: list[int] = field(default_factory=list)
    identity: Identity = IDENTITY
    concurrency: int = 4
    is_closed: bool = False

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        first = sum(self.batches)
        self.batches.append(len(requests))
        answers: list[Answer | AnswerError] = []
        for index, tokens in enumerate(self.tokens[first : first + len(requests)]):
            answers.append(
                tokens if isinstance(tokens, AnswerError) else Answer(text="wxyz", input_tokens=3, output_tokens=tokens)
            )
            if arrived is not None:
                arrived(index, answers[-1])
        return tuple(answers)

    def close(self) -> None:
        self.is_closed = True


def requests(n: int, max_tokens: int = 1) -> tuple[Request, ...]:
    return tuple(
        Request(suite="s", case=f"c{i}", sample=0, prompt=Prompt(text="x"), sampling=Sampling(max_tokens=max_tokens))
        for i in range(n)
    )


def outcomes(answers: Sequence[Answer | AnswerError]) -> str:
    return "".join("a" if isinstance(answer, Answer) else "e" for answer in answers)


def test_what_can_be_paid_for_sure_is_sent_at_once() -> None:
    """A limit far away changes nothing: one call, and every answer told with its own index."""
    model, budget, told = Model(), Budget(50), list[int]()

    answers = PricedModel(model, A_DOLLAR_A_TOKEN, budget).answer(
        requests(10), arrived=lambda index, answer: told.append(index)
    )

    assert (outcomes(answers), model.batches, told) == ("a" * 10, [10], list(range(10)))
    assert (budget.spent_usd, budget.refused) == (10, 0)


class Reporting(Model):
    """Gives answers that report their cost: each a dollar more than the last, the third none."""

    def answer(self, requests: Sequence[Request], **others: Any) -> tuple[Answer | AnswerError, ...]:
        first = sum(self.batches)
        plain = super().answer(requests, **others)
        costs = [None if first + n == 2 else first + n + 1.0 for n in range(len(plain))]
        return tuple(replace(one, cost_usd=cost) for one, cost in zip(plain, costs, strict=True))


def test_what_an_application_reports_is_what_its_answers_cost() -> None:
    """Without a price, no more are asked at a time than are in flight, and what is not reported is counted apart."""
    model, budget = Reporting(concurrency=2), Budget(9)

    answers = PricedModel(model, None, budget).answer(requests(8))

    # of the 6 left after the first two, two more at 2 can be paid; of the 2 left after those not even one at 4
    assert (outcomes(answers), model.batches) == ("aaaaaeee", [2, 2, 1])
    assert (budget.spent_usd, budget.unpriced, budget.refused) == (1 + 2 + 4 + 5, 1, 3)


class Dear(Model):
    """Gives answers that report their cost: the first four dollars, the others one."""

    def answer(self, requests: Sequence[Request], **others: Any) -> tuple[Answer | AnswerError, ...]:
        first = sum(self.batches)
        plain = super().answer(requests, **others)
        return tuple(replace(one, cost_usd=1.0 if first + n else 4.0) for n, one in enumerate(plain))


def test_the_dearest_answer_so_far_is_what_the_next_may_cost() -> None:
    """However many cheap ones came since."""
    model, budget = Dear(concurrency=2), Budget(9.5)

    PricedModel(model, None, budget).answer(requests(6))

    # of the 4.5 left after the first two one at 4 can be paid, and then less than one, alone
    assert model.batches == [2, 1, 1, 1, 1]


def test_a_reported_cost_goes_before_the_price() -> None:
    """The application knows what it paid, all its calls included."""
    answer = Answer(text="x", input_tokens=1, output_tokens=1, cost_usd=0.25)

    assert cost_usd(A_DOLLAR_A_TOKEN, requests(1)[0], answer) == 0.25


def test_asking_stops_when_the_limit_is_reached() -> None:
    """What is over it is not sent, and is an error that says so."""
    model, budget, told = Model(), Budget(3), list[int]()

    answers = PricedModel(model, A_DOLLAR_A_TOKEN, budget).answer(
        requests(5), arrived=lambda index, answer: told.append(index)
    )

    assert (outcomes(answers), sum(model.batches), told) == ("aaaee", 3, list(range(5)))
    assert answers[3] == AnswerError(
        cause="not asked: --llm-max-cost 3 was reached, the answers of this run cost 3 USD; raise it, and the next "
        "run asks only for the rest",
        attempts=0,
    )
    assert budget.refused == 2


def test_short_answers_leave_room_for_more() -> None:
    """What is sent first is what could be paid if all were long; what that leaves is spent on further ones."""
    model, budget = Model(), Budget(20)

    answers = PricedModel(model, A_DOLLAR_A_TOKEN, budget).answer(requests(15, max_tokens=4))

    assert outcomes(answers) == "a" * 15
    assert model.batches == [5, 3, 3, 2, 1, 1]


@settings(deadline=None)
@for_all(
    tokens=st.lists(st.integers(0, 9), min_size=1, max_size=30), limit=st.floats(0.5, 100), size=st.integers(1, 30)
)
def test_the_limit_is_passed_by_one_answer_at_most(tokens: list[int], limit: float, size: int) -> None:
    """Whatever the answers cost: nothing is refused before the limit is reached, and nothing sent after it."""
    model, budget = Model([*tokens, *[9] * size]), Budget(limit)

    answers = PricedModel(model, A_DOLLAR_A_TOKEN, budget).answer(requests(size, max_tokens=9))

    cost = sum(answer.output_tokens or 0 for answer in answers if isinstance(answer, Answer))
    assert budget.spent_usd == pytest.approx(cost)
    assert cost < limit + 9
    assert ("e" in outcomes(answers)) == (cost >= limit and sum(model.batches) < size)


def test_several_models_share_one_budget() -> None:
    """What the first one spent the second cannot."""
    budget = Budget(4)
    first, second = (PricedModel(Model(), A_DOLLAR_A_TOKEN, budget) for _ in range(2))

    found = outcomes(first.answer(requests(3))), outcomes(second.answer(requests(3)))

    assert found == ("aaa", "aee")


def test_one_waits_for_what_the_other_has_in_flight() -> None:
    """What is claimed may turn out cheaper, so it is no reason to refuse."""
    budget = Budget(10)
    claimed: list[int] = []
    first = budget.claim([10.0])
    second = threading.Thread(target=lambda: claimed.append(budget.claim([5.0, 5.0])), daemon=True)
    second.start()
    second.join(0.05)
    waited = second.is_alive()

    budget.pay([10.0], 4.0)
    second.join(20)

    assert (first, waited, claimed) == (1, True, [1])


def test_a_model_that_cannot_go_on_is_asked_no_more() -> None:
    """A refused key is the error of all that follows, and nothing is charged for it."""
    refused = AnswerError(cause="401", is_fatal=True)
    model, budget = Model([1, refused, 1, 1]), Budget(2)

    answers = PricedModel(model, A_DOLLAR_A_TOKEN, budget).answer(requests(4))

    assert (outcomes(answers), answers[3], budget.spent_usd) == ("aeee", refused, 1)


def test_a_model_that_raises_leaves_nothing_claimed() -> None:
    """The next model can spend what this one could not."""

    class Broken(Model):
        def answer(self, *_: object, **__: object) -> tuple[Answer | AnswerError, ...]:
            raise ConnectionError

    budget = Budget(1)
    with pytest.raises(ConnectionError):
        PricedModel(Broken(), A_DOLLAR_A_TOKEN, budget).answer(requests(1))

    assert outcomes(PricedModel(Model(), A_DOLLAR_A_TOKEN, budget).answer(requests(1))) == "a"


PRICE = Price(input_per_million=1, output_per_million=10)


@pytest.mark.parametrize(
    ("answer", "micro_usd"),
    [
        (Answer(text="abcd", input_tokens=7, output_tokens=2), 27),
        (Answer(text="abcd", input_tokens=7), 27),
        (Answer(text="abcd", output_tokens=2), 20 + 2 + 8),
        (Answer(text="abcd", input_tokens=7, output_tokens=2, reused=True), 0),
        (AnswerError(cause="500"), 0),
    ],
)
def test_what_a_server_does_not_count_is_estimated_rather_too_high(
    answer: Answer | AnswerError, micro_usd: float
) -> None:
    """A token for two bytes, and some for each message; what cost nothing this time is not counted."""
    request = Request(
        suite="s",
        case="c",
        sample=0,
        prompt=Prompt(messages=(Message(role="user", content="abcd"),)),
        sampling=Sampling(),
    )

    assert cost_usd(PRICE, request, answer) * 1e6 == pytest.approx(micro_usd)


def choosing(*labels: str, picks_label: bool = True) -> Request:
    return Request(
        suite="s",
        case="c",
        sample=0,
        prompt=Prompt(text="abcd"),
        sampling=Sampling(max_tokens=5),
        labels=labels,
        picks_label=picks_label,
    )


@pytest.mark.parametrize(
    ("asked", "micro_usd"),
    [
        (choosing("a", "b", picks_label=False), 2 + 10 * 5),
        (choosing("yes", "no"), 2 + 10 * 4),
        (choosing("x" * 40, "no"), 2 + 10 * 16),
    ],
)
def test_what_can_be_said_at_most_is_known_before(asked: Request, micro_usd: float) -> None:
    """A label costs the tokens an API is let write to tell it."""
    body = sent_body(OpenAIEntry(provider="openai", model="m", api="completions"), asked, ())

    assert most_usd(PRICE, asked) * 1e6 == pytest.approx(micro_usd)
    assert body["max_tokens"] == pytest.approx((micro_usd - 2) / 10)


def test_a_choice_that_a_server_does_not_count_costs_what_it_can_have_at_most() -> None:
    """The label that is answered is not what was written, so its length says nothing."""
    answer = Answer(text="no", input_tokens=7)

    assert cost_usd(PRICE, choosing("yes", "no"), answer) * 1e6 == pytest.approx(7 + 10 * 4)


def test_a_priced_model_is_the_model_in_all_else() -> None:
    """Closing it closes the model."""
    model = Model()
    priced = PricedModel(model, PRICE, Budget(1))

    priced.close()

    assert (priced.identity, priced.concurrency, model.is_closed) == (model.identity, 4, True)


@pytest.mark.parametrize(("counted", "cost_usd"), [(1000, 2.0), (None, 0.024)])
def test_what_is_embedded_counts_with_the_answers(counted: int | None, cost_usd: float, tmp_path: Path) -> None:
    """By the tokens that the server counts, else by the length of the texts; without a limit nothing is counted."""
    price = Price(input_per_million=2000, output_per_million=0)
    embedder = EmbedderSpec(name="ada", entry=OpenAIEntry(provider="openai", model="ada", price=price))
    limited = RequestBuilder(RunSettings(root=tmp_path, max_cost_usd=9))

    limited.pay_embedder(embedder, ["twelve bytes", "twelve bytes"], counted)
    RequestBuilder(RunSettings(root=tmp_path)).pay_embedder(embedder, ["text"], counted)

    assert limited.budget is not None
    assert limited.budget.spent_usd == pytest.approx(cost_usd)

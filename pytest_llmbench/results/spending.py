"""The tokens and the money of samples, the model's and the judge's apart. Pure functions; files may be foreign.

Answers that were reused from an earlier run count as if they had been paid for again: a sum without them would compare
nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.results.records import Sample, TokenPrice
from pytest_llmbench.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The sums over answers: tokens None where no answer has them counted, `usd` None where no cost is known.

    `is_whole`: the cost of every answer is known.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None
    is_whole: bool = True


def model_spending(samples: Sequence[Sample], price: TokenPrice | None) -> Spending:
    """Sum the tokens of the answers of a model, and their cost.

    What an application returned as its cost goes before the price of its tokens.
    """
    answered = [sample for sample in samples if sample.answer is not None]
    tokens = [(sample.input_tokens, sample.output_tokens) for sample in answered]
    return _summed(tokens, [sample_cost(sample, price) for sample in answered])


def judge_spending(samples: Iterable[Sample], price: TokenPrice | None) -> Spending:
    """Sum the tokens of a judge's replies, and their cost."""
    tokens = [found for sample in samples if (found := _judge_tokens(sample.parts)) is not None]
    return _summed(tokens, [None if price is None else price.usd(*pair) for pair in tokens])


def _summed(tokens: Sequence[tuple[int | None, int | None]], costs: Sequence[float | None]) -> Spending:
    sides = [[count for count in side if count is not None] for side in zip(*tokens, strict=True)] or [[], []]
    known = [cost for cost in costs if cost is not None]
    return Spending(
        input_tokens=sum(sides[0]) if sides[0] else None,
        output_tokens=sum(sides[1]) if sides[1] else None,
        usd=sum(known) if known else None,
        is_whole=len(known) == len(costs),
    )


def sample_cost(sample: Sample, price: TokenPrice | None) -> float | None:
    """Give what an answer cost: what an application returned, else by the price of its tokens; None if unknown."""
    if sample.cost_usd is not None:
        return sample.cost_usd
    if price is None or sample.input_tokens is None or sample.output_tokens is None:
        return None
    return price.usd(sample.input_tokens, sample.output_tokens)


def _judge_tokens(parts: Mapping[str, Json]) -> tuple[int, int] | None:
    found = parts.get("judge_tokens")
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != 2:
        return None
    counts = [count for count in found if isinstance(count, int) and not isinstance(count, bool)]
    return (counts[0], counts[1]) if len(counts) == 2 else None

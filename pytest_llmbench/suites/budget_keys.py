"""The key `budget` of a suite: what an answer may cost and take. It is reported, and no part of any grade."""

from typing import Self

from pydantic import model_validator

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import Positive


class BudgetKeys(Strict):
    """The most that one answer may cost, in US dollars, and take, in seconds; at least one of them."""

    cost_usd: Positive | None = None
    latency_s: Positive | None = None

    @model_validator(mode="after")
    def _is_some(self) -> Self:
        if self.cost_usd is None and self.latency_s is None:
            raise ValueError("needs `cost_usd`, `latency_s` or both")
        return self

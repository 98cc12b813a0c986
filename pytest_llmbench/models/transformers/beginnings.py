"""The keys and values of beginnings that prompts share, kept for the prompts to come."""

from collections.abc import Iterable

from pytest_llmbench.models.transformers.batch import Kept
from pytest_llmbench.models.transformers.prefixes import WORTH_SHARING_TOKENS, Tokens, common_length, overlap

MOST_KEPT = 4
"""So many beginnings are kept: those of a few suites that take turns."""

MOST_TOKENS = 4096
"""All of them together have at most so many tokens, or there is only the last."""


class Beginnings:
    """The beginnings kept, the one used last at the end."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []

    def forget(self) -> None:
        """Free all of them."""
        self._kept = []

    def best(self, tokens: Tokens) -> Kept:
        """Return the one that has most in common with some tokens; an empty one if there is none."""
        return max(reversed(self._kept), key=lambda kept: overlap(tokens, kept.tokens), default=Kept())

    def keep(self, kept: Kept) -> None:
        """Keep one; what it begins with needs not be kept apart, and the one not used for longest goes first."""
        self._kept = [one for one in self._kept if kept.tokens[: len(one.tokens)] != one.tokens]
        self._kept = [*self._kept[-(MOST_KEPT - 1) :], kept]
        while len(self._kept) > 1 and sum(len(one.tokens) for one in self._kept) > MOST_TOKENS:
            del self._kept[0]

    def use(self, kept: Kept, n_used: int) -> None:
        """Note that rows begin with the first tokens of one that is kept."""
        kept.n_used = n_used
        self._kept = [*(one for one in self._kept if one is not kept), kept]

    def shared_length(self, prompts: Iterable[Tokens]) -> int:
        """Count the tokens at the beginning of a group's prompts that are computed outside of all times.

        Of several prompts, what they have in common.  Of one alone, what it has in common with one kept
        before it; the same prompt requested again is fed from where it was before, not from its end.
        """
        different = set(prompts)
        if len(different) > 1:
            shared = common_length(tuple(different))
        else:
            (alone,) = different
            kept = self.best(alone)
            shared = kept.n_used if alone == kept.tokens else min(overlap(alone, kept.tokens), len(alone) - 1)
        return shared if shared >= WORTH_SHARING_TOKENS else 0

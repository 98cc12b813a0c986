"""How labels answered lie to labels expected: pure numbers, standard library only.

An answer without a label is wrong whatever was expected, and is no class of its own: nobody expects
it, so it has no recall to average.

Source: unparsed as a column of the confusion matrix as in openai/evals, whose MCC then adds it to the first
label in sort order; here it stays apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Self

from pytest_llmbench.stats import mean


@dataclass(frozen=True, kw_only=True)  # no slots: the sums are cached
class Confusion:
    """How often each label was answered where each was expected.

    Shapes: `counts` has a row a label expected, and in each a column a label answered and one more, the
    last, for answers without a label.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, labels: Sequence[str], pairs: Iterable[tuple[str, str | None]]) -> Self:
        """Count pairs of label expected and label answered, None for an answer without one."""
        places = {label: place for place, label in enumerate(labels)}
        counts = [[0] * (len(labels) + 1) for _ in labels]
        for expected, answered in pairs:
            counts[places[expected]][-1 if answered is None else places[answered]] += 1
        return cls(labels=tuple(labels), counts=tuple(map(tuple, counts)))

    @cached_property
    def n(self) -> int:
        """The number of answers."""
        return sum(map(sum, self.counts))

    @cached_property
    def correct(self) -> int:
        """The number of right answers."""
        return sum(row[place] for place, row in enumerate(self.counts))

    @cached_property
    def answered(self) -> tuple[int, ...]:
        """How often each label was answered, and last how often none."""
        return tuple(map(sum, zip(*self.counts, strict=True)))

    @property
    def accuracy(self) -> float:
        """The share of right answers, of at least one."""
        return self.correct / self.n

    @property
    def balanced_accuracy(self) -> float:
        """The mean over the labels that were expected of the share of them found."""
        return mean([row[place] / sum(row) for place, row in enumerate(self.counts) if sum(row)])

    @property
    def is_mcc_defined(self) -> bool:
        """Whether more than one label was expected, and not all answers are the same."""
        return self._mcc_squares[0] > 0 and self._mcc_squares[1] > 0

    @property
    def mcc(self) -> float:
        """Matthews' correlation, in -1..1, of any number of labels; 0 where it is undefined.

        Source: R_K of Gorodkin (2004), with no label as an answer that nobody expects.
        """
        if not self.is_mcc_defined:
            return 0.0
        expected = [sum(row) for row in self.counts]
        by_chance = sum(a * b for a, b in zip(expected, self.answered, strict=False))
        r_k = (self.correct * self.n - by_chance) / sqrt(self._mcc_squares[0] * self._mcc_squares[1])
        return max(-1.0, min(1.0, r_k))

    @cached_property
    def _mcc_squares(self) -> tuple[int, int]:
        expected = (sum(row) for row in self.counts)
        return self.n**2 - sum(count**2 for count in expected), self.n**2 - sum(count**2 for count in self.answered)

    def f1(self, label: str) -> float | None:
        """Give the harmonic mean of precision and recall of one label; None if it was neither expected nor answered."""
        place = self.labels.index(label)
        marked = sum(self.counts[place]) + self.answered[place]
        return 2 * self.counts[place][place] / marked if marked else None

    def rate(self, label: str) -> float:
        """Give the share of all answers, also those without a label, that give this one."""
        return self.answered[self.labels.index(label)] / self.n


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float | None:
    """Give the chance that one of `higher` exceeds one of `lower`, a tie counting half; None if either is empty.

    Source: the area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil, 1982).
    """
    if not higher or not lower:
        return None
    ordered = sorted([(value, True) for value in higher] + [(value, False) for value in lower])
    wins, below, place = 0.0, 0, 0
    while place < len(ordered):
        tied = place
        while tied < len(ordered) and ordered[tied][0] == ordered[place][0]:
            tied += 1
        high = sum(is_higher for _, is_higher in ordered[place:tied])
        low = tied - place - high
        wins += high * (below + low / 2)
        below, place = below + low, tied
    return wins / (len(higher) * len(lower))

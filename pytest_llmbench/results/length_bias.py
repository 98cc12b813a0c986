"""Whether a grader favours long answers: how much more of them it passes than people do. Pure functions.

The answers are divided at the two terciles of their length in words; answers of the same length stay together.

Source: judge models favour length (Zheng et al., 2023, arXiv 2306.05685).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.results.grader_agreement import Pair
from pytest_llmbench.stats import mean, quantile


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthGroup:
    """The answers of one third: `bias` is the pass rate of the grader minus that of people, a difference of shares.

    `shortest` and `longest` are in words.
    """

    n: int
    shortest: int
    longest: int
    bias: float


def length_groups(pairs: Sequence[Pair]) -> tuple[LengthGroup, ...]:
    """Give the groups of short, middle and long answers; fewer where too many are of one length."""
    lengths = [n_words(pair) for pair in pairs]
    if not lengths:
        return ()
    bounds = quantile(lengths, 1 / 3), quantile(lengths, 2 / 3)
    groups: dict[int, list[tuple[int, Pair]]] = {}
    for length, pair in zip(lengths, pairs, strict=True):
        groups.setdefault(sum(length > bound for bound in bounds), []).append((length, pair))
    return tuple(_group(groups[third]) for third in sorted(groups))


def n_words(pair: Pair) -> int:
    """Count the words of an answer."""
    return len((pair.sample.answer or "").split())


def _group(members: Sequence[tuple[int, Pair]]) -> LengthGroup:
    lengths = [length for length, _ in members]
    return LengthGroup(
        n=len(members),
        shortest=min(lengths),
        longest=max(lengths),
        bias=mean([pair.grader_passes - pair.people_pass for _, pair in members]),
    )

"""What prompts have in common at their beginning, and which are put into one batch.

A beginning that is shared is computed once for its group, so what counts is the number of prompt
tokens that need not be computed again.  Everything here is plain arithmetic on token ids.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

Tokens = tuple[int, ...]

WORTH_SHARING_TOKENS = 16
"""What sharing must save in each row: an extra pass, and batches that are not full, cost something too."""

WINDOW_BATCHES = 8
"""Rows are sorted by length among so many batches of the plan, so that early ones still come early."""


def overlap(one: Tokens, other: Tokens) -> int:
    """Count the tokens with which both begin."""
    limit = min(len(one), len(other))
    if one[:limit] == other[:limit]:
        return limit
    return next(place for place in range(limit) if one[place] != other[place])


def common_length(prompts: Sequence[Tokens]) -> int:
    """Count the tokens all prompts begin with, leaving each at least one of its own."""
    # What the first and the last in lexical order share, those between share too.
    return min(overlap(min(prompts), max(prompts)), min(len(prompt) for prompt in prompts) - 1)


@dataclass(slots=True, kw_only=True)
class _Branch:
    """Prompts that begin with the same `n_common` tokens, but for those that are taken out as groups."""

    n_common: int
    loose: list[Tokens] = field(default_factory=list)


def group_by_beginning(prompts: Sequence[Tokens]) -> tuple[tuple[Tokens, ...], ...]:
    """Put prompts into groups that share a beginning worth computing once.

    A group is taken out of a larger one, whose members have less in common, if that saves at least
    `WORTH_SHARING_TOKENS` for each of its prompts; its beginning is computed once more for it, which
    is subtracted.  So two suites are two groups, and headlines with the same first word are none.

    Args:
        prompts: token ids; a prompt that occurs several times counts once.

    Returns:
        Each different prompt once, in one of the groups, in lexical order.
    """
    if not prompts:
        return ()
    ordered = sorted(set(prompts))
    groups: list[tuple[Tokens, ...]] = []
    # The branches from the trunk to the prompt at hand: the tree of common beginnings, walked once.
    path = [_Branch(n_common=0)]
    following = [*(overlap(*pair) for pair in itertools.pairwise(ordered)), 0]
    for prompt, n_common in zip(ordered, following, strict=True):
        if n_common > path[-1].n_common:
            path.append(_Branch(n_common=n_common))
        path[-1].loose.append(prompt)
        while n_common < path[-1].n_common:
            done = path.pop()
            if n_common > path[-1].n_common:
                path.append(_Branch(n_common=n_common))
            n_rows = len(done.loose)
            saved = (n_rows - 1) * done.n_common - n_rows * path[-1].n_common
            if n_rows and saved >= WORTH_SHARING_TOKENS * n_rows:
                groups.append(tuple(done.loose))
            else:
                path[-1].loose.extend(done.loose)
    if path[0].loose:
        groups.append(tuple(sorted(path[0].loose)))
    return tuple(groups)


def fill_batches(prompts: Sequence[Tokens], size: int) -> tuple[tuple[int, ...], ...]:
    """Divide the prompts of a group into batches of similar length, equal prompts side by side.

    Args:
        prompts: in the order of the plan.
        size: rows a batch.

    Returns:
        Places in `prompts`; the batch with the earliest of them first.
    """
    first_place: dict[Tokens, int] = {}
    for place, prompt in enumerate(prompts):
        first_place.setdefault(prompt, place)
    batches = []
    for start in range(0, len(prompts), WINDOW_BATCHES * size):
        window = range(start, min(start + WINDOW_BATCHES * size, len(prompts)))
        ordered = sorted(window, key=lambda place: (len(prompts[place]), first_place[prompts[place]], place))
        filled = [tuple(ordered[first : first + size]) for first in range(0, len(ordered), size)]
        batches.extend(sorted(filled, key=min))
    return tuple(batches)


def split_by_length(lengths: Sequence[int], pass_tokens: int) -> tuple[tuple[int, ...], ...]:
    """Divide rows into parts that are fed one after the other, so that little padding is fed.

    Args:
        lengths: tokens of each row.
        pass_tokens: what a further pass costs, in tokens fed.

    Returns:
        Places in `lengths`, so divided that the tokens of all parts, padding and passes included, are fewest.
    """
    ordered = sorted(range(len(lengths)), key=lambda place: lengths[place])
    # The least cost of the first so many rows, and where their last part begins.
    least = [(0, 0)]
    for end in range(1, len(ordered) + 1):
        longest = lengths[ordered[end - 1]]
        least.append(min((least[first][0] + (end - first) * longest + pass_tokens, first) for first in range(end)))
    parts, end = [], len(ordered)
    while end:
        first = least[end][1]
        parts.append(tuple(sorted(ordered[first:end])))
        end = first
    return tuple(reversed(parts))

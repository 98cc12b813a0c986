"""What is wrong with a split, for `llmbench validate`: an empty side, and nearly equal cases on both.

A case of the held-out side that is nearly one of the train side measures memory.  Pairs are found by what the prompt
templates read: equal after `normalise`, or with nearly the same words (Jaccard).
Source: prefix filtering of set similarity joins (Chaudhuri et al., 2006): two sets that overlap enough share one of
their rarest words, so that not every pair is compared.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from math import ceil

from pytest_llmbench.grading.answer_text import normalise
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.suites.split import by_side
from pytest_llmbench.values import Case, Side

NEAR = 0.8
"""The share of common words from which two cases are nearly the same."""

_WORD = re.compile(r"\w+")


def split_findings(cases: Sequence[Case], used: Set[str]) -> Iterator[Finding]:
    """Find an empty side, and cases of one side that are nearly in the other.

    Args:
        cases: of a suite with a split.
        used: the inputs that its prompt templates read.
    """
    sides = by_side(cases)
    for side, other in ((Side.TRAIN, Side.HELD_OUT), (Side.HELD_OUT, Side.TRAIN)):
        if not sides[side]:
            lack = "be trained on" if side is Side.TRAIN else "decide about a trained model"
            message = (
                f"all cases of the suite are on the {other} side, so none is left to {lack}; give `split` another "
                f"share or salt, or write `split: {side}` into some cases."
            )
            yield Finding(severity=Severity.ERROR, message=message)
    texts = _texts(cases, used)
    for held_out, train in _equal(sides, texts):
        message = (
            f'its inputs are equal to those of "{train.id}", which is on the train side; take one of them out, or give '
            "both the same `cluster`."
        )
        yield Finding(severity=Severity.ERROR, message=message, case=held_out.id)
    for held_out, train, share in _near(sides, texts):
        message = (
            f'its inputs share {share:.0%} of their words with "{train.id}", which is on the train side; give both the '
            "same `cluster` if they are the same question"
        )
        yield Finding(severity=Severity.ADVICE, message=message, case=held_out.id)


def _texts(cases: Sequence[Case], used: Set[str]) -> dict[str, str]:
    """Give what distinguishes the cases, by id: the inputs that a template reads and that are not the same in all."""
    names = sorted({name for case in cases for name in case.inputs if name in used or not used})
    varying = [name for name in names if len({str(case.inputs.get(name)) for case in cases}) > 1]
    return {case.id: normalise("\n".join(str(case.inputs.get(name, "")) for name in varying)) for case in cases}


def _equal(sides: Mapping[Side, Sequence[Case]], texts: Mapping[str, str]) -> Iterator[tuple[Case, Case]]:
    train = {texts[case.id]: case for case in reversed(sides[Side.TRAIN])}
    yield from ((case, train[texts[case.id]]) for case in sides[Side.HELD_OUT] if texts[case.id] in train)


def _near(sides: Mapping[Side, Sequence[Case]], texts: Mapping[str, str]) -> Iterator[tuple[Case, Case, float]]:
    """Give each held-out case that is near one of the train side, with the nearest of these, and their likeness."""
    words = {id_: frozenset(_WORD.findall(text.casefold())) for id_, text in texts.items()}
    counts = Counter(word for found in words.values() for word in found)

    def rarest(case: Case) -> list[str]:
        ordered = sorted(words[case.id], key=lambda word: (counts[word], word))
        return ordered[: len(ordered) - ceil(NEAR * len(ordered)) + 1]

    holders: dict[str, list[Case]] = defaultdict(list)
    for case in sides[Side.TRAIN]:
        for word in rarest(case):
            holders[word].append(case)
    for case in sides[Side.HELD_OUT]:
        candidates = {other.id: other for word in rarest(case) for other in holders[word]}
        shares = {id_: len(words[case.id] & words[id_]) / len(words[case.id] | words[id_]) for id_ in candidates}
        nearest = max(shares, key=lambda id_: shares[id_], default=None)
        if nearest is not None and shares[nearest] >= NEAR and texts[nearest] != texts[case.id]:
            yield case, candidates[nearest], shares[nearest]

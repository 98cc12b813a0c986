"""The split of a suite: which cases a model may be trained on, and which decide about it.

The side of a case follows from its cluster, or its id where it has none, and nothing else: adding cases moves none, and
anybody can check it without a file.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import kept
from pytest_llmbench.suites.data_files import Row
from pytest_llmbench.values import Case, Side, Split, Suite

TrainShare = Annotated[float, Field(gt=0, lt=1), kept(int, float)]


class SplitKeys(Strict):
    """The keys of `split`."""

    train: TrainShare
    salt: str = ""


def hashed_side(name: str, split: Split) -> Side:
    """Give the side of a cluster, or of a case without one.

    Args:
        name: of the cluster, or the id of the case.
        split: of the suite.
    """
    digest = hashlib.sha256(f"{split.salt}/{name}".encode("utf-8", "surrogatepass")).digest()
    return Side.TRAIN if int.from_bytes(digest[:8], "big") / 2**64 < split.train else Side.HELD_OUT


def side_as_written(row: Row, case_id: str) -> Side | None:
    """Give the side that a case says it is on; None where it says nothing.

    Raises:
        SuiteFault: it names no side.
    """
    word = row.values.get("split")
    if word is None or word == "":
        return None
    if word not in tuple(Side):
        raise row.fault(f'case "{case_id}": `split` is "{word}"; it must be train or held-out.')
    return Side(str(word))


def with_sides(cases: Sequence[Case], split: Split) -> tuple[Case, ...]:
    """Give each case its side: the one it says, else the one its cluster or id is hashed to.

    Raises:
        SuiteFault: cases of one cluster are on different sides.
    """
    found = [case if case.side else replace(case, side=hashed_side(case.cluster or case.id, split)) for case in cases]
    first: dict[str, Case] = {}
    for case in found:
        other = case if case.cluster is None else first.setdefault(case.cluster, case)
        if other.side is not case.side:
            message = (
                f'case "{case.id}" of the cluster "{case.cluster}" is on the {case.side} side, and "{other.id}" on the '
                f"{other.side} side; give all cases of the cluster the same `split`, or none."
            )
            raise SuiteFault(message, path=case.path, line=case.line)
    return tuple(found)


def by_side(cases: Sequence[Case]) -> Mapping[Side, tuple[Case, ...]]:
    """Give the cases of each side, in their order; those of a suite without a split are on none."""
    return {side: tuple(case for case in cases if case.side is side) for side in Side}


def split_remark(suite: Suite, side: Side) -> str | None:
    """Describe a suite of which one side is run and that has no split, or nothing on that side; None for others."""
    if suite.split is None:
        what = "all its cases count as held out" if side is Side.HELD_OUT else "so it has no train side"
        return f'suite "{suite.name}" has no `split`, {what}.'
    if not by_side(suite.cases)[side]:
        return f'suite "{suite.name}" has no case on the {side} side; give its `split` another share or salt.'
    return None

"""The order of the lines of a scoreboard. Pure functions of records."""

from collections.abc import Sequence
from enum import StrEnum

from pytest_llmbench.results.records import Record
from pytest_llmbench.stats import mean


class Order(StrEnum):
    """How the lines stand: by suite, then model; by model, then suite; by suite, then the best score."""

    SUITE = "suite"
    MODEL = "model"
    SCORE = "score"


def in_order(records: Sequence[Record], roles: Sequence[str] = (), order: Order = Order.SUITE) -> tuple[Record, ...]:
    """Put records in the order in which their lines are to stand; those of a line keep theirs.

    Args:
        records: of a run.
        roles: in the order of the models; others follow, in the order they come.
        order: of the lines.
    """
    places = {role: place for place, role in enumerate(dict.fromkeys((*roles, *(record.role for record in records))))}
    scores = {line: mean(found) for line, found in _scores(records).items()}

    def key(record: Record) -> tuple[object, ...]:
        place = places[record.role]
        if order is Order.MODEL:
            return place, record.suite
        score = scores.get((record.suite, record.role), -1.0) if order is Order.SCORE else 0.0
        return record.suite, -score, place

    return tuple(sorted(records, key=key))


def _scores(records: Sequence[Record]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record.score is not None:
            found.setdefault((record.suite, record.role), []).append(record.score)
    return found

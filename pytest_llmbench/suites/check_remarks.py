"""Remarks on checks as they are written, each with its place: what `llmbench validate` says of a weak criterion."""

from collections.abc import Iterator

from pytest_llmbench.grading.base import Severity
from pytest_llmbench.grading.checks.of_case import Check
from pytest_llmbench.grading.checks.tree import Place


def remarks_on(check: Check, place: Place) -> Iterator[tuple[Severity, str, Place]]:
    """Give the remarks on a check and on those within it.

    Args:
        check: read from this place.
        place: in the list of checks.
    """
    kind = check.leaf_kind
    if kind is not None:
        for severity, message in kind.remarks(check.fields):
            yield severity, message, (*place, check.kind)
    for number, child in enumerate(check.children):
        within = (*place, check.kind) if check.kind == "not" else (*place, check.kind, number)
        yield from remarks_on(child, within)

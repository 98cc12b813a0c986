"""What graders share in reading their own fields of cases and suites."""

from typing import TypeVar

from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Case, Suite

Fields = TypeVar("Fields")


class NoFields(Strict):
    """A suite that has nothing to say to its grader."""


def rules_of(owner: Case | Suite, fields: type[Fields]) -> Fields:
    """Give the grader's checked fields of a case or suite.

    Raises:
        TypeError: it was loaded for another grader.
    """
    if not isinstance(owner.rules, fields):
        name = owner.id if isinstance(owner, Case) else owner.name
        raise TypeError(f'"{name}" holds {type(owner.rules).__name__}, this grader reads {fields.__name__}')
    return owner.rules

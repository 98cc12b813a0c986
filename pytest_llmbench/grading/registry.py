"""The graders by name: the built-in ones, those other packages add, and functions of the user's own."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.lazy_kinds import LazyKinds

_PLACES = MappingProxyType(
    {
        "exact": ("match", "EXACT"),
        "contains": ("match", "CONTAINS"),
        "regex": ("match", "REGEX"),
        "json": ("json", "KIND"),
        "yes_no": ("yes_no", "KIND"),
        "choices": ("choices", "KIND"),
        "key_points": ("key_points.grader", "KIND"),
        "sql": ("sql", "KIND"),
    }
)
"""Module below this package and name in it, by grader: a new grader is one file, and one line here."""

CHECKS = "checks"
"""What stands as the grader of a suite that has a list of checks in place of one; it is no grader to name."""


LABEL_GRADERS = frozenset({"yes_no", CHECKS})
"""The graders that may leave a label in a record."""


BUILT_IN: Mapping[str, GraderKind] = LazyKinds("pytest_llmbench.grading", _PLACES)
"""The graders that come with the package, by name."""


def grader_kind(name: str, extra: Mapping[str, GraderKind]) -> GraderKind:
    """Give the grader of that name: a built-in one, one of `extra`, or a `package.module:function`.

    Raises:
        SuiteFault: there is none; the nearest names come first.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if ":" in name:
        from pytest_llmbench.grading.function import function_kind

        return function_kind(name)
    if name in extra:  # last: to know them may mean to look for them
        return extra[name]
    raise SuiteFault(_unknown(name, (*BUILT_IN, *extra)))


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name.lower().replace("-", "_"), known, n=2, cutoff=0.5)
    others = [other for other in known if other not in near]
    guess = f'did you mean "{near[0]}"? Known are' if near else "known are"
    names = ", ".join([*near, *others])
    return f'there is no grader "{name}"; {guess}: {names}, or a function of yours as package.module:function.'

"""The kinds of checks by name, each imported when it is first used."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from pytest_llmbench.grading.lazy_kinds import LazyKinds

if TYPE_CHECKING:
    from pytest_llmbench.grading.checks.base import CheckKind

_PLACES = MappingProxyType(
    {
        "equals": ("texts", "EQUALS"),
        "contains": ("texts", "CONTAINS"),
        "contains_any": ("texts", "CONTAINS_ANY"),
        "starts_with": ("texts", "STARTS_WITH"),
        "ends_with": ("texts", "ENDS_WITH"),
        "one_of": ("texts", "ONE_OF"),
        "regex": ("patterns", "REGEX"),
        "number": ("patterns", "NUMBER"),
        "words": ("lengths", "WORDS"),
        "finish": ("lengths", "FINISH"),
        "json": ("json_values", "JSON"),
        "json_subset": ("json_values", "JSON_SUBSET"),
        "tools": ("tool_calls", "TOOLS"),
        "label": ("graders", "LABEL"),
        "sql": ("graders", "SQL"),
        "key_points": ("graders", "KEY_POINTS"),
        "rubric": ("rubric", "RUBRIC"),
        "function": ("graders", "FUNCTION"),
        "f1": ("overlap", "F1"),
        "rouge_l": ("overlap", "ROUGE_L"),
        "levenshtein": ("edits", "LEVENSHTEIN"),
        "similar": ("similar", "SIMILAR"),
    }
)
"""Module below this package and name in it, by kind: a new kind is one file, and one line here."""

COMBINATIONS = ("not", "any", "all")
"""The kinds that hold other checks."""

TEXT_KEYS = frozenset(
    {"equals", "contains", "contains_any", "starts_with", "ends_with", "one_of", "regex", "label", "labels"}
    | {"finish", "f1", "rouge_l", "levenshtein", "delete", "function", "name", "path"}
)
"""Keys of a check whose scalars are the texts they are written as."""


KINDS: Mapping[str, "CheckKind"] = LazyKinds("pytest_llmbench.grading.checks", _PLACES)
"""The kinds of checks that come with the package, by name."""


def unknown_kind(keys: tuple[str, ...]) -> str:
    """Explain that none of the keys of a check is a kind, the nearest names first."""
    known = (*_PLACES, *COMBINATIONS)
    near = [name for key in keys for name in get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)]
    guess = f' Did you mean "{near[0]}"?' if near else ""
    written = f"it has only: {', '.join(keys)}" if keys else "it is empty"
    return f"a check has one of these keys: {', '.join(known)}; {written}.{guess}"

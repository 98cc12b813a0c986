"""From Inspect's scorers to checks with the same verdicts.

`match` looks at an end of the answer, punctuation around it aside, and folds letters; `pattern` and `choice` read a
part of the answer first, which a suite does for all its cases with `read`.
Source: inspect_ai 0.3.285, `scorer/_match.py`, `_common.py`, `_pattern.py`, `_classification.py`,
`solver/_multiple_choice.py`.
"""

import math
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import regex

from pytest_llmbench.importers.base import literal

_AROUND = r"[\s!-/:-@\[-`{-~]*"
_CHOICE = r"(?i)ANSWER\s*:\s*([A-Za-z\d])\s*(?:$|\n|\.)"
_EXACT = {"verbatim": True, "trim": False}


class NoCheck(Exception):
    """A scorer has no check with the same verdicts."""


Make = Callable[[Mapping[str, Any], Sequence[str]], Mapping[str, Any]]


def read_of(name: str, options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the key `read` of a suite for a scorer; None for one that sees the whole answer.

    Raises:
        NoCheck: its pattern has not one group.
    """
    if name == "choice":
        return {"regex": _CHOICE, "match": "last", "otherwise": "(no choice)"}
    if name != "pattern":
        return None
    pattern = str(options.get("pattern", ""))
    try:
        groups = regex.compile(pattern).groups
    except regex.error as fault:
        raise NoCheck(f"its pattern is none here ({fault})") from None
    if groups > 1 or options.get("match_all"):
        raise NoCheck("its pattern has several groups; write a function")
    flags = "(?i)" if options.get("ignore_case", True) else ""
    return {"regex": f"{flags}{pattern}", "match": "first", "otherwise": "(no match)"}


def check_of(name: str, options: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
    """Give the check of a sample with these targets, any of which is right.

    Raises:
        NoCheck: there is none with the same verdicts.
    """
    make = _MADE.get(name)
    if make is None:
        raise NoCheck(f"there is no check for it; those mapped are: {', '.join(_MADE)}")
    if not targets or not all(target.strip() for target in targets):
        raise NoCheck("a blank target cannot be asked for")
    try:
        return dict(literal(make(options, targets)))
    except ValueError as fault:
        raise NoCheck(str(fault)) from None


def _includes(options: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
    return {"contains_any": list(targets), **_EXACT, **_case(options)}


def _match(options: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
    location = options.get("location", "end")
    if options.get("numeric") and any(_is_number(target) for target in targets):
        if location not in ("end", "exact") or len(targets) > 1:
            raise NoCheck(f'a number is compared at the end or exactly, not "{location}" or with several targets')
        number = {"number": {"value": _plain_number(targets[0])}}
        return {**number, "search": True} if location == "end" else number
    stripped = [target.strip().strip(string.whitespace + string.punctuation) for target in targets]
    if not all(stripped):
        raise NoCheck("a target of punctuation alone matches every answer")
    wanted = f"(?:{'|'.join(map(regex.escape, stripped))})"
    flags = "(?fi)" if options.get("ignore_case", True) else ""
    begin = "" if location in ("end", "any") else rf"\A{_AROUND}"
    end = "" if location in ("begin", "any") else rf"{_AROUND}\Z"
    return {"regex": f"{flags}{begin}{wanted}{end}", "search": True, "trim": False}


def _pattern(options: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
    return {"one_of": list(targets), **_EXACT, **_case(options)}


def _choice(options: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
    del options
    if len(targets) > 1 or not re.fullmatch(r"[A-Z]", targets[0].strip()):
        raise NoCheck("several right choices at once are not mapped")
    return {"equals": targets[0].strip(), "ignore_case": True}


def _case(options: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"ignore_case": True} if options.get("ignore_case", True) else {}


def _is_number(target: str) -> bool:
    try:
        float(_plain_number(target))
    except ValueError:
        return False
    return True


def _plain_number(target: str) -> str:
    return re.sub(r"[$,£€*_]", "", target.strip()).rstrip(".")


def _exact(options: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
    """Compare words: case, punctuation, articles and the kind of blanks aside."""
    del options
    words = [[one for one in map(_plain_word, re.split(r"[\s-]+", target)) if one] for target in targets]
    if not all(words):
        raise NoCheck("a target of articles or punctuation alone matches answers of any kind")
    if any(_is_finite(one) for target in words for one in target):
        raise NoCheck("a number in a target is compared by its value among words; write a function")
    wanted = "|".join(_WORDS_BETWEEN.join(map(_spelled, target)) for target in words)
    pattern = rf"(?fi)\A{_GAP}*(?:{_ASIDE}{_GAP}+)*(?:{wanted})(?:{_GAP}+{_ASIDE})*{_GAP}*\Z"
    return {"regex": pattern, "search": True, "trim": False}


_GAP = r"[\s-]"
_MARK = r"[!-,./:-@\[-`{-~]"
_ASIDE = rf"(?:{_MARK}*(?:a{_MARK}*(?:n{_MARK}*)?|t{_MARK}*h{_MARK}*e{_MARK}*)|{_MARK}+)"
"""A word that is left out: an article, or punctuation alone."""

_WORDS_BETWEEN = rf"{_GAP}+(?:{_ASIDE}{_GAP}+)*"


def _plain_word(word: str) -> str:
    found = "".join(one for one in word.casefold() if one not in string.punctuation)
    return "" if found in ("a", "an", "the") else found


def _is_finite(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _spelled(word: str) -> str:
    """Give a pattern for a word with punctuation anywhere in it."""
    return f"{_MARK}*" + "".join(f"{regex.escape(one)}{_MARK}*" for one in word)


_MADE: Mapping[str, Make] = {
    "match": _match,
    "includes": _includes,
    "exact": _exact,
    "pattern": _pattern,
    "choice": _choice,
}
"""How each scorer is mapped, by its name."""

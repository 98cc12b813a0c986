r"""From regular expressions of JavaScript to those of the `regex` package, which mean the same on text.

JavaScript's `\d`, `\w` and `\b` are of ASCII, its `$` is the very end, and `\s` has the line separators of Unicode.
Source: ECMA-262, 22.2; checked against Node on every pattern of the tests.
"""

import re

import regex

_ESCAPES = {
    "d": "[0-9]",
    "D": "[^0-9]",
    "w": "[A-Za-z0-9_]",
    "W": "[^A-Za-z0-9_]",
    "s": r"[\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
    "S": r"[^\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
    "b": "(?:(?<=[A-Za-z0-9_])(?![A-Za-z0-9_])|(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]))",
    "B": "(?:(?<=[A-Za-z0-9_])(?=[A-Za-z0-9_])|(?<![A-Za-z0-9_])(?![A-Za-z0-9_]))",
}
_IN_CLASS = {
    **{key: _ESCAPES[key][1:-1] for key in "dws"},
    "D": r"\x00-/:-\U0010ffff",
    "W": r"\x00-/:-@\[-^`{-\U0010ffff",
    "S": r"\x00-\x08\x0e-\x1f!-\x9f\xa1-\u167f\u1681-\u1fff\u200b-\u2027\u202a-\u202e\u2030-\u205e"
    r"\u2060-\u2fff\u3001-\ufefe\uff00-\U0010ffff",
}
_SAME = frozenset("tnrvf.*+?^${}()[]|/\\-,:;=!<>@#%&~`'\" _")
_GROUP = re.compile(r"\(\?(?:[:=!]|<[=!]|<(?P<name>[A-Za-z_$][\w$]*)>)")
_QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")


def translated(pattern: str, *, dot_all: bool = False, multiline: bool = False) -> str:
    """Give a pattern without flags as one of `regex`.

    Raises:
        ValueError: it has something whose meaning differs; the message names it.
    """
    found: list[str] = []
    place = 0
    while place < len(pattern):
        text, length = _next(pattern, place, dot_all=dot_all, multiline=multiline)
        found.append(text)
        place += length
    made = "".join(found)
    try:
        regex.compile(made)
    except regex.error as fault:
        raise ValueError(f"it is no pattern here ({fault})") from None
    return made


def _next(pattern: str, place: int, *, dot_all: bool, multiline: bool) -> tuple[str, int]:
    """Give what stands for the piece at a place, and its length."""
    one = pattern[place]
    if one == "\\":
        return _escape(pattern, place, in_class=False)
    if one == "[":
        return _class(pattern, place)
    if one == "(" and pattern[place : place + 2] == "(?":
        return _group(pattern, place)
    if one == ".":
        return ("(?s:.)" if dot_all else r"[^\n\r\u2028\u2029]"), 1
    if one == "$":
        return (r"(?=[\n\r\u2028\u2029]|\Z)" if multiline else r"\Z"), 1
    if one == "^":
        return (r"(?:\A|(?<=[\n\r\u2028\u2029]))" if multiline else r"\A"), 1
    if one == "{" and not _QUANTIFIER.match(pattern, place):
        return r"\{", 1
    if one == "}" and not re.search(r"\{\d+(?:,\d*)?$", pattern[:place]):
        return r"\}", 1
    if one in "#&~ " or (one == "]"):
        return f"\\{one}", 1
    if one in "*+?}" and pattern[place + 1 : place + 2] == "+":
        raise ValueError(f"`{pattern[place : place + 2]}` is no repetition in JavaScript")
    return one, 1


def _group(pattern: str, place: int) -> tuple[str, int]:
    group = _GROUP.match(pattern, place)
    if group is None:
        raise ValueError(f"`{pattern[place : place + 4]}` is a group that only one of the two has")
    if group["name"] is not None:
        return f"(?P<{group['name']}>", len(group[0])
    return group[0], len(group[0])


def _escape(pattern: str, place: int, *, in_class: bool) -> tuple[str, int]:
    mark = pattern[place + 1 : place + 2]
    known = _IN_CLASS if in_class else _ESCAPES
    if mark in known:
        return known[mark], 2
    if in_class and mark == "b":
        return r"\x08", 2
    if mark == "B" and in_class:
        raise ValueError(f"`\\{mark}` within `[...]` is not mapped")
    for shape in (r"\\u[0-9a-fA-F]{4}", r"\\x[0-9a-fA-F]{2}"):
        if code := re.compile(shape).match(pattern, place):
            if "D800" <= code[0][2:].upper() <= "DFFF" and mark == "u":
                raise ValueError(f"`{code[0]}` is half a character")
            return code[0], len(code[0])
    if mark == "k" and (name := re.compile(r"\\k<([A-Za-z_$][\w$]*)>").match(pattern, place)):
        return f"(?P={name[1]})", len(name[0])
    if mark.isdigit() and mark != "0" and not in_class:
        return f"(?:\\{mark})", 2
    if mark in _SAME and mark:
        return f"\\{mark}" if mark not in "/_<>@%,:;=!`'\"" else mark, 2
    raise ValueError(f"`\\{mark}` is not mapped")


def _class(pattern: str, place: int) -> tuple[str, int]:
    """Give a class of characters; one of JavaScript knows no sets and operators."""
    start = place
    place += 1
    negated = pattern[place : place + 1] == "^"
    place += negated
    found: list[str] = []
    while place < len(pattern) and pattern[place] != "]":
        if pattern[place] == "\\":
            text, length = _escape(pattern, place, in_class=True)
        else:
            text, length = (f"\\{pattern[place]}" if pattern[place] in "[&~|" else pattern[place]), 1
        found.append(text)
        place += length
    if place >= len(pattern):
        raise ValueError("`[` is not closed")
    if not found:
        return ("(?s:.)" if negated else "(?!)"), place + 1 - start
    return f"[{'^' if negated else ''}{''.join(found)}]", place + 1 - start

"""When two texts are equal, and how to show a difference that cannot be seen.

Texts are compared in NFC, with the keyboard's quotes and hyphens, one kind of blank and one kind of line end,
and without characters of no width: what an editor, a spreadsheet or a tokenizer changes unseen is no difference.
A case with `verbatim: true` is compared character by character.
"""

import unicodedata
from collections.abc import Callable, Iterator
from typing import TypeAlias

from pytest_llmbench.grading.answer_text import with_plain_quotes

Fold: TypeAlias = Callable[[str], str]
"""Give the form of a text that is compared."""

_BLANKS = str.maketrans(
    dict.fromkeys(
        "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    )
)
_LOOKALIKES = str.maketrans(
    "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425"
    "\u0430\u0435\u043e\u0455\u0456\u0458\u0440\u0441\u0443\u0445"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf",
    "ABESIJKMHOPCTYXaeosijpcyxABEZHIKMNOPTYXo",
)
"""Cyrillic and Greek letters that look like Latin ones. They are different, and nobody sees it."""

_SHOWN = 6
"""How many code points of a difference are shown."""

_SEARCHED = 20_000
"""In how many characters of an answer a difference that cannot be seen is looked for."""


def fold(text: str) -> str:
    """Give a text as it is compared: what cannot be seen, and how quotes are written, does not matter."""
    plain = with_plain_quotes(text).replace("\r\n", "\n").translate(_BLANKS)
    return unicodedata.normalize("NFC", plain)


def folding(*, is_verbatim: bool, ignores_case: bool = False) -> Fold:
    """Give the form in which texts are compared, letter case aside where that is ignored."""
    plain = _as_it_is if is_verbatim else fold
    if not ignores_case:
        return plain
    return lambda text: plain(plain(text).casefold())


def unseen_difference(expected: str, found: str) -> str | None:
    """Describe by its code points where two texts differ that look alike; None if they are equal, or look different."""
    if expected == found or max(len(expected), len(found)) > _SEARCHED or _look(expected) != _look(found):
        return None
    begin = next(
        (place for place, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]),
        min(len(expected), len(found)),
    )
    shared = 0
    while shared < min(len(expected), len(found)) - begin and expected[-1 - shared] == found[-1 - shared]:
        shared += 1
    want, got = (text[begin : len(text) - shared] for text in (expected, found))
    return f"they differ in what cannot be seen, at character {begin + 1}: expected {_named(want)}, found {_named(got)}"


def unseen_in(expected: str, found: str) -> str | None:
    """Describe where a text occurs in another but for what cannot be seen; None if it does not."""
    wanted, pieces = _look(expected).strip(), list(_look_pieces(found[:_SEARCHED]))
    places = [place for place, look in pieces for _ in look]
    at = "".join(look for _, look in pieces).find(wanted) if wanted else -1
    if at < 0:
        return None
    return unseen_difference(expected, found[places[at] : places[at + len(wanted) - 1] + 1])


def _as_it_is(text: str) -> str:
    return text


def _look(text: str) -> str:
    return "".join(look for _, look in _look_pieces(text))


def _look_pieces(text: str) -> Iterator[tuple[int, str]]:
    """Give what is seen of each character in an explanation: nothing of one without width, one blank of a run."""
    is_after_blank = True
    for place, character in enumerate(text):
        if character.isspace() or not (character.isprintable() or with_plain_quotes(character) == ""):
            look = "" if is_after_blank else " "
        else:
            look = unicodedata.normalize("NFD", with_plain_quotes(character).translate(_LOOKALIKES)).strip()
        is_after_blank = look == " " or (is_after_blank and not look)
        yield place, look


def _named(text: str) -> str:
    if not text:
        return "nothing"
    names = [f"U+{ord(character):04X}{_name(character)}" for character in text[:_SHOWN]]
    return " ".join([*names, "…"] if len(text) > _SHOWN else names)


def _name(character: str) -> str:
    name = unicodedata.name(character, "")
    return f" ({name.lower()})" if name else ""

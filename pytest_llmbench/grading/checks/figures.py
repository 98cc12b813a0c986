"""The number in an answer: all of it, or its last one.

A figure that is part of something else is no number: the halves of a fraction, a range, a decimal comma or a version
make an answer unreadable, dates and times of day and names ("3rd", "H2O") are passed over.
"""

from decimal import Decimal

import regex

from pytest_llmbench.grading.answer_text import ended

_EAST_ASIAN = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}"
"""Scripts that put no blank between a word and a figure."""

_UNIT = (
    r"(?:km|cm|mm|nm|kg|mg|ml|[kMG]Wh?|[KMGT]i?B|[kMG]?Hz|km/h|mph|mins?|hrs?|secs?|ms|USD|EUR|GBP|CHF|ft|lbs?|oz|px)"
    rf"(?![^\W{_EAST_ASIAN}])"
)
_FIGURE = regex.compile(
    rf"(?<!\.)(?<![^\W{_EAST_ASIAN}])[-+]?"
    r"(?:(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:_\d{3})+|\d{1,300})(?:\.\d{1,300})?|\.\d{1,300})(?:[eE][-+]?\d{1,3})?"
    rf"(?:(?={_UNIT})|(?![^\W{_EAST_ASIAN}]))"
)
_MOMENT = regex.compile(
    r"(?<![\d./-])\d{1,4}([-/.])\d{1,2}\1\d{1,4}(?![\d/-])|(?<![\d:])\d{1,2}:\d{2}(?::\d{2})?(?![\d:])"
)
"""A date or a time of day."""

_GLUED_BEFORE = regex.compile(
    r"[\d%][-/:,.']\Z|\^[{(]?\Z|(?:±|\+/-) ?\Z|\\[dt]?frac ?\{[^{}]*\}\{?\Z|\\[dt]?frac ?\{?\Z"
)
_GLUED_BEHIND = regex.compile(r"(?:[-/:,']|\.{1,3})\d|[\p{No}万萬亿億千百兆만억천백]|\}\{")
_GROUP_BEFORE = regex.compile(r"(?<![\d.,])\d{1,3} \Z")
_GROUPS = regex.compile(r"(?<!\d[\u2009\u202f\u00a0']?)\d{1,3}(?:[\u2009\u202f\u00a0]\d{3})+(?!\d)")
_SPACED = regex.compile(r"[-+]?\d{1,3}(?:[ ']\d{3})+(?:\.\d{1,300})?")
_SIGNED_CURRENCY = regex.compile(r"(?<![\w.])([-+]) ?[$€£¥](?=[\d.])")
_PLAIN = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2019": "'"})
_AROUND = " \t\r\n*$€£¥%`\"'“”„«»\ufeff\u200b\u2060"
_SEARCHED = 100_000


def figure_in(text: str, *, search: bool) -> Decimal | None:
    """Read the number that a text is, a sign of currency, a percent sign and a full stop aside, or its last one."""
    plain = _GROUPS.sub(lambda grouped: regex.sub(r"\D", "", grouped[0]), ended(text)[-_SEARCHED:].translate(_PLAIN))
    plain = _SIGNED_CURRENCY.sub(r"\1", plain.replace("{,}", ","))
    if search:
        return _last(plain)
    alone = plain.lstrip(_AROUND).rstrip(_AROUND + ".")
    match = _FIGURE.fullmatch(alone) or _SPACED.fullmatch(alone)
    return None if match is None else _value(match[0])


def _last(text: str) -> Decimal | None:
    text = _MOMENT.sub(lambda moment: " " * len(moment[0]), text)
    found = next(reversed(list(_FIGURE.finditer(text))), None)
    if found is None:
        return None
    before = text[max(0, found.start() - 80) : found.start()]
    is_signed = found[0][0] in "+-"
    is_behind_another = before.endswith("%") if is_signed else _GLUED_BEFORE.search(before) is not None
    is_group = _GROUP_BEFORE.search(before) is not None and regex.match(r"\d{3}(?!\d)", found[0]) is not None
    if is_behind_another or is_group or _GLUED_BEHIND.match(text, found.end()):
        return None
    return _value(found[0])


def _value(figure: str) -> Decimal:
    return Decimal(regex.sub(r"[, '_]", "", figure))

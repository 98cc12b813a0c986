"""TO_CHAR, whose formats sqlglot reads in part, in one dialect wrongly (HH as 24 hours), or drops without a word.

The call is hidden from the parser under another name (`MARK`, put in by quotes.py), so that its format arrives as
it was written, and is written here.  Names are in the letter case of their pattern and padded unless FM says not to,
as in Postgres and Oracle; Snowflake's are neither.
Source: https://www.postgresql.org/docs/17/functions-formatting.html, tables 9.27 to 9.29.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from sqlglot import exp

from pytest_llmbench.sql.translate.tree import UnreadableError, call, number, stamp, text

NAMES = frozenset({"to_char", "to_varchar"})
MARK = "llmbench_to_char"

_PLAIN = {
    "YYYY": "%Y", "IYYY": "%G", "YY": "%y", "MM": "%m", "DDD": "%j", "DD": "%d", "HH24": "%H", "HH12": "%I", "HH": "%I",
    "MI": "%M", "SS": "%S", "AM": "%p", "PM": "%p", "ID": "%u", "IW": "%V", "FF": "%f", "FF6": "%f", "US": "%f",
}  # fmt: skip
_WITHOUT_ZERO = {"MM": "%-m", "DD": "%-d", "DDD": "%-j", "HH24": "%-H", "HH12": "%-I", "HH": "%-I"}
_WORDS = {"MONTH": "%B", "MMMM": "%B", "MON": "%b", "DAY": "%A", "DY": "%a"}
_PIECES = re.compile(
    r"""
    (?P<bare>FM|TM) | (?P<word>MONTH|MMMM|MON|DAY|DY) | (?P<number>D(?!D)|Q)
  | (?P<plain>YYYY|IYYY|YY|MM|DDD|DD|HH24|HH12|HH|MI|SS|AM|PM|ID|IW|FF6|FF|US)
  | (?P<quoted>"[^"]*") | (?P<sign>[^A-Za-z0-9"]+|T(?=HH))
  | (?P<unsupported>SSSSS?|CC|J|RM|TZH|TZM|TZ|OF|MS|Y,YYY|IYY|IY|I|YYY|Y|WW|W|IDDD|BC|B\.C\.|AD|A\.D\.)
  | (?P<modifier>TH|SP|FX|FF\d|RR+)
  | (?P<letter>[0-9A-Za-z]) | (?P<unknown>.)
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"(?:FM)?[9]*(0*)(?:[.D]([09]+))?", re.IGNORECASE)
_STRICT = frozenset({"oracle", "snowflake"})  # Postgres copies what is no pattern, YYYY-MM-01
_WIDTH = 9  # of the longest name of a month or a day


def repair(node: exp.Expr, dialect: str) -> exp.Expr:
    """Rewrite one node if it is a call of TO_CHAR."""
    if not isinstance(node, exp.Anonymous) or node.name.lower() != MARK:
        return node
    if len(node.expressions) == 1:
        return exp.cast(node.expressions[0], "TEXT")
    value, shape = node.expressions[:2]
    if not isinstance(shape, exp.Literal) or not shape.is_string or not shape.name:
        raise UnreadableError("TO_CHAR without a plain format")
    if found := _NUMBER.fullmatch(shape.name.strip()):
        return _number(value, zeros=len(found.group(1)), decimals=len(found.group(2) or ""))
    moment = stamp(value)
    return _joined(moment, _parts(moment, shape.name, dialect))


def _number(value: exp.Expr, *, zeros: int, decimals: int) -> exp.Expr:
    """Write a number with so many decimals, or with so many digits at least."""
    if zeros > 1 and decimals:
        raise UnreadableError("TO_CHAR with this format")
    written = exp.cast(exp.cast(value, f"DECIMAL(38, {decimals})"), "TEXT")
    return call("LPAD", written, number(zeros), text("0")) if zeros > 1 else written


def _parts(moment: exp.Expr, shape: str, dialect: str) -> Iterator[str | exp.Expr]:
    """Cut a format into patterns of strftime, and expressions for what strftime has no pattern for."""
    is_bare = False
    for piece in _PIECES.finditer(shape):
        kind, found = str(piece.lastgroup), piece.group()
        if kind in ("unknown", "unsupported", "modifier") or (kind == "letter" and dialect in _STRICT):
            raise UnreadableError("TO_CHAR with this format")
        if kind == "bare":
            is_bare = True
            continue
        if kind in ("quoted", "sign", "letter"):
            yield found.strip('"').replace("%", "%%")
            continue
        if kind == "plain":
            name = found.upper()
            yield _WITHOUT_ZERO[name] if is_bare and name in _WITHOUT_ZERO else _PLAIN[name]
        elif kind == "number":
            yield _counted(moment, found.upper())
        elif dialect == "snowflake":
            yield _WORDS[found.upper()]
        else:
            yield _word(moment, found, is_padded=not is_bare)
        is_bare = is_bare and dialect == "oracle"  # there it holds to the end, elsewhere for one piece


def _counted(moment: exp.Expr, pattern: str) -> exp.Expr:
    """Give the quarter, or the day of the week with Sunday as 1."""
    if pattern == "Q":
        return exp.cast(call("QUARTER", moment.copy()), "TEXT")
    return exp.cast(exp.Paren(this=exp.Add(this=call("DAYOFWEEK", moment.copy()), expression=number(1))), "TEXT")


def _word(moment: exp.Expr, found: str, *, is_padded: bool) -> str | exp.Expr:
    """Give the name of a month or a day in the letters of its pattern: MONTH, Month or month."""
    pattern = _WORDS[found.upper()]
    is_padded = is_padded and pattern in ("%A", "%B")
    is_name = not found.isupper() and not found.islower()
    if is_name and not is_padded:
        return pattern
    name = _written(moment, pattern)
    if not is_name:
        name = call("UPPER" if found.isupper() else "LOWER", name)
    return call("RPAD", name, number(_WIDTH), text(" ")) if is_padded else name


def _joined(moment: exp.Expr, parts: Iterable[str | exp.Expr]) -> exp.Expr:
    """Put the pieces together, neighbouring patterns in one strftime."""
    found: list[exp.Expr] = []
    for is_pattern, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_pattern:
            found.append(_written(moment, "".join(map(str, group))))
        else:
            found.extend(part for part in group if isinstance(part, exp.Expr))
    joined = found[0]
    for piece in found[1:]:
        joined = exp.DPipe(this=joined, expression=piece)
    return exp.Paren(this=joined) if len(found) > 1 else joined


def _written(moment: exp.Expr, pattern: str) -> exp.Expr:
    return exp.TimeToStr(this=moment.copy(), format=text(pattern))

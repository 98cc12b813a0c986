"""SQLite's date functions, folded into timestamps and intervals.

datetime(x, '-7 days', 'start of month') gives text in SQLite; here it gives a timestamp, which compares and
prints the same.  Source: https://sqlite.org/lang_datefunc.html, modifiers 1 to 13; a month added to
the 31st clamps to the month's end here and runs over in SQLite.
"""

import re

from sqlglot import exp

from pytest_llmbench.sql.translate.frozen_clock import now
from pytest_llmbench.sql.translate.tree import UnreadableError, call, interval, number, stamp, text

KINDS = (exp.Anonymous, exp.TimeToStr, exp.Date, exp.Time)
"""The nodes that `repair` is for."""

_SHIFT = re.compile(r"([+-]?)\s*(\d+(?:\.\d+)?)\s*(second|minute|hour|day|month|year)s?", re.IGNORECASE)
_NAMES = frozenset({"datetime", "date", "time", "julianday", "unixepoch", "strftime"})
_EPOCH_DAY = 2440587.5  # the Julian day of 1970-01-01 00:00


def repair(node: exp.Expr) -> exp.Expr:
    """Rewrite one node if it is a date function of SQLite."""
    name, arguments = _called(node)
    if name is None:
        return node
    if name == "strftime":
        if not arguments:
            raise UnreadableError("strftime needs a format")
        return _strftime(arguments[0], _moment(arguments[1:]))
    moment = _moment(arguments)
    if name == "datetime":
        return moment
    if name in ("date", "time"):
        return exp.cast(moment, name.upper())
    if name == "unixepoch":
        return exp.cast(call("EPOCH", moment), "BIGINT")
    return exp.Paren(
        this=exp.Add(
            this=exp.Div(this=call("EPOCH", moment), expression=number(86400.0)), expression=number(_EPOCH_DAY)
        )
    )


def _called(node: exp.Expr) -> tuple[str | None, list[exp.Expr]]:
    """Give the SQLite function a node stands for, with its arguments; sqlglot has classes for some forms."""
    if isinstance(node, exp.Anonymous) and node.name.lower() in _NAMES:
        return node.name.lower(), node.expressions
    if isinstance(node, exp.TimeToStr):
        inner = node.this.this if isinstance(node.this, exp.TsOrDsToTimestamp) else node.this
        return "strftime", [node.args["format"], inner]
    if isinstance(node, exp.Date | exp.Time):
        extra = [node.args[key] for key in ("zone",) if node.args.get(key) is not None]
        return node.key, [argument for argument in (node.this, *extra, *node.expressions) if argument is not None]
    return None, []


def _moment(arguments: list[exp.Expr]) -> exp.Expr:
    """Fold a time value and its modifiers into one timestamp."""
    if not arguments:
        return now()
    value, *modifiers = arguments
    is_now = isinstance(value, exp.Literal) and value.is_string and value.name.lower() in ("now", "subsec")
    if modifiers and _word(modifiers[0]) == "unixepoch":
        moment, modifiers = stamp(call("TO_TIMESTAMP", value)), modifiers[1:]
    else:
        moment = now() if is_now else stamp(value)
    for modifier in modifiers:
        word = _word(modifier)
        moment = _computed(moment, modifier) if word is None else _modified(moment, word)
    return moment


def _word(modifier: exp.Expr) -> str | None:
    """Give a modifier that is written out, None for one that is computed."""
    return modifier.name.strip().lower() if isinstance(modifier, exp.Literal) and modifier.is_string else None


def _computed(moment: exp.Expr, modifier: exp.Expr) -> exp.Expr:
    """Apply a modifier that is put together: '-' || n || ' days'.  Only an amount of a unit can be; DuckDB reads it."""
    written = call("REPLACE", exp.cast(modifier, "TEXT"), text("+"), text(""))
    return exp.Paren(this=exp.Add(this=moment, expression=exp.cast(written, "INTERVAL")))


def _modified(moment: exp.Expr, word: str) -> exp.Expr:
    """Apply one modifier."""
    if word in ("utc", "localtime", "auto", "subsec", "subsecond", "ceiling", "floor"):
        return moment  # the session's zone is UTC
    if match := re.fullmatch(r"start of (year|month|day)", word):
        return call("DATE_TRUNC", text(match.group(1)), moment)
    if match := re.fullmatch(r"weekday\s+([0-6])", word):
        ahead = exp.Mod(
            this=exp.Paren(
                this=exp.Sub(this=number(int(match.group(1)) + 7), expression=call("DAYOFWEEK", moment.copy()))
            ),
            expression=number(7),
        )
        return exp.Paren(this=exp.Add(this=moment, expression=interval(ahead, "DAY")))
    if match := _SHIFT.fullmatch(word):
        sign, amount, unit = match.groups()
        build = exp.Sub if sign == "-" else exp.Add
        if "." in amount:
            seconds = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}.get(unit.lower())
            if seconds is None:
                raise UnreadableError(f"the date modifier {word!r}")
            return exp.Paren(this=build(this=moment, expression=call("TO_SECONDS", number(float(amount) * seconds))))
        return exp.Paren(this=build(this=moment, expression=interval(number(int(amount)), unit.upper())))
    raise UnreadableError(f"the date modifier {word!r}")


def _strftime(shape: exp.Expr, moment: exp.Expr) -> exp.Expr:
    """Write a timestamp in a format; %s and %J are numbers that DuckDB's strftime does not know."""
    if not isinstance(shape, exp.Literal):
        raise UnreadableError("a date format that is not a plain text")
    if shape.name == "%s":
        return exp.cast(exp.cast(call("EPOCH", moment), "BIGINT"), "TEXT")
    if shape.name == "%J":
        return exp.Paren(
            this=exp.Add(
                this=exp.Div(this=call("EPOCH", moment), expression=number(86400.0)), expression=number(_EPOCH_DAY)
            )
        )
    pattern = shape.name.replace("%T", "%H:%M:%S").replace("%R", "%H:%M")
    if re.search(r"%[sJfGgVklPuU]", pattern.replace("%%", "")):
        raise UnreadableError(f"the date format {shape.name!r}")
    return exp.TimeToStr(this=moment, format=text(pattern))

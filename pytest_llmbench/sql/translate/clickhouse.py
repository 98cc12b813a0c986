"""ClickHouse's date functions by their names, for answers that use them in whatever dialect they are read."""

import re

from sqlglot import exp

from pytest_llmbench.sql.translate.tree import UnreadableError, call, interval, number, stamp, text

_PARTS = {
    "tohour": "HOUR",
    "tominute": "MINUTE",
    "tomonth": "MONTH",
    "toyear": "YEAR",
    "todayofmonth": "DAY",
    "todayofyear": "DAYOFYEAR",
    "todayofweek": "ISODOW",
    "toisoweek": "WEEK",
}
_STARTS = {f"tostartof{unit}": unit for unit in ("second", "minute", "hour", "day", "month", "quarter", "year")} | {
    "tomonday": "week"
}
_CASTS = {"todate": "DATE", "todatetime": "TIMESTAMP"}
_UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
_SHIFTS = {f"add{unit}s": (exp.Add, unit) for unit in _UNITS} | {f"subtract{unit}s": (exp.Sub, unit) for unit in _UNITS}


def repair(node: exp.Expr) -> exp.Expr:
    """Rewrite one node if it is a date function of ClickHouse."""
    if not isinstance(node, exp.Anonymous) or not node.expressions:
        return node
    name, (value, *rest) = node.name.lower(), node.expressions
    if name in _PARTS:
        return call(_PARTS[name], value)
    if name in _STARTS:
        cut = call("DATE_TRUNC", text(_STARTS[name]), stamp(value))
        return cut if _STARTS[name] in ("second", "minute", "hour") else exp.cast(cut, "DATE")
    if name in _CASTS and not rest:
        return exp.cast(value, _CASTS[name])
    if name in _SHIFTS and len(rest) == 1:
        build, unit = _SHIFTS[name]
        return exp.Paren(this=build(this=value, expression=interval(rest[0], unit.upper())))
    if name == "toyyyymm":
        years = exp.Mul(this=call("YEAR", value), expression=number(100))
        return exp.Paren(this=exp.Add(this=years, expression=call("MONTH", value.copy())))
    if name == "formatdatetime" and rest:
        return _written(value, rest[0])
    return node


def _written(value: exp.Expr, shape: exp.Expr) -> exp.Expr:
    """formatDateTime(x, '%Y-%m'): the patterns that mean the same to DuckDB (%M and %i do not)."""
    pattern = shape.name.replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S")
    if not isinstance(shape, exp.Literal) or re.search(r"%[^YmdHSyj]", pattern.replace("%H:%M:%S", "")):
        raise UnreadableError("formatDateTime with this format")
    return exp.TimeToStr(this=stamp(value), format=text(pattern))

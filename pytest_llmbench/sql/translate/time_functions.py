"""Date and time functions that mean something else in DuckDB, or nothing, rewritten in the tree.

The worst of them run: TIMESTAMPDIFF becomes DATE_DIFF, which counts boundaries where the original
truncates; DAYOFWEEK and WEEKDAY run with other numbers; make_interval(hours => 24) read as DuckDB's
becomes 24 years.  Each is mapped by its dialect, or the reading is given
up.  Measured with sqlglot 30.30.0 and DuckDB 2.0.0.
"""

from collections.abc import Callable

from sqlglot import Dialect, exp

from pytest_llmbench.sql.nodes import Kinds
from pytest_llmbench.sql.translate import clickhouse, sqlite_time, to_char, weekdays
from pytest_llmbench.sql.translate.frozen_clock import now
from pytest_llmbench.sql.translate.tree import (
    UnreadableError,
    bare,
    call,
    interval,
    is_number,
    number,
    rewritten,
    stamp,
    text,
)

_ORACLE_UNITS = (
    ("year", ("YYYY", "YEAR", "YY", "Y", "SYYYY", "YYY")),
    ("quarter", ("Q", "QUARTER")),
    ("month", ("MM", "MON", "MONTH", "RM")),
    ("week", ("IW",)),
    ("day", ("DD", "DDD", "J")),
    ("hour", ("HH", "HH24", "HH12", "HOUR")),
    ("minute", ("MI", "MINUTE")),
    ("second", ("SS", "SECOND")),
)
_UNITS = {word: unit for unit, words in _ORACLE_UNITS for word in words}


def repair(tree: exp.Expr, dialect: str) -> exp.Expr:
    """Rewrite every date function of a tree that was read in a dialect."""
    return rewritten(tree, _KINDS, lambda node: _repaired(node, dialect))


def _repaired(node: exp.Expr, dialect: str) -> exp.Expr:
    """Give what one node becomes."""
    if dialect == "sqlite":
        node = sqlite_time.repair(node)
    node = clickhouse.repair(to_char.repair(node, dialect))
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        rewrite = _BY_NAME.get(node.name.lower())
        return node if rewrite is None else rewrite(node, dialect)
    by_kind = _BY_KIND.get(type(node))
    return node if by_kind is None else by_kind(node, dialect)


def _difference(node: exp.Expr, dialect: str) -> exp.Expr:
    """TIMESTAMPDIFF of MySQL, BigQuery and Spark counts whole units, and so does Presto's date_diff."""
    if not isinstance(node, exp.TimestampDiff) and dialect != "presto":
        return node
    unit = node.args.get("unit")
    return call(
        "DATE_SUB", text((unit.name if unit is not None else "DAY").lower()), stamp(node.expression), stamp(node.this)
    )


def _make_interval(node: exp.Expr, dialect: str) -> exp.Expr:  # noqa: ARG001 - one signature for all
    """make_interval(hours => 24): the keyword gives the unit, not the place sqlglot puts it in."""
    total: exp.Expr | None = None
    for place, value in list(node.args.items()):
        if value is None:
            continue
        is_named = isinstance(value, exp.Kwarg | exp.PropertyEQ)
        unit = (value.this.name if is_named else place).upper().removesuffix("S")
        unit = {"MIN": "MINUTE", "SEC": "SECOND"}.get(unit, unit)
        piece = interval(value.expression if is_named else value, unit)
        total = piece if total is None else exp.Add(this=total, expression=piece)
    return exp.Paren(this=total) if total is not None else interval(number(0), "DAY")


def _hive_format(node: exp.Expr, dialect: str) -> exp.Expr:
    """FORMAT_DATETIME(x, format), whose formats are written as in Hive."""
    del dialect
    moment, shape = node.expressions
    return exp.TimeToStr(this=stamp(moment), format=Dialect.get_or_raise("hive").format_time(shape))


def _to_unix(node: exp.Expr, dialect: str) -> exp.Expr:
    """UNIX_TIMESTAMP(x) as whole seconds; without an argument the frozen moment's."""
    del dialect
    moment = stamp(node.expressions[0]) if node.expressions else now()
    return exp.cast(call("EPOCH", moment), "BIGINT")


def _spark_to_unix(node: exp.Expr, dialect: str) -> exp.Expr:
    """unix_timestamp(x) of Spark, which sqlglot takes for a text in the default format."""
    shape = node.args.get("format")
    is_default = shape is None or shape.name.replace("strict", "") == "%Y-%m-%d %H:%M:%S"
    return exp.cast(call("EPOCH", stamp(node.this)), "BIGINT") if dialect == "spark" and is_default else node


def _shifted(build: type[exp.Binary], unit: str) -> Callable[[exp.Expr, str], exp.Expr]:
    """SUBDATE(x, 7): an amount of one unit, or an interval."""

    def rewrite(node: exp.Expr, dialect: str) -> exp.Expr:
        del dialect
        if len(node.expressions) != 2:
            return node
        moment, amount = node.expressions
        if isinstance(moment, exp.Literal):
            moment = stamp(moment)
        step = amount if isinstance(amount, exp.Interval) else interval(amount, unit)
        return exp.Paren(this=build(this=moment, expression=step))

    return rewrite


def _day_of_year(node: exp.Expr, dialect: str) -> exp.Expr:
    """MAKEDATE(2024, 60) of MySQL: the day of a year; no day, where the number is below 1."""
    del dialect
    if len(node.expressions) != 2:
        return node
    year, day = node.expressions
    before = exp.Sub(this=call("MAKE_DATE", year, number(1), number(1)), expression=number(1))
    made = exp.Add(this=exp.Paren(this=before), expression=exp.cast(day, "INT"))
    return exp.Case(ifs=[exp.If(this=exp.GT(this=day.copy(), expression=number(0)), true=made)])


def _date_shift(build: type[exp.Binary]) -> Callable[[exp.Expr, str], exp.Expr]:
    """date_sub(x, INTERVAL ...): MySQL's meaning, which DuckDB's own function of this name has not."""

    def rewrite(node: exp.Expr, dialect: str) -> exp.Expr:
        is_mysql_form = len(node.expressions) == 2 and isinstance(node.expressions[1], exp.Interval)
        return _shifted(build, "DAY")(node, dialect) if is_mysql_form else node

    return rewrite


def _truncated(node: exp.Expr, dialect: str) -> exp.Expr:
    """TRUNC(x, 'MM') of Oracle: its unit names are not DuckDB's."""
    unit = node.args.get("unit")
    if dialect != "oracle" or unit is None:
        return node
    known = _UNITS.get(unit.name.upper())
    if known is None:
        raise UnreadableError(f"TRUNC to {unit.name}")
    cut = call("DATE_TRUNC", text(known), stamp(node.this))
    return exp.cast(cut, "DATE") if known not in ("hour", "minute", "second") else cut


def _anchored(node: exp.Expr, dialect: str) -> exp.Expr:
    """DATEADD(day, DATEDIFF(day, 0, x), 0): 0 is the first day of 1900 in T-SQL."""
    if dialect == "tsql" and isinstance(node.this, exp.Literal) and node.this.name == "0":
        node.set("this", stamp(text("1900-01-01")))
    return node


def _sunday_boundaries(node: exp.Expr, dialect: str) -> exp.Expr:
    """DATEDIFF(week, a, b) of T-SQL counts Sundays passed; DuckDB counts Mondays."""
    if dialect == "presto":
        return _difference(node, dialect)
    unit = node.args.get("unit")
    if dialect == "tsql" and unit is not None and unit.name.upper() in ("WEEK", "WK", "WW"):
        for side in ("this", "expression"):
            node.set(side, exp.Paren(this=exp.Add(this=stamp(node.args[side]), expression=interval(number(1), "DAY"))))
    return node


def _time_of_day(node: exp.Expr, dialect: str) -> exp.Expr:
    """TIME(x) of MySQL and BigQuery, for which sqlglot writes text that does not parse."""
    del dialect
    return exp.cast(stamp(node.this), "TIME") if node.this is not None else node


def _to_timestamp(node: exp.Expr, dialect: str) -> exp.Expr:
    """TO_TIMESTAMP_NTZ(x): a cast by another name."""
    del dialect
    return exp.cast(node.expressions[0], "TIMESTAMP") if len(node.expressions) == 1 else node


def _time_zone(node: exp.Expr, dialect: str) -> exp.Expr:
    """timezone('utc', x), the function behind AT TIME ZONE."""
    del dialect
    return exp.AtTimeZone(this=node.expressions[1], zone=node.expressions[0]) if len(node.expressions) == 2 else node


def _julian_day(node: exp.Expr, dialect: str) -> exp.Expr:
    """TO_DAYS(x) of MySQL is a day's number; DuckDB's makes an interval of days."""
    if dialect != "mysql" or len(node.expressions) != 1:
        return node
    return call("DATE_DIFF", text("day"), exp.cast(text("0001-01-01"), "DATE"), exp.cast(node.expressions[0], "DATE"))


def _interval_of(node: exp.Expr, dialect: str) -> exp.Expr:
    """NUMTODSINTERVAL(7, 'DAY') of Oracle."""
    del dialect
    amount, unit = node.expressions
    return interval(amount, unit.name.upper())


def _date_bin(node: exp.Expr, dialect: str) -> exp.Expr:
    """date_bin('1 day', x, '2000-01-01'): the stride may be a plain text; the origin loses its quotes in sqlglot."""
    del dialect
    if isinstance(node.this, exp.Literal) and node.this.is_string:
        node.set("this", exp.cast(node.this, "INTERVAL"))
    origin = node.args.get("unit")
    if isinstance(origin, exp.Var):
        node.set("unit", stamp(text(origin.name)))
    return node


def day_arithmetic(node: exp.Expr, kind: str | None) -> exp.Expr:
    """SYSDATE - 7, GETDATE() - 1/24: a number beside a moment is a number of days.

    Args:
        node: a sum or a difference whose left side is a moment.
        kind: "DATE" or "TIMESTAMP", what the left side gives.
    """
    amount = bare(node.expression)
    is_whole = isinstance(amount, exp.Literal) and not amount.is_string and amount.name.isdigit()
    if kind == "DATE" and is_whole:
        return node
    if is_whole:
        node.set("expression", interval(amount, "DAY"))
    elif is_number(amount):
        node.set("expression", call("TO_SECONDS", exp.Mul(this=number(86400.0), expression=exp.Paren(this=amount))))
    return node


_Rewrite = Callable[[exp.Expr, str], exp.Expr]
_BY_NAME: dict[str, _Rewrite] = {
    "unix_timestamp": _to_unix,
    "weekday": weekdays.weekday,
    "yearweek": weekdays.year_week,
    "to_days": _julian_day,
    "subdate": _shifted(exp.Sub, "DAY"),
    "adddate": _shifted(exp.Add, "DAY"),
    "makedate": _day_of_year,
    "date_sub": _date_shift(exp.Sub),
    "date_add": _date_shift(exp.Add),
    "timezone": _time_zone,
    "format_datetime": _hive_format,
    "numtodsinterval": _interval_of,
    "to_timestamp_ntz": _to_timestamp,
    "to_timestamp_ltz": _to_timestamp,
    "to_timestamp_tz": _to_timestamp,
}
_BY_KIND: dict[type[exp.Expr], _Rewrite] = {
    exp.TimestampDiff: _difference,
    exp.DateDiff: _sunday_boundaries,
    exp.DayOfWeek: weekdays.day_of_week,
    exp.Extract: weekdays.extract,
    exp.Week: weekdays.week,
    exp.MakeInterval: _make_interval,
    exp.StrToUnix: _spark_to_unix,
    exp.DateTrunc: _truncated,
    exp.TimestampTrunc: _truncated,
    exp.DateAdd: _anchored,
    exp.Time: _time_of_day,
    exp.DateBin: _date_bin,
}
_KINDS = Kinds(exp.Anonymous, exp.AnonymousAggFunc, *sqlite_time.KINDS, *_BY_KIND)

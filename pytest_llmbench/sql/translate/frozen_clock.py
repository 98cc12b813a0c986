"""Give `now` one meaning in a statement: the moment its instance was made for.

Data are made around a fixed moment, naive UTC, so that "the last week" holds the same rows today and
next year.  The clock is replaced in the tree, in answers and references alike, before anything runs; a
clock that is left is refused by the gate.  A macro named now() would not do: it cannot reach
the literal 'now', and a statement may bring its own.

A query is frozen in two steps: `freeze` puts in marks, once for each reading, and `at` puts a
moment into the text in place of the marks, once for each instance.
"""

from datetime import datetime

from sqlglot import exp

from pytest_llmbench.sql.nodes import Kinds
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate.carried import spend
from pytest_llmbench.sql.translate.tree import rewritten

_MOMENT = "1999-12-31T23:58:59"  # a mark that no answer writes with a T, an odd minute and a year long gone
_DAY = "1999-12-31T"
_TIME = "T23:58:59"

_NOW = exp.cast(exp.Literal.string(_MOMENT), "TIMESTAMP")  # made once: to build a type costs more than to copy it
_TODAY = exp.cast(exp.Literal.string(_DAY), "DATE")

_NOW_NAMES = frozenset(
    """
    now sysdate getdate getutcdate sysdatetime sysutcdatetime sysdatetimeoffset systimestamp clock_timestamp
    statement_timestamp transaction_timestamp current_timestamp localtimestamp current_datetime utc_timestamp
    get_current_timestamp now64 current_localtimestamp timeofday current_timestamp_ltz
    """.split()  # noqa: SIM905 - words read better in a row
)
_DATE_NAMES = frozenset(["today", "curdate", "current_date", "utc_date", "get_current_date"])
_TIME_NAMES = frozenset(["current_time", "curtime", "localtime", "utc_time", "get_current_time", "current_localtime"])
_NOW_NODES = (
    exp.CurrentTimestamp, exp.CurrentDatetime, exp.CurrentTimestampLTZ, exp.Localtimestamp, exp.Systimestamp,
    exp.UtcTimestamp,
)  # fmt: skip
_DATE_NODES = (exp.CurrentDate, exp.UtcDate)
_TIME_NODES = (exp.CurrentTime, exp.Localtime, exp.UtcTime)
_CLOCKS = Kinds(*_NOW_NODES, *_DATE_NODES, *_TIME_NODES, exp.Anonymous, exp.Column, exp.Cast)
_WORDS = {"now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}


def now() -> exp.Expr:
    """Give the frozen moment as a naive timestamp."""
    return _NOW.copy()


def today() -> exp.Expr:
    """Give the day of the frozen moment."""
    return _TODAY.copy()


def freeze(tree: exp.Expr, schema: Schema) -> exp.Expr:
    """Replace every clock in a tree by the frozen moment."""
    return rewritten(tree, _CLOCKS, lambda node: _frozen(node, schema))


def at(sql: str, moment: datetime) -> str:
    """Put a moment in place of the marks, in generated text."""
    stamp = moment.isoformat(sep=" ")
    day, _, time = stamp.partition(" ")
    return sql.replace(_MOMENT, stamp).replace(f"'{_DAY}'", f"'{day}'").replace(f"'{_TIME}'", f"'{time}'")


def _frozen(node: exp.Expr, schema: Schema) -> exp.Expr:
    """Give what one node becomes."""
    name = _name(node, schema)
    if isinstance(node, _NOW_NODES) or name in _NOW_NAMES:
        if isinstance(node.parent, exp.AtTimeZone):
            return _clock(node, exp.cast(exp.Literal.string(_MOMENT), "TIMESTAMPTZ"))  # the session's zone is UTC
        return _clock(node, now())
    if isinstance(node, _DATE_NODES) or name in _DATE_NAMES:
        return _clock(node, today())
    if isinstance(node, _TIME_NODES) or name in _TIME_NAMES:
        return _clock(node, exp.cast(exp.Literal.string(_TIME), "TIME"))
    if name == "yesterday":
        return exp.Paren(this=exp.Sub(this=today(), expression=exp.Literal.number(1)))
    if name == "ago" and len(node.expressions) == 1:
        return exp.Paren(this=exp.Sub(this=now(), expression=node.expressions[0]))
    if name == "age" and len(node.expressions) == 1:
        node.set("expressions", [exp.cast(today(), "TIMESTAMP"), *node.expressions])
    if isinstance(node, exp.Cast) and isinstance(node.this, exp.Literal) and node.this.is_string:
        return _frozen_literal(node, node.this.name.strip().lower())
    return node


def _clock(node: exp.Expr, frozen: exp.Expr) -> exp.Expr:
    """Give a clock's frozen value: NOW(6) has a precision, which changes nothing, CURRENT_DATE('Asia/Tokyo') a zone."""
    argument = node.args.get("this") if not isinstance(node, exp.Anonymous | exp.Column) else None
    argument = next(iter(node.expressions), argument) if isinstance(node, exp.Anonymous) else argument
    if not isinstance(argument, exp.Literal):
        return frozen
    if not argument.is_string:
        return spend(frozen, argument)
    moment = exp.AtTimeZone(this=exp.cast(exp.Literal.string(_MOMENT), "TIMESTAMPTZ"), zone=argument.copy())
    return exp.cast(moment, frozen.to) if isinstance(frozen, exp.Cast) else frozen


def _name(node: exp.Expr, schema: Schema) -> str:
    """Give the name of an unknown function, or of a bare word that is no column, in lower case."""
    if isinstance(node, exp.Anonymous):
        return node.name.lower()
    if isinstance(node, exp.Column) and not node.table and not node.this.args.get("quoted"):
        name = node.name.lower()
        return "" if name in schema.columns else name if name in _BARE else ""
    return ""


_BARE = frozenset(
    {
        "sysdate",
        "systimestamp",
        "localtimestamp",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtime",
        "utc_timestamp",
        "utc_date",
    }
)


def _frozen_literal(node: exp.Cast, word: str) -> exp.Expr:
    """Freeze CAST('now' AS TIMESTAMP) and its kin."""
    if word not in _WORDS:
        return node
    target = node.to.this
    if target in exp.DataType.TEMPORAL_TYPES:
        is_moment = word == "now" and target not in (exp.DataType.Type.DATE, exp.DataType.Type.DATE32)
        if is_moment:
            return now()
        shift = _WORDS[word]
        day = today() if not shift else exp.Paren(this=exp.Add(this=today(), expression=exp.Literal.number(shift)))
        return exp.cast(day, node.to)
    return node

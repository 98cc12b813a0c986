"""Small readings and builders on syntax trees that the repairs share."""

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from pytest_llmbench.sql.nodes import Kinds, depth_first, of_kinds
from pytest_llmbench.sql.protocol import Schema

_TEMPORAL_NODES = (
    exp.DateAdd, exp.DateSub, exp.DatetimeAdd, exp.DatetimeSub, exp.TimestampAdd, exp.TimestampSub,
    exp.DateTrunc, exp.TimestampTrunc, exp.DatetimeTrunc, exp.TsOrDsAdd, exp.TsOrDsToDate,
    exp.TsOrDsToTimestamp, exp.TimeStrToTime, exp.Date, exp.Timestamp, exp.AddMonths, exp.LastDay,
    exp.StrToDate, exp.StrToTime, exp.UnixToTime, exp.TsOrDsToDatetime,
)  # fmt: skip
_KEEPS_KIND = (
    exp.Min, exp.Max, exp.AnyValue, exp.Coalesce, exp.Window, exp.Filter, exp.Lag, exp.Lead, exp.FirstValue,
    exp.LastValue, exp.NthValue, exp.ArgMax, exp.ArgMin,
)  # fmt: skip
_DATE_NODES = (exp.Date, exp.TsOrDsToDate, exp.LastDay, exp.StrToDate)
_TRUTHS = (
    exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.In, exp.Like, exp.ILike, exp.Between, exp.Is,
    exp.Not, exp.And, exp.Or, exp.Boolean, exp.RegexpLike,
)  # fmt: skip
_ALIASES = Kinds(exp.Alias)
_TIMESTAMP = exp.DataType.build("TIMESTAMP")  # to copy a type costs a fifth of parsing its name


class UnreadableError(Exception):
    """A construct means something in this dialect that DuckDB has no sure counterpart for."""


def rewritten(tree: exp.Expr, kinds: Kinds, rewrite: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
    """Rewrite the nodes of some kinds in place, inner ones first; sqlglot's `transform` skips what is in a new node."""
    for node in reversed(depth_first(tree)):
        if not kinds[node.__class__]:
            continue
        parent, key, index = node.parent, node.arg_key, node.index
        new = rewrite(node)
        if new is node:
            continue
        if node is tree:
            tree = new
        elif parent is not None and key is not None:
            parent.set(key, new, index)
    return tree


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    """Build a call of a DuckDB function by its name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Expr:
    """Build a string literal."""
    return exp.Literal.string(value)


def number(value: int | float) -> exp.Expr:
    """Build a number."""
    return exp.Literal.number(value)


def stamp(node: exp.Expr) -> exp.Expr:
    """Cast to a naive timestamp."""
    return exp.cast(node, _TIMESTAMP)


def interval(amount: exp.Expr, unit: str) -> exp.Expr:
    """Build an interval of any amount: a number, or an expression that gives one."""
    if isinstance(amount, exp.Literal):
        return exp.Interval(this=text(amount.name), unit=exp.var(unit))
    return exp.Interval(this=exp.Paren(this=amount), unit=exp.var(unit))


def bare(node: exp.Expr) -> exp.Expr:
    """Take the brackets off."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def temporal_kind(node: exp.Expr | None, schema: Schema) -> str | None:
    """Tell what moment a node gives: "DATE", "TIMESTAMP" or None, by its looks and the schema."""
    if node is None:
        return None
    node = bare(node)
    if isinstance(node, exp.Column):
        column = schema.columns.get(node.name.lower(), "")
        return column.split()[0] if column.startswith(("DATE", "TIMESTAMP")) else None
    if isinstance(node, exp.Cast):
        if node.to.this in (exp.DataType.Type.DATE, exp.DataType.Type.DATE32):
            return "DATE"
        return "TIMESTAMP" if node.to.this in exp.DataType.TEMPORAL_TYPES and not _is_time(node) else None
    if isinstance(node, exp.Sub | exp.Add):
        kind = temporal_kind(node.this, schema)
        if kind and temporal_kind(node.expression, schema):
            return None
        return "TIMESTAMP" if kind and isinstance(bare(node.expression), exp.Interval) else kind
    if isinstance(node, _KEEPS_KIND):
        return temporal_kind(node.this, schema)
    if isinstance(node, exp.Case | exp.If):
        branch = node.args["ifs"][0] if isinstance(node, exp.Case) else node
        return temporal_kind(branch.args.get("true"), schema)
    if isinstance(node, exp.AtTimeZone):
        return "TIMESTAMP"
    if isinstance(node, _TEMPORAL_NODES):
        return "DATE" if isinstance(node, _DATE_NODES) else "TIMESTAMP"
    return None


def with_aliases(tree: exp.Expr, schema: Schema) -> Schema:
    """Add the moments that a statement gives names of its own, where a name has one meaning."""
    aliases = of_kinds(tree, _ALIASES)
    for _ in range(2):  # a name may be given to a name
        kinds: dict[str, set[str | None]] = {}
        for alias in aliases:
            kinds.setdefault(alias.alias.lower(), set()).add(temporal_kind(alias.this, schema))
        moments = {
            name: kind
            for name, found in kinds.items()
            if len(found) == 1 and (kind := next(iter(found))) and name not in schema.columns
        }
        if not moments:
            break
        schema = replace(schema, tables={**schema.tables, "": moments | dict(schema.tables.get("", {}))})
    return schema


def _is_time(node: exp.Cast) -> bool:
    return node.to.this in (exp.DataType.Type.TIME, exp.DataType.Type.TIMETZ)


def is_number(node: exp.Expr) -> bool:
    """Tell whether a node is a number, or arithmetic on numbers alone."""
    node = bare(node)
    if isinstance(node, exp.Literal):
        return not node.is_string
    if isinstance(node, exp.Neg):
        return is_number(node.this)
    if isinstance(node, exp.Mul | exp.Div | exp.Add | exp.Sub):
        return is_number(node.this) and is_number(node.expression)
    return False


def is_truth(node: exp.Expr) -> bool:
    """Tell whether a node is a comparison or a connection of them."""
    return isinstance(bare(node), _TRUTHS)

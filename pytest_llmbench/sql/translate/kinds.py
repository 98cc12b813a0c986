"""What kind of value an expression gives, by the schema and by its looks: a number, a text, a moment."""

from collections.abc import Iterator
from enum import StrEnum

from sqlglot import exp

from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate.tree import temporal_kind

_MAX_DEPTH = 8


class ValueKind(StrEnum):
    """A kind of value."""

    WHOLE = "whole"
    FRACTION = "fraction"
    TEXT = "text"
    DATE = "date"
    TIMESTAMP = "timestamp"

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        return self in (ValueKind.WHOLE, ValueKind.FRACTION)

    @property
    def is_moment(self) -> bool:
        """Whether it is a day or a point in time."""
        return self in (ValueKind.DATE, ValueKind.TIMESTAMP)


_WHOLE_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_TEXT_NODES = (
    exp.Concat, exp.ConcatWs, exp.DPipe, exp.Substring, exp.Left, exp.Right, exp.Upper, exp.Lower, exp.Trim,
    exp.TimeToStr, exp.Pad,
    exp.Replace, exp.GroupConcat, exp.SplitPart, exp.Repeat, exp.Reverse, exp.Initcap, exp.RegexpReplace,
    exp.RegexpExtract, exp.NumberToStr, exp.Format, exp.Chr, exp.Space, exp.Translate,
)  # fmt: skip
_WHOLE_NODES = (
    exp.Count, exp.Length, exp.Extract, exp.Year, exp.Month, exp.Day, exp.Quarter, exp.Week, exp.Hour, exp.Minute,
    exp.Second, exp.DayOfWeek, exp.DayOfYear, exp.DateDiff, exp.TimestampDiff, exp.DatetimeDiff, exp.Floor, exp.Ceil,
    exp.IntDiv, exp.RowNumber, exp.StrPosition,
)  # fmt: skip
_FRACTION_NODES = (exp.Avg, exp.Div, exp.Round, exp.Stddev, exp.Variance, exp.Sqrt, exp.Pow, exp.Ln, exp.Exp)
_KEEPS_KIND = (
    exp.Min, exp.Max, exp.Sum, exp.AnyValue, exp.Coalesce, exp.Window, exp.Filter, exp.Lag, exp.Lead, exp.FirstValue,
    exp.LastValue, exp.Abs, exp.Neg, exp.Paren, exp.Alias, exp.Distinct, exp.Ordered, exp.Nullif, exp.Collate,
    exp.ArgMin, exp.ArgMax,
)  # fmt: skip
_CALLED = {
    **dict.fromkeys(
        (
            *("strftime", "left", "right", "lpad", "rpad", "upper", "lower", "printf", "format", "concat"),
            "array_to_string",  # of SUBSTRING_INDEX
        ),
        ValueKind.TEXT,
    ),
    **dict.fromkeys(("date_sub", "date_diff", "dayofweek", "isodow", "year", "month", "quarter"), ValueKind.WHOLE),
    **dict.fromkeys(("epoch", "julian"), ValueKind.FRACTION),
    "date_trunc": ValueKind.TIMESTAMP,
}


def kind_of(node: exp.Expr | None, schema: Schema, depth: int = 0) -> ValueKind | None:
    """Tell what kind of value an expression gives, None where neither schema nor looks tell."""
    if node is None or depth > _MAX_DEPTH:
        return None
    if isinstance(node, exp.Column):
        return _of_column(node, schema, depth)
    if isinstance(node, exp.Literal):
        return ValueKind.TEXT if node.is_string else ValueKind.WHOLE if node.name.isdigit() else ValueKind.FRACTION
    if isinstance(node, exp.Cast):
        return _of_type(node.to)
    if isinstance(node, exp.Subquery):
        return _of_selected(node.this, None, schema, depth)
    if isinstance(node, exp.Case | exp.If):
        branch = node.args["ifs"][0] if isinstance(node, exp.Case) else node
        return kind_of(branch.args.get("true"), schema, depth + 1)
    if isinstance(node, _TEXT_NODES):
        return ValueKind.TEXT
    if isinstance(node, _WHOLE_NODES):
        return ValueKind.WHOLE
    if isinstance(node, _FRACTION_NODES):
        return ValueKind.FRACTION
    if isinstance(node, _KEEPS_KIND):
        inner = node.this if node.this is not None else next(iter(node.expressions), None)
        return kind_of(inner, schema, depth + 1)
    if isinstance(node, exp.Anonymous):
        return _CALLED.get(node.name.lower())
    return _of_arithmetic(node, schema, depth)


def _of_arithmetic(node: exp.Expr, schema: Schema, depth: int) -> ValueKind | None:
    """Tell the kind of a sum, a difference, a product or a remainder; else of what looks like a moment."""
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Mod):
        kinds = {kind_of(node.this, schema, depth + 1), kind_of(node.expression, schema, depth + 1)}
        if kinds == {ValueKind.WHOLE}:
            return ValueKind.WHOLE
        if all(kind is not None and kind.is_number for kind in kinds):
            return ValueKind.FRACTION
    moment = temporal_kind(node, schema)
    return None if moment is None else ValueKind(moment.lower())


def _of_type(kind: exp.Expr) -> ValueKind | None:
    """Tell the kind of a cast's type."""
    name = kind.this if isinstance(kind, exp.DataType) else None
    if name in exp.DataType.TEXT_TYPES:
        return ValueKind.TEXT
    if name in exp.DataType.INTEGER_TYPES:
        return ValueKind.WHOLE
    if name in exp.DataType.NUMERIC_TYPES:
        return ValueKind.FRACTION
    if name in (exp.DataType.Type.DATE, exp.DataType.Type.DATE32):
        return ValueKind.DATE
    return ValueKind.TIMESTAMP if name in exp.DataType.TEMPORAL_TYPES and name != "TIME" else None


def _of_duckdb_type(name: str) -> ValueKind | None:
    """Tell the kind of a column's type in the schema."""
    if name in _WHOLE_TYPES:
        return ValueKind.WHOLE
    if name.startswith(("DECIMAL", "DOUBLE", "FLOAT")):
        return ValueKind.FRACTION
    if name == "VARCHAR":
        return ValueKind.TEXT
    if name.startswith("TIMESTAMP"):
        return ValueKind.TIMESTAMP
    return ValueKind.DATE if name == "DATE" else None


def sources(select: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the tables and subqueries that a query reads from."""
    first = select.args.get("from_")
    if first is not None:
        yield first.this
    for join in select.args.get("joins") or ():
        yield join.this


def _of_column(column: exp.Column, schema: Schema, depth: int) -> ValueKind | None:
    """Tell the kind of a column by the table it comes from, in this query or in one around it."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        found = _in_sources(select, column.name.lower(), column.table.lower(), schema, depth)
        if found:
            return next(iter(found)) if len(found) == 1 else None
        select = select.find_ancestor(exp.Select)
    return None


def _in_sources(select: exp.Expr, name: str, table: str, schema: Schema, depth: int) -> set[ValueKind | None]:
    """Give the kinds of the columns of a name among what a query reads from."""
    found: set[ValueKind | None] = set()
    for source in sources(select):
        if table and source.alias_or_name.lower() != table:
            continue
        common = _common_table(source)
        if isinstance(source, exp.Subquery) or common is not None:
            query = common if common is not None else source.this
            found |= {_of_selected(query, name, schema, depth)} if _selects(query, name) else set()
        elif isinstance(source, exp.Table):
            kind = schema.tables.get(source.name.lower(), {}).get(name)
            found |= {_of_duckdb_type(kind)} if kind is not None else set()
    return found


def _common_table(source: exp.Expr) -> exp.Expr | None:
    """Give the query of the common table that a source names."""
    if not isinstance(source, exp.Table):
        return None
    node: exp.Expr | None = source
    while (node := node.parent if node is not None else None) is not None:
        common = node.args.get("with_")
        for one in common.expressions if common is not None else ():
            if one.alias.lower() == source.name.lower() and isinstance(one.this, exp.Expr):
                return one.this
    return None


def _selects(query: exp.Expr, name: str) -> bool:
    return isinstance(query, exp.Query) and (
        query.is_star or name in (item.alias_or_name.lower() for item in query.selects)
    )


def _of_selected(query: exp.Expr, name: str | None, schema: Schema, depth: int) -> ValueKind | None:
    """Tell the kind of a query's column by its name, or of its first."""
    if not isinstance(query, exp.Query) or depth > _MAX_DEPTH:
        return None
    for item in query.selects:
        if name is None or item.alias_or_name.lower() == name:
            return kind_of(item.unalias(), schema, depth + 1)
    inner = query.find(exp.Select)
    found = _in_sources(inner, name or "", "", schema, depth + 1) if inner is not None else set()
    return next(iter(found)) if len(found) == 1 else None

"""Numbers beside texts, texts beside moments: what dialects compare and DuckDB refuses, or converts in another way.

MySQL makes a number of a text by what it begins with, '12kg' is 12 and 't' is 0.  SQLite goes by the columns: beside
a column of numbers a text that spells one is a number and any other is greater than all numbers; beside a column of
texts a number is its text; its moments are texts.  SQLite, T-SQL, Spark and ClickHouse cut a fraction off where they
cast to a whole number; DuckDB rounds.  MySQL casts a text to the number that it begins with.  T-SQL joins texts with
+, MySQL adds intervals to texts.
Sources: https://sqlite.org/datatype3.html, sections 3 and 4, and
https://dev.mysql.com/doc/refman/8.4/en/type-conversion.html.
"""

import re

from sqlglot import exp

from pytest_llmbench.sql.nodes import Kinds
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate.kinds import ValueKind, kind_of
from pytest_llmbench.sql.translate.manner import Manner
from pytest_llmbench.sql.translate.tree import bare, call, number, stamp, text

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_CONVERTS = frozenset({"mysql", "sqlite"})
_WRITES_NUMBERS = frozenset({"mysql", "sqlite", "tsql"})
_TEXT_WANTED = (exp.Like, exp.ILike, exp.Substring, exp.Left, exp.Right)
_NUMBER_WANTED = (exp.Sum, exp.Avg, exp.Abs, exp.Round)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_CUTS_FRACTIONS = frozenset({"sqlite", "tsql", "spark", "clickhouse"})
_LIKE_IGNORES_CASE = frozenset({"mysql", "sqlite", "tsql"})
DIALECTS = _CONVERTS | _CUTS_FRACTIONS | _LIKE_IGNORES_CASE
"""Those in which anything here differs from DuckDB."""

EQUALITIES = Kinds(exp.EQ)
"""The nodes that `any_as_in` is for."""

KINDS = Kinds(
    *_TEXT_WANTED, *_NUMBER_WANTED, *_COMPARISONS, *_ARITHMETIC, exp.Cast, exp.Between, exp.In, exp.DateAdd, exp.DateSub
)
"""The nodes that `repair` is for."""

_LEADING_DIGITS = r"^\s*[+-]?\d+"
_LEADING_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def any_as_in(node: exp.Expr) -> exp.Expr:
    """Write `x = ANY (query)` as the IN that it is, so that one conversion serves both."""
    if isinstance(node, exp.EQ) and isinstance(node.expression, exp.Any):
        query = node.expression.this
        return exp.In(this=node.this, query=query) if isinstance(query, exp.Subquery) else node
    return node


def repair(node: exp.Expr, dialect: str, schema: Schema, manner: Manner) -> exp.Expr:
    """Rewrite one node where its dialect converts between kinds."""
    if isinstance(node, _TEXT_WANTED) and dialect in _WRITES_NUMBERS and _is_number(node.this, schema):
        node.set("this", exp.cast(node.this, "TEXT"))
    if isinstance(node, exp.Like) and manner.is_hinted and dialect in _LIKE_IGNORES_CASE:
        return (
            node
            if _is_exact(node)
            else exp.ILike(**{key: value for key, value in node.args.items() if key in ("this", "expression")})
        )
    if isinstance(node, exp.Cast):
        return _cast(node, dialect, schema)
    if isinstance(node, exp.Add) and dialect == "tsql":
        return _joined(node, schema)
    if dialect not in _CONVERTS:
        return node
    if isinstance(node, _COMPARISONS):
        node.set("this", _converted(node.this, node.expression, dialect, schema))
        node.set("expression", _converted(node.expression, node.this, dialect, schema))
    elif isinstance(node, exp.Between):
        _between(node, dialect, schema)
    elif isinstance(node, exp.In):
        _in(node, dialect, schema)
    elif isinstance(node, exp.Add | exp.Sub | exp.DateAdd | exp.DateSub) and dialect == "mysql":
        _shifted(node, schema)
    if isinstance(node, _ARITHMETIC):
        _counted(node, schema)
    elif isinstance(node, _NUMBER_WANTED) and _is_text_column(node.this, schema):
        node.set("this", _leading_number(node.this))
    return node


def _is_number(node: exp.Expr | None, schema: Schema) -> bool:
    kind = kind_of(node, schema)
    return kind is not None and kind.is_number


def _is_text_column(node: exp.Expr | None, schema: Schema) -> bool:
    return node is not None and isinstance(bare(node), exp.Column) and kind_of(node, schema) is ValueKind.TEXT


def _counted(node: exp.Expr, schema: Schema) -> None:
    """Count with a column of texts: each is the number that it begins with."""
    sides = [key for key in ("this", "expression") if _is_text_column(node.args[key], schema)]
    if all(key in sides or _is_number(node.args[key], schema) for key in ("this", "expression")):
        for key in sides:
            node.set(key, _leading_number(node.args[key]))


def _is_exact(like: exp.Like) -> bool:
    """Tell whether a LIKE compares letter by letter: LIKE BINARY, COLLATE."""
    return any(isinstance(bare(side), exp.Collate | exp.Cast) for side in (like.this, like.expression))


def _converted(side: exp.Expr, other: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:
    """Give one side of a comparison as its dialect compares it with the other."""
    kind, beside = kind_of(side, schema), kind_of(other, schema)
    if kind is None or beside is None or isinstance(bare(side), exp.Null):
        return side
    is_written = isinstance(bare(side), exp.Literal)
    if kind is ValueKind.TEXT and beside.is_number and not is_written:
        if dialect == "mysql":
            return _leading_number(side)
        return _number_or_more(side) if _has_affinity(other) else side
    if kind.is_number and beside is ValueKind.TEXT and dialect == "sqlite" and isinstance(bare(other), exp.Column):
        return side if _has_affinity(side) else exp.cast(side, "TEXT")
    if {kind.is_moment, beside.is_moment} == {True, False} and ValueKind.TEXT in (kind, beside):
        return _beside_moment(side, other, dialect, is_text=kind is ValueKind.TEXT)
    return side


def _beside_moment(side: exp.Expr, other: exp.Expr, dialect: str, *, is_text: bool) -> exp.Expr:
    """Compare a column of texts with a moment: as texts in SQLite, as moments in MySQL."""
    written = bare(side if is_text else other)
    is_part = isinstance(written, exp.Literal) and re.match(r"\s*\d{4}-\d{2}-\d{2}", written.name) is None
    if not isinstance(written, exp.Column) and not (is_part and dialect == "sqlite"):
        return side  # a date that is written out: DuckDB reads it
    if dialect == "sqlite":
        return side if is_text else exp.cast(side, "TEXT")
    return exp.TryCast(this=side, to=exp.DataType.build("TIMESTAMP")) if is_text else side


def _between(node: exp.Between, dialect: str, schema: Schema) -> None:
    """Convert the three sides of a BETWEEN, where both ends want the same of the middle."""
    middle, low, high = node.this, node.args["low"], node.args["high"]
    ends = {key: _converted(end, middle, dialect, schema) for key, end in (("low", low), ("high", high))}
    node.set("this", _converted(middle, low, dialect, schema))
    for key, end in ends.items():
        node.set(key, end)


def _in(node: exp.In, dialect: str, schema: Schema) -> None:
    """Convert the sides of IN, a list or a subquery."""
    query = node.args.get("query")
    inner = query.this if isinstance(query, exp.Subquery) else query
    if isinstance(inner, exp.Select) and len(inner.expressions) == 1 and not inner.is_star:
        item = inner.expressions[0]
        selected = item.unalias()
        converted = _converted(selected, node.this, dialect, schema)
        node.set("this", _converted(node.this, selected, dialect, schema))
        if converted is not selected:
            inner.set("expressions", [exp.alias_(converted, item.alias_or_name or "value")])
        return
    if not node.expressions:
        return
    left = node.this
    kinds = [kind_of(item, schema) for item in node.expressions]
    first = next((item for item, kind in zip(node.expressions, kinds, strict=True) if kind is not None), None)
    if first is not None and len(set(kinds)) == 1:
        node.set("expressions", [_converted(item, left, dialect, schema) for item in node.expressions])
        node.set("this", _converted(left, first, dialect, schema))


def _has_affinity(node: exp.Expr) -> bool:
    """Tell whether SQLite gives an expression the kind of a column: columns and casts have one."""
    return isinstance(bare(node), exp.Column | exp.Cast | exp.Subquery)


def _leading_number(node: exp.Expr) -> exp.Expr:
    """Give the number that a text begins with, 0 where it begins with none."""
    found = call("REGEXP_EXTRACT", node, text(_LEADING_NUMBER))
    value = exp.Coalesce(this=exp.TryCast(this=found, to=exp.DataType.build("DOUBLE")), expressions=[number(0)])
    return exp.Case(ifs=[exp.If(this=exp.Not(this=exp.Is(this=node.copy(), expression=exp.null())), true=value)])


def _number_or_more(node: exp.Expr) -> exp.Expr:
    """Give the number that a text spells; any other text is greater than all numbers."""
    more = exp.Case(
        ifs=[
            exp.If(
                this=exp.Not(this=exp.Is(this=node.copy(), expression=exp.null())), true=exp.cast(text("inf"), "DOUBLE")
            )
        ]
    )
    return exp.Coalesce(this=exp.TryCast(this=node, to=exp.DataType.build("DOUBLE")), expressions=[more])


def _cast(node: exp.Cast, dialect: str, schema: Schema) -> exp.Expr:
    if dialect in _CUTS_FRACTIONS:
        return _cut(node, dialect, schema)
    return _begun(node, schema) if dialect == "mysql" and not isinstance(node, exp.TryCast) else node


def _cut(node: exp.Cast, dialect: str, schema: Schema) -> exp.Expr:
    """Cut a fraction off before it becomes a whole number."""
    if node.to.this not in exp.DataType.INTEGER_TYPES:
        return node
    kind = kind_of(node.this, schema)
    if kind is ValueKind.FRACTION:
        node.set("this", call("TRUNC", node.this))
    elif kind is ValueKind.TEXT and dialect == "sqlite" and isinstance(bare(node.this), exp.Column):
        node.set("this", call("TRUNC", _leading_number(node.this)))
    return node


def _begun(node: exp.Cast, schema: Schema) -> exp.Expr:
    """Cast the number that a text begins with, as MySQL does with a warning: '12.9kg' is 12 as SIGNED, 'kg' is 0.

    A number that its type cannot hold stays a fault; MySQL takes the nearest one that it can.
    """
    is_whole = node.to.this in (exp.DataType.Type.BIGINT, exp.DataType.Type.UBIGINT)  # SIGNED and UNSIGNED
    is_decimal = node.to.this is exp.DataType.Type.DECIMAL and bool(node.to.expressions)
    if kind_of(node.this, schema) is not ValueKind.TEXT or not (is_whole or is_decimal):
        return node
    value = node.this
    begun = call("REGEXP_EXTRACT", value, text(_LEADING_DIGITS if is_whole else _LEADING_NUMBER))
    node.set("this", exp.Coalesce(this=exp.Nullif(this=begun, expression=text("")), expressions=[text("0")]))
    is_given = exp.Not(this=exp.Is(this=value.copy(), expression=exp.null()))
    return exp.Case(ifs=[exp.If(this=is_given, true=node)])


def _joined(node: exp.Add, schema: Schema) -> exp.Expr:
    """Join texts with + as T-SQL does; beside a number + adds."""
    kinds = (kind_of(node.this, schema), kind_of(node.expression, schema))
    if ValueKind.TEXT not in kinds or any(kind is not None and kind is not ValueKind.TEXT for kind in kinds):
        return node
    return exp.DPipe(this=node.this, expression=node.expression)


def _shifted(node: exp.Expr, schema: Schema) -> None:
    """Add an interval to a text that spells a moment."""
    is_shift = isinstance(node, exp.DateAdd | exp.DateSub) or isinstance(bare(node.expression), exp.Interval)
    if is_shift and kind_of(node.this, schema) is ValueKind.TEXT and not isinstance(bare(node.this), exp.Literal):
        node.set("this", stamp(node.this))

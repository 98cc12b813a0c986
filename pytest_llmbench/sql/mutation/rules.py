"""What may stand in place of one node of a query's tree, rule by rule; mutants.py puts it there.

Each rule takes a node, and yields trees of its own to replace it, or None to drop it. Source: see mutants.py.
"""

from collections.abc import Iterator

from sqlglot import exp

_EDGES: dict[type[exp.Expr], tuple[type[exp.Binary], ...]] = {
    exp.EQ: (exp.NEQ, exp.GTE, exp.LTE),
    exp.NEQ: (exp.EQ,),
    exp.GT: (exp.GTE, exp.LT),
    exp.GTE: (exp.GT, exp.LTE),
    exp.LT: (exp.LTE, exp.GT),
    exp.LTE: (exp.LT, exp.GTE),
}
_ARITHMETIC: dict[type[exp.Expr], type[exp.Binary]] = {exp.Sub: exp.Add, exp.Add: exp.Sub, exp.Mul: exp.Div}
_AGGREGATES: dict[type[exp.Expr], tuple[type[exp.Func], ...]] = {
    exp.Min: (exp.Max,),
    exp.Max: (exp.Min, exp.Avg),
    exp.Sum: (exp.Avg, exp.Max),
    exp.Avg: (exp.Median, exp.Max),
    exp.Median: (exp.Avg, exp.Max),
    exp.ArgMax: (exp.ArgMin,),
    exp.ArgMin: (exp.ArgMax,),
    exp.LogicalOr: (exp.LogicalAnd,),
    exp.Lag: (exp.Lead,),
    exp.Lead: (exp.Lag,),
    exp.RowNumber: (exp.Rank, exp.DenseRank),
    exp.Rank: (exp.RowNumber, exp.DenseRank),
    exp.Hour: (exp.Minute, exp.Day),
}
_SET_OPERATIONS: tuple[type[exp.SetOperation], ...] = (exp.Union, exp.Intersect, exp.Except)
_UNITS = {
    "SECOND": ("MINUTE",),
    "MINUTE": ("SECOND", "HOUR"),
    "HOUR": ("MINUTE", "DAY"),
    "DAY": ("HOUR", "WEEK", "MONTH"),
    "WEEK": ("DAY", "MONTH"),
    "MONTH": ("DAY", "WEEK", "YEAR"),
}


def _edited(node: exp.Expr, **arguments: object) -> exp.Expr:
    copied = node.copy()
    for key, value in arguments.items():
        copied.set(key, value)
    return copied


def _operand(node: exp.Expr, key: str) -> exp.Expr:
    """Copy one side of a binary node, or another argument that is a tree."""
    operand = node.args[key]
    if not isinstance(operand, exp.Expr):
        raise TypeError(f"{key} of {node.key} is not a tree.")
    return operand.copy()


def _is_number(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string


def _nearby(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the whole numbers one beside a literal, not below 0."""
    if node.name.isdigit():
        yield from (exp.Literal.number(number) for number in (int(node.name) + 1, int(node.name) - 1) if number >= 0)


def swaps(node: exp.Expr, columns: tuple[str, ...]) -> Iterator[exp.Expr]:
    """Yield the other columns in a column's place."""
    if isinstance(node, exp.Column) and node.name in columns:
        for name in columns:
            if name != node.name:
                yield _edited(node, this=exp.to_identifier(name))


def counts(node: exp.Expr, columns: tuple[str, ...]) -> Iterator[exp.Expr]:
    """Yield other ways to count: rows for values, values for rows, each value once."""
    if not isinstance(node, exp.Count):
        return
    counted = node.this
    if counted is None or isinstance(counted, exp.Star):  # count() of DuckDB is count(*)
        if columns:
            yield exp.Count(this=exp.column(columns[0]))
        for name in columns:
            yield exp.Count(this=exp.Distinct(expressions=[exp.column(name)]))
    elif isinstance(counted, exp.Distinct):
        yield exp.Count(this=counted.expressions[0].copy())
        yield exp.Count(this=exp.Star())
    else:
        yield exp.Count(this=exp.Distinct(expressions=[counted.copy()]))
        yield exp.Count(this=exp.Star())


def comparisons(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the neighbouring comparisons: an edge in or out, and the opposite."""
    others = _EDGES.get(type(node), ())
    if others and _operand(node, "expression").is_string:
        others = (exp.NEQ,) if isinstance(node, exp.EQ) else (exp.EQ,)
    for other in others:
        yield other(this=_operand(node, "this"), expression=_operand(node, "expression"))
    if isinstance(node, exp.GT | exp.GTE) and all(
        isinstance(side, exp.Column) for side in (node.this, node.expression)
    ):
        # "at most an hour after" taken for "at most an hour apart"
        for span in {span.sql(): span for span in node.root().find_all(exp.Interval)}.values():
            yield _edited(node, expression=exp.Sub(this=_operand(node, "expression"), expression=span.copy()))


def numbers(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the numbers beside a number; limits and intervals have rules of their own."""
    if _is_number(node) and not isinstance(node.parent, exp.Limit | exp.Offset | exp.Interval | exp.Select):
        yield from _nearby(node)


def texts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield looser and stricter matches of a text, and the query's other texts in its place."""
    if isinstance(node, exp.EQ | exp.NEQ) and node.expression.is_string:
        for pattern in (f"{node.expression.name}%", f"%{node.expression.name}"):
            like = exp.Like(this=_operand(node, "this"), expression=exp.Literal.string(pattern))
            yield like if isinstance(node, exp.EQ) else exp.Not(this=like)
    if isinstance(node, exp.Like):
        pattern = node.expression.name
        for other in (pattern.removeprefix("%"), pattern.removesuffix("%"), f"%{pattern.removeprefix('%')}"):
            yield _edited(node, expression=exp.Literal.string(other))
    if isinstance(node, exp.In) and len(node.expressions) > 1:
        for left_out in range(len(node.expressions)):
            kept = [item.copy() for place, item in enumerate(node.expressions) if place != left_out]
            yield _edited(node, expressions=kept)
    if node.is_string and not isinstance(node.parent, exp.Interval):
        others = {literal.name for literal in node.root().find_all(exp.Literal) if literal.is_string}
        for other in sorted(others - {node.name}):
            if not other.isdigit():
                yield exp.Literal.string(other)


def intervals(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield a span one longer, one shorter, and in other units."""
    if isinstance(node, exp.Interval) and isinstance(node.this, exp.Literal) and isinstance(node.unit, exp.Var):
        unit = node.unit.name.upper()
        for number in _nearby(node.this):
            yield _edited(node, this=exp.Literal.string(number.name))
        for other in _UNITS.get(unit, ()):
            yield _edited(node, unit=exp.var(other))
        if unit == "DAY" and node.this.name == "30":
            yield _edited(node, this=exp.Literal.string("1"), unit=exp.var("MONTH"))


def conditions(node: exp.Expr) -> Iterator[exp.Expr | None]:
    """Yield a condition with a part lost, turned round, or its AND and OR swapped."""
    if isinstance(node, exp.And | exp.Or):
        yield _operand(node, "this")
        yield _operand(node, "expression")
        other = exp.Or if isinstance(node, exp.And) else exp.And
        yield exp.paren(other(this=_operand(node, "this"), expression=_operand(node, "expression")))
    if isinstance(node, exp.Where | exp.Having | exp.Qualify) and not isinstance(node.parent, exp.Filter):
        yield None
    if isinstance(node, exp.Filter | exp.Not):
        yield _operand(node, "this")
    if isinstance(node, exp.Like | exp.In | exp.Exists | exp.Is) and not isinstance(node.parent, exp.Not):
        yield exp.Not(this=node.copy())


def distincts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield a query or a union that keeps duplicates where it dropped them, or the reverse."""
    if isinstance(node, exp.Select):
        if node.args.get("distinct"):
            yield _edited(node, distinct=None)
        elif not _is_one_row(node) and not isinstance(node.parent, exp.Exists | exp.In):
            yield _edited(node, distinct=exp.Distinct())
    if isinstance(node, exp.Union):
        yield _edited(node, distinct=not node.args.get("distinct"))


def _is_one_row(select: exp.Select) -> bool:
    """Tell whether a query gives a single row whatever the data, so that DISTINCT means nothing."""
    aggregates = any(item.find(exp.AggFunc) for item in select.expressions)
    windows = any(item.find(exp.Window) for item in select.expressions)
    return aggregates and not windows and not select.args.get("group")


def aggregates(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the functions that are mistaken for a function, and a number that is not rounded."""
    for other in _AGGREGATES.get(type(node), ()):
        yield other(**{key: value.copy() for key, value in node.args.items() if isinstance(value, exp.Expr)})
    if isinstance(node, exp.Round):
        yield _operand(node, "this")


def arithmetic(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the opposite operation, and the operands swapped."""
    other = _ARITHMETIC.get(type(node))
    if other is not None:
        yield other(this=_operand(node, "this"), expression=_operand(node, "expression"))
    if isinstance(node, exp.Sub | exp.Div):
        yield _edited(node, this=_operand(node, "expression"), expression=_operand(node, "this"))


def cases(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield a CASE without its ELSE, and with its two branches swapped."""
    if isinstance(node, exp.Case) and node.args.get("default"):
        yield _edited(node, default=None)
        if len(node.args["ifs"]) == 1:
            only = node.args["ifs"][0]
            swapped = _edited(only, true=_operand(node, "default"))
            yield _edited(node, ifs=[swapped], default=_operand(only, "true"))


def orders(node: exp.Expr) -> Iterator[exp.Expr | None]:
    """Yield the opposite order, the order without one of its keys, and none where a LIMIT hangs on it."""
    if isinstance(node, exp.Ordered):
        yield _edited(node, desc=not node.args.get("desc"))
        order = node.parent
        if isinstance(order, exp.Order) and len(order.expressions) > 1:
            yield None
    if isinstance(node, exp.Order) and node.parent and node.parent.args.get("limit"):
        yield None


def limits(node: exp.Expr) -> Iterator[exp.Expr | None]:
    """Yield one row more and one fewer, and no limit."""
    if isinstance(node, exp.Limit | exp.Offset):
        yield None
        for number in _nearby(node.expression):
            if number.name != "0" or isinstance(node, exp.Offset):
                yield _edited(node, expression=number)


def times(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield other anchors and grains: midnight for now, now for midnight, a month for a day, a time for a date.

    Of an anchor further: the day before, and of a span back from now the calendar week or month.
    """
    if _is_now(node) and not isinstance(node.parent, exp.TimestampTrunc):
        yield exp.TimestampTrunc(this=node.copy(), unit=exp.var("DAY"))
    if isinstance(node, exp.TimestampTrunc) and _is_now(node.this) and not isinstance(node.parent, exp.Sub | exp.Add):
        day = exp.Interval(this=exp.Literal.string("1"), unit=node.unit)
        yield exp.paren(exp.Sub(this=node.copy(), expression=day))
    if isinstance(node, exp.Sub) and _is_now(node.this) and isinstance(node.expression, exp.Interval):
        for calendar in ("WEEK", "MONTH"):
            yield exp.TimestampTrunc(this=_operand(node, "this"), unit=exp.var(calendar))
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc):
        yield _operand(node, "this")
    if isinstance(node, exp.TimestampTrunc | exp.DateTrunc | exp.DateDiff):
        unit = node.args.get("unit")
        for other in _UNITS.get(unit.name.upper(), ()) if isinstance(unit, exp.Expr) else ():
            yield _edited(node, unit=exp.var(other))
    if isinstance(node, exp.Cast) and node.is_type("date"):
        yield _operand(node, "this")
        yield exp.Day(this=_operand(node, "this"))


def _is_now(node: exp.Expr) -> bool:
    return isinstance(node, exp.CurrentTimestamp) or (isinstance(node, exp.Anonymous) and node.name.lower() == "now")


def joins(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the join with other rows kept."""
    if isinstance(node, exp.Join):
        for side in ("LEFT", "RIGHT", None):
            if side != (node.side or None):
                yield _edited(node, side=side)


def betweens(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the range without its lower, and without its upper end."""
    if isinstance(node, exp.Between):
        value, low, high = (_operand(node, key) for key in ("this", "low", "high"))
        yield exp.paren(exp.and_(exp.GT(this=value, expression=low), exp.LTE(this=value.copy(), expression=high)))
        yield exp.paren(exp.and_(exp.GTE(this=value, expression=low), exp.LT(this=value.copy(), expression=high)))


def windows(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the window without its partition, its order, or its frame."""
    if isinstance(node, exp.Window):
        for key in ("partition_by", "order", "spec"):
            if node.args.get(key):
                yield _edited(node, **{key: None})


def sets(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the other set operations, and a difference the other way round."""
    if isinstance(node, exp.SetOperation):
        for other in _SET_OPERATIONS:
            if not isinstance(node, other):
                yield other(**{**node.copy().args, "distinct": True})
        if isinstance(node, exp.Except):
            yield _edited(node, this=_operand(node, "expression"), expression=_operand(node, "this"))

"""Rewrite what sqlglot carries over to DuckDB wrongly, in the tree, before the text is made.

The table of docs/sql.md, row by row: qualified tables, TOP n WITH TIES, ROWNUM, averages of a truth, distinct
counts by other names, TRUNC of a moment, moments beside numbers and beside texts.  Date functions have their own
file.  A construct that has no sure counterpart gives the reading up (`UnreadableError`): better
rejected in one dialect than silently misread.
"""

import re
from collections.abc import Callable

from sqlglot import exp

from pytest_llmbench.sql.nodes import Kinds, of_kinds
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate import bare_columns, frozen_clock, mixed_types, text_rewrites, time_functions
from pytest_llmbench.sql.translate.manner import Manner
from pytest_llmbench.sql.translate.tree import (
    UnreadableError,
    bare,
    call,
    is_number,
    is_truth,
    number,
    rewritten,
    stamp,
    temporal_kind,
    with_aliases,
)

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)
_RECURSIVE_WITHOUT_A_WORD = frozenset({"tsql", "oracle"})
_SERIES_OF_VALUES = frozenset({"tsql", "sqlite"})
_DAY_DIALECTS = frozenset({"oracle", "tsql"})
_SELECTS, _QUALIFIED = Kinds(exp.Select), Kinds(exp.Table, exp.Column)


def repair(tree: exp.Expr, dialect: str, schema: Schema, manner: Manner) -> exp.Expr:
    """Give the tree that means in DuckDB what the statement means in its dialect, with time frozen."""
    tree = rewritten(tree, _QUALIFIED, lambda node: _unqualified(node, schema))
    tree = time_functions.repair(tree, dialect)
    tree = frozen_clock.freeze(tree, schema)
    selects = [node for node in of_kinds(tree, _SELECTS) if isinstance(node, exp.Select)]
    for select in selects:
        _without_rownum(select)
        _without_dual(select, schema)
    for select in selects:
        _ties_by_rank(select)
        bare_columns.repair(select, dialect, schema, manner)
    if dialect in _RECURSIVE_WITHOUT_A_WORD:
        for common in tree.find_all(exp.With):
            _recursive(common)
    known = with_aliases(tree, schema)
    tree = rewritten(tree, _KINDS, lambda node: _repaired(node, dialect, known))
    if dialect not in mixed_types.DIALECTS:
        return tree
    tree = rewritten(tree, mixed_types.EQUALITIES, mixed_types.any_as_in)
    return rewritten(tree, mixed_types.KINDS, lambda node: mixed_types.repair(node, dialect, known, manner))


def _recursive(common: exp.With) -> None:
    """Give the word RECURSIVE to a WITH that needs it: T-SQL and Oracle have none."""
    for one in common.expressions:
        if any(table.name.lower() == one.alias.lower() for table in one.this.find_all(exp.Table)):
            common.set("recursive", True)


def _unqualified(node: exp.Expr, schema: Schema) -> exp.Expr:
    """Take schema and catalogue off a table the database has: dbo.events, `project.dataset.events`."""
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        last = node.name.rpartition(".")[2]
        if last.lower() in schema.tables and (node.args.get("db") is not None or last != node.name):
            node.set("this", exp.to_identifier(last, quoted=True))
            node.set("db", None)
            node.set("catalog", None)
    elif isinstance(node, exp.Column) and node.args.get("db") is not None and node.table.lower() in schema.tables:
        node.set("db", None)
        node.set("catalog", None)
    return node


def _without_dual(select: exp.Select, schema: Schema) -> None:
    """Drop Oracle's FROM dual, a table of one row that is only there to be named."""
    source = select.args.get("from_")
    if (
        source is not None
        and isinstance(source.this, exp.Table)
        and source.this.name.lower() == "dual"
        and "dual" not in schema.tables
    ):
        select.set("from_", None)


def _without_rownum(select: exp.Select) -> None:
    """WHERE ROWNUM <= n takes rows before the same query sorts or groups them, so only in a plain one is it a LIMIT."""
    where = select.args.get("where")
    if where is None:
        return
    kept: list[exp.Expr] = []
    limit: int | None = None
    for condition in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        size = _rownum_limit(condition)
        if size is None:
            kept.append(condition)
        else:
            limit = size if limit is None else min(limit, size)
    if limit is None:
        return
    is_plain = not any(select.args.get(key) for key in ("order", "group", "limit", "having", "distinct"))
    if not is_plain or any(_in_select(found, select) for found in select.find_all(exp.AggFunc, exp.Window)):
        raise UnreadableError("ROWNUM beside sorting or grouping")
    select.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
    select.set("limit", exp.Limit(expression=number(limit)))


def _in_select(node: exp.Expr, select: exp.Select) -> bool:
    """Tell whether a node belongs to this query and to none inside it."""
    return node.find_ancestor(exp.Select) is select


def _rownum_limit(condition: exp.Expr) -> int | None:
    """Give n of ROWNUM <= n, ROWNUM < n + 1 or ROWNUM = 1."""
    condition = bare(condition)
    if not isinstance(condition, exp.LTE | exp.LT | exp.EQ) or not isinstance(condition.expression, exp.Literal):
        return None
    left = condition.this
    is_rownum = isinstance(left, exp.Column | exp.Pseudocolumn) and left.name.upper() == "ROWNUM"
    if not is_rownum or not condition.expression.name.isdigit():
        return None
    bound = int(condition.expression.name)
    if isinstance(condition, exp.EQ):
        return 1 if bound == 1 else 0
    return bound - 1 if isinstance(condition, exp.LT) else bound


def _ties_by_rank(select: exp.Select) -> None:
    """TOP n WITH TIES and FETCH FIRST n ROWS WITH TIES: DuckDB has QUALIFY instead."""
    limit, order = select.args.get("limit"), select.args.get("order")
    options = limit.args.get("limit_options") if limit is not None else None
    if limit is None or options is None:
        return
    if not options.args.get("with_ties"):
        if options.args.get("percent"):
            raise UnreadableError("TOP n PERCENT")
        return
    if order is None or select.args.get("distinct") or select.args.get("qualify"):
        raise UnreadableError("WITH TIES in this query")
    size = limit.args["expression"] if isinstance(limit, exp.Limit) else limit.args["count"]
    meanings = {item.alias.lower(): item.this for item in select.expressions if isinstance(item, exp.Alias)}
    rank_order = order.copy()
    for column in list(rank_order.find_all(exp.Column)):
        if not column.table and column.name.lower() in meanings:
            column.replace(meanings[column.name.lower()].copy())
    rank = exp.Window(this=call("RANK"), order=rank_order)
    select.set("limit", None)
    select.set("qualify", exp.Qualify(this=exp.LTE(this=rank, expression=size.copy())))


def _repaired(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:
    """Give what one node becomes."""
    node = text_rewrites.repair(node, dialect, schema)
    rewrite = _BY_NAME.get(node.name.lower()) if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else None
    if rewrite is None:
        rewrite = _REWRITES[type(node)]
    return node if rewrite is None else rewrite(node, dialect, schema)


class _Rewrites(dict[type, "_Rewrite | None"]):
    """The rewriting of each kind of nodes, found once: that of the kind itself, or of one above it."""

    def __missing__(self, kind: type) -> "_Rewrite | None":
        found = self[kind] = next((rewrite for above, rewrite in _BY_KIND.items() if issubclass(kind, above)), None)
        return found


def _average(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - one signature for all
    """AVG(a = b): the average of 1 and 0."""
    if is_truth(node.this):
        node.set("this", exp.cast(node.this, "INT"))
    return node


def _distinct_count(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """APPROX_COUNT_DISTINCT, uniqExact: on a few rows the estimate is the count."""
    counted = list(node.expressions) if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else [node.this]
    return exp.Count(this=exp.Distinct(expressions=counted))


def _first_of_list(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """ARRAY_AGG(x ORDER BY y LIMIT n) of BigQuery."""
    if not isinstance(node.this, exp.Limit):
        return node
    size = node.this.expression
    node.set("this", node.this.this)
    return call("LIST_SLICE", node, number(1), size)


def _national(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """N'text' of T-SQL."""
    return exp.Literal.string(node.name)


def _choice(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """IFF(condition, a, b) of Snowflake and T-SQL, which only some dialects know."""
    if len(node.expressions) != 3:
        return node
    condition, true, false = node.expressions
    return exp.If(this=condition, true=true, false=false)


def _collated(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """COLLATE utf8mb4_bin: letter by letter, as DuckDB compares; Latin1_General_CI_AS: without regard to case."""
    name = node.expression.name
    if re.search(r"^(?:c|posix|binary|ucs_basic|database_default)$|_(?:bin2?|cs)(?:_|$)", name, re.IGNORECASE):
        plain: exp.Expr = node.this
        return plain
    if re.search(r"_ci(?:_|$)", name, re.IGNORECASE):
        ignores_accents = re.search(r"_ai(?:_|$)", name, re.IGNORECASE)
        node.set("expression", exp.var("NOCASE.NOACCENT" if ignores_accents else "NOCASE"))
    return node


def _apply(join: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """CROSS APPLY and OUTER APPLY of T-SQL, which sqlglot writes as joins without a condition."""
    is_cross = join.this.args.get("cross_apply")
    if is_cross is None:
        return join
    join.this.set("cross_apply", None)
    if is_cross:
        join.set("kind", "CROSS")
    else:
        join.set("side", "LEFT")
        join.set("on", exp.true())
    return join


def _alternative(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """ISNULL(a, b) of T-SQL is COALESCE; with one value it is MySQL's, and a truth."""
    if node.args.get("is_null") and len(node.expressions) != 1:
        raise UnreadableError("ISNULL of one value")
    return node


def _series(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """GENERATE_SERIES of T-SQL and SQLite has a column `value`; that of T-SQL also counts down without a step."""
    series, alias = node.this, node.args.get("alias")
    if dialect not in _SERIES_OF_VALUES or not isinstance(series, exp.GenerateSeries):
        return node
    if alias is None or not alias.columns:
        name = exp.to_identifier(series.sql_name().lower()) if alias is None else alias.this
        node.set("alias", exp.TableAlias(this=name, columns=[exp.to_identifier("value")]))
    if dialect == "tsql" and series.args.get("step") is None:
        start, end = (series.args[key] for key in ("start", "end"))
        down = exp.If(this=exp.GT(this=start.copy(), expression=end.copy()), true=number(-1))
        series.set("step", exp.Case(ifs=[down], default=number(1)))
    return node


def _share(window: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """RATIO_TO_REPORT(x) OVER (...): the share of x in its sum."""
    if (
        not isinstance(window.this, exp.Anonymous)
        or window.this.name.lower() != "ratio_to_report"
        or len(window.this.expressions) != 1
    ):
        return window
    (part,) = window.this.expressions
    window.set("this", exp.Sum(this=part.copy()))
    return exp.Paren(this=exp.Div(this=exp.cast(part, "DOUBLE"), expression=window))


def _trunc(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """TRUNC(x) of a moment is its day."""
    if not isinstance(node, exp.Trunc) and len(node.expressions) != 1:
        return node
    value = node.this if isinstance(node, exp.Trunc) else node.expressions[0]
    is_alone = not isinstance(node, exp.Trunc) or node.args.get("decimals") is None
    return exp.cast(value, "DATE") if is_alone and temporal_kind(value, schema) else node


def _days(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:
    """Add or take a number of days; a difference of two moments beside a number is one too (Oracle)."""
    if dialect not in _DAY_DIALECTS:
        return node
    left, right = temporal_kind(node.this, schema), temporal_kind(node.expression, schema)
    if left and is_number(node.expression):
        return time_functions.day_arithmetic(node, left)
    if dialect == "oracle" and isinstance(node, exp.Sub) and left and right:
        outer = node.parent
        while isinstance(outer, exp.Paren):
            outer = outer.parent
        if isinstance(outer, (*_COMPARISONS, exp.Mul, exp.Div)) and any(
            is_number(side) for side in (outer.this, outer.expression)
        ):
            seconds = exp.Sub(this=call("EPOCH", stamp(node.this)), expression=call("EPOCH", stamp(node.expression)))
            return exp.Paren(this=exp.Div(this=exp.Paren(this=seconds), expression=number(86400.0)))
    return node


def _compared(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:  # noqa: ARG001 - same
    """Compare like with like."""
    if isinstance(node, exp.Between):
        pairs = (("low", "this"), ("high", "this"))
    else:
        pairs = (("this", "expression"), ("expression", "this"))
    for text_side, moment_side in pairs:
        _align(node, text_side, moment_side, schema)
    return node


def _align(node: exp.Expr, text_side: str, moment_side: str, schema: Schema) -> None:
    """Compare a moment with a written date: MySQL and SQLite compare the texts, DuckDB refuses.

    A date written year first becomes a moment; of any other the moment stays what it is, and the query does not run.
    """
    written = bare(node.args[text_side])
    if not isinstance(written, exp.TimeToStr) or not temporal_kind(node.args[moment_side], schema):
        return
    shape = written.args["format"]
    if isinstance(shape, exp.Literal) and re.match(r"%Y-%m-(?:%d|\d\d)(?:[ T]|$)", shape.name):
        node.set(text_side, stamp(written))


_Rewrite = Callable[[exp.Expr, str, Schema], exp.Expr]
_BY_NAME: dict[str, _Rewrite] = {
    "iff": _choice,
    "trunc": _trunc,
    **dict.fromkeys(("uniqexact", "uniq", "uniqcombined", "uniqhll12"), _distinct_count),
}
_BY_KIND: dict[type[exp.Expr], _Rewrite] = {
    exp.Avg: _average,
    exp.ApproxDistinct: _distinct_count,
    exp.Trunc: _trunc,
    exp.ArrayAgg: _first_of_list,
    exp.National: _national,
    exp.Collate: _collated,
    exp.Coalesce: _alternative,
    exp.Join: _apply,
    exp.Table: _series,
    exp.Lateral: _series,
    exp.Window: _share,
    exp.Sub: _days,
    exp.Add: _days,
    **dict.fromkeys((*_COMPARISONS, exp.Between), _compared),
}
_REWRITES = _Rewrites()
_KINDS = Kinds(exp.Anonymous, exp.AnonymousAggFunc, *text_rewrites.KINDS, *_BY_KIND)

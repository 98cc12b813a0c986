"""Columns beside an aggregate that nothing groups by, which SQLite and a lenient MySQL allow.

Such a column is any row's value; it is read as the group's value where the group has only one, else as NULL, so that
no verdict hangs on luck.  SQLite takes it from the row of the MIN or MAX where the query has exactly one.
Source: https://sqlite.org/lang_select.html#bareagg.
"""

from sqlglot import exp

_DIALECTS = frozenset({"mysql", "sqlite"})


def repair(select: exp.Select, dialect: str) -> None:
    """Give each bare column of a query's list a meaning."""
    group = select.args.get("group")
    is_grouped = group is not None or any(_aggregates(item) for item in select.expressions)
    if dialect not in _DIALECTS or not is_grouped or select.args.get("distinct"):
        return
    if group is not None and any(group.args.get(key) for key in ("all", "rollup", "cube", "grouping_sets")):
        return
    keys = _keys(select, group)
    extreme = _only_extreme(select) if dialect == "sqlite" else None
    for place, item in enumerate(select.expressions, 1):
        inner = item.unalias()
        if str(place) in keys or item.alias.lower() in keys or _text(inner) in keys or inner.find(exp.Window):
            continue
        for column in [found for found in inner.find_all(exp.Column) if _is_bare(found, select, keys)]:
            meaning = _meaning(column, extreme)
            if column is item:
                item.replace(exp.alias_(meaning, column.name))
            else:
                column.replace(meaning)


def _keys(select: exp.Select, group: exp.Expr | None) -> set[str]:
    """Name what a query groups by: places, aliases, texts of expressions."""
    keys = {_text(key) for key in group.expressions} if group is not None else set()
    meanings = {item.alias.lower(): item.unalias() for item in select.expressions if isinstance(item, exp.Alias)}
    return keys | {_text(meanings[key]) for key in keys if key in meanings}


def _text(node: exp.Expr) -> str:
    """Write an expression so that e.user_id and USER_ID are one."""
    if isinstance(node, exp.Column):
        return node.name.lower()
    copied = node.copy()
    for column in copied.find_all(exp.Column):
        column.set("table", None)
    return copied.sql("duckdb").lower()


def _aggregates(node: exp.Expr) -> list[exp.AggFunc]:
    """List the aggregates of an expression that are no window functions and in no query inside it."""
    home = node.find_ancestor(exp.Select)
    return [
        found
        for found in node.find_all(exp.AggFunc)
        if not isinstance(found.parent, exp.Window) and found.find_ancestor(exp.Select) is home
    ]


def _only_extreme(select: exp.Select) -> exp.Min | exp.Max | None:
    """Give the MIN or MAX of a query that has one."""
    found = [
        aggregate
        for item in select.expressions
        for aggregate in _aggregates(item)
        if isinstance(aggregate, exp.Min | exp.Max)
    ]
    return found[0] if len(found) == 1 and isinstance(found[0], exp.Min | exp.Max) else None


def _is_bare(column: exp.Column, select: exp.Select, keys: set[str]) -> bool:
    """Tell whether a column stands in this query itself, in no aggregate and in nothing that is grouped by."""
    node: exp.Expr | None = column
    while node is not None and node is not select:
        if isinstance(node, exp.AggFunc | exp.Query | exp.Star) or _text(node) in keys:
            return False
        node = node.parent
    return node is select


def _meaning(column: exp.Column, extreme: exp.Min | exp.Max | None) -> exp.Expr:
    if extreme is not None:
        build = exp.ArgMin if isinstance(extreme, exp.Min) else exp.ArgMax
        return build(this=column.copy(), expression=extreme.this.copy())
    least, greatest = exp.Min(this=column.copy()), exp.Max(this=column.copy())
    return exp.Case(ifs=[exp.If(this=exp.EQ(this=least, expression=greatest), true=least.copy())])

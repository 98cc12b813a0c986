"""Columns beside an aggregate that nothing groups by, which SQLite and a lenient MySQL allow.

Such a column is any row's value; it is read as the group's value where the group has only one, else as NULL, so that
no verdict hangs on luck.  SQLite takes it from the row of the MIN or MAX where the query has exactly one.  Postgres
allows it where the primary key of its table is grouped by.  It may stand in the list, with DISTINCT or without, in
HAVING and in ORDER BY.  To take a column for bare that is grouped by under another name costs nothing: its group has
one value.
Sources: https://sqlite.org/lang_select.html#bareagg; https://www.postgresql.org/docs/17/sql-select.html#SQL-GROUPBY.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate.kinds import sources
from pytest_llmbench.sql.translate.manner import Manner

_ANY_ROW = frozenset({"mysql", "sqlite"})
_BY_KEY = "postgres"


@dataclass(frozen=True, slots=True)
class _Query:
    """A grouped query: the tables it reads by their aliases, and what it groups by."""

    select: exp.Select
    tables: dict[str, str]
    keys: frozenset[str]
    schema: Schema

    def owner(self, column: exp.Column) -> str | None:
        """Give the alias of the table a column comes from; "" where it is not known, None where it is none of these."""
        if column.table:
            return column.table.lower() if column.table.lower() in self.tables else None
        known = [
            alias for alias, table in self.tables.items() if column.name.lower() in self.schema.tables.get(table, {})
        ]
        return known[0] if len(known) == 1 else ""

    def text(self, node: exp.Expr) -> str:
        """Write an expression so that e.user_id and USER_ID are one where both are of one table."""
        copied = node.copy()
        for original, column in zip(node.find_all(exp.Column), copied.find_all(exp.Column), strict=True):
            owner = self.owner(original)
            column.set("table", exp.to_identifier(owner) if owner else None)
        return copied.sql("duckdb").lower()

    def has_key_of(self, column: exp.Column) -> bool:
        """Tell whether the primary key of a column's table is grouped by."""
        owner = self.owner(column)
        key = self.schema.primary_keys.get(self.tables.get(owner or "", ""), ())
        return bool(key) and all(self.text(exp.column(name, table=owner)) in self.keys for name in key)


def repair(select: exp.Select, dialect: str, schema: Schema, manner: Manner) -> None:
    """Give each bare column of a grouped query a meaning."""
    is_any_row = dialect in _ANY_ROW or manner.groups_loosely
    if not (is_any_row or dialect == _BY_KEY) or not _is_grouped(select):
        return
    if is_any_row:
        _expand_stars(select, schema)
    query = _query(select, schema)
    extreme = _only_extreme(select) if dialect == "sqlite" or manner.groups_loosely else None
    meanings: list[tuple[exp.Column, exp.Expr]] = []
    for column in _bare_columns(query):
        if is_any_row:
            meanings.append((column, _meaning(column, extreme)))
        elif query.has_key_of(column):
            meanings.append((column, exp.AnyValue(this=column.copy())))
    for column, meaning in meanings:
        column.replace(exp.alias_(meaning, column.name) if column.parent is select else meaning)


def _is_grouped(select: exp.Select) -> bool:
    """Tell whether a query has groups, of a plain GROUP BY or of aggregates alone."""
    group, distinct = select.args.get("group"), select.args.get("distinct")
    if distinct is not None and distinct.args.get("on"):
        return False
    if group is None:
        return any(True for item in _parts(select) for _ in _aggregates(item, select))
    return not any(group.args.get(key) for key in ("all", "rollup", "cube", "grouping_sets"))


def _bare_columns(query: _Query) -> Iterator[exp.Column]:
    """Yield the columns that nothing groups by; a name that the query's list gives is none of them."""
    items = query.select.expressions
    names = {item.alias_or_name.lower() for item in items}
    for part in _parts(query.select):
        is_listed = part.arg_key == "expressions" and part.parent is query.select
        if is_listed and (str(items.index(part) + 1) in query.keys or part.alias.lower() in query.keys):
            continue
        if query.text(part.unalias()) in query.keys or part.find(exp.Window):
            continue
        for column in list(part.find_all(exp.Column)):
            is_name = not is_listed and not column.table and column.name.lower() in names
            if not is_name and _is_bare(column, query):
                yield column


def _query(select: exp.Select, schema: Schema) -> _Query:
    """Collect what a query reads and groups by: places, aliases, texts of expressions."""
    tables = {
        source.alias_or_name.lower(): source.name.lower() if isinstance(source, exp.Table) else ""
        for source in sources(select)
    }
    query = _Query(select, tables, frozenset(), schema)
    keys: set[str] = set()
    meanings = {item.alias.lower(): item.unalias() for item in select.expressions if isinstance(item, exp.Alias)}
    group = select.args.get("group")
    for key in group.expressions if group is not None else ():
        keys.add(query.text(key))
        name = key.name.lower() if isinstance(key, exp.Column) and not key.table else ""
        if name in meanings and not any(name in schema.tables.get(table, {}) for table in tables.values()):
            keys |= {name, query.text(meanings[name])}
        if isinstance(key, exp.Literal) and key.name.isdigit() and 0 < int(key.name) <= len(select.expressions):
            keys.add(query.text(select.expressions[int(key.name) - 1].unalias()))
    return _Query(select, tables, frozenset(keys), schema)


def _expand_stars(select: exp.Select, schema: Schema) -> None:
    """Write the columns of * and t.* out, where they are those of known tables."""
    read = [(source.alias_or_name, schema.tables.get(source.name.lower())) for source in sources(select)]
    items: list[exp.Expr] = []
    for item in select.expressions:
        is_star = isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))
        meant = [
            (alias, columns)
            for alias, columns in read
            if not item.args.get("table") or alias.lower() == item.args["table"].name.lower()
        ]
        if not is_star or item.args.get("except_") or not meant or any(columns is None for _, columns in meant):
            items.append(item)
        else:
            items += [exp.column(name, table=alias) for alias, columns in meant for name in columns or ()]
    select.set("expressions", items)


def _parts(select: exp.Select) -> Iterator[exp.Expr]:
    """Yield the expressions that are computed once a group: the list, HAVING, ORDER BY."""
    yield from list(select.expressions)
    having, order = select.args.get("having"), select.args.get("order")
    if having is not None:
        yield having
    yield from list(order.expressions) if order is not None else ()


def _aggregates(node: exp.Expr, select: exp.Select) -> Iterator[exp.AggFunc]:
    """Yield the aggregates of an expression that are no window functions and in no query inside it."""
    for found in node.find_all(exp.AggFunc):
        if not isinstance(found.parent, exp.Window) and found.find_ancestor(exp.Select) is select:
            yield found


def _only_extreme(select: exp.Select) -> exp.Min | exp.Max | None:
    """Give the MIN or MAX of a query that has one."""
    found = {
        aggregate.sql("duckdb").lower(): aggregate
        for part in _parts(select)
        for aggregate in _aggregates(part, select)
        if isinstance(aggregate, exp.Min | exp.Max)
    }
    extreme = next(iter(found.values())) if len(found) == 1 else None
    return extreme if isinstance(extreme, exp.Min | exp.Max) else None


def _is_bare(column: exp.Column, query: _Query) -> bool:
    """Tell whether a column stands in this query itself, in no aggregate and in nothing that is grouped by."""
    if query.owner(column) is None:
        return False  # of a query around this one
    node: exp.Expr | None = column
    while node is not None and node is not query.select:
        if isinstance(node, exp.AggFunc | exp.Query | exp.Star) or query.text(node) in query.keys:
            return False
        node = node.parent
    return node is query.select


def _meaning(column: exp.Column, extreme: exp.Min | exp.Max | None) -> exp.Expr:
    if extreme is not None:
        build = exp.ArgMin if isinstance(extreme, exp.Min) else exp.ArgMax
        return build(this=column.copy(), expression=extreme.this.copy())
    least, greatest = exp.Min(this=column.copy()), exp.Max(this=column.copy())
    return exp.Case(ifs=[exp.If(this=exp.EQ(this=least, expression=greatest), true=least.copy())])

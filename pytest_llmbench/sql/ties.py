"""Find the LIMITs of a reference that cut a tie, and the results that are as good as the one DuckDB happens to give.

The three best by a count are four where the third and the fourth have the same count; which three come out is luck.
The query is run once more without its LIMIT and with the values of its ORDER BY beside each row: rows with equal values
are peers, and a LIMIT that ends amid peers takes some of them.  A LIMIT in a subquery is looked at in the same way, and
the whole reference is then run with each of the choices.  A subquery that refers to the query around it is left as it
is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, product

import sqlglot
from sqlglot import exp

from pytest_llmbench.sql.cells import Row, is_same_row
from pytest_llmbench.sql.pairing import are_same_rows
from pytest_llmbench.sql.result_sets import Table

_DIALECT = "duckdb"
_KEY = "llmbench_key_"
_MAX_RESULTS = 200
_MAX_VARIANTS = 60
_MAX_CHOICES = 2_000

Run = Callable[[str], "Table | None"]
"""Run DuckDB text; None where it does not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """A LIMIT that cuts a tie: how many rows share its last place, and how many of them it takes."""

    limit: str
    n_rows: int
    n_taken: int

    def __str__(self) -> str:
        """Describe it: "LIMIT 1 takes 1 of 5 rows with the same rank"."""
        return f"{self.limit} takes {self.n_taken} of {self.n_rows} rows with the same rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The results of a reference on an instance: the one it gave first, others as good, and why there are others."""

    tables: tuple[Table, ...]
    tie: Tie | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranked:
    """The rows of a query without its LIMIT, in their order; `ends` are the places where runs of peers end."""

    rows: tuple[Row, ...]
    ends: tuple[int, ...]
    start: int
    stop: int

    def cut(self) -> Iterator[tuple[int, int, int]]:
        """Yield the runs of unlike peers that the LIMIT cuts: start, end, and how many it takes of them."""
        for begin, end in zip((0, *self.ends), self.ends, strict=False):
            taken = min(end, self.stop) - max(begin, self.start)
            if 0 < taken < end - begin and not _are_alike(self.rows[begin:end]):
                yield begin, end, taken


def has_order_or_limit(sql: str) -> bool:
    """Tell whether a text may hold what this is about, without parsing it."""
    upper = sql.upper()
    return "LIMIT" in upper or "ORDER BY" in upper or "FETCH" in upper


def accepted(sql: str, own: Table, run: Run) -> Accepted:
    """Give the results that are as good as a reference's own.

    Args:
        sql: the reference as DuckDB text, its moment put in.
        own: the result it gave.
        run: runs a text of the same kind.
    """
    try:
        tree = sqlglot.parse_one(sql, dialect=_DIALECT)
    except (sqlglot.errors.SqlglotError, RecursionError):
        return Accepted(tables=(own,))
    tables, tie = _at_the_top(tree, own, run)
    inner = next(_variants(tree, run), None)
    if inner is None:
        return Accepted(tables=tables, tie=tie)
    inner_tie, variants = inner
    found = list(tables)
    for variant in islice(variants, _MAX_VARIANTS):
        result = run(variant.sql(_DIALECT))
        if result is not None:
            found += _at_the_top(variant, result, run)[0]
    distinct = _distinct(found)
    return Accepted(tables=distinct, tie=tie or (inner_tie if len(distinct) > len(tables) else None))


def _at_the_top(tree: exp.Expr, own: Table, run: Run) -> tuple[tuple[Table, ...], Tie | None]:
    """Give the results that the order and the limit of the query itself leave open."""
    ranked = _ranked(tree, len(own.names), run, ())
    if ranked is None or len(own.rows) != min(ranked.stop, len(ranked.rows)) - min(ranked.start, len(ranked.rows)):
        return (own,), None
    cut = list(ranked.cut())
    sizes = tuple(_sizes(ranked))
    peers = sizes if any(size > 1 for size in sizes) else ()
    own = replace(own, peers=peers)
    if not cut:
        return (own,), None
    begin, end, taken = cut[-1]
    tie = Tie(limit=_limit_text(tree), n_rows=end - begin, n_taken=taken)
    tables = [own, *(replace(own, rows=rows) for rows in islice(_choices(ranked, cut), _MAX_CHOICES))]
    return _distinct(tables), tie


def _choices(ranked: _Ranked, cut: Sequence[tuple[int, int, int]]) -> Iterator[tuple[Row, ...]]:
    """Yield the rows of every way to take as many peers as the LIMIT takes."""
    # `product` keeps all it is given, and three of ten thousand rows can be taken in 10^11 ways
    ways = (islice(combinations(range(begin, end), size), _MAX_CHOICES) for begin, end, size in cut)
    for taken in product(*ways):
        chosen = dict(zip((begin for begin, _, _ in cut), taken, strict=True))
        rows: list[Row] = []
        for begin, end in zip((0, *ranked.ends), ranked.ends, strict=False):
            places = chosen.get(begin, range(max(begin, ranked.start), min(end, ranked.stop)))
            rows += [ranked.rows[place] for place in places]
        yield tuple(rows)


def _sizes(ranked: _Ranked) -> Iterator[int]:
    """Yield how many rows of each run of peers are in the result."""
    for begin, end in zip((0, *ranked.ends), ranked.ends, strict=False):
        size = min(end, ranked.stop) - max(begin, ranked.start)
        if size > 0:
            yield size


def _ranked(tree: exp.Expr, width: int, run: Run, common: Sequence[exp.Expr]) -> _Ranked | None:
    """Run a query without its LIMIT and with its keys; None where it has neither order nor limit, or is too odd."""
    limit = _window(tree)
    order = tree.args.get("order")
    if limit is None or (order is None and limit == (0, None)):
        return None
    probe = _with_keys(tree, width)
    if probe is None:
        return None
    if common:
        probe.set("with_", exp.With(expressions=[one.copy() for one in common]))
    found = run(probe.sql(_DIALECT))
    if found is None:
        return None
    ends = [
        place + 1
        for place, row in enumerate(found.rows)
        if place + 1 == len(found.rows) or not is_same_row(row[width:], found.rows[place + 1][width:])
    ]
    start, size = limit
    stop = len(found.rows) if size is None else start + size
    return _Ranked(rows=tuple(row[:width] for row in found.rows), ends=tuple(ends), start=start, stop=stop)


def _window(tree: exp.Expr) -> tuple[int, int | None] | None:
    """Give OFFSET and LIMIT of a query; None where they are no plain numbers."""
    found: list[int | None] = []
    for key in ("offset", "limit"):
        node = tree.args.get(key)
        if node is None:
            found.append(None)
            continue
        size = node.args.get("expression") or node.args.get("count")
        has_options = node.args.get("limit_options") is not None or node.args.get("expressions")
        if not isinstance(size, exp.Literal) or not size.name.isdigit() or has_options:
            return None
        found.append(int(size.name))
    return found[0] or 0, found[1]


def _with_keys(tree: exp.Expr, width: int) -> exp.Expr | None:
    """Give the query without LIMIT, the values it sorts by as columns behind its own."""
    query = tree.copy()
    order = query.args.get("order")
    keys = [ordered.this for ordered in order.expressions] if order is not None else []
    query.set("limit", None)
    query.set("offset", None)
    if any(isinstance(key, exp.Column) and key.name.lower() == "all" and not key.table for key in keys):
        return None
    if isinstance(query, exp.Select) and not query.args.get("distinct"):
        group = query.args.get("group")
        if group is not None and group.args.get("all"):
            return None
        for place, key in enumerate(keys):
            meaning = _meaning(key, query.expressions)
            query.select(exp.alias_(meaning.copy(), f"{_KEY}{place}"), copy=False)
        return query
    return _wrapped(query, keys, width) if isinstance(query, exp.Query) else None


def _wrapped(query: exp.Query, keys: Sequence[exp.Expr], width: int) -> exp.Expr | None:
    """Give a DISTINCT or a set operation with its keys, which are columns of its result."""
    names = [item.alias_or_name.lower() for item in query.selects]
    texts = [item.unalias().sql(_DIALECT) for item in query.selects]
    if len(names) != width:
        return None
    places = []
    for key in keys:
        if isinstance(key, exp.Literal) and key.name.isdigit() and 0 < int(key.name) <= width:
            places.append(int(key.name) - 1)
        elif isinstance(key, exp.Column) and key.name.lower() in names:
            places.append(names.index(key.name.lower()))
        elif key.sql(_DIALECT) in texts:
            places.append(texts.index(key.sql(_DIALECT)))
        else:
            return None
    order = query.args.get("order")
    common = query.args.get("with_")
    query.set("order", None)
    query.set("with_", None)
    columns = [f"c{place}" for place in range(width)]
    outer = exp.select(*columns, *(f"c{place} AS {_KEY}{index}" for index, place in enumerate(places)))
    outer = outer.from_(
        exp.Subquery(
            this=query,
            alias=exp.TableAlias(this=exp.to_identifier("q"), columns=[exp.to_identifier(name) for name in columns]),
        )
    )
    if order is not None:
        ordered = order.copy()
        for node, place in zip(ordered.expressions, places, strict=True):
            node.set("this", exp.column(f"c{place}"))
        outer.set("order", ordered)
    if common is not None:
        outer.set("with_", common)
    return outer


def _meaning(key: exp.Expr, items: Sequence[exp.Expr]) -> exp.Expr:
    """Give what a key stands for: a place or an alias in the list, or itself."""
    if isinstance(key, exp.Literal) and not key.is_string and key.name.isdigit() and 0 < int(key.name) <= len(items):
        return items[int(key.name) - 1].unalias()
    if isinstance(key, exp.Column) and not key.table:
        named = [item.this for item in items if isinstance(item, exp.Alias) and item.alias.lower() == key.name.lower()]
        return named[0] if named else key
    return key


def _variants(tree: exp.Expr, run: Run) -> Iterator[tuple[Tie, Iterator[exp.Expr]]]:
    """Yield the ties of subqueries, each with the statements that make every choice in it."""
    for place, query in enumerate(tree.find_all(exp.Select)):
        if query is tree or query.args.get("limit") is None or any(item.is_star for item in query.expressions):
            continue
        texts = query.copy()
        originals = [item.unalias() for item in query.expressions]
        width = 2 * len(originals)
        for item in originals:
            texts.select(exp.cast(item.copy(), "TEXT"), copy=False)
        if texts.args.get("distinct"):
            continue
        ranked = _ranked(texts, width, run, _common_before(query))
        cut = list(ranked.cut()) if ranked is not None else []
        if ranked is None or not cut:
            continue
        begin, end, taken = cut[-1]
        tie = Tie(limit=_limit_text(query), n_rows=end - begin, n_taken=taken)
        peers = [row[len(originals) :] for row in ranked.rows[begin:end]]
        yield tie, (_preferring(tree, place, originals, chosen) for chosen in combinations(peers, taken))


def _common_before(query: exp.Expr) -> list[exp.Expr]:
    """Give the common tables that a query inside a statement may name: its own, and those defined before it."""
    found: list[exp.Expr] = []
    own = query.args.get("with_")
    node: exp.Expr | None = query
    while node is not None:
        parent = node.parent
        if isinstance(node, exp.CTE) and isinstance(parent, exp.With):
            found = [*parent.expressions[: parent.expressions.index(node)], *found]
        elif parent is not None and isinstance(parent, exp.Query) and node.arg_key != "with_":
            outer = parent.args.get("with_")
            found = (list(outer.expressions) if outer is not None else []) + found
        node = parent
    return found + (list(own.expressions) if own is not None else [])


def _preferring(tree: exp.Expr, place: int, items: Sequence[exp.Expr], chosen: Sequence[Row]) -> exp.Expr:
    """Give the statement whose subquery number `place` puts the chosen peers before the others."""
    copied = tree.copy()
    query = list(copied.find_all(exp.Select))[place]
    rows = [
        exp.and_(
            *(
                exp.NullSafeEQ(
                    this=exp.cast(item.copy(), "TEXT"),
                    expression=exp.null() if cell is None else exp.Literal.string(str(cell)),
                )
                for item, cell in zip(items, row, strict=True)
            )
        )
        for row in chosen
    ]
    preferred = exp.Case(ifs=[exp.If(this=exp.or_(*rows), true=exp.Literal.number(0))], default=exp.Literal.number(1))
    order = query.args.get("order")
    keys = list(order.expressions) if order is not None else []
    query.set("order", exp.Order(expressions=[*keys, exp.Ordered(this=preferred)]))
    return copied


def _limit_text(query: exp.Expr) -> str:
    limit, offset = query.args.get("limit"), query.args.get("offset")
    return " ".join(node.sql(_DIALECT).strip() for node in (limit, offset) if node is not None)


def _are_alike(rows: Sequence[Row]) -> bool:
    return all(is_same_row(rows[0], row) for row in rows[1:])


def _distinct(tables: Sequence[Table]) -> tuple[Table, ...]:
    """Leave out results that hold the same rows as one before."""
    found: list[Table] = []
    for table in tables:
        if len(found) < _MAX_RESULTS and not any(are_same_rows(table.rows, other.rows) for other in found):
            found.append(table)
    return tuple(found)

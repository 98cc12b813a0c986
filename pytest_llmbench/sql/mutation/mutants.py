"""Near misses of a query, made on its syntax tree.

A reference and its databases are only as good as the wrong answers they turn
away. Each mutant here is the query with one small fault of the kind models
make: a wrong edge, a lost DISTINCT, a window of the wrong length. A mutant
that gives the reference's rows on every database shows a hole in the data, or
it means the same.

Source: mutation operators for SQL of Tuya, Suárez-Cabal and de la Riva (2007),
with those for time windows and counting added after faults seen in answers.

Left out: dropping an ORDER BY that no LIMIT needs, since whether the rows then
still come in order is the engine's luck and not a fact about the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlglot
from sqlglot import exp

from pytest_llmbench.sql.mutation import rules

_DIALECT = "duckdb"


class Operator(StrEnum):
    """What was changed in a mutant."""

    AGGREGATE = "aggregate"
    ARITHMETIC = "arithmetic"
    BETWEEN = "between"
    CASE = "case"
    COLUMN = "column"
    COMPARISON = "comparison"
    CONDITION = "condition"
    COUNT = "count"
    DISTINCT = "distinct"
    INTERVAL = "interval"
    JOIN = "join"
    LIMIT = "limit"
    NUMBER = "number"
    ORDER = "order"
    SET = "set"
    TEXT = "text"
    TIME = "time"
    WINDOW = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A query with one fault in it; `description` is unlike that of any other mutant of the same query."""

    sql: str
    operator: Operator
    description: str


def mutants(query: str, *, columns: Sequence[str] = ()) -> tuple[Mutant, ...]:
    """Make the near misses of a DuckDB query, each once.

    Not all of them bind: a column may come where its type does not fit.

    Args:
        query: one SELECT or set operation in DuckDB's dialect.
        columns: names to swap columns among; left out, those that the query itself names.

    Raises:
        sqlglot.errors.SqlglotError: the query does not parse.

    """
    tree = sqlglot.parse_one(query, dialect=_DIALECT)
    names = tuple(columns) or tuple(dict.fromkeys(column.name for column in tree.find_all(exp.Column)))
    original = tree.sql(_DIALECT)
    seen = {original}
    found: list[Mutant] = []
    descriptions: dict[str, int] = {}
    for place, node in enumerate(tree.walk()):
        for operator, replacement in _replacements(node, names):
            sql = _with_replacement(tree, place, replacement)
            if sql in seen:
                continue
            seen.add(sql)
            text = _difference(original, sql)
            descriptions[text] = descriptions.get(text, 0) + 1
            if descriptions[text] > 1:
                text = f"{text} ({descriptions[text]})"
            found.append(Mutant(sql=sql, operator=operator, description=text))
    return tuple(found)


def _with_replacement(tree: exp.Expr, place: int, replacement: exp.Expr | None) -> str:
    """Write the tree with its node number `place` replaced, or dropped where the replacement is None."""
    copied = tree.copy()
    target = next(node for number, node in enumerate(copied.walk()) if number == place)
    if target is copied:
        return (replacement or copied).sql(_DIALECT)
    if replacement is None:
        target.pop()
    else:
        target.replace(replacement.copy())
    return copied.sql(_DIALECT)


def _difference(original: str, changed: str) -> str:
    """Describe what was changed in words of both texts, with a word or two around it."""
    before, after = original.split(), changed.split()
    shortest = min(len(before), len(after))
    start = next((i for i in range(shortest) if before[i] != after[i]), shortest)
    room = shortest - start
    end = next((i for i in range(room) if before[-1 - i] != after[-1 - i]), room)
    start, end = max(start - 2, 0), max(end - 1, 0)
    return f"{' '.join(before[start : len(before) - end])} => {' '.join(after[start : len(after) - end])}"


def _replacements(node: exp.Expr, columns: tuple[str, ...]) -> Iterator[tuple[Operator, exp.Expr | None]]:
    """Yield what may stand in place of one node, None meaning nothing."""
    for operator, rule in _RULES.items():
        for replacement in rule(node):
            yield operator, replacement
    for name in rules.swaps(node, columns):
        yield Operator.COLUMN, name
    for counted in rules.counts(node, columns):
        yield Operator.COUNT, counted


_RULES = {
    Operator.COMPARISON: rules.comparisons,
    Operator.NUMBER: rules.numbers,
    Operator.TEXT: rules.texts,
    Operator.INTERVAL: rules.intervals,
    Operator.CONDITION: rules.conditions,
    Operator.DISTINCT: rules.distincts,
    Operator.AGGREGATE: rules.aggregates,
    Operator.ARITHMETIC: rules.arithmetic,
    Operator.CASE: rules.cases,
    Operator.ORDER: rules.orders,
    Operator.LIMIT: rules.limits,
    Operator.TIME: rules.times,
    Operator.JOIN: rules.joins,
    Operator.BETWEEN: rules.betweens,
    Operator.WINDOW: rules.windows,
    Operator.SET: rules.sets,
}

"""The gate: which statements are let through to the engine.

What it does not cover.  It bounds neither time nor memory: `SELECT count(*) FROM range(1e12)` passes, and
the worker's limits and its killing are what stop it.  It trusts sqlglot to read DuckDB text as DuckDB
does; a statement the two read differently is held only by the engine's own settings (a read-only file, no
external access, a locked configuration), and a fault in DuckDB itself by nothing but the process
around it.  It keeps no secret that is in the database: every row of the allowed tables can be read.

What it does.  One query, walked whole: every kind of node, every table and every called name must be
on a list.  It runs twice, on the tree as the model's dialect gave it and on the tree of the very text that
is to run.  DuckDB 2.0 reports `WITH d AS (DELETE ... RETURNING *) SELECT ...` as a SELECT, so the kind of the
statement alone says nothing.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from pytest_llmbench.sql.guard import allowlist
from pytest_llmbench.sql.guard.allowlist import ALLOWED
from pytest_llmbench.sql.nodes import Kinds, level_by_level, of_kinds
from pytest_llmbench.sql.protocol import Schema

_MAY_CHANGE = Kinds(*allowlist.CHANGES, exp.DDL, exp.DML, exp.Placeholder, exp.Parameter, exp.TableSample)
"""What `_change` refuses, or a part of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a statement may not run: `is_unsafe` if it reaches for what it must not, else it is only not understood."""

    message: str
    is_unsafe: bool


def change_refusal(tree: exp.Expr) -> Refusal | None:
    """Refuse what is no query, or a query with a change inside, whatever dialect it was read in."""
    if not isinstance(tree, exp.Query | exp.Values | exp.Pivot):
        keyword = str(tree.this).upper() if isinstance(tree, exp.Command) else tree.key.upper()
        is_unsafe = type(tree) in allowlist.CHANGES or isinstance(tree, exp.DDL | exp.DML)
        return Refusal(message=f"it is not a query ({keyword})", is_unsafe=is_unsafe)
    return _first(map(_change, of_kinds(tree, _MAY_CHANGE)))


def refusal(tree: exp.Expr, tokens: Sequence[Token], schema: Schema, known: frozenset[str]) -> Refusal | None:
    """Look at the text that is to run, in every respect; None if it may.

    Args:
        tree: the text, parsed as DuckDB's.
        tokens: the same text, cut into tokens.
        schema: the tables it may read.
        known: the engine's function names, which tell what is refused from what does not exist.
    """
    nodes = level_by_level(tree)
    return (
        change_refusal(tree)
        or _table_refusal(nodes, schema)
        or _function_refusal(nodes, schema, known)
        or _call_refusal(tokens, known)
        or _first(map(_oddity, nodes))
    )


def _call_refusal(tokens: Sequence[Token], known: frozenset[str]) -> Refusal | None:
    """Refuse a word in front of a bracket that is neither a keyword nor an allowed function."""
    for index, token in enumerate(tokens[:-1]):
        if tokens[index + 1].token_type is not TokenType.L_PAREN or not re.fullmatch(r"\w+", token.text):
            continue
        name = token.text.lower()
        is_quoted = token.token_type is TokenType.IDENTIFIER
        if token.token_type in (TokenType.STRING, TokenType.NUMBER) or name in ALLOWED:
            continue
        if not is_quoted and name in allowlist.KEYWORDS_BEFORE_PARENTHESIS:
            continue
        if index and tokens[index - 1].token_type is TokenType.ALIAS:
            continue  # ... AS t(a, b), CAST(x AS DECIMAL(9, 2))
        if _is_table_header(tokens, index + 1):
            continue
        return _named_refusal(name, known)
    return None


def _is_table_header(tokens: Sequence[Token], opening: int) -> bool:
    """Tell whether the brackets are the column list of a common table: `t(a, b) AS (`, where no call can stand."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += (tokens[index].token_type is TokenType.L_PAREN) - (tokens[index].token_type is TokenType.R_PAREN)
        if depth == 0:
            rest = [token.text.lower() for token in tokens[index + 1 : index + 4]]
            return rest[:2] == ["as", "("] or rest in (["as", "materialized", "("], ["as", "not", "materialized"])
    return False


def _first(found: Iterator[Refusal | None]) -> Refusal | None:
    return next((refusal for refusal in found if refusal is not None), None)


def _change(node: exp.Expr) -> Refusal | None:
    """Refuse a node that writes or orders the database to do something."""
    if type(node) in allowlist.CHANGES or (isinstance(node, exp.DDL | exp.DML) and not isinstance(node, exp.Query)):
        return Refusal(message=f"it holds {node.key.upper()}", is_unsafe=True)
    if isinstance(node, exp.Placeholder | exp.Parameter):
        return Refusal(message="it holds a placeholder", is_unsafe=False)
    if isinstance(node, exp.TableSample):
        return Refusal(message="it samples rows by chance", is_unsafe=True)
    return None


def _oddity(node: exp.Expr) -> Refusal | None:
    """Refuse a node that is on no list."""
    if type(node) in allowlist.CONSTRUCTS or isinstance(node, exp.Func | exp.Binary | exp.Unary | exp.DataType):
        return None
    return Refusal(message=f"{node.key.upper()} is not supported", is_unsafe=False)


def _table_refusal(nodes: Sequence[exp.Expr], schema: Schema) -> Refusal | None:
    """Refuse a table that is neither of the schema nor a common table of the statement."""
    common = {node.alias.lower() for node in nodes if isinstance(node, exp.CTE)}
    for name in common:
        if not re.fullmatch(r"\w+", name) or allowlist.CATALOGUES.match(name):
            return Refusal(message=f'a common table may not be called "{name}"', is_unsafe=True)
    for node in nodes:
        if not isinstance(node, exp.Table):
            continue
        if isinstance(node.this, exp.Func):
            if (
                not isinstance(node.this, allowlist.TABLE_FUNCTIONS)
                and node.this.name.lower() not in allowlist.TABLE_FUNCTION_NAMES
            ):
                return Refusal(message=f"it reads from the function {_called(node.this)}", is_unsafe=True)
        elif not isinstance(node.this, exp.Identifier):
            return Refusal(message="it reads from something that is no table", is_unsafe=True)
        elif node.args.get("db") is not None or node.args.get("catalog") is not None:
            return Refusal(message=f"it reads from {node.sql()}", is_unsafe=True)
        elif node.name.lower() not in schema.tables and node.name.lower() not in common:
            is_unsafe = not re.fullmatch(r"\w+", node.name) or allowlist.CATALOGUES.match(node.name) is not None
            return Refusal(message=f"there is no table {node.name}", is_unsafe=is_unsafe)
    return None


def _called(node: exp.Expr) -> str:
    """Give the name a function node is called by."""
    return (node.name if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc) else node.key).lower()


def _function_refusal(nodes: Sequence[exp.Expr], schema: Schema, known: frozenset[str]) -> Refusal | None:
    """Refuse a function by what the tree knows of it, and the few that are called without brackets."""
    aliases = {node.alias.lower() for node in nodes if isinstance(node, exp.Alias | exp.CTE)}
    for node in nodes:
        if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc | exp.CombinedAggFunc):
            if _called(node) not in ALLOWED:
                return _named_refusal(_called(node), known)
        elif isinstance(node, exp.Func) and allowlist.FORBIDDEN_KEYS.match(node.key):
            return Refusal(message=f"it calls {node.key}", is_unsafe=True)
        elif isinstance(node, exp.Column) and not node.table:
            name = node.name.lower()
            if name in allowlist.NO_PARENTHESES and name not in schema.columns and name not in aliases:
                return Refusal(message=f"it calls {name}", is_unsafe=True)
    return None


def _named_refusal(name: str, known: frozenset[str]) -> Refusal:
    """Tell a function that is refused from one that does not exist."""
    if name in known or allowlist.FOREIGN_DANGERS.match(name):
        return Refusal(message=f"it calls {name}", is_unsafe=True)
    return Refusal(message=f"there is no function {name}", is_unsafe=False)

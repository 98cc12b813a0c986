"""Read one statement in one dialect: text in, DuckDB text with frozen time out, or why not.

    quotes by schema -> parse -> refuse changes -> repair and freeze -> write -> parse again -> gate

What comes out is text written from the checked tree, never the model's own.
"""

import logging
from dataclasses import dataclass

import sqlglot
from sqlglot import Dialect, ErrorLevel, exp
from sqlglot.errors import SqlglotError

from pytest_llmbench.sql.guard import guard
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate import quotes, rewrites
from pytest_llmbench.sql.translate.tree import UnreadableError

logging.getLogger("sqlglot").disabled = True  # it reports to people what is a value here


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A statement as DuckDB text, with marks where the frozen moment goes.

    `counts` says that its only column is a count, for the words of an explanation; `is_sorted`
    that it has a top-level ORDER BY.
    """

    dialect: str
    sql: str
    counts: bool
    is_sorted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReading:
    """Why a statement cannot be read in a dialect. `is_parsed` is False where the parser gave up."""

    dialect: str
    message: str
    is_unsafe: bool = False
    is_parsed: bool = True


def read(
    spelled: tuple[quotes.Spelled, ...], dialect: str, schema: Schema, known: frozenset[str]
) -> Reading | NoReading:
    """Read a statement whose quotes are resolved in one dialect.

    Args:
        spelled: the statement from `quotes.resolve`.
        dialect: one of `dialects.NAMES`' values.
        schema: the tables of the database.
        known: the names of the engine's functions.
    """
    try:
        return _read(quotes.spell(spelled, dialect), dialect, schema, known)
    except RecursionError:
        return NoReading(dialect=dialect, message="it is nested too deeply", is_parsed=False)


def _read(text: str, dialect: str, schema: Schema, known: frozenset[str]) -> Reading | NoReading:
    try:
        trees = [
            tree
            for tree in sqlglot.parse(text, read=dialect)
            if tree is not None and not isinstance(tree, exp.Semicolon)
        ]
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as fault:
        # sqlglot's parser can fail on odd text with faults of its own; they mean the same: not this dialect
        return NoReading(dialect=dialect, message=_first_line(fault), is_parsed=False)
    if len(trees) != 1:
        return NoReading(dialect=dialect, message="it is not one statement", is_parsed=False)
    refused = guard.change_refusal(trees[0])
    if refused is not None:
        return NoReading(dialect=dialect, message=refused.message, is_unsafe=refused.is_unsafe)
    try:
        tree = rewrites.repair(trees[0], dialect, schema)
        written = tree.sql("duckdb", comments=False, unsupported_level=ErrorLevel.RAISE)
    except UnreadableError as fault:
        return NoReading(dialect=dialect, message=f"{fault} has no counterpart in DuckDB")
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as fault:
        return NoReading(dialect=dialect, message=_first_line(fault))
    return _gated(written, dialect, schema, known)


def _gated(written: str, dialect: str, schema: Schema, known: frozenset[str]) -> Reading | NoReading:
    """Parse the text that is to run as what it is, and look at it in every respect."""
    duckdb = Dialect.get_or_raise("duckdb")
    try:
        tokens = duckdb.tokenize(written)
        (tree,) = duckdb.parser().parse(tokens, written)
    except (SqlglotError, ValueError) as fault:
        return NoReading(dialect=dialect, message=_first_line(fault))
    if tree is None:
        return NoReading(dialect=dialect, message="it is empty")
    refused = guard.refusal(tree, tokens, schema, known)
    if refused is not None:
        return NoReading(dialect=dialect, message=refused.message, is_unsafe=refused.is_unsafe)
    query = tree.unnest() if isinstance(tree, exp.Subquery) else tree
    is_count = (
        len(query.selects) == 1 and isinstance(query.selects[0].unalias(), exp.Count)
        if isinstance(query, exp.Query)
        else False
    )
    return Reading(dialect=dialect, sql=written, counts=is_count, is_sorted=query.args.get("order") is not None)


def _first_line(fault: Exception) -> str:
    """Give what a fault says in one line, without the terminal's underlining."""
    line = str(fault).partition("\n")[0].strip().rstrip(".")
    return line or type(fault).__name__

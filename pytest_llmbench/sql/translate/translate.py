"""Read one statement in one dialect: text in, DuckDB text with frozen time out, or why not.

    quotes by schema -> parse -> refuse changes -> repair and freeze -> write -> parse again -> gate

What comes out is text written from the checked tree, never the model's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlglot import Dialect, ErrorLevel, exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token

from pytest_llmbench.sql.guard import guard
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate import carried, grammar, quotes, rewrites
from pytest_llmbench.sql.translate.carried import Suspect
from pytest_llmbench.sql.translate.manner import PLAIN, Manner
from pytest_llmbench.sql.translate.tree import UnreadableError

_BRACKETS_QUOTE = frozenset({"tsql", "sqlite"})
_SINGLE = frozenset({"real", "float", "float4"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A statement as DuckDB text, with marks where the frozen moment goes.

    `counts`: its only column is a count, for the words of an explanation.  `is_sorted`: it has a top-level ORDER BY.
    `has_single`: it computes with single precision (REAL).  `is_loose`: it gives a value to a column that nothing
    groups by.  `text` is the statement in its dialect, `suspects` what of it may be missing in `sql` (see `dropped`).
    """

    dialect: str
    sql: str
    counts: bool
    is_sorted: bool
    has_single: bool = False
    is_loose: bool = False
    manner: Manner = PLAIN
    text: str = ""
    suspects: tuple[Suspect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoReading:
    """Why a statement cannot be read in a dialect. `is_parsed` is False where the parser gave up."""

    dialect: str
    message: str
    is_unsafe: bool = False
    is_parsed: bool = True


def read(
    spelled: tuple[quotes.Spelled, ...], dialect: str, schema: Schema, known: frozenset[str], manner: Manner
) -> Reading | NoReading:
    """Read a statement whose quotes are resolved in one dialect.

    Args:
        spelled: the statement from `quotes.resolve`.
        dialect: one of `dialects.NAMES`' values.
        schema: the tables of the database.
        known: the names of the engine's functions.
        manner: what the reading takes for granted.
    """
    try:
        return _read(quotes.spell(spelled, dialect), dialect, schema, known, manner)
    except RecursionError:
        return NoReading(dialect=dialect, message="it is nested too deeply", is_parsed=False)


def dropped(reading: Reading, schema: Schema, known: frozenset[str]) -> str | None:
    """Give a literal or column of a statement that its reading does not carry into what it runs, None without one."""

    def written(text: str) -> str | None:
        try:
            again = _read(text, reading.dialect, schema, known, reading.manner)
        except RecursionError:
            return None
        return again.sql if isinstance(again, Reading) else None

    return carried.dropped(reading.text, reading.suspects, written)


def _read(text: str, dialect: str, schema: Schema, known: frozenset[str], manner: Manner) -> Reading | NoReading:
    if dialect in _BRACKETS_QUOTE and "[" in text and grammar.has_subscript(text):
        return NoReading(dialect=dialect, message="it has a subscript, which this dialect has not", is_parsed=False)
    parsing = Dialect.get_or_raise(dialect)
    try:
        source = parsing.tokenize(text)
        trees = [
            tree
            for tree in parsing.parser().parse(source, text)
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
        tree = rewrites.repair(trees[0], dialect, schema, manner)
        written = tree.sql("duckdb", comments=False, unsupported_level=ErrorLevel.RAISE)
    except UnreadableError as fault:
        return NoReading(dialect=dialect, message=f"{fault} has no counterpart in DuckDB")
    except (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError) as fault:
        return NoReading(dialect=dialect, message=_first_line(fault))
    reading, out = _gated(written, dialect, schema, known)
    if isinstance(reading, NoReading):
        return reading
    return replace(
        reading,
        text=text,
        manner=manner,
        is_loose=manner.groups_loosely,
        suspects=carried.suspects(source, tree, out, schema),
    )


def _gated(
    written: str, dialect: str, schema: Schema, known: frozenset[str]
) -> tuple[Reading | NoReading, Sequence[Token]]:
    """Parse the text that is to run as what it is, and look at it in every respect; also give its tokens."""
    duckdb = Dialect.get_or_raise("duckdb")
    try:
        tokens = duckdb.tokenize(written)
        (tree,) = duckdb.parser().parse(tokens, written)
    except (SqlglotError, ValueError) as fault:
        return NoReading(dialect=dialect, message=_first_line(fault)), ()
    if tree is None:
        return NoReading(dialect=dialect, message="it is empty"), ()
    refused = guard.refusal(tree, tokens, schema, known)
    if refused is not None:
        return NoReading(dialect=dialect, message=refused.message, is_unsafe=refused.is_unsafe), ()
    query = tree.unnest() if isinstance(tree, exp.Subquery) else tree
    is_count = (
        len(query.selects) == 1 and isinstance(query.selects[0].unalias(), exp.Count)
        if isinstance(query, exp.Query)
        else False
    )
    single = _SINGLE | {name for name, kind in schema.columns.items() if kind == "FLOAT"}
    reading = Reading(
        dialect=dialect,
        sql=written,
        counts=is_count,
        is_sorted=query.args.get("order") is not None,
        has_single=any(token.text.lower() in single for token in tokens),
    )
    return reading, tokens


def _first_line(fault: Exception) -> str:
    """Give a fault in one line, without the terminal's underlining."""
    line = str(fault).partition("\n")[0].strip().rstrip(".")
    return line or type(fault).__name__

"""Read one statement in one dialect: text in, DuckDB text with frozen time out, or why not.

    quotes by schema -> parse -> refuse changes -> repair and freeze -> write -> parse again -> gate

What comes out is text written from the checked tree, never the model's own.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from sqlglot import Dialect, ErrorLevel, exp
from sqlglot.errors import SqlglotError

from pytest_llmbench.sql.guard import guard
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate import carried, grammar, quotes, rewrites
from pytest_llmbench.sql.translate.carried import Suspect
from pytest_llmbench.sql.translate.manner import PLAIN, Manner
from pytest_llmbench.sql.translate.tree import UnreadableError

_BRACKETS_QUOTE = frozenset({"tsql", "sqlite"})
_FAULTS = (SqlglotError, ValueError, TypeError, AttributeError, IndexError, KeyError)
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


class Translator:
    """Reads statements for one database."""

    def __init__(self, schema: Schema, known: frozenset[str]) -> None:
        """Take the tables of the database and the names of the engine's functions."""
        self._schema = schema
        self._known = known
        # most dialects make the same text of a statement, and looking through it costs as much as parsing it
        self._passed = lru_cache(maxsize=200)(self._gated)

    def read(self, spelled: tuple[quotes.Spelled, ...], dialect: str, manner: Manner) -> Reading | NoReading:
        """Read a statement whose quotes are resolved in one dialect.

        Args:
            spelled: the statement from `quotes.resolve`.
            dialect: one of `dialects.NAMES`' values.
            manner: what the reading takes for granted.
        """
        return self._read_text(quotes.spell(spelled, dialect), dialect, manner)

    def dropped(self, reading: Reading) -> str | None:
        """Give a literal or column that a reading does not carry into what it runs, None without one."""

        def written(text: str) -> str | None:
            again = self._read_text(text, reading.dialect, reading.manner)
            return again.sql if isinstance(again, Reading) else None

        return carried.dropped(reading.text, reading.suspects, written)

    def _read_text(self, text: str, dialect: str, manner: Manner) -> Reading | NoReading:
        try:
            return self._read(text, dialect, manner)
        except RecursionError:
            return NoReading(dialect=dialect, message="it is nested too deeply", is_parsed=False)

    def _read(self, text: str, dialect: str, manner: Manner) -> Reading | NoReading:
        if dialect in _BRACKETS_QUOTE and "[" in text and grammar.has_subscript(text):
            return NoReading(dialect=dialect, message="it has a subscript, which this dialect has not", is_parsed=False)
        parsing = _dialect(dialect)
        try:
            source = parsing.tokenize(text)
            trees = [
                tree
                for tree in parsing.parser().parse(source, text)
                if tree is not None and not isinstance(tree, exp.Semicolon)
            ]
        except _FAULTS as fault:
            # sqlglot's parser can fail on odd text with faults of its own; they mean the same: not this dialect
            return NoReading(dialect=dialect, message=_first_line(fault), is_parsed=False)
        if len(trees) != 1:
            return NoReading(dialect=dialect, message="it is not one statement", is_parsed=False)
        refused = guard.change_refusal(trees[0])
        if refused is not None:
            return NoReading(dialect=dialect, message=refused.message, is_unsafe=refused.is_unsafe)
        try:
            tree = rewrites.repair(trees[0], dialect, self._schema, manner)
            trace = carried.traced(source, tree, self._schema)
            written = tree.sql(_dialect("duckdb"), comments=False, unsupported_level=ErrorLevel.RAISE, copy=False)
        except UnreadableError as fault:
            return NoReading(dialect=dialect, message=f"{fault} has no counterpart in DuckDB")
        except _FAULTS as fault:
            return NoReading(dialect=dialect, message=_first_line(fault))
        passed = self._passed(written)
        if isinstance(passed, NoReading):
            return replace(passed, dialect=dialect)
        reading, out = passed
        return replace(
            reading,
            dialect=dialect,
            text=text,
            manner=manner,
            is_loose=manner.groups_loosely,
            suspects=carried.suspects(trace, out),
        )

    def _gated(self, written: str) -> tuple[Reading, Mapping[str, int]] | NoReading:
        """Parse the text that is to run as what it is, and look at it in every respect; also count its tokens."""
        duckdb = _dialect("duckdb")
        try:
            tokens = duckdb.tokenize(written)
            (tree,) = duckdb.parser().parse(tokens, written)
        except (SqlglotError, ValueError) as fault:
            return NoReading(dialect="duckdb", message=_first_line(fault))
        if tree is None:
            return NoReading(dialect="duckdb", message="it is empty")
        refused = guard.refusal(tree, tokens, self._schema, self._known)
        if refused is not None:
            return NoReading(dialect="duckdb", message=refused.message, is_unsafe=refused.is_unsafe)
        query = tree.unnest() if isinstance(tree, exp.Subquery) else tree
        is_count = (
            len(query.selects) == 1 and isinstance(query.selects[0].unalias(), exp.Count)
            if isinstance(query, exp.Query)
            else False
        )
        single = _SINGLE | {name for name, kind in self._schema.columns.items() if kind == "FLOAT"}
        words = Counter(token.text.lower() for token in tokens)
        reading = Reading(
            dialect="duckdb",
            sql=written,
            counts=is_count,
            is_sorted=query.args.get("order") is not None,
            has_single=not single.isdisjoint(words),
        )
        return reading, words


@cache
def _dialect(name: str) -> Dialect:
    """Give a dialect, made once: by its name sqlglot makes another at each step of a reading."""
    return Dialect.get_or_raise(name)


def _first_line(fault: Exception) -> str:
    """Give a fault in one line, without the terminal's underlining."""
    line = str(fault).partition("\n")[0].strip().rstrip(".")
    return line or type(fault).__name__

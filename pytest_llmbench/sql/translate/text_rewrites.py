"""What dialects do with texts without being asked, and DuckDB refuses or leaves out.

CAST(x AS VARCHAR(10)) cuts a text off everywhere but in DuckDB, which takes the length for a remark; MySQL and
SQLite take the first ten letters of a moment, count with texts and compare a moment with a pattern.
"""

import re

from sqlglot import exp

from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate.tree import UnreadableError, call, is_number, temporal_kind

_CUTTING = frozenset({"postgres", "redshift", "mysql", "tsql", "presto", "oracle"})
_READS_MOMENTS_AS_TEXT = frozenset({"mysql", "sqlite", "spark", "snowflake"})
_COUNTS_WITH_TEXTS = frozenset({"mysql", "sqlite"})
_OWN_SPELLING_OF_MOMENTS = frozenset({"tsql", "oracle"})  # Jan 20 2024, 20-JAN-24
_ESCAPES_BY_BACKSLASH = frozenset({"postgres", "redshift", "mysql", "bigquery", "spark"})
_BRACKETED = re.compile(r"\[([^\]^])\]")
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv)
_GIVES_TEXT = (exp.TimeToStr, exp.Substring, exp.Left, exp.Right, exp.Pad)

KINDS = (
    exp.Cast, exp.Convert, exp.SubstringIndex, exp.Pad, exp.Substring, exp.Left, exp.Right, exp.Like, exp.ILike,
    exp.RegexpLike, *_ARITHMETIC,
)  # fmt: skip
"""The nodes that `repair` is for."""


def repair(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:
    """Rewrite one node if it is about texts."""
    if isinstance(node, exp.Cast | exp.Convert):
        return _cut_off(node, dialect, schema)
    if isinstance(node, exp.SubstringIndex):
        return _piece(node)
    if isinstance(node, exp.Pad):
        node.set("this", exp.cast(node.this, "TEXT"))
    elif isinstance(node, exp.Substring | exp.Left | exp.Right | exp.Like | exp.ILike | exp.RegexpLike):
        if dialect in _READS_MOMENTS_AS_TEXT and temporal_kind(node.this, schema):
            node.set("this", exp.cast(node.this, "TEXT"))
        if isinstance(node, exp.Like | exp.ILike):
            return _escaped(node, dialect)
    elif isinstance(node, _ARITHMETIC) and dialect in _COUNTS_WITH_TEXTS:
        sides = {side: node.args[side] for side in ("this", "expression")}
        if all(_is_text(operand) or is_number(operand) for operand in sides.values()):
            for side, operand in sides.items():
                node.set(side, exp.cast(operand, "BIGINT") if _is_text(operand) else operand)
    return node


def _escaped(node: exp.Like | exp.ILike, dialect: str) -> exp.Expr:
    r"""Write out what a pattern of LIKE escapes by itself: \% in most dialects, [%] in T-SQL; nothing in DuckDB."""
    pattern = node.expression
    if isinstance(node.parent, exp.Escape) or not pattern.is_string:
        return node
    text = pattern.name
    if dialect == "tsql" and _BRACKETED.search(text):
        text = _BRACKETED.sub(r"\\\1", text.replace("\\", "\\\\"))
    elif dialect not in _ESCAPES_BY_BACKSLASH or "\\" not in text:
        return node
    node.set("expression", exp.Literal.string(text))
    return exp.Escape(this=node, expression=exp.Literal.string("\\"))


def _piece(node: exp.SubstringIndex) -> exp.Expr:
    """Write MySQL's text before the n-th delimiter, or behind the n-th from the end where n is negative.

    Raises:
        UnreadableError: n is not written out.
    """
    count, delimiter = node.args["count"], node.args["delimiter"]
    value = count.this if isinstance(count, exp.Neg) else count
    if not is_number(value) or not value.name.isdigit() or not delimiter.is_string or not delimiter.name:
        raise UnreadableError("SUBSTRING_INDEX with a count or a delimiter that is computed")
    pieces = call("STRING_SPLIT", node.this, delimiter)
    first, last = (count, exp.Literal.number(-1)) if value is not count else (exp.Literal.number(1), count)
    return call("ARRAY_TO_STRING", call("LIST_SLICE", pieces, first, last), delimiter.copy())


def _cut_off(node: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:
    """Cut a text off at the length its type has."""
    kind = node.this if isinstance(node, exp.Convert) else node.args["to"]
    if not isinstance(kind, exp.DataType) or kind.this not in exp.DataType.TEXT_TYPES:
        return node
    value = node.expression if isinstance(node, exp.Convert) else node.this
    is_styled = isinstance(node, exp.Convert) and node.args.get("style") is not None
    if dialect in _OWN_SPELLING_OF_MOMENTS and not is_styled and temporal_kind(value, schema) == "TIMESTAMP":
        raise UnreadableError("a moment as text without a format")
    length = kind.expressions[0].this if kind.expressions else None
    kind.set("expressions", None)
    return call("LEFT", node, length) if dialect in _CUTTING and length is not None and is_number(length) else node


def _is_text(node: exp.Expr) -> bool:
    """Tell whether a node gives a text, by its looks."""
    if isinstance(node, exp.Cast):
        return node.to.this in exp.DataType.TEXT_TYPES
    return isinstance(node, _GIVES_TEXT)

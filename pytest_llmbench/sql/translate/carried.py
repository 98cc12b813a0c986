"""Arguments in against arguments out: find what a reading does not carry into the text that runs.

sqlglot builds some functions from their first arguments and drops the rest without a word: read as Spark,
date('now', '-7 days') is today.  No list of functions could be complete, so every literal and column of a statement is
followed by its place in the text.  One that is neither in the tree that is written nor in what is written is a suspect;
whether it counted is then tried: the statement is read again with that one token changed, and if the same text comes
out, the token was dropped.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from pytest_llmbench.sql.nodes import level_by_level
from pytest_llmbench.sql.protocol import Schema

_LITERALS = frozenset({TokenType.STRING, TokenType.NUMBER})
_NAMES = frozenset({TokenType.VAR, TokenType.IDENTIFIER})
_LEAVES = (exp.Literal, exp.Identifier, exp.Var)
_UTC = frozenset({"utc", "etc/utc", "gmt", "z", "+00:00", "+0:00", "00:00"})  # the zone of every clock and column here
_SPENT = "spent"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A token of a statement that may have been dropped: where it stands, and what it is changed to for the trial."""

    start: int
    end: int
    text: str
    changed: str


def spend(node: exp.Expr, *arguments: exp.Expr) -> exp.Expr:
    """Mark arguments that a rewriting took into account although they do not show: the 6 of NOW(6)."""
    starts = [leaf.meta["start"] for argument in arguments for leaf in argument.walk() if "start" in leaf.meta]
    node.meta[_SPENT] = [*node.meta.get(_SPENT, []), *starts]
    return node


@dataclass(frozen=True, slots=True)
class Trace:
    """The literals and columns of a statement: those in the tree that is written, and those that are not."""

    kept: tuple[Token, ...]
    texts: Mapping[str, int]
    missing: tuple[Token, ...]


def traced(source: Sequence[Token], tree: exp.Expr, schema: Schema) -> Trace:
    """Follow the literals and columns of a statement into the tree that is written.

    Args:
        source: the statement's tokens in its dialect.
        tree: the tree, before it is written.
        schema: the tables, for the names of columns.
    """
    candidates = [token for index, token in enumerate(source) if _is_candidate(source, index, schema.columns)]
    if not candidates:
        return Trace((), {}, ())
    places: set[int] = set()
    texts: Counter[str] = Counter()
    untraced: Counter[str] = Counter()
    for node in level_by_level(tree):
        meta = node._meta  # `meta` would make a dict for each node
        if meta is not None and _SPENT in meta:
            places.update(meta[_SPENT])
        if isinstance(node, _LEAVES):
            text = node.name.lower()
            texts[text] += 1
            if meta is not None and "start" in meta:
                places.add(meta["start"])
            else:
                untraced[text] += 1
    kept, missing = [], []
    for token in candidates:
        text = token.text.lower()
        if token.start in places:
            kept.append(token)
        elif token.token_type is not TokenType.NUMBER and untraced[text] > 0:
            untraced[text] -= 1  # a text that sqlglot made anew, like a format
        else:
            missing.append(token)
    return Trace(tuple(kept), texts, tuple(missing))


def suspects(trace: Trace, written: Mapping[str, int]) -> tuple[Suspect, ...]:
    """Give the literals and columns that may be missing in what is to run.

    Args:
        trace: those of the statement.
        written: how often each token is in the text that is to run, in lower case.
    """
    lost = [
        token for token in trace.kept if written.get(token.text.lower(), 0) < trace.texts.get(token.text.lower(), 0)
    ]
    return tuple(_suspect(token) for token in (*trace.missing, *lost))


def dropped(text: str, found: Sequence[Suspect], read: Callable[[str], str | None]) -> str | None:
    """Give the first suspect that a reading drops, as it is written; None where each counts.

    Args:
        text: the statement in its dialect.
        found: what may be missing.
        read: gives the DuckDB text of a statement, None where it has none.
    """
    if not found:
        return None
    expected = read(text)
    for suspect in found:
        changed = text[: suspect.start] + suspect.changed + text[suspect.end :]
        if read(changed) == expected:
            return suspect.text
    return None


def _is_candidate(source: Sequence[Token], index: int, columns: Mapping[str, str]) -> bool:
    """Tell whether a token is a literal or a column; what follows INTERVAL is carried by the parser itself."""
    token = source[index]
    if token.token_type in _LITERALS:
        before = source[index - 1] if index else None
        if before is not None and before.token_type is TokenType.DASH and index > 1:
            before = source[index - 2]
        is_interval = before is not None and before.token_type is TokenType.INTERVAL
        return not is_interval and not _is_utc(token)
    if token.text.lower() not in columns:
        return False
    before = source[index - 1] if index else None
    after = source[index + 1] if index + 1 < len(source) else None
    if after is not None and after.token_type is TokenType.L_PAREN:
        return False
    is_between_commas = (
        before is not None
        and after is not None
        and before.token_type in (TokenType.COMMA, TokenType.L_PAREN)
        and after.token_type in (TokenType.COMMA, TokenType.R_PAREN)
    )
    return token.token_type in _NAMES or is_between_commas


def _is_utc(token: Token) -> bool:
    return token.token_type is TokenType.STRING and token.text.lower() in _UTC


def _suspect(token: Token) -> Suspect:
    """Give the trial of a token: another number, or a text or name with a letter more."""
    start, end = token.start, token.end + 1
    if token.token_type is TokenType.NUMBER:
        is_whole = re.fullmatch(r"\d{1,18}", token.text) is not None
        changed = str(int(token.text) + 1) if is_whole else token.text + "7"
    elif token.token_type is TokenType.STRING:
        changed = "'" + token.text.replace("'", "''") + "x'"
    else:
        changed = "llmbench_other"
    return Suspect(start=start, end=end, text=token.text, changed=changed)

"""Refuse before any parser what no database runs and sqlglot forgives.

A comma with nothing before it, clauses twice or out of order, `ASC DESC`, a keyword where a value must stand, IFNULL of
three values, a bracket left open, and a subscript that some dialects would take for an alias: sqlglot reads all of
these and writes something else that runs.  Found by changing single tokens of queries and comparing with the parsers of
DuckDB and SQLite.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_llmbench.sql.extract.tokens import Kind, Piece, cut

_RANKS = {"from": 1, "where": 2, "group": 3, "having": 4, "qualify": 5, "order": 6, "limit": 7}
_SETS = frozenset({"union", "intersect", "except", "minus"})
_EXPECTS = frozenset(
    """
    select by where having from and or not on distinct union in when then else case like between limit values
    """.split()  # noqa: SIM905 - words read better in a row
)
_BEGINS_NO_VALUE = frozenset(
    "and or in like between then else where having group order limit union on as from".split()  # noqa: SIM905 - same
)
_AFTER_NOT = frozenset({"in", "like", "between"})
_AFTER_AS = frozenset("from where group having order limit union join on and or".split())  # noqa: SIM905 - same
_ENDS_LIST = frozenset("where group having order limit union join inner left right cross on".split())  # noqa: SIM905
_COUNTS = {"ifnull": (2, 2), "isnull": (1, 2)}
"""How many values these take in any database, at least and at most; sqlglot makes COALESCE of them, as of NVL, which
takes more in Redshift."""

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


@dataclass(slots=True)
class _Level:
    """One level of brackets: the clauses of the query in it, in the order they were met."""

    clauses: list[str] = field(default_factory=list)
    has_select: bool = False

    @property
    def is_query(self) -> bool:
        return self.has_select or "from" in self.clauses


def fault(statement: str) -> str | None:
    """Name what no database would run in a statement, None if nothing is found."""
    solid = [piece for piece in cut(statement) if piece.kind not in (Kind.SPACE, Kind.COMMENT)]
    levels = [_Level()]
    for index, piece in enumerate(solid):
        if piece.kind is Kind.SIGN:
            if piece.text == "," and _is_stray(solid, index, levels[-1]):
                before = solid[index - 1].text if index else "the beginning"
                return f'a comma directly behind "{before}" with nothing to separate'
            if piece.text in _OPENING:
                levels.append(_Level())
            elif piece.text in _CLOSING and len(levels) > 1:
                levels.pop()
            elif piece.text == "|" and _text(solid, index + 1) == ">":
                levels[-1] = _Level()  # BigQuery's pipes take clauses in any order
        elif piece.kind is Kind.WORD and not _is_name(solid, index):
            found = _wordless(solid, index) or _miscounted(solid, index) or _misplaced(solid, index, levels[-1])
            if found is not None:
                return found
    if len(levels) > 1:
        return "a bracket that is not closed"
    words = [
        piece.text.lower()
        for index, piece in enumerate(solid)
        if piece.kind is Kind.WORD and not _is_name(solid, index)
    ]
    return "a WHEN without THEN" if words.count("when") > words.count("then") else None


def has_subscript(statement: str) -> bool:
    """Tell whether a bracket is no quoted alias: it stands directly behind an expression, or holds a number."""
    found = cut(statement)
    for index, piece in enumerate(found[1:], 1):
        if piece.text != "[" or piece.kind is not Kind.SIGN:
            continue
        before = found[index - 1]
        is_behind = before.kind in (Kind.DOUBLE, Kind.BACKTICK) or before.text in (")", "]")
        is_behind = is_behind or (before.kind is Kind.WORD and before.text.lower() not in _RANKS.keys() | _EXPECTS)
        inner = found[index + 1] if index + 1 < len(found) else None
        if is_behind or (inner is not None and inner.kind is Kind.NUMBER):
            return True
    return False


def _text(solid: Sequence[Piece], index: int) -> str:
    return solid[index].text.lower() if 0 <= index < len(solid) else ""


def _is_name(solid: Sequence[Piece], index: int) -> bool:
    """Tell whether a word can only be a name where it stands."""
    return "." in (_text(solid, index - 1), _text(solid, index + 1)) or _text(solid, index - 1) == "as"


def _wordless(solid: Sequence[Piece], index: int) -> str | None:
    """Describe a keyword that lacks the value or the name that must follow it, or precede it."""
    word, after, before = _text(solid, index), _text(solid, index + 1), _text(solid, index - 1)
    follows = f"{word.upper()} directly before {after.upper() or 'the end'}"
    if word == "as":
        is_struct = after in ("struct", "value")  # of BigQuery
        is_name = _text(solid, index + 2) in (",", "from", ")", "")
        lacks = after in ("", ",", ")", ";", "select") or (after in _AFTER_AS and not is_name) or before == "("
        return follows if lacks or (before == "select" and not is_struct) else None
    if word == "all":
        return f'ALL behind "{solid[index - 1].text}"' if index and _is_operand(solid, index - 1) else None
    if word == "group":
        return None if after in ("by", "(") else follows
    if word not in _EXPECTS:
        return None
    is_meant = (word == "not" and after in _AFTER_NOT) or (word == "distinct" and after in ("on", "from"))
    is_meant = is_meant or (word == "select" and after in ("as", "from", "")) or word in ("values", "union", "from")
    return follows if (after == "" or after in _BEGINS_NO_VALUE) and not is_meant else None


def _miscounted(solid: Sequence[Piece], index: int) -> str | None:
    """Describe a call with a number of values that no database's function of this name takes."""
    word = _text(solid, index)
    if word not in _COUNTS or _text(solid, index + 1) != "(":
        return None
    depth, values = 0, 0 if _text(solid, index + 2) == ")" else 1
    for piece in solid[index + 1 :]:
        if piece.kind is not Kind.SIGN:
            continue
        depth += (piece.text in _OPENING) - (piece.text in _CLOSING)
        if not depth:
            break
        values += piece.text == "," and depth == 1
    least, most = _COUNTS[word]
    return None if least <= values <= most else f"{word.upper()} with {values} values"


def _is_operand(solid: Sequence[Piece], index: int) -> bool:
    """Tell whether a piece can only end a value."""
    piece = solid[index]
    if piece.kind is Kind.WORD:
        return piece.text.lower() not in _EXPECTS | _SETS | {"all", "like", "ilike", "rows", "any", "some"}
    return piece.kind is not Kind.SIGN or piece.text in ")]"


def _is_stray(solid: Sequence[Piece], index: int, level: _Level) -> bool:
    """Tell whether a comma has nothing before it to separate, or nothing behind it where no list may end so."""
    if index == 0:
        return True
    before = solid[index - 1]
    after = _text(solid, index + 1)
    if (
        level.clauses
        and level.clauses[-1] in ("where", "having", "limit")
        and (after in ("", ")") or after in _ENDS_LIST)
    ):
        return True
    if level.clauses and level.clauses[-1] == "from" and after in _ENDS_LIST:
        return True
    if before.kind is Kind.SIGN:
        return before.text in "([{,"
    return before.kind is Kind.WORD and before.text.lower() in _EXPECTS and not _is_name(solid, index - 1)


def _misplaced(solid: Sequence[Piece], index: int, level: _Level) -> str | None:
    """Name the clause that stands where it cannot, and note it if it stands well."""
    word, after, before = _text(solid, index), _text(solid, index + 1), _text(solid, index - 1)
    if word == "select":
        level.clauses = [] if level.has_select else level.clauses
        level.has_select = True
        return None
    if (
        word in _SETS
        and before != "*"
        and after in ("select", "(", "all", "distinct", "from", "values", "table", "with", "by")
    ):
        late = next((clause for clause in level.clauses if clause in ("order", "limit")), None)
        if late is not None:
            return f"{_written(late)} before {word.upper()}"
        level.clauses, level.has_select = [], False
        return None
    if word in ("asc", "desc") and after in ("asc", "desc") and before not in ("by", ","):
        return f"{word.upper()} {after.upper()}"
    if word == "nulls" and after in ("first", "last") and before in ("first", "last"):
        return "NULLS FIRST or NULLS LAST twice"
    if not _is_clause(word, after, before, solid, index, level):
        return None
    if word in level.clauses:
        return f"{_written(word)} twice"
    later = next((clause for clause in level.clauses if _RANKS[clause] > _RANKS[word]), None)
    if later is not None:
        return f"{_written(word)} behind {_written(later)}"
    level.clauses.append(word)
    return None


def _is_clause(word: str, after: str, before: str, solid: Sequence[Piece], index: int, level: _Level) -> bool:
    """Tell whether a word begins a clause of the query at its level."""
    if word not in _RANKS or (word != "from" and not level.is_query):
        return False
    if word == "from":
        return not (before == "distinct" and _text(solid, index - 2) in ("is", "not"))
    if word in ("group", "order"):
        return after in ("by", "siblings")
    if word in ("limit", "qualify"):
        return before != "," and after not in (
            "",
            ",",
            ")",
            "=",
            "<",
            ">",
            "+",
            "*",
            "/",
            ".",
            "is",
            "in",
            "desc",
            "asc",
            "as",
        )
    return True


def _written(clause: str) -> str:
    return {"group": "GROUP BY", "order": "ORDER BY"}.get(clause, clause.upper())

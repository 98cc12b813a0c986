"""Decide by the schema what a double quote means, before any parser sees the text.

`"Login"` is a string to MySQL and BigQuery and a column to the others; a model writes it without
knowing who will read.  Read as MySQL, COUNT(DISTINCT "user_id") silently counts one constant; read as
Postgres, "Login" is a column that does not exist.  So a double-quoted text is a name where it is a
known table, column or alias, where an alias stands, or beside a dot; else it is a string.  Back quotes are
names in every reading, and a dotted path in them loses what stands before a known table.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_llmbench.sql.extract.tokens import Kind, Piece, cut, unquoted
from pytest_llmbench.sql.protocol import Schema
from pytest_llmbench.sql.translate import limits, to_char

BACKTICK_DIALECTS = frozenset({"mysql", "bigquery", "spark", "clickhouse"})
_BACKSLASH_DIALECTS = frozenset({"bigquery", "spark"})  # no doubled quote inside a string
_COMPARES = frozenset({"=", "<", ">", "!", "like", "ilike", "rlike", "regexp", "then", "else"})
_NOT_AN_OPERAND = frozenset(
    """
    select from where and or not in like ilike is between case when then else on having by distinct as join
    union all except intersect limit offset using with interval date timestamp time any some exists regexp rlike
    similar to escape
    """.split()  # noqa: SIM905 - words read better in a row
)


@dataclass(frozen=True, slots=True)
class Spelled:
    """A piece of a statement: a name, a string, or (`is_name` None) text to leave as it is."""

    text: str
    is_name: bool | None = None


def resolve(statement: str, schema: Schema) -> tuple[Spelled, ...]:
    """Decide for each quoted piece of a statement whether it is a name or a string."""
    # a comment is white space: SELECT/* all */user_id
    found = [Piece(Kind.SPACE, " ", one.start) if one.kind is Kind.COMMENT else one for one in cut(statement)]
    solid = [index for index, piece in enumerate(found) if piece.kind is not Kind.SPACE]
    place = {index: order for order, index in enumerate(solid)}

    def neighbour(index: int, step: int) -> Piece | None:
        order = place[index] + step
        return found[solid[order]] if 0 <= order < len(solid) else None

    names = set(schema.tables) | set(schema.columns) | _aliases(found, solid)
    out: list[Spelled] = []
    for index, piece in enumerate(found):
        if piece.kind is Kind.BACKTICK:
            out.extend(_path(unquoted(piece), schema))
        elif piece.kind is Kind.DOUBLE:
            out.extend(_double(unquoted(piece), neighbour(index, -1), neighbour(index, 1), names, schema))
        elif piece.kind is Kind.STRING and _names_something(piece, neighbour(index, -1), schema):
            out.append(Spelled(unquoted(piece), is_name=True))
        elif piece.text in ("N", "n") and index + 1 < len(found) and found[index + 1].kind is Kind.STRING:
            continue  # T-SQL's national strings: N'Login'
        elif piece.text.lower() in to_char.NAMES and _word(neighbour(index, 1)) == "(":
            out.append(Spelled(to_char.MARK))
        else:
            out.append(Spelled(piece.text))
    return tuple(out)


def spell(spelled: Sequence[Spelled], dialect: str) -> str:
    """Write the pieces in the quotes of one dialect."""
    quote = "`" if dialect in BACKTICK_DIALECTS else '"'
    escaped = "\\'" if dialect in _BACKSLASH_DIALECTS else "''"
    out = []
    for piece in spelled:
        if piece.is_name is None:
            out.append(piece.text)
        elif piece.is_name:
            out.append(quote + piece.text.replace(quote, quote * 2) + quote)
        else:
            out.append("'" + piece.text.replace("'", escaped) + "'")
    text = "".join(out)
    if dialect == "sqlite" and "%" in text:
        return limits.in_brackets(text)
    return limits.without_options(text) if dialect == "tsql" else text


def _word(piece: Piece | None) -> str:
    return piece.text.lower() if piece is not None and piece.kind in (Kind.WORD, Kind.SIGN) else ""


def _is_operand(piece: Piece | None) -> bool:
    """Tell whether a piece ends an expression, so that a quoted text behind it can only be its alias."""
    if piece is None:
        return False
    if piece.kind is Kind.WORD:
        return piece.text.lower() not in _NOT_AN_OPERAND
    return piece.text in (")", "]") or piece.kind in (Kind.NUMBER, Kind.BACKTICK)


def _aliases(found: Sequence[Piece], solid: Sequence[int]) -> set[str]:
    """Collect the names a statement gives: behind AS, before `AS (`, and quoted behind an expression."""
    names: set[str] = set()
    for order, index in enumerate(solid):
        piece = found[index]
        before = found[solid[order - 1]] if order else None
        after = found[solid[order + 1]] if order + 1 < len(solid) else None
        is_nameable = piece.kind in (Kind.WORD, Kind.DOUBLE, Kind.BACKTICK, Kind.STRING)
        is_common_table = _word(before) in ("with", "recursive", ",") and _word(after) == "as"
        if is_nameable and (_word(before) == "as" or is_common_table):
            names.add((piece.text if piece.kind is Kind.WORD else unquoted(piece)).lower())
        elif piece.kind is Kind.DOUBLE and _is_operand(before) and _word(after) in ("", ",", "from", ")"):
            names.add(unquoted(piece).lower())
    return names


def _double(
    text: str, before: Piece | None, after: Piece | None, names: set[str], schema: Schema
) -> tuple[Spelled, ...]:
    """Decide one double-quoted text."""
    if "." in (_word(before), _word(after)):
        return _path(text, schema)
    if _word(before) in ("from", "join") and text.lower().rpartition(".")[2] in schema.tables:
        return _path(text, schema)
    if _word(before) in _COMPARES and text.lower() in schema.columns and text != text.lower():
        return (Spelled(text, is_name=False),)  # = "Login" beside a column login
    is_call = after is not None and after.text == "(" and _word(before) != "in"
    is_name = is_call or text.lower() in names or _word(before) == "as" or _is_operand(before)
    return (Spelled(text, is_name=is_name),)


def _names_something(piece: Piece, before: Piece | None, schema: Schema) -> bool:
    """Tell whether a single-quoted text stands for a name: an alias behind AS, a known table behind FROM."""
    if _word(before) == "as":
        return True
    return _word(before) in ("from", "join") and unquoted(piece).lower() in schema.tables


def _path(text: str, schema: Schema) -> tuple[Spelled, ...]:
    """Give the name a quoted path stands for: `project.dataset.events` is events, `events.user_id` two names."""
    parts = text.split(".")
    if len(parts) == 1 or not all(parts):
        return (Spelled(text, is_name=True),)
    known = [index for index, part in enumerate(parts) if part.lower() in schema.tables]
    if not known:
        return (Spelled(text, is_name=True),)
    out: list[Spelled] = []
    for part in parts[known[-1] :]:
        out.extend((Spelled("."), Spelled(part, is_name=True)) if out else (Spelled(part, is_name=True),))
    return tuple(out)

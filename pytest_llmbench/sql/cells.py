"""The values of a query's result, and when two of them are equal (docs/sql.md, "Values").

NULL equals NULL.  Whole numbers and decimals are compared exactly.  A DOUBLE is compared within 1e-9, relative, and
within 1e-6 where single precision (REAL) is involved.  A struct equals a struct with the same fields, a map a map
with the same entries, a list a list with the same items; none of the three equals another.  Texts are compared letter
by letter, in Unicode's composed form (NFC).
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

Cell: TypeAlias = (
    "bool | int | float | Decimal | str | datetime | time | timedelta | tuple[Cell, ...] | Struct | Entries | None"
)
Row: TypeAlias = tuple[Cell, ...]

RELATIVE_TOLERANCE = 1e-9
"""How far two DOUBLE values may be apart: sums in another order differ in their last digits."""

SINGLE_TOLERANCE = 1e-6
"""The same where a REAL is involved: it is off by up to 6e-8, and sums of it by more."""

NUMBERS = (int, float, Decimal)


@dataclass(frozen=True, slots=True)
class Struct:
    """A STRUCT: its fields, names in lower case and sorted; those of a ROW have no names and keep their order."""

    fields: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """A MAP: its keys and values."""

    items: tuple[tuple[Cell, Cell], ...]


class Near(float):
    """A number of single precision: compared with tolerance even if it is whole."""


def plain(value: object, kind: Any = None) -> Cell:
    """Bring a value as DuckDB gives it to one of few plain kinds; a day becomes its midnight.

    Args:
        value: what was fetched.
        kind: the DuckDB type, which tells a map from a struct; only needed where there are such.
    """
    if value is None or isinstance(value, bool | int | float | Decimal | time | timedelta):
        return value
    if isinstance(value, str):
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None) - (value.utcoffset() or timedelta())
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, dict | list | tuple):
        return _nested(value, kind)
    return value.hex() if isinstance(value, bytes) else str(value)


def _nested(value: Mapping[Any, object] | Sequence[object], kind: Any) -> Cell:
    """Bring a struct, a map or a list to its plain kind."""
    name = None if kind is None else kind.id
    kinds = dict(kind.children) if name in ("struct", "map", "list", "array") else {}
    if isinstance(value, Mapping):
        if name == "map":
            pairs = [(plain(key, kinds["key"]), plain(item, kinds["value"])) for key, item in value.items()]
            return Entries(tuple(sorted(pairs, key=repr)))
        return Struct(tuple(sorted((str(key).lower(), plain(item, kinds.get(key))) for key, item in value.items())))
    if name == "tuple":
        return Struct(tuple(("", plain(item, child)) for item, (_, child) in zip(value, kind.children, strict=True)))
    return tuple(plain(item, kinds.get("child")) for item in value)


def is_same(one: Cell, other: Cell) -> bool:
    """Tell whether two values are equal."""
    if isinstance(one, NUMBERS) and isinstance(other, NUMBERS):
        return _is_same_number(one, other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return is_same_row(one, other)
    if isinstance(one, Struct) and isinstance(other, Struct):
        return [name for name, _ in one.fields] == [name for name, _ in other.fields] and all(
            is_same(left, right) for (_, left), (_, right) in zip(one.fields, other.fields, strict=True)
        )
    if isinstance(one, Entries) and isinstance(other, Entries):
        return len(one.items) == len(other.items) and all(map(is_same_row, one.items, other.items))
    return type(one) is type(other) and one == other


def is_same_row(one: Row, other: Row) -> bool:
    """Tell whether two rows, or two lists, hold equal values in the same places."""
    return len(one) == len(other) and all(map(is_same, one, other))


def _is_same_number(one: float | Decimal, other: float | Decimal) -> bool:
    if one == other:
        return True
    if not isinstance(one, float) and not isinstance(other, float):
        return False
    left, right = float(one), float(other)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    is_near = isinstance(one, Near) or isinstance(other, Near)
    if left.is_integer() and right.is_integer() and not is_near:
        return False
    tolerance = SINGLE_TOLERANCE if is_near else RELATIVE_TOLERANCE
    return math.isclose(left, right, rel_tol=tolerance, abs_tol=1e-12)


def key_of(cell: Cell) -> object:
    """Give something hashable that equal values share, but for tolerance; True is 1 and 5.0 is 5."""
    if isinstance(cell, float) and math.isnan(cell):
        return "nan"
    if isinstance(cell, tuple):
        return ("tuple", *map(key_of, cell))
    if isinstance(cell, Struct):
        return ("struct", *((name, key_of(item)) for name, item in cell.fields))
    if isinstance(cell, Entries):
        return ("map", *((key_of(key), key_of(item)) for key, item in cell.items))
    return cell if isinstance(cell, NUMBERS) or cell is None else (type(cell).__name__, cell)

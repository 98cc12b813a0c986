"""Pair the rows of two results: first those that are the same to the last digit, then those within the tolerance."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_llmbench.sql.cells import NUMBERS, SINGLE_TOLERANCE, Cell, Row, is_same_row, key_of


def are_same_rows(one: Sequence[Row], other: Sequence[Row]) -> bool:
    """Tell whether two multisets of rows, columns in the same places, are equal within the tolerance."""
    if len(one) != len(other):
        return False
    left, right = unpaired(one, other)
    return not left and not right


def unpaired(one: Sequence[Row], other: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Give the rows of either side that have no equal on the other, in their order."""
    left, right = _without_equal(one, other)
    groups: dict[tuple[object, ...], tuple[list[int], list[int]]] = {}
    for side, rows in enumerate((left, right)):
        for place, row in enumerate(rows):
            groups.setdefault(tuple(map(_shape, row)), ([], []))[side].append(place)
    gone_left: set[int] = set()
    gone_right: set[int] = set()
    for places_left, places_right in groups.values():
        for place, partner in _pairs(left, places_left, right, places_right):
            gone_left.add(place)
            gone_right.add(partner)
    return (
        [row for place, row in enumerate(left) if place not in gone_left],
        [row for place, row in enumerate(right) if place not in gone_right],
    )


def _shape(cell: Cell) -> object:
    """Give what equal values share even where they differ within the tolerance."""
    if isinstance(cell, NUMBERS):
        return "number"
    return type(cell).__name__ if type(cell).__name__ in ("tuple", "Struct", "Entries") else key_of(cell)


def _pairs(
    left: Sequence[Row], places_left: Sequence[int], right: Sequence[Row], places_right: Sequence[int]
) -> Iterable[tuple[int, int]]:
    """Give each row the first partner that is the same, looked for where one of its numbers is near enough."""
    if not places_left or not places_right:
        return
    column = _telling_column([left[place] for place in places_left])
    ordered = sorted(places_right, key=lambda place: _sortable(right[place][column]))
    numbers = [_sortable(right[place][column]) for place in ordered]
    free = [True] * len(ordered)
    for place in places_left:
        number = _sortable(left[place][column])
        reach = abs(number) * SINGLE_TOLERANCE * 1.01 + 1e-12 if abs(number) != float("inf") else 0.0
        for index in range(bisect_left(numbers, number - reach), bisect_right(numbers, number + reach)):
            if free[index] and is_same_row(left[place], right[ordered[index]]):
                free[index] = False
                yield place, ordered[index]
                break


def _telling_column(rows: Sequence[Row]) -> int:
    """Give the column whose numbers differ most often: it leaves the fewest rows to look at."""
    columns = [index for index, cell in enumerate(rows[0]) if isinstance(cell, NUMBERS)]
    return max(columns or [0], key=lambda index: len({key_of(row[index]) for row in rows}))


def _sortable(cell: Cell) -> float:
    """Give a number to sort by; what is none, and NaN, comes first."""
    return float(cell) if isinstance(cell, NUMBERS) and cell == cell else float("-inf")


def _without_equal(one: Sequence[Row], other: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Take off the rows that both sides have exactly, as often as both have them."""
    count_one = Counter(tuple(map(key_of, row)) for row in one)
    count_other = Counter(tuple(map(key_of, row)) for row in other)
    return _rest(one, count_one - count_other), _rest(other, count_other - count_one)


def _rest(rows: Sequence[Row], surplus: Counter[tuple[object, ...]]) -> list[Row]:
    rest = []
    for row in rows:
        key = tuple(map(key_of, row))
        if surplus[key] > 0:
            surplus[key] -= 1
            rest.append(row)
    return rest

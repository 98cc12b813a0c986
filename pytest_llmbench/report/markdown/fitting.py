"""Blocks of a page of limited size: whole rows are left out, and the page says how many. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.report.format import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a page: lines around rows. `noun` names one of its rows; `rows` alone may be left out in part."""

    before: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    noun: str = "row"


def fitted(blocks: Sequence[Block], max_bytes: int) -> str:
    """Put blocks together in their order, which is that of their weight, in at most so many bytes.

    The first block is there whatever its size.
    """
    limit = f"{max_bytes / 1000:g} kB"
    lines: list[str] = []
    room = max_bytes - _size([_left_out(10**9, "row", limit)])
    left_out = 0
    for place, block in enumerate(blocks):
        kept = list(_kept(block, room, limit))
        if place and not kept:
            left_out += max(len(block.rows), 1)
            continue
        lines += kept
        room -= _size(kept)
    if left_out:
        lines.append(_left_out(left_out, "row", limit))
    return "\n".join([*lines, ""])


def _kept(block: Block, room: int, limit: str) -> Iterator[str]:
    """Give the lines of a block that fit; none where not even a row does."""
    note = _left_out(len(block.rows), block.noun, limit)
    if _size([*block.before, *block.rows, *block.after]) <= room:
        yield from (*block.before, *block.rows, *block.after)
        return
    room -= _size([*block.before, "", note, *block.after])
    kept = 0
    for row in block.rows:
        room -= _size([row])
        if room < 0:
            break
        kept += 1
    if kept:
        yield from (*block.before, *block.rows[:kept], "")
        yield _left_out(len(block.rows) - kept, block.noun, limit)
        yield from block.after


def _left_out(count: int, noun: str, limit: str) -> str:
    return f"{counted(count, f'more {noun}')} left out: this page holds at most {limit}."


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)

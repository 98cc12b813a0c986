"""The look of what a terminal shows: lines of spans, each with a style; folded to the terminal's width.

Knows no terminal: who writes the lines gives each style its colour, or none.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from textwrap import wrap
from typing import TypeAlias

from pytest_llmbench.report.safe_text import visible


class Style(Enum):
    """What a span is, by which it gets its colour."""

    PLAIN = "plain"
    TITLE = "title"
    GOOD = "good"
    BAD = "bad"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class Span:
    """A text in one style."""

    text: str
    style: Style = Style.PLAIN


Styled: TypeAlias = tuple[Span, ...]
"""One line of the terminal."""


def plain(line: Styled) -> str:
    """Give the text of a line."""
    return "".join(span.text for span in line)


def folded(first: Sequence[Span], text: str, width: int | None, style: Style = Style.PLAIN) -> Iterator[Styled]:
    """Fold a text that follows the beginning of its line; the lines below it stand further in.

    Args:
        first: how the line begins.
        text: what follows, a sentence or few.
        width: of the terminal; None where lines may be of any length.
        style: of the text.
    """
    begun, text = plain(tuple(first)), text.replace("\n", " ")
    if width is None or len(begun) + len(text) <= width:
        yield _trimmed([*first, Span(text, style)])
        return
    is_beside = not begun.strip() or width - len(begun) >= _ROOM
    indent = len(begun) if is_beside and begun.strip() else len(begun) - len(begun.lstrip()) + _STEP
    if not is_beside:
        yield _trimmed(list(first))
    pieces = wrap(text, max(width - indent, _ROOM), break_on_hyphens=False, break_long_words=False)
    for place, piece in enumerate(pieces):
        beginning = first if is_beside and place == 0 else (Span(" " * indent),)
        # at the beginning of a line a piece may be what a log obeys
        yield _trimmed([*beginning, Span(visible(piece), style)])


_ROOM = 24  # characters beside what a line begins with, below which the text stands under it
_STEP = 2


def table(rows: Sequence[Sequence[Span]], are_left: Sequence[bool]) -> Iterator[Styled]:
    """Lay cells out in columns two blanks apart, set to the left or to the right."""
    widths = [max(len(row[place].text) for row in rows) for place in range(len(are_left))]
    for row in rows:
        line: list[Span] = []
        for place, (cell, width, is_left) in enumerate(zip(row, widths, are_left, strict=True)):
            gap = "" if place == 0 else "  "
            padding = " " * (width - len(cell.text))
            line += [Span(gap), cell, Span(padding)] if is_left else [Span(gap + padding), cell]
        yield _trimmed(line)


def _trimmed(line: list[Span]) -> Styled:
    while line and not line[-1].text.strip():
        line.pop()
    if line:
        line[-1] = Span(line[-1].text.rstrip(), line[-1].style)
    return tuple(span for span in line if span.text)

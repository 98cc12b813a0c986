"""Lines of a terminal: folded to its width, laid out in columns, each span in its style."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.report.terminal.layout import Span, Style, Styled, folded, plain, table

WORDS = "one two three four five six seven eight nine ten"


def texts(lines: object) -> list[str]:
    return [plain(line) for line in lines]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (None, [f"suite  {WORDS}"]),
        (80, [f"suite  {WORDS}"]),
        (40, ["suite  one two three four five six seven", "       eight nine ten"]),
        (31, ["suite  one two three four five", "       six seven eight nine ten"]),
        (30, ["suite", "  one two three four five six", "  seven eight nine ten"]),
    ],
)
def test_a_text_is_folded_beside_its_name_or_below_it(width: int | None, lines: list[str]) -> None:
    """Where the name leaves too little room the text stands under it, two blanks further in."""
    assert texts(folded((Span("suite  "),), WORDS, width)) == lines


def test_what_begins_with_blanks_alone_goes_on_further_in() -> None:
    """So that it is seen where the next begins."""
    assert texts(folded((Span("  "),), WORDS, 30)) == ["  one two three four five", "    six seven eight nine ten"]


def test_a_folded_text_keeps_its_style() -> None:
    """Every piece has it, and the blanks before it have none."""
    lines = list(folded((Span("a "),), WORDS, 30, Style.BAD))

    assert [[span.style for span in line] for line in lines] == [[Style.PLAIN, Style.BAD]] * len(lines)
    assert len(lines) > 1


@given(st.integers(30, 200), st.lists(st.text("abc ", min_size=1, max_size=20), max_size=20))
def test_no_folded_line_is_wider_than_the_terminal(width: int, words: list[str]) -> None:
    """As long as no word is, and every word is there."""
    text = " ".join(words).strip()

    lines = texts(folded((Span("name  "),), text, width))

    assert all(len(line) <= width for line in lines)
    assert " ".join(lines).split() == ["name", *text.split()]


def test_cells_stand_in_columns() -> None:
    """To the left or to the right, two blanks apart, no blanks at the end of a line."""
    rows: list[Styled] = [(Span("a", Style.TITLE), Span("number"), Span("b")), (Span("long"), Span("1"), Span(""))]

    lines = list(table(rows, [True, False, True]))

    assert texts(lines) == ["a     number  b", "long       1"]
    assert lines[0][0] == Span("a", Style.TITLE)

"""A page that keeps a size: whole rows are left out, and what was left out is said."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.report.markdown.fitting import Block, fitted

HEAD = Block(before=("# head",))


def test_what_fits_is_all_there() -> None:
    """Blocks follow in their order."""
    table = Block(before=("", "| a |"), rows=("| 1 |", "| 2 |"), after=("end",))

    assert fitted([HEAD, table], 1000) == "# head\n\n| a |\n| 1 |\n| 2 |\nend\n"


def test_rows_are_left_out_whole_and_counted() -> None:
    """Below the rows that fit stands how many do not; what closes the block is there all the same."""
    table = Block(
        before=("<details>",), rows=tuple(f"| {i:0100} |" for i in range(50)), after=("</details>",), noun="case"
    )

    page = fitted([HEAD, table], 1500)

    lines = page.split("\n")
    rows = [line for line in lines if line.startswith("| ")]
    assert rows == list(table.rows[: len(rows)])
    assert lines[-4:] == [
        "",
        f"{50 - len(rows)} more cases left out: this page holds at most 1.5 kB.",
        "</details>",
        "",
    ]
    assert 1200 < len(page.encode()) <= 1500


def test_a_block_of_which_nothing_fits_is_counted_at_the_end() -> None:
    """Its frame alone would say nothing; what comes behind it may still fit."""
    big = Block(before=("big",), rows=("x" * 900,) * 3, after=("end",))
    small = Block(before=("small",), rows=("y",))

    page = fitted([HEAD, big, small], 300)

    assert page == "# head\nsmall\ny\n3 more rows left out: this page holds at most 0.3 kB.\n"


BLOCKS = st.builds(
    Block,
    before=st.lists(st.text("aß☃", max_size=40), max_size=3).map(tuple),
    rows=st.lists(st.text("aß☃", max_size=40), max_size=30).map(tuple),
    after=st.lists(st.text("z", max_size=10), max_size=2).map(tuple),
)


@given(st.lists(BLOCKS, max_size=6), st.integers(300, 3000))
def test_no_page_is_larger_than_its_limit(blocks: list[Block], max_bytes: int) -> None:
    """In bytes, not characters; and every row is there or counted."""
    page = fitted([HEAD, *blocks], max_bytes)

    assert len(page.encode()) <= max_bytes
    if "left out" not in page:
        assert page == "\n".join(["# head", *(x for b in blocks for x in (*b.before, *b.rows, *b.after)), ""])

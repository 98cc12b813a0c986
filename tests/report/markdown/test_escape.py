"""Nothing from outside acts in Markdown: proved by GitHub's parser and a second one."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.report.markdown.escape import APART, cell, escaped, fenced, in_html, table_head, table_row
from pytest_llmbench.report.safe_text import clipped, visible

Render = Callable[[str], Any]

PLACES = {
    "a cell": "| a | b |\n|---|---|\n| {} | end |\n| next | row |\n",
    "an item of a list": "- {}\n- end\n",
    "a heading": "## {}\n\nend\n",
    "bold": "**{}**\n\nend\n",
    "a paragraph": "{}\n\nend\n",
    "a quote": "> {}\n\nend\n",
}


def test_a_payload_becomes_nothing_but_its_text(payload: Any, render: Render) -> None:
    """In every place the page has the tags of a harmless word, the text is shown, and nobody is called."""
    text = clipped(payload.text, 2000)

    for place in PLACES.values():
        page, harmless = render(place.format(escaped(text))), render(place.format("word"))

        if escaped(text):  # a text of blanks leaves no paragraph
            assert page.tags == harmless.tags
        assert (page.comments, page.calls) == ([], [])
        assert " ".join(visible(text).split()) in page.text


def test_a_payload_stays_in_the_element_it_stands_in(payloads: tuple[Any, ...], render: Render) -> None:
    """The line that a reader unfolds is HTML, where no Markdown is read."""
    fold = "<details><summary>{}</summary>\n\n- end\n\n</details>\n"
    harmless = render(fold.format("word"))

    for payload in payloads:
        text = clipped(payload.text, 2000)
        page = render(fold.format(in_html(text)))

        assert page.tags == harmless.tags, payload.name
        assert (page.comments, page.calls) == ([], []), payload.name
        assert " ".join(visible(text).split()) in page.text, payload.name


def test_a_payload_stays_in_its_cell_with_its_lines(payloads: tuple[Any, ...], render: Render) -> None:
    """Only the line breaks of the table's own making are tags."""
    harmless = render("| a | b |\n|---|---|\n| x | end |")

    for payload in payloads:
        shown = cell(payload.text, 400)
        page = render("\n".join([*table_head(["a", "b"]), table_row([shown, "end"])]))

        assert [tag for tag in page.tags if tag.startswith("br")] == ["br"] * shown.count("<br>"), payload.name
        assert [tag for tag in page.tags if not tag.startswith("br")] == harmless.tags, payload.name
        assert (page.comments, page.calls) == ([], []), payload.name


def test_a_payload_stays_in_its_block_of_code(payloads: tuple[Any, ...], render: Render) -> None:
    """A fence longer than any in the text keeps it; what follows is Markdown again, and no line begins with a word."""
    harmless = render("```\nx\n```\n\n**end**")

    for payload in payloads:
        block = list(fenced(payload.text))
        page = render("\n".join([*block, "", "**end**"]))

        assert page.tags == harmless.tags, payload.name
        assert (page.comments, page.calls) == ([], []), payload.name
        assert page.text.strip() == "end", payload.name
        assert all(line.startswith(" ") for line in block), payload.name


@given(st.text(st.characters(), max_size=80))
def test_what_is_escaped_is_one_line_without_bars_and_tags(text: str) -> None:
    """Whatever the text, a table cannot be left, and no tag begins."""
    shown = escaped(text)

    assert not set(shown) & set("\n\r|<>")
    assert shown == shown.strip()


SHOWN = {
    "50.0% -> 84.1% (+0.6 points, 90% interval -1.0 to +2.3; margin 5)": (
        "50.0% -&gt; 84.1% (+0.6 points, 90% interval -1.0 to +2.3; margin 5)"
    ),
    "llama-7b-published [gpt-4]": r"llama-7b-published \[gpt-4\]",
    "1. one": r"1\. one",
    "2026-01-31 12:00": "2026-01-31 12:00",
    "a  b\n\tc": "a b c",
    "#12": rf"\#{APART}12",
    "x@y.org": rf"x\@{APART}y\.org",
    "": "",
}


@pytest.mark.parametrize(("text", "shown"), SHOWN.items())
def test_what_we_say_ourselves_stays_readable_unrendered(text: str, shown: str) -> None:
    """`compare --format markdown` is read in a terminal too: only what would act is escaped."""
    assert escaped(text) == shown


def test_a_long_text_is_cut_in_its_cell() -> None:
    """A row has a bounded length whatever a model says."""
    assert len(cell("<" * 1_000_000, 300)) < 300 * 4 + 100

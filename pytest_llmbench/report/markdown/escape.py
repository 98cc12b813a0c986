r"""Texts from outside made plain in Markdown, and the tables and blocks they stand in. Pure functions.

Backslashes and entities keep a text from being CommonMark or one of GitHub's extensions.  What a forge looks
for in the finished text (mentions, issues, commits, addresses, emoji) they do not hide: there a zero-width
space stands in between, which nobody sees and which a copied text keeps.  Words that a forge was configured
to link (`TEAM-1`) stay as they are.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from html import escape

from pytest_llmbench.report.safe_text import clipped, visible

APART = "\u200b"
"""A zero-width space, to part what would be read as one."""

_MAX_FENCED = 600

_CALLS = re.compile(
    r"""
      (?<=[@\#!&$%~])(?=[\w"'])       # @name, #1, GitLab's !1 &1 $1 %"milestone" ~label, and a@host
    | (?<=:)(?=[\w+-]+:)              # :emoji:
    | (?<=:)(?=//)                    # https://
    | (?<=(?i:\bwww))(?=\.)
    | (?<=(?i:\bgh-))(?=\d)
    """,
    re.VERBOSE,
)
_COMMIT = re.compile(r"(?i)\b[0-9a-f]{7,40}\b")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;"}  # tables are split before escapes are read
_MARKUP = re.compile(
    r"""
      [<>&|]
    | [\\`*_\[\]~$\#@]
    | ^[-+=:]                         # lists, underlines of headings, definitions
    | (?<=\w)\.(?=[^\W\d_])           # hosts without a scheme, which some renderers link
    | :(?=\u200b?//) | (?<=/)/
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"^(\d{1,9})(?=[.)](?: |$))")  # of a list


def escaped(text: str) -> str:
    """Make a text from outside plain in Markdown, on one line, in a table too."""
    plain = _MARKUP.sub(lambda found: _ENTITIES.get(found.group(), "\\" + found.group()), _apart(text))
    return _NUMBER.sub(r"\1\\", plain)


def in_html(text: str) -> str:
    """Make a text from outside plain, on one line, within an element of HTML that stands in Markdown."""
    return escape(_apart(text))


def _apart(text: str) -> str:
    plain = _CALLS.sub(APART, " ".join(visible(text).split()))
    return _COMMIT.sub(lambda found: APART.join(re.findall(".{1,6}", found.group())), plain)


def cell(text: str, max_characters: int) -> str:
    """Make a text plain for a cell of a table, its lines below each other."""
    lines = clipped(text.strip(), max_characters).splitlines()
    return "<br>".join(found for line in lines if (found := escaped(line)))


def table_row(cells: Iterable[str]) -> str:
    """Give a row of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def table_head(titles: Sequence[str], numbers: Collection[str] = ()) -> tuple[str, str]:
    """Give the two lines that begin a table; the columns titled as in `numbers` are set to the right."""
    return table_row(titles), table_row("---:" if title in numbers else "---" for title in titles)


def fenced(text: str, max_characters: int | None = _MAX_FENCED) -> Iterator[str]:
    """Put a text from outside, clipped unless `max_characters` is None, into a code block it cannot get out of."""
    stripped = text.strip("\n")
    safe = visible(stripped if max_characters is None else clipped(stripped, max_characters))
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", safe)), 3)
    # a blank before each line, which the renderer takes away: bots obey lines that begin with a command
    yield f" {fence}"
    yield from (f" {line}" for line in safe.split("\n"))
    yield f" {fence}"

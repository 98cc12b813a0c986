"""Markdown as its readers see it: rendered by GitHub's own parser and by a second one."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from markdown_it import MarkdownIt


@dataclass
class Page:
    """What a rendered text has become: its tags with their attributes, its comments, its texts."""

    tags: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All texts, without what parts words invisibly."""
        return "".join(self.texts).replace("\u200b", "")

    @property
    def calls(self) -> list[str]:
        """What a forge would link in the texts, or call: its filters run on the texts of the rendered page."""
        patterns = (
            r"(?i)(?:^|[^\w@/])@[a-z0-9][\w-]*",
            r"(?:^|[^\w])(?:[\w.-]+/[\w.-]+)?[#!$%&~](?:\d+|[\"'])",
            r"(?i)\bgh-\d+",
            r"(?i)\b[0-9a-f]{7,40}\b",
            r"(?i)\bhttps?://|\bftp://|\bwww\.\S",
            r"[\w.+-]+@[\w-]+\.\w",
            r":[\w+-]+:",
        )
        return [found.group() for text in self.texts for pattern in patterns for found in re.finditer(pattern, text)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._is_code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append(tag + "".join(f" {name}={value}" for name, value in attrs))
        self._is_code += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self.page.tags.append(f"/{tag}")
        self._is_code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        # forges leave code alone
        if not self._is_code:
            self.page.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.page.comments.append(data.strip())

    def handle_decl(self, decl: str) -> None:
        self.page.tags.append(f"!{decl}")

    def unknown_decl(self, data: str) -> None:
        self.page.tags.append(f"![{data}")

    def handle_pi(self, data: str) -> None:
        self.page.tags.append(f"?{data}")


Render = Callable[[str], Page]


def _with_github_s_parser(text: str) -> str:
    found: str = cmarkgfm.github_flavored_markdown_to_html(
        text, options=Options.CMARK_OPT_UNSAFE | Options.CMARK_OPT_FOOTNOTES
    )
    return found


def _with_markdown_it(text: str) -> str:
    # links hosts without a scheme too, which GitHub does not
    return MarkdownIt("gfm-like", {"html": True, "linkify": True}).render(text)


def _page(html: str) -> Page:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page


@pytest.fixture(params=[_with_github_s_parser, _with_markdown_it], ids=["cmark-gfm", "markdown-it"])
def render(request: pytest.FixtureRequest) -> Render:
    """Render Markdown with everything on that could act: raw HTML, tables, links, footnotes."""
    return lambda text: _page(request.param(text))


@pytest.fixture
def render_as_github() -> Render:
    """Render a whole page with GitHub's parser alone."""
    return lambda text: _page(_with_github_s_parser(text))

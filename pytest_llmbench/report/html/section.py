"""A section of the page: a template with its values, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of the page.

    `name` is the id of its element, `title` its name in the list of sections at the top (none: it is not listed).
    `template` is the text of a Jinja2 template, `values` what it names beside `subject`; whatever it prints is
    escaped.  Sections that follow each other with `is_half` stand beside each other.  `data` is for the script.
    """

    name: str
    title: str | None
    template: str
    values: Mapping[str, Any]
    is_half: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)


def template(name: str) -> str:
    """Read a template of this package."""
    return files("pytest_llmbench.report.html").joinpath("templates", name).read_text(encoding="utf-8")

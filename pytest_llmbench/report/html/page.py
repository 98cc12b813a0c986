"""The page: templates filled, data packed, and a policy under which nothing but its own script runs.

Model output is hostile.  It reaches the page in two ways: as text that the templates escape, and as JSON that the
script puts into text nodes alone.  The content security policy allows the one script and the one style sheet by their
digests and nothing else: no handler in an attribute, no address, no request.  Characters that hide or turn text around
are shown as escapes.  What the policy does not protect from: a reader who copies an answer into a shell.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from itertools import groupby
from typing import Any, TypeAlias

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from pytest_llmbench.report.format import counted
from pytest_llmbench.report.html import cases, gate, labels, latency, provenance, scores, speed, timeline, trust
from pytest_llmbench.report.html.format import stamp
from pytest_llmbench.report.html.section import Section, template
from pytest_llmbench.report.html.subject import Subject, link
from pytest_llmbench.report.html.svg import legend, legend_marker
from pytest_llmbench.report.safe_text import visible

PACKED_FROM = 2_000_000
"""Characters of data from which they are compressed."""

SCRIPTS = ("text.js", "data.js", "annotations.js", "answers.js", "list.js")
STYLES = ("base.css", "sections.css", "cases.css", "narrow.css")

SectionMaker: TypeAlias = Callable[[Subject], Section | None]
"""Makes a section of the page; None where there is nothing to show."""

SECTIONS: tuple[SectionMaker, ...] = (
    gate.section,
    scores.section,
    speed.section,
    labels.section,
    timeline.section,
    trust.section,
    latency.section,
    cases.section,
    provenance.section,
)
"""The sections of the page in their order; each module brings its template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What the script reads, as it stands in the page."""

    text: Markup
    packing: str


def html_report(subject: Subject, sections: Sequence[SectionMaker] = SECTIONS) -> str:
    """Write the page; the same subject gives the same bytes."""
    made = [section for make in sections if (section := make(subject)) is not None]
    script, style = _script(), _style()
    return _compiled(template("page.html")).render(
        subject=subject,
        made=stamp(subject.run.datetime, subject.run.commit),
        sections=made,
        rows=[(is_half, _rendered(several, subject)) for is_half, several in groupby(made, lambda s: s.is_half)],
        data=_data({key: value for section in made for key, value in section.data.items()}),
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy(script, style),
    )


def _rendered(sections: Iterable[Section], subject: Subject) -> list[Markup]:
    # the environment escapes what a template prints
    return [Markup(_compiled(one.template).render(subject=subject, **one.values)) for one in sections]  # noqa: S704


@cache
def _compiled(text: str) -> Template:
    return _environment().from_string(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"link": link, "marker": legend_marker, "legend": legend, "counted": counted}
    return environment


def _shown(value: Any) -> Any:
    """Make what a template prints safe to look at; markup of our own is as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _script() -> str:
    """Give the script: its files in one function, so that they share names and nothing else sees these."""
    parts = "\n".join(_asset("script", name) for name in SCRIPTS)
    return f'(async () => {{\n"use strict";\n{parts}}})();'


def _style() -> str:
    return "\n".join(_asset("style", name) for name in STYLES)


def _asset(folder: str, name: str) -> str:
    return files("pytest_llmbench.report.html").joinpath(folder, name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    def digest(text: str) -> str:
        return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {digest(script)}; style-src {digest(style)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(content: Mapping[str, Any]) -> Data:
    """Write data so that it cannot leave its element: in ASCII, without a single `<`; compressed where it is long."""
    text = json.dumps(content, separators=(",", ":"))
    if len(text) < PACKED_FROM:
        escaped = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        return Data(text=Markup(escaped), packing="none")  # noqa: S704 - no character that HTML knows is left in it
    # no time stamp: the same data are the same bytes
    coded = b64encode(gzip.compress(text.encode("ascii"), compresslevel=4, mtime=0)).decode("ascii")
    return Data(text=Markup(coded), packing="gzip")  # noqa: S704 - letters, digits, +, / and =

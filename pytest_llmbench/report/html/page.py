"""The page: templates filled, data packed, and a policy under which nothing but its own script runs.

Model output is hostile.  It reaches the page in two ways: as text that the templates escape, and as JSON that the
script puts into text nodes alone.  The content security policy allows the one script and the one style sheet by their
digests and nothing else: no handler in an attribute, no address, no request.  Characters that hide or turn text around
are shown as escapes.  What the policy does not protect from: a reader who copies an answer into a shell.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from pytest_llmbench.report.html import cases, gate, labels, provenance, scores, speed, timeline, trust
from pytest_llmbench.report.html.format import stamp
from pytest_llmbench.report.html.prompts import Wording
from pytest_llmbench.report.html.subject import Subject, link
from pytest_llmbench.report.html.svg import legend_marker
from pytest_llmbench.report.safe_text import visible

PACKED_FROM = 2_000_000
"""Characters of data from which they are compressed."""

_HERE = "pytest_llmbench.report.html"
TEMPLATES = ("page.html", "sections.html", "cases.html")
SCRIPTS = ("text.js", "data.js", "annotations.js", "answers.js", "list.js")
STYLES = ("base.css", "sections.css", "cases.css", "narrow.css")


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What the script reads, as it stands in the page."""

    text: Markup
    packing: str


def html_report(subject: Subject) -> str:
    """Write the page; the same subject gives the same bytes."""
    wording = Wording.of(subject.run)
    rows = cases.case_rows(subject)
    script, style = _script(), _style()
    return (
        _environment()
        .get_template("page.html")
        .render(
            subject=subject,
            made=stamp(subject.run.datetime, subject.run.commit),
            banner=gate.banner(subject, wording),
            score_rows=scores.score_rows(subject),
            figures=speed.figures(subject),
            label_views=labels.label_views(subject),
            panels=timeline.panels(subject),
            all_roles=timeline.all_roles(subject),
            trust_rows=trust.trust_rows(subject.trust),
            spreads=speed.spreads(subject),
            sheets=provenance.sheets(subject),
            static_cases=cases.static_cases(subject, rows, wording),
            rows=rows,
            data=_data(cases.packed(subject, rows, wording)),
            script=Markup(script),  # noqa: S704 - our own file
            style=Markup(style),  # noqa: S704 - our own file
            policy=_policy(script, style),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=DictLoader({name: _asset("templates", name) for name in TEMPLATES}),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"link": link, "marker": legend_marker}
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
    return files(_HERE).joinpath(folder, name).read_text(encoding="utf-8")


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

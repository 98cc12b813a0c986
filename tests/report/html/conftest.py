"""A small world to report on, and a browser to read the report in."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import factories
from pytest_llmbench.gate.baselines import Baseline
from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.run_decision import RunGate, RunRuling
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.html.page import html_report
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.results.records import ModelInfo, Record, Run, RunInfo, Sample, SuiteInfo
from pytest_llmbench.results.run_json import block_to_json
from pytest_llmbench.values import Prompt, Sampling

ROOT = Path(__file__).parent.parent.parent.parent


class World:
    """Makes samples, records, runs, and what a report is about."""

    def sample(self, answer: str | None = "x", score: float | None = 1.0, **others: Any) -> Sample:
        """Make a sample: passed at score 1, an error without one, else failed."""
        reason = None if score is None else "correct" if score == 1 else "different"
        return factories.sample(score, answer, **{"reason": reason, **others})

    def record(self, case: str, *samples: Sample, suite: str = "sql", role: str = "m", **others: Any) -> Record:
        """Make a record; its prompt is known by its case."""
        names = {"case_sha256": f"{suite}-{case}", "prompt_sha256": f"prompt-{suite}-{case}", **others}
        return factories.record(case, *(samples or (self.sample(),)), suite=suite, role=role, **names)

    def run(self, records: Sequence[Record], **others: Any) -> Run:
        """Make a run that knows its models, suites and prompts."""
        suites = {record.suite: record.grader for record in records}
        roles = dict.fromkeys(record.role for record in records)
        facts = RunInfo(
            models=tuple(
                ModelInfo(
                    role=role,
                    model=role,
                    identity=Identity(provider="recorded", model=f"{role}.jsonl"),
                    sampling={suite: Sampling() for suite in suites},
                )
                for role in roles
            ),
            suites=tuple(
                SuiteInfo(suite=suite, sha256="s", grader=grader, grader_version=1, path=f"cases/{suite}.yaml")
                for suite, grader in suites.items()
            ),
            options={"samples": 1},
            prompts={
                record.prompt_sha256: Prompt(text=f"Answer in a word.\nQ: What of {record.case}?\nA:")
                for record in records
            },
            expected={record.case_sha256: f"expected of {record.case}" for record in records},
        )
        return Run(records=tuple(records), facts=replace(facts, **others.pop("facts", {})), **others)

    def compared(self, old: Run, new: Run, **others: Any) -> Subject:
        """Judge a run against another."""
        settings = GateSettings()
        requirements = RunGate(baselines=(Baseline(path=Path("old.json"), run=old),), settings=settings)
        ruling = RunRuling(requirements=requirements, gate=decide(join(old, new), settings))
        return Subject(name="new", run=new, before="old", ruling=ruling, **others)

    def judged(self, *, cases: int = 80, lost: int = 20, won: int = 4) -> Subject:
        """Make a run of two suites and two models, in which one model lost cases of one suite.

        Of suite `sql` the model `moved` lost the first cases and won the last ones; `steady` answers half of it right.
        Suite `yes` has labels: `moved` broke the format of its first three cases, `steady` has an error in the first.
        """
        old, new = [], []
        for place in range(cases):
            case = f"case-{place:03d}"
            was, now = place < cases - won, place >= lost
            times = {"latency_s": 0.5 + place / 100, "ttft_s": 0.1, "output_tokens": 5, "concurrency": 1}
            right = self.sample("SELECT count(*) FROM events WHERE name = 'a'", **times)
            wrong = self.sample(
                "SELECT count(*) FROM events", 0.0, reason="wrong-result", explanation="The answer counts too much.",
                parts={"reading": "mysql", "sql": "SELECT 1", "difference": {"missing": [[25]], "unexpected": [[None]]}},
                **times,
            )  # fmt: skip
            half = self.sample("SELECT 1", float(place % 2), **times | {"latency_s": 0.2, "concurrency": 8})
            old += [self.record(case, right if was else wrong, role="moved"), self.record(case, half, role="steady")]
            new += [self.record(case, right if now else wrong, role="moved"), self.record(case, half, role="steady")]
        for place in range(20):
            case, label = f"head-{place:03d}", "yes" if place % 2 else "no"
            parts = {"expected": label, "strict": label, "lenient": label}
            good = self.sample(label, parts=parts, format_ok=True)
            loose = self.sample(
                f"Answer: {label}", 0.0, reason="format", parts=parts | {"strict": None}, format_ok=False
            )
            broken = self.sample(None, None, error="HTTP 500")
            labels = {"suite": "yes", "grader": "yes_no"}
            old += [self.record(case, good, role=role, **labels) for role in ("moved", "steady")]
            new.append(self.record(case, loose if place < 3 else good, role="moved", **labels))
            new.append(self.record(case, broken if place == 0 else good, role="steady", **labels))
        return self.compared(
            self.run(old, datetime="2026-10-07T10:00:00+00:00", commit="5be2" * 10),
            self.run(new, datetime="2026-11-21T10:00:00+00:00", commit="e90c" * 10),
        )


@pytest.fixture(scope="session")
def world() -> World:
    """Give what makes a small world."""
    return World()


@pytest.fixture
def write_run(tmp_path: Path) -> Any:
    """Write a run as its benchmark JSON."""

    def write(run: Run) -> Path:
        path = tmp_path / "run.json"
        path.write_text(json.dumps({"benchmarks": [], "llmbench": block_to_json(run)}))
        return path

    return write


# -- a page without a browser

_APART = {"td", "th", "dt", "dd", "li", "p", "tr", "title", "br", "figcaption", "caption"}


@dataclass(slots=True)
class Node:
    """An element of a parsed page."""

    name: str
    attributes: Mapping[str, str | None]
    children: "list[Node | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def words(self) -> str:
        """The text with its white space made even, and some between cells and blocks."""
        return " ".join(self._spaced().split())

    def _spaced(self) -> str:
        inner = "".join(child if isinstance(child, str) else child._spaced() for child in self.children)
        return f" {inner} " if self.name in _APART else inner

    def all(self, name: str, **attributes: str) -> "list[Node]":
        """Find elements by name and attributes; a class is one of several."""
        return list(self._found(name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}))

    def one(self, name: str, **attributes: str) -> "Node":
        """Find the one element there is."""
        (found,) = self.all(name, **attributes)
        return found

    def _found(self, name: str, wanted: Mapping[str, str]) -> "Iterator[Node]":
        for child in self.children:
            if isinstance(child, Node):
                has = all(
                    value in (child.attributes.get(key) or "").split()
                    if key == "class"
                    else child.attributes.get(key) == value
                    for key, value in wanted.items()
                )
                if child.name == name and has:
                    yield child
                yield from child._found(name, wanted)


_VOID = {"meta", "link", "br", "input", "img", "hr", "base", "wbr", "source"}


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs))
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in [node.name for node in self.open[1:]]:
            while self.open.pop().name != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        self.open[-1].children.append(Node("!comment", {}, [data]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A written page, its tree, and the data of its script."""

    html: str
    tree: Node
    data: Any


def read_page(html: str) -> Page:
    """Parse a page."""
    parser = _Tree()
    parser.feed(html)
    parser.close()
    held = parser.root.one("script", id="data")
    data = json.loads(held.text) if held.attributes["data-packing"] == "none" else None
    return Page(html=html, tree=parser.root, data=data)


@pytest.fixture(scope="session")
def page_of() -> Any:
    """Write the report of a subject, and parse it."""
    return lambda subject: read_page(html_report(subject))


@pytest.fixture(scope="session")
def parsed() -> Any:
    """Parse a page."""
    return read_page


# -- a browser


def _missing(what: str, way_out: str) -> None:
    """Skip where something is missing that only a machine for tests needs to have; fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"there is no {what} and CI is set; {way_out}")
    pytest.skip(f"there is no {what}: {way_out}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start Debian's Chromium; it ends with the module, and its event loop with it."""
    path = shutil.which("chromium")
    if path is None:
        _missing("chromium", "apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """Give the source of axe-core."""
    path = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
    if not path.is_file():
        _missing("axe-core", "make axe")
    return path.read_text(encoding="utf-8")

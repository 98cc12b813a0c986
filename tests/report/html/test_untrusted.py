"""Nothing that a model, a grader or a file says leaves its place in the page."""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from pytest_llmbench.report.html.page import html_report
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.results.grader_agreement import weigh
from pytest_llmbench.results.history import Entry
from pytest_llmbench.results.records import Machine
from pytest_llmbench.values import Prompt


def hostile(world: Any, text: str) -> Subject:
    """Put a text into every place of a run that somebody else fills; a long one into names as far as names go."""
    name = text[:300]
    parts = {
        "points": [{"name": name, "hit": True, "quote": text, "start": 0, "end": len(text)}],
        "forbidden": [{"name": name, "hit": True, "quote": text}],
        "difference": {"missing": [[name]], "unexpected": [[name]], "columns": {"reference": [name], "answer": [name]}},
        "reading": name, "instance": name, "sql": text + " ", name: text, "expected": name, "strict": name,
        "lenient": name, "labels": [name, "no"],
    }  # fmt: skip
    times = {"latency_s": 0.5, "ttft_s": 0.1, "concurrency": 1, "output_tokens": 3}
    bad = world.sample(text, 0.0, reason=name, explanation=text, parts=parts, finish_reason=name, **times)
    error = world.sample(None, None, error=text)
    names = {"suite": name, "role": name, "model": name, "grader": "yes_no", "case_sha256": name}
    old = [world.record(name, world.sample(text), **names)]
    new = [world.record(name, bad, error, **names)]
    new.append(world.record("other", bad, suite=name, role="other", grader="yes_no"))
    machine = Machine(cpu=name, system=name, node=name, architecture=name)
    made = {"datetime": name, "commit": name, "machine": machine}
    prompts = {record.prompt_sha256: Prompt(text=f"Q: {text} A:") for record in new}
    facts = {"options": {name: name}, "prompts": prompts, "expected": {name: text}}
    subject = world.compared(world.run(old, **made), world.run(new, facts=facts, **made))
    entries = tuple(
        Entry(
            file=f"{place}{name}", date=name, commit=name, suite=name, role=name, model=name, cases=1, errors=0,
            score=0.5, interval=(0.2, 0.8), format_rate=None, p50_s=None, breaks=(name,),
        )
        for place in range(2)
    )  # fmt: skip
    return replace(subject, name=name, before=name, history=entries, trust=weigh(new, ()))


@pytest.fixture(scope="module")
def pages(world: Any, payloads: tuple[Any, ...]) -> dict[str, str]:
    """Make a page of each payload, by the payload's name."""
    return {payload.name: html_report(hostile(world, payload.text)) for payload in payloads}


def test_no_payload_becomes_markup(world: Any, parsed: Any, payloads: tuple[Any, ...], pages: dict[str, str]) -> None:
    """The page has the same elements and attributes whatever the text is, and the data are the text itself."""
    harmless = shape(parsed(html_report(hostile(world, "harmless text"))).tree)
    for payload in payloads:
        page = parsed(pages[payload.name])

        assert shape(page.tree) == harmless, payload.name
        if page.data is not None:
            case = page.data["cases"][0]
            assert json.dumps(case["r"][0]["n"][0]["a"]) == json.dumps(payload.text), payload.name
            assert json.dumps(case["c"]) == json.dumps(payload.text[:300]), payload.name


def shape(tree: Any) -> Counter[str]:
    """Count elements with the names of their attributes; lines of text that texts may add are left out."""
    found: Counter[str] = Counter()
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        nodes.extend(child for child in node.children if not isinstance(child, str))
        if node.name not in ("q", "svg") and not (node.name == "text" or node.name == "br"):
            found[f"{node.name} {' '.join(sorted(node.attributes))}"] += 1
    return found


def test_nothing_hidden_is_left_in_the_page(pages: dict[str, str]) -> None:
    """No control character, no character that turns or hides text, no half character stands in the file."""
    for name, html in pages.items():
        assert html.encode("utf-8"), name
        assert {character for character in set(html) if visible(character) != character} == set(), name


def test_the_data_cannot_end_their_element(pages: dict[str, str]) -> None:
    """Between the tags of the data stands no character that HTML knows."""
    for name, html in pages.items():
        held = re.search(
            r'<script type="application/json" id="data" data-packing="\w+">(.*?)</script>\n<script>', html, re.S
        )
        assert held is not None, name
        assert not set(held[1]) & set("<>&"), name
        assert held[1].isascii(), name

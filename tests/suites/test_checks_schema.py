"""The JSON schema for editors and the loader agree on `checks`."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.loader import load_suite

SHIPPED = json.loads(files("pytest_llmbench").joinpath("suite.schema.json").read_text(encoding="utf-8"))
SUITE = """\
suite: tickets
prompt: {{completion: "{{{{ body }}}}"}}
checks: [{check}]
cases:
  - {{id: one, body: "?", expected: "5"}}
"""

RIGHT = {
    "a text": "{equals: x, ignore_case: true, trim: false}",
    "a number as a text": "{equals: 5}",
    "a template": '{equals: "{{ expected }}", path: a.b}',
    "one text of a list": "{contains: x}",
    "a list": "{contains_any: [x, 5]}",
    "a pattern": "{regex: '[0-9]+', search: true}",
    "a number": "{number: {value: 5, tolerance: 0.1}, search: true}",
    "a number from a template": '{number: {value: "{{ expected }}"}}',
    "words": "{words: {min: 2, max: 5}}",
    "any JSON": "{json: {}, fence: false}",
    "a schema": "{json: {schema: {type: object}}}",
    "a subset": "{json_subset: {value: {a: {any: true}}, lists: any_order}}",
    "a label": "{label: a, labels: [a, b]}",
    "points": "{key_points: {points: [{name: p, any: [x]}], threshold: 0.5}}",
    "sql": "{sql: {database: events, reference: SELECT 1}}",
    "a function": "{function: 'mine.checks:grade'}",
    "an end": "{finish: stop}",
    "an overlap": "{f1: x, min: 0.5}",
    "a combination": "{any: [{not: {contains: x}}, {all: [{equals: y}], pass_score: 0.5}], weight: 2, required: true}",
}
WRONG = {
    "no kind": "{name: x}",
    "two kinds": "{equals: x, contains: y}",
    "an unknown key": "{equals: x, serch: true}",
    "a key of another kind": "{equals: x, search: true}",
    "no weight": "{equals: x, weight: 0}",
    "a negative weight": "{equals: x, weight: -1}",
    "an overlap without its least": "{f1: x}",
    "an overlap of everything": "{f1: x, min: 2}",
    "nothing to choose from": "{any: []}",
    "an unknown way of lists": "{json_subset: {value: 1, lists: sorted}}",
    "a text for a check": "x",
    "a text within a combination": "{any: [x]}",
}


TALK = "suite: t\nchecks: []\ncases:\n  - {{id: a, turns: {turns}{more}}}\n"
TURNS = {
    "what the user says": ("[{user: Hi, checks: [{contains: x}]}, {user: 5}]", "", True),
    "checks in place of others": ("[{user: Hi, checks: {replace: [{contains: x}]}}]", ", stop_on_fail: true", True),
    "no turn": ("[]", ", checks: [{contains: x}]", False),
    "nothing said": ("[{checks: [{contains: x}]}]", "", False),
    "an unknown key": ("[{user: Hi, checks: [{contains: x}], name: y}]", "", False),
    "a check that is none": ("[{user: Hi, checks: [{containz: x}]}]", "", False),
    "a switch that is none": ("[{user: Hi, checks: [{contains: x}]}]", ", stop_on_fail: yes", False),
}


@pytest.mark.parametrize(("turns", "more", "is_right"), TURNS.values(), ids=TURNS)
def test_the_schema_and_the_loader_agree_on_turns(tmp_path: Path, turns: str, more: str, is_right: bool) -> None:
    """An editor marks what does not load, and nothing else."""
    text = TALK.format(turns=turns, more=more)
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    try:
        is_loaded = load_suite(path) is not None
    except SuiteFault:
        is_loaded = False

    assert (is_loaded, faults(text) == []) == (is_right, is_right)


def faults(text: str) -> list[str]:
    """Name the places where the schema does not accept a suite."""
    path = Path("suite.yaml")
    node = yaml12.compose(text, path)
    assert node is not None
    errors = Draft202012Validator(SHIPPED).iter_errors(yaml12.value(node, path))
    return ["/".join(map(str, error.absolute_path)) for error in errors]


def loaded(folder: Path, text: str) -> bool:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        return load_suite(path) is not None
    except SuiteFault:
        return False


@pytest.mark.parametrize("check", RIGHT.values(), ids=RIGHT)
def test_what_the_loader_accepts_the_schema_accepts(tmp_path: Path, check: str) -> None:
    """An editor marks no check that runs."""
    text = SUITE.format(check=check)

    assert loaded(tmp_path, text)
    assert faults(text) == []


@pytest.mark.parametrize("check", WRONG.values(), ids=WRONG)
def test_what_the_loader_refuses_the_schema_refuses(tmp_path: Path, check: str) -> None:
    """An editor marks a check that is written wrongly, within `checks`."""
    text = SUITE.format(check=check)

    assert not loaded(tmp_path, text)
    assert {place.split("/")[0] for place in faults(text)} == {"checks"}


def test_a_suite_without_grader_and_checks_is_marked() -> None:
    """A case that nothing grades is a fault in an editor too."""
    text = SUITE.format(check="{equals: x}").replace("checks: [{equals: x}]\n", "")

    assert faults(text) == [""]

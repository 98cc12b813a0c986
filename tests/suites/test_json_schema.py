"""The JSON schema for editors: it is the one made from the graders, and it and the loader agree."""

import copy
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.json_schema import suite_schema
from pytest_llmbench.suites.loader import load_suite

ROOT = Path(__file__).parents[2]
SHIPPED = json.loads(files("pytest_llmbench").joinpath("suite.schema.json").read_text(encoding="utf-8"))
SUITES = sorted([*(ROOT / "cases").glob("*.yaml"), *(ROOT / "pytest_llmbench" / "cli" / "templates").glob("*.yaml")])

SUITE = """\
suite: capitals
grader: exact
sampling: {max_tokens: 8, stop: "."}
prompt: {completion: "{{ question }}"}
cases:
  - {id: france, question: "?", expected: Paris}
"""


def faults(text: str) -> list[str]:
    """Name the places where the schema does not accept a suite."""
    path = Path("suite.yaml")
    node = yaml12.compose(text, path)
    assert node is not None
    value: Any = yaml12.value(node, path)
    return [
        "/".join(map(str, error.absolute_path)) or "suite" for error in Draft202012Validator(SHIPPED).iter_errors(value)
    ]


def is_loaded(folder: Path, text: str) -> bool:
    """Tell whether the loader accepts a suite."""
    path = folder / "suite.yaml"
    path.write_text(text)
    try:
        return load_suite(path) is not None
    except SuiteFault:
        return False


def test_the_shipped_schema_is_the_one_made_from_the_graders() -> None:
    """Whoever changes a grader's fields makes the file again: llmbench schema > pytest_llmbench/suite.schema.json."""
    assert suite_schema(BUILT_IN) == SHIPPED


def test_the_schema_is_one_itself() -> None:
    """It follows the 2020-12 draft that it names."""
    Draft202012Validator.check_schema(SHIPPED)

    assert SHIPPED["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_every_shipped_suite_follows_the_schema(path: Path) -> None:
    """The suites under cases/ and the template of `llmbench init` are accepted."""
    assert faults(path.read_text(encoding="utf-8")) == []


def test_the_shipped_suites_are_found() -> None:
    """The glob above finds the suites of the three tasks and the template."""
    assert {"clickbait.yaml", "jokes.yaml", "sql.yaml", "capitals.yaml"} <= {path.name for path in SUITES}


POINTS = SUITE.replace("exact", "key_points").replace("expected: Paris", "points: [{name: city, any: [Paris]}]")

RIGHT = {
    "as it is": SUITE,
    "a list of stops": SUITE.replace('stop: "."', 'stop: [".", "x"]'),
    "an expected number": SUITE.replace("expected: Paris", "expected: 12"),
    "an id of digits": SUITE.replace("id: france", "id: 007"),
    "tags that look like other things": SUITE.replace("id: france", "id: france, tags: [europe, 2024, true]"),
    "tags as a text": SUITE.replace("id: france", "id: france, tags: europe easy"),
    "both styles": SUITE.replace("prompt: {", "prompt: {chat: [{role: user, content: x}], "),
    "a field of the grader": SUITE + "ignore_case: true\n",
    "a list of texts that must occur": SUITE.replace("exact", "contains").replace("Paris", "[Paris, city]"),
    "one query": SUITE.replace("grader: exact", "grader: sql\ndatabase: events").replace(
        "expected: Paris", "reference: SELECT 1"
    ),
    "several queries": SUITE.replace("grader: exact", "grader: sql\ndatabase: events").replace(
        "expected: Paris", "reference: [SELECT 1, SELECT 2]"
    ),
    "points that no judge is asked about": POINTS + "judge: false\n",
    "how a judge is asked": POINTS + 'judge: {votes: 3, instructions: "Be strict."}\n',
    "a function": SUITE.replace("exact", "mine.graders:grade"),
    "a method of a class": SUITE.replace("exact", "mine.graders:Grader.grade"),
    "an expected failure": SUITE.replace("id: france", "id: france, xfail: known gap, cluster: 7"),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_the_loader_accepts_the_schema_accepts(tmp_path: Path, text: str) -> None:
    """An editor marks nothing that runs."""
    assert is_loaded(tmp_path, text)
    assert faults(text) == []


WRONG = {
    "no grader": (SUITE.replace("grader: exact\n", ""), ["suite"]),
    "no cases": (SUITE.split("cases:")[0], ["suite"]),
    "an unknown key": (SUITE + "treshold: 1\n", ["suite"]),
    "a field of another grader": (SUITE + "threshold: 0.5\n", ["suite"]),
    "a field that a function does not have": (SUITE.replace("exact", "a:b") + "ignore_case: true\n", ["suite"]),
    "a judge named in the suite": (POINTS + "judge: {model: x}\n", ["judge"]),
    "no votes": (POINTS + "judge: {votes: 0}\n", ["judge"]),
    "an unknown grader": (SUITE.replace("exact", "exakt"), ["grader"]),
    "a name with blanks": (SUITE.replace("suite: capitals", "suite: my suite"), ["suite"]),
    "an unknown style": (SUITE.replace("completion:", "complete:"), ["prompt"]),
    "an unknown role": (
        SUITE.replace('{completion: "{{ question }}"}', "{chat: [{role: bot, content: x}]}"),
        ["prompt/chat/0/role"],
    ),
    "an unknown key of sampling": (SUITE.replace("max_tokens", "max_token"), ["sampling"]),
    "no tokens": (SUITE.replace("max_tokens: 8", "max_tokens: 0"), ["sampling/max_tokens"]),
    "a case without an id": (SUITE.replace("id: france, ", ""), ["cases/0"]),
    "an id with a slash": (SUITE.replace("id: france", "id: a/b"), ["cases/0/id"]),
    "a case without what is expected": (SUITE.replace(", expected: Paris", ""), ["cases/0"]),
    "a list where one text is expected": (SUITE.replace("Paris", "[Paris]"), ["cases/0/expected"]),
    "a tag in capitals": (SUITE.replace("id: france", "id: france, tags: [Europe]"), ["cases/0/tags"]),
    "a case that is a text": (SUITE + "  - peru\n", ["cases/1"]),
    "sql without a database": (
        SUITE.replace("grader: exact", "grader: sql").replace("expected: Paris", "reference: SELECT 1"),
        ["suite"],
    ),
    "an empty query": (
        SUITE.replace("grader: exact", "grader: sql\ndatabase: events").replace("expected: Paris", 'reference: ""'),
        ["cases/0/reference"],
    ),
}


@pytest.mark.parametrize(("text", "places"), WRONG.values(), ids=WRONG)
def test_what_the_loader_refuses_the_schema_refuses(tmp_path: Path, text: str, places: list[str]) -> None:
    """A fault is marked where it stands."""
    assert not is_loaded(tmp_path, text)
    assert sorted(set(faults(text))) == places


# -- every value in every place

SHARED = {
    "suite": "s",
    "prompt": {"completion": "x", "chat": [{"role": "user", "content": "x"}]},
    "sampling": {"max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "stop": ["a"], "seed": 3},
    "trust": {"kappa": 0.3, "tnr": 0.5},
    "tools": [{"name": "a", "description": "d", "parameters": {"type": "object"}, "strict": True}],
    "examples": {"template": {"completion": "x", "chat": [{"role": "user", "content": "x"}]}, "rows": [{"q": "y"}]},
}
"""What every suite may say."""

OF_ALL_CASES = {"id": "a", "tags": ["t"], "cluster": "c", "xfail": "r", "inputs": {"q": "x"}}

OF_GRADERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "exact": ({"ignore_case": True, "read": {"regex": "x", "match": "last", "otherwise": "y"}}, {"expected": "y"}),
    "contains": ({"ignore_case": True}, {"expected": ["y"]}),
    "regex": ({}, {"expected": "y"}),
    "json": ({"schema": {"type": "object"}}, {"expected": {"a": 1}}),
    "yes_no": (
        {
            "labels": ["yes", "no"],
            "answer_by": "choice",
            "probabilities": True,
            "rule": {"pattern": "a", "label": "no"},
        },
        {"expected": "yes"},
    ),
    "key_points": (
        {"threshold": 0.8, "judge": {"votes": 3, "instructions": "x"}},
        {
            "points": [{"name": "p", "any": ["foo"], "weight": 2, "echo_ok": True}],
            "forbid": [{"name": "f", "any": ["bar"]}],
            "references": ["foo"],
            "max_words": 30,
        },
    ),
    "sql": (
        {"database": "events", "time_limit_s": 2},
        {"reference": ["SELECT 1"], "ordered": True, "extra_columns": False},
    ),
    "a.b:c": ({}, {"expected": "x"}),
}
"""What a suite and a case may say to each grader, all of it said."""

VALUES = (None, True, 0, -1, 2.5, "", "12", "A b", [], ["a"], [None], {}, {"zzz": 1})

ONLY_THE_LOADER_KNOWS = ("labels", "rule", "cases/0/expected", "cases/0/id", "suite")
"""Where a scalar is a text whatever it looks like, so that null is the word, and where it must be one of the labels."""


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Give every place in a value."""
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from places(entry, (*path, key))


def changed(suite: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    """Give the suite with each of the values in one place, with nothing there, and with an unknown key beside it."""
    for value in (*VALUES, ...):
        found = copy.deepcopy(suite)
        owner: Any = found
        for key in path[:-1]:
            owner = owner[key]
        if value is not ...:
            owner[path[-1]] = value
        else:
            del owner[path[-1]]
        yield found


@pytest.mark.parametrize("grader", OF_GRADERS)
def test_whatever_stands_anywhere_the_loader_and_the_schema_agree(tmp_path: Path, grader: str) -> None:
    """Every place of a suite that says all it can is given every kind of value."""
    of_suite, of_case = OF_GRADERS[grader]
    suite = {**SHARED, "grader": grader, **of_suite, "cases": [{**OF_ALL_CASES, **of_case}]}
    shared = set(places(SHARED)) | {("cases", 0, key) for key in OF_ALL_CASES}
    own = [path for path in places(suite) if path not in shared or grader == "exact"]
    own = [path for path in own if not "/".join(map(str, path)).startswith(ONLY_THE_LOADER_KNOWS)]
    validator = Draft202012Validator(SHIPPED)

    assert validator.is_valid(suite)
    assert is_loaded(tmp_path, json.dumps(suite))
    for path in own:
        for found in changed(suite, path):
            assert is_loaded(tmp_path, json.dumps(found)) == validator.is_valid(found), (path, found)

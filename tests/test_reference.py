"""What the reference takes from elsewhere than the code is what the code has: exit statuses, fields of the JSON."""

import ast
import json
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_llmbench.gate.rule import Verdict, exit_status
from pytest_llmbench.models.base import Identity
from pytest_llmbench.results.records import Record, Sample

ROOT = Path(__file__).parent.parent
LISTED: Mapping[str, Mapping[int, str]] = runpy.run_path(str(ROOT / ".ci" / "reference.py"))["STATUSES"]
OF_VERDICTS = {exit_status(verdict) for verdict in Verdict}


def returned(source: str) -> Iterator[int]:
    """Give the whole numbers that functions of a module return as written: plain, by a name of it, or one of two."""
    tree = ast.parse(source)
    named = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, int)
    }
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.returns and ast.unparse(function.returns) == "int":
            for node in ast.walk(function):
                if isinstance(node, ast.Return):
                    for value in (
                        (node.value.body, node.value.orelse) if isinstance(node.value, ast.IfExp) else (node.value,)
                    ):
                        if isinstance(value, ast.Constant) and isinstance(value.value, int):
                            yield value.value
                        elif isinstance(value, ast.Name) and value.id in named:
                            yield named[value.id]


def test_what_a_module_returns_is_read() -> None:
    """A number, a name, and both of a choice; a text is none, and neither is what another function gives."""
    source = 'A = 7\ndef f() -> int:\n    if x: return 1 if y else 0\n    return A\ndef g() -> str:\n    return "3"\n'

    assert {*returned(source)} == {0, 1, 7}


def test_the_statuses_of_pytest_are_listed() -> None:
    """Its own, and those that the gate adds."""
    assert {*LISTED["pytest"]} == {*map(int, pytest.ExitCode)} | OF_VERDICTS


def test_the_statuses_of_the_command_are_listed() -> None:
    """Those that its modules return, in the reference and on the page of commands, and no others."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "pytest_llmbench" / "cli").glob("*.py")]
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert {*LISTED["llmbench"]} == {status for source in sources for status in returned(source)} | OF_VERDICTS
    assert all(f"| {status} | {meaning} |" in page for status, meaning in LISTED["llmbench"].items())


@pytest.mark.parametrize("verdict", Verdict)
def test_a_verdict_stands_beside_its_status(verdict: Verdict) -> None:
    """For pytest and for `llmbench compare`, and nowhere else."""
    for rows in LISTED.values():
        assert [status for status, meaning in rows.items() if f"`{verdict}`" in meaning] == [exit_status(verdict)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("record", Record), ("sample", Sample), ("identity", Identity)],
    ids=["record", "sample", "identity"],
)
def test_the_schema_of_a_run_has_the_fields_that_are_written(name: str, kind: type[Record | Sample | Identity]) -> None:
    """The reference is made from it; a field of the code that is not in it, or one that is gone, is found."""
    schema = json.loads((ROOT / "tests" / "data" / "run.schema.json").read_text(encoding="utf-8"))

    listed = {*schema["$defs"][name]["properties"]}

    assert listed - {"schema"} == {field.name for field in fields(kind)}

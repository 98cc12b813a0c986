"""Suites loaded once, found below folders, and refused by name."""

from pathlib import Path

import pytest

from pytest_llmbench.errors import SuiteFault, UsageFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites.registry import SuiteRegistry

SUITE = """\
suite: {name}
grader: {grader}
prompt: {{completion: "{{{{ question }}}}"}}
cases: [{{id: france, question: "Capital of France?", expected: Paris}}]
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_suites_below_paths_are_loaded_once_each(tmp_path: Path) -> None:
    """A suite that is named itself and lies in a named folder is one; other YAML and hidden folders are left out."""
    capitals = write(tmp_path, "cases/capitals.yaml", SUITE.format(name="capitals", grader="exact"))
    write(tmp_path, "cases/.hidden/copy.yaml", SUITE.format(name="copy", grader="exact"))
    write(tmp_path, "cases/compose.yml", "services: {}")

    found = list(SuiteRegistry(tmp_path, {}).load_below([capitals, tmp_path / "cases"]))

    assert [one.suite.name for one in found if not isinstance(one, SuiteFault)] == ["capitals"]


def test_a_wrong_suite_stands_among_the_others_as_its_fault(tmp_path: Path) -> None:
    """One bad file hides nothing of the rest."""
    write(tmp_path, "a.yaml", SUITE.format(name="a", grader="exakt"))
    write(tmp_path, "b.yaml", SUITE.format(name="b", grader="exact"))

    wrong, right = SuiteRegistry(tmp_path, {}).load_below([tmp_path])

    assert isinstance(wrong, SuiteFault)
    assert wrong.message.startswith('there is no grader "exakt"; did you mean "exact"?')
    assert not isinstance(right, SuiteFault)


def test_no_suite_at_all_is_a_fault_of_use(tmp_path: Path) -> None:
    """A folder without suites was surely not what was meant."""
    with pytest.raises(UsageFault, match="no suite file found"):
        list(SuiteRegistry(tmp_path, {}).load_below([tmp_path]))


def test_graders_of_other_packages_load_like_the_own_ones(tmp_path: Path) -> None:
    """A kind that is handed in by name is found, and its grader is built with the suite."""
    path = write(tmp_path, "a.yaml", SUITE.format(name="a", grader="foreign"))
    registry = SuiteRegistry(tmp_path, {"foreign": BUILT_IN["exact"]})

    loaded = registry.load(path)

    assert loaded is not None
    assert list(registry.graders) == ["a"]


DEEP = 100_000
NESTED = {
    "brackets": (SUITE.format(name="a", grader="exact") + f"tools: {'[' * DEEP}{']' * DEEP}", "5: this is nested more"),
    "blocks": (SUITE.format(name="a", grader="exact") + "tools:\n" + "- " * DEEP, "6: this is nested more"),
    "values": (
        SUITE.format(name="a", grader="exact").replace("Paris", "[" * 480 + "]" * 480),
        "",  # from Python 3.14 on deep enough to be read, and no text then
    ),
    "template": (
        SUITE.format(name="a", grader="exact").replace(" question ", "(" * DEEP + ")" * DEEP),
        " the file is nested too deeply",
    ),
    "pattern": (
        SUITE.format(name="a", grader="regex").replace("Paris", f"'{'(' * DEEP}{')' * DEEP}'"),
        " the file is nested too deeply",
    ),
    "schema": (
        SUITE.format(name="a", grader="x").replace(
            "grader: x", f"checks: [json: {{schema: {'{items: ' * 300}{{}}{'}' * 300}}}]"
        ),
        "2: check 1: what `json` holds is nested too deep",
    ),
}


@pytest.mark.parametrize("name", NESTED)
def test_what_is_nested_too_deep_is_a_fault_of_the_file(name: str, tmp_path: Path) -> None:
    """It ends neither in a traceback nor the process."""
    text, message = NESTED[name]

    (found,) = SuiteRegistry(tmp_path, {}).load_below([write(tmp_path, "a.yaml", text)])

    assert isinstance(found, SuiteFault)
    assert f"a.yaml:{message}" in str(found)


JUDGED = """\
suite: jokes
grader: key_points
judge: {votes: 3}
prompt: {completion: "{{ joke }}"}
cases: [{id: one, joke: "Why?", points: [{name: chicken, any: [chicken]}]}]
"""


@pytest.mark.parametrize(("has_judge", "names"), [(True, ["jokes"]), (False, [])])
def test_a_suite_asks_its_judge_only_where_one_is_named(tmp_path: Path, has_judge: bool, names: list[str]) -> None:
    """Without `--llm-judge` its own grader does all."""
    registry = SuiteRegistry(tmp_path, {}, has_judge=has_judge)

    registry.load(write(tmp_path, "jokes.yaml", JUDGED))

    assert list(registry.judge_graders) == names

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import BaseModel

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.checks.grader import checks_kind
from pytest_llmbench.grading.registry import BUILT_IN, grader_kind
from pytest_llmbench.values import Grade, Json, Reason, Suite

NAMES = ["choices", "contains", "exact", "json", "key_points", "regex", "sql", "yes_no"]


def graded(*, passed: bool, **parts: Json) -> Grade:
    return Grade(score=float(passed), passed=passed, reason="any", explanation="One sentence.", parts=parts)


def test_all_graders_of_the_format_are_there() -> None:
    """The names are those that suites use."""
    names = sorted(BUILT_IN)

    assert names == NAMES
    assert len(BUILT_IN) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_grader_is_found_by_its_name(name: str) -> None:
    """A kind carries its own name and two pydantic classes that refuse unknown keys."""
    kind = grader_kind(name, {})

    assert kind.name == name
    assert all(issubclass(fields, BaseModel) for fields in (kind.case_fields, kind.suite_fields))
    assert {kind.case_fields.model_config.get("extra"), kind.suite_fields.model_config.get("extra")} == {"forbid"}


@pytest.mark.parametrize("name", NAMES)
def test_each_grader_declares_its_reasons(name: str) -> None:
    """Its words are fixed ones, `correct` among them, and those of answers that are none are no grader's own."""
    reasons = BUILT_IN[name].reasons

    assert set(reasons) <= set(Reason) - {Reason.EMPTY, Reason.REFUSAL}
    assert Reason.CORRECT in reasons


def test_every_reason_is_declared() -> None:
    """The fixed words are those of the graders, and the two of answers that are none."""
    declared = {reason for kind in BUILT_IN.values() for reason in kind.reasons}

    assert declared | {Reason.EMPTY, Reason.REFUSAL} == set(Reason)


def test_one_grader_asks_a_judge() -> None:
    """The trait follows from `judge_grader`: of the built-in graders only `key_points` has it."""
    assert [name for name, kind in BUILT_IN.items() if kind.asks_judge] == ["key_points"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (graded(passed=True, reference=0), graded(passed=True, reference=0), True),
        (graded(passed=True, reference=0), graded(passed=True, reference=1), False),
        (graded(passed=True, reference=0), graded(passed=False, instance="a", difference=[[1]]), False),
        (
            graded(passed=False, instance="a", difference=[[1]]),
            graded(passed=False, instance="a", difference=[[1]]),
            True,
        ),
        (
            graded(passed=False, instance="a", difference=[[1]]),
            graded(passed=False, instance="b", difference=[[1]]),
            False,
        ),
        (graded(passed=False, instance="a", difference=[[1]]), graded(passed=False), False),
        (graded(passed=False), graded(passed=False), None),
    ],
)
def test_queries_are_compared_by_what_they_return(old: Grade, new: Grade, expected: bool | None) -> None:
    """Two that met the same reference, or departed from it alike, returned the same; two that never ran have nothing to compare."""
    assert BUILT_IN["sql"].same_result(old, new) is expected


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sql"])
def test_other_answers_have_no_result_beside_their_text(name: str) -> None:
    """Where a grader reads text alone, there is nothing more to compare."""
    assert BUILT_IN[name].same_result(graded(passed=True), graded(passed=True)) is None


def test_other_packages_add_graders_but_replace_none() -> None:
    """A name of another package is found; one that is built in stays what it is."""
    foreign = replace(BUILT_IN["exact"], name="foreign")
    extra = {"foreign": foreign, "exact": foreign}

    added, kept = grader_kind("foreign", extra), grader_kind("exact", extra)

    assert (added.name, kept.name) == ("foreign", "exact")


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("yesno", 'there is no grader "yesno"; did you mean "yes_no"? Known are: yes_no, '),
        ("Key-Points", 'there is no grader "Key-Points"; did you mean "key_points"? Known are: key_points, '),
        ("foreing", 'there is no grader "foreing"; did you mean "foreign"? Known are: foreign, '),
        ("zzz", 'there is no grader "zzz"; known are: exact, '),
    ],
)
def test_unknown_grader_names_the_nearest(name: str, begin: str) -> None:
    """The fault guesses, lists all names with the nearest first, and tells of functions."""
    with pytest.raises(SuiteFault) as raised:
        grader_kind(name, {"foreign": BUILT_IN["exact"]})

    message = str(raised.value)
    assert message.startswith(begin)
    assert all(known in message for known in [*NAMES, "foreign"])
    assert message.endswith("or a function of yours as package.module:function.")


def test_function_is_not_imported_when_it_is_named() -> None:
    """A name with a colon is a kind of its own; the module is looked for when the suite is built."""
    kind = grader_kind("no_such_module:function", {})

    assert kind.name == "no_such_module:function"


def test_registry_imports_nothing_heavy() -> None:
    """Looking up a grader that needs no library of its own loads none."""
    script = (
        "import sys; from pytest_llmbench.grading.registry import grader_kind;"
        "assert not {'pydantic', 'regex'} & set(sys.modules), 'before use';"
        "[grader_kind(name, {}) for name in ('exact', 'json', 'yes_no', 'key_points', 'a:b')];"
        "assert not {'duckdb', 'sqlglot', 'jsonschema', 'torch', 'openai', 'pytest'} & set(sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "fields", "settings"),
    [
        ("exact", {}, {}),
        ("exact", {"ignore_case": True}, {"ignore_case": True}),
        ("yes_no", {"labels": ("a", "b"), "positive": "b", "probabilities": True}, {"labels": ["a", "b"]}),
        ("key_points", {"threshold": 0.5, "judge": {"votes": 3}}, {"threshold": 0.5}),
        ("sql", {"database": "events", "time_limit_s": 2.0}, {"database": "events"}),
    ],
)
def test_settings_are_what_decides_grades(name: str, fields: dict[str, Json], settings: dict[str, Json]) -> None:
    """Without defaults, without what a report shows, and without the judge, which is recorded where one was asked."""
    kind = BUILT_IN[name]
    suite = Suite(name="s", path=Path("s.yaml"), grader=name, cases=(), rules=kind.suite_fields(**fields))

    assert kind.settings(suite) == settings


def test_checks_are_no_settings() -> None:
    """The digests of the cases hold them as the gate compares them: without names, and without advice."""
    kind = checks_kind(["equals"], is_expected_text=True)
    rules = kind.suite_fields(checks=[{"equals": "a", "name": "renamed"}], pass_score=0.5, judge={"votes": 3})

    assert kind.settings(Suite(name="s", path=Path("s.yaml"), grader="checks", cases=(), rules=rules)) == {}

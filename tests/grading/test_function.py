import sys
from pathlib import Path

import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.grading.registry import grader_kind
from pytest_llmbench.values import Answer, Case, Grade, Reason, Suite

MODULE = """
from pytest_llmbench.values import Grade

LIMIT = 5

class Strictness:
    def grade(self, case, answer):
        return Grade(score=0.0, passed=False, reason="strict", explanation="never enough")

strictness = Strictness()

def length(case, answer):
    passed = len(answer.text) <= LIMIT
    return Grade(score=float(passed), passed=passed, reason="short", explanation=f"expected {case.rules.expected}")

def wrong_type(case, answer):
    return True

def wrong_score(case, answer):
    return Grade(score=1.5, passed=True, reason="short", explanation="")

def broken(case, answer):
    raise KeyError("colour")

def one_argument(answer):
    return None
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Write a module of graders onto the import path, under a name of its own for each test."""
    name = f"graders_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import a_package_nobody_has\n")
    (tmp_path / f"{name}_raising.py").write_text("raise RuntimeError('no colour')\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def built(name: str) -> tuple[Grader, Case]:
    kind = grader_kind(name, {})
    case = Case(suite="suite", id="case", inputs={}, rules=kind.case_fields(expected="five"))
    suite = Suite(name="suite", path=Path("suite.yaml"), grader=name, cases=(case,), rules=kind.suite_fields())
    return kind.build(suite, Path()), case


def grade(name: str, answer: str) -> Grade:
    grader, case = built(name)
    return grader(case, Answer(text=answer))


@pytest.mark.parametrize(("answer", "passed"), [("short", True), ("too long", False), (" short\n", True)])
def test_function_gives_the_grade(module: str, answer: str, passed: bool) -> None:
    """A function judges case and answer, the answer without outer whitespace."""
    got = grade(f"{module}:length", answer)

    assert got == Grade(score=float(passed), passed=passed, reason="short", explanation="expected five")


def test_method_of_an_object_is_a_function_too(module: str) -> None:
    """The name after the colon may have dots."""
    got = grade(f"{module}:strictness.grade", "any")

    assert got.reason == "strict"


@pytest.mark.parametrize(("answer", "reason"), [(" ", Reason.EMPTY), ("I cannot assist with that.", Reason.REFUSAL)])
def test_no_answer_needs_no_function(module: str, answer: str, reason: Reason) -> None:
    """An empty answer never reaches the function, and a refusal it fails is called one."""
    got = grade(f"{module}:strictness.grade", answer)

    assert (got.passed, got.score, got.reason) == (False, 0, reason)


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("wrong_type", TypeError, r"wrong_type gave bool \(True\); it must give a Grade"),
        ("wrong_score", ValueError, "gave the score 1.5; a score lies in 0..1"),
        ("broken", KeyError, "colour"),
    ],
)
def test_what_goes_wrong_in_a_function_is_raised(
    module: str, function: str, error: type[Exception], message: str
) -> None:
    """A function's own exception, a result that is no grade, and an impossible score are errors, not wrong answers."""
    with pytest.raises(error, match=message):
        grade(f"{module}:{function}", "any")


@pytest.mark.parametrize(
    ("suffix", "what"),
    [
        (":lenght", 'has no "lenght"; functions in it: length'),
        (":LIMIT", '"LIMIT" is int, not a function; name one that takes a case and an answer.'),
        (":one_argument", '"one_argument(answer)" cannot be called as one_argument(case, answer)'),
        ("_missing:length", "on the import path; install it, or put its folder on PYTHONPATH"),
        (".inner:length", "on the import path; install it"),
        ("_broken:length", "failed: No module named 'a_package_nobody_has'; install what it needs."),
        ("_raising:length", "failed: RuntimeError: no colour; mend the module."),
    ],
)
def test_function_that_is_not_there_is_a_fault_of_the_suite(module: str, suffix: str, what: str) -> None:
    """Module, name and arguments are tried before any model is asked, and the fault says the way out."""
    with pytest.raises(SuiteFault) as raised:
        built(module + suffix)

    assert str(raised.value).startswith(f'suite.yaml: grader "{module}{suffix}": ')
    assert what in str(raised.value)


def test_a_module_in_the_root_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function beside the project's pytest.ini needs no `pythonpath`, as a Python target needs none."""
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "graders_of_the_root.py").write_text(MODULE)
    kind = grader_kind("graders_of_the_root:length", {})
    case = Case(suite="suite", id="case", inputs={}, rules=kind.case_fields(expected="five"))
    suite = Suite(name="suite", path=Path("suite.yaml"), grader=kind.name, cases=(case,), rules=kind.suite_fields())

    grade = kind.build(suite, tmp_path)(case, Answer(text="abcde"))

    assert grade.passed

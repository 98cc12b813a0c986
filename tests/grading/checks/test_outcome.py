"""From several checks to one grade: score, passing, reason, and what a check that breaks does."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.values import Grade

GradeBy = Callable[..., Grade]


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[str]:
    """Name a function that breaks on each answer."""
    (tmp_path / "broken_checks.py").write_text("def breaks(case, answer):\n    raise RuntimeError('out of order')\n")
    sys.path.insert(0, str(tmp_path))
    yield "broken_checks:breaks"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("broken_checks", None)


def test_all_must_pass_by_default(grade: GradeBy) -> None:
    """One of two checks is half the score, and no pass; the reason is that of the first that failed."""
    found = grade("a", "{contains: a}", "{number: {value: 1}}", "{equals: b, name: letter}")

    assert (found.passed, found.reason) == (False, "unparsed")
    assert found.score == pytest.approx(1 / 3)
    assert found.explanation.startswith("number: ")
    assert found.explanation.endswith("Also failed: letter.")


def test_the_parts_list_every_check(grade: GradeBy) -> None:
    """`parts.checks` has each check in order, also behind one that failed."""
    found = grade("a", "{contains: b, name: letter, weight: 3, required: true}", "{equals: a}")

    first, second = found.parts["checks"]
    assert first == {
        "name": "letter",
        "kind": "contains",
        "passed": False,
        "score": 0.0,
        "weight": 3,
        "reason": "different",
        "explanation": 'Expected "b", found "a".',
        "required": True,
    }
    assert (second["name"], second["passed"], second["weight"]) == ("equals", True, 1)


def test_a_weight_is_a_share_of_the_score(grade: GradeBy) -> None:
    """A check of weight 3 beside one of weight 1 is three quarters; the case passes from its `pass_score` on."""
    found = grade("a", "{contains: a, weight: 3}", "{contains: b}", case="    pass_score: 0.75\n")

    assert (found.score, found.passed, found.reason) == (0.75, True, "correct")
    assert "failed: contains 2" in found.explanation


def test_a_required_check_must_pass_whatever_the_score(grade: GradeBy) -> None:
    """A score over `pass_score` is not enough where a required check failed."""
    found = grade("a", "{contains: a, weight: 3}", "{contains: b, required: true}", case="    pass_score: 0.5\n")

    assert (found.score, found.passed, found.reason) == (0.75, False, "different")


def test_advice_is_listed_and_never_counted(grade: GradeBy) -> None:
    """A check that is advice changes neither score nor outcome."""
    found = grade("a", "{contains: a}", "{contains: b, advice: true}")

    assert (found.score, found.passed) == (1.0, True)
    assert [part["passed"] for part in found.parts["checks"]] == [True, False]


def test_a_partial_score_that_passes_its_check_passes_the_case(grade: GradeBy) -> None:
    """With every check passed the case passes, though an overlap scores less than 1."""
    found = grade("the cat", "{f1: 'cat sat', min: 0.5}", "{contains: cat}")

    assert found.passed
    assert found.score == pytest.approx((2 / 3 + 1) / 2)


def test_any_passes_with_its_best(grade: GradeBy) -> None:
    """One of several is enough; if none passes, the reason is that of the first."""
    assert grade("b", "{any: [{equals: a}, {equals: b}]}").passed

    found = grade("c", "{any: [{number: {value: 1}}, {equals: b}]}")
    assert (found.passed, found.reason) == (False, "unparsed")


def test_all_is_a_group_with_a_score_of_its_own(grade: GradeBy) -> None:
    """`all` passes from its own `pass_score` on."""
    assert grade("a", "{all: [{contains: a}, {contains: b}], pass_score: 0.5}", case="    pass_score: 0.5\n").passed
    assert not grade("a", "{all: [{contains: a}, {contains: b}]}").passed


@pytest.mark.parametrize(
    ("check", "answer", "passed"),
    [
        ("{contains: x}", "abc", True),
        ("{contains: x}", "xyz", False),
        ("{json: {}}", "prose", True),
        ("{json: {}}", "[1]", False),
        ("{any: [{contains: x}, {contains: y}]}", "abc", True),
        ("{all: [{contains: a}, {contains: y}]}", "abc", True),
        ("{contains: x}", "I'm sorry, but I can't assist with that.", True),
    ],
)
def test_not_turns_a_check_round(grade: GradeBy, check: str, answer: str, passed: bool) -> None:
    """What passes without `not` fails with it, and the other way round."""
    assert grade(answer, f"{{not: {check}}}").passed is passed


@pytest.mark.parametrize("check", ["{contains: x}", "{json: {}}", "{json: {schema: {type: object}}}", "{label: no}"])
@pytest.mark.parametrize("answer", ["", " \n"])
def test_not_over_an_empty_answer_is_empty(grade: GradeBy, check: str, answer: str) -> None:
    """An answer without anything to read passes no check, a denied one neither."""
    found = grade(answer, f"{{not: {check}}}")

    assert (found.passed, found.score, found.reason) == (False, 0.0, "empty")
    (part,) = found.parts["checks"]
    assert (part["passed"], part["reason"]) == (False, "empty")


@pytest.mark.parametrize(
    "check",
    [
        "{json: {schema: {type: object}}}",
        "{json_subset: {value: {a: 1}}}",
        "{equals: x, path: a}",
        "{number: {value: 1}}",
        "{label: no}",
        "{any: [{contains: zzz}, {equals: x, path: a}]}",
    ],
)
@pytest.mark.parametrize("answer", ["some prose", "I'm sorry, but I can't assist with that."])
def test_not_over_what_cannot_be_read_fails(grade: GradeBy, check: str, answer: str) -> None:
    """Prose has no value that could be another one than the denied."""
    assert not grade(answer, f"{{not: {check}}}").passed


def test_a_check_that_breaks_is_an_error(grade: GradeBy, broken: str) -> None:
    """An exception of a check is no wrong answer; the message names check and cause."""
    with pytest.raises(LlmbenchError, match=r'check "mine" could not be tried: RuntimeError: out of order'):
        grade("a", "{contains: b}", f"{{function: '{broken}', name: mine}}")


def test_a_check_that_breaks_beside_one_that_passed_is_none(grade: GradeBy, broken: str) -> None:
    """In an `any`, what passed stands for what broke, which stays in the parts."""
    found = grade("a", f"{{any: [{{function: '{broken}'}}, {{equals: a}}]}}")

    assert found.passed
    first = found.parts["checks"][0]["checks"][0]
    assert (first["passed"], first["error"].split("\n")[0]) == (None, "RuntimeError: out of order")


def test_a_check_that_breaks_in_an_any_without_a_pass_is_an_error(grade: GradeBy, broken: str) -> None:
    """Where nothing beside it passed, nobody knows whether it would have."""
    with pytest.raises(LlmbenchError, match="out of order"):
        grade("b", f"{{any: [{{function: '{broken}'}}, {{equals: a}}]}}")


def test_advice_that_breaks_does_not_count(grade: GradeBy, broken: str) -> None:
    """The sample is graded by the checks that count."""
    assert grade("a", "{equals: a}", f"{{function: '{broken}', advice: true}}").passed


def test_the_format_is_that_of_a_label(grade: GradeBy) -> None:
    """`format_ok` is None without a label to ask for, and the label's with one."""
    assert grade("a", "{contains: a}").format_ok is None
    assert grade("no", "{label: no}", "{words: {max: 9}}").format_ok is True
    assert grade("It is no, I think.", "{label: no}").format_ok is False


def test_a_combination_is_called_by_what_it_holds(grade: GradeBy) -> None:
    """Its name has no comma, which divides names in a list of them."""
    found = grade("a", "{any: [{equals: a}, {json: {}}]}", "{all: [{equals: a}, {contains: a}]}")

    assert [check["name"] for check in found.parts["checks"]] == ["any of equals or json", "all of equals and contains"]


def test_the_error_of_a_check_that_cannot_be_tried_has_no_traceback(grade: GradeBy) -> None:
    """A message that says all stands alone; one of foreign code has its traceback behind it."""
    with pytest.raises(LlmbenchError) as raised:
        grade("a", "{finish: stop}")

    assert str(raised.value) == (
        'check "finish" could not be tried: the answer has no finish reason to check; this model or recording gives none'
    )


@pytest.mark.parametrize(
    ("answer", "passed", "reason"),
    [
        ("no", True, "correct"),
        ("yes", False, "different"),
        ("Yes, sure.", False, "format"),
        ("No, never.", True, "correct"),
    ],
)
def test_a_label_that_is_forbidden_is_not_allowed_in_a_sentence(
    grade: GradeBy, answer: str, passed: bool, reason: str
) -> None:
    """`not: {label: yes}`: "Yes, sure." keeps no format, and says yes all the same."""
    found = grade(answer, "{not: {label: yes}}")

    assert (found.passed, found.reason) == (passed, reason)

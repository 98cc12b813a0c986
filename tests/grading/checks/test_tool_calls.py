"""The check `tools`, on hand-made right, wrong and tricky calls."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.models.tool_calls import tool_call
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.values import Grade, ToolCall

GradeBy = Callable[..., Grade]


def made(*calls: str) -> tuple[ToolCall, ...]:
    """Read calls written as `name` or `name {"a": 1}`."""
    return tuple(tool_call(name, arguments) for name, _, arguments in (call.partition(" ") for call in calls))


A, B, C = "{name: a}", "{name: b}", "{name: c}"
PASSES = [
    (f"{{calls: [{A}]}}", ["a"]),
    (f"{{calls: [{A}, {B}]}}", ["c", "b", "a"]),
    (f"{{calls: [{A}, {A}]}}", ["a", "a"]),
    ("{calls: [{name: a, arguments: {x: 1}}]}", ['a {"x": 1.0, "y": 2}']),
    ('{calls: [{name: a, arguments: {x: "{{ expected }}"}}]}', ['a {"x": "Paris"}']),
    ("{calls: [{name: a, arguments: {x: {regex: 'r.*'}}}]}", ['a {"x": "refund"}']),
    ("{calls: [{name: a, arguments: {x: {number: 3, tolerance: 1}}}]}", ['a {"x": 2.5}']),
    # the call that could be either is left for the one that nothing else fits
    ("{calls: [{name: a}, {name: a, arguments: {x: 1}}]}", ['a {"x": 1}', "a"]),
    ("{calls: [{name: a, arguments: {x: {y: 1}}, match: exact}]}", ['a {"x": {"y": 1}}']),
    ("{calls: [{name: a, match: exact}]}", ["a {}"]),
    # names of arguments are no rules
    ("{calls: [{name: a, arguments: {number: x}, match: exact}]}", ['a {"number": "x"}']),
    ("{calls: [{name: a, arguments: {any: true}}]}", ['a {"any": true}']),
    ("{calls: [{name: a, arguments: {l: [{any: true}]}, match: exact}]}", ['a {"l": [{"z": 1}]}']),
    ("{calls: [{name: a, match: ignore}]}", ["a {broken"]),
    ("{calls: [{name: a, match: ignore, arguments: {x: 1}}]}", ['a {"x": 2}']),
    (f"{{calls: [{A}, {{name: b, optional: true}}]}}", ["a"]),
    (f"{{mode: exact, calls: [{A}, {B}]}}", ["a", "b"]),
    (f"{{mode: exact, calls: [{{name: b, optional: true}}, {A}, {{name: c, optional: true}}]}}", ["a", "c"]),
    (f"{{mode: subset, calls: [{A}, {B}]}}", ["b"]),
    (f"{{mode: subset, calls: [{A}]}}", []),
    (f"{{mode: ordered, calls: [{A}, {B}]}}", ["c", "a", "c", "b", "c"]),
    ("{mode: none}", []),
    (f"{{mode: none, calls: [{A}]}}", ["b"]),
]
FAILS = [
    (f"{{calls: [{A}]}}", [], "a() is missing"),
    (f"{{calls: [{A}, {A}]}}", ["a"], "a() is missing once more"),
    ("{calls: [{name: a, arguments: {x: 1}}]}", ['a {"x": 2}'], "a: at $.x: 2, not 1"),
    ("{calls: [{name: a, arguments: {x: 1}}]}", ["a"], 'a: at $: key "x" is missing'),
    ("{calls: [{name: a, arguments: {x: {y: 1}}, match: exact}]}", ['a {"x": {"y": 1, "z": 2}}'], 'a: at $.x: key "z" is too much'),
    ("{calls: [{name: a, arguments: {regex: x}}]}", ['a {"regex": "y"}'], "a: at $.regex: \"y\", not \"x\""),
    ("{calls: [{name: a, arguments: {i: {number: '17'}}, match: exact}]}", ['a {"i": {"number": "17", "x": 1}}'], 'a: at $.i: key "x" is too much'),
    ("{calls: [{name: a, match: exact}]}", ['a {"x": 1}'], 'a: at $: key "x" is too much'),
    (f"{{mode: exact, calls: [{A}, {B}]}}", ["b", "a"], "b() stands where a() belongs"),
    (f"{{mode: exact, calls: [{A}]}}", ["a", "a"], "a() is too much"),
    (f"{{mode: exact, calls: [{A}, {B}]}}", ["a"], "b() is missing"),
    (f"{{mode: subset, calls: [{A}, {B}]}}", ["a", "c"], "c() is too much"),
    (f"{{mode: subset, calls: [{A}]}}", ["a", "a"], "a() is too much"),
    (f"{{mode: ordered, calls: [{A}, {B}]}}", ["b", "a"], "b() comes too early"),
    ("{mode: none}", ["a"], "a() is called"),
    (f"{{mode: none, calls: [{A}]}}", ["b", "a"], "a() is called"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "calls"), PASSES)
def test_the_calls_that_are_asked_for_pass(grade: GradeBy, check: str, calls: list[str]) -> None:
    """Each mode and each way of matching accepts what it says."""
    found = grade("Done.", f"tools: {check}", calls=made(*calls))

    assert (found.passed, found.reason) == (True, "correct"), found


@pytest.mark.parametrize(("check", "calls", "why"), FAILS)
def test_other_calls_fail(grade: GradeBy, check: str, calls: list[str], why: str) -> None:
    """What is missing, other or too much is named."""
    found = grade("Done.", f"tools: {check}", calls=made(*calls))

    assert (found.passed, found.reason) == (False, "different")
    assert f"({why})" in found.explanation


def test_arguments_that_are_no_json_are_unparsed(grade: GradeBy) -> None:
    """They are the model's mistake, which is told from a wrong value; `not` does not turn it into a right one."""
    calls = made('a {"x": 1')
    asked = "tools: {calls: [{name: a, arguments: {x: 1}}]}"

    assert grade("Done.", asked, calls=calls).reason == "unparsed"
    assert grade("Done.", f"not: {{{asked}}}", calls=calls).passed is False
    assert grade("Done.", asked, calls=(*calls, *made('a {"x": 1}'))).passed is True


def test_an_answer_of_calls_alone_is_not_empty(grade: GradeBy) -> None:
    """Checks of its text fail, or find nothing forbidden; without a text and a call it is empty."""
    asked = "tools: {calls: [{name: a}]}"

    assert grade("", asked, "not: {contains: sorry}", calls=made("a")).passed is True
    assert grade("", asked, "contains: sorry", calls=made("a")).reason == "different"
    assert grade("", "tools: {mode: none}").reason == "empty"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        ("{}", "mode superset needs `calls`"),
        ("{mode: exakt}", "tools.mode: must be 'superset', 'exact'"),
        ("{calls: [{nam: a}]}", 'there is no key "tools.calls.0.nam"; the keys there are: name'),
        ("{calls: [{name: a, arguments: {x: {regex: '('}}}]}", "is no pattern"),
        ("{mode: subset, calls: [{name: a, optional: true}]}", "`optional` has no meaning with mode subset"),
    ],
)
def test_a_check_that_is_written_wrongly_has_its_line(grade: GradeBy, check: str, message: str) -> None:
    """What is wrong and where stands in the message."""
    with pytest.raises(SuiteFault) as caught:
        grade("x", f"tools: {check}")

    assert message in caught.value.message
    assert caught.value.line == 9


SUITE = """\
suite: s
prompt: {chat: [{role: user, content: "?"}]}
tools:
  - {name: search, parameters: {type: object, properties: {text: {type: string}}}}
cases:
  - {id: a, checks: [{tools: {calls: [{name: serch}]}}]}
  - {id: b, checks: [{tools: {calls: [{name: search, arguments: {txt: x}}]}}]}
  - {id: c, checks: [{tools: {calls: [{name: search, optional: true}]}}]}
"""


def test_validation_finds_calls_that_cannot_be_made(load: Callable[[str], LoadedSuite], tmp_path: Path) -> None:
    """A tool or an argument that the suite does not have, and calls that are all optional."""
    suite = load(SUITE)

    found = {finding.case: finding.message for finding in suite.kind.check(suite.suite, tmp_path, is_thorough=True)}

    assert found["a"] == "the suite has no tool serch; did you mean search? its tools are: search."
    assert found["b"] == "the tool search takes no txt; its arguments are: text."
    assert "can never fail" in found["c"]


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ("[]", "`tools` is empty; list some, or take it out."),
        ("[{name: a b}]", "tool 1: name: must match ^[A-Za-z0-9_.-]{1,64}$."),
        ("[{name: a}, {name: a}]", "two tools are named a; rename one."),
        ("[{name: a, parameters: {text: string}}]", "the `parameters` of tool a: arguments are an object; write"),
        ("[{name: a, parameters: {type: object, required: x}}]", "the `parameters` of tool a: this is no JSON schema"),
    ],
)
def test_a_tool_that_is_written_wrongly_has_its_line(
    load: Callable[[str], LoadedSuite], tools: str, message: str
) -> None:
    """Tools are checked before any model is asked."""
    with pytest.raises(SuiteFault) as caught:
        load(
            f'suite: s\nprompt: {{chat: [{{role: user, content: "?"}}]}}\ntools: {tools}\nchecks: []\ncases: [{{id: a}}]\n'
        )

    assert caught.value.message.startswith(message)
    assert caught.value.line == 3

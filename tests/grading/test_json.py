import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.json import difference
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.values import Reason

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        ({"a": 1, "b": [True, None]}, '{"b": [true, null], "a": 1}'),
        ({"a": 1}, '{"a": 1.0}'),
        ({"a": 1}, '```json\n{"a": 1}\n```'),
        ({"a": 1}, '```\n{"a": 1}```'),
        ({"a": 1}, '  {"a":1}\n'),
        ('{"a": 1}', '{"a": 1}'),
        ("42", "42"),
        (42, "42"),
        ("yes", '"yes"'),
        ({"a": "```x```"}, '{"a": "```x```"}'),
        (False, "false"),
    ],
)
def test_equal_values_pass(grade_of, expected: object, answer: str) -> None:
    """Answers are compared as values: key order, number format and a fence around them do not matter."""
    grade = grade_of("json", {"expected": expected}, answer)

    assert (grade.passed, grade.score, grade.reason, grade.format_ok) == (True, 1, Reason.CORRECT, None)


@pytest.mark.parametrize(
    "answer",
    [
        '```json\r\n{"a": 1}\r\n```',
        '~~~json\n{"a": 1}\n~~~',
        '````json\n{"a": 1}\n````',
        '```json {"a": 1}```',
        '```{"a": 1}```',
        '```json5\n{"a": 1}\n```',
        '```JSON\n{"a": 1}\n```  ',
        '```json\n{"a": 1}',
        '`{"a": 1}`',
        '\ufeff{"a": 1}',
        '{"a": 1}<|eot_id|>',
        '{"a": 1}\n<|im_end|>\n</s>',
        '```json\n{"a": 1}\n```<end_of_turn>',
        'Here it is: {"a": 1}',
        '{"a": 1}\n\nI hope this helps [really].',
        'As the text says [1], it is:\n{"a": 1}',
        '```json\n{"a": 1}\n```\nHope this helps!',
        'Draft: {"a": 2}. Now the answer:\n\n```json\n{"a": 1}\n```',
        '```python\nprint()\n```\n```json\n{"a": 1}\n```',
        '<json>{"a": 1}</json>',
    ],
)
def test_one_value_is_read_whatever_stands_around_it(grade_of, answer: str) -> None:
    """Fences of every kind, end tokens, a byte order mark and prose around one value do not matter."""
    grade = grade_of("json", {"expected": {"a": 1}}, answer)

    assert (grade.passed, grade.reason) == (True, Reason.CORRECT)


def test_a_text_in_json_may_hold_the_tokens_of_turns(grade_of) -> None:
    """An answer that is JSON as a whole is not cut where a model would end its turn."""
    template = "<|im_end|><|im_start|>user"

    grade = grade_of("json", {"expected": {"template": template}}, f'{{"template": "{template}"}}')

    assert grade.passed


@pytest.mark.parametrize(("answer", "passed"), [("null", True), ("```\nnull\n```", True), ("0", False), ("{}", False)])
def test_null_is_a_value(grade_of, answer: str, passed: bool) -> None:
    """`expected: null` asks for null and nothing else."""
    grade = grade_of("json", {"expected": None}, answer)

    assert grade.passed is passed
    assert grade.explanation.startswith("Expected null")


def test_null_beside_a_schema_expects_nothing(grade_of) -> None:
    """Data files write null for a key that a row does not have: then the row's schema holds."""
    grade = grade_of("json", {"expected": None, "schema": AGE}, '{"age": 3}')

    assert grade.passed


@pytest.mark.parametrize(
    ("expected", "answer", "passed", "passed_verbatim"),
    [
        ({"name": "Caf\u00e9"}, '{"name": "Cafe\\u0301"}', True, False),
        ({"Caf\u00e9": 1}, '{"Cafe\\u0301": 1}', True, False),
        (["it's"], '["it\u2019s"]', True, False),
        ({"total": "12.5"}, '{"total": 12.5}', True, False),
        ({"total": "12.5"}, '{"total": "12.5"}', True, True),
        ({"total": 12.5}, '{"total": "12.5"}', False, False),
        ({"zip": "007"}, '{"zip": 7}', False, False),
        ({"is": "1"}, '{"is": true}', False, False),
        ({"a": "\u200b", "b": 1}, '{"a": "", "b": 1}', True, False),
        ({"a": 1, "a\u200b": 2}, '{"a": 1, "a\u200b": 2}', True, True),
    ],
)
def test_texts_are_equal_as_a_reader_sees_them(
    grade_of, expected: object, answer: str, passed: bool, passed_verbatim: bool
) -> None:
    """Values and keys are compared as texts are everywhere; a text that writes a number stands for it, unless verbatim."""
    grades = [grade_of("json", {"expected": expected, "verbatim": verbatim}, answer) for verbatim in (False, True)]

    assert [grade.passed for grade in grades] == [passed, passed_verbatim]


def test_an_unseen_difference_is_shown_by_code_points(grade_of) -> None:
    """Where two texts look alike, the explanation names what differs."""
    grade = grade_of("json", {"expected": {"a": "Paris"}, "verbatim": True}, '{"a": "Paris\u200b"}')

    assert (
        "they differ in what cannot be seen, at character 6: expected nothing, found U+200B (zero width space)"
        in grade.explanation
    )


@pytest.mark.parametrize(
    ("expected", "answer", "where"),
    [
        ({"a": 1}, '{"a": 2}', "at $.a: 2, not 1"),
        ({"a": 1}, '{"a": true}', "at $.a: true, not 1"),
        ({"a": 1}, '{"a": "1"}', 'at $.a: "1", not 1'),
        ({"a": 1}, "{}", 'at $: key "a" is missing'),
        ({"a": 1}, '{"a": 1, "b": 2}', 'at $: key "b" is too much'),
        ({"a": [1, 2]}, '{"a": [2, 1]}', "at $.a[0]: 2, not 1"),
        ([1], "[1, 1]", "at $: 2 items, not 1"),
        ([], "{}", "at $: {}, not []"),
        (0, "false", "at $: false, not 0"),
        ("no", '"yes"', 'at $: "yes", not "no"'),
    ],
)
def test_difference_is_shown_where_it_is(grade_of, expected: object, answer: str, where: str) -> None:
    """A different value fails, and the explanation names the first place that differs."""
    grade = grade_of("json", {"expected": expected}, answer)

    assert (grade.passed, grade.reason) == (False, Reason.DIFFERENT)
    assert where in grade.explanation


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        "{'a': 1}",
        '{"a": 1,}',
        '[{"a": 1}, ]',
        '{"b": {"a": 1},}',
        '{b: {"a": 1}}',
        'One: {"a": 1}. Or: {"a": 1}.',
        '```json\n{"a": 1}\n```\nor\n```json\n{"a": 2}\n```',
        "Nothing but [1] to see.",
        '{"a": 1}}',
        "The value is 1.",
        '{"a": NaN}',
        '{"a": 1} {"a": 1}',
        '{"a": 2, "a": 1}',
        '```json\n{"a": 2, "a": 1}\n```',
        "[" * 100_000,
        "[" * 60 + "]" * 60,
        "1" * 5_000,
    ],
)
def test_what_holds_no_single_value_is_unparsed(grade_of, answer: str) -> None:
    """Several values, one inside a broken one, Python's notation, NaN and bottomless nesting are no JSON."""
    grade = grade_of("json", {"expected": {"a": 1}}, answer)

    assert (grade.passed, grade.score, grade.reason) == (False, 0, Reason.UNPARSED)
    assert len(grade.explanation) < 400


@pytest.mark.parametrize(
    ("answer", "passed"), [('{"age": 3}', True), ('{"age": "3"}', False), ("{}", False), ('{"age": 3, "x": 1}', True)]
)
@pytest.mark.parametrize("is_shared", [True, False])
def test_schema_of_case_or_suite_is_applied(grade_of, answer: str, passed: bool, is_shared: bool) -> None:
    """A schema may stand in the case or, for all cases without their own, in the suite."""
    case_fields, suite_fields = ({}, {"schema": AGE}) if is_shared else ({"schema": AGE}, {"schema": {"not": {}}})

    grade = grade_of("json", case_fields, answer, suite=suite_fields)

    assert (grade.passed, grade.reason) == (passed, Reason.CORRECT if passed else Reason.DIFFERENT)


def test_schema_fault_is_told_with_its_place(grade_of) -> None:
    """The explanation says where the answer breaks the schema and how."""
    grade = grade_of("json", {"schema": AGE}, '{"age": "three"}')

    assert grade.explanation == (
        'Expected JSON that fits the schema (at $.age: \'three\' is not of type \'integer\'), found "{"age": "three"}".'
    )


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "there is no `expected` and no `schema`"),
        ({"expected": '{"a": 1'}, "`expected` is not JSON"),
        ({"schema": {"type": "objekt"}}, "this is no JSON schema: 'objekt' is not valid"),
        ({"schema": {"pattern": "("}}, "this is no JSON schema: '(' is not a 'regex'"),
        ({"schema": {"$ref": "https://example.com/age.json"}}, "it refers to https://example.com/age.json"),
        ({"schema": {"items": {"$ref": "#/$defs/none"}}}, "it refers to #/$defs/none, which is not in it"),
    ],
)
def test_rules_that_cannot_work_are_found_before_any_answer(suite_of, fields: dict[str, object], fault: str) -> None:
    """A case without anything to compare with, and a schema that is none or needs the network, is the suite's fault."""
    suite = suite_of("json", fields)

    with pytest.raises(SuiteFault) as raised:
        BUILT_IN["json"].build(suite, suite.path)

    assert str(raised.value).startswith('suite.yaml:7: case "case": ')
    assert fault in str(raised.value)


def test_schema_may_refer_to_its_own_parts(grade_of) -> None:
    """References inside the schema work, recursive ones too."""
    tree = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}

    right = grade_of("json", {"schema": tree}, "[" * 50 + "]" * 50)
    wrong = grade_of("json", {"schema": tree}, "[[1]]")

    assert (right.passed, wrong.passed) == (True, False)


def test_pattern_in_a_schema_is_stopped_when_it_runs_away(grade_of) -> None:
    """A schema's pattern that does not end on an answer raises, as the harness's fault."""
    with pytest.raises(TimeoutError, match="took over 1 s"):
        grade_of("json", {"schema": {"pattern": "^(a|a|aa)+(b|c)(a|a)*d$"}}, f'"{"a" * 60}e"')


def test_case_has_a_value_or_a_schema() -> None:
    """Both at once are refused."""
    with pytest.raises(ValidationError, match="not both"):
        BUILT_IN["json"].case_fields.model_validate({"expected": 1, "schema": AGE})


def test_no_answer_is_told_apart_from_broken_json(grade_of) -> None:
    """Empty answers and refusals are not called unparsed."""
    reasons = [grade_of("json", {"expected": 1}, text).reason for text in ("", "I cannot assist with that.")]

    assert reasons == [Reason.EMPTY, Reason.REFUSAL]


@given(JSON, JSON)
def test_difference_is_the_same_both_ways(one: object, other: object) -> None:
    """A value equals itself, and two values differ or not whichever is expected."""
    there, back = difference(one, other), difference(other, one)

    assert difference(one, one) is None
    assert (there is None) == (back is None)

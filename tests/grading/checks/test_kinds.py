"""What each kind of check accepts and refuses, on hand-made right, wrong and tricky answers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.grading.checks.overlap import plain_words, rouge_l, squad_words
from pytest_llmbench.values import Grade

GradeBy = Callable[..., Grade]

PASSES = [
    ("{equals: Paris}", " Paris\n"),
    ("{equals: 'It''s'}", "It’s"),
    ("{equals: paris, ignore_case: true}", "PARIS"),
    ("{equals: ' x', trim: false}", " x"),
    ('{equals: "{{ expected }}"}', "Paris"),
    ("{equals: 5, path: n}", '{"n": 5.0}'),
    ("{equals: true, path: 'a[0].b'}", '{"a": [{"b": true}]}'),
    ("{equals: x, path: '$[\"a.b\"]'}", '{"a.b": "x"}'),
    ("{contains: [a, b]}", "b and a"),
    ("{contains: 'two words'}", "two\n words"),
    ("{contains_any: [x, b]}", "abc"),
    ("{starts_with: [No, Yes]}", "Yes, it is."),
    ("{ends_with: '.'}", "Done. "),
    ("{one_of: [a, b]}", "b"),
    ("{regex: '[0-9]+'}", " 12 "),
    ("{regex: '[0-9]+', search: true}", "no 12"),
    ("{regex: yes, ignore_case: true}", "YES"),
    ("{number: {value: 1234.5}}", "$1,234.50."),
    ("{equals: Paris}", "Paris<|im_end|>"),
    ("{levenshtein: Paris, max: 1}", "Pariss<|im_end|>"),
    ("{f1: the cat sat, min: 0.9}", "The cat sat.<|im_end|>"),
    ("{words: {max: 3}}", "one two three <|im_end|>"),
    ("{ends_with: Paris}", "It is Paris</s>"),
    ("{one_of: [Paris, Lyon]}", "Lyon<|eot_id|>"),
    ("{regex: '[0-9]+'}", "12<|im_end|>"),
    ("{number: {value: 42, tolerance: 0.5}, search: true}", "First 7, so it is 42.4"),
    ('{number: {value: "{{ 3 }}"}, path: n}', '{"n": 3}'),
    ("{words: {min: 2, max: 3}}", "two words"),
    ("{json: {}}", "```json\n[1]\n```"),
    ("{json: {expected: {a: 1, b: [x]}}}", '{"b": ["x"], "a": 1.0}'),
    ('{json: {expected: "{{ want }}"}}', '{"a": 1}'),
    ("{json: {schema: {type: integer}}, path: a}", '{"a": 3}'),
    ("{json_subset: {value: {a: {b: 1}}}}", '{"a": {"b": 1, "c": 2}, "d": 3}'),
    ("{json_subset: {value: {a: {regex: 'x+'}, n: {number: 3, tolerance: 0.1}, o: {any: true}}}}", '{"a":"xx","n":3.05,"o":null}'),
    ("{json_subset: {value: {number: '17'}}}", '{"number": "17", "a": 1}'),
    ("{json_subset: {value: {a: [{number: B-17}]}}}", '{"a": [{"number": "B-17"}]}'),
    ("{json_subset: {value: {a: {number: '{{ 17 }}'}}}}", '{"a": 17.0}'),
    ("{json_subset: {value: [1, 2], lists: any_order}}", "[2, 1]"),
    ("{json_subset: {value: [{any: true}, 1], lists: any_order}}", "[1, 2]"),
    ("{json_subset: {value: [2], lists: subset}}", "[1, 2, 3]"),
    ("{label: no}", "No."),
    ("{label: b, labels: [a, b, c]}", "b"),
    ("{key_points: {points: [{name: fog, any: [fog]}]}}", "It is about fog."),
    ("{f1: the cat sat, min: 1}", "Cat sat!"),
    ("{f1: [dog, cat], min: 0.6}", "a cat here"),
    ("{rouge_l: 'a b c d', min: 0.75}", "a x b c"),
]  # fmt: skip

FAILS = [
    ("{equals: Paris}", "Paris is it", "different"),
    ("{equals: x, trim: false}", "x\n", "different"),
    ("{equals: 5, path: n}", '{"n": 6}', "different"),
    ("{equals: x, path: a.b}", '{"a": {"c": 1}}', "unparsed"),
    ("{equals: x, path: a}", "no JSON", "unparsed"),
    ("{equals: x, path: a, fence: false}", '```\n{"a": "x"}\n```', "unparsed"),
    ("{contains: [a, b]}", "only a", "different"),
    ("{contains: 'two words', verbatim: true}", "two  words", "different"),
    ("{contains_any: [x, y]}", "abc", "different"),
    ("{starts_with: Yes}", "Well, Yes", "different"),
    ("{ends_with: '!'}", "Done.", "different"),
    ("{one_of: [a, b]}", "a b", "different"),
    ("{regex: '[0-9]+'}", "no 12", "different"),
    ("{number: {value: 4}}", "It is 4", "unparsed"),
    ("{equals: Paris, verbatim: true}", "Paris<|im_end|>", "different"),
    ("{contains: Rome}", "Paris<|im_end|>\n<|im_start|>user\nRome?", "different"),
    ("{number: {value: 42}, search: true}", "42 or 43", "different"),
    ("{number: {value: 3}, search: true}", "none", "unparsed"),
    ("{number: {value: 12}}", "1 2", "unparsed"),
    ("{words: {max: 1}}", "two words", "different"),
    ("{json: {}}", "text", "unparsed"),
    ("{json: {}, fence: false}", "```json\n[1]\n```", "unparsed"),
    ("{json: {expected: {a: 1}}, fence: false}", '```\n{"a": 1}\n```', "unparsed"),
    ("{json: {schema: {type: integer}}}", '"3"', "different"),
    ("{json_subset: {value: {a: 1}}}", '{"b": 1}', "different"),
    ("{json_subset: {value: {a: true}}}", '{"a": 1}', "different"),
    ("{json_subset: {value: [1, 2]}}", "[2, 1]", "different"),
    ("{json_subset: {value: [1, 1], lists: subset}}", "[1, 2]", "different"),
    ("{json_subset: {value: {n: {number: 3, tolerance: 0.1}}}}", '{"n": 3.2}', "different"),
    ("{json_subset: {value: {number: '17'}}}", '{"number": "18"}', "different"),
    ("{json_subset: {value: {number: '17'}}}", '{"a": "17"}', "different"),
    ("{json_subset: {value: {a: {number: '17'}}}}", '{"a": "17"}', "different"),
    ("{json_subset: {value: {a: {number: '17'}}}}", '{"a": 18}', "different"),
    ("{json_subset: {value: {a: {number: B-17}}}}", '{"a": 17}', "different"),
    ("{json_subset: {value: {a: {number: 17}}}}", '{"a": {"number": 17}}', "different"),
    ("{json_subset: {value: 1}}", "prose", "unparsed"),
    ("{label: no}", "yes", "wrong-label"),
    ("{label: no}", "The answer is no.", "format"),
    ("{key_points: {points: [{name: fog, any: [fog]}]}}", "It is about rain.", "missing-points"),
    ("{f1: the cat sat, min: 0.9}", "a dog sat", "different"),
    ("{rouge_l: 'a b c d', min: 0.75}", "d c b a", "different"),
    ("{equals: x}", "I'm sorry, but I can't assist with that.", "refusal"),
]


@pytest.mark.parametrize(("check", "answer"), PASSES)
def test_a_right_answer_passes(grade: GradeBy, check: str, answer: str) -> None:
    """The answer meets the check, and so its case."""
    found = grade(answer, check)

    assert (found.passed, found.reason) == (True, "correct"), found


@pytest.mark.parametrize(
    ("check", "answer", "explanation"),
    [
        ("{words: {min: 2}}", "one", 'Expected at least 2 words (1 is there), found "one".'),
        ("{words: {max: 1}}", "two words", 'Expected at most 1 word (2 are there), found "two words".'),
        ("{levenshtein: abc, max: 1}", "abd", 'Expected "abc" within 1 edit (1 edit), found "abd".'),
    ],
)
def test_one_word_and_one_edit_are_singular(grade: GradeBy, check: str, answer: str, explanation: str) -> None:
    """A count of one has no plural."""
    assert grade(answer, check).explanation == explanation


@pytest.mark.parametrize(("check", "answer", "reason"), FAILS)
def test_a_wrong_answer_fails_with_its_reason(grade: GradeBy, check: str, answer: str, reason: str) -> None:
    """The answer misses the check, for the reason that the table of kinds names."""
    found = grade(answer, check)

    assert (found.passed, found.reason) == (False, reason), found


def test_finish_is_the_reason_that_the_model_ended_for(grade: GradeBy) -> None:
    """`finish` compares with what the provider gave; several may be right."""
    assert grade("x", "{finish: stop}", finish="stop").passed
    assert grade("x", "{finish: [stop, tool_calls]}", finish="tool_calls").passed
    assert not grade("x", "{finish: stop}", finish="length").passed


def test_finish_without_a_reason_is_an_error(grade: GradeBy) -> None:
    """A recording that knows no finish reason is not a wrong answer."""
    with pytest.raises(LlmbenchError, match='check "finish" could not be tried'):
        grade("x", "{finish: stop}")


def test_a_missing_path_names_what_is_there(grade: GradeBy) -> None:
    """The explanation lists the keys beside the one that is missing."""
    found = grade('{"kind": 1, "size": 2}', "{equals: x, path: category}")

    assert '$ has no "category"; its keys: kind, size' in found.explanation


@pytest.mark.parametrize(
    ("want", "got", "score"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("a b c", "", 0.0),
        ("a b a b", "b a b a", 0.75),
    ],
)
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(want: str, got: str, score: float) -> None:
    """The first two are the example of Lin (2004)."""
    assert rouge_l(plain_words(want), plain_words(got)) == pytest.approx(score)


def test_f1_reads_words_as_squad_does() -> None:
    """Case, punctuation and English articles do not count."""
    assert squad_words("The Cat's a-sat, AN  end.") == ["cats", "asat", "end"]


def test_sql_is_run_on_the_database_of_the_check(grade: GradeBy, tmp_path: Path) -> None:
    """Two checks of one case may have a database each; the grade of a query is that of the grader `sql`."""
    for name, row in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "schema.sql").write_text("CREATE TABLE t (x INTEGER NOT NULL);")
        (folder / "a.sql").write_text(f"INSERT INTO t VALUES ({row});")
        (folder / "database.toml").write_text("[instances.a]\nnow = 2024-03-15T12:00:00\n")
    first = "{sql: {database: one, reference: SELECT 1}}"
    second = "{sql: {database: two, reference: SELECT 2}}"

    assert grade("SELECT x FROM t", first, second).passed
    assert grade("SELECT 1", first, second).reason == "wrong-result"

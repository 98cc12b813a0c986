import pytest
from pydantic import ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.models.validation import FROM_TEXT
from pytest_llmbench.values import Reason


@pytest.mark.parametrize(
    ("expected", "answer", "passed"),
    [
        ("Paris", "Paris", True),
        ("Paris", " Paris\n", True),
        (" Paris ", "Paris", True),
        ("Paris", "paris", False),
        ("Paris", "Paris.", False),
        ("Paris", "The answer is Paris", False),
        ("I cannot assist with that.", "I cannot assist with that.", True),
        ("42", "４２", False),
        ("a  b", "a b", False),
        ("Paris", "Paris<|im_end|>", True),
        ("Paris", "Paris</s>\n", True),
        ("Paris", "Paris<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd Rome?", True),
        ("Paris", "Rome<|im_end|>\n<|im_start|>user\nParis", False),
        ("Paris", "Rome<|im_end|>", False),
        ("Paris", "<|im_start|>assistant\nParis<|im_end|>", True),
        ("Paris", "<|start_header_id|>assistant<|end_header_id|>\n\nParis<|eot_id|>", True),
        ("Paris", "<start_of_turn>model\nParis<end_of_turn>", True),
        ("Paris", "[/INST] Paris</s>", True),
        ("Paris", "Paris\n[END FINAL RESPONSE]", True),
        ("Paris", "assistant\nParis", False),
        ("</s>", "</s>", True),
        ("<s>old</s>", "<s>old</s>", True),
        ("<s>old", "<s>old</s>", False),
    ],
)
def test_exact_asks_for_the_text_alone(grade_of, expected: str, answer: str, passed: bool) -> None:
    """Under `exact` the whole answer is the expected text, whitespace around it aside."""
    grade = grade_of("exact", {"expected": expected}, answer)

    assert (grade.passed, grade.score, grade.format_ok) == (passed, float(passed), None)


SAME = [
    ("Caf\u00e9", "Cafe\u0301"),
    ("it's", "it\u2019s"),
    ('"so"', "\u201cso\u201d"),
    ("10 km", "10\u00a0km"),
    ("10 km", "10\u202fkm"),
    ("Paris", "\u200bParis"),
    ("Paris", "\ufeffParis\u200e"),
    ("cooperate", "co\u00adoperate"),
    ("well-known", "well\u2011known"),
    ("a\nb", "a\r\nb"),
    ("\u2764", "\u2764\ufe0f"),
    ("\ud55c", "\u1112\u1161\u11ab"),
]
"""Texts that differ in what a reader does not see, or in how quotes are written."""


@pytest.mark.parametrize("grader", ["exact", "contains"])
@pytest.mark.parametrize(("one", "other"), [*SAME, *((other, one) for one, other in SAME)])
def test_what_cannot_be_seen_is_no_difference(grade_of, grader: str, one: str, other: str) -> None:
    """Composition, quotes, kinds of blanks and characters of no width do not matter, on either side."""
    grade = grade_of(grader, {"expected": one}, other)

    assert (grade.passed, grade.reason) == (True, Reason.CORRECT)


@pytest.mark.parametrize("grader", ["exact", "contains"])
@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_verbatim_case_counts_each_character(grade_of, grader: str, one: str, other: str) -> None:
    """With `verbatim: true` nothing is folded, and the explanation shows the code points where the texts look alike."""
    fields = {"expected": one, "verbatim": True}

    same, different = grade_of(grader, fields, one), grade_of(grader, fields, other)

    assert same.passed
    if different.passed:  # a text of which only the surroundings differ is contained
        assert (grader, one in other) == ("contains", True)
    else:
        assert "they differ in what cannot be seen, at character" in different.explanation


@pytest.mark.parametrize(
    ("grader", "expected", "answer", "note"),
    [
        (
            "exact",
            "Caf\u00e9",
            "Cafe\u0301",
            "at character 4: expected U+00E9 (latin small letter e with acute), "
            "found U+0065 (latin small letter e) U+0301 (combining acute accent)",
        ),
        ("exact", "a b", "a  b", "at character 3: expected nothing, found U+0020 (space)"),
        (
            "exact",
            "Anna",
            "\u0410nna",
            "at character 1: expected U+0041 (latin capital letter a), found U+0410 (cyrillic capital letter a)",
        ),
        (
            "contains",
            "Anna",
            "It is \u0410nna who came.",
            "at character 1: expected U+0041 (latin capital letter a), found U+0410 (cyrillic capital letter a)",
        ),
    ],
)
def test_an_unseen_difference_is_shown(grade_of, grader: str, expected: str, answer: str, note: str) -> None:
    """The explanation of two texts that look alike names the code points that differ, by place and name."""
    grade = grade_of(grader, {"expected": expected, "verbatim": True}, answer)

    assert not grade.passed
    assert grade.explanation.endswith(f" (they differ in what cannot be seen, {note}).")


@pytest.mark.parametrize(
    ("expected", "answer"), [("Paris", "Rome"), ("ab", "a b"), ("Paris", "paris"), ("42", "\uff14\uff12")]
)
def test_a_difference_that_is_seen_needs_no_code_points(grade_of, expected: str, answer: str) -> None:
    """Different words, a blank too many and another letter case are there to be seen."""
    explanations = [grade_of(grader, {"expected": expected}, answer).explanation for grader in ("exact", "contains")]

    assert not any("cannot be seen" in explanation for explanation in explanations)


def test_exact_says_what_was_expected_and_found(grade_of) -> None:
    """The explanation of a wrong answer holds both texts."""
    grade = grade_of("exact", {"expected": "Paris"}, "Rome,\nsurely")

    assert grade.reason == Reason.DIFFERENT
    assert grade.explanation == 'Expected "Paris", found "Rome, surely".'


@pytest.mark.parametrize(("grader", "answer"), [("exact", "STRASSE"), ("contains", "in der STRASSE dort")])
def test_letter_case_is_ignored_where_the_suite_says_so(grade_of, grader: str, answer: str) -> None:
    """`ignore_case` folds case as Unicode does, in expected text and answer alike."""
    heeded = grade_of(grader, {"expected": "Straße"}, answer)
    ignored = grade_of(grader, {"expected": "Straße"}, answer, suite={"ignore_case": True})

    assert (heeded.passed, ignored.passed) == (False, True)


@pytest.mark.parametrize(
    ("expected", "answer", "missing"),
    [
        ("pod", "two pods", []),
        (["pod", "whale"], "a whale in a pod", []),
        (["pod", "whale", "chip"], "a whale", ["pod", "chip"]),
        ("don't know", "I don’t\nknow", []),
        ("don’t", "I don't", []),
        ("Pod", "pod", ["Pod"]),
        ("I can't help", "I can't help with that", []),
        ("Rome", "Paris<|eot_id|><|start_header_id|>user\nAnd Rome?", ["Rome"]),
        ("Paris", "Paris<|eot_id|><|start_header_id|>user\nAnd Rome?", []),
        ("<|im_end|>", "ChatML ends a turn with <|im_end|>, always.", []),
        ("</s>", "Llama 2 ends a turn with </s>", []),
        (["turn", "<|im_end|>"], "ChatML ends a turn with <|im_end|>", []),
    ],
)
def test_contains_names_what_is_missing(grade_of, expected: object, answer: str, missing: list[str]) -> None:
    """Under `contains` every expected text occurs; quotes and whitespace are read as plain ones."""
    grade = grade_of("contains", {"expected": expected}, answer)

    assert (grade.passed, grade.score, grade.parts) == (not missing, float(not missing), {"missing": missing})
    assert all(f'"{text}"' in grade.explanation for text in missing)


@pytest.mark.parametrize(
    ("pattern", "answer", "passed"),
    [
        (r"\d{4}", " 2023\n", True),
        (r"\d{4}", "in 2023", False),
        (r"yes|no", "yes", True),
        (r"yes|no", "no way", False),
        (r"(?i)yes", "YES", True),
        (r"(?s)SELECT.*;", "SELECT 1\nFROM t;", True),
        (r"\d{4}", "\ufeff2023", True),
        (r"[A-Z]{3}", "EUR\u200b", True),
        (r"\d{4}", "2023<|im_end|>", True),
        (r"\d{4}<\|im_end\|>", "2023<|im_end|>", True),
        (r"\d{4}", "2023<|im_end|>\n<|im_start|>user\nAnd 2024?", True),
    ],
)
def test_regex_matches_the_whole_answer(grade_of, pattern: str, answer: str, passed: bool) -> None:
    """Under `regex` the trimmed answer is matched from its start to its end."""
    grade = grade_of("regex", {"expected": pattern}, answer)

    assert (grade.passed, grade.reason) == (passed, Reason.CORRECT if passed else Reason.DIFFERENT)


def test_bad_pattern_is_found_before_any_answer(suite_of) -> None:
    """A pattern that does not compile is a fault of the suite, with the case and its place."""
    suite = suite_of("regex", {"expected": "(yes"})

    with pytest.raises(SuiteFault, match=r"suite\.yaml:7: case \"case\": '\(yes' is no pattern \(missing \)"):
        BUILT_IN["regex"].build(suite, suite.path)


def test_pattern_that_never_ends_is_the_harness_fault(grade_of) -> None:
    """A pattern that runs away on an answer is stopped and raised, not counted as a wrong answer."""
    with pytest.raises(TimeoutError, match=r"case \"case\": the pattern .* took over 1 s"):
        grade_of("regex", {"expected": "(a|a|aa)+(b|c)(a|a)*d"}, "a" * 60 + "e")


@pytest.mark.parametrize("grader", ["exact", "contains", "regex"])
@pytest.mark.parametrize("answer", ["", "I'm sorry, but I can't help with that."])
def test_no_answer_is_told_apart_from_a_different_one(grade_of, grader: str, answer: str) -> None:
    """Empty answers and refusals have reasons of their own."""
    grade = grade_of(grader, {"expected": "Paris"}, answer)

    assert grade.reason == (Reason.REFUSAL if answer else Reason.EMPTY)
    assert (grade.passed, grade.score) == (False, 0)


@pytest.mark.parametrize(
    ("grader", "fields"),
    [
        ("exact", {"expected": " "}),
        ("contains", {"expected": "\u200b"}),
        ("regex", {"expected": "a", "verbatim": True}),
        ("exact", {}),
        ("exact", {"expected": "a", "weight": 1}),
        ("contains", {"expected": []}),
        ("contains", {"expected": ["a", ""]}),
        ("regex", {"expected": ["a"]}),
    ],
)
def test_fields_that_cannot_work_are_refused(grader: str, fields: dict[str, object]) -> None:
    """Blank, missing, unknown and ill-typed fields do not get as far as the grader."""
    with pytest.raises(ValidationError):
        BUILT_IN[grader].case_fields.model_validate(fields)


@pytest.mark.parametrize("written", ["['x', 'y']", "[x, y]", ' ["x", "y",] '])
def test_a_field_of_csv_that_looks_like_a_list_and_is_none_is_refused(written: str) -> None:
    """As one text no answer would contain it, and no word would be said of it; in YAML it is one text."""
    fields = BUILT_IN["contains"].case_fields

    with pytest.raises(ValidationError, match="it looks like a list, but is no JSON"):
        fields.model_validate({"expected": written}, context=FROM_TEXT)
    assert fields.model_validate({"expected": written})


@pytest.mark.parametrize(
    ("written", "texts"), [('["x", "y"]', ("x", "y")), ("x", ("x",)), ("[x] y", ("[x] y",)), ('["x"', ('["x"',))]
)
def test_a_field_of_csv_may_hold_several_texts(written: str, texts: tuple[str, ...]) -> None:
    """Where all is text, a list is written as JSON; in YAML the same is one text."""
    fields = BUILT_IN["contains"].case_fields

    from_csv = fields.model_validate({"expected": written}, context=FROM_TEXT)
    from_yaml = fields.model_validate({"expected": written})

    assert (from_csv.expected, from_yaml.expected) == (texts, (written,))

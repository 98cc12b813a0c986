import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.grading.yes_no import Labels
from pytest_llmbench.values import Reason

RUN_ON = " yes\n\n6. The 10 cities to visit before you die\nClickbait: no\n"

STRICT = [
    ("yes", "yes"),
    ("no", "no"),
    (" yes", "yes"),
    ("yes\n", "yes"),
    ("\n\nno \n", "no"),
    ("Yes", "yes"),
    ("YES", "yes"),
    ("nO", "no"),
    ("no.", "no"),
    ("Yes.", "yes"),
    ("ｙｅｓ", "yes"),
    ("ＮＯ．", "no"),
    ("no。", "no"),
    ("yes\u200b", "yes"),
    ("<think>It is a list, so yes. Or no?</think>\n\nno", "no"),
]

LENIENT = [
    (RUN_ON, "yes"),
    ("yes\n6. You won't believe this\nClickbait: no", "yes"),
    ("yes 6. You won't believe this", "yes"),
    ("**Yes**", "yes"),
    ("*no*", "no"),
    ("`no`", "no"),
    ('"yes"', "yes"),
    ("“No.”", "no"),
    ("```\nyes\n```", "yes"),
    ("```text\nno\n```", "no"),
    ("yes!", "yes"),
    ("yes,", "yes"),
    ("no..", "no"),
    ("Yes, because no one would click otherwise.", "yes"),
    ("Yes — there is no information in it", "yes"),
    ("Yes - it has no content.", "yes"),
    ("Yes (no doubt about it)", "yes"),
    ("Yes, no doubt.", "yes"),
    ("Yes. No facts are given.", "yes"),
    ("No, as it says plainly that yes-men were fired.", "no"),
    ("No: the title says it all.", "no"),
    ("No, this is not clickbait.", "no"),
    ("Clickbait: no", "no"),
    ("Clickbait: yes\n\n6. Another title\nClickbait: no", "yes"),
    ("Clickbait (yes/no): no", "no"),
    ("Yes/No: yes", "yes"),
    ("Answer: yes", "yes"),
    ("Answer:\nyes", "yes"),
    ("**Answer:** No.", "no"),
    ("Sure! Here is my answer:\n\nYes", "yes"),
    ("I'd say yes", "yes"),
    ("The answer is yes.", "yes"),
    ("It is clickbait, so yes.", "yes"),
    ("yes yes yes", "yes"),
    ("5. yes", "yes"),
    ("- no", "no"),
    ("I have no idea, but yes.", "yes"),
    ("This is not a no. Yes.", "yes"),
    ("yes <|endoftext|>", "yes"),
]

UNREAD = [
    "yes and no",
    "yes or no",
    "Yes/No",
    "no, yes",
    "Yes, no, maybe.",
    "maybe",
    "It depends.",
    "This title is clickbait.",
    "This title is not clickbait.",
    "I have no idea.",
    "No one can tell.",
    "It is not a yes.",
    "yesterday",
    "nope",
    "note",
    "y",
    "5",
    "...",
    "6. The 10 cities to visit\nClickbait: yes",
    "Let me think.\nyes",
    "Is it clickbait, yes or no? Yes.",
    "Because yes and no are both right",
    "x" * 3000 + " yes",
]


@pytest.mark.parametrize("expected", ["yes", "no"])
@pytest.mark.parametrize(("answer", "label"), STRICT)
def test_label_alone_keeps_the_format(grade_of, answer: str, label: str, expected: str) -> None:
    """A label and nothing else, in any case and width, is judged right or wrong."""
    grade = grade_of("yes_no", {"expected": expected}, answer)

    is_right = label == expected
    assert (grade.passed, grade.score, grade.format_ok) == (is_right, float(is_right), True)
    assert grade.reason == (Reason.CORRECT if is_right else Reason.WRONG_LABEL)
    assert grade.parts == {"strict": label, "lenient": label, "expected": expected, "lenient_correct": is_right}


@pytest.mark.parametrize("expected", ["yes", "no"])
@pytest.mark.parametrize(("answer", "label"), LENIENT)
def test_label_with_more_breaks_the_format(grade_of, answer: str, label: str, expected: str) -> None:
    """An answer that says its label in other words fails for its format, right label or wrong, and keeps the label."""
    grade = grade_of("yes_no", {"expected": expected}, answer)

    assert (grade.passed, grade.score, grade.reason, grade.format_ok) == (False, 0, Reason.FORMAT, False)
    assert grade.parts == {
        "strict": None,
        "lenient": label,
        "expected": expected,
        "lenient_correct": label == expected,
    }


@pytest.mark.parametrize("answer", UNREAD)
def test_answer_without_one_clear_label_is_unparsed(grade_of, answer: str) -> None:
    """No label, two labels, or a label only in a later line is no answer of either class."""
    grade = grade_of("yes_no", {"expected": "yes"}, answer)

    assert (grade.passed, grade.score, grade.reason, grade.format_ok) == (False, 0, Reason.UNPARSED, False)
    assert grade.parts == {"strict": None, "lenient": None, "expected": "yes", "lenient_correct": False}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", Reason.EMPTY),
        ("\n\n", Reason.EMPTY),
        ("<think>yes or no, that is the question", Reason.EMPTY),
        ("I'm sorry, but I can't say yes.", Reason.REFUSAL),
        ("As an AI language model, I cannot tell.", Reason.REFUSAL),
        ("Clickbait: I'm sorry, but I cannot judge this.", Reason.REFUSAL),
    ],
)
def test_no_answer_is_neither_class(grade_of, answer: str, reason: Reason) -> None:
    """Empty answers and refusals have their own reasons and no label, whatever words they hold."""
    grade = grade_of("yes_no", {"expected": "yes"}, answer)

    assert (grade.passed, grade.reason, grade.format_ok, grade.parts["lenient"]) == (False, reason, False, None)


@pytest.mark.parametrize(
    ("answer", "strict", "lenient"),
    [
        ("not clickbait", "not clickbait", "not clickbait"),
        ("Not  Clickbait.", "not clickbait", "not clickbait"),
        ("clickbait", "clickbait", "clickbait"),
        ("This is not clickbait!", None, "not clickbait"),
        ("This is not really clickbait!", None, None),
        ("It's clickbait", None, "clickbait"),
        ("clickbait, definitely", None, "clickbait"),
        ("clickbait (maybe not clickbait)", None, "clickbait"),
        ("Clickbait or not clickbait", None, None),
        ("satire / news", None, None),
        ("clickbaity", None, None),
    ],
)
def test_labels_of_several_words_may_hold_each_other(grade_of, answer: str, strict: str, lenient: str) -> None:
    """The longest label at a place is read, so that "not clickbait" is never "clickbait"."""
    labels = {"labels": ["clickbait", "not clickbait", "satire", "news"]}

    grade = grade_of("yes_no", {"expected": "news"}, answer, suite=labels)

    assert (grade.parts["strict"], grade.parts["lenient"]) == (strict, lenient)


def test_labels_are_given_back_as_declared(grade_of) -> None:
    """Parts hold the suite's spelling of a label, however case and answer write it."""
    grade = grade_of("yes_no", {"expected": "POSITIVE"}, "positive", suite={"labels": ["Positive", "Negative"]})

    assert grade.passed
    assert grade.parts["strict"] == grade.parts["expected"] == "Positive"


def test_explanation_shows_what_was_read(grade_of) -> None:
    """The sentence holds the label found, whether it is right, and the answer."""
    grade = grade_of("yes_no", {"expected": "no"}, "**Yes**, sure")

    assert grade.explanation == (
        'The label is there ("yes", wrong) but not alone: expected "no", found "**Yes**, sure".'
    )


def test_expected_must_be_a_label(suite_of) -> None:
    """A case that expects something else is a fault of the suite that names case and labels."""
    suite = suite_of("yes_no", {"expected": "maybe"})

    with pytest.raises(SuiteFault) as raised:
        BUILT_IN["yes_no"].build(suite, suite.path)

    assert str(raised.value) == (
        'suite.yaml:7: case "case" expects "maybe"; the labels are: yes, no. Write one of them.'
    )


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"labels": ["yes"]}, "at least 2 items"),
        ({"labels": ["yes", "YES"]}, "the same word"),
        ({"labels": ["yes", " "]}, "blank"),
        ({"positive": "maybe"}, 'positive "maybe" is none of the labels: yes, no'),
        ({"threshold": 1}, "Extra inputs"),
    ],
)
def test_labels_that_cannot_work_are_refused(fields: dict[str, object], fault: str) -> None:
    """Labels are at least two different words, and the positive class is one of them."""
    with pytest.raises(ValidationError, match=fault):
        BUILT_IN["yes_no"].suite_fields.model_validate(fields)


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
LABEL_SETS = st.lists(WORDS, min_size=2, max_size=4)


@given(st.data(), LABEL_SETS)
def test_what_is_read_strictly_is_read_leniently(grade_of, data: st.DataObject, words: list[str]) -> None:
    """Whatever the labels are, a label alone is right both ways; so strict accuracy is never over lenient accuracy."""
    try:
        BUILT_IN["yes_no"].suite_fields.model_validate({"labels": words})
    except ValidationError:
        reject()
    label = data.draw(st.sampled_from(words))
    stop = data.draw(st.sampled_from(["", ".", "\n"]))

    grade = grade_of("yes_no", {"expected": label}, label + stop, suite={"labels": words})

    assert grade.parts["strict"] is None or grade.parts["lenient"] == grade.parts["strict"]
    assert not grade.passed or grade.parts["lenient_correct"]


@given(st.text(), st.text())
def test_later_lines_change_no_lenient_reading(line: str, run_on: str) -> None:
    """Once the first line has given a label, nothing a model runs on with can change it."""
    labels = Labels.of(("yes", "no"))
    first = labels.read_leniently(line)

    again = labels.read_leniently(f"{line}\n{run_on}")

    assert first is None or again == first


@given(st.text(st.sampled_from("yesno .,:*'\n-")))
def test_score_is_all_or_nothing(grade_of, answer: str) -> None:
    """A grade is 1 and passed, or 0 and failed, and passed only with the format kept."""
    grade = grade_of("yes_no", {"expected": "no"}, answer)

    assert grade.score == float(grade.passed)
    assert grade.format_ok or not grade.passed

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.values import Grade, Reason

DOUGH: dict[str, Any] = {
    "points": [
        {"name": "money sense", "any": ["money", "cash", r"wage\w*", r"earn\w*"], "weight": 2},
        {"name": "bread sense", "any": ["bread", r"knead\w*", "flour"]},
    ],
    "forbid": [{"name": "wrong sense", "any": ["play-?doh", "dough.{0,20}(deer|doe)"]}],
    "references": ["'Dough' is what bakers knead for bread and slang for money, so she is short of both."],
}
RIGHT = "Dough is kneaded for bread, and it is slang for money."
FILLER = " The writer chose words with care, and readers of many ages and places have smiled at such lines."


def dough(grade_of: Any, answer: str, **fields: Any) -> Grade:
    grade: Grade = grade_of("key_points", DOUGH | fields, answer)
    return grade


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        RIGHT.upper(),
        " " + RIGHT + "\n",
        DOUGH["references"][0],
        "Dough means bread mix, but also **cash**.",
        "“Dough” is ｂｒｅａｄ and ｍｏｎｅｙ.",
        "Dough isn't just bread; it is money.",
        "It's not only about bread but about money too.",
        "She couldn't earn enough, and bread is made of dough.",
        "The baker made flour into bread for low wages.",
        RIGHT + "\n\nJoke: My tailor practises law.\nExplanation: Play-doh, alternatively a female deer.",
        "Joke: Our baker quit.\n\nExplanation: " + RIGHT,
        "It is not play-doh: bread and money are meant.",
        "I can't help but laugh, for dough is bread and money.",
        "Dough has two senses:\n1. bread\n2. money",
        "She says 'dough' instead of 'bread', which sounds like money.",
        'Her "no comment" on bread and money is the joke.',
        "Dough is kneaded, or it could mean money.",
    ],
)
def test_right_explanation_passes(grade_of: Any, answer: str) -> None:
    """An answer that makes every point without padding has the full score, whatever its typography or run-on."""
    grade = dough(grade_of, answer)

    assert (grade.passed, grade.score, grade.reason, grade.format_ok) == (True, 1, Reason.CORRECT, None)


@pytest.mark.parametrize(
    ("answer", "score", "reason"),
    [
        ("Dough is slang for money.", 2 / 3, Reason.MISSING_POINTS),
        ("Dough is kneaded.", 1 / 3, Reason.MISSING_POINTS),
        ("She quit.", 0, Reason.MISSING_POINTS),
        ("Our baker quit; she couldn't make enough dough.", 0, Reason.MISSING_POINTS),
        ("Dough does not mean money, it means bread.", 1 / 3, Reason.MISSING_POINTS),
        ("It has nothing to do with bread or money.", 0, Reason.MISSING_POINTS),
        ("Moneybags and breadwinners.", 0, Reason.MISSING_POINTS),
        ("Joke: bread and money\nJoke: bread and money", 1, Reason.CORRECT),
        ("She quit.\n\nJoke: bread and money", 0, Reason.MISSING_POINTS),
        (RIGHT + " It means play-doh.", 0.4, Reason.FORBIDDEN_CLAIM),
        ("Money, or a dough like a deer.", 0.4, Reason.FORBIDDEN_CLAIM),
        ("It means play-doh.", 0, Reason.FORBIDDEN_CLAIM),
        (RIGHT + " Alternatively, she was tired.", 0.8, Reason.CORRECT),
        (RIGHT + " It can also be understood as a sigh.", 0.8, Reason.CORRECT),
        (
            "Dough is kneaded for bread. Alternatively, it is slang for the money that a bakery makes.",
            0.8,
            Reason.CORRECT,
        ),
        (RIGHT + " Alternatively," + FILLER, 0.6, Reason.PADDING),
        ("She was tired. Alternatively, it is bread and money.", 0.6, Reason.PADDING),
        (RIGHT + " Or maybe she was tired. Another explanation is love.", 0.36, Reason.PADDING),
        (RIGHT + " Alternatively, a. Or maybe b. Either way, c. It could also be d.", 0.216, Reason.PADDING),
        ("It's money. Alternatively, it could also be a pun.", 0.4, Reason.MISSING_POINTS),
        (RIGHT + FILLER * 5, None, Reason.PADDING),
        ("", 0, Reason.EMPTY),
        ("I'm sorry, but I can't explain jokes about money.", 0, Reason.REFUSAL),
        ("As an AI language model, I cannot understand humour.", 0, Reason.REFUSAL),
    ],
)
def test_wrong_explanation_fails_for_its_reason(grade_of: Any, answer: str, score: float, reason: Reason) -> None:
    """Points missed, claims that are wrong, and words or explanations too many each cost what the rule says."""
    grade = dough(grade_of, answer)

    assert grade.reason == reason
    assert grade.passed == (reason == Reason.CORRECT)
    assert grade.score == (pytest.approx(score) if score is not None else grade.score)


def test_twice_the_length_costs_thirty_percent(grade_of: Any) -> None:
    """The deduction for length is the root of limit over words; the limit itself is free."""
    at_limit = dough(grade_of, "bread money " + "word " * 8, max_words=10)
    twice = dough(grade_of, "bread money " + "word " * 18, max_words=10)

    assert at_limit.score == 1
    assert twice.score == pytest.approx(0.5**0.5)
    assert twice.parts["length_factor"] == pytest.approx(0.7071)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_words": 12}, 12),
        ({"references": ["one two three", "one two three four five"]}, 13),
        ({"references": []}, 90),
    ],
)
def test_limit_comes_from_the_case_its_references_or_nowhere(grade_of: Any, fields: dict[str, Any], limit: int) -> None:
    """`max_words` is the limit, else two and a half times the longest reference, else 90."""
    grade = dough(grade_of, RIGHT, **fields)

    assert grade.parts["limit"] == limit


def test_parts_hold_the_evidence(grade_of: Any) -> None:
    """Each point has its name, weight, and where in the model's own text it was made."""
    answer = "Well: dough: “ｃａｓｈ”, not bread.\nJoke: next"

    grade = dough(grade_of, answer)

    place = answer.index("ｃａｓｈ")
    assert grade.parts == {
        "points": [
            {"name": "money sense", "hit": True, "weight": 2, "start": place, "end": place + 4, "quote": "ｃａｓｈ"},
            {"name": "bread sense", "hit": False, "weight": 1, "start": None, "end": None, "quote": None},
        ],
        "forbidden": [{"name": "wrong sense", "hit": False, "start": None, "end": None, "quote": None}],
        "coverage": 0.6667,
        "length_factor": 1,
        "hedges": 0,
        "words": 5,
        "limit": 43,
        "ran_on": True,
    }


def test_explanation_says_what_was_missed_and_what_is_wrong(grade_of: Any) -> None:
    """The sentence names missing points, forbidden claims with their words, and every deduction."""
    grade = dough(grade_of, "Play-Doh is money. Alternatively, it is a toy.", max_words=5)

    assert grade.explanation == (
        'The answer claims what is wrong: wrong sense ("Play-Doh"); misses bread sense; '
        "is long (8 words, limit 5); switches to one more explanation 1x."
    )


@pytest.mark.parametrize(("threshold", "passed"), [(0.66, True), (0.67, False), (1, False), (0, True)])
def test_threshold_is_the_suites(grade_of: Any, threshold: float, passed: bool) -> None:
    """A score at or over the suite's threshold passes, with the reason `correct`."""
    grade = grade_of("key_points", DOUGH, "It is about money.", suite={"threshold": threshold})

    assert (grade.passed, grade.reason == Reason.CORRECT) == (passed, passed)


def test_only_the_beginning_of_a_huge_answer_is_judged(grade_of: Any) -> None:
    """What comes after 20,000 characters makes no point, and a megabyte is graded all the same."""
    grade = dough(grade_of, "word " * 200_000 + RIGHT)

    assert (grade.score, grade.parts["words"]) == (0, 4000)


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        (
            "points",
            {"name": "money", "any": ["(cash"]},
            """case "case", point "money": '(cash' is no pattern (missing )); write a regular expression of words.""",
        ),
        (
            "forbid",
            {"name": "toy", "any": ["x*"]},
            """case "case", forbidden claim "toy": 'x*' matches even the empty text; """
            "write a regular expression of words.",
        ),
    ],
)
def test_bad_pattern_is_found_before_any_answer(suite_of: Any, part: str, fields: Any, message: str) -> None:
    """A pattern that cannot be used is a fault of the suite that names case, point and pattern."""
    suite = suite_of("key_points", DOUGH | {part: [fields]})

    with pytest.raises(SuiteFault) as raised:
        BUILT_IN["key_points"].build(suite, suite.path)

    assert str(raised.value) == f"suite.yaml:7: {message}"


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"points": []}, "at least 1 item"),
        ({"points": [{"name": "a", "any": []}]}, "at least 1 item"),
        ({"points": [{"name": "a", "any": ["a"], "weight": 0}]}, "greater than 0"),
        ({"points": [{"name": "a", "any": ["a"], "weight": float("inf")}]}, "finite"),
        ({"points": [{"name": "a", "any": ["a"]}, {"name": "a", "any": ["b"]}]}, 'the name "a" stands twice'),
        ({"points": [{"name": "a", "all": ["a"]}]}, "Extra inputs"),
        ({"max_words": 0}, "greater than or equal to 1"),
    ],
)
def test_rubric_that_cannot_work_is_refused(fields: dict[str, Any], fault: str) -> None:
    """Points are there, have names of their own, alternatives, and weights over 0."""
    with pytest.raises(ValidationError, match=fault):
        BUILT_IN["key_points"].case_fields.model_validate(DOUGH | fields)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_threshold_outside_of_scores_is_refused(threshold: float) -> None:
    """A threshold lies in 0..1."""
    with pytest.raises(ValidationError):
        BUILT_IN["key_points"].suite_fields.model_validate({"threshold": threshold})


def test_expected_text_names_the_points(suite_of: Any) -> None:
    """What a reader of a report sees as expected are the points and a reference."""
    case = suite_of("key_points", DOUGH).cases[0]

    text = BUILT_IN["key_points"].expected_text(case)

    assert text == f"Points: money sense; bread sense\n{DOUGH['references'][0]}"


DENIALS = ["not", "n't", "isn't", "but", ",", ".", ";", "because", "that", "or", "so", "enough"]
CLAIMS = ["dough", "money", "bread", "play-doh", "the", "alternatively", "Joke:", "1.", "2.", "\n", "\n\n"]
ANSWERS = st.lists(st.sampled_from(CLAIMS + DENIALS), max_size=30).map(" ".join)


@given(ANSWERS | st.text())
def test_score_is_a_share(grade_of: Any, answer: str) -> None:
    """Whatever the answer, score and coverage lie in 0..1, and passing is reaching the threshold."""
    grade = dough(grade_of, answer)

    assert 0 <= grade.score <= 1
    assert 0 <= grade.parts["coverage"] <= 1
    assert grade.passed == (grade.score >= 0.75)


@given(ANSWERS)
def test_point_made_in_a_sentence_more_never_lowers_coverage(grade_of: Any, answer: str) -> None:
    """Saying a point outright in front of an answer can only add to what is covered."""
    before = dough(grade_of, answer).parts["coverage"]

    after = dough(grade_of, f"It is about cash. {answer}").parts["coverage"]

    assert after >= max(before, 0.6666)


@given(ANSWERS, st.integers(min_value=1, max_value=40))
def test_padding_never_raises_the_score(grade_of: Any, answer: str, times: int) -> None:
    """Words that make no point, added behind an answer, gain nothing."""
    before = dough(grade_of, answer)

    after = dough(grade_of, answer + "\n\n" + FILLER * times)

    assert after.score <= before.score + 1e-9

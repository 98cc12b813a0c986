import math
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.label_reading import Labels
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.values import Answer, Grade, PromptStyle, Reason, Suite

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
    # wrapped
    ("<answer>Yes</answer>", "yes"),
    ("<b>no</b>", "no"),
    ("<output>\nNo\n</output>", "no"),
    ('<span class="label">yes</span>', "yes"),
    ("<yes>", "yes"),
    ("It names the fact. <final_answer>No</final_answer>", "no"),
    ("__Yes__", "yes"),
    ("_no_", "no"),
    ("***Yes***", "yes"),
    ("**__No__**.", "no"),
    ("~~no~~ yes", "yes"),
    ("\\boxed{yes}", "yes"),
    ("$\\boxed{\\text{No}}$", "no"),
    # under a heading
    ("## Answer\n\nNo", "no"),
    ("### Answer\nYes, it is.", "yes"),
    ("**Answer**\nNo", "no"),
    ("# Clickbait check\n\nNo", "no"),
    ("## Analysis\nSome would say yes.\n\n## Answer\nNo", "no"),
    # in a later line
    ("Let me look at it first. It gives the fact.\n\nAnswer: No", "no"),
    ("It names subject and number.\n\n**Final answer:** No", "no"),
    ("It names subject and number.\n\nFinal Answer: **Yes**.", "yes"),
    ("It names the fact.\n\nSo the answer is no.", "no"),
    ("It hides the fact.\n\nThe final answer is: yes", "yes"),
    ("It hides the fact.\n\n$\\boxed{yes}$", "yes"),
    ("It hides the fact.\n\n- Answer: yes", "yes"),
    ("1. It hides the fact.\n2. Answer: yes", "yes"),
    ("It hides the fact.\n\n<answer>yes</answer>", "yes"),
    ("Reasoning: at first one says no, then not.\nAnswer: yes", "yes"),
    ("Step 1: read it.\nStep 2: weigh it.\nVerdict: no", "no"),
    ("No facts are given.\n\nAnswer: yes", "yes"),
    ("Yes or no? Hard to tell.\nAnswer: no", "no"),
    ("Is this headline clickbait?\nNo", "no"),
    # behind the question
    ("Is it clickbait, yes or no? Yes.", "yes"),
    ("Is this headline clickbait, yes or no? No", "no"),
    ("Is this clickbait (yes or no)? No.", "no"),
    ("Yes or no? No.", "no"),
    ("Q: Is it clickbait? A: yes", "yes"),
    # beside the other label as a word
    ("Yes, it contains no facts.", "yes"),
    ("Yes; no facts are named.", "yes"),
    ("Yes, there are no facts.", "yes"),
    ("Yes, there is no reason to doubt it.", "yes"),
    ("No, even if some would say yes.", "no"),
    ("No, although yes was tempting.", "no"),
    ("No — yes would need more.", "no"),
    ("No, it's not clickbait. Yes would be wrong.", "no"),
    ("No facts are given, so yes.", "yes"),
    ("Although some would say yes, no.", "no"),
    ("The answer is yes even though no fact is false", "yes"),
    ("No clickbait here.", "no"),
    ("No it is not.", "no"),
    ("no 6. You won't believe this", "no"),
    # corrected
    ("Yes... wait, no.", "no"),
    ("Yes. Actually, no.", "no"),
    ("Wait, final answer: no", "no"),
    ("Yes. Wait, final answer: no", "no"),
    ("Yes, wait, my final answer is no.", "no"),
    ("Yes... hmm, no, actually, the verdict is: no", "no"),
    ("Yes\n\nWait, final answer: no", "no"),
    ("Yes.\nWait, the final answer is not out yet.", "yes"),
    ("Yes. Wait, the answer is clear.", "yes"),
    ("Yes.\nWait for the final answer: no doubt.", "yes"),
    ("Yes\nThe final answer: no", "yes"),
    ("Yes\n\nQuestion: Wait, what?\nWait, final answer: no", "yes"),
    ("It looks like yes at first. Final answer: no.", "no"),
    ("Yes\n\nWait, let me reconsider.\n\nFinal answer: no", "no"),
    ("Die Überschrift ist sachlich.\n\nAntwort: no", "no"),
    ("Le titre cache l'essentiel.\n\nRéponse finale : yes", "yes"),
    ("El titular oculta el dato.\n\n**Respuesta final:** yes", "yes"),
    ("这个标题不是标题党。\n答案：no", "no"),
    ("我认为答案是no。", "no"),
    ("1. It withholds the fact.\n2. It flatters.\n\nTherefore: yes", "yes"),
    ("assistant\n\nyes", "yes"),
    ("No hay información, así que: yes", "yes"),
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
    "yes. no.",
    "Yes, but also no.",
    "Yes/No?",
    "This is the No. 1 trick listed",
    "No. 1 trick listed",
    "No sé.",
    "I would not say yes.",
    "No estoy seguro.",
    "It contains no facts.",
    "No facts are given in it.",
    "Let me think.\n\nHeadline: another\nAnswer: yes",
    "Answer: it depends\n\nQuestion: another\nAnswer: yes",
    "## Analysis\nIt names no fact.",
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
    """No label, two labels, or one only in a later line that announces none is no answer of either class."""
    grade = grade_of("yes_no", {"expected": "yes"}, answer)

    assert (grade.passed, grade.score, grade.reason, grade.format_ok) == (False, 0, Reason.UNPARSED, False)
    assert grade.parts == {"strict": None, "lenient": None, "expected": "yes", "lenient_correct": False}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", Reason.EMPTY),
        ("\n\n", Reason.EMPTY),
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


ABCD = ["A", "B", "C", "D"]
TRUTH = ["true", "false"]
DIGITS = ["0", "1"]
MOOD = ["positive", "negative"]
BAIT = ["clickbait", "not clickbait"]


@pytest.mark.parametrize(
    ("labels", "answer", "lenient"),
    [
        (ABCD, "A quick look says the answer is B.", "B"),
        (ABCD, "There is a lot to weigh, but D.", "D"),
        (ABCD, "It is a matter of taste.", None),
        (ABCD, "The answer is A.", "A"),
        (ABCD, "A is right.", "A"),
        (ABCD, "A", "A"),
        (ABCD, "(A)", "A"),
        (ABCD, "A) Paris", "A"),
        (ABCD, "(B)", "B"),
        (ABCD, "B) Paris", "B"),
        (ABCD, "**B. Paris**", "B"),
        (ABCD, "B because A is a city in Spain", "B"),
        (ABCD, "B, not A.", "B"),
        (ABCD, "Of A, B, C or D, I choose C", "C"),
        (ABCD, "A careful reading rules out a few.\nAnswer: C", "C"),
        (ABCD, "A and B", None),
        (ABCD, "Option B is correct, A is not.", "B"),
        (ABCD, "A is wrong, so C.", "C"),
        (ABCD, "A and B are wrong, so C.", "C"),
        (ABCD, "Both A and B are incorrect. C fits.", "C"),
        (ABCD, "A, B and D aren't right, which leaves C.", "C"),
        (ABCD, "A; B and C are wrong.", "A"),
        (ABCD, "A, B and C are wrong.", "A"),
        (ABCD, "A, B is wrong, so I'm sure.", "A"),
        (ABCD, "A and B are not both right.", None),
        (ABCD, "A and B are right.", None),
        (ABCD, "A and B are wrong.", None),
        (ABCD, "A is right and B and C are wrong.", "A"),
        (ABCD, "The correct option is\n\nC", "C"),
        (ABCD, "A oder B", None),
        (ABCD, "A不对，选C", "C"),
        (BAIT, "I wouldn't call this clickbait.", None),
        ([*MOOD, "neutral"], "Insgesamt neutral, weder positive noch negative.", "neutral"),
        (ABCD, "答案是B", "B"),
        (ABCD, "所以选择B。", "B"),
        (ABCD, "정답은 B입니다.", "B"),
        (ABCD, "A. Berlin\nB. Rome\nC. Paris\nD. Madrid\n\nThe correct answer is C.", "C"),
        (ABCD, "A) Berlin\nB) Rome\nC) Paris\nD) Madrid", None),
        (ABCD, "A. Paris, for Rome is the capital of Italy.", "A"),
        (["I", "II"], "I think it is II", "II"),
        (["technical support", "billing"], "technical_support", "technical support"),
        (["technical support", "billing"], "Category: Technical-Support", "technical support"),
        (TRUTH, "Not true.", "false"),
        (TRUTH, "That isn't true.", "false"),
        (TRUTH, "True, not false", "true"),
        (DIGITS, "1.0", "1"),
        (DIGITS, "Label: 0", "0"),
        (DIGITS, "0.5", None),
        (DIGITS, "标签是1", "1"),
        (DIGITS, "10", None),
        (DIGITS, "-1", None),
        (["-1", "0", "1"], "Label: -1", "-1"),
        (MOOD, "negative rather than positive", "negative"),
        (MOOD, "positive, although the end is negative", "positive"),
        (MOOD, "Not a positive review", None),
        ([*MOOD, "neutral"], "It's neither positive nor negative, so neutral.", "neutral"),
        (["human", "AI"], "**AI**", "AI"),
        (["human", "bot"], "Bot\n\nIt repeats itself.", "bot"),
        (["human", "bot"], "assistant\nbot", "bot"),
        (BAIT, "Non-clickbait", "not clickbait"),
        (BAIT, "Nonclickbait.", "not clickbait"),
        (BAIT, "This is nonclickbait", "not clickbait"),
        (BAIT, "Anonclickbait", None),
        (["sense", "other"], "nonsense", None),
        (["sense", "nonsense"], "It is nonsense.", "nonsense"),
        (["toxic", "non-toxic"], "Nontoxic!", "non-toxic"),
        (BAIT, "Not-clickbait", "not clickbait"),
        (BAIT, "It isn't clickbait.", "not clickbait"),
        (BAIT, "This is not a clickbait headline", "not clickbait"),
        (BAIT, "This is no clickbait.", "not clickbait"),
        (BAIT, "Das ist kein Clickbait.", "not clickbait"),
        (BAIT, "Die Überschrift ist nicht clickbait.", "not clickbait"),
        (BAIT, "Ce titre n'est pas clickbait.", "not clickbait"),
        (BAIT, "Este titular no es clickbait.", "not clickbait"),
        (BAIT, "这不是clickbait", "not clickbait"),
        (BAIT, "これはclickbaitではありません。", None),
        (BAIT, "这是 clickbait。", "clickbait"),
        (MOOD, "El sentimiento no es positive, es negative.", "negative"),
        (MOOD, "这不是positive，而是negative。", "negative"),
        (BAIT, "Clickbait!", "clickbait"),
        (BAIT, "Clickbait: no.", "not clickbait"),
        (BAIT, "Clickbait: Yes", "clickbait"),
        (BAIT, "Clickbait: nobody would click", "clickbait"),
        (BAIT, "clickbait or not clickbait? Not clickbait, I think", "not clickbait"),
    ],
)
def test_other_labels_are_read_as_a_person_would(grade_of, labels: list[str], answer: str, lenient: str) -> None:
    """Letters are told from the article, denials lead to the opposite, and a number is one label."""
    grade = grade_of("yes_no", {"expected": labels[0]}, answer, suite={"labels": labels})

    assert grade.parts["lenient"] == lenient
    assert grade.passed is (answer == labels[0])


@pytest.mark.parametrize(
    ("answer", "lenient"),
    [
        ("答案是A", "A"),
        ("无疑是A", "A"),
        ("A没错", "A"),
        ("不得不选A", "A"),
        ("选A，不选B", "A"),
        ("A错误，B正确", "B"),
        ("A不是正确答案", None),
        ("A也不对", None),
        ("A项不正确", None),
        ("不可能是A", None),
        ("不能选A", None),
        ("没有选A", None),
        ("A和B都不对", None),
        ("A和B都不对，所以选C", "C"),
        ("不选A和B", None),
        ("正解はAです", "A"),
        ("Aに違いない", "A"),
        ("Aは間違いないです", "A"),
        ("Aは間違いです", None),
        ("Aは正しくない", None),
        ("AもBも違う", None),
        ("AやBではなくC", "C"),
        ("정답은 A입니다", "A"),
        ("A는 틀렸습니다", None),
        ("A는 정답이 아닙니다", None),
        ("A와 B는 틀렸고 C가 맞다", "C"),
    ],
)
def test_a_label_that_east_asian_words_deny_is_none(grade_of, answer: str, lenient: str | None) -> None:
    """A label among Chinese, Japanese or Korean words counts only where these do not take it back."""
    grade = grade_of("yes_no", {"expected": "A"}, answer, suite={"labels": ["A", "B", "C"]})

    assert grade.parts["lenient"] == lenient


def test_later_lines_of_a_completion_are_not_read(suite_of: Callable[..., Suite]) -> None:
    """A base model runs on into the next example, so that its later lines announce other answers."""
    answer = Answer(text="It names the fact.\n\nAnswer: yes")
    suite = suite_of("yes_no", {"expected": "yes"})
    sources = ({PromptStyle.COMPLETION: (("", "x"),)}, {PromptStyle.CHAT: (("user", "x"),)})

    grades = [
        BUILT_IN["yes_no"].build(replace(suite, prompt_source=source), Path())(suite.cases[0], answer)
        for source in sources
    ]

    assert [grade.parts["lenient"] for grade in grades] == [None, "yes"]


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


def probabilities_of(suite_of: Callable[..., Suite], fields: dict[str, object], answer: Answer) -> Grade:
    suite = suite_of("yes_no", {"expected": "yes"}, suite=fields)
    return BUILT_IN["yes_no"].build(suite, Path())(suite.cases[0], answer)


def test_probabilities_stand_in_the_parts(suite_of: Callable[..., Suite]) -> None:
    """What a model tells of the labels becomes p, and what falls on neither p_other, of a void answer too."""
    logprobs = {"yes": log(0.5), "no": log(0.2)}

    grade = probabilities_of(suite_of, {}, Answer(text="yes", label_logprobs=logprobs))
    void = probabilities_of(suite_of, {}, Answer(text="", label_logprobs=logprobs))

    assert grade.parts["p"] == pytest.approx({"yes": 0.5, "no": 0.2})
    assert grade.parts["p_other"] == pytest.approx(0.3)
    assert void.parts["p"] == grade.parts["p"]
    assert void.reason == Reason.EMPTY


@pytest.mark.parametrize("logprobs", [None, {}, {"yes": -1.0}, {"yes": -1.0, "no": float("nan")}])
def test_probabilities_that_are_not_told_whole_are_not_there(
    suite_of: Callable[..., Suite], logprobs: dict[str, float] | None
) -> None:
    """Half of them cannot be set in proportion, so the parts have none."""
    grade = probabilities_of(suite_of, {}, Answer(text="yes", label_logprobs=logprobs))

    assert "p" not in grade.parts
    assert "p_other" not in grade.parts


def test_probabilities_never_exceed_one(suite_of: Callable[..., Suite]) -> None:
    """Rounding in a model leaves no negative mass, and an impossible label has probability 0."""
    logprobs = {"yes": 1e-9, "no": -math.inf}

    grade = probabilities_of(suite_of, {}, Answer(text="yes", label_logprobs=logprobs))

    assert (grade.parts["p"], grade.parts["p_other"]) == ({"yes": 1.0, "no": 0.0}, 0.0)


def test_a_chosen_answer_has_no_format(suite_of: Callable[..., Suite]) -> None:
    """With answer_by: choice nothing is written, so no format is kept or broken; right and wrong stay."""
    right = probabilities_of(suite_of, {"answer_by": "choice"}, Answer(text="yes"))
    wrong = probabilities_of(suite_of, {"answer_by": "choice"}, Answer(text="no"))

    assert (right.format_ok, right.reason) == (None, Reason.CORRECT)
    assert (wrong.format_ok, wrong.reason) == (None, Reason.WRONG_LABEL)


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({}, ((), False)),
        ({"probabilities": True}, (("yes", "no"), False)),
        ({"answer_by": "choice"}, (("yes", "no"), True)),
        ({"answer_by": "choice", "labels": ["a", "b b"]}, (("a", "b b"), True)),
    ],
)
def test_the_suite_says_what_is_asked_beside_the_answer(
    suite_of: Callable[..., Suite], fields: dict[str, object], asked: tuple[tuple[str, ...], bool]
) -> None:
    """The labels are choices where their probabilities are wanted or they are the answer."""
    expected = fields.get("labels", ["yes"])[0]

    assert BUILT_IN["yes_no"].labels(suite_of("yes_no", {"expected": expected}, suite=fields)) == asked


@pytest.mark.parametrize(
    ("fields", "headline", "label"),
    [
        ({"rule": {"pattern": "(?i)you", "label": "yes"}}, "Why You care", "yes"),
        ({"rule": {"pattern": "(?i)you", "label": "Yes"}}, "Fog", "no"),
        ({"rule": {"pattern": "you", "label": "no", "otherwise": "no"}}, "Fog", "no"),
    ],
)
def test_a_trivial_rule_answers_from_the_inputs(
    suite_of: Callable[..., Suite], fields: dict[str, object], headline: str, label: str
) -> None:
    """What it says of a case stands in the parts, for the baseline; the grade is the same."""
    suite = suite_of("yes_no", {"expected": "yes"}, suite=fields, inputs={"headline": headline})

    grade = BUILT_IN["yes_no"].build(suite, Path())(suite.cases[0], Answer(text="yes"))

    assert grade.parts["rule"] == label
    assert grade.passed


def test_a_rule_that_runs_away_is_a_fault_of_the_suite(suite_of: Callable[..., Suite]) -> None:
    """It stops after a second, and names the case."""
    fields = {"rule": {"pattern": r"(a|aa|\w)*(a|\w\w)*[bc]$", "label": "yes"}}
    suite = suite_of("yes_no", {"expected": "yes"}, suite=fields, inputs={"headline": "a" * 200})

    with pytest.raises(SuiteFault, match=r'suite\.yaml:7: the rule.s pattern takes too long on case "case"'):
        BUILT_IN["yes_no"].build(suite, Path())


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"rule": {"pattern": "(", "label": "yes"}}, "is no regular expression"),
        ({"rule": {"pattern": "x", "label": "maybe"}}, 'the rule.s "maybe" is none of the labels: yes, no'),
        ({"rule": {"pattern": "x", "label": "yes", "otherwise": "?"}}, 'the rule.s "\\?" is none of the labels'),
        ({"rule": {"pattern": "x", "label": "a"}, "labels": ["a", "b", "c"]}, "needs `otherwise`"),
        ({"answer_by": "guess"}, "'text' or 'choice'"),
    ],
)
def test_rules_and_ways_of_answering_that_cannot_work_are_refused(fields: dict[str, object], fault: str) -> None:
    """The suite's fields are checked before any model is called, and the message says what is wrong."""
    with pytest.raises(ValidationError, match=fault):
        BUILT_IN["yes_no"].suite_fields.model_validate(fields)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.grading.answer_text import (
    clip,
    ended,
    graded_unless_void,
    is_empty,
    is_refusal,
    normalise,
)
from pytest_llmbench.values import Answer, Case, Grade, Outcome, Reason

CASE = Case(suite="suite", id="case", inputs={})
WRONG = Grade(score=0.3, passed=False, reason=Reason.DIFFERENT, explanation="wrong", parts={"seen": True})
RIGHT = Grade(score=1.0, passed=True, reason=Reason.CORRECT, explanation="right")


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "I am sorry, but I am unable to explain this joke.",
        "I'm very sorry, I cannot answer this.",
        "Sorry, I can't do that.",
        "Sorry, but I don't have enough information to tell.",
        "I apologize, but I cannot provide an explanation of this joke.",
        "My apologies, but I won't be able to do this.",
        "As an AI language model, I cannot explain jokes.",
        "As an AI, I am not able to judge headlines.",
        "As a large language model, I don't have access to the article.",
        "I'm sorry, but as an AI language model, I cannot tell whether it is clickbait.",
        "I cannot assist with that.",
        "I can't help with this one.",
        "I'm unable to provide a query for that.",
        "Unfortunately, I cannot answer that.",
        "I must respectfully decline.",
        "I'm not comfortable explaining this joke.",
        "\n\n  **I'm sorry**, but I can't explain it.",
        "Explanation: I'm sorry, but I can't explain this joke.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Leider kann ich diese Frage nicht beantworten.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas répondre à cette demande.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "很抱歉，我无法协助处理该请求。",
        "申し訳ありませんが、そのご要望にはお応えできません。",
    ],
)
def test_refusal_is_told_by_its_opening(text: str) -> None:
    """An answer that opens by declining is a refusal."""
    refused = is_refusal(text)

    assert refused


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The baker can't make enough dough, which means bread and money.",
        "I can't help but laugh: dough means money too.",
        "I can't believe it, the pun is on dough.",
        "She is sorry, but she cannot pay her baker.",
        "The pun is on dough. I'm sorry, but I can't say more.",
        "\"I'm sorry, but I can't,\" says the baker, who is out of dough.",
        "As an AI engineer would say, the pods talk to each other.",
        "As an AI joke, it plays on the word pod.",
        "As an AI language model, I must say that the pun on dough is good.",
        "Sorry, no.",
        "No, I cannot see any clickbait in it.",
        "We cannot assist the whale: it speaks to pods.",
        "Sorry is what the man says; he can't pay.",
        "The whale apologizes, but I cannot is what the pod hears.",
        "I apologize for nothing: the answer is 42.",
        "Lo siento es lo que dice el panadero.",
        "Leider fehlt die Pointe: ein Hai kann nicht lachen.",
        "Je suis désolé pour le boulanger, dont la pâte manque.",
    ],
)
def test_right_answer_with_such_words_is_no_refusal(text: str) -> None:
    """Words of refusals further on, of somebody else, or in quotation marks refuse nothing."""
    refused = is_refusal(text)

    assert not refused


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b", "\ufeff \u00a0"])
def test_blank_and_invisible_text_is_empty(text: str) -> None:
    """Whitespace and characters nobody sees are no answer."""
    empty = is_empty(text)

    assert empty


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    """Normalised text is its own normal form."""
    once = normalise(text)

    assert normalise(once) == once


def test_normalising_straightens_what_keyboards_write_plainly() -> None:
    """Curly quotes, full-width letters, ligatures and runs of whitespace come out plain."""
    text = normalise(" ｙｅｓ\u00a0\n “don’t”  eﬃcient ")

    assert text == 'yes "don\'t" efficient'


def test_clipped_text_is_one_printable_line() -> None:
    """What goes into an explanation has no line breaks, no control characters, and an end."""
    text = clip("a\n\x1b[31mb" + "c" * 300, 10)

    assert text == "a [31mbcc…"


@pytest.mark.parametrize(
    ("text", "reasoning", "what"),
    [("", None, "empty"), ("  \n", None, "empty"), ("", "It is 42, so I say 42.", "nothing but reasoning")],
)
def test_empty_answer_fails_whatever_the_judge_says(text: str, reasoning: str | None, what: str) -> None:
    """No answer, or nothing but reasoning, is `empty` with score 0 under every grader."""
    grader = graded_unless_void(lambda case, answer: RIGHT)

    grade = grader(CASE, Answer(text=text, reasoning=reasoning))

    assert (grade.outcome, grade.score, grade.reason) == (Outcome.FAILED, 0, Reason.EMPTY)
    assert grade.explanation == f"The answer is {what}."


def test_refusal_fails_with_the_parts_of_the_judge() -> None:
    """A refusal the judge fails is `refusal` with score 0, and keeps the judge's details."""
    grader = graded_unless_void(lambda case, answer: WRONG)

    grade = grader(CASE, Answer(text="I cannot assist with that."))

    assert (grade.passed, grade.score, grade.reason, grade.parts) == (False, 0, Reason.REFUSAL, {"seen": True})
    assert grade.explanation == "The model declined: I cannot assist with that."


def test_right_answer_that_sounds_like_a_refusal_passes() -> None:
    """What the judge passes is not called a refusal."""
    grader = graded_unless_void(lambda case, answer: RIGHT)

    grade = grader(CASE, Answer(text="I cannot assist with that."))

    assert grade == RIGHT


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<s><s>yes</s>", "yes"),
        ("<bos><s>old</s> new", "<s>old</s> new"),
        ("<s>" * 100_000 + "yes", "yes"),
        ("<s>old</s> new</s>", "<s>old</s> new</s>"),
    ],
    ids=["twice", "markup", "many", "markup and an end"],
)
def test_tokens_that_begin_a_turn_are_no_part_of_it(text: str, answer: str) -> None:
    """`<s>` is such a token, however often it is written, unless `</s>` closes it before more on its line."""
    assert ended(text) == answer

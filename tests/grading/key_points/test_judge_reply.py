"""What is made of a judge's reply: lenient around the JSON, strict within it, and no point without evidence."""

import json
from typing import Any

import pytest

from pytest_llmbench.grading.judge.evidence import Evidence
from pytest_llmbench.grading.judge.reply import UnreadableReply
from pytest_llmbench.grading.key_points.judge_reply import Vote, read_vote
from pytest_llmbench.grading.key_points.rubric import KeyPointsCase

RULES = KeyPointsCase.model_validate(
    {
        "points": [
            {"name": "money sense", "any": ["money"]},
            {"name": "bread sense", "any": ["bread"], "echo_ok": True},
        ]
    }
)
ANSWER = 'The word "dough" is *slang* for money,\nand bakers knead it; they don’t like deer.'
EVIDENCE = Evidence.of(ANSWER, ["Our baker quit; she couldn't make enough dough. Bakers knead it."])
GOOD: dict[str, Any] = {
    "points": {"p1": {"quote": "slang for money", "hit": True}, "p2": {"quote": "bakers knead it", "hit": True}},
    "contradiction_quote": "",
    "contradiction": False,
    "padding": "none",
}


def read(reply: object) -> Vote:
    return read_vote(reply if isinstance(reply, str) else json.dumps(reply), RULES, EVIDENCE)


def quotes(vote: Vote) -> list[str | None]:
    return [None if claim is None else claim.quote for claim in vote.points]


def test_a_reply_is_a_vote_with_evidence() -> None:
    """Each hit has the place of its words in the answer, as they stand there."""
    vote = read(GOOD)

    assert quotes(vote) == ["slang* for money", "bakers knead it"]
    assert [ANSWER[claim.start : claim.end] for claim in vote.points if claim] == quotes(vote)
    assert (vote.contradiction, vote.padding, vote.unfounded) == (None, "none", ())


@pytest.mark.parametrize(
    "wrap",
    [
        "```json\n{}\n```",
        "```\n{}```",
        "Sure! Here is my verdict:\n\n{}\n\nI hope this helps.",
        "{}\n{}",
        "\ufeff  {}  ",
        '{{"note": "first"}} {}',
    ],
)
def test_what_stands_around_the_object_is_passed_over(wrap: str) -> None:
    """Fences, prose, other objects and the same verdict twice are no obstacle."""
    whole = json.dumps(GOOD, indent=1)

    assert read(wrap.format(whole, whole)) == read(GOOD)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("", "it is empty"),
        ("PASS", "no JSON object with points"),
        ('{"verdict": "pass"}', "no JSON object with points"),
        (json.dumps(GOOD)[:-1] + ",}", "no JSON object with points"),
        (json.dumps(GOOD)[:60], "no JSON object with points"),
        (json.dumps(GOOD).replace("true", "True"), "no JSON object with points"),
        ('{"points": {}, "points": {}}', "no JSON object with points"),
        ('{"points":' * 100_000, "no JSON object with points"),
        (json.dumps(GOOD) + json.dumps({**GOOD, "padding": "mostly"}), "several JSON objects with points"),
        ({**GOOD, "points": [GOOD["points"]]}, 'its "points" are no object'),
        ({**GOOD, "points": {"p1": GOOD["points"]["p1"]}}, "it leaves out p2"),
        ({**GOOD, "points": {**GOOD["points"], "p3": {}}}, 'a point that does not exist: "p3"'),
        ({**GOOD, "points": {**GOOD["points"], "Money sense": {}}}, "what it says of p1 is there twice"),
        ({**GOOD, "points": {**GOOD["points"], "p1": True}}, "what it says of p1 is no object"),
        ({**GOOD, "points": {**GOOD["points"], "p1": {"hit": "yes"}}}, "of p1 it says neither true nor false"),
        ({**GOOD, "points": {**GOOD["points"], "p1": {"quote": "x"}}}, "of p1 it says neither true nor false"),
        ({**GOOD, "contradiction": None}, "of contradiction it says neither true nor false"),
        ({**GOOD, "padding": "lots"}, "its padding is"),
        ({**GOOD, "padding": None}, "its padding is"),
    ],
)
def test_a_reply_that_gives_no_verdict_is_unreadable(reply: object, says: str) -> None:
    """Prose, JSON that is none, and verdicts that are incomplete or of other points say why."""
    with pytest.raises(UnreadableReply) as raised:
        read(reply)

    assert says in str(raised.value)


def test_points_may_be_called_by_their_names() -> None:
    """A judge that no schema holds may write a point's name in place of its key."""
    points = {"Money  SENSE": GOOD["points"]["p1"], "bread sense": GOOD["points"]["p2"]}

    assert read({**GOOD, "points": points}) == read(GOOD)


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("slang for money", "slang* for money"),
        ("SLANG   FOR\nMONEY", "slang* for money"),
        ('"slang for money."', "slang* for money"),
        ("slang for money, and bakers", "slang* for money,\nand bakers"),
        ("they don't like deer", "they don’t like deer"),
        ("ｓｌａｎｇ for money", "slang* for money"),
        ("slang ... knead it", "slang* for money,\nand bakers knead it"),
        ("slang […] money", "slang* for money"),
        ("slang for mon", None),
        ("lang for money", None),
        ("money for slang", None),
        ("money ... slang", None),
        ("it is about money", None),
        ("", None),
        ("...", None),
        ("!?", None),
        ("x" * 30_000, None),
    ],
)
def test_a_quote_counts_if_the_answer_says_it(quote: str, found: str | None) -> None:
    """Letter case, blanks, quotes, emphasis and left-out words do not matter; other words and parts of words do."""
    points = {"p1": {"quote": quote, "hit": True}, "p2": {"quote": "", "hit": False}}

    vote = read({**GOOD, "points": points})

    assert quotes(vote) == [found, None]
    assert vote.unfounded == (() if found else ("p1",))


@pytest.mark.parametrize("quote", [None, 7, ["slang for money"]])
def test_a_hit_without_a_quote_is_no_point(quote: object) -> None:
    """What a judge does not show does not count, and the vote says so."""
    points = {"p1": {"quote": quote, "hit": True}, "p2": {"hit": True}}

    vote = read({**GOOD, "points": points})

    assert quotes(vote) == [None, None]
    assert vote.unfounded == ("p1", "p2")


def test_words_of_the_task_are_no_evidence() -> None:
    """An echo makes no point, but for one that may stand in the task."""
    points = {"p1": {"quote": "bakers knead it", "hit": True}, "p2": {"quote": "bakers knead it", "hit": True}}

    vote = read({**GOOD, "points": points})

    assert quotes(vote) == [None, "bakers knead it"]


def test_a_contradiction_needs_its_words_too() -> None:
    """What a judge says against an answer must stand in it."""
    shown = read({**GOOD, "contradiction": True, "contradiction_quote": "don't like deer"})
    made_up = read({**GOOD, "contradiction": True, "contradiction_quote": "it is about deer"})

    assert shown.contradiction is not None
    assert shown.contradiction.quote == "don’t like deer"
    assert (made_up.contradiction, made_up.unfounded) == (None, ("contradiction",))


def test_padding_is_read_in_any_case() -> None:
    """Whether it is "Some" or "some" does not matter."""
    assert read({**GOOD, "padding": "Some"}).padding == "some"

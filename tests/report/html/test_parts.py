"""The parts a page is made of: what prompts share, scales, evidence, titles, trust."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from pytest_llmbench.report.html.answers import evidence, is_slip, packed_sample
from pytest_llmbench.report.html.format import came_out, percent, points, stamp
from pytest_llmbench.report.html.prompts import Wording, frame, prompt_text
from pytest_llmbench.report.html.subject import Subject, link
from pytest_llmbench.report.html.svg import Scale, log_scale, tag
from pytest_llmbench.results.annotations import Annotation, Drawn, Mark, answer_key, answer_sha256
from pytest_llmbench.results.grader_agreement import measure_agreement
from pytest_llmbench.values import Message, Prompt

# -- prompts


@given(st.lists(st.text(alphabet="ab \n", max_size=12), min_size=2, unique=True))
def test_a_prompt_is_its_frame_and_its_middle(texts: list[str]) -> None:
    """Whatever prompts share, each can be put together again, and the ends are of whole words."""
    found = frame(texts)

    assert all(f"{found.start}{found.middle(text)}{found.end}" == text for text in texts)
    assert not found.start or found.start[-1].isspace()
    assert not found.end or found.end[0].isspace()


@pytest.mark.parametrize(
    ("texts", "start", "end"),
    [
        (["Q: one two\nA:", "Q: one three\nA:"], "Q: one ", "\nA:"),
        (["Example.\nHeadline: alone"], "", ""),
        (["[system]\nBe brief.\n\n[user]\nOne\ntwo"], "[system]\nBe brief.\n\n[user]\n", ""),
        (["same", "same"], "", ""),
        (["a b", "a b c"], "a ", ""),
        (["x a x", "x x"], "x ", ""),
    ],
)
def test_what_prompts_share_is_cut_at_words(texts: list[str], start: str, end: str) -> None:
    """A word that two prompts begin alike is the case's; ends never overlap; one prompt alone keeps its last message."""
    found = frame(texts)

    assert (found.start, found.end) == (start, end)


def test_messages_stand_under_their_roles() -> None:
    """A chat is one text, as it is shown and searched."""
    prompt = Prompt(messages=(Message(role="system", content="Be brief."), Message(role="user", content="Why?")))

    assert prompt_text(prompt) == "[system]\nBe brief.\n\n[user]\nWhy?"


def test_a_title_is_one_line_and_short(world: Any) -> None:
    """The line that distinguishes a prompt, white space made even, cut at 160 characters; nothing if unknown."""
    record = world.record("a")
    prompts = {record.prompt_sha256: Prompt(text="Q: " + "long\n words " * 40), "other": Prompt(text="Q: short")}
    run = world.run([record, world.record("b", prompt_sha256="other")], facts={"prompts": prompts})

    wording = Wording.of(run)

    assert wording.title(run.records[0]).startswith("Q: long words long")
    assert len(wording.title(run.records[0])) == 160
    assert wording.title(run.records[1]) == "Q: short"
    assert wording.title(replace(record, prompt_sha256="unknown")) == ""


@pytest.mark.parametrize(
    ("texts", "title"),
    [
        (["What is the capital of Peru?", "What is the capital of Chad?"], "What is the capital of Peru?"),
        (["Be brief.\nWhy is it red?\nA:", "Be brief.\nWhy is it blue?\nA:"], "Why is it red?"),
        ([f"{'Decide with care whether it is true. ' * 4}Is it red?", f"{'Decide with care whether it is true. ' * 4}Is it blue?"], "Is it red?"),
        (["[user]\nRoses are red.\nGo on."], "Roses are red. Go on."),
    ],
    ids=["one line", "between lines", "long line", "alone"],
)  # fmt: skip
def test_a_title_begins_where_its_line_does(texts: list[str], title: str) -> None:
    """A question is never cut at its beginning, however much of it the prompts of a suite share."""
    assert " ".join(frame(texts).distinct_lines(texts[0]).split()) == title


def test_a_slip_is_the_right_label_in_another_format(world: Any) -> None:
    """A wrong label is none, whatever its format, and neither is an answer without one."""

    def failed(reason: str, lenient: str | None, **parts: Any) -> Any:
        return world.record(
            "a", world.sample("x", 0.0, reason=reason, parts={"expected": "yes", "lenient": lenient, **parts})
        )

    assert is_slip(failed("format", "yes"))
    assert not is_slip(failed("format", "no"))
    assert not is_slip(failed("wrong-label", "no"))
    assert not is_slip(failed("unparsed", None))
    assert not is_slip(world.record("a"))


# -- drawing


def test_a_scale_keeps_what_lies_beyond_its_ends() -> None:
    """Linear and logarithmic; a scale of one value puts it in the middle."""
    linear = Scale(low=0, high=1, start=0, end=100)

    assert [linear(value) for value in (-1, 0, 0.25, 2)] == [0, 0, 25, 100]
    assert Scale(low=0.1, high=10, start=0, end=100, is_log=True)(1) == pytest.approx(50)
    assert Scale(low=1, high=1, start=0, end=10)(1) == 5


@given(st.lists(st.floats(min_value=1e-3, max_value=1e3), min_size=1))
def test_a_scale_of_latencies_has_few_round_ticks(values: list[float]) -> None:
    """At most twelve, all within the scale."""
    scale = log_scale(values, 0, 100)

    ticks = scale.ticks()

    assert len(ticks) <= 12
    assert all(scale.low <= tick * 1.001 and tick <= scale.high * 1.001 for tick in ticks)


def test_elements_escape_texts_and_attributes() -> None:
    """Markup of our own is kept; a text and an attribute from elsewhere are text."""
    made = tag("a", "<b>\u202e", Markup("<i></i>"), title='"><script>', aria_label="x", width=1.25, href=None)

    assert made == '<a title="&#34;&gt;&lt;script&gt;" aria-label="x" width="1.2">&lt;b&gt;\\u202e<i></i></a>'


def test_a_link_leaves_out_what_is_not_chosen() -> None:
    """State is written as a query after the hash, coded where it must be."""
    assert link(f="worse", s="", m="a b&c", c="s/x") == "#f=worse&m=a+b%26c&c=s%2Fx"


# -- words


@pytest.mark.parametrize(
    ("value", "cases", "told"),
    [(0.123, 99, "12%"), (0.123, 100, "12.3%"), (None, 5, "–")],
)
def test_shares_have_as_many_digits_as_cases_tell(value: float | None, cases: int, told: str) -> None:
    """A digit behind the point means something from a hundred cases on."""
    assert percent(value, cases) == told


@pytest.mark.parametrize(("value", "told"), [(0.1, "+10"), (-0.1, "−10"), (0.001, "±0"), (-0.001, "±0")])
def test_differences_have_a_sign(value: float, told: str) -> None:
    """Nothing that rounds to nothing is a loss or a gain."""
    assert points(value, 50) == told


def test_a_record_says_how_it_came_out(world: Any) -> None:
    """Passed, error, or each reason it failed for once."""
    failed = [world.sample(score=0.0, reason=reason) for reason in ("format", "unparsed", "format")]

    assert came_out(world.record("a")) == "passed"
    assert came_out(world.record("a", *failed)) == "format, unparsed"
    assert came_out(world.record("a", world.sample(None, None))) == "error"


def test_a_run_is_named_by_time_and_commit() -> None:
    """What is not known is left out."""
    assert stamp("2026-11-21T10:00:59+00:00", "0123456789") == "2026-11-21 10:00 · commit 0123456"
    assert (stamp("", "0123456789"), stamp("", "")) == ("commit 0123456", "")


# -- answers


def test_evidence_is_counted_as_the_script_counts() -> None:
    """Python counts characters, the script UTF-16 units: behind a fish they differ."""
    answer = "a 🐟 bakes bread"
    points = [{"name": "bread", "hit": True, "start": 10, "end": 15}, {"name": "money", "hit": False, "start": None}]

    found = list(evidence({"points": points, "forbidden": [{"name": "deer", "hit": False}]}, answer))

    assert found == [["bread", 1, 0, 11, 16], ["money", 0, 0, -1, -1], ["deer", 0, 1, -1, -1]]
    assert answer.encode("utf-16-le")[22:32].decode("utf-16-le") == "bread"


@pytest.mark.parametrize(
    ("point", "span"),
    [
        ({"quote": "bread"}, [4, 9]),
        ({"quote": "cake"}, [-1, -1]),
        ({"start": 4, "end": 400, "quote": None}, [-1, -1]),
        ({"start": 4, "end": 4}, [-1, -1]),
    ],
)
def test_a_quote_is_looked_for_where_no_place_is_told(point: dict[str, Any], span: list[int]) -> None:
    """A judge model quotes and tells no place; places that cannot be are none."""
    assert next(evidence({"points": [{"name": "n", "hit": True, **point}]}, "the bread"))[3:] == span


def test_the_quote_of_a_rubric_is_marked_in_the_answer() -> None:
    """Where the judge found what it decided by; a check of another kind quotes nothing."""
    rubric = {"name": "tone", "kind": "rubric", "passed": True, "parts": {"grade": "met", "quote": "bread"}}
    other = {"name": "other", "kind": "contains", "passed": True, "parts": {"quote": "bread"}}

    found = list(evidence({"checks": [rubric, other]}, "the bread"))

    assert found == [["tone", 1, 2, 4, 9], ["other", 1, 2, -1, -1]]


COMBINED = {
    "name": "any of contains or all of words and not contains", "kind": "any", "passed": True,
    "checks": [
        {"name": "contains", "kind": "contains", "passed": False, "explanation": 'Expected "q", found "x".'},
        {"name": "all of words and not contains", "kind": "all", "passed": True, "explanation": "", "checks": [
            {"name": "words", "kind": "words", "passed": True, "explanation": "Expected 1 word."},
        ]},
    ],
}  # fmt: skip


def test_what_stands_within_a_combination_follows_it_with_its_depth() -> None:
    """With what it expected, for the names of neighbours are often the same."""
    found = list(evidence({"checks": [COMBINED, {"name": "json", "kind": "json", "passed": False}]}, "x"))

    assert [(row[0], row[1], row[5:]) for row in found] == [
        (COMBINED["name"], 1, []),
        ('contains: Expected "q", found "x".', 0, [1]),
        ("all of words and not contains", 1, [1]),
        ("words: Expected 1 word.", 1, [2]),
        ("json", 0, []),
    ]


@pytest.mark.parametrize("parts", [{"points": "text"}, {"points": [1, {"x": 2}]}, {"points": None}, {"forbidden": {}}])
def test_parts_of_another_shape_are_no_evidence(parts: dict[str, Any]) -> None:
    """Graders of other packages may use the same names for something else."""
    assert list(evidence(parts, "answer")) == []


def test_what_says_nothing_is_left_out(world: Any) -> None:
    """A plain right answer is its text, outcome, score and reason; parts of other graders are listed."""
    assert packed_sample(world.sample("x", format_ok=True, finish_reason="stop", concurrency=1)) == {
        "a": "x", "o": "passed", "v": 1.0, "w": "correct",
    }  # fmt: skip
    made = packed_sample(
        world.sample(
            "x", parts={"distance": 0.25, "expected": "x"}, format_ok=False, finish_reason="length", reused=True
        )
    )
    assert (made["k"], made["z"], made["u"], made["m"]) == (1, "length", 1, [["distance", "0.25"]])
    made = packed_sample(world.sample("x", reasoning="hm" * 9000, ttft_s=0.1, ttfa_s=0.7))
    assert (made["y"][:4], len(made["y"]) < 5000, made["t"], made["f"]) == ("hmhm", True, 0.1, 0.7)
    assert "f" not in packed_sample(world.sample("x", ttft_s=0.1, ttfa_s=0.1))


# -- trust


def test_graders_stand_beside_the_annotations_of_people(world: Any, page_of: Any) -> None:
    """How often they agree, kappa with its interval drawn, and which way the grader errs."""
    records, verdicts = [], []
    for place in range(80):
        passes, people = place % 2 == 0, (place % 2 == 0) != (place < 8)
        sample = world.sample(f"answer {place}", float(passes))
        records.append(world.record(f"c{place}", sample, suite="jokes", grader="key_points"))
        text = f"answer {place}"
        verdicts.append(
            Annotation(
                key=answer_key(f"jokes-c{place}", text), case=f"c{place}", suite="jokes", answer=text,
                answer_sha256=answer_sha256(text), mark=Mark.PASS if people else Mark.FAIL, by="ann", at="",
                drawn=Drawn.RANDOM,
            )
        )  # fmt: skip
    subject = Subject(name="n", run=world.run(records), trust=measure_agreement(records, verdicts))

    trust = page_of(subject).tree.one("section", id="trust")

    assert trust.one("h2").words.endswith("on 80 annotations")
    assert trust.one("tbody").words.startswith("jokes key_points 80 90% 0.80")
    assert trust.one("tbody").words.endswith("90% 90% 4 4")
    assert trust.one("svg").one("title").words.startswith("kappa 0.80, 95% interval 0.")


def test_few_annotations_show_too_little(world: Any, page_of: Any) -> None:
    """Under sixty there is no kappa, only how many there are."""
    record = world.record("a", world.sample("x"), suite="jokes")
    verdict = Annotation(
        key=hashlib.sha256(b"jokes-a\nx").hexdigest(), case="a", suite="jokes", answer="x",
        answer_sha256=answer_sha256("x"), mark=Mark.PASS, by="ann", at="",
    )  # fmt: skip

    subject = Subject(name="n", run=world.run([record]), trust=measure_agreement([record], [verdict]))

    row = page_of(subject).tree.one("section", id="trust").one("tbody").words
    assert row.endswith(
        "too few annotations (at least 60 needed); no answer was drawn at random, so these figures may be biased"
    )

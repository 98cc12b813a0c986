"""The story of a failed case: what it says, and that it stays readable and safe."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.entries import RecordedEntry
from pytest_llmbench.models.recorded import PROVIDER
from pytest_llmbench.report.terminal.failure import Story, error_story, failure_story
from pytest_llmbench.report.terminal.layout import Style, plain
from pytest_llmbench.results.records import Record, Sample, error_sample, graded_sample, outcome_of, ungraded_sample
from pytest_llmbench.runner.runner import Item, Result
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, AnswerError, Grade

SUITE = """\
suite: capitals
grader: exact
prompt: {completion: "{{ question }}"}
cases:
  - {id: peru, question: "Capital of Peru?", hint: [Andes, 1], expected: Lima}
"""
RIGHT = graded_sample(Answer(text="Lima"), Grade(score=1.0, passed=True, reason="correct", explanation="As expected."))


@pytest.fixture
def item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Item:
    monkeypatch.chdir(tmp_path)
    Path("capitals.yaml").write_text(SUITE)
    loaded = load_suite(Path("capitals.yaml"))
    assert loaded is not None
    spec = ModelSpec(role="m", name="m", entry=RecordedEntry(provider="recorded", answers="x.jsonl"), provider=PROVIDER)
    return Item(key="peru[m]", loaded=loaded, case=loaded.suite.cases[0], spec=spec)


def result(*samples: Sample) -> Result:
    outcome, score = outcome_of(samples)
    record = Record(
        suite="capitals",
        case="peru",
        case_sha256="",
        model="m",
        role="m",
        prompt_style="completion",
        prompt_sha256="",
        grader="exact",
        score=score,
        outcome=outcome,
        samples=samples,
    )
    return Result(record=record, answers=(), grades=())


def wrong(text: str = "Cusco", explanation: str = 'Expected "Lima", found "Cusco".') -> Sample:
    grade = Grade(score=0.0, passed=False, reason="different", explanation=explanation)
    return graded_sample(Answer(text=text), grade)


def lines(story: Story) -> Sequence[str]:
    return str(story).split("\n")


def test_a_failure_tells_reason_inputs_answer_expected_and_place(item: Item) -> None:
    """Everything that is needed to judge the failure stands in it, and nothing else."""
    assert lines(failure_story(item, result(wrong()))) == [
        'different: Expected "Lima", found "Cusco".',
        "  question  Capital of Peru?",
        "  hint      ['Andes', 1]",
        "  answer    Cusco",
        "  expected  Lima",
        "  case      capitals.yaml:5",
    ]


def test_of_several_samples_the_first_that_failed_is_shown(item: Item) -> None:
    """How many failed is told beside it."""
    story = failure_story(item, result(RIGHT, wrong(), wrong("Quito")))

    assert lines(story)[3:] == [
        "  answer    Cusco",
        "  expected  Lima",
        "  samples   2 of 3 failed; the first of them is shown",
        "  case      capitals.yaml:5",
    ]


def test_lines_of_an_answer_are_indented_below_each_other(item: Item) -> None:
    """A text of several lines keeps them; line breaks around it are left out."""
    story = failure_story(item, result(wrong("\n\nIt is\n\n  Cusco\n")))

    assert lines(story)[3:6] == ["  answer    It is", "", "              Cusco"]


def test_a_reason_of_several_lines_is_told_whole(item: Item) -> None:
    """The heading has its first line, a row of its own all of them."""
    story = failure_story(item, result(wrong(explanation="The rows differ.\n- 1\n+ 2")))

    assert lines(story)[0] == "different: The rows differ."
    assert lines(story)[5:8] == ["  reason    The rows differ.", "            - 1", "            + 2"]


def test_an_sql_answer_shows_the_rows_by_which_it_differs(item: Item) -> None:
    """Up to three rows either way, the columns where their number differs, what ran, how it was read and where."""
    parts = {
        "reading": "mysql",
        "sql": "SELECT day, n FROM t",
        "instance": "leap-day",
        "difference": {"missing": [["2024-02-29", 4], ["2024-03-01", None]], "unexpected": [["2024-03-02", 1]]},
    }
    grade = Grade(score=0.0, passed=False, reason="wrong-result", explanation="The answer misses 2 rows.", parts=parts)

    story = failure_story(item, result(graded_sample(Answer(text="SELECT 1"), grade)))

    assert str(story).splitlines()[5:-1] == [
        "  missing     (2024-02-29, 4)",
        "              (2024-03-01, NULL)",
        "  unexpected  (2024-03-02, 1)",
        "  ran         SELECT day, n FROM t",
        "              (read as mysql, on instance leap-day)",
    ]


def test_one_value_against_another_is_told_by_the_explanation(item: Item) -> None:
    """A single value on each side is not said twice; the columns are, where their number differs."""
    difference = {"missing": [[25]], "unexpected": [[1]], "columns": {"reference": ["n"], "answer": ["n", "m"]}}
    grade = Grade(score=0.0, passed=False, reason="wrong-result", explanation="No.", parts={"difference": difference})

    story = failure_story(item, result(graded_sample(Answer(text="SELECT 1"), grade)))

    assert str(story).splitlines()[5:-1] == ["  columns   n, m", "            (the reference: n)"]


def test_a_long_answer_is_cut_in_its_middle(item: Item) -> None:
    """A thousand lines do not bury the reason."""
    story = failure_story(item, result(wrong("a" * 5000)))

    assert lines(story)[3] == f"  answer    {'a' * 600} [... 3,800 characters ...] {'a' * 600}"


def test_an_answer_cannot_act_on_the_terminal(item: Item) -> None:
    """Escapes are shown, in the heading as in the rows."""
    story = failure_story(item, result(wrong("\x1b[2J", 'Found "\x1b[2J".')))

    assert lines(story)[0] == r'different: Found "\x1b[2J".'
    assert lines(story)[3] == r"  answer    \x1b[2J"


def test_a_test_s_own_assertion_tells_the_case_though_no_answer_failed(item: Item) -> None:
    """Where the answer was graded as right, the outcome stands in front of what was asked."""
    assert lines(failure_story(item, result(RIGHT))) == [
        "passed",
        "  question  Capital of Peru?",
        "  hint      ['Andes', 1]",
        "  answer    Lima",
        "  case      capitals.yaml:5",
    ]


ERRORS = {
    "a cause in one line": (error_sample(AnswerError(cause="HTTP 500")), ["HTTP 500", "  case  capitals.yaml:5"]),
    "a cause with its traceback": (
        error_sample(AnswerError(cause="the model broke: KeyError\nTraceback\n  x\n")),
        [
            "the model broke: KeyError",
            "  error  the model broke: KeyError",
            "         Traceback",
            "           x",
            "  case   capitals.yaml:5",
        ],
    ),
    "no cause": (error_sample(AnswerError(cause="")), ["no answer", "  case  capitals.yaml:5"]),
    "a broken grader": (
        ungraded_sample(Answer(text="Lima"), "the grader broke: KeyError"),
        [
            "the grader broke: KeyError",
            "  question  Capital of Peru?",
            "  hint      ['Andes', 1]",
            "  answer    Lima",
            "  case      capitals.yaml:5",
        ],
    ),
}


@pytest.mark.parametrize(("sample", "story"), ERRORS.values(), ids=ERRORS)
def test_an_error_tells_its_cause(item: Item, sample: Sample, story: list[str]) -> None:
    """The question is told only where an answer came back, for only then it matters."""
    assert lines(error_story(item, result(sample))) == story


def test_an_empty_answer_is_called_so(item: Item) -> None:
    """A row of blanks would look as if it had been forgotten."""
    assert "  answer    (empty)" in lines(failure_story(item, result(wrong(" \n"))))


def test_a_part_of_the_score_stands_beside_the_reason(item: Item) -> None:
    """Why an answer that makes a point fails is seen by how far it came."""
    grade = Grade(score=0.5, passed=False, reason="missing-points", explanation="The answer misses money.")

    story = failure_story(item, result(graded_sample(Answer(text="Bread."), grade)))

    assert story.headline == "missing-points (score 0.50): The answer misses money."


def test_samples_without_a_grade_are_counted_apart(item: Item) -> None:
    """They neither failed nor passed."""
    story = failure_story(item, result(wrong(), error_sample(AnswerError(cause="HTTP 500")), RIGHT))

    assert "  samples   1 of 3 failed; the first of them is shown; 1 without a grade" in lines(story)


def test_labels_stand_in_a_column() -> None:
    """Texts begin behind the longest label; an empty one leaves no blanks at the end of its line."""
    rows = (("a", "x"), ("long label", ""), ("b", "y\nz"))

    assert lines(Story(heading="head", rows=rows, path=Path("a.yaml"), line=3)) == [
        "head",
        "  a           x",
        "  long label",
        "  b           y",
        "              z",
        "  case        a.yaml:3",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_on_a_terminal_long_lines_are_folded_beside_their_labels(width: int) -> None:
    """The words are the same; a line goes on two blanks further in than it began."""
    rows = (("question", "which of these words " * 8), ("answer", "SELECT\n    " + "a, " * 40 + "z"))
    story = Story(heading="head", rows=rows, path=Path("a.yaml"), line=3)

    folded = [plain(line) for line in story.lines(width)]

    assert all(len(line) <= width for line in folded)
    assert " ".join(folded).split() == str(story).split()
    assert folded[1].startswith("  question  which")
    assert folded[2].startswith("              ")


def test_nothing_of_a_story_acts_however_it_is_folded(
    payloads: tuple[Any, ...], harms: Callable[[str], Sequence[str]]
) -> None:
    """A line that a log would obey may come to stand at the beginning of a line by folding."""
    for payload in payloads:
        story = Story(heading=payload.text, rows=((payload.text[:50], payload.text),), path=Path("a.yaml"), line=3)

        for width in (None, 40, 80):
            assert harms("\n".join(plain(line) for line in story.lines(width))) == [], payload.name


def test_a_story_has_its_colours() -> None:
    """What is wrong is bad news; labels are titles; what a model said has no colour."""
    story = Story(heading="head", rows=(("a", "x"),), path=Path("a.yaml"), line=3)

    assert [[span.style for span in line] for line in story.lines()] == [
        [Style.BAD],
        [Style.TITLE, Style.PLAIN],
        [Style.TITLE, Style.PLAIN],
    ]

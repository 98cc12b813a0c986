import io
import os
import pty
import signal
import termios
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest

import factories
from pytest_llmbench.cli.keys import PipedKeys, TerminalKeys, keys_of
from pytest_llmbench.cli.review import Tally, Way, candidates, review
from pytest_llmbench.results.annotations import Drawn, read_annotations
from pytest_llmbench.results.records import Record, Run, RunInfo
from pytest_llmbench.values import Message, Outcome, Prompt


def record(case: int, answer: str | None, score: float, *, role: str = "secret-model") -> Record:
    outcome = Outcome.ERROR if answer is None else Outcome.PASSED if score >= 0.75 else Outcome.FAILED
    sample = factories.sample(
        score, answer, outcome=outcome, reason="grader-word", explanation="The grader's explanation."
    )
    names = {"suite": "jokes", "role": role, "case_sha256": f"digest-{case}", "grader": "key_points"}
    return factories.record(f"case-{case}", sample, **names, score=score, outcome=outcome)


PROMPTS = {"p": Prompt(messages=(Message(role="system", content="Explain."), Message(role="user", content="A joke")))}


def run_of(*records: Record) -> Run:
    return Run(records=records, facts=RunInfo(prompts=PROMPTS))


def session(run: Run, keys: str, path: Path, by: str = "ann", *, is_by_check: bool = False) -> tuple[Tally, str]:
    said: list[str] = []
    tally = review(run, path, PipedKeys(io.StringIO(keys)), said.append, Way(by=by, is_by_check=is_by_check))
    return tally, "\n".join(said)


def test_model_and_grade_are_hidden_until_the_verdict(tmp_path: Path) -> None:
    """What could bend a judgement comes after it, and a different opinion is marked."""
    run = run_of(record(1, "It is a pun.", 1.0))

    tally, said = session(run, "f", tmp_path / "v.jsonl")

    before, after = said.split("[q]uit")
    assert "A joke" in before
    assert "It is a pun." in before
    assert not any(word in before for word in ("secret-model", "grader-word", "explanation", "passed", "key_points"))
    assert after.strip() == (
        "fail. secret-model, key_points: passed (grader-word, score 1.00) - the grader disagrees: The grader's explanation."
    )
    assert tally == Tally(annotated=1, skipped=0, left=0)


@pytest.mark.parametrize(
    ("key", "verdict"), [("p", "pass"), ("a", "part"), ("f", "fail"), ("P", "pass"), ("\n p", "pass")]
)
def test_one_key_is_a_verdict(tmp_path: Path, key: str, verdict: str) -> None:
    """The verdict is in the file with the answer, the person and the case."""
    session(run_of(record(1, "It is a pun.", 1.0)), key, tmp_path / "v.jsonl")

    (found,) = read_annotations(tmp_path / "v.jsonl").annotations
    assert (found.mark, found.answer, found.by, found.case) == (verdict, "It is a pun.", "ann", "case-1")


@pytest.mark.parametrize("keys", ["n half of it\na", "n\nhalf of it\na", "xn half of it\nzza"])
def test_a_note_goes_with_the_verdict(tmp_path: Path, keys: str) -> None:
    """It is typed as a line, in the same or the next one; keys that mean nothing do nothing."""
    session(run_of(record(1, "It is a pun.", 1.0)), keys, tmp_path / "v.jsonl")

    (found,) = read_annotations(tmp_path / "v.jsonl").annotations
    assert (found.mark, found.note) == ("part", "half of it")


def test_a_session_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    """Judged answers do not come back, skipped ones do; the order of what is left is the same."""
    path = tmp_path / "v.jsonl"
    run = run_of(*(record(number, f"answer {number}", 1.0) for number in range(8)))
    order = [candidate.answer for candidate in candidates(run.records, 0)]

    first, _ = session(run, "psfq", path)
    second, said = session(run, "p", path)

    assert (first, second.annotated, second.left) == (Tally(annotated=2, skipped=1, left=5), 1, 5)
    assert [verdict.answer for verdict in read_annotations(path).annotations] == [order[0], order[2], order[1]]
    assert f"1/6  jokes/case-{order[1].split()[1]}" in said


def test_the_end_of_the_input_is_a_quit(tmp_path: Path) -> None:
    """Nothing is judged by a file that has run out."""
    tally, _ = session(run_of(record(1, "a", 1.0)), "", tmp_path / "v.jsonl")

    assert tally == Tally(annotated=0, skipped=0, left=1)
    assert not (tmp_path / "v.jsonl").exists()


def test_another_person_judges_the_same_answers(tmp_path: Path) -> None:
    """What one has judged is still to be judged by the next."""
    run = run_of(record(1, "a", 1.0))
    session(run, "p", tmp_path / "v.jsonl", by="ann")

    tally, _ = session(run, "f", tmp_path / "v.jsonl", by="bob")

    assert tally.annotated == 1
    assert len(read_annotations(tmp_path / "v.jsonl").annotations) == 2


def test_the_same_answer_to_a_case_comes_once_and_errors_never() -> None:
    """Two models that say the same are one question; what has no answer is none."""
    found = candidates([record(1, "a", 1.0), record(1, "a", 1.0, role="other"), record(2, None, 0.0)], 0)

    assert [candidate.answer for candidate in found] == ["a"]


def test_the_random_share_does_not_hang_on_the_grades() -> None:
    """The same answers are drawn whatever the grader said, about half of all."""
    right = candidates([record(number, f"answer {number}", 1.0) for number in range(400)], 0)
    mixed = candidates([record(number, f"answer {number}", number % 3 / 2) for number in range(400)], 0)

    drawn = [{c.key for c in found if c.drawn is Drawn.RANDOM} for found in (right, mixed)]
    assert drawn[0] == drawn[1]
    assert 160 < len(drawn[0]) < 240


def test_informative_answers_come_first_in_each_ten() -> None:
    """Three of ten are those near the border or with differing outcomes, the nearest first; then the random share."""
    found = candidates([record(number, f"answer {number}", (number % 11) / 10) for number in range(200)], 0)

    first = found[:10]
    assert [candidate.drawn for candidate in first] == [Drawn.CHOSEN] * 3 + [Drawn.RANDOM] * 7
    assert {candidate.record.score for candidate in first[:3]} == {0.5}
    split = candidates(
        [*(record(n, f"{n}", 1.0) for n in range(50)), *(record(n, f"not {n}", 0.0) for n in range(3))], 0
    )
    assert int(split[0].record.case.removeprefix("case-")) < 3


def test_answers_on_which_a_judge_was_of_two_minds_come_first() -> None:
    """Where its votes were split, a person has to look."""
    certain = [record(number, f"answer {number}", 1.0) for number in range(100)]
    doubtful = [
        replace(made, samples=tuple(replace(sample, parts={"split": True}) for sample in made.samples))
        for made in (record(number, f"answer {number}", 1.0) for number in range(100, 104))
    ]

    first = candidates([*certain, *doubtful], 0)[0]

    assert first.sample.parts == {"split": True}


def test_another_seed_is_another_order() -> None:
    """And the same one the same order, on every machine."""
    records = [record(number, f"answer {number}", 1.0) for number in range(50)]

    orders = [[candidate.key for candidate in candidates(records, seed)] for seed in (0, 0, 1)]

    assert orders[0] == orders[1] != orders[2]
    assert Counter(orders[0]) == Counter(orders[2])


def test_control_characters_of_an_answer_are_shown() -> None:
    """An answer cannot clear the screen or write over the question."""
    _, said = session(run_of(record(1, "a\x1b[2Jb\rc", 1.0)), "q", Path("unused"))

    assert "a\\x1b[2Jb\\rc" in said
    assert "\x1b" not in said


def test_lines_that_cannot_be_read_are_named_before_the_first_answer(tmp_path: Path) -> None:
    """A broken line in the file stops nobody."""
    path = tmp_path / "v.jsonl"
    path.write_text("nonsense\n")

    tally, said = session(run_of(record(1, "a", 1.0)), "p", path)

    assert tally.annotated == 1
    assert said.startswith(f"{path}:1: this line is not an annotation")


@contextmanager
def terminal() -> Iterator[tuple[int, TextIO]]:
    """Give a terminal: the end a person types into, and the stream a program reads from."""
    person, program = pty.openpty()
    try:
        with os.fdopen(program, "r", closefd=True) as stream:
            yield person, stream
    finally:
        os.close(person)


def typed_later(person: int, keys: bytes) -> threading.Timer:
    timer = threading.Timer(0.05, os.write, (person, keys))
    timer.start()
    return timer


def test_a_terminal_gives_single_keys_and_is_put_back() -> None:
    """No Enter is needed; arrows are no keys; the mode afterwards is that from before."""
    with terminal() as (person, stream):
        before = termios.tcgetattr(stream.fileno())
        keys = keys_of(stream)
        assert isinstance(keys, TerminalKeys)

        timers = [typed_later(person, b"P\x1b[A\x1b[1;5B\x1bOP f"), typed_later(person, b"a")]
        pressed = [keys.key() for _ in range(3)]
        for timer in timers:
            timer.join()

        assert sorted(pressed) == ["a", "f", "p"]
        assert termios.tcgetattr(stream.fileno()) == before


def interrupted_later(person: int) -> threading.Timer:
    main = threading.main_thread().ident or 0
    timer = threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    return timer


@pytest.mark.parametrize("leave", [lambda person: typed_later(person, b"\x04"), interrupted_later])
def test_a_terminal_is_put_back_when_the_person_leaves(leave: Callable[[int], threading.Timer]) -> None:
    """Ctrl-D is a quit, and so is Ctrl-C in the middle of waiting."""
    with terminal() as (person, stream):
        before = termios.tcgetattr(stream.fileno())
        timer = leave(person)

        assert TerminalKeys(stream).key() == ""
        timer.join()
        assert termios.tcgetattr(stream.fileno()) == before


def test_a_note_is_typed_as_a_line() -> None:
    """After a key the terminal edits a line as usual."""
    with terminal() as (person, stream):
        timer = typed_later(person, b"well said\n")

        assert TerminalKeys(stream).line() == "well said"
        timer.join()


def checked(case: int, *names: str, passed: bool = True) -> Record:
    made = record(case, f"answer {case}", float(passed))
    checks = [{"name": name, "kind": "contains", "passed": passed} for name in names]
    samples = tuple(replace(sample, parts={"checks": checks}) for sample in made.samples)
    return replace(made, samples=samples, grader="checks")


def test_each_check_is_a_question_and_the_grades_come_behind_the_last(tmp_path: Path) -> None:
    """The grade of the first would tell of the model that is still to be judged."""
    path = tmp_path / "v.jsonl"

    tally, said = session(run_of(checked(1, "tone", "facts")), "pf", path, is_by_check=True)

    found = read_annotations(path).annotations
    assert [(one.check, one.point, one.mark) for one in found] == [("tone", None, "pass"), ("facts", None, "fail")]
    questions, grades = said.rsplit("[q]uit", 1)
    assert '-- the check "tone"' in questions
    assert "secret-model" not in questions
    assert grades.strip().splitlines() == [
        'pass for the check "tone". secret-model, contains: passed',
        'fail for the check "facts". secret-model, contains: passed - the grader disagrees',
    ]
    assert tally == Tally(annotated=2, skipped=0, left=0)


def test_a_session_by_check_goes_on_within_an_answer(tmp_path: Path) -> None:
    """What was decided before a quit is not asked again; annotations of the whole answer are others."""
    path = tmp_path / "v.jsonl"
    run = run_of(checked(1, "tone", "facts"))
    session(run, "p", path)

    first, _ = session(run, "pq", path, is_by_check=True)
    second, _ = session(run, "f", path, is_by_check=True)

    assert (first, second) == (Tally(annotated=1, skipped=0, left=1), Tally(annotated=1, skipped=0, left=0))
    assert [one.check for one in read_annotations(path).annotations] == [None, "tone", "facts"]


def test_points_are_asked_before_the_whole_answer(tmp_path: Path) -> None:
    """The only check of a case is the whole answer, and its annotation names none; a point names its check."""
    path = tmp_path / "v.jsonl"
    made = record(1, "a", 1.0)
    points = {"points": [{"name": "money sense", "hit": True}]}
    made = replace(made, samples=tuple(replace(sample, parts=points) for sample in made.samples))

    _, said = session(run_of(made), "fp", path, is_by_check=True)

    found = read_annotations(path).annotations
    assert [(one.check, one.point) for one in found] == [("key_points", "money sense"), (None, None)]
    assert '-- the point "money sense" of "key_points"' in said
    assert "-- the whole answer" in said

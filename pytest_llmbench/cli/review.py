"""`llmbench review`: show answers to a person, without their grades, and keep the annotations.

Neither the model nor the grade is shown before the person has decided.  Half of the
answers, settled by their digest alone, are the random share: agreement is computed on these, for a
choosing by the grade would bias it.  The other half gives the informative ones: where
the samples or models of a case disagree, where the votes of a judge do, and where a score lies between right and wrong.

With `--by-check` each check of an answer is decided by itself, and each key point; the grades of an answer come behind
the last of them.
"""

import argparse
import getpass
import hashlib
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from pytest_llmbench.cli.arguments import add_annotations
from pytest_llmbench.cli.keys import Reviewer, keys_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.report.transcript import answer_text
from pytest_llmbench.results.annotations import Drawn, Mark, add_annotation, annotation_on, answer_key, read_annotations
from pytest_llmbench.results.checks import has_split_votes
from pytest_llmbench.results.criteria import Criterion, check_names, criteria
from pytest_llmbench.results.records import Record, Run, Sample
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.values import Outcome

RANDOM_SHARE = 0.5
BLOCK, INFORMATIVE_IN_BLOCK = 10, 3
"""Of each ten answers the first three are informative ones, while there are any."""

_MAX_CHARACTERS = 4_000
_MARK_KEYS = {"p": Mark.PASS, "a": Mark.PART, "f": Mark.FAIL}
_HINT = "[p]ass  p[a]rt  [f]ail  [s]kip  [n]ote  [q]uit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_file", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    parser.add_argument("--by", metavar="NAME", help="name of the annotator; default: the user's name")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the order; use the same one for all annotators of a run"
    )
    parser.add_argument(
        "--by-check", action="store_true", help="decide each check of an answer, and each key point, by itself"
    )
    add_annotations(parser)


def run(options: argparse.Namespace) -> int:
    """Put the answers before a person and write what they decide; gives the exit status.

    Raises:
        RunFileFault, UsageFault: a file cannot be read or written.
    """
    way = Way(by=options.by or user_name(), seed=options.seed, is_by_check=options.by_check)
    tally = review(read_run(options.run_file), options.verdicts, keys_of(sys.stdin), _print, way)
    counts = f"{tally.annotated} annotated, {tally.skipped} skipped, {tally.left} left"
    _print(f"{counts}; the annotations of {way.by} are in {options.verdicts}.")
    return 0


def _print(text: str) -> None:
    print_lines([text])


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Who annotates, in the order of which seed, and whether check by check."""

    by: str
    seed: int = 0
    is_by_check: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What one mark is about: the whole answer, or what is named of it; and the grader's decision on that."""

    check: str | None = None
    point: str | None = None
    criterion: Criterion | None = None

    @property
    def label(self) -> str:
        """Name it."""
        if self.point is not None:
            return f'the point "{self.point}"' + (f' of "{self.check}"' if self.check is not None else "")
        return "the whole answer" if self.check is None else f'the check "{self.check}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One answer to annotate, and the record and sample it was found in first."""

    key: str
    record: Record
    sample: Sample
    drawn: Drawn

    @property
    def answer(self) -> str:
        """The text to annotate."""
        return self.sample.answer or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of a session, of marks."""

    annotated: int
    skipped: int
    left: int


def candidates(records: Iterable[Record], seed: int) -> tuple[Candidate, ...]:
    """Give the answers of a run in the order of review; an answer given twice to a case comes once.

    The order and the random share depend on `seed` and the answers alone, so that a session goes on where the last
    one stopped, and a second person gets the same.
    """
    found: dict[str, tuple[Record, Sample]] = {}
    outcomes: dict[tuple[str, str], set[Outcome]] = {}
    for record in records:
        for sample in record.answered:
            found.setdefault(answer_key(record.case_sha256, sample.answer or ""), (record, sample))
            outcomes.setdefault((record.suite, record.case), set()).add(sample.outcome)
    order = {key: _position(seed, key) for key in found}
    by_chance = sorted((key for key in found if order[key] < RANDOM_SHARE), key=order.__getitem__)
    rest = [key for key in found if order[key] >= RANDOM_SHARE]
    promise = {key: _informs(*found[key], outcomes) for key in rest}
    by_promise = sorted((key for key in rest if promise[key]), key=lambda key: (-promise[key], order[key]))
    others = sorted((key for key in rest if not promise[key]), key=order.__getitem__)
    queue = [*_in_blocks(by_promise, by_chance), *((key, Drawn.CHOSEN) for key in others)]
    return tuple(Candidate(key=key, record=found[key][0], sample=found[key][1], drawn=drawn) for key, drawn in queue)


def _position(seed: int, key: str) -> float:
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _informs(record: Record, sample: Sample, outcomes: dict[tuple[str, str], set[Outcome]]) -> float:
    is_split = len(outcomes[record.suite, record.case]) > 1
    score = sample.score or 0.0
    return is_split + has_split_votes(sample.parts) + 2 * min(score, 1 - score)


def _in_blocks(by_promise: Sequence[str], by_chance: Sequence[str]) -> Iterator[tuple[str, Drawn]]:
    promising, random = list(by_promise), list(by_chance)
    while promising or random:
        first, promising = promising[:INFORMATIVE_IN_BLOCK], promising[INFORMATIVE_IN_BLOCK:]
        size = BLOCK - len(first)
        yield from ((key, Drawn.CHOSEN) for key in first)
        yield from ((key, Drawn.RANDOM) for key in random[:size])
        random = random[size:]


def questions(candidate: Candidate, *, is_by_check: bool) -> tuple[Question, ...]:
    """Give what a person is to decide on an answer; the only check of a case is the whole answer."""
    if not is_by_check:
        return (Question(),)
    found = criteria(candidate.record, candidate.sample)
    is_alone = len(check_names(found)) == 1
    return tuple(
        Question(
            check=None if is_alone and one.point is None else one.check,
            point=one.point,
            criterion=None if is_alone and one.point is None else one,
        )
        for one in found
    )


def review(run: Run, path: Path, reviewer: Reviewer, write: Callable[[str], None], way: Way) -> Tally:
    """Ask a person about the answers of a run that they have not annotated yet, until the end or a `q`.

    Each annotation is in the file before the next answer is shown.

    Raises:
        UsageFault: the file of annotations cannot be read or written.
    """
    known = read_annotations(path)
    for fault in known.faults:
        write(visible(fault))
    done = {annotation.about for annotation in known.annotations if annotation.by == way.by}
    queue = list(_open_questions(candidates(run.records, way.seed), done, is_by_check=way.is_by_check))
    annotated = skipped = 0
    for number, (candidate, asked) in enumerate(queue, start=1):
        write("\n".join(["", *_shown(candidate, run, f"{number}/{len(queue)}", is_by_check=way.is_by_check)]))
        decided: list[tuple[Question, Mark]] = []
        is_stopped = False
        for question, mark, note in _decisions(asked, reviewer, write):
            is_stopped = question is None
            if question is None:
                break
            if mark is None:
                skipped += 1
                continue
            at = datetime.now(timezone.utc).isoformat(timespec="seconds")  # noqa: UP017 - one spelling on all Pythons
            record, drawn = candidate.record, candidate.drawn
            made = annotation_on(record, candidate.answer, mark, by=way.by, at=at, drawn=drawn)
            add_annotation(path, replace(made, note=note, check=question.check, point=question.point))
            decided.append((question, mark))
        # shown before the last one is decided, the grade of a check would tell of the next
        for question, mark in decided:
            write(_reveal(candidate, question, mark))
        annotated += len(decided)
        if is_stopped:
            break
    n_asked = sum(len(asked) for _, asked in queue)
    return Tally(annotated=annotated, skipped=skipped, left=n_asked - annotated - skipped)


def _decisions(
    asked: Sequence[Question], reviewer: Reviewer, write: Callable[[str], None]
) -> Iterator[tuple[Question | None, Mark | None, str]]:
    """Ask one question after another; no mark is a skip, no question the wish to stop."""
    for question in asked:
        if question.criterion is not None or len(asked) > 1:
            write(visible(f"-- {question.label}"))
        decided = _decide(reviewer, write)
        if decided is None:
            yield None, None, ""
            return
        yield question, *decided


def _open_questions(
    found: Iterable[Candidate], done: Container[tuple[str, str | None, str | None]], *, is_by_check: bool
) -> Iterator[tuple[Candidate, tuple[Question, ...]]]:
    for candidate in found:
        asked = questions(candidate, is_by_check=is_by_check)
        left = tuple(question for question in asked if (candidate.key, question.check, question.point) not in done)
        if left:
            yield candidate, left


def _decide(reviewer: Reviewer, write: Callable[[str], None]) -> tuple[Mark | None, str] | None:
    """Wait for a mark and its note; None and a note for a skip, None alone to stop."""
    note = ""
    write(_HINT)
    while (key := reviewer.key()) not in ("q", ""):
        if key in _MARK_KEYS:
            return _MARK_KEYS[key], note
        if key == "s":
            return None, note
        if key == "n":
            write("note:")
            note = reviewer.line().strip()
        write(_HINT)
    return None


def _shown(candidate: Candidate, run: Run, place: str, *, is_by_check: bool) -> Iterator[str]:
    record = candidate.record
    yield visible(f"== {place}  {record.suite}/{record.case}")
    prompt = run.facts.prompts.get(record.prompt_sha256)
    if prompt is not None:
        yield from _block("prompt", prompt.messages[-1].content if prompt.messages else _end(prompt.text or ""))
    expected = candidate.sample.parts.get("expected")
    if isinstance(expected, str):
        yield from _block("expected", expected)
    asked = run.facts.expected.get(record.case_sha256)
    if is_by_check and asked is not None:
        yield from _block("asked", asked)
    yield from _block("answer", answer_text(candidate.sample))


def _end(text: str) -> str:
    """Give the last paragraph of a prompt: the case, behind instructions and examples."""
    return text.rstrip().rpartition("\n\n")[2]


def _block(label: str, text: str) -> Iterator[str]:
    yield f"-- {label}"
    yield from (f"   {line}".rstrip() for line in visible(clipped(text, _MAX_CHARACTERS)).split("\n"))


def _reveal(candidate: Candidate, question: Question, mark: Mark) -> str:
    record, sample, criterion = candidate.record, candidate.sample, question.criterion
    if criterion is None:
        is_passed, of_what = sample.outcome is Outcome.PASSED, ""
        grade = f"{record.grader}: {sample.outcome} ({sample.reason}, score {sample.score or 0:.2f})"
        explanation = f": {sample.explanation}"
    else:
        is_passed, of_what, explanation = criterion.passed is True, f" for {question.label}", ""
        grade = f"{criterion.grader}: {Outcome.PASSED if is_passed else Outcome.FAILED}"
    is_same = (mark is Mark.PASS) == is_passed
    disagrees = "" if is_same else " - the grader disagrees"
    return visible(f"{mark}{of_what}. {record.role}, {grade}{disagrees}{explanation}")


def user_name() -> str:
    """Give the name of who sits at the keyboard, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "somebody"

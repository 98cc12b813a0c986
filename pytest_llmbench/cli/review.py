"""`llmbench review`: show answers to a person, without their grades, and keep the annotations.

Neither the model nor the grade is shown before the person has decided.  Half of the
answers, settled by their digest alone, are the random share: agreement is computed on these, for a
choosing by the grade would bias it.  The other half gives the informative ones: where
the samples or models of a case disagree, where the votes of a judge do, and where a score lies between right and wrong.
"""

import argparse
import getpass
import hashlib
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol, TextIO

from pytest_llmbench.cli.arguments import add_annotations
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.report.safe_text import clipped, visible
from pytest_llmbench.report.transcript import answer_text
from pytest_llmbench.results.annotations import Drawn, Mark, add_annotation, annotation_on, answer_key, read_annotations
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
    add_annotations(parser)


def run(options: argparse.Namespace) -> int:
    """Put the answers before a person and write what they decide; gives the exit status.

    Raises:
        RunFileFault, UsageFault: a file cannot be read or written.
    """
    by, path = options.by or user_name(), options.verdicts
    tally = review(read_run(options.run_file), path, keys_of(sys.stdin), _print, by=by, seed=options.seed)
    counts = f"{tally.annotated} annotated, {tally.skipped} skipped, {tally.left} left"
    _print(f"{counts}; the annotations of {by} are in {path}.")
    return 0


def _print(text: str) -> None:
    print_lines([text])


class Reviewer(Protocol):
    """A person at a terminal, or a file in a test."""

    def key(self) -> str:
        """Give the next key pressed, in lower case; empty at the end of the input."""
        ...

    def line(self) -> str:
        """Give the next line typed, without its end."""
        ...


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
    """The counts of a session."""

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
    return is_split + (sample.parts.get("split") is True) + 2 * min(score, 1 - score)


def _in_blocks(by_promise: Sequence[str], by_chance: Sequence[str]) -> Iterator[tuple[str, Drawn]]:
    promising, random = list(by_promise), list(by_chance)
    while promising or random:
        first, promising = promising[:INFORMATIVE_IN_BLOCK], promising[INFORMATIVE_IN_BLOCK:]
        size = BLOCK - len(first)
        yield from ((key, Drawn.CHOSEN) for key in first)
        yield from ((key, Drawn.RANDOM) for key in random[:size])
        random = random[size:]


def review(run: Run, path: Path, reviewer: Reviewer, write: Callable[[str], None], *, by: str, seed: int = 0) -> Tally:
    """Ask a person about the answers of a run that they have not annotated yet, until the end or a `q`.

    Each annotation is in the file before the next answer is shown.

    Raises:
        UsageFault: the file of annotations cannot be read or written.
    """
    known = read_annotations(path)
    for fault in known.faults:
        write(visible(fault))
    done = {annotation.key for annotation in known.annotations if annotation.by == by}
    all_candidates = candidates(run.records, seed)
    queue = [candidate for candidate in all_candidates if candidate.key not in done]
    annotated = skipped = 0
    for number, candidate in enumerate(queue, start=1):
        write("\n".join(["", *_question(candidate, run, f"{number}/{len(queue)}")]))
        decided = _decide(reviewer, write)
        if decided is None:
            break
        mark, note = decided
        if mark is None:
            skipped += 1
            continue
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")  # noqa: UP017 - one spelling on all Pythons
        add_annotation(
            path,
            annotation_on(candidate.record, candidate.answer, mark, by=by, at=at, note=note, drawn=candidate.drawn),
        )
        annotated += 1
        write(_reveal(candidate, mark))
    return Tally(annotated=annotated, skipped=skipped, left=len(queue) - annotated - skipped)


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


def _question(candidate: Candidate, run: Run, place: str) -> Iterator[str]:
    record = candidate.record
    yield visible(f"== {place}  {record.suite}/{record.case}")
    prompt = run.facts.prompts.get(record.prompt_sha256)
    if prompt is not None:
        yield from _block("prompt", prompt.messages[-1].content if prompt.messages else _end(prompt.text or ""))
    expected = candidate.sample.parts.get("expected")
    if isinstance(expected, str):
        yield from _block("expected", expected)
    yield from _block("answer", answer_text(candidate.sample))


def _end(text: str) -> str:
    """Give the last paragraph of a prompt: the case, behind instructions and examples."""
    return text.rstrip().rpartition("\n\n")[2]


def _block(label: str, text: str) -> Iterator[str]:
    yield f"-- {label}"
    yield from (f"   {line}".rstrip() for line in visible(clipped(text, _MAX_CHARACTERS)).split("\n"))


def _reveal(candidate: Candidate, mark: Mark) -> str:
    record, sample = candidate.record, candidate.sample
    is_same = (mark is Mark.PASS) == (sample.outcome is Outcome.PASSED)
    grade = f"{record.role}, {record.grader}: {sample.outcome} ({sample.reason}, score {sample.score or 0:.2f})"
    return visible(f"{mark}. {grade}{'' if is_same else ' - the grader disagrees'}: {sample.explanation}")


_END = "\x04"
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?]*[ -~]?|O.|.)?")
"""What an arrow or a function key sends: ESC [ A, and its A must not become a mark."""


class PipedKeys:
    """Keys from a stream that is no terminal: each character but blanks is one; a note ends with its line."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def key(self) -> str:
        """Give the next character that is no blank, in lower case; empty at the end."""
        while (read := self._stream.read(1)) and read.isspace():
            pass
        return read.lower()

    def line(self) -> str:
        """Give the rest of the line, or the next one if nothing is left of this."""
        return self._stream.readline().strip() or self._stream.readline().strip()


class TerminalKeys:
    """Keys of a terminal, without Enter. It is in its usual mode whenever nobody waits for a key."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._pressed: deque[str] = deque()

    def key(self) -> str:
        """Wait for a key; empty for Ctrl-D and Ctrl-C. What arrows and function keys send is no key."""
        while not self._pressed:
            try:
                with _single_keys(self._stream.fileno()):
                    burst = os.read(self._stream.fileno(), 64).decode("utf-8", "replace")
            except KeyboardInterrupt:
                return ""
            if not burst or burst.startswith(_END):
                return ""
            self._pressed.extend("".join(_SEQUENCE.sub("", burst).split()).lower())
        return self._pressed.popleft()

    def line(self) -> str:
        """Give a line typed, with the terminal's own editing."""
        return self._stream.readline().rstrip("\n")


@contextmanager
def _single_keys(descriptor: int) -> Iterator[None]:
    """Have a terminal give each key at once and unseen, and put it back whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def keys_of(stream: TextIO) -> Reviewer:
    """Give the keys of a stream: single ones where it is a terminal that can do so."""
    try:
        import termios  # noqa: F401 - Windows has none; there Enter follows each key
    except ImportError:
        return PipedKeys(stream)
    return TerminalKeys(stream) if stream.isatty() else PipedKeys(stream)


def user_name() -> str:
    """Give the name of who sits at the keyboard, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return "somebody"

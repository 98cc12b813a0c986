"""Progress in a real terminal: a pseudo terminal, whose output an emulator turns into what a person sees."""

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyte
import pytest

pytestmark = pytest.mark.slow

PROVIDER = '''
import os
from pathlib import Path

from pytest_llmbench.models import Identity, Opened
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.values import Answer


class SlowEntry(Entry):
    fifo: str = ""


class SlowModel(Opened):
    """Gives an answer for each byte that the test writes."""

    identity = Identity(provider="slow", model="slow")
    concurrency = 1

    def answer(self, requests, *, arrived=None, halt=None):
        gate = os.open(Path(__file__).parent / "gate", os.O_RDWR)
        answers = []
        for index, request in enumerate(requests):
            os.read(gate, 1)
            answers.append(Answer(text="Paris", latency_s=0.5, concurrency=1))
            if arrived is not None:
                arrived(index, answers[-1])
        return tuple(answers)


class SlowProvider:
    entry_type = SlowEntry
    target_field = "fifo"

    def prompt_style(self, entry):
        return None

    def open(self, entry, settings):
        return SlowModel()


def pytest_llmbench_providers(config):
    return {"slow": SlowProvider()}
'''
SUITE = """\
suite: capitals
grader: exact
prompt: {completion: "{{ question }}"}
cases:
  - {id: france, question: "Capital of France?", expected: Paris}
  - {id: paris, question: "Capital of which?", expected: Paris}
  - {id: texas, question: "A city in Texas?", expected: Paris}
"""
PATIENCE_S = 60.0
"""How long a screen may take to show something before the test gives up."""


@dataclass
class Terminal:
    """A pytest at work in a pseudo terminal, and what its screen shows."""

    master: int
    gate: int
    process: "subprocess.Popen[bytes]"
    screen: pyte.Screen
    stream: pyte.ByteStream

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def answer(self) -> None:
        """Let the model give its next answer."""
        os.write(self.gate, b".")

    def wait_for(self, text: str) -> str:
        """Give the line of the screen that shows a text, as soon as one does."""
        return next(line for line in self._until(lambda: any(text in line for line in self.lines)) if text in line)

    def wait_for_end(self) -> list[str]:
        """Give the screen when the program has ended."""
        lines = self._until(lambda: False)
        self.process.wait(PATIENCE_S)
        return lines

    def _until(self, is_reached: Callable[[], bool]) -> list[str]:
        deadline = time.monotonic() + PATIENCE_S
        while not is_reached():
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "\n".join(self.lines)
            try:
                read = os.read(self.master, 65536)
            except OSError:  # the other end is closed: the program has ended
                read = b""
            if not read:
                break
            self.stream.feed(read)
        return self.lines


@pytest.fixture
def slow(pytester: pytest.Pytester) -> pytest.Pytester:
    """Make a project whose model answers when the test says so."""
    (pytester.mkdir("cases") / "capitals.yaml").write_text(SUITE)
    pytester.makeconftest(PROVIDER)
    pytester.makeini("[pytest]\n")
    os.mkfifo(pytester.path / "gate")
    return pytester


@contextmanager
def terminal(
    folder: Path, *options: str, columns: int = 80, lines: int = 24, env: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    inherited = {k: v for k, v in os.environ.items() if k not in ("CI", "BUILD_NUMBER", "COLUMNS", "LINES")}
    run = ("--llm-model", "m=slow:x", "--benchmark-quiet", "-p", "no:cacheprovider", *options, "cases")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *run],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env={**inherited, "TERM": "xterm-256color", **(env or {})},
        start_new_session=True,
    )
    os.close(slave)
    gate = os.open(folder / "gate", os.O_RDWR)
    screen = pyte.Screen(columns, lines)
    try:
        yield Terminal(master, gate, process, screen, pyte.ByteStream(screen))
    finally:
        process.kill()
        process.wait()
        os.close(gate)
        os.close(master)


VERBOSE = [
    f"{f'cases/capitals.yaml::{case}[m] PASSED':73}[{share:>4}]"
    for case, share in (("france", "33%"), ("paris", "66%"), ("texas", "100%"))
]


@pytest.mark.parametrize(
    ("options", "dots"),
    # with -s pytest itself tells no percentage
    [((), f"{'cases/capitals.yaml ...':73}[100%]"), (("-s",), "cases/capitals.yaml ...")],
    ids=["default", "-s"],
)
def test_progress_stands_behind_the_dots_and_leaves_them_exact(
    slow: pytest.Pytester, options: tuple[str, ...], dots: str
) -> None:
    """While the model works the line tells how far it is; in the end the screen is as if it had never been there."""
    with terminal(slow.path, *options) as seen:
        first = seen.wait_for("0/3 answered")
        seen.answer()
        second = seen.wait_for("1/3 answered, ")
        seen.answer()
        third = seen.wait_for("2/3 answered, ")
        seen.answer()
        screen = seen.wait_for_end()

    assert first.endswith("m: 0/3 answered")
    assert second.startswith("cases/capitals.yaml . m: 1/3 answered, ")
    assert third.startswith("cases/capitals.yaml .. m: 2/3 answered, ")
    assert third.endswith(" left")
    assert dots in screen
    assert not any("answered" in line for line in screen)


@pytest.mark.parametrize("lines", [24, 9], ids=["at the top", "where the screen scrolls"])
def test_in_verbose_output_progress_stands_on_a_line_of_its_own(slow: pytest.Pytester, lines: int) -> None:
    """Below the last result, which fills its line; each result then stands where it would have."""
    with terminal(slow.path, "-v", lines=lines) as seen:
        seen.wait_for("0/3 answered")
        seen.answer()
        second = seen.wait_for("1/3 answered, ")
        at_work = list(seen.lines)
        seen.answer()
        seen.wait_for("2/3 answered, ")
        seen.answer()
        seen.wait_for("texas[m] PASSED")
        seen.wait_for("[100%]")
        results = list(seen.lines)
        screen = seen.wait_for_end()

    assert second.startswith("m: 1/3 answered, ")
    assert at_work[at_work.index(second) - 1] == VERBOSE[0]
    start = results.index(VERBOSE[0])
    assert results[start : start + 3] == VERBOSE
    assert not any("answered" in line for line in screen)


def test_on_a_narrow_terminal_progress_stands_below_the_dots(slow: pytest.Pytester) -> None:
    """Forty columns have no room beside a path."""
    with terminal(slow.path, columns=40) as seen:
        seen.wait_for("0/3 answered")
        seen.answer()
        second = seen.wait_for("1/3 answered, ")
        dots = seen.lines[seen.lines.index(second) - 1]
        seen.answer()
        seen.answer()
        screen = seen.wait_for_end()

    assert dots == "cases/capitals.yaml ."
    assert f"{'cases/capitals.yaml ...':33}[100%]" in screen
    assert not any("answered" in line for line in screen)


@pytest.mark.parametrize(
    ("options", "env"),
    [(("-q",), {}), ((), {"CI": "true"}), ((), {"TERM": "dumb"})],
    ids=["-q", "a CI service", "a dumb terminal"],
)
def test_progress_is_quiet_where_it_is_not_wanted(
    slow: pytest.Pytester, options: tuple[str, ...], env: dict[str, str]
) -> None:
    """In the log of a CI job, which may be a terminal too, every redrawn line would be kept."""
    with terminal(slow.path, *options, env=env) as seen:
        seen.answer()
        seen.wait_for(" ." if not options else ".")
        seen.answer()
        seen.answer()
        screen = seen.wait_for_end()

    assert not any("answered" in line for line in screen)


def test_ctrl_c_leaves_a_clean_screen(slow: pytest.Pytester) -> None:
    """The text is taken away before pytest says that it was interrupted."""
    with terminal(slow.path) as seen:
        seen.answer()
        seen.wait_for("1/3 answered, ")
        os.killpg(seen.process.pid, 2)
        screen = seen.wait_for_end()

    assert seen.process.returncode == 2
    assert "cases/capitals.yaml ." in screen
    assert not any("answered" in line for line in screen)

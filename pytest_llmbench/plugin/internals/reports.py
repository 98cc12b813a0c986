r"""All knowledge of the insides of pytest's reports and of its JUnit writer (9.2).

Used here and not documented there: that anything with `toterminal` and `reprcrash` may stand for a formatted
exception, the parts of a formatted exception (`chain`, `reprentries`,
`lines`, `message` and so on), the names of a report's sections, and that the plugin which writes JUnit XML has
`add_global_property`; the fixture that pytest offers for it does nothing in a worker of xdist.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from _pytest._code.code import ExceptionRepr

from pytest_llmbench.report.safe_text import visible
from pytest_llmbench.report.terminal.failure import Story
from pytest_llmbench.report.terminal.layout import Style

_SKIPPED = "Skipped: "  # in front of a reason; the JUnit writer takes it away
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def make_safe(report: pytest.TestReport) -> None:
    """Make what pytest itself reports of a test safe to print: exceptions and their diffs quote what a model answered.

    What the test printed and logged too; what it logged loses the colours that pytest puts there.
    """
    report.sections = [
        (name, visible(_COLOURS.sub("", text) if name.startswith("Captured log") else text))
        for name, text in report.sections
    ]
    found: Any = report.longrepr
    if isinstance(found, tuple):  # a skipped test: where, and why
        path, line, why = found
        reason = why.removeprefix(_SKIPPED)
        report.longrepr = path, line, why[: len(why) - len(reason)] + visible(reason)
    elif isinstance(found, str):
        report.longrepr = visible(found)
    elif isinstance(found, ExceptionRepr):
        # without a chain with --tb=native
        for traceback, crash, *_ in getattr(found, "chain", None) or [(found.reprtraceback, found.reprcrash)]:
            for entry in traceback.reprentries:
                _make_entry_safe(entry)
            if crash is not None:
                crash.message = visible(crash.message)


def _make_entry_safe(entry: Any) -> None:
    entry.lines = [visible(line) for line in entry.lines]
    arguments, variables = getattr(entry, "reprfuncargs", None), getattr(entry, "reprlocals", None)
    if arguments is not None:
        arguments.args = [(name, visible(str(value))) for name, value in arguments.args]
    if variables is not None:
        variables.lines = [visible(line) for line in variables.lines]


def story_repr(config: pytest.Config, story: Story) -> Any:
    """Give what stands for a formatted exception on a report; xdist sends its text."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    is_terminal = reporter is not None and reporter.isatty
    return StoryRepr(story, is_folded=is_terminal, is_in_a_line=config.getoption("tbstyle", "auto") == "line")


class StoryRepr:
    """A story where pytest has a formatted exception: laid out for the terminal it is shown on.

    Args:
        story: to show.
        is_folded: it is shown on a terminal; in a file lines stay whole.
        is_in_a_line: as with --tb=line, where pytest shows `reprcrash` and expects nothing more.
    """

    def __init__(self, story: Story, *, is_folded: bool, is_in_a_line: bool):
        self.reprcrash = StoryCrash(path=str(story.path), lineno=story.line, message=story.headline)
        self._story = story
        self._is_folded = is_folded
        self._is_in_a_line = is_in_a_line

    def __str__(self) -> str:
        return str(self._story)

    def toterminal(self, terminal: Any) -> None:
        """Write it, as pytest asks of what it shows."""
        if self._is_in_a_line:
            return
        for line in self._story.lines(terminal.fullwidth if self._is_folded else None):
            for span in line:
                terminal.write(span.text, **MARKUP[span.style])
            terminal.line()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryCrash:
    """Where a case stands and what became of it, for pytest's summary lines and for annotations of CI services."""

    path: str
    lineno: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.lineno}: {self.message}"


MARKUP: Mapping[Style, dict[str, bool]] = {
    Style.PLAIN: {},
    Style.TITLE: {"bold": True},
    Style.GOOD: {"green": True, "bold": True},
    Style.BAD: {"red": True, "bold": True},
    Style.DOUBTFUL: {"yellow": True},
}
"""The colours of styles, in the words of pytest's terminal writer."""


def add_suite_properties(config: pytest.Config, properties: Iterable[tuple[str, object]]) -> None:
    """Put properties into the test suite of the JUnit XML that is about to be written, if one is."""
    writers = [plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "add_global_property")]
    for name, value in properties:
        for writer in writers:
            writer.add_global_property(visible(name), visible(str(value)))

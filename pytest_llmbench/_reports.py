r"""All knowledge of the insides of pytest's reports and of its JUnit writer (9.2).

Used here and not documented there: the parts of a formatted exception (`chain`, `reprentries`,
`lines`, `message` and so on), the names of a report's sections, and that the plugin which writes JUnit XML has
`add_global_property`; the fixture that pytest offers for it does nothing in a worker of xdist.
"""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from _pytest._code.code import ExceptionRepr

from pytest_llmbench.report.text import visible

_SKIPPED = "Skipped: "  # in front of a reason; the JUnit writer takes it away
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def make_safe(report: pytest.TestReport) -> None:
    """Make what pytest itself tells of a test safe to print: exceptions and their diffs quote what a model said.

    What the test printed and logged too; what it logged loses the colours that pytest puts there.
    """
    report.sections = [
        (name, visible(_COLOURS.sub("", text) if name.startswith("Captured log") else text))
        for name, text in report.sections
    ]
    told: Any = report.longrepr
    if isinstance(told, tuple):  # a skipped test: where, and why
        path, line, why = told
        reason = why.removeprefix(_SKIPPED)
        report.longrepr = path, line, why[: len(why) - len(reason)] + visible(reason)
    elif isinstance(told, str):
        report.longrepr = visible(told)
    elif isinstance(told, ExceptionRepr):
        # without a chain with --tb=native
        for traceback, crash, *_ in getattr(told, "chain", None) or [(told.reprtraceback, told.reprcrash)]:
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


def add_suite_properties(config: pytest.Config, properties: Iterable[tuple[str, object]]) -> None:
    """Put properties into the test suite of the JUnit XML that is about to be written, if one is."""
    writers = [plugin for plugin in config.pluginmanager.get_plugins() if hasattr(plugin, "add_global_property")]
    for name, value in properties:
        for writer in writers:
            writer.add_global_property(visible(name), visible(str(value)))

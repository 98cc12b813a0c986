"""The exceptions of the package.

LlmbenchError
├── UsageFault            an option, the command line or the environment is wrong
│   └── ModelsFileFault   the models file is wrong
├── SuiteFault            a suite, its data or its database is wrong
├── ModelFault            a model cannot be opened, or cannot go on at all
└── RunFileFault          a benchmark JSON cannot be read

Each message says what is wrong, where, and the way out.  Nothing here is raised
for a single failed request: that is an `AnswerError` value, one case's own.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class LlmbenchError(Exception):
    """Base of everything this package raises on purpose."""


class UsageFault(LlmbenchError):
    """An option or the environment is wrong: exit 4 in pytest, 2 in the command."""


class ModelsFileFault(UsageFault):
    """The models file is wrong."""


class ModelFault(LlmbenchError):
    """A model cannot be opened, or cannot answer any request at all (a wrong key, a lost device)."""


class RunFileFault(LlmbenchError):
    """A benchmark JSON cannot be read as a run."""


class SuiteFault(LlmbenchError):
    """A suite file, its data or its database is wrong.

    Args:
        message: what, and the way out.
        path: the file at fault.
        line: its line, from 1; for formats without lines `row` is given instead.
        row: the data row, from 1.
    """

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None, row: int | None = None):
        self.message = message
        self.path = path
        self.line = line
        self.row = row
        super().__init__(str(self))

    def __str__(self) -> str:
        if self.path is None:
            return self.message
        place = str(self.path)
        if self.line is not None:
            place += f":{self.line}"
        elif self.row is not None:
            place += f": row {self.row}"
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """What somebody else's code raised: `cause` in a line, `details` with its traceback."""

    cause: str
    details: str


def caught(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Caught:
    """Call a backend or a grader; what it raises becomes a value, to be recorded as an error.

    This is the only place that catches everything: a model, a grader or a library behind
    them may raise anything, and one case's fault must not take the run with it.  `sys.exit` and
    pytest's own `fail` and `skip`, which are no `Exception`, are caught too; Ctrl-C is not.
    """
    try:
        return call(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException as fault:
        kind = type(fault).__name__
        return Caught(cause=f"{kind}: {fault}" if str(fault) else kind, details=traceback.format_exc())

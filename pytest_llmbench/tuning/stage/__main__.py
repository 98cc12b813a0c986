"""`python -m pytest_llmbench.tuning.stage FOLDER/stage.json`: train one stage.

stdout has JSON lines alone, for the process that started it; all that libraries print goes to stderr.  Exit status: 0
trained, 2 a check before the first step failed, 3 the stage failed, 130 it was stopped and wrote a checkpoint.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from pytest_llmbench.errors import LlmbenchError, UsageFault

QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Set for a stage: no forked tokenizers, no bars, and nothing is sent to anybody."""

STOPPED = 130


def main(arguments: Sequence[str]) -> int:
    """Train the stage whose `stage.json` is named; gives the exit status."""
    os.environ.update(QUIET)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started the stage ends it, after a checkpoint
    stream = _own_stdout()
    from pytest_llmbench.tuning.stage.training import train
    from pytest_llmbench.tuning.stage.watch import Reports

    reports = Reports(stream if int(os.environ.get("RANK", "0")) == 0 else None)
    try:
        trained = train(Path(arguments[0]).parent, reports)
    except BrokenPipeError:  # the process that started this one is gone
        return STOPPED
    except LlmbenchError as fault:
        reports.write(event="fault", message=str(fault), is_usage=isinstance(fault, UsageFault))
        return 2 if isinstance(fault, UsageFault) else 3
    reports.write(event="end", **asdict(trained))
    return STOPPED if trained.was_stopped else 0


def _own_stdout() -> TextIO:
    """Keep stdout for ourselves: whatever else is printed goes to stderr."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

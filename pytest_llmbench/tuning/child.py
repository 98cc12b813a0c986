"""A stage as a child process: its progress, its log, and its end.

torch's threads, CUDA and DeepSpeed die with it.  Ctrl-C reaches this process alone; it asks the stage to stop after
its step, and the stage writes a checkpoint first.
"""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pytest_llmbench.tuning.stage.job import LOG, STOP

QUIET = {"PYTHONWARNINGS": "ignore", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
"""Set for a stage. Its files are all here; nothing is fetched, and nothing is sent to anybody."""

LOG_LINES = 12
"""Lines of a failed stage's log that are shown."""

Event = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class StageEnd:
    """How a stage ended: trained (`facts`), stopped on request, or failed (`fault`)."""

    facts: Event | None = None
    fault: str | None = None
    is_usage: bool = False
    was_stopped: bool = False
    began_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Where the progress of a stage goes: `event` takes each line of it, `stopping` is called at Ctrl-C."""

    event: Callable[[Event], None]
    stopping: Callable[[], None]
    kept_open: Sequence[int] = field(default=())


def run_stage(command: Sequence[str], folder: Path, show: Show, root: Path) -> StageEnd:
    """Run a stage to its end; its stderr is added to its log.

    Args:
        command: that starts it.
        folder: of the stage.
        show: what is told of it.
        root: the project's root directory, where it runs.
    """
    with (folder / LOG).open("ab") as log:
        end = StageEnd(began_at=log.tell())
        with subprocess.Popen(  # noqa: S603 - our own command, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=root,
            env={**os.environ, **QUIET},
            start_new_session=True,
            pass_fds=show.kept_open if os.name == "posix" else (),
        ) as process:
            _follow(process, folder, show, end, log)
    if end.fault is None and end.facts is None and not end.was_stopped:
        end.fault = f"the stage ended with {process.returncode}; its log is {folder / LOG}:\n{_tail(folder / LOG, end)}"
    return end


def _follow(process: "subprocess.Popen[bytes]", folder: Path, show: Show, end: StageEnd, log: IO[bytes]) -> None:
    """Read a stage's lines until it ends, through the first Ctrl-C; the second one kills it."""
    has_asked = False
    while True:
        try:
            _read(process, show, end, log)
            process.wait()
        except KeyboardInterrupt:
            if has_asked:
                _kill(process)
                end.was_stopped = True
                return
            has_asked = True
            (folder / STOP).touch()
            show.stopping()
        else:
            end.was_stopped |= has_asked and end.fault is None and end.facts is None
            return


def _read(process: "subprocess.Popen[bytes]", show: Show, end: StageEnd, log: IO[bytes]) -> None:
    stream = process.stdout
    if stream is None:
        return
    for line in stream:
        event = _event(line)
        if event is None:
            log.write(line)
            continue
        if event["event"] == "end":
            end.was_stopped = bool(event.get("was_stopped"))
            end.facts = None if end.was_stopped else event
        elif event["event"] == "fault":
            end.fault, end.is_usage = str(event.get("message")), bool(event.get("is_usage"))
        show.event(event)


def _event(line: bytes) -> Event | None:
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict) and isinstance(found.get("event"), str):
            return found
    return None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _tail(path: Path, end: StageEnd) -> str:
    with path.open("rb") as file:
        file.seek(end.began_at)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])

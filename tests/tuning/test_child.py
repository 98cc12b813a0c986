"""A stage as a process: real ones, which write what a stage writes."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.tuning.child import Show, StageEnd, run_stage
from pytest_llmbench.tuning.lock import FILE, locked


def run(tmp_path: Path, script: str, seen: list[Mapping[str, Any]] | None = None) -> StageEnd:
    show = Show(event=(seen if seen is not None else []).append, stopping=lambda: None)
    return run_stage([sys.executable, "-c", script], tmp_path, show, tmp_path)


def test_a_stage_that_ends_well(tmp_path: Path) -> None:
    """Its lines are shown, its facts are kept, and whatever libraries print is in its log."""
    seen: list[Mapping[str, Any]] = []
    script = (
        "import sys; print('{\"event\": \"step\", \"step\": 1}'); print('hello'); print('oops', file=sys.stderr);"
        'print(\'{"event": "end", "steps": 1, "was_stopped": false}\')'
    )

    end = run(tmp_path, script, seen)

    assert (end.fault, end.was_stopped) == (None, False)
    assert end.facts is not None
    assert [event["event"] for event in seen] == ["step", "end"]
    assert sorted((tmp_path / "log.txt").read_text().split()) == ["hello", "oops"]


def test_a_stage_that_breaks(tmp_path: Path) -> None:
    """Its last lines are shown, and those of an earlier attempt are not."""
    (tmp_path / "log.txt").write_text("from before\n")

    end = run(tmp_path, "raise RuntimeError('CUDA out of memory')")

    assert end.fault is not None
    assert end.fault.startswith(f"the stage ended with 1; its log is {tmp_path / 'log.txt'}:\n")
    assert end.fault.endswith("RuntimeError: CUDA out of memory")
    assert "from before" not in end.fault


def test_a_stage_that_refuses(tmp_path: Path) -> None:
    """A check before the first step is a fault of the user's, and one sentence."""
    end = run(tmp_path, 'print(\'{"event": "fault", "message": "no end token", "is_usage": true}\')')

    assert (end.fault, end.is_usage) == ("no end token", True)


CTRL_C = """
import os, signal, sys
from pathlib import Path
from pytest_llmbench.tuning.child import Show, run_stage
folder = Path(sys.argv[1])
stage = '''
import time
from pathlib import Path
print('{"event": "begin"}', flush=True)
while not Path("stop").exists():
    time.sleep(0.01)
print('{"event": "end", "was_stopped": true}')
'''
def event(found):
    if found["event"] == "begin":
        os.kill(os.getpid(), signal.SIGINT)
end = run_stage([sys.executable, "-c", stage], folder, Show(event=event, stopping=lambda: print("stopping")), folder)
print(end.was_stopped, end.fault)
"""


def test_ctrl_c_lets_a_stage_write_its_checkpoint(tmp_path: Path) -> None:
    """It is asked to stop, and waited for."""
    found = subprocess.run(
        [sys.executable, "-c", CTRL_C, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )

    assert found.stdout.split("\n") == ["stopping", "True None", ""]


def test_one_command_at_a_time(tmp_path: Path) -> None:
    """A folder is refused while another command is at work in it, and free when it has ended."""
    with locked(tmp_path, lambda: None), pytest.raises(UsageFault) as fault, locked(tmp_path, lambda: None):
        pass
    with locked(tmp_path, lambda: None):
        pass

    assert str(fault.value) == (
        f"another llmbench tune (process {os.getpid()}) is at work in {tmp_path}; wait for it or end it."
    )


ORPHAN = """
import os, subprocess, sys
from pathlib import Path
from pytest_llmbench.tuning.lock import locked
with locked(Path(sys.argv[1]), lambda: None) as held:
    subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=0, pass_fds=(held,))
    print("ready", flush=True)
    os.kill(os.getpid(), 9)
"""


def test_the_stage_of_a_command_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    """It holds the folder until it has ended, so that no two stages write there."""
    waited: list[bool] = []
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == b"ready\n"
    assert parent.wait() == -signal.SIGKILL

    def waiting() -> None:
        waited.append(True)
        parent.stdin.close()  # type: ignore[union-attr]

    with locked(tmp_path, waiting):
        assert (tmp_path / FILE).read_text() == str(os.getpid())

    parent.stdout.close()
    assert waited == [True]

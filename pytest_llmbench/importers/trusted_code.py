"""Run Python of a source in a child process, where the user trusts it, and take what it gives as data.

Protects from code that does not end, from a result that is no data or too large, and keeps the environment, in which
keys are, from it.  Does not protect from what the code does with the rights of the user: files and network are open.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_llmbench.importers.base import NotMapped, Place
from pytest_llmbench.values import Json

LIMIT_S = 60.0
"""How long a call may take."""

_MAX_BYTES = 64 * 1024 * 1024
_KEPT = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
"""The variables that code sees: what Python needs to start, and no key."""


_PACKAGE = Path(__file__).parent.parent.parent
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); from pytest_llmbench.importers.trusted_child import main; main()"
)
"""Isolated from the user's import path, Python finds this package where it is."""


def result_of(file: Path, function: str, arguments: Sequence[Json], place: Place, limit_s: float = LIMIT_S) -> Any:
    """Call a function of a file in a process of its own.

    Args:
        file: of Python; its folder is the working directory, and first on the import path.
        function: in it, also `Class.method`.
        arguments: what it is called with.
        place: where the source names it.
        limit_s: the process is killed after that, with all that it started.

    Returns: what it gave, as JSON holds it.

    Raises:
        NotMapped: it broke, took too long, or gave no data or too much.
    """
    name = f"{file.name}:{function}"
    asked = json.dumps({"file": str(file.resolve()), "function": function, "arguments": list(arguments)}, default=str)
    with tempfile.TemporaryDirectory(prefix="llmbench-code-") as scratch:
        result = Path(scratch) / "result.json"
        environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
        child = subprocess.Popen(  # noqa: S603 - that is what the user trusts
            [sys.executable, "-I", "-c", _START, str(_PACKAGE), str(result)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=file.resolve().parent,
            env={**environment, "HOME": scratch, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        try:
            child.communicate(asked.encode(), timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise NotMapped(f'"{name}" took over {limit_s:g} s; write out what it gives.', place) from None
        finally:
            _kill(child)
        return _read(result, name, child.returncode, place)


def _read(result: Path, name: str, status: int, place: Place) -> Any:
    if not result.exists():
        raise NotMapped(f'"{name}" ended with status {status}; write out what it gives.', place)
    if result.stat().st_size > _MAX_BYTES:
        raise NotMapped(f'"{name}" gave over {_MAX_BYTES >> 20} MiB; import a part of it.', place)
    try:
        found = json.loads(result.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as fault:
        raise NotMapped(f'"{name}" gave no data ({fault}); write out what it gives.', place) from None
    if "error" in found:
        raise NotMapped(f'"{name}" broke: {found["error"]}; mend it, or write out what it gives.', place)
    return found["result"]


def _kill(child: "subprocess.Popen[bytes]") -> None:
    """Kill the child and what it started, if it runs still."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()

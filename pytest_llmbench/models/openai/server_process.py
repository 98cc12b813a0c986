"""Run a server's command until it ends, or until the process that wants it is gone.

Started by `server.py` as a process of its own; its arguments are the pid of who wants the server, the seconds
that what is to end may take before it is killed, and the command.  Imports the standard library alone.
It ends the command, with all that it started, when its standard input ends, when its parent dies in whatever
way (`kill -9` too), or when it is terminated.

The command runs in a session of its own, so that all of it can be ended at once.  On Linux what left that
session is found too, since orphans become children of this process, and the command is killed if this process is
killed.  Not covered: elsewhere a grandchild that left the session; anywhere, what the command started, if this
process itself is killed with `kill -9`.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

KILL_S = 5.0
"""How long what is killed may take to be gone."""

POLL_S = 0.1
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parent, grace_s, command = int(arguments[0]), float(arguments[1]), arguments[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which closes our standard input
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda *received: terminated.append(received[0]))
    _control_process(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = subprocess.Popen(  # noqa: S603 - the command is the user's own
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_begin,  # safe: there is one thread
        )
    except OSError as fault:
        sys.stderr.write(f"{command[0]}: {fault.strerror}\n")
        return 127
    status: int | None = None
    while status is None and not terminated and os.getppid() == parent and not _input_ended():
        status = _reap(server.pid)[0]
    found = _end(server.pid, grace_s)
    server.returncode = 0  # reaped here
    return status if status is not None else found or 0


def _begin() -> None:
    _control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGHUP):  # what is ignored would be ignored by the command too
        signal.signal(number, signal.SIG_DFL)


def _control_process(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _input_ended() -> bool:
    """Wait a moment, and tell whether standard input ended."""
    with contextlib.suppress(InterruptedError):
        readable, _, _ = select.select([0], [], [], POLL_S)
        return bool(readable) and not os.read(0, 1)
    return False


def _reap(server: int) -> tuple[int | None, bool]:
    """Take the children that ended: the exit status of the server if it is among them, and whether any are left."""
    status = None
    try:
        while True:
            pid, raw = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return status, True
            if pid == server:
                code = os.waitstatus_to_exitcode(raw)
                status = code if code >= 0 else 128 - code
    except ChildProcessError:
        return status, False


def _end(server: int, grace_s: float) -> int | None:
    """Signal the server's session and its orphans to end, kill what does not; gives the server's exit status."""
    status = None
    signalled: set[int] = set()
    kill_at = time.monotonic() + grace_s
    _signal(os.killpg, server, signal.SIGTERM)
    while time.monotonic() < kill_at + KILL_S:
        found, is_any_left = _reap(server)
        status = status if found is None else found
        if not is_any_left and not _signal(os.killpg, server, 0):
            break
        is_late = time.monotonic() > kill_at
        if is_late:
            _signal(os.killpg, server, signal.SIGKILL)
        for pid in _children():
            if pid != server and (is_late or pid not in signalled):
                signalled.add(pid)
                _signal(os.kill, pid, signal.SIGKILL if is_late else signal.SIGTERM)
        time.sleep(POLL_S / 4)
    return status


def _signal(send: Callable[[int, int], None], target: int, number: int) -> bool:
    """Send a signal; return whether there was a process to get it."""
    try:
        send(target, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _children() -> list[int]:
    """Give the children there are, where the system lists them: Linux."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as listing:
            return [int(pid) for pid in listing.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

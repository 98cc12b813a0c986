"""All knowledge of how pytest (9.2) captures what is printed.

Used here and not documented there: the plugin "capturemanager", its methods `is_globally_capturing`,
`resume_global_capture`, `suspend_global_capture` and `read_global_capture`, and of what it captures with:
`_global_capturing`, `out`, `err`, `syscapture`, `tmpfile`, and `_old`, which is `sys.stdout` in between.
pytest captures while a test is set up, called and torn down, and not in between, where tests wait for answers.

Not covered, but for the time of waiting: what is written past `sys.stdout` and `sys.stderr`, or from threads that an
application starts itself.  Nothing is covered under `-s`.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from pytest_llmbench.models.python.threads import THREADS


@contextmanager
def captured(config: pytest.Config, keep: Callable[[str, str], None]) -> Iterator[None]:
    """Capture what any thread prints meanwhile, as pytest captures what a test prints.

    Args:
        config: of the run.
        keep: called in the end with "stdout" or "stderr" and what was printed there, if anything was.
    """
    manager = _manager(config)
    if manager is None:
        yield
        return
    config.get_terminal_writer().flush()  # or what pytest has written would come later, and be captured
    manager.resume_global_capture()
    try:
        yield
    finally:
        manager.suspend_global_capture(in_=False)
        printed = manager.read_global_capture()
        for stream, text in (("stdout", printed.out), ("stderr", printed.err)):
            if text:
                keep(stream, text)


@contextmanager
def applications_captured(config: pytest.Config) -> Iterator[None]:
    """Meanwhile, have what an application prints while pytest captures nothing kept with what it captures next."""
    manager = _manager(config)
    if manager is None:
        yield
        return
    with ExitStack() as stack:
        for name in ("out", "err"):
            stack.enter_context(_divided(f"std{name}", getattr(manager._global_capturing, name)))
        yield


@contextmanager
def _divided(name: str, capture: Any) -> Iterator[None]:
    between = getattr(capture, "syscapture", capture)
    real = between._old
    divided = between._old = _Divided(real, capture.tmpfile)
    _exchange(name, real, divided)
    try:
        yield
    finally:
        between._old = real
        _exchange(name, divided, real)


def _exchange(name: str, old: Any, new: Any) -> None:
    if getattr(sys, name) is old:  # or another has put its own there
        setattr(sys, name, new)


class _Divided:
    """A stream, but for what the threads of applications write: that goes to another."""

    def __init__(self, real: Any, other: Any):
        self._real = real
        self._other = other

    def __getattr__(self, name: str) -> Any:
        is_ours = threading.current_thread().name.startswith(THREADS)
        return getattr(self._other if is_ours else self._real, name)


def _manager(config: pytest.Config) -> Any:
    """Give what captures; None where nothing does."""
    manager: Any = config.pluginmanager.get_plugin("capturemanager")
    return manager if manager is not None and manager.is_globally_capturing() else None

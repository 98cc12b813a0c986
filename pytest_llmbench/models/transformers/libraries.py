"""Other people's libraries at arm's length: are they there, are they quiet, what went wrong in them.

All that local models use of torch, transformers and the hub goes through here once.
"""

import contextlib
import importlib.util
import logging as std_logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pytest_llmbench.errors import LlmbenchError, UsageFault

EXTRA = 'pip install "pytest-llmbench[local]"'

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """What a library raised, in one line."""

    message: str
    is_out_of_memory: bool


def attempt(call: Callable[[], T]) -> T | Broken:
    """Call a library, and take whatever it raises as a value.

    The exception itself is dropped: its traceback would keep the tensors of the call alive.

    Raises:
        LlmbenchError: one of our own faults passes.
    """
    try:
        return call()
    except LlmbenchError:
        raise
    except Exception as fault:  # the one place: libraries raise what they like, and it is always recorded
        message = " ".join(str(fault).split())[:500]
        return Broken(message=f"{type(fault).__name__}: {message}", is_out_of_memory=_is_out_of_memory(fault))


def require_libraries(modules: Sequence[str], remedy: str, what: str) -> None:
    """Check that Python modules can be imported, without importing them.

    Raises:
        UsageFault: some are missing; the message names `what` needs them and gives the `remedy`.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageFault(f"{what} needs {' and '.join(missing)}, which is not installed: {remedy}")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep bars and log lines of transformers, the hub and those they call off the terminal meanwhile."""
    from huggingface_hub.utils import logging as hub_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    plain = {name: std_logging.getLogger(name) for name in ("accelerate", "bitsandbytes", "peft")}
    levels = {name: logger.level for name, logger in plain.items()}
    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    has_bars, has_hub_bars = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    hub_logging.set_verbosity(logging.CRITICAL)
    for logger in plain.values():
        logger.setLevel(logging.CRITICAL)
    logging.disable_progress_bar()
    disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        for name, level in levels.items():
            plain[name].setLevel(level)
        if has_bars:
            logging.enable_progress_bar()
        (enable_progress_bars if has_hub_bars else disable_progress_bars)()


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keep Python warnings quiet too: where they are errors, a library's advice would end the run.

    Only while loading, because the filters belong to the whole process.
    """
    with warnings.catch_warnings(action="ignore"), quiet_libraries():
        yield


def _is_out_of_memory(fault: Exception) -> bool:
    if isinstance(fault, MemoryError):
        return True
    # Named by their text, for torch may not be there: its class for the GPU is OutOfMemoryError,
    # and on the CPU it raises a plain RuntimeError.
    return type(fault).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(fault)

"""What a stage reports while it trains, and when it must end: progress lines, broken losses, a wish to stop."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from pytest_llmbench.errors import LlmbenchError
from pytest_llmbench.tuning.checkpoints import newest_whole
from pytest_llmbench.tuning.stage.job import STOP

_REPORTED = {"loss": "loss", "reward": "reward", "learning_rate": "lr", "num_tokens": "tokens"}
"""What of a trainer's log goes into a line of progress, by the names they have there."""


class StageFault(LlmbenchError):
    """A stage cannot go on: what, and the way out. What was trained until then is kept."""


class Reports:
    """Lines of JSON for the process that started the stage; only the first process of several writes them.

    Args:
        stream: where to; None to write nothing.
    """

    def __init__(self, stream: TextIO | None):
        self._stream = stream

    def write(self, **fields: object) -> None:
        """Write one line.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        if self._stream is not None:
            self._stream.write(json.dumps(fields) + "\n")
            self._stream.flush()


def broken_value(logs: Mapping[str, Any]) -> str | None:
    """Name what is not a number, or infinite, in a step's log."""
    for name in ("loss", "grad_norm"):
        value = logs.get(name)
        if isinstance(value, int | float) and not math.isfinite(value):
            return name
    return None


def make_watch(folder: Path, reports: Reports, should_end: Callable[[], None]) -> Any:
    """Make the callback of a trainer.

    Args:
        folder: of the stage.
        reports: where lines go.
        should_end: raises `StageFault` where the graders broke or met what is held out.
    """
    import transformers

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        """Writes a line a step; ends the stage where it must."""

        was_stopped = False

        def on_train_begin(self, *about: Any, **_: Any) -> None:
            _, state, _ = about
            self.began_s = time.monotonic()
            if state.is_world_process_zero:
                reports.write(event="begin", step=state.global_step, of=state.max_steps)

        def on_log(self, *about: Any, logs: Any = None, **_: Any) -> None:
            _, state, _ = about
            logs = logs or {}
            broken = broken_value(logs)
            if broken is not None:
                raise StageFault(_not_finite(folder, broken, state.global_step))
            if state.is_world_process_zero and "loss" in logs:
                line = {name: logs[key] for key, name in _REPORTED.items() if key in logs}
                seconds = round(time.monotonic() - self.began_s, 3)
                reports.write(event="step", step=state.global_step, of=state.max_steps, **line, seconds=seconds)

        def on_step_end(self, *about: Any, **_: Any) -> Any:
            *_others, control = about
            should_end()
            if _all_agree((folder / STOP).exists()):
                self.was_stopped = True
                control.should_save = True
                control.should_training_stop = True
            return control

    return Watch()


def _not_finite(folder: Path, name: str, step: int) -> str:
    last = newest_whole(folder)
    kept = "no checkpoint was written yet" if last is None else f"the last good checkpoint is {last}"
    return f"{name} is not a finite number at step {step}, so the stage ends; {kept}. Lower learning_rate."


def _all_agree(wish: bool) -> bool:
    """Give the first process's wish to all, so that none waits for another that has stopped."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return wish
    from accelerate.utils import broadcast_object_list

    shared = [wish]
    broadcast_object_list(shared, from_process=0)
    return bool(shared[0])

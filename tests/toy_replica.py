"""A provider whose model needs no library: it echoes, takes its time, and does on request what ends a process.

The first word of a prompt is what it does: `echo`, `kill` (this process), `exit` (of Python), `raise`, `eat` (memory), `where` (modules are found),
`hold` (until it is halted, or a file called `go` is beside the log).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import STOPPED, Identity, Opened, OpenSettings, Traits
from pytest_llmbench.models.entries import Replicable
from pytest_llmbench.values import Answer, AnswerError, Arrived, PromptStyle, Request


class ToyEntry(Replicable):
    """`log` is a file to which each request that reaches a model is written; `weights` one that must be there."""

    log: str
    weights: str | None = None
    delay_s: float = 0.0
    open_s: float = 0.0


class ToyModel(Opened):
    def __init__(self, entry: ToyEntry, concurrency: int, weights: str):
        self.concurrency = concurrency
        self.identity = Identity(
            provider="toy",
            model="toy",
            weights=weights,
            settings={"threads": int(os.environ.get("OMP_NUM_THREADS", 0))},
        )
        self._entry = entry

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        halt = halt or threading.Event()
        found: list[Answer | AnswerError] = []
        for first in range(0, len(requests), self.concurrency):
            batch = requests[first : first + self.concurrency]
            if halt.is_set():
                break
            with Path(self._entry.log).open("a") as log:
                log.writelines(f"{os.getpid()} {request.case}\n" for request in batch)
            words = [(request.prompt.text or "").split()[0] for request in batch]
            self._do(words)
            while "hold" in words and not Path(self._entry.log).with_name("go").exists():
                if halt.wait(0.02):
                    break
            if halt.wait(self._entry.delay_s):
                break
            for request in batch:
                text = f"answer to {request.case}"
                if request.prompt.text == "where":
                    text = "\n".join(sys.path)
                found.append(
                    Answer(text=text, latency_s=self._entry.delay_s or 1e-6, concurrency=len(batch), output_tokens=1)
                )
                if arrived is not None:
                    arrived(len(found) - 1, found[-1])
        return (*found, *[AnswerError(cause=STOPPED)] * (len(requests) - len(found)))

    def _do(self, words: Sequence[str]) -> None:
        if "kill" in words:
            os.kill(os.getpid(), signal.SIGKILL)
        if "exit" in words:
            sys.exit("this case ends Python")
        if "raise" in words:
            raise ValueError("this case breaks the model")
        if "eat" in words:
            kept = [bytearray(2**28) for _ in range(400)]
            time.sleep(len(kept))


class ToyProvider:
    entry_type = ToyEntry
    target_field = "log"

    def traits(self, entry: ToyEntry) -> Traits:
        return Traits(is_free=True)

    def prompt_style(self, entry: ToyEntry) -> PromptStyle:
        return PromptStyle.COMPLETION

    def open(self, entry: ToyEntry, settings: OpenSettings) -> ToyModel:
        time.sleep(entry.open_s)
        weights = os.environ.get("TOY_WEIGHTS", "w1")
        if entry.weights is not None:
            path = Path(entry.weights.replace("$NODE", os.environ.get("TOY_NODE", "")))
            if not path.is_file():
                raise ModelFault(f"the weights {path} are not there; put them there")
            weights = path.read_text()
        return ToyModel(entry, settings.concurrency or entry.concurrency or 1, weights)


PROVIDER = ToyProvider()

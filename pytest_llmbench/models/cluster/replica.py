"""One replica: what runs in a process of the cluster and holds the model. It knows no Ray.

The model answers in a thread of its own; what has arrived since the last piece is sent as the next one, so that an
answer costs little on its way however many there are.
"""

import pickle
import platform
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pytest_llmbench.errors import Caught, LlmbenchError, ModelFault, caught
from pytest_llmbench.models.base import Identity, Model, OpenSettings
from pytest_llmbench.values import Answer, AnswerError, Request

Piece: TypeAlias = list[tuple[int, Answer | AnswerError]]
"""Answers with the places of their requests in the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where a replica was placed: the cluster's name for the node, and its processor."""

    node_id: str
    cpu: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaOpened:
    """What a replica is, once its model is open."""

    identity: Identity
    concurrency: int
    opened_s: float


class Replica:
    """Holds a model. `answer` is called for one task at a time; `halt` may be called beside it.

    Args:
        content: the pickled provider and entry: what of them cannot be imported here is found out by `open`, which
            gives the reason, and not by the constructor.
        concurrency: rows a batch, None for the entry's own.
        timeout_s: for one request.
        root: the project's root directory where pytest runs.
    """

    def __init__(self, content: bytes, *, concurrency: int | None, timeout_s: float | None, root: str):
        self._content = content
        self._settings = OpenSettings(concurrency=concurrency, timeout_s=timeout_s, root=Path(root))
        self._model: Model | None = None
        self._halt = threading.Event()
        self._turn = 0
        self._halted_turn = 0
        self._lock = threading.Lock()

    def where(self, node_id: str) -> Placed:
        """Describe the machine that this is placed on."""
        return Placed(node_id=node_id, cpu=_cpu())

    def open(self) -> ReplicaOpened | str:
        """Open the model; gives the reason where that is not possible."""
        began = time.monotonic()

        def open_it() -> Model | str:
            provider, entry = pickle.loads(self._content)  # noqa: S301 - it is of the process that started this one
            try:
                model: Model = provider.open(entry, self._settings)
            except LlmbenchError as fault:
                return str(fault)
            return model

        opened = caught(open_it)
        if isinstance(opened, Caught):
            return opened.cause
        if isinstance(opened, str):
            return opened
        self._model = opened
        taken_s = round(time.monotonic() - began, 3)
        return ReplicaOpened(identity=opened.identity, concurrency=opened.concurrency, opened_s=taken_s)

    def answer(self, turn: int, requests: Sequence[Request]) -> Iterator[Piece]:
        """Answer a task piece by piece, each request once.

        Args:
            turn: which call of the whole model this is of; nothing is done for one that was halted.
            requests: of the task.
        """
        with self._lock:
            if turn <= self._halted_turn:
                return
            self._turn = turn
            self._halt.clear()
        pieces: queue.SimpleQueue[tuple[int, Answer | AnswerError] | None] = queue.SimpleQueue()
        thread = threading.Thread(target=self._answer, args=(requests, pieces), daemon=True)
        thread.start()
        is_over = False
        while not is_over:
            piece: Piece = []
            found = pieces.get()
            while found is not None:
                piece.append(found)
                if pieces.empty():
                    break
                found = pieces.get()
            is_over = found is None
            if piece:
                yield piece
        thread.join()

    def _answer(
        self, requests: Sequence[Request], pieces: "queue.SimpleQueue[tuple[int, Answer | AnswerError] | None]"
    ) -> None:
        sent: set[int] = set()

        def arrived(index: int, answer: Answer | AnswerError) -> None:
            if index not in sent:
                sent.add(index)
                pieces.put((index, answer))

        def answer_all() -> tuple[Answer | AnswerError, ...] | AnswerError:
            if self._model is None:
                raise RuntimeError("the replica is not open")
            try:
                return tuple(self._model.answer(requests, arrived=arrived, halt=self._halt))
            except ModelFault as fault:
                return AnswerError(cause=str(fault), is_fatal=True)

        answers = caught(answer_all)
        if isinstance(answers, Caught):
            answers = AnswerError(cause=f"the model broke: {answers.cause}\n{answers.details}")
        if isinstance(answers, AnswerError):
            answers = (answers,) * len(requests)
        elif len(answers) != len(requests):
            cause = f"the model broke: it gave {len(answers)} answers to {len(requests)} requests"
            answers = (AnswerError(cause=cause),) * len(requests)
        for index, answer in enumerate(answers):
            arrived(index, answer)
        pieces.put(None)

    def answer_alone(self, request: Request) -> Answer | AnswerError:
        """Answer one request as if it were the first."""
        answer = getattr(self._model, "answer_alone", None)
        if answer is not None:
            alone: Answer | AnswerError = answer(request)
            return alone
        ((_, first),) = [one for piece in self.answer(self._halted_turn + 1, [request]) for one in piece]
        return first

    def halt(self, turn: int) -> None:
        """Stop within about a token what is answered, and do nothing for what waits of the turn."""
        with self._lock:
            self._halted_turn = max(self._halted_turn, turn)
            if self._turn <= turn:  # it may come late, when the next call is at work
                self._halt.set()


def _cpu() -> str:
    """Name the processor, as far as the system does."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

"""The requests of one call, cut into tasks, and what becomes of them when a replica is lost. Pure.

Requests of one suite and kind stay together in the order of the plan, since they share a beginning, and so do the
samples of a case.  A task is large while much is left and one batch at the end, so that no replica waits long for the
last one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_llmbench.values import AnswerError, Request

MOST_BATCHES = 8
"""As many batches a local model sorts by length at once (`WINDOW_BATCHES`)."""

MOST_LOSSES = 4
"""So many replicas may be lost under a request by no fault of its own."""


class Loss(StrEnum):
    """How a replica was lost."""

    PROCESS = "process"
    MEMORY = "memory"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Some requests for one replica, by their places; `is_alone`: one that may have ended a process before."""

    places: tuple[int, ...]
    is_alone: bool = False


class Work:
    """What is left of the requests of one call.

    Args:
        requests: all of them.
        rows: a batch of one replica.
    """

    def __init__(self, requests: Sequence[Request], rows: int):
        self._requests = requests
        self._rows = max(1, rows)
        self._groups = deque(deque(places) for places in _groups(requests))
        self._returned: deque[Task] = deque()
        self._losses: dict[int, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether everything was handed out."""
        return not (self._returned or self._groups)

    def losses(self, place: int) -> int:
        """Count the replicas that were lost while they had a request."""
        return self._losses.get(place, 0)

    def next(self, n_replicas: int) -> Task | None:
        """Take the next task, first what came back; None if everything was handed out."""
        if self._returned:
            return self._returned.popleft()
        if not self._groups:
            return None
        group = self._groups[0]
        left = sum(map(len, self._groups)) // self._rows
        size = self._rows * max(1, min(MOST_BATCHES, left // (2 * max(1, n_replicas))))
        places = [group.popleft() for _ in range(min(size, len(group)))]
        while group and _case(self._requests[group[0]]) == _case(self._requests[places[-1]]):
            places.append(group.popleft())
        if not group:
            self._groups.popleft()
        return Task(places=tuple(places))

    def give_back(self, task: Task) -> None:
        """Put a task that was not begun before everything else."""
        self._returned.appendleft(task)

    def lose(self, task: Task, left: Sequence[int], loss: Loss, cause: str) -> dict[int, AnswerError]:
        """Put what a lost replica had at work before everything else.

        Where a process ended, each of the requests at work may be the reason: they are asked alone, and one that ends
        a process again gets no third try.  A lost node makes none of them a suspect.

        Args:
            task: that it was at.
            left: places of the task that have no answer yet.
            loss: how it was lost.
            cause: in words.

        Returns:
            The errors of requests that are given up, by place.
        """
        given_up: dict[int, AnswerError] = {}
        kept: list[int] = []
        for place in left:
            self._losses[place] = self._losses.get(place, 0) + 1
            is_guilty = loss is not Loss.NODE and task.is_alone
            if is_guilty or self._losses[place] >= MOST_LOSSES:
                how = "was asked alone, and the replica was lost again" if is_guilty else "was with lost replicas"
                text = f"this request {how} ({cause}); {self._losses[place]} replicas were lost with it"
                given_up[place] = AnswerError(cause=text, attempts=self._losses[place])
            else:
                kept.append(place)
        if loss is Loss.NODE:
            if kept:
                self._returned.appendleft(Task(places=tuple(kept), is_alone=task.is_alone))
        else:
            self._returned.extendleft(Task(places=(place,), is_alone=True) for place in reversed(kept))
        return given_up


def _groups(requests: Sequence[Request]) -> list[list[int]]:
    """Divide requests by what they have in common: suite, style, and whether a label is picked."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, request in enumerate(requests):
        # choices differ from case to case, and are fed together all the same
        labels = request.labels if request.delimiter is None else request.delimiter
        key = (request.suite, request.prompt.style, request.picks_label, labels)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _case(request: Request) -> tuple[str, str]:
    return request.suite, request.case

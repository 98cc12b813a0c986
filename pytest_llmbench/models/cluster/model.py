"""A model that is answered by replicas on a cluster: the queue is here, the model there.

Retries are made here alone, and only for what has no answer yet: Ray's own would ask a whole task again.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pytest_llmbench.models.base import STOPPED, Identity, Opened, ReplicaInfo
from pytest_llmbench.models.cluster.actors import Actors, LostReplicaError
from pytest_llmbench.models.cluster.crew import Crew, Member, Running
from pytest_llmbench.models.cluster.work import Work
from pytest_llmbench.models.identities import joined_identity
from pytest_llmbench.values import Answer, AnswerError, Arrived, Request

_SLICE_S = 0.1
"""A halt is seen within this time."""

_TASKS = 2
"""Tasks of one replica: one at work, and one that waits there for it."""


class ClusterModel(Opened):
    """Answers requests by the open replicas of a crew.

    Args:
        actors: of the cluster.
        crew: its replicas, at least one of them open.
        clock: seconds.
    """

    def __init__(self, actors: Actors, crew: Crew, *, clock: Callable[[], float] = time.monotonic):
        self._actors = actors
        self._crew = crew
        self._clock = clock
        self._turn = 0
        self._rows = max(1, min(member.opened.concurrency for member in crew.open if member.opened is not None))
        self._is_closed = False

    @property
    def identity(self) -> Identity:
        """What the replicas are; in what their machines are called, all of them."""
        return joined_identity([member.opened.identity for member in self._crew.members if member.opened is not None])

    @property
    def concurrency(self) -> int:
        """Rows of all replicas."""
        return self._rows * max(1, len(self._crew.open))

    @property
    def replicas(self) -> tuple[ReplicaInfo, ...]:
        """What became of each replica."""
        return tuple(member.info for member in self._crew.members)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of the replicas."""
        return tuple(self._crew.remarks)

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given (see `Model.answer`)."""
        self._turn += 1
        call = _Call(requests, Work(requests, self._rows), arrived)
        empty_since = self._clock()
        while call.n_left and not (halt is not None and halt.is_set()):
            if self._crew.open:
                empty_since = self._clock()
            elif self._crew.is_lost(empty_since):
                call.fail(AnswerError(cause=self._why_lost(), is_fatal=True))
                break
            self._hand_out(call)
            self._receive(call)
        call.is_halted = True
        halted = [member for member in self._crew.open if member.running]
        for member in halted:
            self._actors.halt(member.actor, self._turn)
        if halted:
            self._receive(call)  # what was on its way
        for member in halted:
            member.running.clear()
        stopped = AnswerError(cause=STOPPED)
        return tuple(call.results.get(place, stopped) for place in range(len(requests)))

    def answer_alone(self, request: Request) -> Answer | AnswerError:
        """Answer one request by the first replica, as if it were its first."""
        members = self._crew.open
        if not members:
            return AnswerError(cause=self._why_lost(), is_fatal=True)
        pending = self._actors.answer_alone(members[0].actor, request)
        while not self._actors.ready([pending], _SLICE_S):
            pass
        try:
            answer: Answer | AnswerError = self._actors.take(pending)
        except LostReplicaError as loss:
            self._crew.lose(members[0], loss.cause)
            return AnswerError(cause=f"the replica was lost: {loss.cause}")
        return answer

    def close(self) -> None:
        """End the replicas and the connection; safe to call twice."""
        if not self._is_closed:
            self._is_closed = True
            self._crew.close()
            self._actors.close()

    def _hand_out(self, call: "_Call") -> None:
        """Give each replica a task, and then each a second one, as far as there are any."""
        members = self._crew.open
        for n_tasks in range(_TASKS):
            for member in members:
                if len(member.running) > n_tasks:
                    continue
                task = call.work.next(len(members))
                if task is None:
                    return
                stream = self._actors.answer(member.actor, self._turn, [call.requests[place] for place in task.places])
                member.running.append(Running(task=task, stream=stream, left=dict(enumerate(task.places))))

    def _receive(self, call: "_Call") -> None:
        """Take what comes within a slice of time: answers, ends of tasks, losses, replicas that open."""
        streams = {member.running[0].stream: member for member in self._crew.open if member.running}
        pending = self._crew.pending
        for ready in self._actors.ready([*streams, *pending], _SLICE_S):
            if ready in pending:
                self._crew.advance(pending[ready])
            elif streams[ready].ended is None:
                self._take_piece(call, streams[ready])

    def _take_piece(self, call: "_Call", member: Member) -> None:
        running = member.running[0]
        try:
            piece = self._actors.take(running.stream)
        except LostReplicaError as loss:
            self._lose(call, member, loss)
            return
        if piece is None:
            member.running.popleft()
            for place in () if call.is_halted else running.left.values():
                call.deliver(place, AnswerError(cause="the replica ended its task without an answer to this request"))
            return
        for index, answer in piece:
            is_stopped = isinstance(answer, AnswerError) and answer.cause == STOPPED
            if index in running.left and not is_stopped:
                place = running.left.pop(index)
                member.answers += isinstance(answer, Answer)
                call.deliver(place, _of_member(answer, member, call.work.losses(place)))

    def _lose(self, call: "_Call", member: Member, loss: LostReplicaError) -> None:
        """Put the tasks of a lost replica back, and have another one take its place."""
        first, *waiting = member.running
        for running in reversed(waiting):
            call.work.give_back(running.task)
        for place, error in call.work.lose(first.task, list(first.left.values()), loss.loss, loss.cause).items():
            call.deliver(place, error)
        member.running.clear()
        self._crew.lose(member, f"lost ({loss.loss}): {loss.cause}")

    def _why_lost(self) -> str:
        ends = [member.ended for member in self._crew.members if member.ended is not None]
        last = f", the last one: {ends[-1]}" if ends else ""
        return f"no replica is left{last}; the answers so far are stored, the same command asks for the rest."


class _Call:
    """One call of `answer`: its requests, what is left of them, and what came of them."""

    def __init__(self, requests: Sequence[Request], work: Work, arrived: Arrived | None):
        self.requests = requests
        self.work = work
        self.results: dict[int, Answer | AnswerError] = {}
        self.is_halted = False
        self._arrived = arrived

    @property
    def n_left(self) -> int:
        """How many requests have no answer yet."""
        return len(self.requests) - len(self.results)

    def deliver(self, place: int, answer: Answer | AnswerError) -> None:
        """Keep the first answer to a request, and pass it on."""
        if place in self.results:
            return
        self.results[place] = answer
        if self._arrived is not None:
            self._arrived(place, answer)

    def fail(self, error: AnswerError) -> None:
        """Let an error stand for all that has no answer."""
        for place in range(len(self.requests)):
            self.results.setdefault(place, error)


def _of_member(answer: Answer | AnswerError, member: Member, losses: int) -> Answer | AnswerError:
    """Add what the replica does not know of its answer: its node, and how often it was asked for before."""
    added: dict[str, Any] = {"attempts": answer.attempts + losses} if losses else {}
    if isinstance(answer, Answer):
        added["node"] = member.node
    return replace(answer, **added)

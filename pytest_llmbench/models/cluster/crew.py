"""The replicas of one model, from their start to their end: placed, opened, of one identity, replaced when lost.

Nothing here waits but `Crew.open_all`: `Crew.pending` are the calls that something is expected of, and `Crew.advance`
takes what has come of one.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import Identity, ReplicaInfo
from pytest_llmbench.models.cluster.actors import Actors, LostReplicaError
from pytest_llmbench.models.cluster.replica import Placed, ReplicaOpened
from pytest_llmbench.models.cluster.room import needs_of, room, too_little_room
from pytest_llmbench.models.cluster.work import Task
from pytest_llmbench.models.entries import ClusterKeys
from pytest_llmbench.models.identities import OF_MACHINE, identity_differences

START_S = 120.0
"""So long a replica may wait for its place, where all were found to fit."""

RESTART_S = 30.0
"""So long a replica in place of a lost one may, where no other is left."""

MOST_RESTARTS = 3
"""So many are started in place of lost ones, for each that is wanted."""

_SLICE_S = 0.1


@dataclass(slots=True, kw_only=True)
class Running:
    """A task that a replica was given: what is left of it, and the stream of its answers."""

    task: Task
    stream: Any
    left: dict[int, int]
    """The places in the call by those in the task."""


@dataclass(slots=True, kw_only=True, eq=False)
class Member:
    """One replica, as the driver knows it."""

    number: int
    actor: Any
    pending: Any
    placed: Placed | None = None
    node: int = 0
    opened: ReplicaOpened | None = None
    answers: int = 0
    ended: str | None = None
    running: deque[Running] = field(default_factory=deque)

    @property
    def info(self) -> ReplicaInfo:
        """What the run's file holds of it."""
        gpu = None if self.opened is None else self.opened.identity.settings.get("gpu")
        return ReplicaInfo(
            node=self.node,
            gpu=gpu if isinstance(gpu, str) else None,
            cpu=None if self.placed is None else self.placed.cpu,
            answers=self.answers,
            opened_s=None if self.opened is None else self.opened.opened_s,
            ended=self.ended,
        )


class Crew:
    """Starts and keeps the replicas of a model.

    `remarks` is what people should know of them; `open` are those that can be asked.

    Args:
        actors: of the cluster.
        keys: the entry's `cluster`.
        name: of the model, for messages.
        start_s: instead of `START_S`.
        clock: seconds.
    """

    def __init__(
        self,
        actors: Actors,
        keys: ClusterKeys,
        name: str,
        *,
        start_s: float = START_S,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.remarks: list[str] = []
        self.members: list[Member] = []
        self.identity: Identity | None = None
        self._actors = actors
        self._keys = keys
        self._name = name
        self._start_s = start_s
        self._clock = clock
        self._nodes: dict[str, int] = {}
        self._faults: list[str] = []
        self._restarts = 0
        self._wanted = 1

    @property
    def open(self) -> list[Member]:
        """The replicas that can be asked."""
        return [member for member in self.members if member.opened is not None and member.ended is None]

    @property
    def coming(self) -> list[Member]:
        """The replicas that wait for a place or open their model."""
        return [member for member in self.members if member.opened is None and member.ended is None]

    @property
    def pending(self) -> dict[Any, Member]:
        """The calls by which replicas are placed and opened."""
        return {member.pending: member for member in self.coming}

    def open_all(self, wanted: int) -> None:
        """Start replicas and open their model; with `wait_s`, those that have a place by then, and others join later.

        Raises:
            ModelFault: there is no room, no replica could be opened, or they are not of one identity.
        """
        self._wanted = wanted
        for _ in range(wanted):
            self._start()
        deadline = self._clock() + (self._keys.wait_s or self._start_s)
        while self.coming:
            self._poll()
            is_opening = any(member.placed is not None for member in self.coming)
            may_begin = self._clock() >= deadline or bool(self._keys.wait_s and self.open)
            if may_begin and not is_opening:
                break
        if not self.open and self.coming:
            free = self._actors.free_text()
            limit_s = self._keys.wait_s or self._start_s
            raise ModelFault(
                f'no replica of "{self._name}" found a place within {limit_s:g} s ({free}); wait for other jobs, or '
                "ask for less in cluster."
            )
        if not self.open:
            raise ModelFault(f'no replica of "{self._name}" could be opened: {"; ".join(dict.fromkeys(self._faults))}')
        if self.coming and not self._keys.wait_s:
            for member in self.coming:
                self.end(member, f"found no place within {self._start_s:g} s")

    def _poll(self) -> None:
        for pending in self._actors.ready(list(self.pending), _SLICE_S):
            self.advance(self.pending[pending], is_first=True)

    def advance(self, member: Member, *, is_first: bool = False) -> None:
        """Take what has come of a replica that is placed or opened.

        Args:
            member: the replica.
            is_first: it is one of those that the run begins with: one of another identity is an error.

        Raises:
            ModelFault: it is of another identity than the others.
        """
        try:
            found = self._actors.take(member.pending)
        except LostReplicaError as loss:
            self._faults.append(loss.cause)
            if self._keys.wait_s and member.placed is None:  # on a node that died unnoticed: others may join
                self.lose(member, loss.cause)
            else:
                self.end(member, loss.cause)
            return
        if isinstance(found, Placed):
            member.placed = found
            member.node = self._nodes.setdefault(found.node_id, len(self._nodes) + 1)
            member.pending = self._actors.open(member.actor)
        elif isinstance(found, ReplicaOpened):
            self._join(member, found, is_first=is_first)
        else:
            self._faults.append(str(found))
            self.end(member, f"could not be opened: {found}")

    def _join(self, member: Member, opened: ReplicaOpened, *, is_first: bool) -> None:
        if self.identity is None:
            self.identity = opened.identity
        parts = [part for part in identity_differences(self.identity, opened.identity) if part not in OF_MACHINE]
        if parts:
            first, other = (_shown(identity, parts[0]) for identity in (self.identity, opened.identity))
            what = f"{', '.join(parts)} differ on node {member.node} ({first} and {other})"
            if is_first:
                raise ModelFault(
                    f'the replicas of "{self._name}" are not the same model: {what}; make the nodes equal.'
                )
            self.end(member, f"left out, it is not the same model: {what}")
            return
        member.opened = opened

    def lose(self, member: Member, cause: str) -> None:
        """End a replica that was lost, and start another in its place while that may be."""
        self.end(member, cause)
        if self._restarts < MOST_RESTARTS * self._wanted:
            self._restarts += 1
            self._start()

    def end(self, member: Member, cause: str) -> None:
        """End a replica and keep why; it is killed, since it may live on where nobody reaches it."""
        if member.ended is None:
            member.ended = cause.splitlines()[0] if cause else "lost"
            where = f" on node {member.node}" if member.node else ""
            self.remarks.append(f"{self._name}: replica {member.number}{where}: {member.ended}")
            self._actors.kill(member.actor)

    def is_lost(self, since: float) -> bool:
        """Return whether no replica is left and none is opened, or has got a place since that time."""
        if self.open or any(member.placed is not None for member in self.coming):
            return False
        return not self.coming or self._clock() - since >= max(self._keys.wait_s, RESTART_S)

    def close(self) -> None:
        """End all replicas."""
        for member in self.members:
            if member.ended is None:
                self._actors.kill(member.actor)

    def _start(self) -> None:
        actor = self._actors.start()
        number = len(self.members) + 1
        pending = self._actors.where(actor)
        self.members.append(Member(number=number, actor=actor, pending=pending))


def wanted_replicas(actors: Actors, keys: ClusterKeys, name: str) -> int:
    """Give how many replicas to start: as many as are asked for, or fit.

    Raises:
        ModelFault: there is no room for them, and no time to wait for some.
    """
    nodes = actors.nodes()
    refusal = None if keys.wait_s else too_little_room(nodes, keys)
    if refusal is not None:
        raise ModelFault(f'"{name}": {refusal}')
    return keys.replicas or max(1, room(nodes, needs_of(keys)))


def _shown(identity: Identity, part: str) -> str:
    if part.startswith("settings."):
        return str(identity.settings.get(part.removeprefix("settings.")))
    return str(getattr(identity, part))

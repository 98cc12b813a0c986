"""What a cluster must be able to do with replicas; `ray_actors.py` does it with Ray, tests without."""

from collections.abc import Sequence
from typing import Any, Protocol

from pytest_llmbench.models.cluster.room import Node
from pytest_llmbench.models.cluster.work import Loss


class LostReplicaError(Exception):
    """A replica is gone: its process, its node, or for want of memory."""

    def __init__(self, loss: Loss, cause: str):
        super().__init__(cause)
        self.loss = loss
        self.cause = cause


class Actors(Protocol):
    """Starts replicas and passes calls on to them. A pending call stands for a value, or for several of a stream."""

    def nodes(self) -> Sequence[Node]:
        """List the nodes that are alive."""
        ...

    def free_text(self) -> str:
        """Describe what of the resources is free now."""
        ...

    def start(self) -> Any:
        """Start a replica; returns at once, before it has a place."""
        ...

    def where(self, actor: Any) -> Any:
        """Call `Replica.where`, which is answered once the replica has a place; gives the pending call."""
        ...

    def open(self, actor: Any) -> Any:
        """Call `Replica.open`; gives the pending call."""
        ...

    def answer(self, actor: Any, turn: int, requests: Sequence[Any]) -> Any:
        """Call `Replica.answer`; gives the pending stream."""
        ...

    def answer_alone(self, actor: Any, request: Any) -> Any:
        """Call `Replica.answer_alone`; gives the pending call."""
        ...

    def halt(self, actor: Any, turn: int) -> None:
        """Call `Replica.halt`, without waiting for it."""
        ...

    def ready(self, pending: Sequence[Any], timeout_s: float) -> list[Any]:
        """Wait until one of the pending calls has a value; gives those that do."""
        ...

    def take(self, pending: Any) -> Any:
        """Give the value of a pending call, or the next one of a stream; None at the end of a stream.

        Raises:
            LostReplicaError: the replica is gone.
        """
        ...

    def kill(self, actor: Any) -> None:
        """End a replica at once, wherever it is; it may hold a GPU though nobody reaches it."""
        ...

    def close(self) -> None:
        """Give up the connection."""
        ...

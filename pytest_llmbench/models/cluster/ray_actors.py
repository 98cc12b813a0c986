"""Replicas as Ray actors. The only file that calls Ray beside `connection.py`.

Written for Ray 2.60. Ray restarts no actor and retries no call: a retried stream begins anew, and what is asked again
is decided in `work.py`.
"""

import pickle
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pytest_llmbench.models.base import OpenSettings, Provider
from pytest_llmbench.models.cluster.actors import LostReplicaError
from pytest_llmbench.models.cluster.connection import Connection
from pytest_llmbench.models.cluster.replica import Placed, Replica
from pytest_llmbench.models.cluster.room import Node, needs_of
from pytest_llmbench.models.cluster.work import Loss
from pytest_llmbench.models.entries import ClusterKeys, Entry


class RayReplica(Replica):
    """A replica that asks Ray where it is."""

    def placed(self) -> Placed:
        """Describe the machine that this is placed on."""
        context: Any = import_module("ray").get_runtime_context()
        return self.where(context.get_node_id())


class RayActors:
    """Starts replicas of one model on the cluster of a connection (see `Actors`).

    Args:
        connection: to the cluster; closing this gives it up.
        keys: the entry's `cluster`.
        provider: opens the model in each replica.
        entry: of the model.
        settings: for opening it.
    """

    def __init__(
        self, connection: Connection, keys: ClusterKeys, provider: Provider, entry: Entry, settings: OpenSettings
    ):
        ray: Any = import_module("ray")

        needs = needs_of(keys)
        self._ray = ray
        self._connection = connection
        self._needs = needs
        self._class = ray.remote(
            num_cpus=keys.cpus,
            num_gpus=keys.gpus,
            memory=int(keys.memory_gib * 2**30) if keys.memory_gib else None,
            resources=dict(keys.resources),
            max_restarts=0,
            max_task_retries=0,
            # only what halts a task may run beside it
            concurrency_groups={"control": 1},
        )(RayReplica)
        self._arguments = {
            "concurrency": settings.concurrency,
            "timeout_s": settings.timeout_s,
            "root": str(settings.root),
        }
        self._content = ray.cloudpickle.dumps((provider, entry), protocol=pickle.HIGHEST_PROTOCOL)

    def nodes(self) -> Sequence[Node]:
        """List the nodes that are alive."""
        return [
            Node(address=str(node["NodeManagerAddress"]), resources=node["Resources"])
            for node in self._ray.nodes()
            if node["Alive"]
        ]

    def free_text(self) -> str:
        """Describe what of the resources is free now."""
        free, every = self._ray.available_resources(), self._ray.cluster_resources()
        return ", ".join(f"{free.get(name, 0):g} of {every.get(name, 0):g} {name} free" for name in self._needs)

    def start(self) -> Any:
        """Start a replica."""
        return self._class.remote(self._content, **self._arguments)

    def where(self, actor: Any) -> Any:
        """Ask a replica for its place."""
        return actor.placed.remote()

    def open(self, actor: Any) -> Any:
        """Have a replica open its model."""
        return actor.open.remote()

    def answer(self, actor: Any, turn: int, requests: Sequence[Any]) -> Any:
        """Give a replica a task."""
        return actor.answer.options(num_returns="streaming").remote(turn, list(requests))

    def answer_alone(self, actor: Any, request: Any) -> Any:
        """Have a replica answer one request as if it were the first."""
        return actor.answer_alone.remote(request)

    def halt(self, actor: Any, turn: int) -> None:
        """Halt what a replica answers."""
        actor.halt.options(concurrency_group="control").remote(turn)

    def ready(self, pending: Sequence[Any], timeout_s: float) -> list[Any]:
        """Wait until a call has something."""
        if not pending:
            self._connection.pause(timeout_s)
            return []
        found, _ = self._ray.wait(list(pending), num_returns=1, timeout=timeout_s, fetch_local=False)
        others: list[Any]
        others, _ = self._ray.wait(list(pending), num_returns=len(pending), timeout=0, fetch_local=False)
        return others or list(found)

    def take(self, pending: Any) -> Any:
        """Give what a call has.

        Raises:
            LostReplicaError: the replica is gone.
        """
        try:
            reference = next(pending) if hasattr(pending, "__next__") else pending
        except StopIteration:
            return None
        except self._ray.exceptions.RayError as fault:
            raise self._lost(fault) from fault
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayError as fault:
            raise self._lost(fault) from fault

    def _lost(self, fault: Exception) -> LostReplicaError:
        errors = self._ray.exceptions
        if isinstance(fault, errors.OutOfMemoryError):
            return LostReplicaError(Loss.MEMORY, "its node ran out of memory")
        is_of_node = isinstance(fault, errors.NodeDiedError | errors.ActorUnavailableError | errors.ObjectLostError)
        if is_of_node or getattr(fault, "preempted", False) or self._connection.has_lost_node(str(fault)):
            return LostReplicaError(Loss.NODE, "its node is gone or cannot be reached")
        return LostReplicaError(Loss.PROCESS, _cause(fault) or "its process ended")

    def kill(self, actor: Any) -> None:
        """End a replica."""
        try:
            self._ray.kill(actor, no_restart=True)
        except self._ray.exceptions.RayError:
            return  # it, or the cluster, is gone

    def close(self) -> None:
        """Give up the connection."""
        self._connection.close()


def _cause(fault: Exception) -> str:
    """Give the last error of a traceback, where Ray passes one on; else nothing."""
    lines = [line.strip() for line in str(fault).splitlines()]
    errors = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception")) and ": " in line]
    return errors[-1][:300] if errors else ""

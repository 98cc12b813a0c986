"""How many replicas a cluster has room for, and the sentence where there is too little. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.models.entries import ClusterKeys

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of the cluster, with all of its resources by Ray's names; memory in bytes."""

    address: str
    resources: Mapping[str, float]


def needs_of(keys: ClusterKeys) -> dict[str, float]:
    """Give what one replica needs, by Ray's names."""
    needs = {"CPU": keys.cpus, "GPU": keys.gpus, "memory": (keys.memory_gib or 0) * 2**30, **keys.resources}
    return {name: amount for name, amount in needs.items() if amount}


def room(nodes: Sequence[Node], needs: Mapping[str, float]) -> int:
    """Count the replicas that fit into the resources of all nodes, whatever else uses them now."""
    return sum(_fit(node.resources, needs) for node in nodes)


def _fit(resources: Mapping[str, float], needs: Mapping[str, float]) -> int:
    return min((int(resources.get(name, 0) / amount + _EPSILON) for name, amount in needs.items()), default=1)


def too_little_room(nodes: Sequence[Node], keys: ClusterKeys) -> str | None:
    """Describe that not all replicas fit; None if they do. Ray itself would wait for ever."""
    needs = needs_of(keys)
    wanted, there = keys.replicas or 1, room(nodes, needs)
    if there >= wanted:
        return None
    shown = "; ".join(f"{node.address}: {resources_text(node.resources)}" for node in nodes) or "no node"
    return (
        f"the cluster has room for {there} of {wanted} replicas of {resources_text(needs)} each ({shown}); lower "
        "replicas or what each needs in cluster, or set wait_s where nodes will join."
    )


def resources_text(resources: Mapping[str, float]) -> str:
    """Name resources in words, without those by which Ray names its nodes."""
    parts = []
    for name, amount in resources.items():
        if name == "memory":
            parts.append(f"{amount / 2**30:.1f} GiB")
        elif name != "object_store_memory" and not name.startswith(("node:", "accelerator_type:")):
            parts.append(f"{amount:g} {name}")
    return ", ".join(parts) or "nothing"

"""A Ray cluster of two nodes with one CPU each, for all tests that need one; nodes may be taken away and added."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[2]

STORE_BYTES = 80 * 2**20


@dataclass
class TwoNodes:
    """The cluster; `second` is the node that may be killed."""

    cluster: Any
    second: Any
    opened: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        address: str = self.cluster.address
        return address

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = None

    def restore(self) -> None:
        """Have two nodes again."""
        if self.second is None:
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("PYTHONPATH", str(TESTS))
                self.second = self.cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("RAY_AUTH_MODE", "disabled")  # no token in the home folder
        with environment.context() as of_nodes:
            # the nodes import the toy provider from here; the project is installed for them
            of_nodes.setenv("PYTHONPATH", str(TESTS))
            of_nodes.setenv("TOY_NODE", "first")
            cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
            of_nodes.setenv("TOY_NODE", "second")
            found = TwoNodes(cluster, cluster.add_node(**options))
        yield found
        cluster.shutdown()


MakeModel = Callable[..., Any]


@pytest.fixture
def open_toy(nodes: TwoNodes, tmp_path: Path) -> Iterator[MakeModel]:
    """Open the toy on the cluster, and close it after the test: `open_toy(replicas=2, **keys of the entry)`."""
    from pytest_llmbench.models.base import OpenSettings
    from pytest_llmbench.models.catalog import ModelSpec
    from pytest_llmbench.models.opening import open_model
    from toy_replica import PROVIDER, ToyEntry

    nodes.restore()
    models = []

    def make(replicas: int | None = 2, cluster: dict[str, object] | None = None, **keys: object) -> Any:
        found = {"address": nodes.address, "replicas": replicas, "ship": False, **(cluster or {})}
        table = {"provider": "toy", "log": str(tmp_path / "log"), "concurrency": 8, "cluster": found, **keys}
        spec = ModelSpec(role="m", name="toy", entry=ToyEntry.model_validate(table), provider=PROVIDER)
        models.append(open_model(spec, OpenSettings()))
        return models[-1]

    yield make
    for model in models:
        model.close()

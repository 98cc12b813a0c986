"""How tests are dealt to workers: each model to one of them, local ones where there is a device, the rest spread."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llmbench.plugin.internals.xdist import Place, Workers
from pytest_llmbench.plugin.internals.xdist_scheduling import ModelScheduling


@dataclass(eq=False)
class Node:
    """A worker as the controller sees it: it keeps what it is dealt."""

    name: str
    workerinput: dict[str, str] = field(default_factory=dict)
    dealt: list[list[int]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    shutting_down: bool = False

    @property
    def gateway(self) -> SimpleNamespace:
        return SimpleNamespace(id=self.name)

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        self.dealt.append(list(indices))

    def sendcommand(self, name: str, **_: object) -> None:
        self.commands.append(name)

    def shutdown(self) -> None:
        self.shutting_down = True


class Config:
    """What scheduling and workers ask of pytest's configuration."""

    option = SimpleNamespace(maxworkerrestart=None, numprocesses=2, tx=["popen"])

    def __init__(self, n_workers: int):
        self.values: dict[str, Any] = {"tx": [f"{n_workers}*popen"], "maxschedchunk": None, "dist": "load"}

    def getoption(self, name: str, default: object = None) -> Any:
        return self.values.get(name, default)

    getvalue = getoption


class Log:
    loadsched = staticmethod(print)


def begun(
    collection: Sequence[str], n_workers: int, devices: Sequence[str] = (), local_roles: Sequence[str] = ()
) -> tuple[ModelScheduling, list[Node]]:
    """Deal a collection for the first time: an id is ROLE-CASE, or a word for an ordinary test."""
    config: Any = Config(n_workers)
    workers = Workers(config, devices, local_roles)
    for nodeid in collection:
        role, dash, case = nodeid.partition("-")
        if dash:
            workers.planned[nodeid] = Place(suite="s", case=case, role=role)
    scheduling = ModelScheduling(config, Log(), workers)
    nodes = [Node(f"gw{n}") for n in range(n_workers)]
    for node, device in zip(nodes, [*devices, *[None] * n_workers], strict=False):
        if device is not None:
            node.workerinput["llmbench_device"] = device
        scheduling.add_node(node)
    for node in nodes:
        scheduling.add_node_collection(node, list(collection))
    scheduling.schedule()
    return scheduling, nodes


def finish(scheduling: ModelScheduling, node: Node, n: int) -> None:
    for _ in range(n):
        scheduling.mark_test_complete(node, scheduling.node2pending[node][0])


MODELS = ["a-1", "a-2", "a-3", "b-1", "b-2"]


def test_each_model_goes_to_one_worker_whole() -> None:
    """The first models go to the first workers; a worker with nothing to do is ended."""
    _, nodes = begun(MODELS, 3)

    assert [node.dealt for node in nodes] == [[[0, 1, 2]], [[3, 4]], []]
    assert [node.shutting_down for node in nodes] == [False, False, True]


def test_the_next_model_goes_to_the_worker_that_is_done_first() -> None:
    """A worker gets another model when one test is left of its last, for it runs none before it knows the next."""
    scheduling, (node,) = begun(MODELS, 1)

    before = [list(dealt) for dealt in node.dealt]
    finish(scheduling, node, 2)

    assert (before, node.dealt) == ([[0, 1, 2]], [[0, 1, 2], [3, 4]])


def test_few_other_tests_are_spread_one_by_one_over_the_free_workers() -> None:
    """Three slow tests on three free workers run side by side."""
    scheduling, nodes = begun([*MODELS[:3], "x", "y", "z"], 4)

    assert [node.dealt for node in nodes] == [[[0, 1, 2]], [[3]], [[4]], [[5]]]
    assert not scheduling.tests_finished


@pytest.mark.parametrize(("local_roles", "by_worker"), [(["a", "b"], [["a", "b"], []]), (["a"], [["a"], ["b"]])])
def test_a_local_model_goes_where_a_device_is(local_roles: list[str], by_worker: list[list[str]]) -> None:
    """With one device for two workers, two local models take turns on it; one behind an API needs none."""
    scheduling, nodes = begun(MODELS, 2, devices=["0"], local_roles=local_roles)

    finish(scheduling, nodes[0], 2)

    assert [[MODELS[dealt[0]][0] for dealt in node.dealt] for node in nodes] == by_worker


def test_what_a_worker_leaves_is_dealt_as_suspect_and_the_one_asked_alone_is_blamed() -> None:
    """The first end blames nobody, the second the case that was asked alone; the rest is dealt again."""
    scheduling, (first, other) = begun(MODELS, 2)
    finish(scheduling, first, 1)

    blamed = scheduling.remove_node(first)
    second = Node("gw2")
    scheduling.add_node(second)
    scheduling.add_node_collection(second, MODELS)
    scheduling.schedule()
    blamed_next = scheduling.remove_node(second)

    assert (blamed, blamed_next) == (None, "a-2")
    assert (second.dealt, second.commands) == ([[1, 2]], ["llmbench_suspect"])
    assert not other.commands
    assert not scheduling.tests_finished


def test_a_worker_is_never_left_with_one_case_while_others_wait() -> None:
    """A model with a single case is dealt together with the next: a worker runs nothing before it knows what follows."""
    _, (node,) = begun(["a-1", "b-1", "b-2"], 1)

    assert node.dealt == [[0], [1, 2]]


def test_a_single_case_and_nothing_else_ends_the_worker_behind_it() -> None:
    """So that it runs it."""
    _, (node,) = begun(["a-1"], 1)

    assert (node.dealt, node.shutting_down) == ([[0]], True)


def test_what_was_asked_alone_is_blamed_whatever_was_dealt_behind_it() -> None:
    """A second model dealt to the same worker takes no blame away."""
    scheduling, (first,) = begun(["a-1", "b-1", "b-2"], 1)
    scheduling.remove_node(first)
    second = Node("gw1")
    scheduling.add_node(second)
    scheduling.add_node_collection(second, ["a-1", "b-1", "b-2"])
    scheduling.schedule()

    assert second.dealt == [[0], [1, 2]]
    assert scheduling.remove_node(second) == "a-1"


def test_a_test_that_had_told_its_outcome_is_not_run_again() -> None:
    """A worker that ends in the teardown of a test takes nothing from it."""
    scheduling, (node,) = begun(MODELS[:3], 1)
    scheduling._workers.pytest_runtest_logreport(
        pytest.TestReport("a-1", ("a", 0, "a"), {}, "passed", None, "call")  # type: ignore[arg-type]
    )

    blamed = scheduling.remove_node(node)
    second = Node("gw1")
    scheduling.add_node(second)
    scheduling.add_node_collection(second, MODELS[:3])
    scheduling.schedule()

    assert (blamed, second.dealt) == (None, [[1, 2]])


def test_an_ordinary_test_that_ends_its_worker_is_blamed_at_once() -> None:
    """As xdist does; what else the worker had waits for another."""
    scheduling, (node,) = begun(["x", "y", "z"], 1)

    blamed = scheduling.remove_node(node)

    assert blamed == "x"
    assert sorted(scheduling.pending) == [1, 2]

"""Replicas without Ray: how requests are cut, what a loss costs, who is let in, and what people read of it."""

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pytest_llmbench.errors import ModelFault, ModelsFileFault, UsageFault
from pytest_llmbench.models.base import STOPPED, Identity, Opened
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.cluster.actors import LostReplicaError
from pytest_llmbench.models.cluster.crew import MOST_RESTARTS, Crew, wanted_replicas
from pytest_llmbench.models.cluster.model import ClusterModel
from pytest_llmbench.models.cluster.replica import Placed, Replica, ReplicaOpened
from pytest_llmbench.models.cluster.room import Node
from pytest_llmbench.models.cluster.work import MOST_LOSSES, Loss, Task, Work
from pytest_llmbench.models.entries import ClusterKeys, Replicable
from pytest_llmbench.models.opening import check_openable
from pytest_llmbench.values import Answer, AnswerError, Prompt, PromptStyle, Request, Sampling

IDENTITY = Identity(
    provider="toy", model="toy", weights="w1", settings={"threads": 1, "gpu": "A100", "dtype": "float32"}
)
TWO_NODES = (Node(address="10.0.0.1", resources={"CPU": 1.0}), Node(address="10.0.0.2", resources={"CPU": 1.0}))


def requests(n: int, *, bad: Sequence[int] = (), suite: str = "s", samples: int = 1) -> list[Request]:
    return [
        Request(
            suite=suite, case=f"c{number}", sample=sample, prompt=Prompt(text="kill" if number in bad else "echo"),
            sampling=Sampling(),
        )
        for number in range(n)
        for sample in range(samples)
    ]  # fmt: skip


@dataclass(eq=False)
class Stream:
    """A pending call: its values, an exception among them is raised; a list is a stream that ends with None."""

    values: list[Any]

    def take(self) -> Any:
        value = self.values.pop(0) if self.values else None
        if isinstance(value, Exception):
            raise value
        return value


@dataclass(eq=False)
class Actor:
    number: int
    opened: ReplicaOpened | str
    is_placed: bool = True
    is_lost_at_once: bool = False
    is_killed: bool = False
    tasks: list[list[str]] = field(default_factory=list)
    loses_after: int | None = None
    loss: Loss = Loss.NODE


@dataclass
class FakeActors:
    """A cluster on which time passes only while somebody waits, and a replica dies of a prompt `kill`."""

    actors: list[Actor]
    found: tuple[Node, ...] = TWO_NODES
    started: list[Actor] = field(default_factory=list)
    now: float = 0.0
    halted: list[int] = field(default_factory=list)
    is_closed: bool = False
    stops: bool = False

    def nodes(self) -> Sequence[Node]:
        return self.found

    def free_text(self) -> str:
        return "0 of 2 CPU free"

    def start(self) -> Actor:
        place = len(self.started)
        actor = self.actors[place] if place < len(self.actors) else Actor(place, opened())
        self.started.append(actor)
        return actor

    def where(self, actor: Actor) -> Stream:
        if actor.is_lost_at_once:
            return Stream([LostReplicaError(Loss.NODE, "its node died")])
        return Stream([Placed(node_id=f"n{actor.number % 2}", cpu="EPYC")] if actor.is_placed else [])

    def open(self, actor: Actor) -> Stream:
        return Stream([actor.opened])

    def answer(self, actor: Actor, turn: int, asked: Sequence[Request]) -> Stream:
        actor.tasks.append([request.case for request in asked])
        return Stream([*self._pieces(actor, asked), None])

    def _pieces(self, actor: Actor, asked: Sequence[Request]) -> Iterator[Any]:
        for place, request in enumerate(asked):
            if request.prompt.text == "kill":
                yield LostReplicaError(Loss.PROCESS, "its process ended")
                return
            if actor.loses_after == place:
                actor.loses_after = None
                yield LostReplicaError(actor.loss, "it is gone")
                return
            yield [(place, AnswerError(cause=STOPPED) if self.stops else Answer(text=request.case, concurrency=2))]

    def answer_alone(self, actor: Actor, request: Request) -> Stream:
        return Stream([Answer(text=f"{request.case} alone")])

    def halt(self, actor: Actor, turn: int) -> None:
        self.halted.append(turn)

    def ready(self, pending: Sequence[Stream], timeout_s: float) -> list[Stream]:
        self.now += timeout_s
        return [one for one in pending if one.values]

    def take(self, pending: Stream) -> Any:
        return pending.take()

    def kill(self, actor: Actor) -> None:
        actor.is_killed = True

    def close(self) -> None:
        self.is_closed = True


def opened(rows: int = 2, **changes: object) -> ReplicaOpened:
    return ReplicaOpened(identity=replace(IDENTITY, **changes), concurrency=rows, opened_s=1.0)  # type: ignore[arg-type]


def model(actors: FakeActors, **keys: object) -> ClusterModel:
    """Open a model of two replicas."""
    found = ClusterKeys.model_validate({"replicas": 2, **keys})
    crew = Crew(actors, found, "toy", clock=lambda: actors.now)
    crew.open_all(wanted_replicas(actors, found, "toy"))
    return ClusterModel(actors, crew, clock=lambda: actors.now)


def two(*actors: Actor) -> FakeActors:
    return FakeActors([*actors, *(Actor(number, opened()) for number in range(len(actors), 2))])


# -- cutting


def test_tasks_are_large_while_much_is_left_and_one_batch_at_the_end() -> None:
    """Everything is handed out once, in the order of the plan."""
    work = Work(requests(100), rows=4)
    sizes, places = [], []
    while (task := work.next(2)) is not None:
        sizes.append(len(task.places))
        places += task.places

    assert places == list(range(100))
    assert sizes[0] == 24
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 4


def test_suites_are_not_mixed_and_samples_stay_together() -> None:
    """What shares a beginning is in one task, and all samples of a case are."""
    asked = [*requests(3, suite="a", samples=3), *requests(2, suite="b"), *requests(1, suite="a")]
    work = Work(asked, rows=2)
    found = []
    while (task := work.next(1)) is not None:
        found.append([f"{asked[place].suite}/{asked[place].case}" for place in task.places])

    assert found == [["a/c0"] * 3 + ["a/c1"] * 3, ["a/c2"] * 3, ["a/c0"], ["b/c0", "b/c1"]]


def test_what_was_at_work_when_a_process_ended_is_asked_alone() -> None:
    """One of them may have ended it: a suspect that ends another is an error, the others are not."""
    work = Work(requests(6), rows=3)
    task = work.next(1)
    assert task is not None

    assert work.lose(task, [1, 2], Loss.PROCESS, "died") == {}
    alone = [work.next(1), work.next(1)]
    errors = work.lose(Task(places=(1,), is_alone=True), [1], Loss.MEMORY, "died again")

    assert alone == [Task(places=(1,), is_alone=True), Task(places=(2,), is_alone=True)]
    assert list(errors) == [1]
    assert (errors[1].attempts, errors[1].is_fatal) == (2, False)
    assert "asked alone, and the replica was lost again (died again)" in errors[1].cause
    assert work.next(1) == Task(places=(3, 4, 5))


def test_a_lost_node_makes_no_suspects_but_has_an_end() -> None:
    """Its task goes back whole; a request that was with four lost nodes is given up."""
    work = Work(requests(2), rows=2)
    task = work.next(1)
    for _ in range(MOST_LOSSES - 1):
        assert task is not None
        assert work.lose(task, [0, 1], Loss.NODE, "gone") == {}
        task = work.next(1)
        assert task == Task(places=(0, 1))

    assert task is not None
    assert set(work.lose(task, [0, 1], Loss.NODE, "gone")) == {0, 1}
    assert work.is_empty


# -- answering


def test_every_request_is_answered_once_and_in_order() -> None:
    """By two replicas, each with two tasks; the node stands in each answer."""
    actors = two()
    cluster = model(actors)
    seen: list[int] = []

    answers = cluster.answer(requests(50), arrived=lambda place, _: seen.append(place))

    assert [answer.text for answer in answers if isinstance(answer, Answer)] == [f"c{number}" for number in range(50)]
    assert sorted(seen) == list(range(50))
    assert {answer.node for answer in answers if isinstance(answer, Answer)} == {1, 2}
    assert sum(replica.answers for replica in cluster.replicas) == 50
    assert (cluster.concurrency, cluster.identity) == (4, IDENTITY)


@pytest.mark.parametrize("loss", list(Loss))
def test_a_lost_replica_costs_no_answer(loss: Loss) -> None:
    """What it had at work is asked again, what it had answered is not, and another takes its place."""
    actors = two(Actor(0, opened(), loses_after=1, loss=loss))
    cluster = model(actors)

    answers = cluster.answer(requests(20))

    assert all(isinstance(answer, Answer) for answer in answers)
    assert [answer.attempts for answer in answers] == [1, 2, 2, 2, *[1] * 16] or max(a.attempts for a in answers) == 2
    asked = [case for actor in actors.started for task in actor.tasks for case in task]
    assert asked.count("c0") == 1
    assert actors.started[0].is_killed
    assert len(actors.started) == 3
    assert cluster.remarks == (f"toy: replica 1 on node 1: lost ({loss}): it is gone",)
    assert cluster.replicas[0].ended == f"lost ({loss}): it is gone"


def test_a_case_that_kills_its_process_is_its_own_error() -> None:
    """Two replicas are lost with it and no other case."""
    cluster = model(two())

    answers = cluster.answer(requests(30, bad=[7]))

    errors = [place for place, answer in enumerate(answers) if isinstance(answer, AnswerError)]
    assert errors == [7]
    assert len(cluster.remarks) == 2


def test_many_deaths_end_the_model_and_not_the_run() -> None:
    """Each wanted replica is replaced three times; then the rest is a fatal error, which the store does not keep."""
    actors = two()
    cluster = model(actors)

    answers = cluster.answer(requests(40, bad=range(40)))

    assert len(actors.started) == 2 + MOST_RESTARTS * 2
    assert isinstance(answers[-1], AnswerError)
    assert answers[-1].is_fatal
    assert answers[-1].cause.startswith("no replica is left, the last one: lost (process): its process ended;")


def test_nobody_left_is_waited_for_only_so_long() -> None:
    """A replica in place of the last one has 30 s to get a place."""
    actors = FakeActors(
        [Actor(0, opened(), loses_after=0), Actor(1, opened(), loses_after=0), Actor(2, "", is_placed=False)]
    )
    actors.actors += [Actor(number, "", is_placed=False) for number in range(3, 9)]
    cluster = model(actors)
    before = actors.now

    answers = cluster.answer(requests(9))

    assert all(isinstance(answer, AnswerError) and answer.is_fatal for answer in answers)
    assert 30 <= actors.now - before < 32


def test_a_halt_stops_every_replica_and_keeps_what_came() -> None:
    """The rest is "stopped"; a further call answers as ever."""
    actors = two()
    cluster = model(actors)
    halt = threading.Event()
    seen: list[int] = []

    def arrived(place: int, _: object) -> None:
        seen.append(place)
        if len(seen) == 5:
            halt.set()

    answers = cluster.answer(requests(40), arrived=arrived, halt=halt)

    assert sum(isinstance(answer, Answer) for answer in answers) == len(seen) < 40
    assert {answer.cause for answer in answers if isinstance(answer, AnswerError)} == {"stopped"}
    assert actors.halted == [1, 1]
    assert all(isinstance(answer, Answer) for answer in cluster.answer(requests(4)))


def test_one_request_is_answered_alone_and_closing_ends_all() -> None:
    """By the first replica; closing twice does no harm."""
    actors = two()
    cluster = model(actors)

    answer = cluster.answer_alone(requests(1)[0])
    cluster.close()
    cluster.close()

    assert isinstance(answer, Answer)
    assert answer.text == "c0 alone"
    assert [actor.is_killed for actor in actors.started] == [True, True]
    assert actors.is_closed


# -- opening


def test_too_little_room_is_refused_at_once() -> None:
    """Ray would wait for ever; the message names each node."""
    actors = two()
    message = (
        r'"toy": the cluster has room for 2 of 3 replicas of 1 CPU each \(10.0.0.1: 1 CPU; 10.0.0.2: 1 CPU\); lower '
        "replicas or what each needs in cluster, or set wait_s where nodes will join."
    )

    with pytest.raises(ModelFault, match=message):
        model(actors, replicas=3)
    with pytest.raises(ModelFault, match=r"room for 0 of 2 replicas of 1 CPU, 2 GPU, 3\.0 GiB each"):
        model(actors, gpus=2, memory_gib=3)

    assert actors.started == []


def test_as_many_replicas_as_fit_where_no_number_is_given() -> None:
    """One a node here; with time to wait, at least one."""
    actors = two()

    assert wanted_replicas(actors, ClusterKeys(cpus=0.5), "toy") == 4
    assert wanted_replicas(actors, ClusterKeys(gpus=1, wait_s=9), "toy") == 1


def test_one_that_cannot_be_opened_is_left_out() -> None:
    """The run goes on with the other, and the reason is read at the end."""
    cluster = model(two(Actor(0, "the weights /x are not there; put them there")))

    assert len(cluster.answer(requests(3))) == 3
    assert cluster.remarks == (
        "toy: replica 1 on node 1: could not be opened: the weights /x are not there; put them there",
    )
    assert [replica.ended is None for replica in cluster.replicas] == [False, True]


def test_none_that_can_be_opened_is_a_fault() -> None:
    """The reason is given once."""
    actors = two(Actor(0, "no weights"), Actor(1, "no weights"))

    with pytest.raises(ModelFault, match=r'^no replica of "toy" could be opened: no weights$'):
        model(actors)


def test_replicas_of_other_weights_are_refused() -> None:
    """Before anything is asked; both are named. Names of machines may differ and are joined."""
    other = opened(settings={"threads": 2, "gpu": "H100", "dtype": "float32"})
    assert model(two(Actor(0, other))).identity.settings == {
        "threads": "1 + 2",
        "gpu": "A100 + H100",
        "dtype": "float32",
    }

    with pytest.raises(
        ModelFault, match=r'the replicas of "toy" are not the same model: weights differ .*\(w2 and w1\)'
    ):
        model(two(Actor(0, opened(weights="w2"))))


def test_a_later_replica_of_other_weights_is_left_out() -> None:
    """It takes the place of a lost one, but answers nothing."""
    actors = FakeActors([Actor(0, opened(), loses_after=0), Actor(1, opened()), Actor(2, opened(weights="w2"))])
    cluster = model(actors)

    assert all(isinstance(answer, Answer) for answer in cluster.answer(requests(30)))
    assert actors.started[2].tasks == []
    assert "left out, it is not the same model: weights differ" in cluster.remarks[-1]


def test_resources_that_others_hold_are_waited_for_only_so_long() -> None:
    """Both replicas fit, and neither gets a place."""
    actors = two(Actor(0, "", is_placed=False), Actor(1, "", is_placed=False))

    with pytest.raises(ModelFault, match=r'no replica of "toy" found a place within 120 s \(0 of 2 CPU free\)'):
        model(actors)
    assert actors.now < 122


def test_with_time_to_wait_the_run_begins_with_what_is_there() -> None:
    """One has a place, the other joins when it gets one."""
    late = Actor(1, opened(), is_placed=False)
    actors = two(Actor(0, opened()), late)
    cluster = model(actors, wait_s=60)
    assert (cluster.concurrency, actors.now < 1) == (2, True)

    late_call = next(iter(cluster._crew.pending))
    late_call.values.append(Placed(node_id="n1", cpu="EPYC"))
    cluster.answer(requests(40))

    assert late.tasks
    assert cluster.concurrency == 4


@pytest.mark.parametrize(("wait_s", "n_started"), [(60, 3), (0, 2)])
def test_a_replica_lost_before_it_has_a_place_is_started_again_where_nodes_join(wait_s: int, n_started: int) -> None:
    """Ray gives places on a node whose end it has not noticed; without time to wait, the others go on alone."""
    lost = Actor(1, opened(), is_placed=False, is_lost_at_once=True)
    actors = FakeActors([Actor(0, opened()), lost, Actor(2, opened())])
    cluster = model(actors, wait_s=wait_s)

    assert all(isinstance(answer, Answer) for answer in cluster.answer(requests(40)))
    assert len(actors.started) == n_started
    assert all(actor.tasks for actor in actors.started if actor is not lost)


# -- the keys


class Toy(Replicable):
    pass


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"replicas": 0}, "greater than or equal to 1"),
        ({"gpus": -1}, "greater than or equal to 0"),
        ({"address": "ray://head:10001"}, "Ray Client is limited"),
        ({"runtime_env": {"env_vars": {"HF_TOKEN": "x"}}}, "holds HF_TOKEN, and a key does not belong into a file"),
        ({"nodes": 3}, "Extra inputs are not permitted"),
    ],
)
def test_keys_that_cannot_be_are_refused(keys: dict[str, object], message: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ValidationError, match=message):
        Toy.model_validate({"provider": "toy", "cluster": keys})


def test_without_ray_a_cluster_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is found out before anything is asked, and an entry that names its style needs no weights here."""
    file = tmp_path / "models.toml"
    file.write_text(
        '[llama]\nprovider = "transformers"\nmodel = "/nowhere/llama"\nprompt_style = "completion"\n'
        "cluster = { replicas = 2, gpus = 4 }\n"
    )
    (spec,) = Catalog(file, {}).choose(["llama"], tmp_path)

    assert spec.provider.prompt_style(spec.entry) is PromptStyle.COMPLETION
    assert (spec.traits.is_local, spec.traits.takes_device) == (False, False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageFault, match=r'model "llama" has cluster, .*: pip install "pytest-llmbench\[ray\]"'):
        check_openable(spec)


@pytest.mark.parametrize("provider", ["recorded", "openai"])
def test_other_providers_refuse_a_cluster(tmp_path: Path, provider: str) -> None:
    """As any key that they do not know."""
    file = tmp_path / "models.toml"
    file.write_text(f'[m]\nprovider = "{provider}"\nmodel = "x"\nanswers = "x"\ncluster = {{ replicas = 2 }}\n')

    with pytest.raises(ModelsFileFault, match='the unknown key "'):
        Catalog(file, {}).choose(["m"], tmp_path)


# -- the replica itself


def test_a_replica_gives_reasons_and_not_exceptions() -> None:
    """What cannot be imported or opened there is a text here."""
    replica = Replica(b"not a pickle", concurrency=None, timeout_s=None, root=".")

    assert replica.open() == "UnpicklingError: invalid load key, 'n'."
    pieces = [answer for piece in replica.answer(1, requests(2)) for _, answer in piece]
    assert [isinstance(answer, AnswerError) for answer in pieces] == [True, True]


def test_a_halted_turn_is_not_begun() -> None:
    """Its tasks that waited do nothing, the next turn answers."""
    replica = Replica(b"", concurrency=None, timeout_s=None, root=".")
    replica.halt(3)

    assert list(replica.answer(3, requests(2))) == []
    assert len([one for piece in replica.answer(4, requests(2)) for one in piece]) == 2


class Halting(Opened):
    """Is halted for an earlier call as it is at work, as Ray brings such a halt late."""

    identity, concurrency = IDENTITY, 1

    def __init__(self, replica: Replica, turn: int):
        self._replica = replica
        self._turn = turn

    def answer(
        self, requests: Sequence[Request], *, arrived: Any = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        self._replica.halt(self._turn)
        stopped = halt is not None and halt.is_set()
        return tuple(AnswerError(cause=STOPPED) if stopped else Answer(text="a") for _ in requests)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("late_turn", "is_stopped"), [(3, False), (4, True)])
def test_a_halt_that_comes_late_does_not_stop_the_next_turn(late_turn: int, is_stopped: bool) -> None:
    """Else its requests would be "stopped" though nobody stopped them, and waited for without end."""
    replica = Replica(b"", concurrency=None, timeout_s=None, root=".")
    replica._model = Halting(replica, late_turn)

    answers = [answer for piece in replica.answer(4, requests(2)) for _, answer in piece]

    assert [isinstance(answer, AnswerError) for answer in answers] == [is_stopped] * 2


def test_what_stops_by_itself_is_an_error() -> None:
    """A replica that calls a request stopped, which nobody halted, leaves no request that is waited for without end."""
    actors = two()
    cluster = model(actors)
    actors.stops = True

    answers = cluster.answer(requests(4))

    assert {answer.cause for answer in answers if isinstance(answer, AnswerError)} == {
        "the replica ended its task without an answer to this request"
    }

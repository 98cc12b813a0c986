"""How tests are dealt to xdist's workers (3.8): all cases of a model to one worker, other tests as ever.

One worker a model means one load a model, and batches as without workers.  xdist's own groups are lost on
pytest 9.2 (they change `item._nodeid`), and its scheduler by scope runs the item of a crash again.

Used here and not documented there: `LoadScheduling` with its `collection`, `pending`, `node2pending`,
`node2collection` and `maxschedchunk`, and how `DSession` calls it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from xdist.dsession import get_default_max_worker_restart
from xdist.scheduler import LoadScheduling

from pytest_llmbench.plugin.internals.xdist import SUSPECT, Workers

_SUSPECTS = 64
"""How many cases are asked one by one after a worker ended while it asked ahead: about as many as it had in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """Cases of one model that one worker is to run.

    `is_suspect`: they are what a worker left that ended while it asked ahead; nobody knows which of them ended it.
    """

    role: str
    indices: tuple[int, ...]
    is_suspect: bool = False


class ModelScheduling(LoadScheduling):  # type: ignore[misc]
    """Deals the cases of each model to one worker, and the other tests to those that are free.

    A worker that ends takes no case with it but the one that ended it.  That is the one whose test does something of
    its own; else one of those that were asked ahead.  So they are dealt again, the first of them to be asked one by
    one, and what ends a worker then is to blame.  Each end finds one to blame or leaves fewer to be asked.

    Args:
        config: of the controller.
        log: xdist's.
        workers: what they sent.
    """

    def __init__(self, config: Any, log: Any, workers: Workers):
        super().__init__(config, log)
        self._workers = workers
        self._units: deque[_Unit] = deque()
        self._dealt: dict[Any, _Unit] = {}
        self._asked_alone: dict[Any, tuple[int, ...]] = {}
        self._roles: list[str | None] = []
        self._most_restarts: int | None = get_default_max_worker_restart(config)
        self._n_crashes = 0

    @property
    def tests_finished(self) -> bool:
        """Return whether nothing is left to be dealt, and each worker has at most one test left."""
        return not self._units and bool(super().tests_finished)

    @property
    def has_pending(self) -> bool:
        """Return whether tests are left."""
        return bool(self._units) or bool(super().has_pending)

    def schedule(self) -> None:
        """Deal for the first time; later, when a worker came in place of another, deal what is left."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                self.log("**Different tests collected, aborting run**")
                return
            collected = next(iter(self.node2collection.values()))
            self._lay_out(() if self._workers.has_collection_errors else collected)
        for node in self.nodes:
            self.check_schedule(node)

    def _lay_out(self, collection: Sequence[str]) -> None:
        self.collection = list(collection)
        self.maxschedchunk: int = self.config.getoption("maxschedchunk") or len(collection)
        places = [self._workers.planned.get(nodeid) for nodeid in collection]
        self._roles = [None if place is None else place.role for place in places]
        self._put_back(range(len(collection)), suspect_role=None)
        for node in self.nodes:
            self._deal_unit(node)
        free = [node for node in self.nodes if node not in self._dealt]
        if free and len(self.pending) < 2 * len(free):
            # too few for xdist's chunks of at least two
            for node, _ in zip(cycle(free), list(self.pending), strict=False):
                self._send_tests(node, 1)

    def check_schedule(self, node: Any, duration: float = 0) -> None:
        """Deal to a worker that has at most one test left; end it where nothing is left for it."""
        if node.shutting_down or (node in self._dealt and len(self.node2pending[node]) > 1):
            return
        # a worker runs no test before it knows the next, so one alone would wait for ever
        while self._deal_unit(node):
            if len(self.node2pending[node]) > 1:
                return
        self._dealt.pop(node, None)
        super().check_schedule(node, duration)

    def _deal_unit(self, node: Any) -> bool:
        unit = next((unit for unit in self._units if self._workers.can_open(node, unit.role)), None)
        if unit is None:
            return False
        self._units.remove(unit)
        self._dealt[node] = unit
        if unit.is_suspect:
            self._asked_alone[node] = (*self._asked_alone.get(node, ()), *unit.indices[:_SUSPECTS])
            node.sendcommand(SUSPECT, count=_SUSPECTS)
        self.node2pending[node].extend(unit.indices)
        node.send_runtest_some(list(unit.indices))
        return True

    def remove_node(self, node: Any) -> str | None:
        """Take back what a worker left that has ended; gives the test that is to blame, if that is known."""
        pending: list[int] = self.node2pending.pop(node)
        self._dealt.pop(node, None)
        asked_alone = self._asked_alone.pop(node, ())
        if pending and self._workers.is_reported(self.collection[pending[0]]):
            del pending[0]  # what it does after that is lost, and it is not run again
        if not pending:
            return None
        self._n_crashes += 1
        first, role = pending[0], self._roles[pending[0]]
        is_waiting = not self._workers.is_at_work_itself(self.collection[first])
        is_last = self._most_restarts is not None and self._n_crashes > self._most_restarts
        is_blamed = not is_waiting or first in asked_alone or is_last
        self._put_back(pending[1:] if is_blamed else pending, suspect_role=role if is_waiting else None)
        for other in self.nodes:
            self.check_schedule(other)
        return self.collection[first] if is_blamed else None

    def _put_back(self, indices: Sequence[int], suspect_role: str | None) -> None:
        by_role: dict[str, list[int]] = {}
        for index in indices:
            role = self._roles[index]
            if role is None:
                self.pending.append(index)
            else:
                by_role.setdefault(role, []).append(index)
        self._units.extend(
            _Unit(role=role, indices=tuple(own), is_suspect=role == suspect_role) for role, own in by_role.items()
        )

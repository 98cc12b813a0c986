"""All knowledge of pytest-xdist (3.8), but for its scheduling (`xdist_scheduling.py`).

Records travel on test reports; what else there is to send comes with a worker's output when it ends.
Controller and workers also exchange a few words of their own over xdist's channel: a worker sends the
controller what it has collected and, once it has answers, what it is made of, which a crash would lose;
the controller sends a worker what it is dealt, and that the run is to stop.  Where Ctrl-C is pressed, xdist hears no
worker any more: the controller has each interrupted, and each sends the records of what arrived.

Used here and not documented there: the worker's `WorkerInteractor` with its `handle_command` and `sendevent`, and the
names of what both send; the controller's nodes with `process_from_remote`, `sendcommand`, `workerinput` and
`workeroutput`.
"""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.results.records import Record, RunInfo
from pytest_llmbench.results.run_json import record_to_json, run_info_from_json, run_info_to_json

_PLAN, _FACTS, _RECORD = "llmbench_plan", "llmbench_facts", "llmbench_record"
"""Words of a worker."""

SUSPECT, _STOP, _INTERRUPT = "llmbench_suspect", "llmbench_stop", "llmbench_interrupt"
"""Words of the controller: the first of the next items dealt are suspect; the run is to stop; Ctrl-C was pressed."""

_SILENCE_S = 10.0
"""How long nothing may be heard of the workers of an interrupted run; a test that is at work is not interrupted."""


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process runs tests for a controller."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Return whether this process leaves the tests to workers."""
    return not is_worker(config) and config.getoption("dist", "no") != "no"


def is_other_worker(config: pytest.Config) -> bool:
    """Return whether another worker reports what is to be reported once."""
    return is_worker(config) and config.workerinput["workerid"] != "gw0"  # type: ignore[attr-defined]


def run_token(config: pytest.Config) -> str:
    """Give the token of this run, the same in each of its processes."""
    if is_worker(config):
        token: str = config.workerinput["llmbench_token"]  # type: ignore[attr-defined]
        return token
    return config.stash.setdefault(_TOKEN, uuid4().hex)


_TOKEN = pytest.StashKey[str]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which case of which suite under which role an item is, and whether its test is more than its answer's grade."""

    suite: str
    case: str
    role: str
    has_body: bool = False


class Workers:
    """The controller's side: what the workers are given, and what they sent.

    `planned` holds the items that are cases, by id, as the first worker sent them; `unreported` the records, as JSON,
    that came from workers and were on no report yet; `has_fatal`: one of them had a model that broke down.

    Args:
        config: of the controller.
        devices: names of the devices that workers are to have, one each.
        local_roles: the roles whose models need a device, if there are any.
    """

    def __init__(self, config: pytest.Config, devices: Sequence[str] = (), local_roles: Sequence[str] = ()) -> None:
        self.received: list[RunInfo] = []
        self.remarks: list[str] = []
        self.refusal: str | None = None
        self.planned: dict[str, Place] = {}
        self.unreported: dict[str, str] = {}
        self.has_fatal = False
        self._config = config
        self._devices = tuple(devices)
        self._local_roles = frozenset(local_roles)
        self._nodes: list[Any] = []
        self._gone: set[Any] = set()
        self._has_heard = threading.Event()
        self._begun: set[str] = set()
        self._judged: set[str] = set()
        self._failed = 0
        self.has_collection_errors = False

    def is_at_work_itself(self, nodeid: str) -> bool:
        """Return whether a test does something of its own by now, and not only what its process does ahead of it."""
        place = self.planned.get(nodeid)
        return place is None or (place.has_body and nodeid in self._begun)

    def is_reported(self, nodeid: str) -> bool:
        """Return whether a test that has not ended has an outcome: all but its teardown is done."""
        return nodeid in self._judged

    def can_open(self, node: Any, role: str) -> bool:
        """Return whether a worker may open a model: a local one where it has a device, if there are any."""
        return not self._devices or role not in self._local_roles or "llmbench_device" in node.workerinput

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the token of the run and a device, and listen to what it sends."""
        node.workerinput["llmbench_token"] = run_token(self._config)
        node.workerinput["llmbench_dist"] = self._config.getoption("dist")
        taken = {other.workerinput.get("llmbench_device") for other in self._nodes}
        free = next((device for device in self._devices if device not in taken), None)
        if free is not None:
            node.workerinput["llmbench_device"] = free
        self._nodes.append(node)
        process = node.process_from_remote

        def process_from_remote(event: Any) -> None:
            if not self._take(*event if isinstance(event, tuple) else (None, {})):
                process(event)
            if not isinstance(event, tuple) or event[0] == "workerfinished":
                self._gone.add(node)
            self._has_heard.set()

        node.process_from_remote = process_from_remote

    def _take(self, name: str | None, sent: dict[str, Any]) -> bool:
        """Take what a worker sent, in the thread that receives it; return whether it was meant for nobody else."""
        if name == _PLAN:
            self._take_plan(sent["plan"])
        elif name == _FACTS:
            self.received.append(run_info_from_json(json.loads(sent["facts"])))
        elif name == _RECORD:
            self.unreported[sent["nodeid"]] = sent["record"]
        elif name == "testreport" and "llmbench" in sent["data"]:
            self.unreported[sent["data"]["nodeid"]] = sent["data"]["llmbench"]
        return name in (_PLAN, _FACTS, _RECORD)

    def interrupt(self) -> None:
        """Have each worker end at once and send what arrived, and wait for that while anything is heard of them."""
        for node in self._nodes if self.planned else ():
            try:
                node.sendcommand(_INTERRUPT)
            except OSError:  # it has ended
                self._gone.add(node)
        while self.planned and not self._gone.issuperset(self._nodes) and self._has_heard.wait(_SILENCE_S):
            self._has_heard.clear()

    def _take_plan(self, plan: str) -> None:
        if not self.planned:
            found = json.loads(plan)
            self.planned = {
                nodeid: Place(suite=found["suites"][suite], case=case, role=role, has_body=has_body)
                for nodeid, suite, case, role, has_body in found["items"]
            }

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that something could not be collected: as without workers, nothing is run then."""
        if report.failed and not self._config.option.continue_on_collection_errors:
            self.has_collection_errors = True

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note that a test has begun."""
        self._begun.add(nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that it has ended."""
        self._begun.discard(nodeid)
        self._judged.discard(nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Stop all workers at --maxfail: xdist lets them run what they were dealt, which may be a whole plan."""
        self.unreported.pop(report.nodeid, None)
        if report.when == "call" or not report.passed:
            self._judged.add(report.nodeid)
        self._failed += report.failed
        most = self._config.getoption("maxfail")
        if report.failed and most and self._failed >= most:
            for node in self._nodes:
                with suppress(OSError):  # it has ended
                    node.sendcommand(_STOP)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker left that ended; one that crashed left nothing."""
        if node in self._nodes:
            self._nodes.remove(node)
        sent = getattr(node, "workeroutput", {}).get("llmbench")
        if sent is not None:
            found = json.loads(sent)
            self.received.append(run_info_from_json(found["facts"]))
            self.remarks.extend(found["remarks"])
            self.refusal = self.refusal or found["refusal"]
            self.has_fatal |= found["has_fatal"]


def device_of(config: pytest.Config) -> str | None:
    """Give the device that this worker is to use alone; None where it may use any."""
    return config.workerinput.get("llmbench_device") if is_worker(config) else None  # type: ignore[attr-defined]


class WorkerChannel:
    """A worker's side: what it sends to the controller, and what it receives.

    `is_interrupted`: Ctrl-C was pressed where the controller is.

    Args:
        config: of the worker.
    """

    def __init__(self, config: pytest.Config):
        self.is_interrupted = False
        self._config = config
        plugins = config.pluginmanager.get_plugins()
        self._interactor: Any = next(plugin for plugin in plugins if type(plugin).__name__ == "WorkerInteractor")

    def send_plan(self, places: Sequence[tuple[str, Place]]) -> None:
        """Send which items are cases, before xdist sends what was collected."""
        suites = list(dict.fromkeys(place.suite for _, place in places))
        items = [
            (nodeid, suites.index(place.suite), place.case, place.role, place.has_body) for nodeid, place in places
        ]
        self._interactor.sendevent(_PLAN, plan=json.dumps({"suites": suites, "items": items}))

    def send_facts(self, facts: RunInfo) -> None:
        """Send what the run is made with, as far as it has come, in case nothing can be sent at the end."""
        self._interactor.sendevent(_FACTS, facts=json.dumps(run_info_to_json(facts)))

    def send_record(self, nodeid: str, record: Record) -> None:
        """Send a record that is on no report."""
        # in ASCII: xdist sends no text with half a character in it
        self._interactor.sendevent(_RECORD, nodeid=nodeid, record=json.dumps(record_to_json(record)))

    def leave(self, facts: RunInfo, remarks: Sequence[str], refusal: str | None, *, has_fatal: bool) -> None:
        """Leave facts and remarks for the end of the worker, why it asked nothing at all, and if a model broke down."""
        left = {"facts": run_info_to_json(facts), "remarks": list(remarks), "refusal": refusal, "has_fatal": has_fatal}
        self._config.workeroutput["llmbench"] = json.dumps(left)  # type: ignore[attr-defined]

    def listen(self, session: pytest.Session, deal: Callable[[Sequence[str], int], None]) -> None:
        """Hear what is dealt to this worker, by item id, and how many of it are suspect; called before the loop begins.

        Where items may be taken back (`--dist worksteal`), nothing is dealt: they are asked when their tests begin.
        """
        handle = self._interactor.handle_command
        can_steal = self._config.workerinput["llmbench_dist"] == "worksteal"  # type: ignore[attr-defined]
        n_suspect = 0

        def handle_command(command: Any) -> None:
            nonlocal n_suspect
            name, kwargs = command if isinstance(command, tuple) else (None, {})
            if name == SUSPECT:
                n_suspect = kwargs["count"]
                return
            if name == _STOP:
                session.shouldstop = "another worker has stopped the run"
                return
            if name == _INTERRUPT:
                self.is_interrupted = True
                command = ("shutdown", {})  # in case it waits for tests to be dealt
            if name in ("runtests", "runtests_all") and not can_steal:
                indices = kwargs.get("indices", range(len(session.items)))
                deal([session.items[index].nodeid for index in indices], n_suspect)
                n_suspect = 0
            handle(command)

        self._interactor.handle_command = handle_command


class BaselineFile:
    """Passes each worker the files that the run is compared with, so that it can see whether they fit its plan."""

    def __init__(self, paths: Sequence[Path]):
        self._files = json.dumps([(str(path), _file_digest(path)) for path in paths])

    @classmethod
    def register(cls, config: pytest.Config, paths: Sequence[Path]) -> None:
        """Pass the files to the workers that are about to start."""
        if is_controller(config):
            config.pluginmanager.register(cls([path.absolute() for path in paths]), "llmbench-baseline")

    @staticmethod
    def of_worker(config: pytest.Config) -> tuple[Path, ...]:
        """Give a worker the files; none where there are none.

        Raises:
            UsageFault: one was changed since the controller read it.
        """
        given: str = config.workerinput.get("llmbench_baseline", "[]")  # type: ignore[attr-defined]
        files: list[tuple[str, str]] = json.loads(given)
        for path, digest in files:
            if _file_digest(Path(path)) != digest:
                raise UsageFault(f"{path}: the baseline was changed while the run began; run it again.")
        return tuple(Path(path) for path, _ in files)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Write it into what a worker is started with."""
        node.workerinput["llmbench_baseline"] = self._files


def _file_digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()

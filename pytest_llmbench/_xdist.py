"""All knowledge of pytest-xdist (3.8).

Records travel on test reports; what else the controller must know of a run comes with
a worker's output when it ends.  A worker does not know which items of the plan it will
get, so it asks item by item.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pytest_llmbench.records import Facts, facts_from_json, facts_to_json


def is_worker(config: pytest.Config) -> bool:
    """Tell whether this process runs tests for a controller."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Tell whether this process leaves the tests to workers."""
    return not is_worker(config) and config.getoption("dist", "no") != "no"


def is_other_worker(config: pytest.Config) -> bool:
    """Tell whether another worker says what is to be said once."""
    return is_worker(config) and config.workerinput["workerid"] != "gw0"  # type: ignore[attr-defined]


def run_token(config: pytest.Config) -> str:
    """Give what tells this run from all others, the same in each of its processes."""
    if is_worker(config):
        token: str = config.workerinput["llmbench_token"]  # type: ignore[attr-defined]
        return token
    return config.stash.setdefault(_TOKEN, uuid4().hex)


_TOKEN = pytest.StashKey[str]()


class WorkerFacts:
    """Tells the workers which run they are of, and brings what they know of it to the controller.

    Args:
        config: of the controller.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.received: list[Facts] = []
        self.remarks: list[str] = []
        self.refusal: str | None = None
        self._config = config

    @staticmethod
    def send(config: pytest.Config, facts: Facts, remarks: Sequence[str], refusal: str | None) -> None:
        """Leave a worker's facts and remarks for the controller, and why it asked nothing at all."""
        sent = {"facts": facts_to_json(facts), "remarks": list(remarks), "refusal": refusal}
        config.workeroutput["llmbench"] = json.dumps(sent)  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a worker the token of the run."""
        node.workerinput["llmbench_token"] = run_token(self._config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the facts of a worker that ended; one that crashed left none."""
        sent = getattr(node, "workeroutput", {}).get("llmbench")
        if sent is not None:
            found = json.loads(sent)
            self.received.append(facts_from_json(found["facts"]))
            self.remarks.extend(found["remarks"])
            self.refusal = self.refusal or found["refusal"]


class BaselineFile:
    """Tells each worker which file the run is compared with, so that it can see whether that fits its plan."""

    def __init__(self, path: Path):
        self._path = path

    @classmethod
    def register(cls, config: pytest.Config, path: Path) -> None:
        """Have the workers told that are about to start."""
        if is_controller(config):
            config.pluginmanager.register(cls(path.absolute()), "llmbench-baseline")

    @staticmethod
    def told(config: pytest.Config) -> Path | None:
        """Give a worker the file; None where there is none."""
        path: str | None = config.workerinput.get("llmbench_baseline")  # type: ignore[attr-defined]
        return None if path is None else Path(path)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Write it into what a worker is started with."""
        node.workerinput["llmbench_baseline"] = str(self._path)

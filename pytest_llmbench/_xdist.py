"""All knowledge of pytest-xdist (3.8).

Records travel on test reports; what else the controller must know of a run comes with
a worker's output when it ends.  A worker does not know which items of the plan it will
get, so it asks item by item.
"""

import json
from pathlib import Path
from typing import Any

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


class WorkerFacts:
    """Brings the facts of a run from the workers to the controller."""

    def __init__(self) -> None:
        self.received: list[Facts] = []

    @staticmethod
    def send(config: pytest.Config, facts: Facts) -> None:
        """Leave a worker's facts for the controller."""
        config.workeroutput["llmbench"] = json.dumps(facts_to_json(facts))  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the facts of a worker that ended; one that crashed left none."""
        sent = getattr(node, "workeroutput", {}).get("llmbench")
        if sent is not None:
            self.received.append(facts_from_json(json.loads(sent)))


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

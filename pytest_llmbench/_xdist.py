"""All knowledge of pytest-xdist (3.8).

Records travel on test reports; what else the controller must know of a run comes with
a worker's output when it ends.  A worker does not know which items of the plan it will
get, so it asks item by item.
"""

import json
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

"""The connection to a Ray cluster: within seconds there, or refused with the reason. Shared by the models of a run."""

import importlib.util
import logging
import os
import socket
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.entries import ClusterKeys

EXTRA = 'pip install "pytest-llmbench[ray]"'

_PROBE_S = 5.0
_LOCAL = "local"


def require_ray(name: str) -> None:
    """Check that Ray is installed.

    Raises:
        UsageFault: it is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageFault(f'model "{name}" has cluster, which needs Ray, and Ray is not installed: {EXTRA}')


class Connection:
    """What the models of a run have in common: one process can be connected to one cluster only."""

    _lock = threading.Lock()
    _shared: "Connection | None" = None

    def __init__(self, keys: ClusterKeys, *, is_ours: bool):
        self._keys = keys
        self._is_ours = is_ours
        self._users = 0
        self._pause = threading.Event()

    @classmethod
    def to(cls, keys: ClusterKeys) -> "Connection":
        """Connect to the cluster of an entry, or share the connection that there is.

        Raises:
            ModelFault: nobody answers at the address, the cluster refuses, or another model holds another connection.
        """
        with cls._lock:
            shared = cls._shared
            if shared is None:
                shared = cls._shared = cls(keys, is_ours=_connect(keys))
            elif shared._place != cls(keys, is_ours=False)._place:
                raise ModelFault(
                    "a process can be connected to one Ray cluster at a time, and another model of this run is on "
                    f"{shared._keys.address} with another runtime_env or ship; give both the same."
                )
            shared._users += 1
            return shared

    @property
    def _place(self) -> tuple[object, ...]:
        return self._keys.address, self._keys.ship, repr(self._keys.runtime_env)

    def pause(self, timeout_s: float) -> None:
        """Wait for nothing but time."""
        self._pause.wait(timeout_s)

    def has_lost_node(self, text: str) -> bool:
        """Return whether a node that a fault names is gone; Ray may take seconds to notice."""
        lost = [node for node in import_module("ray").nodes() if not node["Alive"]]
        return "node" in text.lower() and any(
            node["NodeManagerAddress"] in text or node["NodeID"] in text for node in lost
        )

    def close(self) -> None:
        """Give it up; the last one who does ends the connection, and a cluster that was started for it."""
        import ray

        with type(self)._lock:
            self._users -= 1
            if self._users == 0 and type(self)._shared is self:
                type(self)._shared = None
                if self._is_ours:
                    ray.shutdown()


def _connect(keys: ClusterKeys) -> bool:
    """Connect; return whether this did, and nobody before."""
    address = os.environ.get("RAY_ADDRESS", "auto") if keys.address == "auto" else keys.address
    if address.startswith("ray://"):
        raise ModelFault(
            f"cluster at {address}: pytest cannot run outside the cluster, since Ray Client is limited for such work; "
            "run it on a node, or with: ray job submit -- pytest ..."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        return False
    if address not in ("auto", _LOCAL):
        _probe(address)
    logging.getLogger("ray").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "runtime_env": _runtime_env(keys, is_local=address == _LOCAL),
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    if address == _LOCAL:
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except Exception as fault:
        raise ModelFault(
            f"no connection to a Ray cluster at {address}: {_first_line(fault)}{_way_out(address)}"
        ) from fault
    _silence()
    return True


def _probe(address: str) -> None:
    """Knock at the address: Ray itself would wait for minutes where nobody is."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ModelFault(f'cluster: the address "{address}" is none; write "auto", "local" or HOST:PORT.')
    try:
        with socket.create_connection((host, int(port)), timeout=_PROBE_S):
            return
    except OSError as fault:
        raise ModelFault(
            f"nobody answers at {address} ({fault}); start Ray there (ray start --head), or name another address in "
            "cluster."
        ) from None


def _way_out(address: str) -> str:
    if address == "auto":
        return '; start Ray on this machine, set RAY_ADDRESS, or use address = "local"'
    return "; versions of Ray and Python must be those of the cluster"


def _runtime_env(keys: ClusterKeys, *, is_local: bool) -> dict[str, Any]:
    """Give what the nodes need: what the entry says, and this package, of this version."""
    found: dict[str, Any] = dict(keys.runtime_env)
    if keys.ship and not is_local:
        package = Path(__file__).resolve().parents[2]
        found["py_modules"] = [*found.get("py_modules", ()), str(package)]
    return found


def _first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0].rstrip(".")


def _silence() -> None:
    """Keep Ray from writing into pytest's terminal that a worker died: the run reports it itself.

    `log_to_driver=False` leaves the lines of the raylet through, which Ray 2.60 prints unless this is False.
    """
    worker: Any = import_module("ray._private.worker")
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False

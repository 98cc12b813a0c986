"""Which GPUs processes that share a machine are to have, one each. Asks no library: that would take the first one."""

import re
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that limits which GPUs a process sees; torch reads it when it first looks for one."""


def visible_devices(environment: Mapping[str, str], files: Path = Path("/dev")) -> tuple[str, ...]:
    """Name the GPUs this process may use, none where there are none.

    Args:
        environment: of the process.
        files: the folder in which each GPU is a file.
    """
    named = environment.get(VARIABLE)
    if named is not None:
        devices = tuple(name.strip() for name in named.split(",") if name.strip())
        # CUDA ignores what stands behind an impossible one
        return devices[: devices.index("-1")] if "-1" in devices else devices
    found = [file for file in files.glob("nvidia*") if re.fullmatch(r"nvidia\d+", file.name)]
    return tuple(str(number) for number in range(len(found)))

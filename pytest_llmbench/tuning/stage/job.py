"""What a stage is given: `stage.json`, which holds all that its process needs."""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import describe_error
from pytest_llmbench.tuning.kinds import StageKind

FILE = "stage.json"
DATA = "data.jsonl"
LOG = "log.txt"
STOP = "stop"
"""The file whose presence ends a stage after its step, with a checkpoint."""


PLACES = ("base", "adapter", "reward_model", "suites", "shadow", "root")
"""Fields that name places: a project may be moved."""


class LoraJob(Strict):
    """The adapter a stage begins with, unless it continues one."""

    r: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]


class StageJob(Strict):
    """One stage, ready to run; it has no path that is relative to anything but `root`.

    `base` is a folder that transformers can load, `weights` the digest of the recipe's model, `adapter` the folder of
    the adapter that is continued.
    `arguments` are those of TRL's configuration that do not depend on the device.  `rewards` maps names to weights,
    `reward_model` is the folder that a stage `reward` left.  `shadow` are suites whose grades are only logged.
    With `takes_unsplit` all cases of a suite without a split are rewarded.
    """

    schema_version: int = 1
    kind: StageKind
    base: str
    weights: str
    adapter: str | None = None
    rows: int
    data_sha256: str
    lora: LoraJob | None = None
    quantization: str | None = None
    arguments: dict[str, Any]
    rewards: dict[str, float] = Field(default_factory=dict)
    reward_model: str | None = None
    suites: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()
    takes_unsplit: bool = False
    root: str
    min_mixed: float = 0.0

    def content(self) -> dict[str, Any]:
        """Give what decides about the result: all but where things lie."""
        return self.model_dump(mode="json", exclude=set(PLACES))

    def text(self) -> str:
        """Write it; the same job gives the same text."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"


def load_job(folder: Path) -> StageJob:
    """Read the job of a stage's folder.

    Raises:
        UsageFault: it is not whole.
    """
    path = folder / FILE
    try:
        return StageJob.model_validate_json(path.read_bytes())
    except OSError as fault:
        raise UsageFault(f"{path} cannot be read: {fault.strerror}; run llmbench tune, which writes it.") from None
    except ValidationError as fault:
        what = describe_error(fault.errors()[0], StageJob)
        raise UsageFault(f"{path}: {what}; run llmbench tune --restart, which writes it anew.") from None


def load_rows(folder: Path, job: StageJob) -> list[dict[str, Any]]:
    """Read the rows of a stage, in their order.

    Raises:
        UsageFault: they are not the ones that the job was made with: a held-out case may be among them.
    """
    raw = (folder / DATA).read_bytes()
    if hashlib.sha256(raw).hexdigest() != job.data_sha256:
        raise UsageFault(
            f"{folder / DATA} was changed since it was made, and may hold cases that are held out; run llmbench tune, "
            "which writes it anew."
        )
    return [json.loads(line) for line in raw.decode().splitlines()]

"""The command that starts a stage: this interpreter, or accelerate with one of TRL's configurations."""

import importlib.util
import sys
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.transformers.libraries import require_libraries
from pytest_llmbench.models.validation import nearest_first
from pytest_llmbench.tuning.recipe import LaunchKeys

STAGE = "pytest_llmbench.tuning.stage"
DEEPSPEED = 'pip install "trl[deepspeed]"'


def command_of(stage_file: Path, launch: LaunchKeys | None, accumulation: int, root: Path) -> list[str]:
    """Give the command of a stage.

    Without `launch` nothing distributed is set.  `accelerate` is started as a module: in an environment that stands
    on another one its program is not on the path.

    Raises:
        UsageFault: the configuration does not exist.
    """
    if launch is None:
        return [sys.executable, "-m", STAGE, str(stage_file)]
    return [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(configuration(launch, root)),
        "--num_processes",
        str(launch.processes),
        "--gradient_accumulation_steps",
        str(accumulation),
        "-m",
        STAGE,
        str(stage_file),
    ]


def configuration(launch: LaunchKeys, root: Path) -> Path:
    """Find the configuration of accelerate: one of TRL's by its name, or a file.

    Raises:
        UsageFault: there is none.
    """
    folder = _of_trl()
    if folder is not None and (folder / f"{launch.accelerate}.yaml").is_file():
        return folder / f"{launch.accelerate}.yaml"
    file = root / launch.accelerate
    if file.is_file():
        return file
    names = sorted(path.stem for path in folder.glob("*.yaml")) if folder is not None else []
    known = ", ".join(nearest_first(launch.accelerate, names))
    raise UsageFault(
        f'launch.accelerate = "{launch.accelerate}" is neither a file nor one of TRL\'s configurations: {known}.'
    )


def require_launch(launch: LaunchKeys | None) -> None:
    """Check that what a launch needs is installed.

    Raises:
        UsageFault: it is not.
    """
    if launch is not None and "zero" in launch.accelerate:
        require_libraries(["deepspeed"], DEEPSPEED, f'launch.accelerate = "{launch.accelerate}"')


def _of_trl() -> Path | None:
    spec = importlib.util.find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "accelerate_configs"

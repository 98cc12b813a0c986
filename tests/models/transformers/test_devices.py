"""Which GPUs there are, told without asking a library."""

from pathlib import Path

import pytest

from pytest_llmbench.models.transformers.devices import visible_devices


@pytest.mark.parametrize(
    ("named", "devices"),
    [
        ("0,1", ("0", "1")),
        (" 3 , GPU-8f2a ", ("3", "GPU-8f2a")),
        ("", ()),
        ("-1", ()),
        ("2,-1,3", ("2",)),
    ],
)
def test_the_variable_says_which_devices_a_process_sees(tmp_path: Path, named: str, devices: tuple[str, ...]) -> None:
    """What it names counts, whatever the machine has; an impossible number ends the list."""
    (tmp_path / "nvidia0").touch()

    assert visible_devices({"CUDA_VISIBLE_DEVICES": named}, tmp_path) == devices


def test_without_the_variable_all_devices_of_the_machine_count(tmp_path: Path) -> None:
    """Each is a numbered file; a container may have been given the third alone, which is its first."""
    for name in ("nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()

    assert visible_devices({}, tmp_path) == ("0",)
    assert visible_devices({}, tmp_path / "nothing") == ()

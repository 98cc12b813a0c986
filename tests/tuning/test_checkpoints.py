"""A checkpoint that a kill cut off is told from a whole one by its files alone."""

import json
import struct
import zipfile
from pathlib import Path

import pytest

from pytest_llmbench.tuning.checkpoints import checkpoints, damaged, newest_whole, remove


def write_checkpoint(folder: Path, step: int) -> Path:
    place = folder / f"checkpoint-{step}"
    place.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (place / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with zipfile.ZipFile(place / "optimizer.pt", "w") as archive:
        archive.writestr("data", "x" * 100)
    (place / "trainer_state.json").write_text("{}")
    return place


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "optimizer.pt", "trainer_state.json"])
def test_a_checkpoint_that_was_cut_off_is_passed_over(file: str, tmp_path: Path) -> None:
    """Whichever of its files ends too soon, the one before is the newest that loads."""
    write_checkpoint(tmp_path, 8)
    write_checkpoint(tmp_path, 9)
    newest = write_checkpoint(tmp_path, 10)
    assert newest_whole(tmp_path) == newest

    if file == "trainer_state.json":
        (newest / file).unlink()
    else:
        cut(newest / file)

    assert newest_whole(tmp_path) == tmp_path / "checkpoint-9"
    assert list(damaged(tmp_path)) == [newest]


def test_a_header_that_was_cut_off(tmp_path: Path) -> None:
    """Where not even the list of tensors is whole."""
    place = write_checkpoint(tmp_path, 1)
    path = place / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:6])

    assert newest_whole(tmp_path) is None


def test_checkpoints_are_removed_when_a_stage_is_finished(tmp_path: Path) -> None:
    """Other folders stay."""
    write_checkpoint(tmp_path, 2)
    (tmp_path / "checkpoint-best").mkdir()

    remove(tmp_path)

    assert checkpoints(tmp_path) == []
    assert (tmp_path / "checkpoint-best").is_dir()

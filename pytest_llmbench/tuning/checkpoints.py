"""Checkpoints of a trainer: which is the newest that a kill did not cut off."""

import json
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

STATE = "trainer_state.json"


def newest_whole(folder: Path) -> Path | None:
    """Give the newest checkpoint that can be loaded; None if there is none."""
    return next((found for found in checkpoints(folder) if is_whole(found)), None)


def checkpoints(folder: Path) -> list[Path]:
    """Give the checkpoints of a stage, the newest first."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.partition("-")[2].isdecimal()]
    return sorted(found, key=lambda path: -int(path.name.partition("-")[2]))


def is_whole(checkpoint: Path) -> bool:
    """Tell whether every file of a checkpoint has the length that it states itself.

    A trainer writes its state last, and every other file has an end that a cut takes away: the list of a zip
    archive, or the tensors that a header of safetensors announces.
    """
    try:
        json.loads((checkpoint / STATE).read_bytes())
        return all(_is_whole(file) for file in checkpoint.rglob("*") if file.is_file())
    except (OSError, ValueError):
        return False


def _is_whole(file: Path) -> bool:
    if file.suffix == ".safetensors":
        return file.stat().st_size == _announced(file)
    if file.suffix in (".pt", ".pth", ".bin"):
        return zipfile.is_zipfile(file)
    return True


def _announced(file: Path) -> int:
    """Give the size of a safetensors file by its header."""
    with file.open("rb") as opened:
        head = opened.read(8)
        if len(head) < 8:
            return -1
        (length,) = struct.unpack("<Q", head)
        if length > file.stat().st_size:
            return -1
        header = json.loads(opened.read(length))
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    return 8 + int(length) + max(ends, default=0)


def remove(folder: Path) -> None:
    """Remove all checkpoints of a stage that is finished."""
    for checkpoint in checkpoints(folder):
        shutil.rmtree(checkpoint, ignore_errors=True)


def damaged(folder: Path) -> Iterator[Path]:
    """Give the checkpoints that were cut off."""
    return (found for found in checkpoints(folder) if not is_whole(found))

"""What tests of several rooms share."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

WriteAnswers = Callable[[str, Sequence[Mapping[str, object]]], Path]


@pytest.fixture
def write_answers(tmp_path: Path) -> WriteAnswers:
    """Write a file of recorded answers below the test's folder."""

    def write(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write

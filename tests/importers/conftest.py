from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.cli import main

PEERS = Path(__file__).parent.parent / "peers"


@pytest.fixture
def import_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str]]]:
    """Run `llmbench import` on a source, to `cases/s.yaml` below `tmp_path`; gives the status and the lines printed."""

    def run(source: Path, *options: str) -> tuple[int, list[str]]:
        status = main(["import", str(source), "-o", str(tmp_path / "cases" / "s.yaml"), *options])
        captured = capsys.readouterr()
        return status, (captured.out + captured.err).replace(str(tmp_path), "TMP").splitlines()

    return run

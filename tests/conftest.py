"""What tests of several rooms share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

WriteAnswers = Callable[[str, Sequence[Mapping[str, object]]], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A text that a model may answer, and what it would do where it is not taken for a text."""

    name: str
    text: str
    acts: str


def _read_payloads() -> tuple[Payload, ...]:
    found = json.loads((Path(__file__).parent / "data" / "payloads.json").read_bytes())
    return tuple(
        Payload(name=entry["name"], text=entry["text"] * entry.get("times", 1), acts=entry["acts"]) for entry in found
    )


_PAYLOADS = _read_payloads()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes a `payload` once for each."""
    if "payload" in metafunc.fixturenames:
        metafunc.parametrize("payload", _PAYLOADS, ids=[payload.name for payload in _PAYLOADS])


@pytest.fixture(scope="session")
def payloads() -> tuple[Payload, ...]:
    """Give all texts that try to act: tests/data/payloads.json."""
    return _PAYLOADS


@pytest.fixture
def write_answers(tmp_path: Path) -> WriteAnswers:
    """Write a file of recorded answers below the test's folder."""

    def write(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write

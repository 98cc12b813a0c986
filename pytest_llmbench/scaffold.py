"""Put a first suite, a models file and a CI workflow into a project."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

_TARGETS = {
    "capitals.yaml": "cases/capitals.yaml",
    "models.toml": "fixtures/models.toml",
    "example.jsonl": "fixtures/answers/example.jsonl",
    "llmbench.yml": ".github/workflows/llmbench.yml",
}
"""Template in the package, and where it goes below the project."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaffold:
    """The files written, and those that were there already and were kept as they are."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def scaffold(root: Path) -> Scaffold:
    """Write the files that are not there yet.

    Raises:
        OSError: a folder or file cannot be written.
    """
    written, kept = [], []
    for template, target in _TARGETS.items():
        path = root / target
        if path.exists():
            kept.append(Path(target))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            files("pytest_llmbench").joinpath("templates", template).read_text(encoding="utf-8"), encoding="utf-8"
        )
        written.append(Path(target))
    return Scaffold(written=tuple(written), kept=tuple(kept))

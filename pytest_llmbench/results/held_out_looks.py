"""How often the held-out side of a suite was looked at: one line a trained model that was gated on it.

Each look that a choice follows from spends the held-out side a little: of six adapters the best is partly the luckiest.
"""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_llmbench.results.records import Record

MOST = 5
"""More models than this, trained on the same cases, and the gate says so."""


def data_digest(trained: Iterable[Record]) -> str:
    """Name what models were trained on, by the digests of its cases: other settings on the same cases are one name."""
    return hashlib.sha256("\n".join(sorted(record.case_sha256 for record in trained)).encode()).hexdigest()


def count_looks(file: Path, suite: str, data: str, manifest: str) -> int:
    """Note a look, and give how many models that were trained on the same cases were looked at; again is no other look.

    Args:
        file: JSON lines; one that cannot be read or written counts for nothing.
        suite: whose held-out side was looked at.
        data: what the model was trained on.
        manifest: the digest of the model's manifest.
    """
    text = _text(file)
    seen = {found["manifest"] for found in _lines(text) if (found["suite"], found["data"]) == (suite, data)}
    if manifest not in seen:
        # a line that a crash cut off must not take this one with it
        before = "" if text.endswith("\n") or not text else "\n"
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as opened:
                opened.write(before + json.dumps({"suite": suite, "data": data, "manifest": manifest}) + "\n")
    return len(seen | {manifest})


def _text(file: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text(encoding="utf-8")
    return ""


def _lines(text: str) -> list[dict[str, Any]]:
    """Read the looks; a line that was cut off is none."""
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        with suppress(ValueError, RecursionError):
            look = json.loads(line)
            if isinstance(look, dict) and {"suite", "data", "manifest"} <= look.keys():
                found.append(look)
    return found

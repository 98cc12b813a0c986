"""`llmbench_training.json`: what an adapter was trained on, written last and whole beside its weights.

The guard of the gate reads it (`models/training_manifest.py`); an adapter without one is simply unknown.
"""

import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.models.training_manifest import FILE, SCHEMA, manifest_beside, sealed
from pytest_llmbench.models.transformers.files import LocalFiles, weights_digest
from pytest_llmbench.tuning.stage_rows import CaseKey

LIBRARIES = ("trl", "transformers", "peft", "torch")

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseFacts:
    """The base in a manifest: its name, its weights and its template, as in the identity of a run."""

    model: str
    weights: str
    template_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """What a stage adds to a manifest: its facts, and the cases and prompts it was trained on."""

    stage: Mapping[str, Any]
    cases: Mapping[str, Mapping[str, CaseKey]]
    foreign: frozenset[str]
    split: Mapping[str, Mapping[str, Any]]


def make_manifest(
    folder: Path,
    trained: TrainedOn,
    *,
    base: BaseFacts,
    parent: bytes | None,
    recipe: tuple[Mapping[str, Any], str],
    cache_dir: Path,
) -> str:
    """Make the text of a manifest. Cases of the parent are merged in, so that a chain loses none.

    Args:
        folder: with the weights.
        trained: what the stage added.
        base: what was trained.
        parent: the manifest of the adapter that was continued.
        recipe: its content and its text.
        cache_dir: where hashes are remembered.
    """
    before: Manifest = {} if parent is None else json.loads(parent)
    content = {
        "schema": SCHEMA,
        "made_by": f"pytest-llmbench {importlib.metadata.version('pytest-llmbench')}",
        "base": {"model": base.model, "weights": base.weights, "template_sha256": base.template_sha256},
        "parents": [] if parent is None else [hashlib.sha256(parent).hexdigest()],
        "weights": weights_digest(LocalFiles(path=folder), cache_dir),
        "recipe_sha256": hashlib.sha256(recipe[1].encode()).hexdigest(),
        "recipe": recipe[0],
        "stages": [*before.get("stages", ()), dict(trained.stage)],
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "split": {**before.get("split", {}), **trained.split},
        "cases": _merged(before.get("cases", {}), trained.cases),
        "foreign": sorted({*before.get("foreign", ()), *trained.foreign}),
    }
    return text_of(content)


def text_of(content: Manifest) -> str:
    """Write a manifest, with the digest that shows later whether it was edited."""
    return json.dumps(sealed(content), indent=1, ensure_ascii=False) + "\n"


def _merged(before: Mapping[str, Any], now: Mapping[str, Mapping[str, CaseKey]]) -> dict[str, dict[str, list[Any]]]:
    found: dict[str, dict[str, list[Any]]] = {}
    for part in (before, now):
        for suite, cases in part.items():
            found.setdefault(suite, {}).update({case: list(key) for case, key in cases.items()})
    return {suite: dict(sorted(cases.items())) for suite, cases in sorted(found.items())}


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def read_checked(folder: Path, cache_dir: Path) -> Manifest | None:
    """Read the manifest of a folder; None where there is none.

    Raises:
        UsageFault: it is damaged, or was edited.
        ModelFault: it belongs to other weights.
    """
    found = manifest_beside(folder)
    if found is None:
        return None
    found.check_weights(folder, cache_dir)
    content: Manifest = json.loads((folder / FILE).read_bytes())
    return content


def is_finished(folder: Path, cache_dir: Path) -> bool:
    """Tell whether a stage's folder has its weights and the manifest that was written for them.

    Raises:
        UsageFault: its manifest is damaged, or was edited.
        ModelFault: its manifest belongs to other weights.
    """
    return read_checked(folder, cache_dir) is not None


def files_of_result(folder: Path) -> Iterable[Path]:
    """Give the files of a stage's folder that belong to its result, the manifest last."""
    own = {"data.jsonl", "stage.json", "log.txt", "stop", "training_args.bin", FILE}
    yield from sorted(path for path in folder.iterdir() if path.is_file() and path.name not in own)
    yield folder / FILE

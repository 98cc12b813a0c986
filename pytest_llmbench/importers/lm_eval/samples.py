"""Read the samples that lm-evaluation-harness logs (`--log_samples`) as suites with their recorded answers.

The task is frozen as it was run, and nothing of it is executed: the prompts are those that were sent, byte for byte,
with their shots.
Source: lm_eval 0.4.13, `loggers/evaluation_tracker.py`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmbench.importers.base import Imported, Place, SourceFault, not_json
from pytest_llmbench.importers.lm_eval import choices, generation
from pytest_llmbench.importers.lm_eval.task import CHOICES, TOOL, Row, Task, faults
from pytest_llmbench.importers.shapes import Document, Results, read_as
from pytest_llmbench.importers.source import Folder
from pytest_llmbench.values import Json

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<stamp>\d{4}-\d{2}-\d{2}T[\d.:-]+)\.jsonl")


def samples_file(path: Path) -> Path | None:
    """Give the log of samples that a path names: itself, or the only one of a folder; None if there is none."""
    if path.is_dir():
        found = [one for one in path.iterdir() if _SAMPLES.fullmatch(one.name)]
        return found[0] if len(found) == 1 else None
    return path if _SAMPLES.fullmatch(path.name) else None


def read(file: Path, folder: Folder) -> Imported:
    """Read a log of samples; the results of the run lie beside it.

    Raises:
        SourceFault: its results are missing, or it is broken.
    """
    named = _SAMPLES.fullmatch(file.name)
    name = named["task"] if named else ""
    results = file.with_name(f"results_{named['stamp'] if named else ''}.json")
    if not results.is_file():
        raise SourceFault(f"{file}: the results of its run are not beside it; there is no {results.name}.")
    run = read_as(Results, _parsed(folder.text(results), results, 1), results, TOOL)
    config = run["configs"].get(name)
    if config is None:
        raise SourceFault(f"{results}: it has no task {name}.")
    rows = [
        Row(
            place=Place(path=file, line=number),
            document=read_as(Document, _parsed(line, file, number), file, TOOL, number),
        )
        for number, line in enumerate(folder.text(file).split("\n"), start=1)
        if line.strip()
    ]
    rows.sort(key=lambda row: int(row.document["doc_id"]))
    task = Task(name=name, config=config, place=_Nowhere(results))
    unmapped = list(faults(task))
    made = choices if config["output_type"] == CHOICES else generation
    suites = [] if unmapped else made.suites_of(task, rows, _about(run, name))
    return Imported(suites=suites, files=(file,), unmapped=unmapped)


class _Nowhere:
    """The results of a run, whose JSON has no lines worth naming."""

    def __init__(self, path: Path):
        self._place = Place(path=path)

    def __call__(self, *steps: str | int) -> Place:
        del steps
        return self._place


def _parsed(text: str, path: Path, line: int) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise SourceFault(f"{path}:{line}: {not_json(fault)}.") from None
    if not isinstance(found, dict):
        raise SourceFault(f"{path}:{line}: this is no log of {TOOL}.")
    return found


def _about(run: Mapping[str, Any], task: str) -> dict[str, Json]:
    seed = (run.get("config") or {}).get("fewshot_seed")
    shots: dict[str, Json] = {"n": (run.get("n-shot") or {}).get(task)}
    return {
        "version": str((run.get("versions") or {}).get(task, "")),
        "lm_eval": str(run.get("lm_eval_version") or ""),
        "shots": shots | ({} if seed is None else {"seed": seed}) | {"frozen": True},
        "model": str(run.get("model_name") or ""),
        "chat_template": run.get("chat_template_sha"),
    }

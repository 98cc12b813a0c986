"""`llmbench tune`, one stage after the other: planned, trained or kept, and written down."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import LlmbenchError, UsageFault
from pytest_llmbench.models.training_manifest import FILE
from pytest_llmbench.tuning.base_model import BaseModel
from pytest_llmbench.tuning.checkpoints import remove
from pytest_llmbench.tuning.child import Event, Show, StageEnd, run_stage
from pytest_llmbench.tuning.kinds import KINDS
from pytest_llmbench.tuning.launch import command_of
from pytest_llmbench.tuning.manifest_file import (
    BaseFacts,
    TrainedOn,
    files_of_result,
    is_finished,
    make_manifest,
    write_whole,
)
from pytest_llmbench.tuning.plan import StagePlan
from pytest_llmbench.tuning.recipe import Recipe
from pytest_llmbench.tuning.stage.job import DATA, LoraJob, StageJob, load_job
from pytest_llmbench.tuning.stage.job import FILE as JOB
from pytest_llmbench.tuning.stage_rows import StageRows


class TrainingFault(LlmbenchError):
    """A stage failed; what was trained until then is kept."""


class TrainingStopped(LlmbenchError):
    """A stage was stopped on request, and wrote a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """All that a recipe comes to, before the first weight is loaded.

    `splits` are those of its suites, as the manifest has them; `output` and `root` are absolute.
    """

    recipe: Recipe
    text: str
    base: BaseModel
    plans: tuple[StagePlan, ...]
    rows: tuple[StageRows, ...]
    splits: Mapping[str, Mapping[str, Any]]
    output: Path
    root: Path
    cache_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What is shown while stages train: `line` a lasting one, `event` the progress of stage `name`."""

    line: Callable[[str], None]
    event: Callable[[str, Event], None]


def run(tuning: Tuning, voice: Voice, *, is_restart: bool = False, kept_open: Sequence[int] = ()) -> Path:
    """Train the stages that are not finished; gives the folder of the result.

    Args:
        tuning: the whole.
        voice: what is shown meanwhile.
        is_restart: remove the stages from the first one on that is of another recipe; where none is, all.
        kept_open: files that each stage keeps open.

    Raises:
        UsageFault: what is there was made by another recipe, or a check before the first step failed.
        TrainingFault: a stage failed.
        TrainingStopped: a stage was stopped.
    """
    places = _places(tuning)
    if is_restart:
        _remove_changed(tuning, places)
    foreign = sorted({path.name for path in _stage_folders(tuning.output)} - {plan.name for plan in tuning.plans})
    if foreign:
        raise UsageFault(_of_another_recipe(tuning.output / foreign[0], "the stages"))
    for place in places:
        if is_kept(place.folder, place.job, tuning.cache_dir):
            voice.line(f"{place.plan.name}: finished before, kept")
        else:
            _train(tuning, place, voice, kept_open)
    _copy_result(_result_of(places), tuning.output)
    return tuning.output


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A stage with its folder and its job; `parent` is the folder of the adapter that it continues."""

    plan: StagePlan
    rows: StageRows
    folder: Path
    parent: Path | None
    job: StageJob


def _places(tuning: Tuning) -> tuple[_Place, ...]:
    """Chain the stages: each continues the last one whose result answers."""
    adapter, reward = tuning.base.adapter, None
    places = []
    for plan, rows in zip(tuning.plans, tuning.rows, strict=True):
        folder = tuning.output / plan.name
        job = job_of(tuning, plan, rows, adapter, reward)
        places.append(_Place(plan=plan, rows=rows, folder=folder, parent=adapter, job=job))
        if KINDS[plan.stage.kind].is_model:
            adapter = folder
        else:
            reward = folder
    return tuple(places)


def _result_of(places: Sequence[_Place]) -> Path:
    return next(place.folder for place in reversed(places) if KINDS[place.plan.stage.kind].is_model)


def _stage_folders(output: Path) -> list[Path]:
    return sorted(path for path in output.glob("[0-9][0-9]-*") if (path / JOB).is_file())


def _remove_changed(tuning: Tuning, places: Sequence[_Place]) -> None:
    """Remove the folders from the first stage on that is of another recipe; where none is, all."""
    same = [place.folder for place in takewhile(lambda place: _is_same(place.folder, place.job), places)]
    there = _stage_folders(tuning.output)
    kept = set() if same == there else set(same)
    for folder in there:
        if folder not in kept:
            shutil.rmtree(folder)


def job_of(tuning: Tuning, plan: StagePlan, rows: StageRows, adapter: Path | None, reward: Path | None) -> StageJob:
    """Make the job of a stage.

    Args:
        tuning: the whole.
        plan: of the stage.
        rows: of the stage.
        adapter: the folder of the one it continues.
        reward: the folder of the last stage `reward`.
    """
    recipe, stage = tuning.recipe, plan.stage
    facts = KINDS[stage.kind]
    lora = recipe.lora
    has_adapter = lora is not None and facts.is_model and adapter is not None
    base = str(adapter) if lora is None and facts.is_model and adapter is not None else str(tuning.base.folder)
    return StageJob(
        kind=stage.kind,
        base=base,
        weights=tuning.base.weights,
        adapter=str(adapter) if has_adapter else None,
        rows=len(rows.rows),
        data_sha256=rows.sha256,
        lora=None if lora is None else LoraJob(r=lora.r, alpha=lora.alpha, dropout=lora.dropout, targets=lora.targets),
        quantization=None if lora is None else lora.quantization,
        arguments=plan.arguments,
        rewards=stage.weights if facts.samples else {},
        reward_model=str(reward) if "model" in stage.weights and reward is not None else None,
        suites=tuple(str(tuning.root / path) for path in recipe.data.suites) if facts.samples else (),
        shadow=tuple(str(tuning.root / path) for path in recipe.shadow) if facts.samples else (),
        takes_unsplit=recipe.data.split == "all",
        root=str(tuning.root),
        min_mixed=stage.min_mixed if facts.samples else 0.0,
    )


def is_kept(folder: Path, job: StageJob, cache_dir: Path) -> bool:
    """Tell whether a stage is finished; one that is not goes on from its newest checkpoint.

    Raises:
        UsageFault: its folder is of another recipe.
    """
    if not (folder / JOB).is_file():
        return False
    if not _is_same(folder, job):
        raise UsageFault(_of_another_recipe(folder, _changed(folder, job)))
    return is_finished(folder, cache_dir)


def _is_same(folder: Path, job: StageJob) -> bool:
    before = _content(folder)
    return before is not None and before == job.content()


def _content(folder: Path) -> Mapping[str, Any] | None:
    """Read what decides about the result of a stage; None where there is no stage that can be read."""
    try:
        return load_job(folder).content()
    except UsageFault:
        return None


def _of_another_recipe(folder: Path, changed: str) -> str:
    return (
        f"{folder} is of another recipe: {changed} changed since; train anew from there with --restart, which removes "
        "what is there, or name another output."
    )


def _changed(folder: Path, job: StageJob) -> str:
    """Name what has changed since a stage was begun."""
    before, now = _content(folder), job.content()
    if before is None:
        return JOB
    for old, new in ((before["arguments"], now["arguments"]), (before, now)):
        names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
        if names:
            return ", ".join(sorted(names))
    return JOB


def _train(tuning: Tuning, place: _Place, voice: Voice, kept_open: Sequence[int]) -> None:
    """Train one stage, and write down what it was trained on."""
    folder, plan = place.folder, place.plan
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / DATA, place.rows.text)
    write_whole(folder / JOB, place.job.text())
    command = command_of(folder / JOB, tuning.recipe.launch, plan.division.accumulation, tuning.root)
    show = Show(
        event=lambda event: voice.event(plan.name, event),
        stopping=lambda: voice.line(f"{plan.name}: stopping after this step, with a checkpoint; Ctrl-C again: at once"),
        kept_open=kept_open,
    )
    end = run_stage(command, folder, show, tuning.root)
    _refuse_unfinished(end, plan.name)
    write_whole(folder / FILE, _manifest(tuning, place, end.facts or {}))
    remove(folder)


def _manifest(tuning: Tuning, place: _Place, end: Event) -> str:
    trained = TrainedOn(
        stage=_facts(place.plan, place.rows, end, tuning.recipe.seed),
        cases=place.rows.cases,
        foreign=place.rows.foreign,
        split=tuning.splits,
    )
    base = tuning.base
    return make_manifest(
        place.folder,
        trained,
        base=BaseFacts(model=base.entry.model, weights=base.weights, template_sha256=base.template_sha256),
        parent=None if place.parent is None else _manifest_of(place.parent),
        recipe=(tuning.recipe.model_dump(mode="json", exclude_unset=True), tuning.text),
        cache_dir=tuning.cache_dir,
    )


def _refuse_unfinished(end: StageEnd, name: str) -> None:
    if end.fault is not None:
        raise (UsageFault if end.is_usage else TrainingFault)(f"{name}: {end.fault}")
    if end.was_stopped:
        raise TrainingStopped(f"{name}: stopped; the same command goes on from its newest checkpoint.")


def _facts(plan: StagePlan, rows: StageRows, end: Event, seed: int) -> dict[str, Any]:
    return {
        "kind": str(plan.stage.kind),
        "rows": len(rows.rows),
        "steps": end.get("steps"),
        "tokens": end.get("tokens"),
        "seed": seed,
        "data_sha256": rows.sha256,
        "trained_tokens": end.get("trained_tokens"),
        "final": end.get("final", {}),
    }


def _manifest_of(folder: Path) -> bytes | None:
    path = folder / FILE
    return path.read_bytes() if path.is_file() else None


def _copy_result(folder: Path, output: Path) -> None:
    """Put the last stage's result to the output, its manifest last: until then it is unknown, not wrong."""
    (output / FILE).unlink(missing_ok=True)
    for path in files_of_result(folder):
        part = output / f"{path.name}.part"
        part.unlink(missing_ok=True)
        try:
            os.link(path, part)  # a whole model is large
        except OSError:
            shutil.copyfile(path, part)
        part.replace(output / path.name)

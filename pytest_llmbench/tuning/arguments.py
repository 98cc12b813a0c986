"""From a recipe's stage to the arguments of TRL's trainer: what is ours to set, what is the recipe's, and the rest."""

import ast
import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.tuning.kinds import KINDS, StageKind
from pytest_llmbench.tuning.recipe import Recipe, StageKeys

PASS_TOKENS = 2048
"""Tokens that one device computes at once, at most, unless a row is longer: what is over is accumulated."""

CHECKPOINTS = 8
"""Checkpoints a stage writes, about: what a kill may cost is an eighth of it."""

MOST_SAVE_STEPS = 50

OURS: Mapping[str, str] = {
    "output_dir": "output",
    "max_steps": "steps",
    "num_train_epochs": "epochs",
    "learning_rate": "learning_rate",
    "per_device_train_batch_size": "batch",
    "gradient_accumulation_steps": "batch",
    "generation_batch_size": "batch",
    "max_length": "max_length",
    "num_generations": "generations",
    "max_completion_length": "max_tokens",
    "reward_weights": "rewards",
    "seed": "seed",
    "data_seed": "seed",
}
"""Arguments that a key of the recipe sets, with that key."""

FIXED = frozenset(
    {
        "packing",
        "completion_only_loss",
        "assistant_only_loss",
        "remove_unused_columns",
        "fp16",
        "logging_nan_inf_filter",
    }
    | {"disable_tqdm", "logging_steps", "dataloader_num_workers", "resume_from_checkpoint", "push_to_hub"}
)
"""Arguments without which the checks before the first step, or resuming, would not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """How a batch is divided: sequences a device computes at once, and how often before a step."""

    per_device: int
    accumulation: int


def divide(batch: int, processes: int, longest: int, *, least: int = 1) -> Division | None:
    """Divide a batch among processes and passes; None if it does not divide by the processes.

    Args:
        batch: sequences a step.
        processes: that share it.
        longest: tokens of the longest sequence.
        least: sequences that a device needs at once, where the batch has as many.
    """
    if batch % processes:
        return None
    share = batch // processes
    parts = [part for part in range(min(least, share), share + 1) if share % part == 0]
    per_device = max((part for part in parts if part * longest <= PASS_TOKENS), default=parts[0])
    return Division(per_device=per_device, accumulation=share // per_device)


def steps_of(stage: StageKeys, rows: int) -> int:
    """Count the optimiser steps of a stage; for one that samples, a row is answered `generations` times."""
    if stage.steps is not None:
        return stage.steps
    sequences = rows * (stage.generations if KINDS[stage.kind].samples else 1)
    per_epoch = max(1, -(-sequences // stage.batch_size))
    return max(1, int(-(-per_epoch * (stage.epochs or 1.0) // 1)))


def arguments_of(
    stage: StageKeys, recipe: Recipe, division: Division, *, rows: int, max_length: int, max_tokens: int
) -> dict[str, Any]:
    """Give the arguments that do not depend on the device, those of the recipe's `trl` last.

    Args:
        stage: of the recipe.
        recipe: the whole, for its seed and whether an adapter is trained.
        division: of the stage's batch.
        rows: of its data.
        max_length: tokens of a sequence, for stages that do not sample.
        max_tokens: tokens of a sampled answer.
    """
    facts = KINDS[stage.kind]
    steps = steps_of(stage, rows)
    found: dict[str, Any] = {
        "learning_rate": stage.rate(has_lora=recipe.lora is not None),
        "per_device_train_batch_size": division.per_device,
        "gradient_accumulation_steps": division.accumulation,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "report_to": "none",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": max(1, min(MOST_SAVE_STEPS, steps // CHECKPOINTS)),
        "save_total_limit": 2,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "linear",
        "remove_unused_columns": False,
        "dataloader_num_workers": 0,
        "disable_tqdm": True,
        **facts.settings,
    }
    if stage.steps is None:
        found["num_train_epochs"] = stage.epochs or 1.0
    else:
        found["max_steps"] = stage.steps
    if stage.kind is StageKind.SFT:
        found |= {"packing": False, "completion_only_loss": True}
    if facts.samples:
        found |= {
            "num_generations": stage.generations,
            "max_completion_length": max_tokens,
            "temperature": 1.0,
        }
    else:
        found["max_length"] = max_length
    return found | stage.trl


def refused_argument(stage: StageKeys) -> tuple[str, str] | None:
    """Give an argument in a stage's `trl` that cannot stand there, with the reason; None if there is none."""
    known = set(_fields(KINDS[stage.kind].module))
    for name in stage.trl:
        if name in OURS:
            return name, f'it is set by the key "{OURS[name]}"; use that'
        if name in FIXED:
            return name, "the checks before the first step need it as it is; leave it out"
        if known and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            trainer = f"TRL's {KINDS[stage.kind].trainer}Config"
            return name, f"{trainer} has no such argument" + (f'; did you mean "{near[0]}"?' if near else "")
    return None


def _fields(module: str) -> Iterator[str]:
    """Name the arguments of a configuration, read from its source: importing it would load torch."""
    yield from _annotated("trl", "trainer", f"{module}.py")
    yield from _annotated("trl", "trainer", "base_config.py")
    yield from _annotated("transformers", "training_args.py")


def _annotated(package: str, *parts: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return
    path = Path(next(iter(spec.submodule_search_locations))).joinpath(*parts)
    if not path.is_file():
        return
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Config", "TrainingArguments")):
            for entry in node.body:
                if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
                    yield entry.target.id

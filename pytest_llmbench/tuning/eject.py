"""`llmbench tune --eject`: the data, TRL's own configuration and its command lines, for those who go on without us.

What is lost by it: the checks before the first step, one adapter through several stages, resuming by the same command,
and the manifest, without which the gate knows of no case that was trained on.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.tuning.kinds import KINDS, StageKind
from pytest_llmbench.tuning.launch import configuration
from pytest_llmbench.tuning.prepare import Prepared
from pytest_llmbench.tuning.recipe import Recipe

COLUMNS: Mapping[StageKind, tuple[str, ...]] = {
    StageKind.SFT: ("prompt", "completion"),
    StageKind.DPO: ("prompt", "chosen", "rejected"),
    StageKind.KTO: ("prompt", "completion", "label"),
    StageKind.REWARD: ("chosen", "rejected"),
    StageKind.GRPO: ("prompt", "suite", "case_id"),
    StageKind.RLOO: ("prompt", "suite", "case_id"),
}
"""The columns of a stage's rows that TRL reads, or hands on to rewards."""

REWARDS = "pytest_llmbench.tuning.rewards"
_NOT_THEIRS = frozenset({"remove_unused_columns", "disable_tqdm", "logging_nan_inf_filter"})
"""Arguments that only our stage needs."""


def eject(prepared: Prepared, folder: Path, root: Path) -> Iterator[str]:
    """Write the stages; gives what is printed.

    Raises:
        UsageFault: the folder has something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageFault(f"{folder} is not empty; name a new folder.")
    recipe = prepared.recipe
    script = ["#!/bin/sh", "set -e", 'cd "$(dirname "$0")"']
    sampling = any(KINDS[plan.stage.kind].samples for plan in prepared.plans)
    if sampling:
        suites = ":".join(str((root / path).resolve()) for path in recipe.data.suites)
        script.append(f"export LLMBENCH_SUITES={shlex.quote(suites)} LLMBENCH_ROOT={shlex.quote(str(root))}")
    for number, (plan, rows) in enumerate(zip(prepared.plans, prepared.rows, strict=True)):
        place = folder / plan.name
        place.mkdir(parents=True)
        (place / "data.jsonl").write_text(rows.text, encoding="utf-8")
        base = recipe.model if prepared.base is None else str(prepared.base.folder)
        settings = _settings(prepared, number, base)
        text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
        (place / "trl.yaml").write_text(text, encoding="utf-8")
        if number:
            script.append(
                f"# {plan.name}: trl starts from no adapter; merge the one before, and name it in its trl.yaml"
            )
        script.append(f"trl {plan.stage.kind} --config {plan.name}/trl.yaml{_launch(recipe, root)}")
    (folder / "run.sh").write_text("\n".join(script) + "\n", encoding="utf-8")
    yield f"wrote {len(prepared.plans)} stages to {folder}; run.sh has their command lines:"
    yield from (f"    {line}" for line in script[3:])


def _settings(prepared: Prepared, number: int, base: str) -> dict[str, Any]:
    recipe, plan = prepared.recipe, prepared.plans[number]
    kind, lora = plan.stage.kind, recipe.lora
    data = {"path": "json", "data_files": f"{plan.name}/data.jsonl", "columns": list(COLUMNS[kind])}
    found: dict[str, Any] = {
        "model_name_or_path": base,
        "datasets": [data],
        "output_dir": f"{plan.name}/output",
        **{name: value for name, value in plan.arguments.items() if name not in _NOT_THEIRS},
    }
    if lora is not None:
        found |= {
            "use_peft": True,
            "lora_r": lora.r,
            "lora_alpha": lora.alpha,
            "lora_dropout": lora.dropout,
            "lora_target_modules": list(lora.targets),
            "load_in_4bit": lora.quantization == "int4",
        }
        if kind is StageKind.REWARD:
            found["lora_task_type"] = "SEQ_CLS"
    if KINDS[kind].samples:
        weights = {name: weight for name, weight in plan.stage.weights.items() if name != "model"}
        found |= {"reward_funcs": [f"{REWARDS}.{name}" for name in weights], "reward_weights": list(weights.values())}
    if not prepared.machine.gpus and recipe.launch is None:
        found |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
    return found


def _launch(recipe: Recipe, root: Path) -> str:
    if recipe.launch is None:
        return ""
    file = shlex.quote(str(configuration(recipe.launch, root)))
    return f" --accelerate_config {file} --num_processes {recipe.launch.processes}"

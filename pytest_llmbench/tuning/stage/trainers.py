"""TRL's trainers, made from a job: one configuration, one network, one set of rows."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_llmbench.tuning.kinds import KINDS, StageKind
from pytest_llmbench.tuning.stage.job import StageJob
from pytest_llmbench.tuning.stage.network import load_network, load_reward_model

ON_A_CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
ON_A_GPU = {"bf16": True, "gradient_checkpointing": True}
"""What TRL has by default for GPUs is on for CPUs too, where it costs much and gains nothing."""


def make_arguments(job: StageJob, folder: Path, weights: Sequence[float]) -> Any:
    """Make the trainer's configuration, with what depends on the device.

    Args:
        job: of the stage.
        folder: of the stage.
        weights: of its rewards; empty where answers are not rewarded.
    """
    import torch
    import trl

    config = getattr(trl, f"{KINDS[job.kind].trainer}Config")
    device = ON_A_GPU if torch.cuda.is_available() else ON_A_CPU
    known = {field.name for field in dataclasses.fields(config)}
    given = {**{name: value for name, value in device.items() if name in known}, **job.arguments}
    rewarded = {"reward_weights": list(weights)} if weights else {}
    return config(output_dir=str(folder), **given, **rewarded)


def make_trainer(
    job: StageJob,
    arguments: Any,
    *,
    rows: Sequence[dict[str, Any]],
    tokenizer: Any,
    rewards: Sequence[Any],
    callbacks: Sequence[Any],
) -> Any:
    """Make the trainer of a job; the network is loaded here, after the arguments."""
    import trl
    from datasets import Dataset

    network, adapter = load_network(job, tokenizer)
    common: dict[str, Any] = {
        "args": arguments,
        "train_dataset": Dataset.from_list(list(rows)),
        "processing_class": tokenizer,
        "peft_config": adapter,
        "callbacks": list(callbacks),
    }
    if KINDS[job.kind].samples:
        common["reward_funcs"] = [*rewards, *_reward_models(job, tokenizer)]
    trainer = getattr(trl, f"{KINDS[job.kind].trainer}Trainer")(network, **common)
    _silence(trainer)
    return trainer


def _reward_models(job: StageJob, tokenizer: Any) -> list[Any]:
    return [load_reward_model(job, tokenizer)] if job.reward_model is not None else []


def _silence(trainer: Any) -> None:
    """Take off what prints each log to stdout."""
    from transformers import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)


def trained_rows(trainer: Any, kind: StageKind) -> list[tuple[list[int], list[list[int]]]]:
    """Give the prompt's tokens and the answers' of each row, as the trainer prepared them.

    Only for stages whose rows are tokenized before they begin, and whose prompts are kept apart.
    """
    found = []
    for row in trainer.train_dataset:
        if kind is StageKind.SFT:
            learnt = [place for place, label in enumerate(row["labels"]) if label != -100]
            begin = learnt[0] if learnt else len(row["labels"])
            found.append((list(row["input_ids"][:begin]), [list(row["input_ids"][begin:])]))
        elif kind is StageKind.DPO:
            found.append((list(row["prompt_ids"]), [list(row["chosen_ids"]), list(row["rejected_ids"])]))
        elif kind is StageKind.KTO:
            found.append((list(row["prompt_ids"]), [list(row["completion_ids"])]))
    return found

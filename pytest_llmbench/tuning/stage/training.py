"""One stage from its folder to its adapter: load, check, train, save."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.models.transformers.model import tokens_of
from pytest_llmbench.tuning.checkpoints import damaged, newest_whole
from pytest_llmbench.tuning.kinds import KINDS, StageKind
from pytest_llmbench.tuning.stage.checks import (
    check_answers,
    check_prompts,
    check_row_count,
    check_trainable,
    sampled,
)
from pytest_llmbench.tuning.stage.graders import Graders
from pytest_llmbench.tuning.stage.job import STOP, StageJob, load_job, load_rows
from pytest_llmbench.tuning.stage.network import end_tokens, load_tokenizer
from pytest_llmbench.tuning.stage.prompts import prompt_of, text_of
from pytest_llmbench.tuning.stage.trainers import make_arguments, make_trainer, trained_rows
from pytest_llmbench.tuning.stage.watch import Reports, make_watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a stage did. `tokens` are those it was fed, `trained_tokens` those of the answers in its rows."""

    steps: int
    tokens: int
    trained_tokens: int
    final: Mapping[str, float]
    was_stopped: bool


def train(folder: Path, reports: Reports) -> Trained:
    """Run the stage of a folder, from its newest checkpoint that is whole.

    Raises:
        UsageFault: a check before the first step failed.
        StageFault: the stage cannot go on.
    """
    job = load_job(folder)
    rows = load_rows(folder, job)
    (folder / STOP).unlink(missing_ok=True)
    graders = Graders.of(job)
    arguments = make_arguments(job, folder, graders.weights)
    tokenizer = load_tokenizer(job)
    watch = make_watch(folder, reports, graders.check)
    trainer = make_trainer(job, arguments, rows=rows, tokenizer=tokenizer, rewards=graders.functions, callbacks=[watch])
    trained_tokens = check(trainer, job, rows, tokenizer)
    if KINDS[job.kind].samples:
        graders.check_mixed(trainer, rows, job, reports)
    start = _start(folder, trainer, reports)
    outcome = trainer.train(resume_from_checkpoint=None if start is None else str(start))
    graders.check()
    trained = Trained(
        steps=trainer.state.global_step,
        tokens=int(_last(trainer, "num_tokens") or 0),
        trained_tokens=trained_tokens,
        final=_final(trainer, outcome),
        was_stopped=watch.was_stopped,
    )
    if not trained.was_stopped:
        save(trainer, job, folder, tokenizer)
    return trained


def check(trainer: Any, job: StageJob, rows: Sequence[Mapping[str, Any]], tokenizer: Any) -> int:
    """Check the rows as the trainer has them, and what learns; gives how many tokens of answers there are.

    Raises:
        CheckFault: a check failed.
    """
    check_row_count(len(trainer.train_dataset), len(rows), getattr(trainer.args, "max_length", None))
    names = [str(row.get("case_id") or place) for place, row in enumerate(rows)]
    suites = [str(row.get("suite") or "") for row in rows]
    places = sampled(names, suites)
    found = trained_rows(trainer, job.kind)
    decode = tokenizer.decode
    if job.kind is not StageKind.REWARD:
        of_trainer = [prompt for prompt, _ in found] or _sampled_prompts(trainer, rows, places)
        check_prompts(
            [of_trainer[place] for place in places] if found else of_trainer,
            [tokens_of(prompt_of(rows[place]["prompt"]), tokenizer) for place in places],
            [names[place] for place in places],
            decode,
        )
    if found:
        ends = end_tokens(trainer.model, tokenizer)
        columns = ("chosen", "rejected") if job.kind is StageKind.DPO else ("completion",)
        for number, column in enumerate(columns):
            texts = [text_of(row[column]) for row in rows]
            check_answers([answers[number] for _, answers in found], texts, ends, decode, names)
    parameters = ((name, parameter.requires_grad) for name, parameter in trainer.model.named_parameters())
    check_trainable(parameters, has_adapter=job.lora is not None)
    return sum(len(answer) for _, answers in found for answer in answers)


def _sampled_prompts(trainer: Any, rows: Sequence[Mapping[str, Any]], places: Sequence[int]) -> list[list[int]]:
    """Tokenize prompts as a trainer does that samples answers to them."""
    found = trainer._tokenize_prompts([rows[place]["prompt"] for place in places])  # TRL 1.16 has no public way
    return [list(tokens) for tokens in (found[0] if isinstance(found, tuple) else found)]


def _start(folder: Path, trainer: Any, reports: Reports) -> Path | None:
    """Choose the checkpoint to go on from; those that were cut off are removed, or they would count as kept ones."""
    if trainer.is_world_process_zero():
        for broken in list(damaged(folder)):
            reports.write(event="damaged", checkpoint=broken.name)
            shutil.rmtree(broken)
    trainer.accelerator.wait_for_everyone()
    start = newest_whole(folder)
    if start is not None:
        reports.write(event="resumed", checkpoint=start.name)
    return start


def save(trainer: Any, job: StageJob, folder: Path, tokenizer: Any) -> None:
    """Save the adapter, or the model, with its tokenizer and no generation config of its own making."""
    trainer.save_model(str(folder))
    if not trainer.is_world_process_zero():
        return
    shutil.rmtree(folder / "ref", ignore_errors=True)  # the frozen copy that a stage compares with
    tokenizer.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    base = Path(job.base) / "generation_config.json"
    if job.lora is None and job.adapter is None and base.is_file():
        shutil.copyfile(base, folder / "generation_config.json")


def _last(trainer: Any, name: str) -> float | None:
    return next((float(line[name]) for line in reversed(trainer.state.log_history) if name in line), None)


def _final(trainer: Any, outcome: Any) -> dict[str, float]:
    """Give the last step's loss, and reward where there is one; where no step was left, the mean."""
    found = {name: _last(trainer, name) for name in ("loss", "reward")}
    if found["loss"] is None:
        found["loss"] = float(outcome.training_loss)
    return {name: value for name, value in found.items() if value is not None}

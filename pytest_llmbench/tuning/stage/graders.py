"""The reward functions of a stage that samples answers, and what ends it because of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.tuning.kinds import KINDS
from pytest_llmbench.tuning.stage.job import StageJob
from pytest_llmbench.tuning.stage.watch import Reports, StageFault

MIXED_CASES = 32
"""Cases that are sampled before the first step, to see whether rewards can teach anything."""

OF_A_MODEL = "model"
"""The reward that is no grader's, but that of a stage `reward`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graders:
    """What rewards the answers of a stage; empty in stages that sample none.

    `functions` are TRL's reward functions in the order of the weights; `rewards` is what made them.
    """

    functions: tuple[Callable[..., list[float | None]], ...] = ()
    rewards: Any = None

    @classmethod
    def of(cls, job: StageJob) -> "Graders":
        """Build the graders of a job's suites, and of those whose grades are only logged.

        Raises:
            LlmbenchError: a suite cannot be loaded, or grades by asking a model.
        """
        if not KINDS[job.kind].samples:
            return cls()
        from pytest_llmbench.tuning.rewards import Rewards

        names = [name for name in job.rewards if name != OF_A_MODEL]
        rewards = Rewards.of(job.suites, root=Path(job.root), weights={name: job.rewards[name] for name in names})
        return cls(functions=tuple(rewards.trl(name) for name in names), rewards=rewards)

    def check(self) -> None:
        """End the stage where its graders break one after another, or met a case that is held out.

        Raises:
            StageFault: they did.
        """
        if self.rewards is not None and (fault := self.rewards.fault) is not None:
            raise StageFault(fault)

    def check_mixed(self, trainer: Any, rows: Sequence[Mapping[str, Any]], job: StageJob, reports: Reports) -> None:
        """Sample some cases, and refuse where nearly all answers of a case are graded alike: nothing would be learnt.

        Not done with several processes or with vLLM, where sampling is the trainer's alone.

        Raises:
            StageFault: too few cases have answers that are graded differently.
        """
        if not self.functions or not job.min_mixed or trainer.accelerator.num_processes > 1:
            return
        if getattr(trainer.args, "use_vllm", False):
            return
        every = max(1, len(rows) // MIXED_CASES)
        chosen = rows[::every][:MIXED_CASES]
        mixed = sum(self._is_mixed(trainer, row) for row in chosen) / len(chosen)
        reports.write(event="mixed", share=mixed, cases=len(chosen))
        if mixed < job.min_mixed:
            raise StageFault(
                f"only {mixed:.0%} of {len(chosen)} sampled cases have answers that are graded differently, so rewards "
                "can teach nothing yet; put a stage sft before this one, or set min_mixed lower."
            )

    def _is_mixed(self, trainer: Any, row: Mapping[str, Any]) -> bool:
        n = trainer.args.num_generations
        texts = _sample(trainer, row["prompt"], n)
        columns = {name: [value] * n for name, value in row.items() if name != "prompt"}
        return any(len(set(function(completions=texts, **columns))) > 1 for function in self.functions)


def _sample(trainer: Any, prompt: Any, n: int) -> list[str]:
    """Sample answers to a prompt as the trainer will."""
    import torch

    from pytest_llmbench.models.transformers.model import tokens_of
    from pytest_llmbench.tuning.stage.prompts import prompt_of

    tokenizer, arguments = trainer.processing_class, trainer.args
    ids = torch.tensor([tokens_of(prompt_of(prompt), tokenizer)], device=trainer.accelerator.device)
    with torch.no_grad():
        made = trainer.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=arguments.temperature,
            max_new_tokens=arguments.max_completion_length,
            num_return_sequences=n,
            pad_token_id=tokenizer.pad_token_id,
        )
    return [str(text) for text in tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)]

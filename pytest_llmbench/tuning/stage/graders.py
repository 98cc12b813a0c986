"""The reward functions of a stage that samples answers, and what ends it because of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.tuning.kinds import KINDS
from pytest_llmbench.tuning.rewards import RewardFunction, Rewards
from pytest_llmbench.tuning.stage.job import StageJob
from pytest_llmbench.tuning.stage.watch import Reports, StageFault

MIXED_CASES = 32
"""Cases that are sampled before the first step, to see whether rewards can teach anything."""

OF_A_MODEL = "model"
"""The reward that is no grader's, but that of a stage `reward`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graders:
    """What rewards the answers of a stage; empty in stages that sample none.

    `functions` are TRL's reward functions; `weights` are theirs, and behind them that of a model that scores.
    `rewards` is what made those of the suites.
    """

    functions: tuple[RewardFunction, ...] = ()
    weights: tuple[float, ...] = ()
    rewards: Rewards | None = None

    @classmethod
    def of(cls, job: StageJob) -> "Graders":
        """Build the graders of a job's suites, and of those whose grades are only logged.

        Raises:
            LlmbenchError: a suite cannot be loaded, or grades by asking a model.
        """
        if not KINDS[job.kind].samples:
            return cls()
        own = {name: weight for name, weight in job.rewards.items() if name != OF_A_MODEL}
        rewards = Rewards.of(job.suites, root=job.root, weights=own or None, takes_unsplit=job.takes_unsplit)
        shadows = tuple(_shadow(path, job) for path in job.shadow)
        of_model = (job.rewards[OF_A_MODEL],) if OF_A_MODEL in job.rewards else ()
        return cls(
            functions=(*(rewards.trl(name) for name in own), *shadows),
            weights=(*own.values(), *(0.0 for _ in shadows), *of_model),
            rewards=rewards,
        )

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


def _shadow(path: str, job: StageJob) -> RewardFunction:
    """Make a function that grades the same cases by another suite: logged, with a weight of 0, and never trained on."""
    function = Rewards.of([path], root=job.root, takes_unsplit=True).trl("score")
    loaded = SuiteRegistry(Path(job.root), {}).load(Path(path))
    name = "" if loaded is None else loaded.suite.name

    def shadow(*, suite: Sequence[Any] | None = None, **columns: Any) -> list[float | None]:
        return function(suite=None if suite is None else [name] * len(suite), **columns)

    shadow.__name__ = shadow.__qualname__ = f"llmbench_shadow_{name}"
    return shadow


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

"""The kinds of a stage, each with the trainer of TRL that runs it and the settings it begins with.

The rates are those of LoRA: TRL's own (2e-5 for supervised fine-tuning, 1e-6 for the others) are for full weights and
hardly move an adapter.  Full fine-tuning begins with a tenth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

FULL_SHARE = 0.1
"""The rate of full fine-tuning, as a share of that of LoRA."""


class StageKind(StrEnum):
    """What a stage learns from."""

    SFT = "sft"
    DPO = "dpo"
    KTO = "kto"
    REWARD = "reward"
    GRPO = "grpo"
    RLOO = "rloo"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFacts:
    """What is known of a kind of stage.

    `trainer` begins the names of TRL's trainer and configuration, and `module` is where the configuration stands.
    `format` is the format of its rows, as `llmbench export-training` writes it.  `sequences` is how many sequences a
    row holds.  `samples` marks the stages in which the model answers and graders reward; `is_model` those whose result
    is a model that answers, rather than one that scores.
    """

    trainer: str
    module: str
    format: str
    learning_rate: float
    sequences: int = 1
    samples: bool = False
    is_model: bool = True
    settings: Mapping[str, float] = field(default_factory=dict)


KINDS: Mapping[StageKind, KindFacts] = MappingProxyType(
    {
        StageKind.SFT: KindFacts(trainer="SFT", module="sft_config", format="sft", learning_rate=2e-4),
        StageKind.DPO: KindFacts(
            trainer="DPO",
            module="dpo_config",
            format="preference",
            learning_rate=1e-5,
            sequences=2,
            settings={"beta": 0.1},
        ),
        StageKind.KTO: KindFacts(
            trainer="KTO",
            module="kto_config",
            format="unpaired",
            learning_rate=1e-5,
            settings={"beta": 0.1},
        ),
        StageKind.REWARD: KindFacts(
            trainer="Reward",
            module="reward_config",
            format="reward",
            learning_rate=1e-4,
            sequences=2,
            is_model=False,
        ),
        StageKind.GRPO: KindFacts(
            trainer="GRPO", module="grpo_config", format="prompts", learning_rate=1e-5, samples=True
        ),
        StageKind.RLOO: KindFacts(
            trainer="RLOO", module="rloo_config", format="prompts", learning_rate=1e-5, samples=True
        ),
    }
)
"""The facts of each kind. TRL 1.16 has no PPO; ORPO, CPO and online DPO are experimental there and not offered."""

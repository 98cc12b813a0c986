"""The recipe of `llmbench tune`: a TOML file, read whole and checked before anything is loaded."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.models.validation import (
    Count,
    NotNegative,
    Positive,
    Share,
    Text,
    Whole,
    chief_error,
    did_you_mean,
    kept,
    known_keys,
    message_of,
    place,
)
from pytest_llmbench.tuning.kinds import FULL_SHARE, KINDS, StageKind
from pytest_llmbench.tuning.toml_lines import line_of

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The projections of a Llama; PEFT's default for it is two of them."""

REWARDS = ("score", "passed", "format", "length", "model")
"""What a stage may be rewarded by: what a grader finds, and the model of a stage `reward`."""

DEFAULT_BATCH = 4


class RecipeFault(UsageFault):
    """A recipe is wrong: what, with file and line, and the way out."""


def _kind(given: object) -> object:
    if isinstance(given, str) and given not in tuple(StageKind):
        known = ", ".join(StageKind)
        also = "; grpo and rloo take the place of PPO" if given.lower() == "ppo" else ""
        raise ValueError(f'there is no stage "{given}"; the stages are: {known}{also}')
    return given


def _max_length(given: object) -> object:
    is_count = isinstance(given, int) and not isinstance(given, bool) and given >= 1
    if given != "auto" and not is_count:
        raise ValueError('must be "auto" or a whole number of at least 1')
    return given


class DataKeys(Strict):
    """What is trained on: the train sides of suites, graded answers of runs, files in ChatLLaMA's formats."""

    suites: tuple[Text, ...] = ()
    runs: tuple[Text, ...] = ()
    files: tuple[Text, ...] = ()
    split: Literal["train", "all"] = "train"

    @model_validator(mode="after")
    def _has_something(self) -> "DataKeys":
        if not self.suites and not self.files:
            raise ValueError('names nothing to train on; name suites, as suites = ["cases/clickbait.yaml"]')
        return self


class LoraKeys(Strict):
    """The adapter that learns, instead of the weights."""

    r: Count = 16
    alpha: Positive = 32
    dropout: Share = 0.0
    targets: tuple[Text, ...] = TARGETS
    quantization: Literal["int4"] | None = None

    @field_validator("targets")
    @classmethod
    def _are_layers_inside(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        outer = [name for name in targets if name in ("lm_head", "embed_tokens")]
        if outer:
            raise ValueError(f'"{outer[0]}" cannot be a target; an adapter is trained on the projections of the layers')
        if not targets:
            raise ValueError("must not be empty; leave it out for the seven projections of each layer")
        return targets


class LaunchKeys(Strict):
    """How the stage is started on several devices: a configuration of accelerate, and the number of processes."""

    accelerate: Text
    processes: Count = 1

    @property
    def is_own_file(self) -> bool:
        """Whether the configuration is a file of the user, and none of TRL's."""
        return self.accelerate.endswith((".yaml", ".yml", ".json"))


class StageKeys(Strict):
    """One stage."""

    kind: Annotated[StageKind, BeforeValidator(_kind)]
    learning_rate: Positive | None = None
    epochs: Positive | None = None
    steps: Count | None = None
    batch: Count | None = None
    max_length: Annotated[int | Literal["auto"], BeforeValidator(_max_length)] = "auto"
    rewards: dict[Text, NotNegative] | None = None
    generations: Annotated[int, Field(ge=2), kept(int, float)] = 8
    max_tokens: Count | None = None
    min_mixed: Share = 0.1
    trl: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "StageKeys":
        if self.epochs is not None and self.steps is not None:
            raise ValueError("has epochs and steps; leave one of them out")
        own = {"rewards", "generations", "max_tokens", "min_mixed"}
        foreign = sorted(own & self.model_fields_set)
        if foreign and not KINDS[self.kind].samples:
            raise ValueError(f'"{foreign[0]}" is for the stages grpo and rloo; leave it out of {self.kind}')
        return self

    @field_validator("rewards")
    @classmethod
    def _are_known(cls, rewards: dict[str, float] | None) -> dict[str, float] | None:
        unknown = [name for name in rewards or () if name not in REWARDS]
        if unknown:
            guess = did_you_mean(unknown[0], REWARDS).lower()
            article = "The" if guess else "the"
            raise ValueError(f'there is no reward "{unknown[0]}";{guess} {article} rewards are: {", ".join(REWARDS)}')
        if rewards is not None and not any(rewards.values()):
            raise ValueError("need one with a weight above 0")
        return rewards

    @property
    def batch_size(self) -> int:
        """Sequences an optimiser step, over all processes; for grpo and rloo, answers."""
        if self.batch is not None:
            return self.batch
        return self.generations if KINDS[self.kind].samples else DEFAULT_BATCH

    @property
    def weights(self) -> dict[str, float]:
        """The rewards, by name."""
        return self.rewards or {"score": 1.0}

    def rate(self, *, has_lora: bool) -> float:
        """Give the learning rate: its own, else that of its kind."""
        if self.learning_rate is not None:
            return self.learning_rate
        return KINDS[self.kind].learning_rate * (1 if has_lora else FULL_SHARE)


class Recipe(Strict):
    """A whole recipe. Paths are relative to the project's root."""

    model: Text
    output: Text
    seed: Whole = 0
    shadow: tuple[Text, ...] = ()
    data: DataKeys
    lora: LoraKeys | None = None
    launch: LaunchKeys | None = None
    stage: Annotated[tuple[StageKeys, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        is_divided = self.launch is not None and "zero3" in self.launch.accelerate
        if is_divided and self.lora is not None and self.lora.quantization is not None:
            raise ValueError("has quantization and zero3, which do not go together; leave one of them out")
        if not any(KINDS[stage.kind].is_model for stage in self.stage):
            raise ValueError("has only a stage reward, whose model answers nothing; add a stage that uses it")
        for number, stage in enumerate(self.stage):
            earlier = [before.kind for before in self.stage[:number]]
            if "model" in stage.weights and StageKind.REWARD not in earlier:
                raise ValueError("has rewards.model, which needs a stage reward before it; add one, or leave it out")
        return self


def load_recipe(path: Path) -> tuple[Recipe, str]:
    """Read a recipe; gives it with its text.

    Raises:
        RecipeFault: it cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeFault(f"there is no recipe {path}; name a TOML file, see docs/training.md.") from None
    except UnicodeDecodeError:
        raise RecipeFault(f"{path}: this file is not UTF-8; save it as UTF-8.") from None
    except OSError as fault:
        raise RecipeFault(f"{path}: this file cannot be read: {fault.strerror}.") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise RecipeFault(f"{path}: this is not TOML: {fault}.") from None
    except RecursionError:
        raise RecipeFault(f"{path}: this file is nested too deep; write it flatter.") from None
    try:
        return Recipe.model_validate(table), text
    except ValidationError as fault:
        _refuse(fault, path, text)


def _refuse(fault: ValidationError, path: Path, text: str) -> NoReturn:
    error = chief_error(fault)
    line = line_of(text, error["loc"])
    key, guess = place(error), ""
    if error["type"] == "extra_forbidden":
        known = known_keys(error, _model_at(error["loc"][:-1]))
        message = f'there is no key "{error["loc"][-1]}" here; the keys are: {", ".join(known)}'
        guess = did_you_mean(str(error["loc"][-1]), known)
    elif error["type"] == "missing":
        message = f'"{key}" is missing; add it, see docs/training.md'
    elif error["loc"]:
        message = f'"{key}": {message_of(error)}'
    else:
        message = f"the recipe {message_of(error)}"
    raise RecipeFault(f"{path}:{line}: {message}.{guess}") from None


def _model_at(above: tuple[int | str, ...]) -> type[Strict]:
    tables: dict[object, type[Strict]] = {"data": DataKeys, "lora": LoraKeys, "launch": LaunchKeys, "stage": StageKeys}
    return tables.get(above[0], Recipe) if above else Recipe

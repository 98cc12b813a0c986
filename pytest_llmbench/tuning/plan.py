"""The plan of a stage: what it trains on, how long, in how much memory; refused where that cannot be."""

from dataclasses import dataclass
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.transformers.libraries import require_libraries
from pytest_llmbench.tuning.arguments import Division, arguments_of, divide, steps_of
from pytest_llmbench.tuning.kinds import KINDS, StageKind
from pytest_llmbench.tuning.memory import OVERHEAD_GB, MemorySum, Training, gpus_gb, machine_gb, memory_sum
from pytest_llmbench.tuning.model_shape import ModelShape
from pytest_llmbench.tuning.recipe import LaunchKeys, Recipe, StageKeys
from pytest_llmbench.tuning.stage_rows import RowSizes

MARGIN_TOKENS = 8
"""What `max_length = "auto"` has over the longest row."""

CPU_OVERHEAD_GB = 1.0
EXTRA = 'pip install "pytest-llmbench[tune]"'
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "datasets", "trl")
SHARED_WEIGHTS = ("zero3", "fsdp")
SHARED_MOMENTS = ("zero1", "zero2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is to train on: gigabytes of each GPU, and of the machine (None where it is not known)."""

    gpus: tuple[float, ...]
    memory_gb: float | None

    @classmethod
    def here(cls) -> "Machine":
        """Look at this machine."""
        return cls(gpus=gpus_gb(), memory_gb=machine_gb())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSize:
    """How much a stage has to learn: its rows, their tokens, and the tokens of an answer as the suites have it.

    `sizes` are None where the tokens cannot be counted, and the context of the model is taken.
    """

    n_rows: int
    sizes: RowSizes | None
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage, planned. `name` is that of its folder; `sizes` are None where the tokenizer is not here.

    `memory` is what it needs here, `memory_on_gpu` the same on a GPU, where there is none here.
    """

    name: str
    stage: StageKeys
    n_rows: int
    sizes: RowSizes | None
    steps: int
    division: Division
    max_length: int
    memory: MemorySum | None
    memory_on_gpu: MemorySum | None
    arguments: dict[str, Any]


def check_recipe(recipe: Recipe, machine: Machine) -> None:
    """Refuse what the recipe and this machine alone show to be wrong.

    Raises:
        UsageFault: a library or a GPU is missing.
    """
    require_libraries(LIBRARIES, EXTRA, "llmbench tune")
    if recipe.lora is not None and recipe.lora.quantization is not None:
        if not machine.gpus:
            raise UsageFault('quantization = "int4" needs a GPU, and none is seen here; leave it out, or use one.')
        require_libraries(["bitsandbytes"], "pip install bitsandbytes", 'quantization = "int4"')


def plan_stage(
    name: str,
    stage: StageKeys,
    recipe: Recipe,
    *,
    size: StageSize,
    shape: ModelShape | None,
    machine: Machine,
) -> StagePlan:
    """Plan one stage.

    Args:
        name: of its folder.
        stage: of the recipe.
        recipe: the whole.
        size: of its data.
        shape: sizes of the base; None where they are not known.
        machine: what there is.

    Raises:
        UsageFault: the batch does not divide, or rows are too long.
    """
    context = shape.context if shape is not None else 2048
    longest = size.sizes.longest if size.sizes is not None else context
    processes = 1 if recipe.launch is None else recipe.launch.processes
    division = _division(name, stage, processes, longest)
    max_length = _max_length(name, stage, size.sizes, context, longest)
    answer_tokens = stage.max_tokens or size.max_tokens
    arguments = arguments_of(stage, recipe, division, rows=size.n_rows, max_length=max_length, max_tokens=answer_tokens)
    tokens = division.per_device * longest
    here, on_gpu = (
        None if shape is None else memory_sum(shape, training_of(recipe, stage, shape, tokens, is_on_cpu=is_on_cpu))
        for is_on_cpu in (not machine.gpus and recipe.launch is None, False)
    )
    return StagePlan(
        name=name,
        stage=stage,
        n_rows=size.n_rows,
        sizes=size.sizes,
        steps=steps_of(stage, size.n_rows),
        division=division,
        max_length=max_length,
        memory=here,
        memory_on_gpu=None if here == on_gpu else on_gpu,
        arguments=arguments,
    )


def _division(name: str, stage: StageKeys, processes: int, longest: int) -> Division:
    batch = stage.batch_size
    # the answers of a batch are compared with one another
    least = 2 if stage.kind is StageKind.KTO else 1
    division = divide(batch, processes, longest * KINDS[stage.kind].sequences, least=least)
    if division is None:
        near = max(processes, round(batch / processes) * processes)
        raise UsageFault(f"{name}: batch = {batch} does not divide by {processes} processes; use {near}.")
    if KINDS[stage.kind].samples and batch % stage.generations:
        near = max(1, round(batch / stage.generations)) * stage.generations
        raise UsageFault(f"{name}: batch = {batch} does not divide by generations = {stage.generations}; use {near}.")
    if stage.kind is StageKind.KTO and division.per_device < least:
        raise UsageFault(
            f"{name}: kto compares rows of a batch, and batch = {batch} leaves one a device; use {2 * processes}."
        )
    return division


def _max_length(name: str, stage: StageKeys, sizes: RowSizes | None, context: int, longest: int) -> int:
    if longest > context:
        raise UsageFault(
            f"{name}: the longest row has {longest:,} tokens, and the model takes {context:,}; shorten the prompt or "
            "leave the case out of the train side."
        )
    if stage.max_length == "auto":
        return min(longest + MARGIN_TOKENS, context)
    cut = [length for length in (() if sizes is None else sizes.each) if length > stage.max_length]
    if cut:
        raise UsageFault(
            f"{name}: max_length = {stage.max_length} cuts the answers of {len(cut)} rows off, the longest has "
            f'{longest:,} tokens; set max_length = "auto".'
        )
    return stage.max_length


def training_of(recipe: Recipe, stage: StageKeys, shape: ModelShape, tokens: int, *, is_on_cpu: bool) -> Training:
    """Give what decides about the memory of a stage, for the tokens of a pass on a device."""
    lora, launch = recipe.lora, recipe.launch
    dtype = "float32" if is_on_cpu or lora is None else lora.quantization or "bfloat16"
    return Training(
        dtype=dtype,
        adapter=None if lora is None else shape.adapter_parameters(lora.r, lora.targets),
        tokens=tokens * KINDS[stage.kind].sequences,
        is_checkpointed=not is_on_cpu,
        sharing=_sharing(launch, SHARED_WEIGHTS),
        sharing_moments=_sharing(launch, SHARED_MOMENTS),
        overhead_gb=CPU_OVERHEAD_GB if is_on_cpu else OVERHEAD_GB,
    )


def _sharing(launch: LaunchKeys | None, names: tuple[str, ...]) -> int:
    return launch.processes if launch is not None and any(name in launch.accelerate for name in names) else 1


def memory_refusal(plan: StagePlan, recipe: Recipe, machine: Machine) -> str | None:
    """Give why a stage does not fit into what there is; None if it does, or nothing is known of it."""
    if plan.memory is None:
        return None
    needed = plan.memory.total_gb
    processes = 1 if recipe.launch is None else recipe.launch.processes
    if recipe.launch is not None and recipe.launch.is_own_file and not machine.gpus:
        return None  # it may name a CPU, or another machine
    if recipe.launch is not None and len(machine.gpus) < processes:
        have = f"{len(machine.gpus)} are seen here" if machine.gpus else "none is seen here"
        return f"{plan.name} needs {processes} GPUs of {needed:.1f} GB each, and {have}; run it where they are."
    if machine.gpus:
        have_gb = min(machine.gpus[:processes])
        if needed > have_gb:
            return f"{plan.name} needs {needed:.1f} GB on a GPU that has {have_gb:.1f}; {_way_out(recipe)}."
    elif machine.memory_gb is not None and needed > machine.memory_gb:
        return (
            f"{plan.name} needs {needed:.1f} GB, and this machine has {machine.memory_gb:.1f} and no GPU; "
            "use a machine with a GPU, or a smaller model."
        )
    return None


def _way_out(recipe: Recipe) -> str:
    if recipe.lora is None:
        return "train an adapter: add a table [lora]"
    if recipe.lora.quantization is None and recipe.launch is None:
        return 'set quantization = "int4", or divide the weights with [launch] accelerate = "zero3"'
    return "use a smaller model, a smaller batch, or more devices"

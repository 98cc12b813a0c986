"""From a recipe's file to all that it comes to: checked, planned, and nothing of it trained yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.training_manifest import FILE as MANIFEST
from pytest_llmbench.models.transformers.libraries import quiet_loading
from pytest_llmbench.tuning.arguments import refused_argument
from pytest_llmbench.tuning.base_model import BaseModel, choose_entry, known_shape, open_base
from pytest_llmbench.tuning.kinds import KINDS
from pytest_llmbench.tuning.launch import command_of, configuration, require_launch
from pytest_llmbench.tuning.model_shape import ModelShape
from pytest_llmbench.tuning.plan import Machine, StagePlan, StageSize, check_recipe, memory_refusal, plan_stage
from pytest_llmbench.tuning.recipe import Recipe, RecipeFault, StageKeys, load_recipe
from pytest_llmbench.tuning.stage_data import Sources, load_sources, mixed_share, rows_of_stage, side_lines
from pytest_llmbench.tuning.stage_rows import StageRows, measure
from pytest_llmbench.tuning.toml_lines import line_of
from pytest_llmbench.values import PromptStyle

NO_RL_OVER = 30e9
"""Weights from which stages that sample are refused under ZeRO-3: each GPU would gather all of them to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe with its plans; `base` is None where only a plan was wanted, of a model whose files are not here."""

    recipe: Recipe
    text: str
    sources: Sources
    base: BaseModel | None
    plans: tuple[StagePlan, ...]
    rows: tuple[StageRows, ...]
    machine: Machine
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a recipe is read: the project's root, its models, the cache, and what there is to train on."""

    root: Path
    catalog: Catalog
    open_settings: OpenSettings
    machine: Machine


def prepare(path: Path, setting: Setting, *, is_plan: bool) -> Prepared:
    """Read a recipe and plan its stages, before any weight is loaded.

    Args:
        path: of the recipe.
        setting: where it is read.
        is_plan: only a plan is wanted, for which the weights need not be here.

    Raises:
        UsageFault: something in it cannot be.
        SuiteFault: a suite is wrong.
        RunFileFault: a run cannot be read.
    """
    recipe, text = load_recipe(path)
    check_recipe(recipe, setting.machine)
    _check_arguments(recipe, path, text)
    if recipe.launch is not None:
        configuration(recipe.launch, setting.root)
    sources = load_sources(recipe.data, setting.root)
    base, shape, style, remarks = _base(recipe, setting, is_plan=is_plan)
    _refuse_sampling(recipe, shape)
    plans, rows = [], []
    for number, stage in enumerate(recipe.stage, start=1):
        name = f"{number:02}-{stage.kind}"
        found = rows_of_stage(stage.kind, sources, style)
        size = _size(stage, found, sources.max_tokens, base)
        plans.append(plan_stage(name, stage, recipe, size=size, shape=shape, machine=setting.machine))
        rows.append(found)
        remarks += _mixed(name, stage, sources, found)
    return Prepared(
        recipe=recipe,
        text=text,
        sources=sources,
        base=base,
        plans=tuple(plans),
        rows=tuple(rows),
        machine=setting.machine,
        remarks=tuple(remarks),
    )


def refuse_memory(prepared: Prepared) -> None:
    """Refuse a stage that does not fit.

    Raises:
        UsageFault: the sum of its plan is over what there is.
    """
    for plan in prepared.plans:
        refusal = memory_refusal(plan, prepared.recipe, prepared.machine)
        if refusal is not None:
            raise UsageFault(refusal)
    require_launch(prepared.recipe.launch)


def plan_lines(prepared: Prepared, output: Path, root: Path) -> Iterator[str]:
    """Give what `--plan` prints."""
    yield from side_lines(prepared.sources)
    for plan, rows in zip(prepared.plans, prepared.rows, strict=True):
        tokens = "tokens not counted" if plan.sizes is None else _tokens(plan)
        yield f"{plan.name}: {plan.n_rows:,} rows, {tokens}; {plan.steps:,} steps of {plan.stage.batch_size}"
        yield f"  learning rate {plan.arguments['learning_rate']:g}, max_length {plan.max_length:,}"
        yield from (f"  {remark}" for remark in rows.remarks)
        yield f"  memory: {plan.memory or 'not known, the sizes of the model are not'}"
        yield from [] if plan.memory_on_gpu is None else [f"  on a GPU: {plan.memory_on_gpu}"]
        command = command_of(
            output / plan.name / "stage.json", prepared.recipe.launch, plan.division.accumulation, root
        )
        yield f"  command: {' '.join(command)}"
    yield from prepared.remarks
    gpus = ", ".join(f"{size:.0f} GB" for size in prepared.machine.gpus) or "none"
    memory = prepared.machine.memory_gb
    yield f"here: GPUs {gpus}; memory {'not known' if memory is None else f'{memory:.0f} GB'}"


def _check_arguments(recipe: Recipe, path: Path, text: str) -> None:
    for number, stage in enumerate(recipe.stage):
        refused = refused_argument(stage)
        if refused is not None:
            line = line_of(text, ("stage", number, "trl"))
            raise RecipeFault(f'{path}:{line}: trl has "{refused[0]}": {refused[1]}.')


def _tokens(plan: StagePlan) -> str:
    sizes = plan.sizes
    return "" if sizes is None else f"{sizes.total:,} tokens, the longest {sizes.longest:,}"


def _base(
    recipe: Recipe, setting: Setting, *, is_plan: bool
) -> tuple[BaseModel | None, ModelShape | None, PromptStyle, list[str]]:
    """Open the base; for a plan of a known model whose files are not here, its sizes are enough."""
    spec = choose_entry(recipe.model, setting.catalog, setting.root)
    shape, wanted = known_shape(spec.entry), spec.entry.prompt_style
    try:
        base = open_base(spec, setting.open_settings, with_weights=not is_plan)
    except UsageFault as fault:
        if not is_plan or shape is None:
            raise
        style = PromptStyle.COMPLETION if wanted == "auto" else PromptStyle(wanted)
        return None, shape, style, [f"tokens are not counted, and rows are taken to be as long as they can be: {fault}"]
    remarks = []
    if base.adapter is not None and not (base.adapter / MANIFEST).is_file():
        remarks.append(f"nothing is known of what the adapter in {base.adapter} was trained on: it has no {MANIFEST}")
    return base, base.shape, base.style, remarks


def _refuse_sampling(recipe: Recipe, shape: ModelShape | None) -> None:
    is_divided = recipe.launch is not None and "zero3" in recipe.launch.accelerate
    sampling = next((stage.kind for stage in recipe.stage if KINDS[stage.kind].samples), None)
    if sampling is not None and is_divided and shape is not None and shape.parameters > NO_RL_OVER:
        raise UsageFault(
            f"{sampling} under ZeRO-3 gathers all {shape.parameters / 1e9:.0f} billion weights on each GPU to answer; "
            "sample with a server, grade, export, and train with sft or dpo: the same loop, and each turn gated."
        )


def _size(stage: StageKeys, found: StageRows, max_tokens: int, base: BaseModel | None) -> StageSize:
    sizes = None
    if base is not None:
        with quiet_loading():
            sizes = measure(found.rows, base.tokenizer, answer_tokens=stage.max_tokens or max_tokens)
    return StageSize(n_rows=len(found.rows), sizes=sizes, max_tokens=max_tokens)


def _mixed(name: str, stage: StageKeys, sources: Sources, found: StageRows) -> list[str]:
    if not KINDS[stage.kind].samples:
        return []
    mixed = mixed_share(sources.runs, found.cases)
    if mixed is None:
        return [f"{name}: no case was sampled more than once in the runs; the stage samples some before it begins"]
    return [f"{name}: {mixed[0]:.0%} of {mixed[1]} sampled cases have answers that are graded differently"]

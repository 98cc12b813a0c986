"""A stage is planned before a weight is loaded, and refused where it cannot be."""

from types import MappingProxyType
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.tuning.arguments import Division, arguments_of, divide, refused_argument, steps_of
from pytest_llmbench.tuning.model_shape import KNOWN
from pytest_llmbench.tuning.plan import Machine, StagePlan, StageSize, memory_refusal, plan_stage
from pytest_llmbench.tuning.recipe import Recipe, StageKeys
from pytest_llmbench.tuning.stage_rows import RowSizes

LLAMA = KNOWN["huggyllama/llama-7b"]
LAPTOP = Machine(gpus=(), memory_gb=16.0)
ONE_GPU = Machine(gpus=(24.0,), memory_gb=64.0)
LAUNCH = MappingProxyType({"accelerate": "zero3", "processes": 8})


def recipe_of(*stages: dict[str, Any], lora: bool = True, **more: Any) -> Recipe:
    table = {"model": "m", "output": "o", "data": {"suites": ["a"]}, "stage": stages or [{"kind": "sft"}], **more}
    return Recipe.model_validate({**table, **({"lora": {}} if lora else {})})


def plan(recipe: Recipe, sizes: RowSizes | None = None, machine: Machine = LAPTOP) -> StagePlan:
    stage = recipe.stage[0]
    sizes = sizes or RowSizes(total=17_300, longest=192, each=(100,) * 172 + (192,))
    size = StageSize(n_rows=173, sizes=sizes, max_tokens=4)
    return plan_stage("01", stage, recipe, size=size, shape=LLAMA, machine=machine)


@pytest.mark.parametrize(
    ("batch", "processes", "longest", "division"),
    [
        (4, 1, 192, Division(per_device=4, accumulation=1)),
        (32, 8, 2048, Division(per_device=1, accumulation=4)),
        (16, 2, 600, Division(per_device=2, accumulation=4)),
        (6, 1, 600, Division(per_device=3, accumulation=2)),
        (4, 1, 9_999, Division(per_device=1, accumulation=4)),
        (10, 8, 100, None),
    ],
)
def test_a_batch_is_divided(batch: int, processes: int, longest: int, division: Division | None) -> None:
    """Among processes first, then into passes of at most 2,048 tokens, so that all passes are alike."""
    assert divide(batch, processes, longest) == division


def test_a_batch_that_is_compared_is_not_divided_to_single_rows() -> None:
    """Two at once are the least for kto, however long they are."""
    assert divide(4, 1, 9_999, least=2) == Division(per_device=2, accumulation=2)
    assert divide(3, 1, 9_999, least=2) == Division(per_device=3, accumulation=1)


def test_the_example_takes_44_steps() -> None:
    """173 rows by four; a stage that samples answers each prompt `generations` times."""
    assert steps_of(StageKeys(kind="sft"), 173) == 44
    assert steps_of(StageKeys(kind="sft", epochs=0.5), 173) == 22
    assert steps_of(StageKeys(kind="grpo", generations=4, batch=8), 10) == 5
    assert steps_of(StageKeys(kind="grpo", steps=7), 10) == 7


def test_the_arguments_of_a_stage() -> None:
    """One batch becomes two numbers of TRL; what the recipe names itself comes last; a login is never asked for."""
    recipe = recipe_of({"kind": "sft", "trl": {"weight_decay": 0.1}})

    found = plan(recipe).arguments

    assert (found["per_device_train_batch_size"], found["gradient_accumulation_steps"]) == (4, 1)
    assert (found["max_length"], found["save_steps"], found["weight_decay"], found["report_to"]) == (
        200,
        5,
        0.1,
        "none",
    )
    assert (found["packing"], found["completion_only_loss"]) == (False, True)
    assert "max_length" not in arguments_of(
        StageKeys(kind="rloo"),
        recipe,
        Division(per_device=8, accumulation=1),
        rows=1,
        max_length=0,
        max_tokens=4,
    )


@pytest.mark.parametrize(
    ("stage", "more", "message"),
    [
        ({"kind": "sft", "batch": 10}, {"launch": LAUNCH}, "01: batch = 10 does not divide by 8 processes; use 8."),
        (
            {"kind": "grpo", "batch": 12, "generations": 8},
            {},
            "01: batch = 12 does not divide by generations = 8; use 16.",
        ),
        (
            {"kind": "sft", "max_length": 150},
            {},
            '01: max_length = 150 cuts the answers of 1 rows off, the longest has 192 tokens; set max_length = "auto".',
        ),
        (
            {"kind": "kto", "batch": 1},
            {},
            "01: kto compares rows of a batch, and batch = 1 leaves one a device; use 2.",
        ),
    ],
)
def test_numbers_that_do_not_fit(stage: dict[str, Any], more: dict[str, Any], message: str) -> None:
    """Each is refused with a number that does."""
    with pytest.raises(UsageFault) as fault:
        plan(recipe_of(stage, **more))

    assert str(fault.value) == message


def test_a_row_that_is_longer_than_the_context() -> None:
    """TRL would cut it; here it is named before anything is loaded."""
    with pytest.raises(UsageFault, match=r"the longest row has 3,000 tokens, and the model takes 2,048"):
        plan(recipe_of(), RowSizes(total=3_000, longest=3_000, each=(3_000,)))


@pytest.mark.parametrize(
    ("recipe", "machine", "message"),
    [
        (
            recipe_of(),
            LAPTOP,
            "01 needs 38.6 GB, and this machine has 16.0 and no GPU; use a machine with a GPU, or a smaller model.",
        ),
        (
            recipe_of(lora=False),
            ONE_GPU,
            "01 needs 110.2 GB on a GPU that has 24.0; train an adapter: add a table [lora].",
        ),
        (
            recipe_of({"kind": "sft", "batch": 8}, launch=LAUNCH),
            ONE_GPU,
            "01 needs 8 GPUs of 3.4 GB each, and 1 are seen here; run it where they are.",
        ),
        (recipe_of(), ONE_GPU, None),
        (recipe_of(), Machine(gpus=(), memory_gb=None), None),
    ],
)
def test_too_little_memory_is_refused_by_the_sum(recipe: Recipe, machine: Machine, message: str | None) -> None:
    """Before a weight is loaded, with what would fit."""
    refusal = memory_refusal(plan(recipe, machine=machine), recipe, machine)

    assert (refusal or "")[: len(message or "")] == (message or "")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bta", 'TRL\'s DPOConfig has no such argument; did you mean "beta"?'),
        ("max_steps", 'it is set by the key "steps"; use that'),
        ("remove_unused_columns", "the checks before the first step need it as it is; leave it out"),
        ("beta", None),
        ("weight_decay", None),
    ],
)
def test_further_arguments_are_trls_own(name: str, message: str | None) -> None:
    """Read from TRL's source, so that nothing is imported for it."""
    pytest.importorskip("trl")

    found = refused_argument(StageKeys(kind="dpo", trl={name: 1}))

    assert (found and found[1]) == message

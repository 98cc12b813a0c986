"""The shipped recipes are read, and their memory is that of the published sizes."""

from pathlib import Path

import pytest

from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.tuning.base_model import choose_entry, known_shape
from pytest_llmbench.tuning.plan import Machine, StageSize, memory_refusal, plan_stage
from pytest_llmbench.tuning.recipe import load_recipe

ROOT = Path(__file__).parent.parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_read(path: Path) -> None:
    """Its model is an entry of the shipped models file, and its suites are there; a comment says what was not run."""
    recipe, text = load_recipe(path)

    assert choose_entry(recipe.model, Catalog(ROOT / "fixtures" / "models.toml", {}), ROOT).name == recipe.model
    assert all((ROOT / suite).is_file() for suite in recipe.data.suites)
    assert text.startswith("# ")
    assert recipe.model == "smollm2-135m" or "\n# Not run: " in text


@pytest.mark.parametrize(
    ("name", "weights_gb", "training_gb", "machine"),
    [
        ("llama-7b", 13.5, 0.64, Machine(gpus=(24.0,), memory_gb=None)),
        ("llama-13b", 26 / 8, 1.0 / 8, Machine(gpus=(80.0,) * 8, memory_gb=None)),
        ("llama-33b", 65 / 8, 1.95 / 8, Machine(gpus=(80.0,) * 8, memory_gb=None)),
        ("llama-65b", 16.3, 3.2 / 8, Machine(gpus=(80.0,) * 8, memory_gb=None)),
    ],
)
def test_a_recipe_fits_where_it_says(name: str, weights_gb: float, training_gb: float, machine: Machine) -> None:
    """One GPU of 24 GB for 7B, eight of 80 GB for the others, with rows as long as the model takes them."""
    recipe, _ = load_recipe(ROOT / "recipes" / f"{name}.toml")
    spec = choose_entry(recipe.model, Catalog(ROOT / "fixtures" / "models.toml", {}), ROOT)

    plan = plan_stage(
        "01-sft",
        recipe.stage[0],
        recipe,
        size=StageSize(n_rows=173, sizes=None, max_tokens=4),
        shape=known_shape(spec.entry),
        machine=machine,
    )

    assert plan.memory is not None
    assert plan.memory.weights_gb == pytest.approx(weights_gb, rel=0.01)
    assert plan.memory.training_gb == pytest.approx(training_gb, rel=0.01)
    assert memory_refusal(plan, recipe, machine) is None

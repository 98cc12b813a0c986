"""Which stages `--restart` removes, and what is said of a recipe that has changed."""

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.tuning.base_model import BaseModel, choose_entry
from pytest_llmbench.tuning.model_shape import KNOWN
from pytest_llmbench.tuning.plan import Machine, StageSize, plan_stage
from pytest_llmbench.tuning.recipe import Recipe
from pytest_llmbench.tuning.stage_rows import StageRows
from pytest_llmbench.tuning.tune import Tuning, Voice, _is_same, _places, _remove_changed, run
from pytest_llmbench.values import PromptStyle

ROWS = StageRows(rows=({"prompt": "a", "completion": "b"},))


def tuning_of(root: Path, *rates: float) -> Tuning:
    stages = [{"kind": kind, "learning_rate": rate} for kind, rate in zip(("sft", "dpo", "kto"), rates, strict=False)]
    recipe = Recipe.model_validate(
        {"model": "./m", "output": "o", "data": {"suites": ["a"]}, "lora": {}, "stage": stages}
    )
    spec = choose_entry("./m", Catalog(root / "models.toml", {}), root)
    assert isinstance(spec.entry, TransformersEntry)
    base = BaseModel(
        spec=spec,
        entry=spec.entry,
        style=PromptStyle.COMPLETION,
        folder=root / "m",
        weights="sha256:0",
        template_sha256=None,
        shape=None,
        tokenizer=None,
    )
    size, shape = StageSize(n_rows=1, sizes=None, max_tokens=4), KNOWN["huggyllama/llama-7b"]
    machine = Machine(gpus=(), memory_gb=None)
    plans = tuple(
        plan_stage(f"{place:02}-{stage.kind}", stage, recipe, size=size, shape=shape, machine=machine)
        for place, stage in enumerate(recipe.stage, start=1)
    )
    return Tuning(
        recipe=recipe,
        text="",
        base=base,
        plans=plans,
        rows=(ROWS,) * len(plans),
        splits={},
        output=root / "o",
        root=root,
        cache_dir=root,
    )


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """Write the folders of three stages."""
    for place in _places(tuning_of(tmp_path, 1e-4, 1e-5, 1e-6)):
        place.folder.mkdir(parents=True)
        (place.folder / "stage.json").write_text(place.job.text(), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("rates", "kept"),
    [
        ((1e-4, 2e-5, 1e-6), ["01-sft"]),
        ((2e-4, 1e-5, 1e-6), []),
        ((1e-4, 1e-5, 1e-6), []),
        ((1e-4, 1e-5), ["01-sft", "02-dpo"]),
    ],
    ids=["the second has changed", "the first has changed", "nothing has changed", "the last is gone"],
)
def test_a_restart_begins_at_the_first_change(rates: tuple[float, ...], kept: list[str], begun: Path) -> None:
    """What was trained before it is kept; where nothing has changed, all is trained anew."""
    tuning = tuning_of(begun, *rates)

    _remove_changed(tuning, _places(tuning))

    assert sorted(path.name for path in (begun / "o").iterdir()) == kept


def test_a_project_may_be_moved(begun: Path, tmp_path: Path) -> None:
    """What was trained counts as the same where only folders have other names, and not for a base of other weights."""
    moved = begun.rename(tmp_path.with_name("moved"))
    tuning = tuning_of(moved, 1e-4, 1e-5, 1e-6)
    other = replace(tuning, base=replace(tuning.base, weights="sha256:1"))

    assert all(_is_same(place.folder, place.job) for place in _places(tuning))
    assert not any(_is_same(place.folder, place.job) for place in _places(other))


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ((2e-4, 1e-5, 1e-6), "01-sft is of another recipe: learning_rate changed since; train anew from there with"),
        ((1e-4, 1e-5), "03-kto is of another recipe: the stages changed since; train anew from there with --restart"),
    ],
)
def test_a_recipe_that_has_changed_is_refused(rates: tuple[float, ...], message: str, begun: Path) -> None:
    """Before anything is trained, with the setting that differs."""
    quiet = Voice(line=lambda text: None, event=lambda name, event: None)

    with pytest.raises(UsageFault) as fault:
        run(tuning_of(begun, *rates), quiet)

    assert message in str(fault.value)

"""A recipe is read whole, and what is wrong in it is named with its line and the way out."""

from pathlib import Path

import pytest

from pytest_llmbench.tuning.kinds import StageKind
from pytest_llmbench.tuning.recipe import TARGETS, RecipeFault, load_recipe
from pytest_llmbench.tuning.toml_lines import line_of

HEAD = 'model = "m"\noutput = "o"\n[data]\nsuites = ["cases/a.yaml"]\n'


def load(tmp_path: Path, text: str) -> object:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)[0]


def test_a_short_recipe_has_the_defaults_of_lora(tmp_path: Path) -> None:
    """The rates are those of adapters, all seven projections learn, and a batch of grpo is one case's answers."""
    recipe = load(tmp_path, HEAD + '[lora]\n[[stage]]\nkind = "sft"\n[[stage]]\nkind = "grpo"\n')

    first, second = recipe.stage  # type: ignore[attr-defined]
    assert (first.kind, first.batch_size, first.rate(has_lora=True), first.max_length) == (
        StageKind.SFT,
        4,
        2e-4,
        "auto",
    )
    assert first.rate(has_lora=False) == pytest.approx(2e-5)
    assert (second.batch_size, second.weights, second.rate(has_lora=True)) == (8, {"score": 1.0}, 1e-5)
    assert recipe.lora.targets == TARGETS  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (
            HEAD + '[[stage]]\nkind = "sft"\nlerning_rate = 1e-4\n',
            7,
            'there is no key "lerning_rate" here; the keys are: learning_rate, ',
        ),
        (HEAD + "[loro]\n", 5, 'there is no key "loro" here; the keys are: lora, '),
        (HEAD + '[lora]\nrank = 8\n[[stage]]\nkind = "sft"\n', 6, 'there is no key "rank" here; the keys are: '),
        (
            HEAD + '[[stage]]\nkind = "sft"\n[[stage]]\nkind = "ppo"\n',
            8,
            '"stage.1.kind": there is no stage "ppo"; the stages are: sft, dpo, kto, reward, grpo, rloo; grpo and rloo '
            "take the place of PPO.",
        ),
        (HEAD + '[[stage]]\nkind = "sft"\nbatch = 0\n', 7, '"stage.0.batch": must be at least 1.'),
        (HEAD + '[[stage]]\nkind = "sft"\nbatch = "4"\n', 7, '"stage.0.batch": must be a number.'),
        (
            HEAD + '[[stage]]\nkind = "sft"\nepochs = 1\nsteps = 2\n',
            5,
            '"stage.0": has epochs and steps; leave one of them out.',
        ),
        (
            HEAD + '[[stage]]\nkind = "dpo"\ngenerations = 4\n',
            5,
            '"stage.0": "generations" is for the stages grpo and rloo; leave it out of dpo.',
        ),
        (
            HEAD + '[[stage]]\nkind = "grpo"\nrewards = {scor = 1.0}\n',
            7,
            '"stage.0.rewards": there is no reward "scor"; did you mean "score"? The rewards are: score, passed, format, length, model.',
        ),
        (
            HEAD + '[lora]\ntargets = ["q_proj", "lm_head"]\n[[stage]]\nkind = "sft"\n',
            6,
            '"lora.targets": "lm_head" cannot be a target; an adapter is trained on the projections of the layers.',
        ),
        (
            'model = "m"\noutput = "o"\n[data]\nruns = ["a.json"]\n[[stage]]\nkind = "sft"\n',
            3,
            '"data": names nothing to train on; name suites, as suites = ["cases/clickbait.yaml"].',
        ),
        (
            HEAD + '[[stage]]\nkind = "sft"\nmax_length = "long"\n',
            7,
            '"stage.0.max_length": must be "auto" or a whole number of at least 1.',
        ),
        (
            HEAD + '[[stage]]\nkind = "grpo"\ngenerations = "8"\n',
            7,
            '"stage.0.generations": must be a number.',
        ),
        (HEAD, 1, '"stage" is missing; add it, see docs/training.md.'),
        (
            HEAD + '[[stage]]\nkind = "reward"\n',
            1,
            "the recipe has only a stage reward, whose model answers nothing; add a stage that uses it.",
        ),
        (
            HEAD + '[[stage]]\nkind = "grpo"\nrewards = {model = 1.0}\n',
            1,
            "the recipe has rewards.model, which needs a stage reward before it; add one, or leave it out.",
        ),
        (
            HEAD + '[lora]\nquantization = "int4"\n[launch]\naccelerate = "zero3"\n[[stage]]\nkind = "sft"\n',
            1,
            "the recipe has quantization and zero3, which do not go together; leave one of them out.",
        ),
    ],
)
def test_a_fault_has_its_line_and_the_way_out(text: str, line: int, message: str, tmp_path: Path) -> None:
    """Unknown keys with the nearest first, stages that TRL lacks, values of another kind, things that clash."""
    with pytest.raises(RecipeFault) as fault:
        load(tmp_path, text)

    assert str(fault.value).startswith(f"{tmp_path / 'recipe.toml'}:{line}: {message}")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"model = ", "this is not TOML: "),
        (b"model = " + b"[" * 10_000 + b"]" * 10_000, "this file is nested too deep; write it flatter."),
        (b'model = "\xff"', "this file is not UTF-8; save it as UTF-8."),
    ],
)
def test_a_file_that_is_no_recipe(raw: bytes, message: str, tmp_path: Path) -> None:
    """Neither ends in a traceback."""
    (tmp_path / "recipe.toml").write_bytes(raw)

    with pytest.raises(RecipeFault) as fault:
        load_recipe(tmp_path / "recipe.toml")

    assert message in str(fault.value)


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    """Its name is in the message."""
    with pytest.raises(RecipeFault, match=r"there is no recipe .*none\.toml; name a TOML file"):
        load_recipe(tmp_path / "none.toml")


def test_keys_are_found_in_their_tables() -> None:
    """The same key in two tables of a list has two lines; what is not there has that of its table."""
    text = 'a = 1\n# b = 2\n[t]\n"b" = 2\n[[s]]\nb = 1\n\n[[s]]\nx = 2 # b = 3\n  b = 4\n'

    found = [
        line_of(text, place) for place in [("a",), ("t", "b"), ("s", 0, "b"), ("s", 1, "b"), ("s", 1, "q"), ("z",)]
    ]

    assert found == [1, 4, 6, 10, 8, 1]

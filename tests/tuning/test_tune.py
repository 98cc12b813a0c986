"""`llmbench tune` as users run it: stages in processes of their own, killed and gone on with, and what is printed."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tiny_llama as tiny
from pytest_llmbench.cli import main
from pytest_llmbench.models.transformers.files import LocalFiles, weights_digest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # advice of libraries while they load

RECIPE = """
model = "./base"
output = "adapters/v1"
[data]
suites = ["color.yaml"]
[lora]
r = 4
alpha = 8
[[stage]]
kind = "sft"
steps = 40
learning_rate = 1e-2
"""
COMMAND = "import sys; from pytest_llmbench.cli import main; sys.exit(main(['tune', 'recipe.toml']))"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny.make_project(tmp_path_factory.mktemp("project"))
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return root


def kill_behind(step: int, project: Path) -> None:
    """Begin to train, and kill the command as soon as it shows a step."""
    command = [sys.executable, "-c", COMMAND]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            found = re.match(r"01-sft: step (\d+) of", line)
            if found and int(found[1]) >= step:
                process.kill()
                break


@pytest.fixture(scope="module")
def trained(project: Path) -> str:
    """Begin to train, kill the command in the middle, and give what the same command prints then."""
    kill_behind(16, project)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as shown:
        patch.chdir(project)
        assert main(["tune", "recipe.toml"]) == 0
    return shown.getvalue()


def test_from_a_recipe_to_an_entry(project: Path, trained: str) -> None:
    """Killed in the middle, the same command goes on; what it leaves can be opened and gated."""
    assert re.search(r"^01-sft: going on from checkpoint-(15|20|25|30|35|40)$", trained, re.MULTILINE)
    assert '[tuned]\nprovider = "transformers"\nmodel = "../base"\nadapter = "../adapters/v1"\n' in trained
    assert "--lora-modules tuned=" in trained
    assert trained.endswith(
        "pytest --llm-model model=transformers:./base --llm-no-fail --benchmark-json=base.json color.yaml\n"
        "pytest --llm-model model=tuned --llm-baseline=base.json color.yaml\n"
    )
    check_manifest(project / "adapters" / "v1")
    assert not list((project / "adapters" / "v1" / "01-sft").glob("checkpoint-*"))


@pytest.mark.usefixtures("trained")
def test_what_is_finished_is_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same command trains nothing again, and a recipe that has changed is refused."""
    monkeypatch.chdir(project)
    (project / "changed.toml").write_text(RECIPE.replace("steps = 40", "steps = 2"), encoding="utf-8")

    assert main(["tune", "recipe.toml"]) == 0
    assert "01-sft: finished before, kept\n" in capsys.readouterr().out
    assert main(["tune", "changed.toml"]) == 2
    assert "is of another recipe: max_steps, save_steps changed since; train anew" in capsys.readouterr().err
    check_manifest(project / "adapters" / "v1")


def check_manifest(folder: Path) -> None:
    """Hold a manifest to what was trained: the train side, whole, for these weights."""
    found: dict[str, Any] = json.loads((folder / "llmbench_training.json").read_bytes())
    assert found["schema"] == 1
    assert found["weights"] == weights_digest(LocalFiles(path=folder), folder.parent.parent / "cache")
    assert found["parents"] == []
    assert found["split"] == {"color": {"train": 0.5, "salt": ""}}
    assert list(found["cases"]) == ["color"]
    assert all(len(digest) == len(prompt) == 64 for digest, prompt, _ in found["cases"]["color"].values())
    (stage,) = found["stages"]
    assert (stage["kind"], stage["rows"], stage["steps"]) == ("sft", len(found["cases"]["color"]), 40)
    assert set(found["libraries"]) == {"trl", "transformers", "peft", "torch"}


@pytest.mark.usefixtures("trained")
def test_a_killed_training_ends_with_the_same_adapter(project: Path, tmp_path: Path) -> None:
    """Weight by weight what one go gives, trained here in this process."""
    from pytest_llmbench.tuning.stage.training import train
    from pytest_llmbench.tuning.stage.watch import Reports

    stage = project / "adapters" / "v1" / "01-sft"
    for name in ("stage.json", "data.jsonl"):
        (tmp_path / name).write_bytes((stage / name).read_bytes())

    train(tmp_path, Reports(None))

    name = "adapter_model.safetensors"
    assert (tmp_path / name).read_bytes() == (stage / name).read_bytes()


def test_a_plan_trains_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows, tokens, steps and memory are printed, and no folder is made."""
    monkeypatch.chdir(project)
    (project / "plan.toml").write_text(RECIPE.replace("v1", "planned"), encoding="utf-8")

    assert main(["tune", "plan.toml", "--plan"]) == 0

    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "color: 13 cases to train on, 11 held out"
    assert re.fullmatch(r"01-sft: 13 rows, \d+ tokens, the longest \d+; 40 steps of 4", shown[1])
    assert re.match(r"  memory: \d+\.\d GB a device: weights 0\.0", shown[3])
    assert not (project / "adapters" / "planned").exists()


@pytest.mark.usefixtures("trained")
def test_an_adapter_is_merged(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole model that is left knows of its training too; weights that were exchanged are refused."""
    monkeypatch.chdir(project)
    adapter, target = tmp_path / "adapter", tmp_path / "merged"
    shutil.copytree(project / "adapters" / "v1", adapter)

    assert main(["tune", "--merge", str(adapter), "-o", str(target), "--dtype", "bfloat16"]) == 0

    assert f'model = "{target}"' in capsys.readouterr().out
    assert json.loads((target / "config.json").read_bytes())["dtype"] == "bfloat16"
    mine = json.loads((target / "llmbench_training.json").read_bytes())
    its = json.loads((adapter / "llmbench_training.json").read_bytes())
    assert (mine["cases"], len(mine["parents"])) == (its["cases"], 1)
    assert mine["weights"] == weights_digest(LocalFiles(path=target), tmp_path / "cache")

    (adapter / "adapter_model.safetensors").write_bytes((target / "model.safetensors").read_bytes())
    assert main(["tune", "--merge", str(adapter)]) == 2
    assert "belongs to other weights" in capsys.readouterr().err


def test_stages_are_ejected_to_trl(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data, TRL's own configuration and its command line, which needs nothing of ours but for rewards."""
    monkeypatch.chdir(project)
    text = RECIPE.replace("v1", "ejected") + '[[stage]]\nkind = "grpo"\ngenerations = 2\nbatch = 4\n'
    (project / "eject.toml").write_text(text, encoding="utf-8")

    assert main(["tune", "eject.toml", "--eject", str(tmp_path / "out")]) == 0

    assert "trl sft --config 01-sft/trl.yaml" in capsys.readouterr().out
    settings = (tmp_path / "out" / "01-sft" / "trl.yaml").read_text()
    assert '"columns": ["prompt", "completion"]' in settings
    assert "use_peft: true\nlora_r: 4\n" in settings
    rewarded = (tmp_path / "out" / "02-grpo" / "trl.yaml").read_text()
    assert 'reward_funcs: ["pytest_llmbench.tuning.rewards.score"]' in rewarded
    assert len((tmp_path / "out" / "02-grpo" / "data.jsonl").read_text().splitlines()) == 13


def test_a_folder_that_cannot_be_written_is_one_line(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault is that of the folder, not of what is printed."""
    monkeypatch.chdir(project)
    (tmp_path / "file").touch()

    assert main(["tune", "recipe.toml", "--eject", str(tmp_path / "file")]) == 2

    place = tmp_path / "file"
    assert capsys.readouterr().err == f"llmbench: {place}: Not a directory; correct the path or its rights.\n"

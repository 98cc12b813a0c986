"""Measure what a stage of `llmbench tune` costs over TRL's own script: SmolLM2, supervised fine-tuning.

Both sides train the same adapter on the same rows for the same steps, with the arguments that `llmbench tune --eject`
writes; CPU seconds include loading.  What the command itself adds around its stage is measured apart: it does not grow
with the training.  Options: --steps N (8), --rounds N (2).
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import trl
from measure import alternate, run

ROOT = Path(__file__).parent.parent
RECIPE = """
model = "smollm2-135m"
output = "{output}"
[data]
suites = ["cases/clickbait.yaml"]
[lora]
[[stage]]
kind = "sft"
learning_rate = 8e-4
steps = {steps}
"""
CALL = "import sys; from pytest_llmbench.cli import main; sys.exit(main(sys.argv[1:]))"
AIM = 0.05


def main() -> int:
    """Print the cost of both sides; 1 if a stage costs more than the aim over TRL's script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tune = [sys.executable, "-c", CALL, "tune", str(folder / "recipe.toml"), "--root", str(ROOT)]
        text = RECIPE.format(output=folder / "out", steps=options.steps)
        (folder / "recipe.toml").write_text(text, encoding="utf-8")
        run([*tune, "--eject", str(folder / "ejected")], folder)
        script = Path(trl.__file__).parent / "scripts" / "sft.py"
        theirs = [sys.executable, str(script), "--config", "01-sft/trl.yaml"]
        run(tune, folder)  # writes the stage that is trained again below
        job = folder / "out" / "01-sft" / "stage.json"
        ours = [sys.executable, "-m", "pytest_llmbench.tuning.stage", str(job)]
        found = alternate(
            {
                "trl": lambda: run(theirs, folder / "ejected"),
                "stage": lambda: (_fresh(job.parent), run(ours, folder))[1],
                "tune": lambda: (shutil.rmtree(folder / "out"), run(tune, folder))[1],
            },
            options.rounds,
        )
    for name, cost in found.items():
        print(f"{name:6} {cost.cpu_s:7.1f} CPU s {cost.wall_s:7.1f} s wall {cost.peak_mib:7.0f} MiB")
    over = found["stage"].cpu_s / found["trl"].cpu_s - 1
    around = found["tune"].cpu_s - found["stage"].cpu_s
    print(f"a stage of {options.steps} steps: {over:+.1%} over TRL's script; the command around it: {around:.1f} CPU s")
    return int(over > AIM)


def _fresh(folder: Path) -> None:
    """Take away what a stage would go on from."""
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


if __name__ == "__main__":
    sys.exit(main())

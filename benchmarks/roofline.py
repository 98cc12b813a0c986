"""What a core can do, what the tasks of `local.py` need of it, and how near their measured time is to that.

Run with `python benchmarks/roofline.py`.  One thread; figures are CPU seconds, the speeds the best of several.  Each
task is answered once by this project with 32 rows.  Its passes are counted, with their tokens; they imply

- the time to multiply: two operations a weight and token, at the speed of the largest pass measured;
- the time to read: every pass reads all weights, at the speed of reading memory;
- the time of the linear layers alone, as measured for the numbers of tokens of its passes.
"""

import argparse
import bisect
import time
from collections.abc import Callable
from typing import Any

from local import MODEL, TASKS, Task, job_of

ROWS = 32
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Tokens of the passes that are measured."""


HEAD_TOKENS = 64
"""So many of them at most have logits."""


def best_s(work: Callable[[], Any], times: int = 7) -> float:
    """Return the least CPU time of some work."""
    taken = []
    for _ in range(times):
        began_s = time.process_time()
        work()
        taken.append(time.process_time() - began_s)
    return min(taken)


def reading_gb_s() -> float:
    """Measure reading memory in GB/s."""
    import torch

    large = torch.randn(128 << 20)  # 512 MiB
    return float(large.nbytes / best_s(large.sum) / 1e9)


class Counted:
    """The linear layers of a network alone, and the passes that a network was asked for."""

    def __init__(self, network: Any):
        import torch

        head = network.get_output_embeddings()
        self._layers = [
            layer for layer in network.modules() if isinstance(layer, torch.nn.Linear) and layer is not head
        ]
        self._head = head
        self.layer_weights = sum(layer.weight.numel() for layer in self._layers)
        self.head_weights = head.weight.numel()
        self.passes: list[tuple[int, int]] = []  # tokens, and those with logits
        self._n_fed = 0
        network.register_forward_pre_hook(self._watch, with_kwargs=True)
        network.register_forward_hook(self._count)

    def _count(self, _network: Any, _args: Any, output: Any) -> None:
        rows, tokens = output.logits.shape[:2]
        self.passes.append((self._n_fed, rows * tokens))

    def _watch(self, _network: Any, _args: Any, fed: dict[str, Any]) -> None:
        self._n_fed = fed["input_ids"].numel()

    def linear_s(self, n_tokens: int) -> float:
        """Measure all linear layers for some tokens, logits for at most `HEAD_TOKENS` of them."""
        import torch

        inputs = {layer.in_features: torch.randn(1, n_tokens, layer.in_features) for layer in self._layers}
        last = torch.randn(1, min(n_tokens, HEAD_TOKENS), self._head.in_features)

        def work() -> None:
            with torch.inference_mode():
                for layer in self._layers:
                    layer(inputs[layer.in_features])
                self._head(last)

        return best_s(work, 3)


def between(n_tokens: int, measured: dict[int, float]) -> float:
    """Interpolate the seconds of a pass."""
    sizes = sorted(measured)
    place = min(max(1, bisect.bisect_left(sizes, n_tokens)), len(sizes) - 1)
    low, high = sizes[place - 1], sizes[place]
    return measured[low] + (measured[high] - measured[low]) * (n_tokens - low) / (high - low)


def answered(model: Any, task: Task, limit: int) -> float:
    """Answer a task; give its CPU seconds."""
    from pytest_llmbench.values import Prompt, Request, Sampling

    job = job_of(task, limit)
    sampling = Sampling(max_tokens=job["max_tokens"], stop=tuple(job["stop"]))
    requests = [
        Request(suite="s", case=str(place), sample=0, prompt=Prompt(text=text), sampling=sampling)
        for place, text in enumerate(job["prompts"])
    ]
    began_s = time.process_time()
    model.answer(requests)
    return time.process_time() - began_s


def main() -> None:
    """Measure the core, then each task that generates."""
    from pytest_llmbench.models.base import OpenSettings
    from pytest_llmbench.models.entries import TransformersEntry
    from pytest_llmbench.models.transformers.provider import PROVIDER

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="at most so many prompts of each kind")
    options = parser.parse_args()
    entry = TransformersEntry(provider="transformers", model=MODEL, dtype="float32", threads=1, concurrency=ROWS)
    model = PROVIDER.open(entry, OpenSettings())
    gigabytes = reading_gb_s()
    network = model._loaded.network  # type: ignore[union-attr]
    counted = Counted(network)
    measured = {size: counted.linear_s(size) for size in SIZES}
    weights = counted.layer_weights + counted.head_weights
    # Of the sizes measured, the largest is the quickest a token.
    gflops = 2 * (SIZES[-1] * counted.layer_weights + HEAD_TOKENS * counted.head_weights) / measured[SIZES[-1]] / 1e9
    print(f"core: {gflops:.0f} GFLOP/s multiplying, {gigabytes:.1f} GB/s reading")
    print("linear layers: " + ", ".join(f"{size} tokens {1000 * taken:.0f} ms" for size, taken in measured.items()))
    for task in TASKS:
        if task.picks_label:
            continue
        model.forget()
        counted.passes.clear()
        taken_s = answered(model, task, options.n)
        fed, logits = (sum(column) for column in zip(*counted.passes, strict=True))
        multiply_s = 2 * (fed * counted.layer_weights + logits * counted.head_weights) / gflops / 1e9
        read_s = len(counted.passes) * 4 * weights / gigabytes / 1e9
        passes_s = sum(between(size, measured) for size, _ in counted.passes)
        print(f"{task.name}: {len(counted.passes)} passes, {fed} tokens, {logits} with logits; {taken_s:.1f} s")
        print(f"    to multiply {multiply_s:.1f} s, to read the weights {read_s:.1f} s, linear layers {passes_s:.1f} s")


if __name__ == "__main__":
    main()

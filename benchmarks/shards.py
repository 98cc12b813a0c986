"""Measure a run in shards: the largest process of it, and that of merging.

    python benchmarks/shards.py [--cases N] [--shards N]

Recorded answers, `exact`.  `--cases 1000000 --shards 20` is the whole of it, about 20 minutes; by default a tenth of
that in two shards, so that a shard has as many cases.  With `--copies` only the first shard is run, and the files of
the others are made of its file: for merging.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measure import pytest_command, run
from overhead import write_recorded

QUIET = ("--benchmark-quiet", "-p", "no:cacheprovider", "--llm-answers=off")


def copy_of(shard: Path, target: Path, index: int, of: int) -> None:
    """Write the file of another shard: the same records, of other cases."""
    with shard.open() as lines, target.open("w") as out:
        for line in lines:
            if line.startswith('"llmbench"'):
                block = json.loads(line.partition(": ")[2])
                block["options"]["shard"] = {"index": index, "of": of}
                for name in ("prompts", "expected"):
                    block[name] = {f"{index:02}{digest[2:]}": text for digest, text in block[name].items()}
                line = f'"llmbench": {json.dumps(block)}\n'
            out.write(line.replace("case-", f"case-{index}-") if line.startswith("{") and len(line) > 2 else line)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--copies", action="store_true", help="run the first shard only, and make the others of it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, n = Path(scratch) / "project", options.shards
        write_recorded(folder, options.cases // n if options.copies else options.cases)
        files = [folder / f"run-{index}.json" for index in range(1, n + 1)]
        costs = []
        for index, file in enumerate(files, 1):
            shard = "1/1" if options.copies else f"{index}/{n}"
            own = ("--llm-model", "recorded:answers.jsonl", f"--llm-shard={shard}", f"--benchmark-json={file.name}")
            costs.append(run(pytest_command(*own, *QUIET, "suite.yaml"), folder))
            if options.copies:
                break
        if options.copies:
            for index in range(1, n + 1):
                copy_of(files[0], folder / f"part-{index}.json", index, n)
            files = [folder / f"part-{index}.json" for index in range(1, n + 1)]
        worst = max(cost.peak_mib for cost in costs)
        sys.stdout.write(
            f"{options.cases:,} cases in {n} shards: a shard {costs[0].cpu_s:.0f} s CPU, {costs[0].wall_s:.0f} s wall, "
            f"{worst:.0f} MiB, {files[0].stat().st_size / 2**20:.0f} MiB of JSON\n"
        )
        command = [str(Path(sys.executable).with_name("llmbench")), "merge", *map(str, files), "-o", "run.json"]
        merging = run(command, folder)
        size = (folder / "run.json").stat().st_size / 2**20
        sys.stdout.write(
            f"merging them: {merging.cpu_s:.0f} s CPU, {merging.peak_mib:.0f} MiB, {size:.0f} MiB of JSON; "
            f"peak of any process {max(worst, merging.peak_mib):.0f} MiB, aim 1024 MiB\n"
        )


if __name__ == "__main__":
    main()

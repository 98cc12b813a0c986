"""Have lm-evaluation-harness itself write its samples of recorded answers: `make peers` writes `tests/peers/lm_eval/`.

Two tasks over the same documents, answered by a model that replays; the metrics in the samples are the harness's own.

    python tests/peers/lm_eval_logs.py        (in an environment with lm_eval)
"""

import json
import shutil
import tempfile
from pathlib import Path

from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

HERE = Path(__file__).parent / "lm_eval"
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
GSM = """
task: gsm
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
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


class Replay(LM):
    """Gives the n-th answer to the n-th document."""

    def __init__(self, answers: list[str]):
        super().__init__()
        self.answers = answers

    def generate_until(self, requests, disable_tqdm=True):
        return [self.answers[request.doc_id] for request in requests]

    def loglikelihood(self, requests, disable_tqdm=True):
        raise NotImplementedError

    def loglikelihood_rolling(self, requests, disable_tqdm=True):
        raise NotImplementedError


def main() -> None:
    """Write results and samples of both tasks."""
    shutil.rmtree(HERE, ignore_errors=True)
    for name, yaml, docs in (("gsm", GSM, DOCS), ("capitals", CAPITALS, WORDS)):
        with tempfile.TemporaryDirectory() as scratch:
            data = Path(scratch) / "docs.jsonl"
            lines = (json.dumps({"question": q, "answer": a, "n": n}) + "\n" for n, (q, a, _) in enumerate(docs))
            data.write_text("".join(lines), encoding="utf-8")
            tasks = Path(scratch) / "tasks"
            tasks.mkdir()
            (tasks / f"{name}.yaml").write_text(yaml.replace("DATA", str(data)), encoding="utf-8")
            tracker = EvaluationTracker(output_path=scratch)
            found = simple_evaluate(
                model=Replay([text for _, _, text in docs]),
                tasks=[name],
                task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
                log_samples=True,
                bootstrap_iters=0,
            )
            samples = found.pop("samples")
            tracker.save_results_aggregated(results=found, samples=samples)
            tracker.save_results_samples(task_name=name, samples=samples[name])
            for path in sorted(Path(scratch).rglob("*.json*")):
                if path.name.startswith(("results_", "samples_")):
                    stamp = "2026-01-01T00-00-00.000000"
                    kind = path.name.partition("_")[0]
                    (HERE / name).mkdir(parents=True, exist_ok=True)
                    target = f"results_{stamp}.json" if kind == "results" else f"samples_{name}_{stamp}.jsonl"
                    shutil.copy(path, HERE / name / target)


if __name__ == "__main__":
    main()

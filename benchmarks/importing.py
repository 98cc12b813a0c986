"""Measure `llmbench import` of promptfoo and lm-evaluation-harness, and the collection of a data set of 100,000 rows.

Run it with `python benchmarks/importing.py --lm-eval PYTHON`, an interpreter that has lm_eval.  The aims are 3 s for
1,000 tests of promptfoo, 20 s for GSM8K beside what the harness takes to start, and 600 MiB.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from measure import run

TESTS = 1_000
ROWS = 100_000
TRAIN, DOCUMENTS = 7_473, 1_319
WORDS = "the baker sells apples and bread to her friends each morning before walking to the market"
TASK = r"""
task: gsm8k
dataset_path: json
dataset_kwargs: {data_files: {train: train.jsonl, test: test.jsonl}}
output_type: generate_until
training_split: train
fewshot_split: train
test_split: test
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer}}"
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    ignore_punctuation: false
    regexes_to_ignore: [",", "\\$", "(?s).*#### ", "\\.$"]
generation_kwargs: {until: ["Question:", "</s>", "<|im_end|>"], do_sample: false, temperature: 0.0}
repeats: 1
num_fewshot: 5
filter_list:
  - name: strict-match
    filter: [{function: regex, regex_pattern: "#### (\\-?[0-9\\.\\,]+)"}, {function: take_first}]
  - name: flexible-extract
    filter: [{function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}, {function: take_first}]
metadata: {version: 3.0}
"""


def config() -> str:
    """Give a configuration of so many tests, with four assertions each."""
    lines = ['prompts: ["Classify: {{ body }}"]', "providers: [openai:gpt-4o-mini]", "tests:"]
    for number in range(TESTS):
        lines += [
            f"  - description: ticket {number}",
            f'    vars: {{body: "Ticket {number}: you charged me twice, and nobody answers.", wanted: billing}}',
            "    assert:",
            '      - {type: contains, value: "{{ wanted }}"}',
            "      - {type: not-icontains, value: best regards}",
            "      - {type: regex, value: '^\\{.*\\}$'}",
            """      - {type: javascript, value: "JSON.parse(output).category === 'billing'"}""",
        ]
    return "\n".join(lines) + "\n"


def parquet(path: Path) -> None:
    """Write a table of so many rows of 500 characters."""
    import duckdb

    query = (
        "COPY (SELECT 'Question ' || i || ': ' || repeat('what is this about? ', 12) AS question, "
        "repeat('a reason, ', 20) AS reason, CAST(i AS VARCHAR) AS answer FROM range(?) t(i)) TO '"
        f"{path}' (FORMAT parquet)"
    )
    duckdb.execute(query, [ROWS])


def gsm8k(folder: Path) -> None:
    """Write rows as those of GSM8K, as many as it has, and the task that the harness has for them."""
    import random

    draw = random.Random(1)
    words = WORDS.split()

    def row(number: int) -> dict[str, str]:
        one, other = draw.randint(2, 90), draw.randint(2, 40)
        steps = [
            f"{' '.join(draw.choices(words, k=12))} {one}*{other}=<<{one}*{other}={one * other}>>{one * other}."
        ] * 4
        question = f"{' '.join(draw.choices(words, k=45))} {one} and {other}. How many are left in box {number}?"
        return {"question": question, "answer": "\n".join([*steps, f"#### {one * other:,}"])}

    for name, count in (("train", TRAIN), ("test", DOCUMENTS)):
        lines = (json.dumps(row(number)) + "\n" for number in range(count))
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "gsm8k.yaml").write_text(TASK, encoding="utf-8")


def collected(folder: Path, name: str, source: str) -> None:
    """Print what the collection of a data set takes."""
    (folder / f"{name}.yaml").write_text(
        f"suite: {name}\ngrader: exact\nprompt: {{completion: '{{{{ question }}}}'}}\n"
        f"data: {{dataset: '{source}', columns: {{id: '', question: question, expected: answer}}}}\n",
        encoding="utf-8",
    )
    (folder / "answers.jsonl").write_text('{"case": "x", "answer": "y"}\n', encoding="utf-8")
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "--llm-model", "recorded:answers.jsonl"]
    cost = run([sys.executable, "-m", "pytest", *options, f"{name}.yaml"], folder)
    print(f"collection of a data set of {ROWS:,} rows, {source}: {cost.wall_s:.1f} s, {cost.peak_mib:.0f} MiB")


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lm-eval", metavar="PYTHON", help="an interpreter that has lm_eval, for the task of GSM8K")
    options = parser.parse_args()
    tool = str(Path(sys.executable).with_name("llmbench"))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if options.lm_eval:
            gsm8k(folder)
            python = os.path.abspath(options.lm_eval)
            start = run([python, "-I", "-c", "import lm_eval.evaluator, lm_eval.tasks"], folder)
            cost = run([tool, "import", "gsm8k.yaml", "-o", "cases/gsm8k.yaml", "--python", python], folder)
            print(f"freezing GSM8K, {DOCUMENTS:,} documents with 5 shots: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} s CPU")
            print(f"    of which the harness takes to start: {start.wall_s:.1f} s, {start.cpu_s:.1f} s CPU")
        (folder / "promptfooconfig.yaml").write_text(config(), encoding="utf-8")
        cost = run([tool, "import", "promptfooconfig.yaml", "-o", "cases/tickets.yaml"], folder)
        print(f"import of a promptfoo configuration of {TESTS:,} tests: {cost.wall_s:.1f} s, {cost.peak_mib:.0f} MiB")
        parquet(folder / "rows.parquet")
        collected(folder, "rows", "parquet:rows.parquet")
        duckdb_rows = f"COPY (SELECT * FROM '{folder / 'rows.parquet'}') TO '{folder / 'rows.jsonl'}' (FORMAT json)"
        import duckdb

        duckdb.execute(duckdb_rows)
        collected(folder, "lines", "json:rows.jsonl")


if __name__ == "__main__":
    main()

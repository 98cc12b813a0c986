"""Samples of lm-evaluation-harness, logged by itself (`make peers`): graded again, the metrics are its own."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import PromptStyle

LOGS = Path(__file__).parent.parent / "peers" / "lm_eval"
STAMP = "2026-01-01T00-00-00.000000"
Import = Callable[..., tuple[int, list[str]]]


def test_each_pipeline_is_a_suite_with_the_harness_s_verdicts(import_of: Import, tmp_path: Path) -> None:
    """The filters read the answer, `exact_match` compares it; only reasoning is another matter."""
    status, lines = import_of(LOGS / "gsm")

    assert status == 0
    assert lines[-2:] == [
        "s-strict-match: 19 of 20 verdicts of the source are the same here; different: d92a4f8d1da3",
        "s-flexible-extract: 20 of 20 verdicts of the source are the same here",
    ]
    loaded = load_suite(tmp_path / "cases" / "s-strict-match.yaml")
    assert loaded is not None
    first = loaded.suite.cases[0]
    assert loaded.prompts[PromptStyle.COMPLETION][first.id].text == "Question: What is 6 times 7?\nAnswer:"
    assert (loaded.suite.sampling.max_tokens, loaded.suite.sampling.stop) == (64, ("Question:", "</s>"))
    lines_of = (tmp_path / "cases" / "s-strict-match.answers.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(lines_of[12]) == {
        "case": "d92a4f8d1da3",
        "answer": "<think>#### 41</think>#### 42",
        "source_verdict": 0.0,
    }


@pytest.mark.parametrize("name", ["s-strict-match.jsonl", "s-flexible-extract.answers.jsonl"])
def test_a_file_beside_the_suite_is_not_replaced(import_of: Import, tmp_path: Path, name: str) -> None:
    """Cases and answers of the user's own stay, and nothing else is written."""
    own = tmp_path / "cases" / name
    own.parent.mkdir()
    own.write_text("mine", encoding="utf-8")

    status, lines = import_of(LOGS / "gsm")

    assert status == 2
    assert f"{name} is there already; pass --update to renew it" in lines[-1]
    assert [path.read_text(encoding="utf-8") for path in own.parent.iterdir()] == ["mine"]


def test_answers_stay_with_their_cases_where_one_holds_a_key(import_of: Import, tmp_path: Path) -> None:
    """A prompt and an answer with what looks like a key are left out with their cases; the other verdicts are theirs."""
    folder = tmp_path / "log"
    shutil.copytree(LOGS / "gsm", folder)
    (file,) = folder.glob("samples_*.jsonl")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    in_prompt, in_answer = rows[2]["doc_hash"], rows[4]["doc_hash"]
    key = "sk-" + "a1" * 15
    for row in rows:
        if row["doc_hash"] == in_prompt:
            row["arguments"]["gen_args_0"]["arg_0"] += key
        if row["doc_hash"] == in_answer:
            row["resps"][0][0] += key
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    status, lines = import_of(folder, "--partial")

    assert status == 0
    assert lines[-2:] == [
        "s-strict-match: 17 of 18 verdicts of the source are the same here; different: d92a4f8d1da3",
        "s-flexible-extract: 18 of 18 verdicts of the source are the same here",
    ]
    assert not any(key in path.read_text(encoding="utf-8") for path in (tmp_path / "cases").iterdir())


def test_punctuation_and_case_are_ignored_as_there(import_of: Import) -> None:
    """A task without filters compares the whole answer."""
    status, lines = import_of(LOGS / "capitals" / f"samples_capitals_{STAMP}.jsonl")

    assert (status, lines[-1]) == (0, "s: 10 of 10 verdicts of the source are the same here")


def log(tmp_path: Path, **changes: Any) -> Path:
    """Copy a log, some keys of its task replaced."""
    folder = tmp_path / "log"
    shutil.copytree(LOGS / "gsm", folder)
    path = folder / f"results_{STAMP}.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["configs"]["gsm"] |= changes
    path.write_text(json.dumps(results), encoding="utf-8")
    return folder


def test_each_measure_of_choices_is_a_suite_with_the_harness_s_verdicts(import_of: Import, tmp_path: Path) -> None:
    """The same log-probabilities, by none, characters and bytes; of a right choice that stands twice, nobody can tell."""
    status, lines = import_of(LOGS / "animals", "--partial")

    assert status == 0
    assert lines[0] == (
        f'samples_animals_{STAMP}.jsonl:11: its right choice "Bär" stands there twice, and only one of them is right.'
    )
    assert [line for line in lines if "verdicts" in line] == [
        "s-acc: 10 of 10 verdicts of the source are the same here",
        "s-acc_norm: 10 of 10 verdicts of the source are the same here",
        "s-acc_bytes: 10 of 10 verdicts of the source are the same here",
    ]
    assert "note: mcc: a figure of all cases together, which is not carried over" in lines
    loaded = load_suite(tmp_path / "cases" / "s-acc_bytes.yaml")
    assert loaded is not None
    choices = loaded.kind.choices(loaded.suite, loaded.suite.cases[0])
    assert choices is not None
    assert (choices.delimiter, choices.texts[:2]) == (" ", ("a spider", "an ant"))
    answers = (tmp_path / "cases" / "s-acc.answers.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(answers[1])["choice_logprobs"] == {
        "a spider": -5.0,
        "an ant": -5.0,
        "a duck-billed platypus": -9.0,
    }


REFUSED = {
    "likelihood": (
        {"output_type": "loglikelihood_rolling"},
        "tasks of `loglikelihood_rolling` are not mapped: they compare the likelihood of whole documents, which no "
        "grader does.",
    ),
    "images": ({"doc_to_image": "image"}, "`doc_to_image` is not mapped: prompts are texts."),
    "a metric beside": (
        {"metric_list": [{"metric": "exact_match"}, {"metric": "chrf"}]},
        "the metric chrf is not mapped; those that are: exact_match.",
    ),
    "an aggregation": (
        {"metric_list": [{"metric": "exact_match", "aggregation": "median"}]},
        "`aggregation: median` is not mapped: a score is the mean of its cases.",
    ),
    "code": ({"process_results": "<function f>"}, "`process_results` is code; write it as package.module:function."),
    "a metric": ({"metric_list": [{"metric": "bleu"}]}, "the metric must be `exact_match`, and the task has: bleu."),
    "an option": (
        {"metric_list": [{"metric": "exact_match", "ignore_numbers": True}]},
        "the option `ignore_numbers` of `exact_match` is not mapped.",
    ),
    "repeats": ({"repeats": 4}, "`repeats` above 1 is not mapped; log one answer for each document."),
    "a filter": (
        {"filter_list": [{"name": "strict-match", "filter": [{"function": "majority_vote"}]}]},
        "the filters majority_vote are not mapped; those that are: regex, remove_whitespace, take_first.",
    ),
    "a choice of matches": (
        {"filter_list": [{"name": "strict-match", "filter": [{"function": "regex", "group_select": 2}]}]},
        "`group_select: 2` is not mapped; a suite reads the first or the last match.",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_task_without_an_equal_is_refused(
    changes: dict[str, Any], message: str, import_of: Import, tmp_path: Path
) -> None:
    """What no suite can hold is named, and nothing is written."""
    status, lines = import_of(log(tmp_path, **changes))

    assert (status, lines[0]) == (1, f"results_{STAMP}.json: {message}")
    assert not (tmp_path / "cases").exists()


def test_the_results_must_lie_beside_the_samples(import_of: Import, tmp_path: Path) -> None:
    """Without them nobody knows the filters and the metric."""
    path = log(tmp_path) / f"samples_gsm_{STAMP}.jsonl"
    path.with_name(f"results_{STAMP}.json").unlink()

    status, lines = import_of(path)

    assert status == 2
    assert lines == [
        f"llmbench: TMP/log/{path.name}: the results of its run are not beside it; there is no results_{STAMP}.json."
    ]


def test_a_source_of_two_kinds_asks_which(import_of: Import, tmp_path: Path) -> None:
    """A folder that holds a configuration and a log is no guess."""
    folder = log(tmp_path)
    (folder / "promptfooconfig.yaml").write_text("prompts: [a]\ntests: []\n", encoding="utf-8")

    status, lines = import_of(folder)

    assert (status, lines) == (
        2,
        ["llmbench: TMP/log may be of several kinds; pass --from promptfoo or --from lm-eval."],
    )


def replayed(name: str, tmp_path: Path) -> str:
    """Write an interpreter that gives what the harness itself gave for a task (`make peers`)."""
    source = LOGS / name
    path = tmp_path / "python"
    path.write_text(
        f"#!{sys.executable} -SE\n"
        "import json, shutil, sys\n"
        "assert sys.argv[1] == '-I' and sys.argv[2].endswith('child.py')\n"
        f"first, second = open({str(source / 'replies.jsonl')!r})\n"
        "print(first, end='', flush=True)\n"
        "if sys.stdin.readline():\n"
        f"    shutil.copy({str(source / 'frozen.jsonl')!r}, json.loads(sys.argv[3])['out'])\n"
        "    print(second, end='', flush=True)\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("name", "shots"), [("gsm", 0), ("shots", 2), ("capitals", 0), ("animals", None)])
def test_a_frozen_task_is_the_suite_of_its_log(
    name: str, shots: int | None, import_of: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same cases, prompts and checks as from a run of it, and no answers; its shots are drawn once and for all."""
    monkeypatch.chdir(LOGS / name)
    status, lines = import_of(LOGS / name / f"{name}.yaml", "--python", replayed(name, tmp_path), "--partial")
    assert status == 0, lines
    frozen = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "cases").iterdir()}
    shutil.rmtree(tmp_path / "cases")

    assert import_of(LOGS / name, "--partial")[0] == 0

    for path in (tmp_path / "cases").glob("*.jsonl"):
        if not path.name.endswith(".answers.jsonl"):
            assert frozen.pop(path.name) == path.read_text(encoding="utf-8")
    for path in (tmp_path / "cases").glob("s*.yaml"):
        if not path.name.endswith("unmapped.yaml"):
            text = frozen.pop(path.name)
            assert text.partition("\nsampling:")[2] == path.read_text(encoding="utf-8").partition("\nsampling:")[2]
            if shots is not None:
                assert f"  shots:\n    n: {shots}\n    seed: 1234\n    frozen: true\n" in text
    assert all(path.endswith(".unmapped.yaml") for path in frozen)


TASK = """\
task: t
dataset_path: json
dataset_kwargs: {data_files: {test: docs.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: answer
metric_list:
  - metric: exact_match
"""
NOT_FROZEN = {
    "code": (
        TASK.replace('{{question}}"', '"') + "process_docs: !function utils.docs\n",
        "t.yaml:10: `process_docs: !function utils.docs` is code; pass --trust-code to let the code of this task run.",
    ),
    "code below a key": (
        TASK + "fewshot_config:\n  sampler: first_n\n  samples: !function utils.shots\n",
        "t.yaml:12: `fewshot_config.samples: !function utils.shots` is code; pass --trust-code to let the code of this "
        "task run.",
    ),
    "the code of a metric": (
        TASK + "  - metric: !function utils.judge\n",
        "t.yaml:10: the metric utils.judge is not mapped; those that are: exact_match.",
    ),
    "the code of results": (
        TASK + "process_results: !function utils.judge\n",
        "t.yaml:10: `process_results` is code; write it as package.module:function.",
    ),
    "a class": (
        "task: t\ninclude: base.yaml\nclass: !function utils.Task\n",
        "t.yaml:3: `class` makes the task a Python class, which is not mapped; write its cases yourself.",
    ),
    "what it includes": (
        "task: t\ninclude: base.yaml\noutput_type: loglikelihood\n",
        "t.yaml:3: tasks of `loglikelihood` are not mapped: they compare the likelihood of whole documents, which no "
        "grader does.",
    ),
    "a metric that is included": (
        "task: t\ninclude: bleu.yaml\n",
        "bleu.yaml:8: the metric must be `exact_match`, and the task has: bleu.",
    ),
    "a folder elsewhere": (
        "task: t\ninclude: ../up.yaml\n",
        "t.yaml:2: `include: ../up.yaml` is not there, or leaves the folder of the task.",
    ),
    "data elsewhere": (
        TASK.replace("docs.jsonl", "/etc/hosts"),
        't.yaml:3: "/etc/hosts" leaves the folder of the task and the working directory; copy it there.',
    ),
    "data of the network": (
        TASK.replace("docs.jsonl", "'https://example.com/x.json'"),
        't.yaml:3: "https://example.com/x.json" leaves the folder of the task and the working directory; copy it there.',
    ),
    "pickles": (
        TASK.replace("dataset_path: json", "dataset_path: pandas"),
        't.yaml:2: "pandas" reads pickles, which are code; pass --trust-code to let the code of this task run.',
    ),
    "repeats": (
        TASK + "repeats: 5\n",
        "t.yaml:10: `repeats` above 1 is not mapped; log one answer for each document.",
    ),
}


@pytest.mark.parametrize(("text", "message"), NOT_FROZEN.values(), ids=list(NOT_FROZEN))
def test_what_cannot_be_frozen_is_refused_before_anything_runs(
    text: str, message: str, import_of: Import, tmp_path: Path
) -> None:
    """By the YAML of the task alone, with its line; no process is started, and nothing is written."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "t.yaml").write_text(text, encoding="utf-8")
    (folder / "base.yaml").write_text(TASK, encoding="utf-8")
    (folder / "bleu.yaml").write_text(TASK.replace("exact_match", "bleu"), encoding="utf-8")

    status, lines = import_of(folder / "t.yaml", "--python", str(tmp_path / "no-such-python"))

    assert (status, lines) == (1, [message, "nothing written: 1 construct not mapped; no case is left"])
    assert not (tmp_path / "cases").exists()


def test_code_that_is_trusted_is_left_to_the_harness(import_of: Import, tmp_path: Path) -> None:
    """With --trust-code the process is started; here there is none."""
    path = tmp_path / "t.yaml"
    path.write_text(TASK + "process_docs: !function utils.docs\n", encoding="utf-8")

    status, lines = import_of(path, "--trust-code", "--python", str(tmp_path / "no-such-python"))

    assert (status, lines) == (
        2,
        ["llmbench: TMP/no-such-python: this interpreter does not start: No such file or directory; see --python."],
    )


def test_a_file_that_is_missing_is_no_name_of_a_task(import_of: Import, tmp_path: Path) -> None:
    """What ends as a file does is looked for as one."""
    status, lines = import_of(tmp_path / "t.yaml", "--from", "lm-eval")

    assert (status, lines) == (2, ["llmbench: there is no TMP/t.yaml; name the YAML file of a task, or lm-eval:TASK."])


def test_an_interpreter_without_the_harness_is_named(import_of: Import) -> None:
    """The way out is in the sentence; a task of the library needs no file."""
    status, lines = import_of(Path("lm-eval:gsm8k"))

    assert (status, lines) == (
        2,
        [
            f"llmbench: lm-eval:gsm8k: there is no `lm_eval` in {sys.executable}: pip install lm_eval, or name with "
            "--python the interpreter that has it."
        ],
    )

"""Samples of lm-evaluation-harness, logged by itself (`make peers`): graded again, the metrics are its own."""

import json
import shutil
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
    assert json.loads(lines_of[12]) == {"case": "d92a4f8d1da3", "answer": "<think>#### 41</think>#### 42"}


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


REFUSED = {
    "choices": (
        {"output_type": "multiple_choice"},
        "tasks of `multiple_choice` are not mapped: they compare the likelihood of given texts.",
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
        "the filters majority_vote are not mapped; those that are: regex, take_first.",
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

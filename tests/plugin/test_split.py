"""A run of one side of a split suite."""

import json
from collections.abc import Callable

import pytest

Project = Callable[..., pytest.Pytester]

SUITE = """\
suite: capitals
grader: exact
prompt: {completion: "{{ question }}"}
cases:
  - {id: france, question: "Capital of France?", expected: Paris, tags: [europe]}
  - {id: peru, question: "Capital of Peru?", expected: Lima, split: held-out}
  - {id: kenya, question: "Capital of Kenya?", expected: Nairobi, split: held-out}
"""
SPLIT = SUITE.replace("grader: exact\n", "grader: exact\nsplit: {train: 0.5}\n").replace(
    "tags: [europe]", "split: train"
)
QUIET = ("--benchmark-quiet",)


def test_llm_split_runs_one_side_and_the_run_says_so(project: Project) -> None:
    """`held-out` leaves the train side out, before --llm-limit counts; split and option stand in the run's file."""
    folder = project(suite=SPLIT)

    result = folder.runpytest(
        "--llm-model", "old", "--llm-split", "held-out", "--llm-limit", "2", "--benchmark-json=r.json", *QUIET
    )

    block = json.loads((folder.path / "r.json").read_text())["llmbench"]
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*france*")
    assert block["options"]["split"] == "held-out"
    assert block["suites"]["capitals"]["split"] == {"train": 0.5, "salt": ""}


@pytest.mark.parametrize(
    ("suite", "side", "status", "line"),
    [
        (
            SUITE.replace(", split: held-out", ""),
            "held-out",
            4,
            "ERROR: --llm-split held-out: no suite of this run has a split; write `split: {train: 0.5}` into "
            "cases/capitals.yaml, or leave --llm-split out.",
        ),
        (SPLIT, "test", 4, 'ERROR: --llm-split needs train, held-out or all, not "test".'),
        (
            SPLIT.replace("held-out", "train"),
            "held-out",
            5,
            'llmbench: suite "capitals" has no case on the held-out side; give its `split` another share or salt.',
        ),
    ],
)
def test_a_side_that_is_not_there_is_named(project: Project, suite: str, side: str, status: int, line: str) -> None:
    """No split at all, no such side, or nothing on it: one sentence and the way out."""
    result = project(suite=suite).runpytest("--llm-model", "old", "--llm-split", side, *QUIET)

    assert result.ret == status
    assert line in [*result.outlines, *result.errlines]

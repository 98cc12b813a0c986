"""`--llm-shard`: parts of a run, on as many machines, that `llmbench merge` makes one run of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main

Project = Callable[..., pytest.Pytester]


def run(pytester: pytest.Pytester, name: str, *options: str) -> pytest.RunResult:
    arguments = ("--llm-model", "old", "--llm-no-fail", "--benchmark-quiet", f"--benchmark-json={name}.json", *options)
    return pytester.runpytest(*arguments, "cases")


def block(name: str) -> Any:
    return json.loads(Path(f"{name}.json").read_text())["llmbench"]


def test_shards_merged_are_the_whole_run(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Four parts of three cases, one of them empty, merge into the records of the run without shards."""
    pytester = project()
    run(pytester, "whole")
    results = [run(pytester, f"part-{index}", f"--llm-shard={index}/4") for index in (1, 2, 3, 4)]
    results[0].stdout.fnmatch_lines(["llmbench: old; shard 1 of 4"])
    results[3].stdout.fnmatch_lines(["*no tests ran*"])
    assert [result.ret for result in results] == [0, 0, 0, 0]
    assert (block("part-4")["options"]["shard"], block("part-4")["totals"]["records"]) == ({"index": 4, "of": 4}, 0)

    assert main(["merge", *(f"part-{index}.json" for index in (1, 2, 3, 4)), "-o", "run.json"]) == 0
    capsys.readouterr()
    main(["compare", "whole.json", "run.json", "--format", "json"])

    records = [
        [benchmark["extra_info"] for benchmark in json.loads(Path(f"{name}.json").read_text())["benchmarks"]]
        for name in ("whole", "run")
    ]
    assert records[0] == records[1]
    assert len(records[0]) == 3
    assert block("run") == {**block("whole"), "options": {**block("whole")["options"], "merged": 4}}
    (suite,) = json.loads(capsys.readouterr().out)["suites"]
    assert (suite["delta"], suite["agreement"]["text"], suite["differences"]) == (0, 1, [])


def test_a_shard_is_not_gated(project: Project) -> None:
    """A part of the cases can neither pass nor fail: the message names what can. Without suites nothing is excused."""
    pytester = project()

    result = run(pytester, "part", "--llm-shard=1/2", "--llm-min-score=0.5")
    empty = pytester.runpytest("--llm-model=old", "--llm-shard=1/2", "fixtures")

    assert (result.ret, empty.ret) == (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
    result.stderr.fnmatch_lines(["*gate the merged run: llmbench merge, then llmbench compare --min-score."])


def test_a_merged_run_is_held_to_minimum_scores(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare --min-score` counts as the gate of a run does: a miss is worse, an unknown suite is wrong usage."""
    pytester = project()
    run(pytester, "base")
    pytester.path.joinpath("fixtures/old.jsonl").write_text('{"case": "france", "answer": "Paris", "latency_s": 1}\n')
    run(pytester, "new")
    capsys.readouterr()

    assert main(["compare", "base.json", "base.json", "--min-score", "1"]) == 2
    assert main(["compare", "new.json", "base.json", "--min-score", "capitals=1", "--format", "json"]) != 1
    assert main(["compare", "base.json", "new.json", "--min-score", "0.5"]) == 1
    assert main(["compare", "base.json", "new.json", "--min-score", "rivers=0.5"]) == 2

    out, err = capsys.readouterr()
    assert '"min_scores": [{"suite": "capitals", "role": "old", "min_score": 1.0, "score": 1.0' in " ".join(
        out.split()
    ).replace("[ ", "[").replace("{ ", "{")
    assert "minimum score 50.0% missed: 33.3% on 3 cases (errors count as wrong)" in out
    assert out.endswith("verdict: worse\n")
    assert 'there is no suite "rivers" to hold to a minimum score' in err

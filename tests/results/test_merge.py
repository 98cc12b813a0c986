"""Shards of a run become the run that they are parts of; what is not of one run is refused with both files named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import factories
from pytest_llmbench.cli import main
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import Identity
from pytest_llmbench.results.merge import merge_shards
from pytest_llmbench.results.records import Collected, ModelInfo, Run, RunInfo, SuiteInfo
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.results.run_json import block_to_json, record_to_json
from pytest_llmbench.runner.shard import Shard, parse_shard
from pytest_llmbench.values import Prompt, Sampling

Found = dict[str, Any]
Change = Callable[[Found], object]
TIMED = (1, 2, 5)
CASES = tuple(f"c{number}" for number in range(7))


def whole(cases: tuple[str, ...] = CASES, **options: object) -> Found:
    """Make the benchmark JSON of a run of some cases; some have a latency."""
    records = [
        factories.record(case, factories.sample(latency_s=0.5 if number in TIMED else None), prompt_sha256=f"p-{case}")
        for number, case in enumerate(CASES)
        if case in cases
    ]
    identity = Identity(provider="openai", model="gpt", settings={"gpu": "A100", "dtype": "float16"})
    model = ModelInfo(role="m", model="gpt", identity=identity, sampling={"s": Sampling()})
    suite = SuiteInfo(suite="s", sha256="5", grader="exact", grader_version=1, path="s.yaml", n_cases=len(CASES))
    facts = RunInfo(
        models=(model,),
        suites=(suite,),
        options={"samples": 1, **options},
        prompts={f"p-{case}": Prompt(text=f"Q {case}") for case in cases},
        collected=Collected(paths=("cases",), suites=("t", "s")),
    )
    timed = [record for record in records if record.latencies_s]
    return {
        "machine_info": {"node": "n", "machine": "x86_64", "system": "Linux", "cpu": {"brand_raw": "EPYC", "count": 8}},
        "commit_info": {"id": "abc"},
        "benchmarks": [
            {"fullname": f"s.yaml::{record.case}[m]", "extra_info": {"llmbench": record_to_json(record)}}
            for record in timed
        ],
        "datetime": "2026-11-02T00:00:00",
        "version": "5.3.1",
        "llmbench": block_to_json(Run(records=tuple(records), facts=facts)),
    }


def write(path: Path, found: Found, *, is_by_line: bool = True) -> Path:
    """Write a run file as --benchmark-json does, or indented as --benchmark-save does."""
    if not is_by_line:
        path.write_text(json.dumps(found, indent=4))
        return path
    text = ",\n".join(
        f'"{name}": '
        + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if name == "benchmarks" else json.dumps(value))
        for name, value in found.items()
    )
    path.write_text("{\n" + text + "\n}\n")
    return path


def shards(
    folder: Path, n: int = 2, changes: dict[int, Change] | None = None, *, is_by_line: bool = True
) -> list[Path]:
    """Write the shards of the run; `changes` are made to some before."""
    paths = []
    for index in range(1, n + 1):
        shard = Shard(index=index, of=n)
        found = whole(shard.part(CASES), shard=shard.to_json())
        (changes or {}).get(index, lambda _: None)(found)
        paths.append(write(folder / f"run-{index}.json", found, is_by_line=is_by_line))
    return paths


def test_the_parts_of_a_suite_are_all_of_it_and_of_one_size() -> None:
    """Each case is in one part, in order; with more parts than cases, some are empty."""
    parts = [Shard(index=index, of=4).part(range(10)) for index in (1, 2, 3, 4)]

    assert sorted(case for part in parts for case in part) == list(range(10))
    assert [len(part) for part in parts] == [3, 3, 2, 2]
    assert Shard(index=3, of=3).part("ab") == ()


@pytest.mark.parametrize("text", ["5/4", "0/4", "1", "1/", "/2", "a/b", "-1/2", "1/0", "1/2/3", "²/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """The message says how one is written."""
    with pytest.raises(UsageFault, match="--llm-shard needs I/N"):
        parse_shard(text)


@pytest.mark.parametrize("is_by_line", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_a_merged_run_is_the_whole_run(tmp_path: Path, n: int, is_by_line: bool) -> None:
    """Records, prompts, models and totals are those of the run without shards, whatever the number of parts."""
    paths = shards(tmp_path, n, is_by_line=is_by_line)

    merged = merge_shards(list(reversed(paths)), tmp_path / "run.json")

    found, expected = json.loads((tmp_path / "run.json").read_text()), whole(merged=n)
    assert found == expected
    assert list(found) == list(expected)
    assert (merged.records, merged.remarks) == (7, ())
    assert read_run(tmp_path / "run.json") == read_run(write(tmp_path / "whole.json", expected))
    assert sorted(path.name for path in tmp_path.iterdir() if "run.json" in path.name) == ["run.json"]


def of(*keys: str | int, to: object) -> Change:
    """Make what sets a value in a file."""

    def change(found: Any) -> None:
        *outer, last = keys
        for key in outer:
            found = found[key]
        found[last] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of("llmbench", "options", "shard", "of", to=3), "shard 1 of 2, .*run-2.json shard 2 of 3"),
        (of("llmbench", "options", "shard", "index", to=1), "are both shard 1 of 2"),
        (of("llmbench", "options", to={"samples": 1}), "run-2.json: this is no shard of a run"),
        (of("llmbench", "stopped", to="interrupted"), r"run-2.json: this run is not whole \(interrupted\)"),
        (of("llmbench", "schema", to=1), "schema 2 and 1"),
        (of("llmbench", "options", "samples", to=3), r"the option samples differs \(1 and 3\)"),
        (of("llmbench", "models", "m", "model", to="gpt-5"), 'the model "m" is gpt and gpt-5'),
        (of("llmbench", "models", "m", "identity", "weights", to="w2"), 'the model "m" differs in weights'),
        (of("llmbench", "models", "m", "sampling", "s", "max_tokens", to=7), "another sampling"),
        (of("llmbench", "suites", "s", "sha256", to="6"), 'the suite "s" or its grader differs'),
        (of("llmbench", "suites", "s", "grader_version", to=2), 'the suite "s" or its grader differs'),
        (
            of("llmbench", "collected", to={"paths": ["s.yaml"], "suites": ["s"]}),
            "the one searched cases with the suites s, t, the other s.yaml with the suites s",
        ),
        (of("llmbench", "options", "judge", to={"model": "j", "identity": None, "suites": {}}), "the judge differs"),
        (lambda found: found["benchmarks"][0].update(whole()["benchmarks"][1]), 'both have the case "c2"'),
        (lambda found: found["llmbench"].update(unmeasured=whole()["llmbench"]["unmeasured"][:1]), 'both have the case "c0"'),
    ],
)  # fmt: skip
def test_what_is_not_of_one_run_is_refused(tmp_path: Path, change: Change, message: str) -> None:
    """Both files are named, and nothing is written; what lies there stays."""
    paths = shards(tmp_path, changes={2: change})
    target = tmp_path / "run.json"
    target.write_text("old")

    with pytest.raises(UsageFault, match=message) as refusal:
        merge_shards(paths, target)

    assert "run-2.json" in str(refusal.value)
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", "run-1.json", "run-2.json"}


def judged(*, model: str = "j", gpu: str | None = "A100", votes: int = 1, weights: str = "w") -> Change:
    """Make what gives a run a judge; without a GPU it was never opened."""

    def change(found: Any) -> None:
        base = found["llmbench"]["models"]["m"]
        identity = None if gpu is None else {**base["identity"], "weights": weights, "settings": {"gpu": gpu}}
        suites = {"s": {"prompt_sha256": "q", "votes": votes, "sampling": base["sampling"]["s"]}}
        found["llmbench"]["options"]["judge"] = {"model": model, "identity": identity, "suites": suites}

    return change


@pytest.mark.parametrize("other", [judged(), judged(gpu="H100"), judged(gpu=None)])
def test_one_judge_on_several_machines_is_one(tmp_path: Path, other: Change) -> None:
    """On another GPU, or where nothing came to it, it is the same judge."""
    merge_shards(shards(tmp_path, changes={1: judged(), 2: other}), tmp_path / "run.json")

    judge = read_run(tmp_path / "run.json").facts.judge
    assert judge is not None
    assert judge.model == "j"


@pytest.mark.parametrize("other", [judged(model="k"), judged(votes=3), judged(weights="w2")])
def test_shards_of_other_judges_are_not_of_one_run(tmp_path: Path, other: Change) -> None:
    """Another model, another number of votes, other weights."""
    with pytest.raises(UsageFault, match="are not of one run: the judge differs"):
        merge_shards(shards(tmp_path, changes={1: judged(), 2: other}), tmp_path / "run.json")


def test_what_differs_by_machine_is_told(tmp_path: Path) -> None:
    """Other processors, GPUs, commits and dates are no reason to refuse; latency then counts as of several machines."""

    def change(found: Found) -> None:
        found["machine_info"]["cpu"]["brand_raw"] = "Xeon"
        found["commit_info"]["id"] = "def"
        found["datetime"] = "2026-11-01T00:00:00"
        found["llmbench"]["models"]["m"]["identity"]["settings"]["gpu"] = "H100"

    merged = merge_shards(shards(tmp_path, changes={2: change}), tmp_path / "run.json")

    run = read_run(tmp_path / "run.json")
    assert [remark.partition(";")[0] for remark in merged.remarks] == [
        "the shards were run on 2 kinds of machine",
        "the shards are of 2 commits",
        "the shards were run between 2026-11-01 and 2026-11-02",
    ]
    assert (run.datetime, run.commit) == ("2026-11-01T00:00:00", "abc")
    assert run.facts.models[0].identity.settings["gpu"] == "A100 + H100"
    assert run.machine is not None
    assert run.machine.cpu == "EPYC x8 Linux + Xeon x8 Linux"


@pytest.mark.parametrize(("options", "remarks"), [({}, 1), ({"limit": 6}, 0), ({"split": "train"}, 0)])
def test_records_that_a_selection_left_out_are_counted(tmp_path: Path, options: Found, remarks: int) -> None:
    """Unless a limit or a side of the split explains them: they may be missing by mistake."""

    def change(found: Found) -> None:
        found["llmbench"]["options"].update(options)
        if found["llmbench"]["options"]["shard"]["index"] == 1:
            found["llmbench"]["unmeasured"].pop()
            found["llmbench"]["totals"]["records"] -= 1

    merged = merge_shards(shards(tmp_path, changes={1: change, 2: change}), tmp_path / "run.json")

    expected = "the shards hold 6 of 7 records; -k, -m or the like left the others out"
    assert merged.remarks == (expected,) * remarks


def test_the_command_merges_and_summarises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names what it wrote; a missing shard ends it with 2."""
    monkeypatch.chdir(tmp_path)
    shards(tmp_path)

    assert main(["merge", "run-1.json", "run-2.json", "-o", "run.json", "--summary", "run.md"]) == 0
    assert main(["merge", "run-1.json", "-o", "run.json"]) == 2
    assert main(["merge", "run-1.json", "run-2.json", "-o", "run-1.json"]) == 2

    out, err = capsys.readouterr()
    assert out == "wrote run.json: 7 records of 2 shards\nwrote run.md\n"
    assert err.splitlines()[0] == "llmbench: run-1.json: shard 2 of 2 is missing; merge all shards of the run."
    assert "7" in (tmp_path / "run.md").read_text()

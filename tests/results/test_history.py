"""The history: files to lines over time, breaks, filters, formats, faults; and the newest run of a storage."""

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.results.history import Filter, latest_run_file, parse_since, read_history
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.stats import wilson_interval
from pytest_llmbench.values import Sampling

MACHINE = {"node": "vm", "machine": "x86_64", "system": "Linux", "cpu": {"brand_raw": "AMD EPYC", "count": 2}}


def entry(
    case: str, passed: bool | None, *, role: str = "m", digest: str = "c", latency_s: float | None = 0.5
) -> dict[str, Any]:
    outcome = "error" if passed is None else "passed" if passed else "failed"
    score = None if passed is None else float(passed)
    sample = {"answer": "x", "outcome": outcome, "score": score, "format_ok": passed, "latency_s": latency_s}
    return {
        "schema": 1, "suite": "s", "case": case, "case_sha256": digest, "model": f"{role}-name", "role": role,
        "prompt_style": "chat", "prompt_sha256": "p", "grader": "exact", "score": score, "outcome": outcome,
        "samples": [sample],
    }  # fmt: skip


def whole(record: dict[str, Any]) -> dict[str, Any]:
    """Give the record with all that a reader of single records needs."""
    names = ("answer", "outcome", "score", "reason", "explanation", "format_ok", "latency_s", "ttft_s")
    nothing = dict.fromkeys((*names, "input_tokens", "output_tokens", "finish_reason", "concurrency"))
    return {**record, "samples": [{**nothing, "parts": {}, **sample} for sample in record["samples"]]}


def write(path: Path, *records: dict[str, Any], date: str = "2026-01-01", version: int = 1, **top: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    measured = [record for record in records if record["samples"][0]["latency_s"] is not None]
    block = {
        "schema": 1,
        "unmeasured": [record for record in records if record not in measured],
        "suites": {"s": {"sha256": "", "grader": "exact", "grader_version": version, "path": "s.yaml"}},
    }
    found = {
        "machine_info": MACHINE,
        "commit_info": {"id": "0123456789abcdef"},
        "benchmarks": [{"name": "x", "extra_info": {"llmbench": record}} for record in measured],
        "datetime": f"{date}T03:00:00.000000+00:00",
        "llmbench": block,
    }
    path.write_text(json.dumps({**found, **top}, indent=4))
    return path


def test_a_run_is_summed_up_by_suite_and_model(tmp_path: Path) -> None:
    """Score and its interval, format rate, median latency; an error is counted and in none of them."""
    records = [entry("a", True, latency_s=0.2), entry("b", True, latency_s=0.4), entry("c", False, latency_s=0.9)]
    path = write(tmp_path / "run.json", *records, entry("d", None, latency_s=None))

    (found,) = read_history([path], Filter()).entries

    assert (found.cases, found.errors, found.score, found.p50_s) == (4, 1, pytest.approx(2 / 3), 0.4)
    assert found.interval == pytest.approx(wilson_interval(2 / 3, 3))
    assert found.format_rate == pytest.approx(2 / 3)
    assert (found.suite, found.role, found.model, found.commit) == ("s", "m", "m-name", "0123456789abcdef")


def test_what_a_model_was_trained_on_has_a_line_of_its_own(tmp_path: Path) -> None:
    """No score is the mean of both sides; a record that knows nothing of it, or was not trained on, is as before."""
    records = [{**entry("a", True), "trained": "case"}, {**entry("b", False), "trained": False}, entry("c", False)]
    path = write(tmp_path / "run.json", *records, {**entry("d", None, latency_s=None), "trained": None})

    found = read_history([path], Filter()).entries

    assert [(one.suite, one.cases, one.score) for one in found] == [("s", 3, 0.0), ("s (trained on)", 1, 1.0)]


def test_a_case_with_one_sample_in_error_is_counted_with_the_errors(tmp_path: Path) -> None:
    """As in the scoreboard and by the gate; its score is that of the answer it has."""
    one, two = entry("a", True), entry("b", True)
    lost = {**one["samples"][0], "answer": None, "outcome": "error", "score": None, "latency_s": None}
    path = write(tmp_path / "run.json", {**one, "samples": [*one["samples"], lost]}, two)

    (found,) = read_history([path], Filter()).entries

    assert (found.cases, found.errors, found.score) == (2, 1, 1.0)


def test_half_a_character_in_an_answer_hides_no_run(tmp_path: Path) -> None:
    """What a model can write and DuckDB does not read costs its run nothing, nor the runs beside it."""
    half = entry("a", True)
    half["samples"][0]["answer"] = "yes \ud800"
    write(tmp_path / "1.json", half, date="2026-01-01")
    write(tmp_path / "2.json", entry("a", False), date="2026-01-02")
    (tmp_path / "3.json").write_text('{"benchmarks": ["\\ud800"')

    found = read_history([tmp_path], Filter())

    assert [(Path(one.file).name, one.score) for one in found.entries] == [("1.json", 1.0), ("2.json", 0.0)]
    assert len(found.left_out) == 1
    assert "3.json:1: this is not JSON, or it was cut off" in found.left_out[0]


def at(record: dict[str, Any], concurrency: int | None, *, reused: bool = False) -> dict[str, Any]:
    (sample,) = record["samples"]
    return {**record, "samples": [{**sample, "concurrency": concurrency, "reused": reused}]}


def test_the_median_latency_is_of_one_load(tmp_path: Path) -> None:
    """Of the answers of this run that were measured beside as many others as most; of two equally many, the higher."""
    mixed = [at(entry(str(n), True, latency_s=0.8), 8) for n in range(3)]
    mixed += [at(entry(f"tail{n}", True, latency_s=0.1), 2) for n in range(2)]
    mixed += [at(entry(f"old{n}", True, latency_s=9.0), 8, reused=True) for n in range(9)]
    even = [at(entry("a", True, latency_s=0.3), 4), at(entry("b", True, latency_s=0.1), 1)]
    write(tmp_path / "1.json", *mixed, date="2026-01-01")
    write(tmp_path / "2.json", *even, date="2026-01-02")

    found = read_history([tmp_path], Filter()).entries

    assert [(run.p50_s, run.concurrency) for run in found] == [(0.8, 8), (0.3, 4)]


def test_another_load_is_a_break_and_none_at_all_is_none(tmp_path: Path) -> None:
    """A latency at another concurrency is no longer of the same thing; a run of stored answers has no latency."""
    write(tmp_path / "1.json", at(entry("a", True), 1), date="2026-01-01")
    write(tmp_path / "2.json", at(entry("a", True), 8), date="2026-01-02")
    write(tmp_path / "3.json", at(entry("a", True), 8, reused=True), date="2026-01-03")

    found = read_history([tmp_path], Filter()).entries

    assert [(run.p50_s, run.breaks) for run in found] == [(0.5, ()), (0.5, ("concurrency",)), (None, ())]


def test_a_break_is_marked_where_cases_prompts_grader_or_machine_changed(tmp_path: Path) -> None:
    """Each change is named at the first run after it, and the unchanged ones have none."""
    other = {**MACHINE, "cpu": {"brand_raw": "Intel", "count": 8}}
    write(tmp_path / "1.json", entry("a", True), date="2026-01-01")
    write(tmp_path / "2.json", entry("a", True), date="2026-01-02")
    write(tmp_path / "3.json", entry("a", True, digest="d"), date="2026-01-03")
    write(tmp_path / "4.json", entry("a", True, digest="d"), date="2026-01-04", version=2)
    write(
        tmp_path / "5.json",
        {**entry("a", True, digest="d"), "prompt_sha256": "q"},
        date="2026-01-05",
        version=2,
        machine_info=other,
    )

    found = read_history([tmp_path], Filter()).entries

    assert [run.breaks for run in found] == [(), (), ("cases",), ("grader",), ("prompts", "machine")]


def judge(votes: int = 1, **identity: Any) -> dict[str, Any]:
    how = {"prompt_sha256": "p", "votes": votes, "sampling": asdict(Sampling())}
    return {
        "judge": {"model": "j", "identity": {"provider": "openai", "model": "gpt", **identity}, "suites": {"s": how}}
    }


@pytest.mark.parametrize(
    ("grader", "old", "new", "breaks"),
    [
        ("key_points", judge(), judge(model="other"), ("grader",)),
        ("key_points", judge(), judge(votes=3), ("grader",)),
        ("key_points", {}, judge(), ("grader",)),
        ("key_points", judge(), judge(libraries={"openai": "9"}), ()),
        ("my:grade", {"judge": "x"}, {"judge": "y"}, ("grader",)),
        ("my:grade", {"judge": {"suites": 1}}, {"judge": {"suites": 1}, "samples": 2}, ()),
        ("exact", {"judge": "x"}, {"judge": "y"}, ()),
    ],
)
def test_another_judge_is_a_change_of_grader(
    tmp_path: Path, grader: str, old: dict[str, Any], new: dict[str, Any], breaks: tuple[str, ...]
) -> None:
    """By the rule of `llmbench compare`: where a judge may have graded, and what changed is the judge."""
    for day, options in ((1, old), (2, new)):
        path = write(tmp_path / f"{day}.json", {**entry("a", True), "grader": grader}, date=f"2026-01-0{day}")
        found = json.loads(path.read_text())
        found["llmbench"]["options"] = options
        path.write_text(json.dumps(found))

    assert [run.breaks for run in read_history([tmp_path], Filter()).entries] == [(), breaks]


def test_a_role_that_another_model_took_shows_its_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a role stays and its model changes, each line names its model, and the change is marked."""
    write(tmp_path / "1.json", entry("a", True), date="2026-01-01")
    write(tmp_path / "2.json", {**entry("a", False), "model": "new"}, date="2026-01-02")

    assert main(["history", str(tmp_path)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "s m"
    assert [line.split()[0] for line in lines[1:]] == ["model", "m-name", "new"]
    assert lines[3].endswith(" 0       model")


def model(max_tokens: int = 4, **identity: Any) -> dict[str, Any]:
    known = {"provider": "openai", "model": "gpt", **identity}
    return {"m": {"model": "m-name", "identity": known, "sampling": {"s": {"max_tokens": max_tokens}}}}


@pytest.mark.parametrize(
    ("new", "breaks"),
    [
        (model(), ()),
        (model(8), ("sampling",)),
        (model(weights="w"), ("model",)),
        (model(libraries={"openai": "4"}), ()),
        ({}, ()),
    ],
    ids=["the same", "sampling", "weights", "a library", "unknown"],
)
def test_another_sampling_or_identity_is_a_break(tmp_path: Path, new: dict[str, Any], breaks: tuple[str, ...]) -> None:
    """What the model is, and how it answers, is of the measurement; a library's version under it is not."""
    for day, models in ((1, model()), (2, new)):
        path = write(tmp_path / f"{day}.json", entry("a", True), date=f"2026-01-0{day}")
        content = json.loads(path.read_text())
        content["llmbench"]["models"] = models
        path.write_text(json.dumps(content))

    assert [run.breaks for run in read_history([tmp_path], Filter()).entries] == [(), breaks]


def test_another_name_of_the_machine_is_no_break(tmp_path: Path) -> None:
    """Every container has its own name."""
    write(tmp_path / "1.json", entry("a", True), date="2026-01-01")
    write(tmp_path / "2.json", entry("a", True), date="2026-01-02", machine_info={**MACHINE, "node": "other"})

    assert [run.breaks for run in read_history([tmp_path], Filter()).entries] == [(), ()]


def test_runs_are_chosen_by_date_model_and_suite(tmp_path: Path) -> None:
    """--since is the first date, --model a role or a name, --suite a suite; a break before the date is still known."""
    write(tmp_path / "1.json", entry("a", True), entry("a", True, role="n"), date="2026-01-01")
    write(tmp_path / "2.json", entry("a", True, digest="d"), date="2026-02-01")

    def found(**wanted: Any) -> list[tuple[str, str]]:
        return [(run.date[:10], run.role) for run in read_history([tmp_path], Filter(**wanted)).entries]

    assert found(since=parse_since("2026-02-01")) == [("2026-02-01", "m")]
    assert found(model="n") == found(model="n-name") == [("2026-01-01", "n")]
    assert found(suite="t") == []
    assert read_history([tmp_path], Filter(since=parse_since("2026-02-01"))).entries[0].breaks == ("cases",)
    with pytest.raises(UsageFault, match='--since needs a date as 2026-01-31, not "yesterday"'):
        parse_since("yesterday")


def test_in_a_folder_what_is_no_run_is_left_out_and_named(tmp_path: Path) -> None:
    """Plain, broken, cut off and newer files do not spoil the others."""
    good = write(tmp_path / "sub" / "run.json", entry("a", True))
    (tmp_path / "plain.json").write_text('{"benchmarks": [], "machine_info": {}}')
    (tmp_path / "cut.json").write_text(good.read_text()[:200])
    (tmp_path / "other.json").write_text("[1, 2]")
    write(tmp_path / "newer.json", entry("a", True), llmbench={"schema": 3})

    found = read_history([tmp_path], Filter())

    assert [Path(run.file) for run in found.entries] == [good]
    told = {line.split(": ")[0].rsplit("/", 1)[-1]: line for line in found.left_out}
    assert sorted(name.split(":")[0] for name in told) == ["cut.json", "newer.json", "other.json", "plain.json"]
    assert all(line.count(str(tmp_path)) == 1 for line in found.left_out)
    assert any("this is a plain pytest-benchmark file" in line for line in found.left_out)
    assert any("this file has schema 3" in line for line in found.left_out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"benchmarks": []}', "this is a plain pytest-benchmark file"),
        ('{"benchmarks": [', "this is not JSON, or it was cut off"),
        ("[]", "this is not a benchmark JSON"),
    ],
)
def test_a_file_named_itself_must_be_a_run(tmp_path: Path, content: str, message: str) -> None:
    """What was named and cannot be read is an error, not left out."""
    path = tmp_path / "x.json"
    path.write_text(content)

    with pytest.raises(RunFileFault, match=message):
        read_history([path], Filter())


SUITE = {"sha256": "", "grader": "exact", "grader_version": "two", "path": "s.yaml"}
BAD = {
    "a score that is no number": ({"score": float("nan")}, {}, "it is passed and has no score."),
    "a score over 1": ({"score": 1.5}, {}, '"score" is 1.5 and must be at most 1.'),
    "an outcome without a score": ({"score": None}, {}, "it is passed and has no score."),
    "a latency below 0": ({"latency_s": -1.0}, {}, '"samples[0].latency_s" is -1.0 and must be at least 0.'),
    "an endless latency": (
        {"latency_s": float("inf")},
        {},
        '"samples[0].latency_s" is Infinity and must be at most 9007199254740992.',
    ),
    "too high a concurrency": (
        {"concurrency": 10**30},
        {},
        f'"samples[0].concurrency" is 1{"0" * 30} and must be at most {2**53}.',
    ),
    "a version in words": (
        {},
        {"llmbench": {"schema": 1, "suites": {"s": SUITE}}},
        '"suites.s.grader_version" is "two" and must be a whole number.',
    ),
}


@pytest.mark.parametrize(("changes", "top", "message"), BAD.values(), ids=BAD)
def test_a_run_that_cannot_be_compared_is_left_out_and_told(
    tmp_path: Path, changes: dict[str, Any], top: dict[str, Any], message: str
) -> None:
    """What `compare` refuses is in no figure here either, and each such file is told with its fault."""
    good = write(tmp_path / "good.json", whole(entry("a", True)))
    record = whole(entry("a", True))
    target = record if "score" in changes else record["samples"][0]
    target.update(changes)
    bad = write(tmp_path / "bad.json", record, whole(entry("b", True)), **top)
    bad.write_text(bad.read_text().replace("Infinity", "1e999"))

    found = read_history([tmp_path], Filter())

    assert [Path(run.file) for run in found.entries] == [good]
    (told,) = found.left_out
    assert told.startswith(f"{bad}: ")
    assert told.endswith(message)
    with pytest.raises(RunFileFault, match=re.escape(message)):
        read_history([bad], Filter())


def test_what_an_error_has_not_is_not_looked_at(tmp_path: Path) -> None:
    """NaN as the score of an error or as a latency is as if nothing stood there."""
    error = {**whole(entry("b", None)), "score": float("nan")}
    path = write(tmp_path / "run.json", whole(entry("a", True)), whole(entry("c", True, latency_s=float("nan"))), error)

    (found,) = read_history([path], Filter()).entries

    assert (found.cases, found.errors, found.score, found.p50_s) == (3, 1, 1.0, 0.5)
    assert len(read_run(path).records) == 3


def test_a_run_of_very_many_requests_in_flight_is_read(tmp_path: Path) -> None:
    """As it is compared."""
    path = write(tmp_path / "run.json", at(entry("a", True), 10**12))

    (found,) = read_history([path], Filter()).entries

    assert found.concurrency == 10**12


def test_where_there_is_no_run_the_way_to_one_is_told(tmp_path: Path) -> None:
    """An empty folder and a missing one are told apart."""
    with pytest.raises(RunFileFault, match="there is no run here; write one with pytest --benchmark-autosave"):
        read_history([tmp_path], Filter())
    with pytest.raises(RunFileFault, match="there is no such file or folder"):
        read_history([tmp_path / "missing"], Filter())


def test_the_command_prints_a_table_csv_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line a run under its suite and model; CSV and JSON hold the same."""
    write(tmp_path / "1.json", entry("a", True), entry("b", False), date="2026-01-01")
    write(tmp_path / "2.json", entry("a", True, digest="d"), entry("b", True), date="2026-01-02")

    def told(*options: str) -> str:
        assert main(["history", str(tmp_path), *options]) == 0
        return capsys.readouterr().out

    assert told().splitlines() == [
        "s m (m-name)",
        "date              commit   cases  score   95% interval  format  p50    errors  changed",
        "2026-01-01 03:00  0123456  2      50.0%   9.5-90.5      50.0%   0.50s  0",
        "2026-01-02 03:00  0123456  2      100.0%  34.2-100.0    100.0%  0.50s  0       cases",
    ]
    assert [row["score"] for row in csv.DictReader(told("--format", "csv").splitlines())] == ["0.5", "1.0"]
    assert [run["breaks"] for run in json.loads(told("--format", "json"))] == [[], ["cases"]]


def test_latest_is_the_newest_run_of_the_storage_whichever_python_wrote_it(tmp_path: Path) -> None:
    """The counter counts within a folder, the date between folders; files that are no runs are passed over."""
    write(tmp_path / "Linux-3.11" / "0002_x.json", entry("a", True), date="2026-01-02")
    newest = write(tmp_path / "Linux-3.12" / "0001_x.json", entry("a", True), date="2026-01-03")
    (tmp_path / "Linux-3.12" / "0002_plain.json").write_text('{"benchmarks": []}')

    assert latest_run_file(tmp_path) == newest


def test_an_empty_storage_has_no_latest(tmp_path: Path) -> None:
    """`latest` with nothing saved says how to save."""
    with pytest.raises(
        RunFileFault, match="there is no run to compare with; save one with pytest --benchmark-autosave"
    ):
        latest_run_file(tmp_path / "none")

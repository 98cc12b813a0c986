"""The JSON of records and runs: both ways, merged, and what is wrong with a file that cannot be read."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import factories
from pytest_llmbench.errors import RunFileFault
from pytest_llmbench.models.base import Identity
from pytest_llmbench.models.entries import SamplingKeys
from pytest_llmbench.results.merged_info import merged_run_info
from pytest_llmbench.results.records import (
    JudgedSuite,
    JudgeInfo,
    ModelInfo,
    Record,
    Run,
    RunInfo,
    Sample,
    SuiteInfo,
    error_sample,
)
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.results.run_json import (
    block_to_json,
    record_from_json,
    record_to_json,
    run_info_from_json,
    run_info_to_json,
)
from pytest_llmbench.results.run_lines import read_run_lines
from pytest_llmbench.values import AnswerError, Message, Outcome, Prompt, Sampling, ToolCall

SAMPLE = factories.sample(
    1.0,
    "Paris",
    reason="correct",
    explanation="As expected.",
    latency_s=0.25,
    input_tokens=9,
    output_tokens=2,
    finish_reason="stop",
    concurrency=1,
)
WRONG = replace(SAMPLE, outcome=Outcome.FAILED, score=0.25, answer="Rome")
ERROR = error_sample(AnswerError(cause="HTTP 500", attempts=4, concurrency=2))
RECORD = factories.record(
    "france", SAMPLE, suite="capitals", role="old", model="gpt", case_sha256="c" * 64, prompt_sha256="p" * 64
)
JUDGE = JudgeInfo(
    model="judge",
    identity=Identity(provider="openai", model="gpt-judge"),
    suites={"capitals": JudgedSuite(prompt_sha256="j" * 64, votes=3, sampling=Sampling(temperature=0.7))},
)
FACTS = RunInfo(
    models=(
        ModelInfo(
            role="old",
            model="gpt",
            identity=Identity(provider="openai", model="gpt", libraries={"openai": "3"}, settings={"top_k": 1}),
            sampling={"capitals": Sampling(max_tokens=4, stop=("\n",), seed=7)},
        ),
    ),
    suites=(SuiteInfo(suite="capitals", sha256="5" * 64, grader="exact", grader_version=1, path="cases/c.yaml"),),
    options={"samples": 1, "limit": None},
    prompts={"p" * 64: Prompt(text="Q"), "q" * 64: Prompt(messages=(Message(role="user", content="Q"),))},
    expected={"c" * 64: "Paris"},
    judge=JUDGE,
)


def strict(value: object) -> Any:
    """Read what is written, as a reader of strict JSON would."""
    text = json.dumps(value, allow_nan=False)
    return json.loads(text)


def write(folder: Path, *records: Record, facts: RunInfo = FACTS, **changes: Any) -> Path:
    """Write a run as it stands in a benchmark JSON; `changes` replace its top-level keys."""
    measured = [{"extra_info": {"llmbench": record_to_json(record)}} for record in records if record.latencies_s]
    run = Run(records=records, facts=facts)
    content = {
        "benchmarks": [{"name": "other"}, *measured],
        "datetime": "2025-01-02",
        "commit_info": {"id": "abc"},
        "llmbench": block_to_json(run),
    } | changes
    path = folder / "run.json"
    path.write_text(json.dumps(content))
    return path


def fault_of(path: Path) -> str:
    with pytest.raises(RunFileFault) as raised:
        read_run(path)
    return str(raised.value).replace(f"{path.parent}/", "")


def read_or_fault(path: Path) -> Run | str:
    try:
        return read_run(path)
    except RunFileFault as fault:
        return str(fault)


# -- JSON both ways

TEXTS = st.text(st.characters(), max_size=8)
SHARES = st.floats(0, 1)
PARTS = st.dictionaries(
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)
COUNTS = st.none() | st.integers(0, 2**40)
TIMES = st.none() | st.floats(0, 1e6)


CALLS = st.lists(st.builds(ToolCall, name=TEXTS, arguments=PARTS | TEXTS), max_size=2).map(tuple)


@st.composite
def samples_of_any_kind(draw: st.DrawFn) -> Sample:
    outcome = draw(st.sampled_from(Outcome))
    is_error = outcome is Outcome.ERROR
    return Sample(
        answer=draw(st.none() | TEXTS),
        outcome=outcome,
        score=None if is_error else draw(SHARES),
        reason=draw(st.none() | TEXTS),
        explanation=draw(st.none() | TEXTS),
        format_ok=draw(st.none() | st.booleans()),
        parts=draw(PARTS),
        latency_s=draw(TIMES),
        ttft_s=draw(TIMES),
        input_tokens=draw(COUNTS),
        output_tokens=draw(COUNTS),
        finish_reason=draw(st.none() | TEXTS),
        concurrency=draw(COUNTS),
        reused=draw(st.booleans()),
        attempts=draw(st.integers(0, 9)),
        error=draw(TEXTS) if is_error else None,
        tool_calls=draw(CALLS),
        cost_usd=draw(TIMES),
    )


RECORDS = st.builds(
    Record,
    suite=TEXTS,
    case=TEXTS,
    case_sha256=TEXTS,
    model=TEXTS,
    role=TEXTS,
    prompt_style=st.sampled_from(["chat", "completion"]),
    prompt_sha256=TEXTS,
    grader=TEXTS,
    score=st.none() | SHARES,
    outcome=st.sampled_from(Outcome),
    samples=st.lists(samples_of_any_kind(), min_size=1, max_size=3).map(tuple),
    cluster=st.none() | TEXTS,
).filter(lambda record: record.score is not None or record.outcome is Outcome.ERROR)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_a_record_comes_back_from_strict_json_as_it_was(record: Record) -> None:
    """Writing and reading a record gives the same record, lone surrogates and all."""
    assert record_from_json(strict(record_to_json(record))) == record


@settings(deadline=None)
@given(st.floats())
@example(math.nan)
@example(math.inf)
def test_a_number_that_is_none_is_null(number: float) -> None:
    """NaN and infinity anywhere in a record are null in its JSON; every other number stays."""
    sample = replace(SAMPLE, latency_s=number, parts={"a": [number, {"b": (number,)}]})
    wanted = number if math.isfinite(number) else None

    (found,) = strict(record_to_json(replace(RECORD, samples=(sample,))))["samples"]

    assert (found["latency_s"], found["parts"]) == (wanted, {"a": [wanted, {"b": [wanted]}]})


def test_what_json_has_no_word_for_is_a_text() -> None:
    """Parts of a grader of another package may hold anything; they never keep a file from being written."""
    parts: Any = {"path": Path("a"), 1: b"x", "set": {1}, "outcome": Outcome.PASSED}

    (found,) = strict(record_to_json(replace(RECORD, samples=(replace(SAMPLE, parts=parts),))))["samples"]

    assert found["parts"] == {"path": "a", "1": "b'x'", "set": "{1}", "outcome": "passed"}


def test_objects_with_fields_are_objects() -> None:
    """Dataclasses and classes of pydantic in the parts of a grade are written as their fields."""
    parts: Any = {"call": ToolCall(name="f", arguments={"n": math.inf}), "model": SamplingKeys(max_tokens=3)}

    (found,) = strict(record_to_json(replace(RECORD, samples=(replace(SAMPLE, parts=parts),))))["samples"]

    assert found["parts"]["call"] == {"name": "f", "arguments": {"n": None}}
    assert found["parts"]["model"]["max_tokens"] == 3


def test_facts_come_back_from_json_as_they_were() -> None:
    """Models with identity and sampling, suites, options, prompts and what was expected survive."""
    assert run_info_from_json(strict(run_info_to_json(FACTS))) == FACTS


def test_facts_are_strict_json_too() -> None:
    """Settings and sampling of a model may hold what JSON cannot: it becomes null."""
    model = replace(FACTS.models[0], sampling={"capitals": Sampling(temperature=math.inf)})

    found = strict(run_info_to_json(RunInfo(models=(model,), options={"x": math.nan})))

    assert found["models"]["old"]["sampling"]["capitals"]["temperature"] is None
    assert found["options"] == {"x": None}


def test_a_reader_passes_over_what_a_later_version_adds() -> None:
    """Unknown fields of records, samples, identities, samplings and suites are no fault."""
    record = strict(record_to_json(RECORD)) | {"novel": 1}
    record["samples"][0]["novel"] = 2
    facts = strict(run_info_to_json(FACTS))
    facts["models"]["old"]["identity"]["novel"] = 3
    facts["models"]["old"]["sampling"]["capitals"]["novel"] = 4
    facts["suites"]["capitals"]["novel"] = 5

    assert (record_from_json(record), run_info_from_json(facts)) == (RECORD, FACTS)


def test_facts_of_several_processes_become_one() -> None:
    """Each worker saw some suites of a model: samplings, suites and prompts are put together."""
    other = replace(
        FACTS,
        models=(replace(FACTS.models[0], sampling={"jokes": Sampling()}),),
        suites=(replace(FACTS.suites[0], suite="jokes"),),
        prompts={"r" * 64: Prompt(text="R")},
        expected={"d" * 64: "Lima"},
        judge=replace(JUDGE, identity=None, suites={"jokes": JUDGE.suites["capitals"]}),
    )

    merged = merged_run_info([FACTS, other])

    (model,) = merged.models
    assert list(model.sampling) == ["capitals", "jokes"]
    assert [suite.suite for suite in merged.suites] == ["capitals", "jokes"]
    assert len(merged.prompts) == 3
    assert merged.expected == {"c" * 64: "Paris", "d" * 64: "Lima"}
    assert merged.judge == replace(
        JUDGE, suites={"capitals": JUDGE.suites["capitals"], "jokes": JUDGE.suites["capitals"]}
    )
    assert merged_run_info([replace(FACTS, judge=None)]).judge is None


def test_a_judge_of_another_package_stays_an_option() -> None:
    """What its grader writes there is read back as it was."""
    facts = replace(FACTS, judge=None, options={"judge": "x"})

    assert run_info_from_json(strict(run_info_to_json(facts))) == facts


# -- files


def test_a_run_comes_back_from_its_file(tmp_path: Path) -> None:
    """Records with and without a latency, facts, date and commit are read; other benchmarks are passed over."""
    unmeasured = replace(RECORD, case="peru", samples=(ERROR,), outcome=Outcome.ERROR, score=None)

    run = read_run(write(tmp_path, RECORD, unmeasured))

    assert run == Run(records=(RECORD, unmeasured), facts=FACTS, datetime="2025-01-02", commit="abc")


def test_lone_surrogates_survive_a_file(tmp_path: Path) -> None:
    """A model can give half a character; it is written as an escape and read back as it was."""
    record = replace(RECORD, samples=(replace(SAMPLE, answer="\ud83d \x00 \u2028"),))

    run = read_run(write(tmp_path, record))

    assert run.records == (record,)


def test_nan_of_other_tools_is_null(tmp_path: Path) -> None:
    """A file that is no strict JSON is read, its NaN as nothing."""
    path = write(tmp_path, RECORD)
    path.write_text(path.read_text().replace('"latency_s": 0.25', '"latency_s": NaN'))

    (record,) = read_run(path).records

    assert record.samples[0].latency_s is None


def test_an_endless_latency_is_a_broken_record(tmp_path: Path) -> None:
    """1e999 is a number of JSON, and infinity once it is read."""
    path = write(tmp_path, RECORD)
    path.write_text(path.read_text().replace('"latency_s": 0.25', '"latency_s": 1e999'))

    assert fault_of(path) == (
        'run.json: the record of case "france" is broken: "samples[0].latency_s" is Infinity and must be at most 9007199254740992.'
    )


def test_a_reader_needs_nothing_of_the_block_but_its_schema(tmp_path: Path) -> None:
    """A block with a schema alone is a run without facts."""
    run = read_run(write(tmp_path, RECORD, llmbench={"schema": 1}, commit_info=None))

    assert run == Run(records=(RECORD,), facts=RunInfo(), datetime="2025-01-02")


def test_records_without_a_latency_stand_in_the_block_alone() -> None:
    """`unmeasured` has the records of which no sample has a latency; the totals count all."""
    unmeasured = replace(RECORD, samples=(ERROR, ERROR), outcome=Outcome.ERROR, score=None)
    half = replace(RECORD, samples=(WRONG, ERROR), outcome=Outcome.FAILED, score=0.25)

    block = strict(block_to_json(Run(records=(RECORD, unmeasured, half), facts=FACTS)))

    assert [record["outcome"] for record in block["unmeasured"]] == ["error"]
    assert block["totals"] == {
        "records": 3,
        "passed": 1,
        "failed": 1,
        "error": 1,
        "samples": 5,
        "errors": 3,
        "input_tokens": 18,
        "output_tokens": 4,
    }
    assert set(block) == {
        "schema", "unmeasured", "models", "suites", "options", "prompts", "expected", "totals", "gate",
    }  # fmt: skip


def _broken(**changes: object) -> Mapping[str, Any]:
    return {"benchmarks": [{"extra_info": {"llmbench": {**strict(record_to_json(RECORD)), **changes}}}]}


def _broken_sample(**changes: object) -> Mapping[str, Any]:
    return _broken(samples=[{**strict(record_to_json(RECORD))["samples"][0], **changes}])


def _broken_block(**changes: object) -> Mapping[str, Any]:
    return {"llmbench": {**strict(block_to_json(Run(records=(), facts=FACTS))), **changes}}


def _broken_sampling(**changes: object) -> Mapping[str, Any]:
    models = strict(run_info_to_json(FACTS))["models"]
    models["old"]["sampling"]["capitals"].update(changes)
    return _broken_block(models=models)


def _broken_suite(**changes: object) -> Mapping[str, Any]:
    suites = strict(run_info_to_json(FACTS))["suites"]
    suites["capitals"].update(changes)
    return _broken_block(suites=suites)


def _without(name: str) -> Mapping[str, Any]:
    record = strict(record_to_json(RECORD))
    del record[name]
    return {"benchmarks": [{"extra_info": {"llmbench": record}}]}


BROKEN = {
    "plain": (
        {"llmbench": None},
        "run.json: this is a plain pytest-benchmark file; only runs with --llm-model can be read here.",
    ),
    "newer": (
        {"llmbench": {"schema": 3}},
        "run.json: this file has schema 3, this pytest-llmbench reads up to 2; update it.",
    ),
    "no benchmarks": (
        {"benchmarks": None},
        "run.json: this is not a benchmark JSON; write one with pytest --benchmark-json.",
    ),
    "a field is missing": (_without("suite"), 'run.json: the record of case "france" is broken: it has no "suite".'),
    "no case": (_without("case"), 'run.json: a record is broken: it has no "case".'),
    "no object": (
        {"benchmarks": [{"extra_info": {"llmbench": "x"}}]},
        "run.json: a record is broken: it is not an object.",
    ),
    "no samples": (_broken(samples=[]), 'run.json: the record of case "france" is broken: it has no samples.'),
    "samples are a number": (
        _broken(samples=3),
        'run.json: the record of case "france" is broken: "samples" is 3 and must be a list.',
    ),
    "a sample is a text": (
        _broken(samples=["x"]),
        'run.json: the record of case "france" is broken: "samples[0]" is "x" and must be an object.',
    ),
    "an unknown outcome": (
        _broken(outcome="maybe"),
        'run.json: the record of case "france" is broken: "outcome" is "maybe" and must be passed, failed or error.',
    ),
    "a score of 7": (
        _broken(score=7),
        'run.json: the record of case "france" is broken: "score" is 7 and must be at most 1.',
    ),
    "a latency in words": (
        _broken_sample(latency_s="fast"),
        'run.json: the record of case "france" is broken: "samples[0].latency_s" is "fast" and must be a number.',
    ),
    "a latency below 0": (
        _broken_sample(latency_s=-1),
        'run.json: the record of case "france" is broken: "samples[0].latency_s" is -1 and must be at least 0.',
    ),
    "more tokens than can be counted": (
        _broken_sample(output_tokens=10**400),
        f'run.json: the record of case "france" is broken: "samples[0].output_tokens" is 1{"0" * 39} and must be at most {2**53}.',
    ),
    "tokens below 0": (
        _broken_sample(input_tokens=-5),
        'run.json: the record of case "france" is broken: "samples[0].input_tokens" is -5 and must be at least 0.',
    ),
    "a record passed without a score": (
        _broken(score=None),
        'run.json: the record of case "france" is broken: it is passed and has no score.',
    ),
    "a score that is no number": (
        _broken(score=math.nan, outcome="failed"),
        'run.json: the record of case "france" is broken: it is failed and has no score.',
    ),
    "a sample passed without a score": (
        _broken_sample(score=None),
        'run.json: the record of case "france" is broken: "samples[0]" is passed and has no score.',
    ),
    "a temperature in words": (
        _broken_sampling(temperature="hot"),
        'run.json: the llmbench block is broken: "models.old.sampling.capitals.temperature" is "hot" and must be a number.',
    ),
    "no temperature": (
        _broken_sampling(temperature=None),
        'run.json: the llmbench block is broken: "models.old.sampling.capitals.temperature" is null and must be a number.',
    ),
    "a grader's version in words": (
        _broken_suite(grader_version="2"),
        'run.json: the llmbench block is broken: "suites.capitals.grader_version" is "2" and must be a whole number.',
    ),
    "models are a list": (
        {"llmbench": {"schema": 1, "models": []}},
        'run.json: the llmbench block is broken: "models" is [] and must be an object.',
    ),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_says_what_is_broken(tmp_path: Path, changes: Mapping[str, Any], message: str) -> None:
    """What cannot be read is one sentence that names the file, and the case where there is one."""
    assert fault_of(write(tmp_path, RECORD, **changes)) == message


IN_LINES = b'{\n"benchmarks": [\n{"name": "a"},\n%b\n],\n"llmbench": {"schema": 1}\n}\n'
"""A file as --benchmark-json writes it, a line a benchmark."""

UNREADABLE = {
    "a bad line": (IN_LINES % b'{"name": }', "run.json:4: this is not JSON, or it was cut off: Expecting value."),
    "a line that is not UTF-8": (
        IN_LINES % b'{"name": "\xff"}',
        "run.json: this is not a benchmark JSON: it is not UTF-8.",
    ),
    "a bottomless line": (
        IN_LINES % (b'{"name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "run.json: this is not a benchmark JSON: it is nested too deep.",
    ),
    "empty": (b"", "run.json:1: this is not JSON, or it was cut off: Expecting value."),
    "cut off": (
        b'{\n "benchmarks": [\n  {"name": "a"},\n',
        "run.json:4: this is not JSON, or it was cut off: Expecting value.",
    ),
    "a list": (b"[]", "run.json: this is not a benchmark JSON; write one with pytest --benchmark-json."),
    "not UTF-8": (b'{"a": "\xff"}', "run.json: this is not a benchmark JSON: it is not UTF-8."),
    "an endless number": (
        b"1" * 5000,
        "run.json: this is not a benchmark JSON: Exceeds the limit (4300 digits) for integer string conversion: value has "
        "5000 digits; use sys.set_int_max_str_digits() to increase the limit.",
    ),
    "a bottomless list": (
        b"[" * 100_000,
        "run.json: this is not a benchmark JSON: it is nested too deep.",
    ),
}


@pytest.mark.parametrize("n", [0, 1, 1201])
def test_a_file_in_lines_is_the_same_run(n: int, tmp_path: Path) -> None:
    """Read by and by, its records are those of the file read whole, in their order; other benchmarks are none."""
    records = [replace(RECORD, case=f"c{number * 7 % 1201}") for number in range(n)]
    path = write(tmp_path, *records)
    whole = read_run(path)
    found = json.loads(path.read_text())
    lines = ",\n".join(json.dumps(benchmark) for benchmark in found.pop("benchmarks"))
    path.write_text(f'{{\n"benchmarks": [\n{lines}\n],\n{json.dumps(found)[1:-1]}\n}}\n')

    assert read_run_lines(path).head == found
    assert read_run(path) == whole
    assert whole.records == tuple(records)


@pytest.mark.parametrize(("content", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_is_no_run_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    """What is no JSON, cut off, or of another kind is one sentence with the way out."""
    path = tmp_path / "run.json"
    path.write_bytes(content)

    assert fault_of(path) == message


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    """A file that is not there is named, with the option that makes it."""
    path = tmp_path / "run.json"

    assert fault_of(path) == "run.json: there is no such file; write one with pytest --benchmark-json=run.json."


def test_a_folder_is_no_run(tmp_path: Path) -> None:
    """What cannot be opened as a file says why."""
    path = tmp_path / "run.json"
    path.mkdir()

    assert fault_of(path) == "run.json: this file cannot be read: Is a directory."


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_broken_record_is_a_fault_and_nothing_else(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever stands in place of one value of a record, it is read or it is a fault of the file."""
    record = strict(record_to_json(RECORD))
    target = data.draw(st.sampled_from([record, record["samples"][0]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(
        st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.text(max_size=2) | st.just([]) | PARTS
    )
    path = write(tmp_path, RECORD, benchmarks=[{"extra_info": {"llmbench": record}}])

    found = read_or_fault(path)

    assert " is broken: " in found if isinstance(found, str) else len(found.records) == 1

"""Many benchmark JSONs as one line a run, suite and model; DuckDB reads the files, texts are never loaded."""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.models.identities import identity_differences
from pytest_llmbench.results.half_characters import write_whole_characters
from pytest_llmbench.results.identity import REPORTED, graders_without_judge, judge_differences
from pytest_llmbench.results.records import LARGEST, ModelInfo, RunInfo
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.results.run_json import SCHEMA, run_info_from_json
from pytest_llmbench.results.run_object import read_run_file
from pytest_llmbench.results.stops import incomplete_from_json
from pytest_llmbench.stats import wilson_interval

STORAGE = Path(".benchmarks")
"""Where pytest-benchmark keeps runs."""

_MEMORY = "400MB"
_LEAST_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One suite under one role in one run.

    Rates are shares; `score` and `interval` leave errors out and are None if there is nothing else; `errors`
    counts the cases that have a sample without an answer.
    `breaks` names what changed since the entry before of the same suite and role, so that the
    numbers are no longer of the same thing: `cases`, `prompts`, `grader` (or its judge), `machine`, `concurrency`,
    `model` (its entry, or what it is), `sampling`.
    `p50_s` is of the answers of this run measured beside as many others as most of it, `concurrency`.
    """

    file: str
    date: str
    commit: str
    suite: str
    role: str
    model: str
    cases: int
    errors: int
    score: float | None
    interval: tuple[float, float] | None
    format_rate: float | None
    p50_s: float | None
    concurrency: int | None = None
    breaks: tuple[str, ...] = ()
    stopped_early: str | None = None
    """How far a suite was asked that stopped early, in answers, as "150 of 500"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The entries by suite, role and date, and the files that could not be used, each with why."""

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries are wanted; `model` is a role or a model's name, `since` a date."""

    since: date | None = None
    model: str | None = None
    suite: str | None = None


def parse_since(text: str) -> date:
    """Read the date of `--since`.

    Raises:
        UsageFault: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageFault(f'--since needs a date as 2026-01-31, not "{text}".') from None


def read_history(paths: Sequence[Path], wanted: Filter) -> History:
    """Read the history of files, or of folders with all that lies below.

    A file named itself must be a run; in a folder others are left out, and named.

    Raises:
        RunFileFault: a named file is no run, or there is none at all.
    """
    files = _files(paths)
    entries, bad = _rows(files)
    named = {path for path in paths if path.is_file()}
    for path in bad:
        if path in named:
            raise RunFileFault(_why(path))
    if not entries:
        raise RunFileFault(
            f"{', '.join(map(str, paths))}: there is no run here; write one with pytest --benchmark-autosave."
        )
    shown = tuple(entry for entry in _with_breaks(entries) if _is_wanted(entry, wanted))
    return History(entries=shown, left_out=tuple(map(_why, bad)))


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.rglob("*.json"))
        elif path.is_file():
            found.append(path)
        else:
            raise RunFileFault(f"{path}: there is no such file or folder; pytest --benchmark-autosave fills {STORAGE}.")
    return list(dict.fromkeys(found))


def _why(path: Path) -> str:
    """Name a file that cannot be used, and why."""
    try:
        read_run(path)
    except RunFileFault as fault:
        return str(fault)
    return f"{path}: it has no readable record."


# -- the query

_RECORD = (
    '"suite" VARCHAR, "case" VARCHAR, case_sha256 VARCHAR, prompt_sha256 VARCHAR, "role" VARCHAR, model VARCHAR, '
    "grader VARCHAR, score DOUBLE, outcome VARCHAR, twin_of VARCHAR, trained JSON, "
    "samples STRUCT(outcome VARCHAR, format_ok BOOLEAN, latency_s DOUBLE, concurrency BIGINT, reused BOOLEAN)[]"
)
_COLUMNS = {
    "datetime": "VARCHAR",
    "commit_info": "STRUCT(id VARCHAR)",
    "machine_info": 'STRUCT("system" VARCHAR, machine VARCHAR, cpu STRUCT(brand_raw VARCHAR, "count" INTEGER))',
    "benchmarks": f"STRUCT(extra_info STRUCT(llmbench STRUCT({_RECORD})))[]",
    "llmbench": f'STRUCT("schema" INTEGER, unmeasured STRUCT({_RECORD})[], '
    "suites MAP(VARCHAR, STRUCT(grader_version INTEGER)), models JSON, options JSON, "
    "incomplete MAP(VARCHAR, BIGINT[]))",
}
# in one pass: a record is summed up as soon as it is read, so that no two files are in memory whole
_QUERY = """
WITH records AS (
    SELECT filename, "datetime" AS moment, commit_info.id AS commit, machine_info::VARCHAR AS machine,
        llmbench.suites AS suites, llmbench.incomplete AS incomplete,
        llmbench.options->'judge' AS judge, llmbench.models::VARCHAR AS models,
        unnest(list_concat(
            [b.extra_info.llmbench FOR b IN benchmarks IF b.extra_info.llmbench IS NOT NULL],
            coalesce(llmbench.unmeasured, []))) AS r
    FROM read_json($files, format = 'unstructured', columns = {columns}, filename = true, maximum_object_size = {size})
    WHERE llmbench."schema" <= {schema}
), slim AS (
    SELECT filename, moment, commit, machine, models, suites[r."suite"].grader_version AS grader_version,
        incomplete[r."suite"] AS incomplete,
        -- what a model was trained on is never counted with what it was not
        CASE WHEN coalesce(r.trained::VARCHAR, 'null') IN ('null', 'false') THEN r."suite"
            ELSE r."suite" || ' (trained on)' END AS suite,
        r."role" AS role, r.model AS model, nullif(r.score, 'nan') AS score, r.grader AS grader,
        CASE WHEN NOT list_contains($without_judge, r.grader) THEN judge::VARCHAR END AS judge,
        list_contains([s.outcome FOR s IN r.samples], 'error') AS has_error,
        hash(r."case", r.case_sha256) AS case_digest, hash(r."case", r.prompt_sha256) AS prompt_digest,
        [s.format_ok::INTEGER FOR s IN r.samples IF s.outcome <> 'error' AND s.format_ok IS NOT NULL] AS formats,
        [{{'s': s.latency_s, 'beside': coalesce(s.concurrency, 0)}} FOR s IN r.samples
            IF s.outcome <> 'error' AND nullif(s.latency_s, 'nan') IS NOT NULL AND NOT coalesce(s.reused, false)]
            AS times,
        -- what no reader of records takes either: each must be in its range, where a number that is none is not there
        coalesce(nullif(r.score, 'nan') NOT BETWEEN 0 AND 1, r.outcome <> 'error') OR len([1 FOR s IN r.samples
            IF nullif(s.latency_s, 'nan') NOT BETWEEN 0 AND {largest} OR s.concurrency NOT BETWEEN 0 AND {largest}
            ]) > 0 AS is_bad
    FROM records WHERE r.twin_of IS NULL
), summed AS (
    SELECT filename, coalesce(any_value(moment), '') AS moment, coalesce(any_value(commit), '') AS commit, suite, role,
        any_value(model) AS model, count(*) AS cases, count(*) FILTER (has_error) AS errors,
        avg(score) AS score, count(score) AS answered,
        sum(list_sum(formats)) / nullif(sum(len(formats)), 0) AS format_rate,
        flatten(list(times)) AS times,
        sum(case_digest::HUGEINT) AS case_digest, sum(prompt_digest::HUGEINT) AS prompt_digest,
        (min(grader), max(grader), max(grader_version))::VARCHAR AS grader, any_value(machine) AS machine,
        coalesce(bool_or(is_bad), false) AS is_bad, any_value(judge) AS judge,
        any_value(models) AS models, any_value(incomplete) AS incomplete
    FROM slim GROUP BY filename, suite, role
), loaded AS (
    -- times measured beside as many others as most of the run: with others they are no one figure
    SELECT *, list_aggregate(list_reverse_sort([t.beside FOR t IN times]), 'mode') AS beside FROM summed
)
SELECT filename, moment, commit, suite, role, model, cases, errors, score, answered, format_rate,
    list_aggregate([t.s FOR t IN times IF t.beside = beside], 'quantile_cont', 0.5), nullif(beside, 0),
    case_digest, prompt_digest, grader, machine, judge, models, incomplete, is_bad
FROM loaded
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry, the digests of what it was measured with, and the judge that may have graded, as its run records it."""

    entry: Entry
    made_of: dict[str, Any]
    judge: str | None
    model: ModelInfo | None


def _rows(files: Sequence[Path]) -> tuple[list[_Row], list[Path]]:
    """Read all files at once; where that fails, find the ones to blame and read the others."""
    import duckdb

    if not files:
        return [], []
    try:
        found = _query(files)
    except duckdb.Error:
        found = _query_each(files)
    bad = {row[0] for row in found if row[-1]}
    found = [row for row in found if row[0] not in bad]
    readable = {row[0] for row in found}
    return [_row(row) for row in found], [path for path in files if str(path) not in readable]


def _query_each(files: Sequence[Path]) -> list[tuple[Any, ...]]:
    """Read files one by one, those with half characters from a copy; what cannot be read has no rows."""
    import duckdb

    found: list[tuple[Any, ...]] = []
    with TemporaryDirectory() as folder:
        for path in files:
            copy = Path(folder, "run.json")
            with suppress(duckdb.Error):
                try:
                    found += _query([path])
                except duckdb.Error:
                    if write_whole_characters(path, copy):
                        found += [(str(path), *row[1:]) for row in _query([copy])]
    return found


def _query(files: Sequence[Path]) -> list[tuple[Any, ...]]:
    import duckdb

    columns = ", ".join(f"{name}: '{kind}'" for name, kind in _COLUMNS.items())
    # a file is one object, and DuckDB's buffers are as large as the largest it may meet
    size = max(_LEAST_BUFFER, *(path.stat().st_size + 1 for path in files))
    query = _QUERY.format(columns=f"{{{columns}}}", size=size, schema=SCHEMA, largest=LARGEST)
    settings = {"memory_limit": _MEMORY} if size < (1 << 25) else {}
    with duckdb.connect(config={"threads": 2, **settings}) as connection:
        values = {"files": [str(path) for path in files], "without_judge": sorted(graders_without_judge())}
        try:
            return connection.execute(query, values).fetchall()
        except RuntimeError as fault:  # DuckDB 2.0 makes this of Ctrl-C; its own errors are no RuntimeError
            raise KeyboardInterrupt from fault


def _row(found: tuple[Any, ...]) -> _Row:
    file, when, commit, suite, role, model, cases, errors, score, answered, format_rate, p50_s, concurrency = found[:13]
    entry = Entry(
        file=file,
        date=when,
        commit=commit,
        suite=suite,
        role=role,
        model=model,
        cases=cases,
        errors=errors,
        score=score,
        interval=wilson_interval(score, answered) if score is not None else None,
        format_rate=format_rate,
        p50_s=p50_s,
        concurrency=concurrency,
    )
    *digests, judge, models, incomplete = found[13:20]
    if incomplete:
        entry = replace(entry, stopped_early=f"{incomplete[1]} of {incomplete[0]}")
    made_of = dict(zip(("cases", "prompts", "grader", "machine"), digests, strict=True))
    return _Row(entry, {**made_of, "concurrency": concurrency}, judge, _model_of(models, role))


def _model_of(models: str | None, role: str) -> ModelInfo | None:
    """Read what a run knows of its model; None where it knows nothing that can be read."""
    try:
        facts = run_info_from_json({"models": json.loads(models or "{}")})
    except ValueError:
        return None
    return facts.model(role)


def _with_breaks(rows: Sequence[_Row]) -> Iterator[Entry]:
    before: dict[tuple[str, str], _Row] = {}
    for row in sorted(rows, key=lambda row: (row.entry.suite, row.entry.role, row.entry.date, row.entry.file)):
        last = before.get((row.entry.suite, row.entry.role))
        before[row.entry.suite, row.entry.role] = row
        yield replace(row.entry, breaks=tuple(_changes(last, row)) if last else ())


def _changes(before: _Row, now: _Row) -> Iterator[str]:
    for name, value in now.made_of.items():
        is_judged_otherwise = name == "grader" and _is_another_judge(before.judge, now.judge, now.entry.suite)
        if is_judged_otherwise or _is_change(before.made_of[name], value):
            yield name
    if before.entry.model != now.entry.model:
        yield "model"
    elif before.model is not None and now.model is not None:
        if set(identity_differences(before.model.identity, now.model.identity)) - REPORTED:
            yield "model"
        if _is_change(*(row.model.sampling.get(row.entry.suite) for row in (before, now) if row.model is not None)):
            yield "sampling"


def _is_change(before: object, now: object) -> bool:
    """Return whether two facts differ; one that was not measured, or not recorded, does not."""
    return None not in (before, now) and before != now


def _is_another_judge(before: str | None, now: str | None, suite: str) -> bool:
    """Return whether two runs had different judges for a suite, by the rule of a comparison."""
    return before != now and bool(judge_differences(_judge_facts(before), _judge_facts(now), suite))


def _judge_facts(text: str | None) -> RunInfo:
    options = {} if text is None else {"judge": json.loads(text)}
    try:
        return run_info_from_json({"options": options})
    except ValueError:
        return RunInfo(options=options)  # not written by this package: it is the same if it looks the same


def _is_wanted(entry: Entry, wanted: Filter) -> bool:
    is_late = wanted.since is None or entry.date[:10] >= wanted.since.isoformat()
    is_model = wanted.model is None or wanted.model in (entry.role, entry.model)
    return is_late and is_model and (wanted.suite is None or wanted.suite == entry.suite)


# -- the newest run


def latest_run_file(storage: Path = STORAGE) -> Path:
    """Find the newest run with language models in pytest-benchmark's storage, whichever Python wrote it.

    Raises:
        RunFileFault: there is none.
    """
    newest: list[tuple[datetime, Path]] = []
    for folder in sorted({path.parent for path in storage.rglob("[0-9][0-9][0-9][0-9]_*.json")}):
        # the counter in the names grows within a folder; each Python version has its own
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9]_*.json"), reverse=True):
            try:
                found = read_run_file(path)
                if incomplete_from_json(found["llmbench"].get("incomplete")):
                    continue  # it stopped early, and is no baseline
                newest.append((_moment(str(found.get("datetime", ""))), path))
            except RunFileFault:
                continue
            break
    if not newest:
        raise RunFileFault(f"{storage}: there is no run to compare with; save one with pytest --benchmark-autosave.")
    return max(newest)[1]


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return datetime.min

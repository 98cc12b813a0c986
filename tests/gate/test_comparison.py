"""Joining runs: what pairs, what is named as left out, what blocks, what is pooled, how far answers agree."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

import factories
from pytest_llmbench.cli import main
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.answer_agreement import agreement
from pytest_llmbench.gate.baselines import newest_first, pool
from pytest_llmbench.gate.comparison import join, only_role
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.pairs import Comparison, Kind, Pair, SuitePairs, Why
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.terminal.gate import comparison_lines
from pytest_llmbench.results.identity import judge_differences
from pytest_llmbench.results.records import (
    JudgedSuite,
    JudgeInfo,
    ModelInfo,
    Record,
    Run,
    RunInfo,
    Sample,
    SuiteInfo,
)
from pytest_llmbench.results.run_json import block_to_json, record_to_json
from pytest_llmbench.values import Json, Sampling, ToolCall


def sample(score: float | None, *, answer: str = "", **others: object) -> Sample:
    return factories.sample(score, answer, **{"latency_s": 1.0, "concurrency": 1, **others})


def record(case: str, *scores: float | None, role: str = "m", suite: str = "s", **others: object) -> Record:
    return factories.record(case, *(sample(score) for score in scores or (1.0,)), role=role, suite=suite, **others)


def run(*records: Record, temperature: float = 0.0, version: int = 1, weights: str = "w", date: str = "") -> Run:
    roles = dict.fromkeys(record.role for record in records)
    suites = dict.fromkeys(record.suite for record in records)
    sampling = {suite: Sampling(temperature=temperature) for suite in suites}
    identity = Identity(provider="recorded", model="m", weights=weights)
    return Run(
        records=records,
        facts=RunInfo(
            models=tuple(ModelInfo(role=role, model="gpt", identity=identity, sampling=sampling) for role in roles),
            suites=tuple(
                SuiteInfo(suite=s, sha256="", grader="exact", grader_version=version, path="") for s in suites
            ),
        ),
        datetime=date,
    )


def only_suite(comparison: Comparison) -> SuitePairs:
    (found,) = comparison.suites
    return found


def cases(*ids: str, **others: object) -> list[Record]:
    return [record(case, **others) for case in ids]  # type: ignore[arg-type]


# -- what pairs


def test_where_each_side_has_one_role_they_pair_whatever_their_names() -> None:
    """Runs of one model each compare under different names; the candidate's is the one told."""
    found = only_suite(join(run(*cases("a", role="old")), run(*cases("a", role="new"))))

    assert [pair.candidate.case for pair in found.pairs] == ["a"]
    assert (found.baseline_role, found.role) == ("old", "new")


def test_with_several_roles_those_of_the_same_name_pair_and_the_others_are_named() -> None:
    """A role that only one side has is not compared, and said so."""
    comparison = join(
        run(*cases("a", role="x"), *cases("a", role="y")), run(*cases("a", role="x"), *cases("a", role="z"))
    )

    assert [suite.role for suite in comparison.suites] == ["x"]
    assert [(entry.role, entry.why) for entry in comparison.left_out] == [
        ("y", Why.BASELINE_ONLY),
        ("z", Why.CANDIDATE_ONLY),
    ]


def test_runs_of_several_roles_without_a_common_one_are_refused() -> None:
    """Nothing is guessed about which model is whose successor."""
    with pytest.raises(UsageFault, match=r"no role in common \(baseline: x, y; candidate: u, v\)"):
        join(run(*cases("a", role="x"), *cases("a", role="y")), run(*cases("a", role="u"), *cases("a", role="v")))


def test_what_one_side_lacks_or_what_was_changed_is_left_out_by_name() -> None:
    """Cases only in one run and cases with another digest are counted and named, and the others are compared."""
    baseline = run(*cases("a", "b", "gone"), record("changed"))
    candidate = run(*cases("a", "b", "new"), record("changed", case_sha256="other"))

    found = only_suite(join(baseline, candidate))

    assert [pair.candidate.case for pair in found.pairs] == ["a", "b"]
    assert {entry.why: entry.cases for entry in found.left_out} == {
        Why.BASELINE_ONLY: ("gone",),
        Why.CANDIDATE_ONLY: ("new",),
        Why.OTHER_DIGEST: ("changed",),
    }


def test_a_suite_that_only_one_run_has_is_left_out_by_name_and_does_not_block() -> None:
    """A suite that selection left out is listed."""
    comparison = join(run(*cases("a"), *cases("b", suite="t")), run(*cases("a")))

    assert [suite.suite for suite in comparison.suites] == ["s"]
    assert [(entry.suite, entry.why, entry.cases) for entry in comparison.left_out] == [
        ("t", Why.BASELINE_ONLY, ("b",))
    ]


def test_a_suite_of_which_the_runs_met_other_cases_does_not_block_and_a_changed_one_does() -> None:
    """Cases that selection left out are named; cases that were changed since block."""
    apart = join(run(*cases("a"), *cases("b", suite="t")), run(*cases("a"), *cases("c", suite="t")))
    changed = join(
        run(*cases("a"), *cases("b", suite="t")), run(*cases("a"), record("b", suite="t", case_sha256="other"))
    )

    assert [(entry.suite, entry.why, entry.cases) for entry in apart.left_out] == [
        ("t", Why.BASELINE_ONLY, ("b",)),
        ("t", Why.CANDIDATE_ONLY, ("c",)),
    ]
    assert [suite.suite for suite in apart.suites] == ["s"]
    assert [suite.suite for suite in changed.suites] == ["s", "t"]
    assert decide(changed, GateSettings()).suites[1].verdict is Verdict.INCONCLUSIVE


def test_the_models_of_one_run_are_compared_by_taking_it_apart() -> None:
    """`only_role` gives the part of a run one model has, and names those there are for one it has not."""
    both = run(*cases("a", role="x"), *cases("a", role="y"))

    assert len(only_suite(join(only_role(both, "x"), only_role(both, "y"))).pairs) == 1
    with pytest.raises(UsageFault, match='no model "z" in the run; it has: x, y'):
        only_role(both, "z")


# -- bad input


def test_runs_without_a_common_case_are_refused_with_what_each_has() -> None:
    """Two runs that share no case are wrong usage, not a verdict."""
    with pytest.raises(
        UsageFault, match=r"no case in common \(s: 1 only in the baseline; s: 1 only in the candidate\)"
    ):
        join(run(*cases("a")), run(*cases("b")))
    with pytest.raises(UsageFault, match="changed between the runs"):
        join(run(*cases("a")), run(record("a", case_sha256="other")))
    with pytest.raises(UsageFault, match="the baseline has no records"):
        join(run(), run(*cases("a")))


def test_a_case_that_is_there_twice_is_refused() -> None:
    """Duplicate ids under one role would be paired by chance."""
    with pytest.raises(UsageFault, match='case "a" of suite "s" under "m" is in the run twice'):
        join(run(*cases("a", "a")), run(*cases("a")))


@pytest.mark.parametrize("score", [nan, 1.5, -0.1, float("inf")])
def test_an_impossible_score_is_refused_by_name(score: float) -> None:
    """A score that is no number in 0..1 would spoil every mean in silence."""
    with pytest.raises(
        UsageFault, match=r'case "a" of suite "s" under "m" has the score .*; scores must lie in 0\.\.1'
    ):
        join(run(record("a", score)), run(*cases("a")))


# -- what blocks, what is only told


@pytest.mark.parametrize(
    ("kind", "changed", "text"),
    [
        (Kind.PROMPT, record("a", prompt_sha256="q"), "1 of 1 cases have a different prompt of the same style"),
        (Kind.GRADER, record("a", grader="regex"), "1 of 1 cases have a different grader"),
        (Kind.SAMPLES, record("a", 1.0, 1.0), "1 of 1 cases have a different number of samples"),
    ],
)
def test_a_difference_that_changes_what_is_compared_blocks_unless_allowed(
    kind: Kind, changed: Record, text: str
) -> None:
    """Another prompt of the same style, another grader or number of samples blocks; --allow-different lifts it."""
    blocked = only_suite(join(run(record("a")), run(changed)))
    allowed = only_suite(join(run(record("a")), run(changed), [kind]))

    assert [(found.kind, found.text) for found in blocked.blocked_by] == [(kind, text)]
    assert allowed.blocked_by == ()
    assert [found.text for found in allowed.differences] == [text]


def test_another_grader_version_blocks() -> None:
    """The same answer may get another grade by a newer grader."""
    found = only_suite(join(run(record("a")), run(record("a"), version=2)))

    assert [(d.kind, d.text) for d in found.blocked_by] == [(Kind.GRADER, "grader version differs: 1 -> 2")]


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ({"a": "1", "b": "1"}, {"a": "2", "b": "2"}, "a, b"),
        ({"a": "1"}, {"a": "1"}, None),
        (None, {"a": "1"}, None),
        ({"a": "1"}, {"b": "2"}, None),
    ],
)
def test_a_database_of_other_content_blocks(
    old: dict[str, str] | None, new: dict[str, str] | None, names: str | None
) -> None:
    """The same query has other rows there; a run that does not record its content is compared as ever."""
    runs = []
    for data in (old, new):
        made = run(record("a"))
        suites = tuple(replace(suite, data_sha256=data) for suite in made.facts.suites)
        runs.append(replace(made, facts=replace(made.facts, suites=suites)))

    found = only_suite(join(*runs)).blocked_by

    text = f"the content of the database differs: {names}"
    assert [(one.kind, one.text) for one in found] == ([] if names is None else [(Kind.GRADER, text)])


def with_settings(settings: dict[str, Json] | None) -> Run:
    made = run(record("a"))
    suites = tuple(replace(suite, grader_settings=settings) for suite in made.facts.suites)
    return replace(made, facts=replace(made.facts, suites=suites))


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ({}, {"ignore_case": True}, "grader settings differ: ignore_case default -> true"),
        (
            {"labels": ["yes", "no"], "threshold": 0.5},
            {"labels": ["no", "yes"]},
            'grader settings differ: labels ["yes", "no"] -> ["no", "yes"], threshold 0.5 -> default',
        ),
        ({"threshold": 0.5}, {"threshold": 0.5}, None),
        (None, {"threshold": 0.5}, None),
    ],
)
def test_other_settings_of_a_grader_block(
    old: dict[str, Json] | None, new: dict[str, Json] | None, text: str | None
) -> None:
    """The same answer may get another grade; runs that do not record settings are compared as before."""
    found = only_suite(join(with_settings(old), with_settings(new)))

    assert [(d.kind, d.text) for d in found.blocked_by] == ([] if text is None else [(Kind.GRADER, text)])


def embedding(**others: object) -> Run:
    """Give a run of a suite whose check asked an embedder."""
    identity = Identity(**{"provider": "transformers", "model": "/a/minilm", "weights": "sha256:1", **others})  # type: ignore[arg-type]
    made = run(*cases("a", "b"))
    suites = tuple(replace(suite, embedders={"minilm": identity}) for suite in made.facts.suites)
    return replace(made, facts=replace(made.facts, suites=suites))


@pytest.mark.parametrize(
    ("now", "texts"),
    [
        (embedding(weights="sha256:2"), ["2 of 2 cases have a different embedder (minilm: weights)"]),
        (embedding(model="/b/minilm", libraries={"torch": "9"}), []),
        (run(*cases("a", "b")), []),
    ],
    ids=["other weights", "the same in another place", "none was opened"],
)
def test_another_embedder_blocks(now: Run, texts: list[str]) -> None:
    """Cosines of two embedders are not compared; where the files lie, and whether it was needed, is no difference."""
    suite = only_suite(join(embedding(), now))

    assert [one.text for one in suite.differences] == texts
    assert all(one.kind is Kind.GRADER and not one.is_allowed for one in suite.differences)


@pytest.mark.parametrize(("grader", "blocks"), [("my.judged:grade", True), ("exact", False)])
def test_another_judge_blocks_where_a_judge_may_have_been_asked(grader: str, blocks: bool) -> None:
    """Another judge blocks, but not suites whose grader asks none."""
    old, new = (
        replace(made, facts=replace(made.facts, options={"judge": judge}))
        for made, judge in ((run(record("a", grader=grader)), "x"), (run(record("a", grader=grader)), "y"))
    )

    assert [d.kind for d in only_suite(join(old, new)).blocked_by] == ([Kind.JUDGE] if blocks else [])


IDENTITY = Identity(provider="openai", model="gpt")


def judged(identity: Identity | None = IDENTITY, **fields: object) -> RunInfo:
    """Make what a run knows of a judge that was asked about suite "s"."""
    how = JudgedSuite(prompt_sha256="p", votes=1, sampling=Sampling())
    return RunInfo(judge=JudgeInfo(model="j", identity=identity, suites={"s": replace(how, **fields)}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (judged(), judged(), ()),
        (RunInfo(), RunInfo(), ()),
        (judged(), RunInfo(), ("model",)),
        (judged(), judged(replace(IDENTITY, model="other")), ("model",)),
        (judged(), judged(prompt_sha256="q", votes=3), ("prompt_sha256", "votes")),
        (judged(), judged(sampling=Sampling(temperature=1)), ("sampling",)),
        (judged(), judged(replace(IDENTITY, libraries={"openai": "9"}, settings={"system_fingerprint": "fp"})), ()),
        (judged(), judged(replace(IDENTITY, server_model="gpt-2026")), ()),
        (
            judged(replace(IDENTITY, server_model="gpt-2025")),
            judged(replace(IDENTITY, server_model="gpt-2026")),
            ("server_model",),
        ),
        (judged(), judged(None), ()),
    ],
)
def test_in_what_judges_differ(old: RunInfo, new: RunInfo, parts: tuple[str, ...]) -> None:
    """What makes it another judge is named; what changes under an unchanged one, or is not known, does not count."""
    assert judge_differences(old, new, "s") == parts
    assert judge_differences(old, new, "unjudged") == ()


def test_another_prompt_style_or_sampling_is_told_and_does_not_block() -> None:
    """A chat model against a base model, hot against cold: the point of the comparison, not a fault of it."""
    found = only_suite(
        join(run(record("a")), run(record("a", prompt_style="completion", prompt_sha256="q"), temperature=0.7))
    )

    assert found.blocked_by == ()
    assert found.notes == (
        "prompt style differs: chat -> completion",
        "sampling differs: temperature 0 -> 0.7",
    )
    assert found.can_samples_help


# -- pooling


def incumbent(*scores: float, date: str, **others: object) -> Run:
    return run(*(record(f"c{i}", score) for i, score in enumerate(scores)), date=date, **others)  # type: ignore[arg-type]


def test_older_runs_of_the_same_incumbent_count_as_baseline_answers() -> None:
    """A qualifying old run's answers are averaged into the baseline's score of each case."""
    today, old = incumbent(1, 0, 1, 1, date="2026-02"), incumbent(1, 1, 1, 1, date="2026-01")

    comparison = pool(join(today, incumbent(1, 1, 1, 1, date="2026-03")), [old])

    assert comparison.pooled_runs == 1
    assert decide(comparison, GateSettings()).suites[0].baseline_score == pytest.approx(7 / 8)


@pytest.mark.parametrize(
    ("old", "why"),
    [
        (incumbent(1, 1, date="old", weights="other"), "its model differs (weights)"),
        (incumbent(1, 1, date="old", temperature=0.5), "its sampling differs"),
        (incumbent(1, 1, date="old", version=3), "its grader differs"),
    ],
)
def test_an_old_run_that_does_not_qualify_is_left_out_and_told(old: Run, why: str) -> None:
    """Another model, sampling or grader is no past of today's incumbent."""
    comparison = pool(join(incumbent(1, 1, date="today"), incumbent(1, 1, date="new")), [old])

    assert comparison.pooled_runs == 0
    assert only_suite(comparison).notes == (f"the run of old is not pooled: {why}",)


@pytest.mark.parametrize(
    "old",
    [
        record("c0", case_sha256="other"),
        record("c0", prompt_sha256="other"),
        record("c0", None),
        replace(record("c0"), samples=(sample(1.0, reused=True),)),
    ],
)
def test_an_old_record_that_is_not_the_same_or_not_new_does_not_count(old: Record) -> None:
    """Another digest or prompt, an error, a reused answer: the record is passed over."""
    comparison = pool(join(incumbent(1, date="today"), incumbent(1, date="new")), [run(old, date="old")])

    assert only_suite(comparison).pairs[0].older == ()
    assert only_suite(comparison).notes == (
        "the run of old is not pooled: it has no case of this suite that is the same and was answered anew",
    )


def test_an_old_run_pairs_by_its_only_role_and_counts_for_the_cases_it_has() -> None:
    """The incumbent may have had another role then; what it lacks is told."""
    old = run(*cases("c0", "c1", role="production"), date="old")

    comparison = pool(join(incumbent(1, 1, 1, date="today"), incumbent(1, 1, 1, date="new")), [old])

    suite = only_suite(comparison)
    assert [len(pair.older) for pair in suite.pairs] == [1, 1, 0]
    assert suite.notes == ("answers of 1 older run of the baseline are pooled, to 2 of 3 cases",)
    assert suite.pooled == ("old",)


def test_a_margin_below_the_noise_of_the_baseline_s_own_runs_is_told() -> None:
    """Two runs that differ in 8 of 40 cases lie up to 12 points apart: a margin of 5 is below that, one of 20 is not."""
    today, old = ([1.0] * 28 + [0.0] * 4 + [1.0] * 4 + [0.0] * 4, [1.0] * 28 + [1.0] * 4 + [0.0] * 8)
    joined = join(incumbent(*today, date="today"), incumbent(*today, date="new"))

    pooled = pool(joined, [incumbent(*old, date="old")])

    warning = "  a margin of 5 points is below the noise floor: two runs of the baseline differ by up to 11.9 points"
    assert warning in comparison_lines(decide(pooled, GateSettings()))
    assert not any("noise floor" in line for line in comparison_lines(decide(pooled, GateSettings(margin=0.2))))
    assert not any("noise floor" in line for line in comparison_lines(decide(joined, GateSettings())))


def test_a_past_that_differs_from_today_is_not_pooled() -> None:
    """The gate's own test is asked first whether the incumbent drifted."""
    today, old = incumbent(*[1.0] * 40, date="today"), incumbent(*[0.0] * 10, *[1.0] * 30, date="old")

    comparison = pool(join(today, incumbent(*[1.0] * 40, date="new")), [old])

    assert comparison.pooled_runs == 0
    assert only_suite(comparison).notes == (
        "older runs are not pooled: the baseline's scores differ from theirs by more than chance",
    )


def test_the_newest_of_several_baselines_is_the_one_compared() -> None:
    """Runs are ordered by their date."""
    runs = [incumbent(1, date=date) for date in ("2026-01-05", "2026-03-01", "2026-02-01")]

    assert [run.datetime for run in newest_first(runs)] == ["2026-03-01", "2026-02-01", "2026-01-05"]


# -- agreement


def pairs_of(both: Sequence[tuple[Sample, Sample]], grader: str = "sql") -> list[Pair]:
    return [
        Pair(
            baseline=record("a", grader=grader, samples=(old,)),
            candidate=record("a", grader=grader, samples=(new,)),
        )
        for old, new in both
    ]


def test_agreement_counts_grades_texts_and_sql_results() -> None:
    """Two queries agree on the result if both are right by one reference, or depart from it in the same way."""
    right, other_text = (
        sample(1.0, answer="SELECT 1", parts={"reference": 0}),
        sample(1.0, answer="select 1", parts={"reference": 0}),
    )
    rows = {"instance": "small", "difference": {"missing": [[1]]}}
    wrong, same_wrong = sample(0.0, answer="x", parts=rows), sample(0.0, answer="y", parts=dict(rows))
    other_wrong = sample(0.0, answer="x", parts={**rows, "difference": {"missing": [[2]]}})
    more_wrong = replace(wrong, explanation="The answer lacks 9 rows of the reference.")
    invalid = sample(0.0, answer="z")

    found = agreement(
        pairs_of(
            [
                (right, other_text),
                (wrong, same_wrong),
                (wrong, other_wrong),
                (wrong, more_wrong),
                (right, invalid),
                (invalid, invalid),
            ]
        )
    )

    assert found is not None
    assert found.answers == 6
    assert found.grade_rate == pytest.approx(5 / 6)
    assert found.text_rate == pytest.approx(3 / 6)
    assert found.result_rate == pytest.approx(2 / 5)


def test_agreement_compares_calls_and_turns() -> None:
    """Answers without a text are other ones if they call other tools, or if an earlier turn was answered otherwise."""
    call = sample(1.0, answer="", tool_calls=(ToolCall(name="a"),))
    other_call = sample(1.0, answer="", tool_calls=(ToolCall(name="b"),))
    talk = sample(1.0, answer="x", parts={"turns": [{"answer": "a"}, {"answer": "x"}]})
    other_talk = sample(1.0, answer="x", parts={"turns": [{"answer": "b"}, {"answer": "x"}]})

    found = agreement(pairs_of([(call, other_call), (call, call), (talk, other_talk), (talk, talk)]))

    assert found is not None
    assert found.text_rate == 0.5


def test_agreement_leaves_errors_out_and_has_no_sql_result_elsewhere() -> None:
    """An error has no answer to agree with; other graders have no result."""
    found = agreement(pairs_of([(sample(1.0), sample(1.0)), (sample(None), sample(1.0))], grader="exact"))

    assert found is not None
    assert (found.answers, found.result_rate) == (1, None)
    assert agreement(pairs_of([(sample(None), sample(1.0))])) is None


# -- from files


def write(path: Path, made: Run, **top: object) -> Path:
    """Write a run as pytest does."""
    found = {
        "benchmarks": [
            {"name": r.case, "extra_info": {"llmbench": record_to_json(r)}} for r in made.records if r.latencies_s
        ],
        "datetime": made.datetime,
        "llmbench": block_to_json(made),
        **top,
    }
    path.write_text(json.dumps(found))
    return path


def compare(*arguments: object) -> int:
    return main(["compare", *map(str, arguments)])


Readable = pytest.CaptureFixture[str]


def test_the_command_judges_two_files(tmp_path: Path, capsys: Readable) -> None:
    """The verdict is the last line and the exit status; clusters survive the file."""
    old = write(tmp_path / "old.json", run(*cases(*map(str, range(60)), cluster="k")))
    new = write(tmp_path / "new.json", run(*cases(*map(str, range(60)), cluster="k")))

    status = compare(old, new)

    assert status == 8
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(
        "s        too few cases 100% -> 100% right on 60 cases in 1 cluster. The true change may lie anywhere from "
    )
    assert told[-1] == "verdict: too few cases"


@pytest.mark.parametrize(("lost", "status"), [(0, 0), (30, 1), (2, 8)])
def test_the_exit_status_is_the_gate_s(tmp_path: Path, lost: int, status: int) -> None:
    """0 for no worse, 1 for worse, 8 for too few cases."""
    ids = [str(i) for i in range(100)]
    old = write(tmp_path / "old.json", run(*cases(*ids)))
    new = write(tmp_path / "new.json", run(*(record(case, float(int(case) >= lost)) for case in ids)))

    assert compare(old, new) == status


def test_a_wider_margin_lets_more_through(tmp_path: Path) -> None:
    """--margin is in points."""
    ids = [str(i) for i in range(100)]
    old = write(tmp_path / "old.json", run(*cases(*ids)))
    new = write(tmp_path / "new.json", run(*(record(case, float(int(case) >= 2)) for case in ids)))

    assert [compare(old, new, "--margin", points) for points in (5, 15)] == [8, 0]


def test_models_of_one_run_are_compared_by_name(tmp_path: Path, capsys: Readable) -> None:
    """--models takes two or more roles of one file, or one of each."""
    both = write(tmp_path / "both.json", run(*cases("a", "b", "c", role="x"), *cases("a", "b", "c", role="y")))
    other = write(tmp_path / "other.json", run(*cases("a", "b", "c", role="z")))

    assert compare(both, "--models", "x", "y") == 8
    assert compare(both, other, "--models", "y", "z") == 8
    capsys.readouterr()
    assert compare(both, "--models", "x") == 2
    assert "--models needs two or more models of one run" in capsys.readouterr().err


def test_models_of_files_of_one_name_are_told_apart(tmp_path: Path, capsys: Readable) -> None:
    """By the paths of their files, so that none takes the place of another; a file may be there with two models."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    first = write(tmp_path / "1" / "run.json", run(*cases("a", role="x"), *cases("a", role="y")))
    second = write(tmp_path / "2" / "run.json", run(*cases("a", role="x")))

    assert compare(first, first, second, "--models", "x", "y", "x", "--format", "json") == 8

    assert list(json.loads(capsys.readouterr().out)["candidates"]) == [f"y ({first})", f"x ({second})"]


def test_a_run_is_not_judged_against_itself(tmp_path: Path, capsys: Readable, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever path, or as one model twice; several candidates of one name would be one in the JSON."""
    monkeypatch.chdir(tmp_path)
    both = write(tmp_path / "both.json", run(*cases("a", role="x"), *cases("a", role="y")))

    for arguments, what in (
        (["both.json", both], "file"),
        ([both, "--models", "x", "y", "y"], "model"),
        (["both.json", both, "--models", "x", "x"], "model of a file"),
    ):
        assert compare(*arguments) == 2
        assert capsys.readouterr().err == (
            f"llmbench: the same {what} is named twice; name another one to compare it with.\n"
        )


def test_several_candidates_stand_side_by_side(tmp_path: Path, capsys: Readable) -> None:
    """More than two runs are a table, each judged against the first; the gravest verdict counts."""
    ids = [str(i) for i in range(100)]
    files = [
        write(tmp_path / f"{name}.json", run(*(record(case, float(int(case) >= lost)) for case in ids)))
        for name, lost in (("base", 0), ("good", 0), ("bad", 30))
    ]

    assert compare(*files) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["suite  base    good              bad", "s      100.0%  100.0%, no worse  70.0%, worse"]
    assert told[-1] == "verdict: worse"


def test_older_runs_are_pooled_where_asked(tmp_path: Path, capsys: Readable) -> None:
    """--pool adds answers of an older run of the baseline, and says so."""
    ids = [f"c{i}" for i in range(60)]
    files = [
        write(tmp_path / f"{name}.json", run(*cases(*ids), date=name)) for name in ("2026-02", "2026-03", "2026-01")
    ]

    assert compare(files[0], files[1], "--pool", files[2]) == 0
    assert "  answers of 1 older run of the baseline are pooled" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("twin", ["base.json", "copy.json", "new.json"])
def test_no_run_counts_twice(tmp_path: Path, capsys: Readable, twin: str) -> None:
    """A copy of a run that is compared, or of one that is pooled, would make the noise look small."""
    base, new = (write(tmp_path / f"{name}.json", run(*cases("a", "b"), date=name)) for name in ("base", "new"))
    old = write(tmp_path / "old.json", run(*cases("a", "b"), date="old"))
    (tmp_path / "copy.json").write_bytes(old.read_bytes())

    assert compare(base, new, "--pool", old, "--pool", tmp_path / twin) == 2
    assert "this is the same run as" in capsys.readouterr().err
    assert main(["calibrate", str(old), str(tmp_path / "copy.json")]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not JSON", ":1: this is not JSON, or it was cut off: Expecting value."),
        ('{"benchmarks": [', ":1: this is not JSON, or it was cut off: "),
        ('{"benchmarks": []}', ": this is a plain pytest-benchmark file; "),
        ('{"benchmarks": [], "llmbench": {"schema": 99}}', ": this file has schema 99, "),
        ("[]", ": this is not a benchmark JSON; "),
    ],
)
def test_a_file_that_is_no_run_is_wrong_usage(tmp_path: Path, capsys: Readable, content: str, message: str) -> None:
    """Exit 2 and one sentence with the file's name."""
    bad = tmp_path / "bad.json"
    bad.write_text(content)
    good = write(tmp_path / "good.json", run(*cases("a")))

    assert compare(bad, good) == 2
    assert f"llmbench: {bad}{message}" in capsys.readouterr().err


@pytest.mark.parametrize("score", [nan, 1.5])
def test_an_impossible_score_in_a_file_names_the_file(tmp_path: Path, capsys: Readable, score: float) -> None:
    """NaN, which Python writes into JSON, and a score over 1."""
    bad = write(tmp_path / "bad.json", run(record("a", score)))
    good = write(tmp_path / "good.json", run(*cases("a")))

    assert compare(good, bad) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"llmbench: {bad}: ")
    assert "score" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.json"], "name two runs to compare"),
        (["a.json", "a.json"], "the same file is named twice"),
        (["a.json", "missing.json"], "missing.json: there is no such file"),
        (["a.json", "b.json", "--margin", "0"], "needs points of score above 0"),
        (["a.json", "b.json", "--margin", "101"], "needs points of score above 0"),
        (["a.json", "b.json", "--latency-margin", "0.5"], "needs a ratio above 1"),
        (["a.json", "b.json", "--allow-different", "seed"], 'not "seed"'),
        (["a.json", "other.json"], "no case in common"),
        (["a.json", "b.json", "--verdicts", "v.jsonl"], "--verdicts v.jsonl: there is no such file; llmbench review"),
    ],
)
def test_wrong_usage_is_exit_2_with_a_sentence(
    tmp_path: Path, capsys: Readable, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """Each fault says what is wrong, and nothing is judged."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json", run(*cases("a")))
    write(tmp_path / "b.json", run(*cases("a")))
    write(tmp_path / "other.json", run(*cases("z")))

    assert compare(*arguments) == 2
    told = capsys.readouterr()
    assert message in told.err
    assert told.out == ""


def test_an_annotation_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: Readable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison stands on stdout as it was, and the line that is left out on stderr."""
    monkeypatch.chdir(tmp_path)
    files = [write(tmp_path / f"{name}.json", run(*cases("a"))) for name in ("old", "new")]
    compare(*files)
    told = capsys.readouterr().out
    (tmp_path / "verdicts.jsonl").write_text("nonsense\n")

    assert compare(*files) == 8

    found = capsys.readouterr()
    assert found.out == told
    assert found.err.startswith("llmbench: verdicts.jsonl:1: this line is not an annotation and is left out: not JSON")


def test_a_difference_is_allowed_from_the_command_line(tmp_path: Path) -> None:
    """--allow-different prompt turns inconclusive into a verdict."""
    ids = [str(i) for i in range(60)]
    old = write(tmp_path / "old.json", run(*cases(*ids)))
    new = write(tmp_path / "new.json", run(*cases(*ids, prompt_sha256="q")))

    assert [compare(old, new), compare(old, new, "--allow-different", "prompt")] == [8, 0]

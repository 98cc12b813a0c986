"""What the gate prints: whole lines, Markdown that nothing escapes from, JSON with the promised keys, side by side."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

import factories
from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.min_score import MinScore, rule_min_scores
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.power import expected_power
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import Gate
from pytest_llmbench.gate.run_decision import RunGate, RunRuling
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.format import whole_points
from pytest_llmbench.report.json import comparison_json, floor_json
from pytest_llmbench.report.markdown.gate import comparison_markdown
from pytest_llmbench.report.sentences import gate_sentences, min_score_sentences, planned_power_lines
from pytest_llmbench.report.side_by_side import Column, side_by_side_json, side_by_side_lines, side_by_side_markdown
from pytest_llmbench.report.terminal.gate import comparison_lines, ruling_properties, sentence_lines, verdict_line
from pytest_llmbench.report.terminal.layout import Span, Style, plain
from pytest_llmbench.results.records import ModelInfo, Record, Run, RunInfo, Sample
from pytest_llmbench.values import Sampling


def sample(score: float | None, answer: str = "x", **others: object) -> Sample:
    reason = "correct" if score == 1 else "different"
    return factories.sample(score, answer, **{"reason": reason, "concurrency": 1, **others})


def record(case: str, *samples: Sample, suite: str = "nl2sql", **others: object) -> Record:
    return factories.record(case, *samples, suite=suite, **others)


def run(records: Iterable[Record]) -> Run:
    found = tuple(records)
    sampling = {made.suite: Sampling(temperature=0.0) for made in found}
    identity = Identity(provider="recorded", model="m")
    models = (ModelInfo(role="m", model="m", identity=identity, sampling=sampling),)
    return Run(records=found, facts=RunInfo(models=models))


def scored(scores: Sequence[float | None], suite: str = "nl2sql", **others: object) -> list[Record]:
    return [record(f"c{i}", sample(score, **others), suite=suite) for i, score in enumerate(scores)]


def gate_of(old: Iterable[Record], new: Iterable[Record], settings: GateSettings | None = None) -> Gate:
    chosen = settings or GateSettings()
    return decide(join(run(old), run(new), chosen.allowed), chosen)


def lines(gate: Gate, *, is_verbose: bool = False) -> list[str]:
    return list(comparison_lines(gate, is_verbose=is_verbose))


MOVED_500 = ([0.0] * 36 + [1.0] * 415 + [0.0] * 49, [1.0] * 36 + [0.0] * 39 + [1.0] * 376 + [0.0] * 49)
MOVED_20 = ([0.0] * 5 + [1.0] * 15, [1.0] + [0.0] * 6 + [1.0] * 13)


def test_a_decided_and_an_undecided_suite_on_a_line_each_and_the_overall_verdict_last() -> None:
    """The worked example: 36 won and 39 lost of 500 pass, 1 and 2 of 20 are too few, and so is the whole."""
    gate = gate_of(
        [*scored(MOVED_500[0]), *scored(MOVED_20[0], "jokes")], [*scored(MOVED_500[1]), *scored(MOVED_20[1], "jokes")]
    )

    told = lines(gate)

    assert told[0] == (
        "nl2sql               no worse      83.0% -> 82.4% right on 500 cases (-0.6 points, 90% interval -3.5 to +2.3; margin 5)"
    )
    assert (
        "jokes                too few cases 75% -> 70% right on 20 cases. The true change may lie anywhere from -24 to +13 points. "
        "To pass a 5-point margin you would need about 390 cases."
    ) in told
    assert (
        "all suites together  no worse      -0.8 points over 520 cases (-3.6 to +2.1); no single suite shows a loss"
        in told
    )
    assert told[-1] == "verdict: too few cases"


def test_below_an_undecided_suite_stands_what_would_help() -> None:
    """The smallest margin, whether samples help, what moved, how far the answers agree."""
    told = lines(gate_of(scored(MOVED_20[0]), scored(MOVED_20[1])))

    assert told[1:] == [
        "  with 20 cases, only a margin of 26 points or more can pass",
        "  more samples per case do not help at temperature 0; add cases",
        "  2 got worse: c5, c6",
        "  1 got better: c0",
        "  answers: 85% have the same grade, 100% the same text",
        "verdict: too few cases",
    ]


def test_verbose_shows_both_answers_of_what_moved_made_safe() -> None:
    """The answers stand below each other with their reasons; what could act on the terminal is escaped."""
    old = [record("peru", sample(1.0, "Lima")), *scored([1.0] * 70)]
    new = [record("peru", sample(0.0, "Cus\x1b[31mco\nor so")), *scored([1.0] * 70)]

    told = lines(gate_of(old, new), is_verbose=True)

    place = told.index("  1 got worse: peru")
    assert told[place + 1 : place + 6] == [
        "    peru",
        "      baseline   Lima [correct]",
        "      candidate  Cus\\x1b[31mco",
        "                 or so",
        "                 [different]",
    ]


def test_nothing_shrinks_in_silence() -> None:
    """What is not compared is counted against the whole and named; suites of one side are listed."""
    old = [*scored([1.0] * 80), *scored([1.0], "extra")]
    told = lines(gate_of(old, scored([1.0] * 60)))

    names = ", ".join(f"c{i}" for i in range(60, 72))
    assert told[1] == f"  compared 60 of 80 cases, 20 only in the baseline: {names} and 8 more"
    assert "not compared                extra [m]: 1 only in the baseline: c0" in told


def test_what_blocks_is_said_with_the_way_out() -> None:
    """A blocked suite is inconclusive, says why, and how to compare all the same."""
    old = scored([1.0] * 60)
    new = [replace(made, prompt_sha256="q") for made in old]

    blocked = lines(gate_of(old, new))
    allowed = lines(gate_of(old, new, GateSettings(allowed=frozenset({Kind.PROMPT}))))

    assert blocked == [
        "nl2sql  inconclusive  60 cases cannot be compared without --allow-different prompt",
        "  60 of 60 cases have a different prompt of the same style (blocks the comparison; --allow-different prompt compares anyway)",
        "verdict: inconclusive",
    ]
    assert allowed[1] == "  60 of 60 cases have a different prompt of the same style (allowed)"
    assert allowed[-1] == "verdict: no worse"


def test_errors_that_decide_are_named() -> None:
    """An inconclusive suite says which cases have errors and that the verdict hangs on them."""
    told = lines(gate_of(scored([1.0] * 70), scored([None] * 8 + [1.0] * 62)))

    assert told[0].startswith("nl2sql  inconclusive  100% -> 100% right on 70 cases (+0 points, 90% interval -")
    assert "  8 cases with errors; the verdict depends on them: c0, c1, c2, c3, c4, c5, c6, c7" in told


def test_a_real_drop_inside_the_margin_is_called_so() -> None:
    """Passing on purpose is said."""
    told = lines(gate_of(scored([1.0] * 1000), scored([0.0] * 30 + [1.0] * 970)))

    assert told[1] == "  the loss is statistically significant but within the margin"


def test_fractional_scores_say_that_the_margin_is_in_points_of_score() -> None:
    """A mean of shares is no share of right answers."""
    told = lines(gate_of(scored([0.8] * 100), scored([0.81] * 100)))

    assert told[0] == (
        "nl2sql  no worse      80.0% -> 81.0% of score on 100 cases "
        "(+1.0 points of score, 90% interval -1.7 to +3.7; margin 5)"
    )


def test_latency_is_told_with_its_explanation_and_its_noise() -> None:
    """The ratio, what tokens and the time a token make of it, the noise allowed for."""
    old = scored([1.0] * 60, latency_s=1.0, output_tokens=100)
    new = scored([1.0] * 60, latency_s=1.5, output_tokens=125)

    told = lines(gate_of(old, new, GateSettings(latency_margin=1.1)))

    assert told[-4:] == [
        "latency  worse         per case x1.50 (median of 60 cases, interval x1.34 to x1.69; margin x1.1): x1.25 tokens, x1.20 time per token",
        "  allowing for run-to-run noise of 5% (assumed)",
        "  a margin of x1.1 is below that noise: two runs of one model differ by up to x1.12",
        "verdict: worse",
    ]


def test_latencies_not_measured_alike_are_not_told_as_a_ratio() -> None:
    """The refusal stands in place of the ratio, with the way out."""
    told = lines(gate_of(scored([1.0] * 60, latency_s=1.0), scored([1.0] * 60, latency_s=1.0, concurrency=8)))

    assert told[-3:] == [
        "latency                not compared: the runs were measured under different conditions",
        "  requests in flight: 8, in the baseline 1 (--allow-different concurrency compares anyway)",
        "verdict: no worse",
    ]


def test_minimum_scores_on_a_line_each() -> None:
    """Reached or missed, with errors counted as wrong."""
    floors = rule_min_scores(scored([1.0, None]), [MinScore(suite=None, score=0.8)])

    assert [plain(line) for line in sentence_lines(list(min_score_sentences(floors)))] == [
        "nl2sql  worse         minimum score 80.0% missed: 50.0% on 2 cases (errors count as wrong)"
    ]
    assert floor_json(floors[0])["reached"] is False


def test_on_a_narrow_terminal_sentences_are_folded_beside_their_verdicts_or_below() -> None:
    """No line is wider, and nothing is left out."""
    said = list(gate_sentences(gate_of(scored(MOVED_20[0]), scored(MOVED_20[1])), is_verbose=False))

    wide = [plain(line) for line in sentence_lines(said)]
    for width in (40, 60, 80):
        told = [plain(line) for line in sentence_lines(said, width)]

        assert all(len(line) <= width for line in told)
        assert " ".join(told).split() == " ".join(wide).split()
    assert [plain(line) for line in sentence_lines(said, 60)][:4] == [
        "nl2sql  too few cases 75% -> 70% right on 20 cases. The true",
        "                      change may lie anywhere from -24 to",
        "                      +13 points. To pass a 5-point margin",
        "                      you would need about 390 cases.",
    ]


def test_a_verdict_has_the_colour_of_what_it_means() -> None:
    """Worse is bad, better and no worse are good, what is undecided is doubtful."""
    gate = gate_of(scored([1.0] * 60), scored([0.0] * 60))

    (first, *_) = sentence_lines(list(gate_sentences(gate, is_verbose=False)))

    assert first[1] == Span("worse", Style.BAD)
    assert [verdict_line(verdict)[-1].style for verdict in Verdict] == [
        Style.GOOD,
        Style.GOOD,
        Style.BAD,
        Style.DOUBTFUL,
        Style.DOUBTFUL,
    ]


def test_the_json_has_the_promised_keys() -> None:
    """The keys of docs/gate.md stand in the JSON, shares as shares, and it is valid JSON."""
    old = [*scored(MOVED_20[0]), *scored([1.0], "extra")]

    found = json.loads(json.dumps(comparison_json(gate_of(old, scored(MOVED_20[1])))))

    assert found["verdict"] == "too few cases"
    (suite,) = found["suites"]
    promised = "suite role verdict baseline_score candidate_score delta interval cases errors worse better cases_needed smallest_margin"
    assert set(promised.split()) <= set(suite)
    assert (suite["baseline_score"], suite["candidate_score"], suite["delta"]) == (0.75, 0.7, -0.05)
    assert suite["interval"] == pytest.approx([-0.24, 0.13], abs=0.006)
    assert (suite["worse"], suite["better"]) == (["c5", "c6"], ["c0"])
    assert (suite["k_baseline"], suite["k_candidate"]) == (1, 1)
    assert found["method"] == "score-t/1"
    assert found["not_compared"] == [{"suite": "extra", "role": "m", "why": "only in the baseline", "cases": ["c0"]}]


def test_junit_has_each_verdict_that_counts_and_that_on_all_suites() -> None:
    """A first token twice as late fails the gate, so its verdict is there beside those of suites and latency."""
    old = [*scored([1.0] * 70, latency_s=1.0, ttft_s=0.1), *scored([1.0] * 70, "jokes", latency_s=1.0, ttft_s=0.1)]
    new = [*scored([1.0] * 70, latency_s=1.0, ttft_s=0.9), *scored([1.0] * 70, "jokes", latency_s=1.0, ttft_s=0.9)]
    settings = GateSettings(latency_margin=1.5)

    ruling = RunRuling(requirements=RunGate(settings=settings), gate=gate_of(old, new, settings))

    assert dict(ruling_properties(ruling)) == {
        "llmbench.verdict": "worse",
        "llmbench.verdict.nl2sql[m]": "no worse",
        "llmbench.verdict.jokes[m]": "no worse",
        "llmbench.verdict.together[m]": "no worse",
        "llmbench.verdict.latency[m]": "no worse",
        "llmbench.verdict.ttft[m]": "worse",
    }


def test_markdown_is_a_table_with_the_verdict_last_that_answers_cannot_break() -> None:
    """An answer with backticks and tags stays in its block; names are escaped."""
    old = [record("peru", sample(1.0, "Lima")), *scored([1.0] * 70)]
    new = [record("peru", sample(0.0, "```\n</details>|`````")), *scored([1.0] * 70)]

    told = list(comparison_markdown(gate_of(old, new), is_verbose=True))

    assert told[2].startswith(
        "| nl2sql | too few cases | 100% -&gt; 99% right on 71 cases. The true change may lie anywhere from -6 to +2 points"
    )
    assert told[-1] == "**Verdict: too few cases**"
    start = told.index(" ``````")
    assert told[start : start + 4] == [" ``````", " ```", " </details>|`````", " ``````"]


def columns(*names: str) -> list[Column]:
    made = {"old": [1.0, 1.0, 0.0], "new": [1.0, 0.0, 0.0], "newer": [1.0, None, 1.0]}
    runs = {name: run(scored(made[name], "capitals")) for name in names}
    first = runs[names[0]]
    return [Column(name=names[0], run=first), *(column_of(first, name, runs[name]) for name in names[1:])]


def column_of(first: Run, name: str, candidate: Run) -> Column:
    return Column(name=name, run=candidate, gate=decide(join(first, candidate), GateSettings()))


def test_several_runs_stand_side_by_side_with_their_outcomes() -> None:
    """A row a suite with score and verdict, a row a case with its outcome, each comparison, the verdict last."""
    assert list(side_by_side_lines(columns("old", "new", "newer"))) == [
        "suite     old    new                   newer",
        "capitals  66.7%  33.3%, too few cases  100.0%, 1 error, too few cases",
        "",
        "case         old        new        newer",
        "capitals/c0  passed     passed     passed",
        "capitals/c1  passed     different  error",
        "capitals/c2  different  different  passed",
        "",
        "new against old: too few cases",
        "  capitals  too few cases 67% -> 33% right on 3 cases. The true change may lie anywhere from -88 to +65 points. "
        "To pass a 5-point margin you would need about 830 cases.",
        "    with 3 cases, only a margin of 87 points or more can pass",
        "    more samples per case do not help at temperature 0; add cases",
        "    1 got worse: c1",
        "    answers: 67% have the same grade, 100% the same text",
        "",
        "newer against old: too few cases",
        "  capitals  too few cases 50% -> 100% right on 3 cases. The true change may lie anywhere from -82 to +88 points. "
        "To pass a 5-point margin you would need about 1,300 cases.",
        "    1 case with errors: c1",
        "    with 3 cases, only a margin of 100 points or more can pass",
        "    more samples per case do not help at temperature 0; add cases",
        "    1 got better: c2",
        "    answers: 50% have the same grade, 100% the same text",
        "",
        "verdict: too few cases",
    ]


def test_side_by_side_nothing_shrinks_in_silence_and_each_verdict_has_its_reason() -> None:
    """What one candidate lacks, what blocks, latency, and with -v the answers: all that two files would say."""
    first = run([*scored([1.0] * 80, latency_s=1.0), *scored([1.0] * 80, "jokes")])
    small = run(scored([0.0] + [1.0] * 69, answer="other", latency_s=2.0))
    other = run(scored([1.0] * 80))
    other = replace(other, records=tuple(replace(one, prompt_sha256="q") for one in other.records))
    several = [Column(name="old", run=first), column_of(first, "small", small), column_of(first, "other", other)]

    told = list(side_by_side_lines(several))

    start = told.index("small against old: too few cases")
    assert (
        "    compared 70 of 80 cases, 10 only in the baseline: c70, c71, c72, c73, c74, c75, c76, c77, c78, c79" in told
    )
    assert any(
        line.startswith("  latency                     per case x2.00 (median of 70 cases") for line in told[start:]
    )
    assert [line for line in told if line.startswith("  not compared")] == [
        "  not compared                jokes [m]: 80 only in the baseline: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, "
        "c11 and 68 more"
    ] * 2
    assert (
        "    80 of 80 cases have a different prompt of the same style (blocks the comparison; --allow-different prompt compares anyway)"
        in told[told.index("other against old: inconclusive") :]
    )
    assert "        candidate  other [different]" in side_by_side_lines(several, is_verbose=True)
    assert max(map(len, side_by_side_lines(several[:2], 60))) <= 60


def test_each_model_of_several_runs_has_a_row_of_its_own() -> None:
    """Of two roles in each run one lost all: its row says so, and so do those of its cases."""

    def made(scores: Sequence[float]) -> Run:
        roles = ("m", "n")
        return run(record("a", sample(score), role=role) for role, score in zip(roles, scores, strict=True))

    old, new = made([1.0, 1.0]), made([1.0, 0.0])
    told = [Column(name="old", run=old), *(column_of(old, name, new) for name in ("new", "newer"))]

    assert list(side_by_side_lines(told))[:7] == [
        "suite       old     new                    newer",
        "nl2sql [m]  100.0%  100.0%, too few cases  100.0%, too few cases",
        "nl2sql [n]  100.0%  0.0%, too few cases    0.0%, too few cases",
        "",
        "case          old     new        newer",
        "nl2sql/a [m]  passed  passed     passed",
        "nl2sql/a [n]  passed  different  different",
    ]


def test_runs_of_one_model_each_share_a_row_whatever_its_name() -> None:
    """As they are compared."""
    old, new = run([record("a", sample(1.0), role="x")]), run([record("a", sample(0.0), role="y")])

    told = list(side_by_side_lines([Column(name="old", run=old), column_of(old, "new", new)]))

    assert told[:2] == ["suite   old     new", "nl2sql  100.0%  0.0%, too few cases"]


def test_several_runs_as_markdown_and_json() -> None:
    """The same tables as Markdown; as JSON each candidate's comparison under its name."""
    told = list(side_by_side_markdown(columns("old", "new", "newer")))
    found = json.loads(json.dumps(side_by_side_json(columns("old", "new", "newer"))))

    assert told[:3] == [
        "| suite | old | new | newer |",
        "| --- | --- | --- | --- |",
        "| capitals | 66.7% | 33.3%, too few cases | 100.0%, 1 error, too few cases |",
    ]
    place = told.index("### newer against old")
    assert "- 1 case with errors: c1" in told[place:]
    assert told[-3:] == ["**Verdict: too few cases**", "", "**Verdict on all: too few cases**"]
    assert (found["verdict"], found["baseline"], list(found["candidates"])) == (
        "too few cases",
        "old",
        ["new", "newer"],
    )


def test_a_plan_says_what_a_suite_can_be_expected_to_decide() -> None:
    """20 greedy cases will not hold 5 points and no sample helps; 600 cases can."""
    assert list(planned_power_lines("jokes", 20, expected_power(20, 1, 0.05, is_greedy=True), 0.05)) == [
        "jokes: 20 cases are mostly too few to decide at a margin of 5 points",
        "  with 20 cases, only a margin of 28 points or more can pass",
        "  more samples per case do not help at temperature 0; add cases",
        "  about 470 cases would be enough for a typical candidate, which changes 18% of them",
        "  from 59 cases on a candidate that changes none can pass",
    ]
    told = list(planned_power_lines("jokes", 600, expected_power(600, 1, 0.05, is_greedy=False), 0.05))
    assert told[0] == "jokes: 600 cases can decide at a margin of 5 points"
    assert "  asking each case 4 times in both runs (--llm-samples 4) would be enough, too" in planned_power_lines(
        "jokes", 200, expected_power(200, 1, 0.05, is_greedy=False), 0.05
    )


@pytest.mark.parametrize(
    ("margin", "told"),
    [(0.0507, "6 points"), (0.05, "5 points"), (0.07, "7 points"), (0.001, "1 point"), (1.0, "100 points")],
)
def test_a_smallest_margin_is_rounded_up(margin: float, told: str) -> None:
    """5.07 points are not written as the 5 that such a suite cannot pass; what is whole stays."""
    assert whole_points(margin) == told

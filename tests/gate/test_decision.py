"""The gate: verdicts of whole runs, errors, several suites, latency, options."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest

import factories
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.min_score import MinScore, check_min_scores, parse_min_score, rule_min_scores
from pytest_llmbench.gate.pairs import Comparison, Kind
from pytest_llmbench.gate.power import expected_margin
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import Gate, SuiteRuling
from pytest_llmbench.gate.settings import (
    GateSettings,
    parse_allowed,
    parse_latency_margin,
    parse_margin,
    parse_max_errors,
)
from pytest_llmbench.models.base import Identity, ReplicaInfo
from pytest_llmbench.results.annotations import Annotation, Drawn, Mark, annotation_on
from pytest_llmbench.results.records import Machine, ModelInfo, Record, Run, RunInfo, Sample, SuiteInfo
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Outcome, Sampling, Trust

IDENTITY = Identity(provider="recorded", model="m")


def sample(score: float | None = 1.0, *, tokens: int | None = None, **others: object) -> Sample:
    return factories.sample(score, "", **{"output_tokens": tokens, "concurrency": 1, **others})


def record(case: str, samples: Sequence[Sample], *, suite: str = "s", cluster: str | None = None) -> Record:
    return factories.record(case, *samples, suite=suite, cluster=cluster)


def run(records: Iterable[Record], *, temperature: float = 0.0, date: str = "", machine: Machine | None = None) -> Run:
    found = tuple(records)
    sampling = {made.suite: Sampling(temperature=temperature) for made in found}
    models = (ModelInfo(role="m", model="m", identity=IDENTITY, sampling=sampling),)
    return Run(records=found, facts=RunInfo(models=models), datetime=date, machine=machine)


def scored(scores: Sequence[float | None], suite: str = "s") -> list[Record]:
    return [record(f"c{i}", [sample(score)], suite=suite) for i, score in enumerate(scores)]


def two_runs(won: int, lost: int, n: int, suite: str = "s") -> tuple[list[Record], list[Record]]:
    """Make records in which the candidate wins and loses so many of n cases, the first ones."""
    old = [0.0] * won + [1.0] * (n - won)
    new = [1.0] * won + [0.0] * lost + [1.0] * (n - won - lost)
    return scored(old, suite), scored(new, suite)


def gate_of(old: Iterable[Record], new: Iterable[Record], settings: GateSettings | None = None) -> Gate:
    return decide(join(run(old), run(new)), settings or GateSettings())


def only(gate: Gate) -> SuiteRuling:
    (found,) = gate.suites
    return found


# -- one suite


@pytest.mark.parametrize(
    ("won", "lost", "n", "verdict", "status"),
    [
        (36, 39, 500, Verdict.NO_WORSE, 0),
        (60, 10, 200, Verdict.BETTER, 0),
        (10, 60, 200, Verdict.WORSE, 1),
        (1, 2, 20, Verdict.TOO_FEW_CASES, 8),
        (0, 0, 100, Verdict.NO_WORSE, 0),
        (0, 0, 20, Verdict.TOO_FEW_CASES, 8),
        (0, 1, 1, Verdict.TOO_FEW_CASES, 8),
    ],
)
def test_verdict_and_exit_status_of_a_suite(won: int, lost: int, n: int, verdict: Verdict, status: int) -> None:
    """One suite gives its verdict as the overall one, and the exit status that goes with it."""
    gate = gate_of(*two_runs(won, lost, n))

    assert (gate.verdict, gate.exit_status) == (verdict, status)


def test_a_ruling_carries_scores_change_and_the_cases_that_moved() -> None:
    """Scores are means over the compared cases, the change is theirs, and what moved is named."""
    found = only(gate_of(*two_runs(1, 2, 20)))

    assert (found.baseline_score, found.candidate_score) == pytest.approx((0.95, 0.90))
    assert found.delta == pytest.approx(-0.05)
    assert [moved.case for moved in found.better] == ["c0"]
    assert [moved.case for moved in found.worse] == ["c1", "c2"]


def test_a_real_drop_inside_the_margin_passes_and_is_called_real() -> None:
    """30 lost of 1,000 is shown to be a loss, and shown to be under 5 points."""
    found = only(gate_of(*two_runs(0, 30, 1000)))

    assert found.verdict is Verdict.NO_WORSE
    assert found.is_real_drop


def test_samples_of_a_case_are_averaged_before_anything_else() -> None:
    """Four samples are one difference of their means, not four cases."""
    old = [record(f"c{i}", [sample(1.0)] * 4) for i in range(20)]
    new = [record(f"c{i}", [sample(1.0)] * 3 + [sample(0.0)]) for i in range(20)]

    found = only(gate_of(old, new))

    assert found.units == 20
    assert found.delta == pytest.approx(-0.25)


def test_clusters_are_the_units_where_cases_have_them() -> None:
    """Cases that share their luck count once: 100 cases in 5 clusters cannot show what 100 apart do."""
    apart_old, apart_new = two_runs(0, 30, 100)
    together_old, together_new = (
        [replace(made, cluster=f"k{int(made.case[1:]) // 20}") for made in side] for side in (apart_old, apart_new)
    )

    assert only(gate_of(apart_old, apart_new)).verdict is Verdict.WORSE
    found = only(gate_of(together_old, together_new))
    assert (found.verdict, found.units, found.has_clusters) == (Verdict.TOO_FEW_CASES, 5, True)
    assert found.delta == pytest.approx(-0.3)


def test_a_cluster_may_bear_the_name_of_a_case() -> None:
    """A cluster called as a lone case does not swallow it."""
    records = [record("a", [sample()]), record("b", [sample()], cluster="a"), record("c", [sample()], cluster="a")]

    assert only(gate_of(records, records)).units == 2


SHIPPED = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize("suite", ["clickbait", "jokes", "sql"])
def test_a_shipped_suite_has_cases_enough_to_pass_an_unchanged_model(suite: str) -> None:
    """A model that repeats its answers is no worse at the default margin."""
    loaded = SuiteRegistry(SHIPPED.parent, {}).load(SHIPPED / f"{suite}.yaml")
    assert loaded is not None
    scores: list[float | None] = [float(place % 3 > 0) for place in range(len(loaded.suite.cases))]

    assert only(gate_of(scored(scores), scored(scores))).verdict is Verdict.NO_WORSE


# -- errors


def test_errors_that_could_decide_make_it_inconclusive_and_are_named() -> None:
    """With the unknown samples all wrong it is too few, all right no worse: nothing is decided."""
    old, new = two_runs(0, 0, 100)
    new[:6] = [record(f"c{i}", [sample(None)]) for i in range(6)]

    gate = gate_of(old, new)

    assert (gate.verdict, gate.exit_status) == (Verdict.INCONCLUSIVE, 8)
    assert only(gate).error_cases == ("c0", "c1", "c2", "c3", "c4", "c5")


def test_errors_that_cannot_decide_leave_the_verdict() -> None:
    """One error among 500 tied cases is no worse either way; its room shows in the interval."""
    old, new = two_runs(0, 0, 500)
    new[0] = record("c0", [sample(None)])

    found = only(gate_of(old, new))

    assert (found.verdict, found.error_cases) == (Verdict.NO_WORSE, ("c0",))
    assert found.interval is not None
    assert found.interval[0] < -found.interval[1] < 0


def test_an_error_of_the_baseline_is_unknown_too() -> None:
    """Errors on either side are bounded: the baseline's count as right against the candidate."""
    old, new = two_runs(0, 0, 100)
    old[:6] = [record(f"c{i}", [sample(None)]) for i in range(6)]

    assert gate_of(old, [*scored([0.0] * 6), *new[6:]]).verdict is Verdict.INCONCLUSIVE


def test_all_errors_say_nothing() -> None:
    """Where no case has an answer on both sides there is no score and no verdict."""
    found = only(gate_of(scored([1.0] * 30), scored([None] * 30)))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert (found.baseline_score, found.delta, found.power) == (None, None, None)


def test_what_is_blocked_is_inconclusive_and_the_other_suites_keep_their_verdict() -> None:
    """A suite whose grader changed blocks the whole, not the line of another suite."""
    old = [*two_runs(0, 0, 100)[0], *two_runs(0, 0, 100, "t")[0]]
    new = [*two_runs(0, 0, 100)[1], *(replace(made, grader="regex") for made in two_runs(0, 0, 100, "t")[1])]

    gate = gate_of(old, new)

    assert [(suite.pairs.suite, suite.verdict) for suite in gate.suites] == [
        ("s", Verdict.NO_WORSE),
        ("t", Verdict.INCONCLUSIVE),
    ]
    assert gate.verdict is Verdict.INCONCLUSIVE


# -- several suites


def test_a_loss_that_alarms_alone_is_held_back_among_many_suites() -> None:
    """3 lost of 20 alarms alone; among five suites one such is to be expected by chance."""
    alone = gate_of(*two_runs(0, 3, 20))
    sides = [two_runs(0, 3 if suite == "s0" else 0, 20, suite) for suite in ("s0", "s1", "s2", "s3", "s4")]
    among = gate_of([r for old, _ in sides for r in old], [r for _, new in sides for r in new])

    assert alone.verdict is Verdict.WORSE
    assert among.suites[0].verdict is Verdict.TOO_FEW_CASES
    assert among.suites[0].is_corrected


def test_all_suites_together_are_a_line_of_their_own() -> None:
    """Five suites that are too few each can be no worse together; the overall verdict stays too few."""
    sides = [two_runs(0, 0, 20, suite) for suite in ("s0", "s1", "s2", "s3", "s4")]
    gate = gate_of([r for old, _ in sides for r in old], [r for _, new in sides for r in new])

    (together,) = gate.together
    assert (together.verdict, together.cases) == (Verdict.NO_WORSE, 100)
    assert gate.verdict is Verdict.TOO_FEW_CASES
    assert gate_of(*two_runs(0, 0, 100)).together == ()


# -- what would help


def test_at_temperature_0_more_samples_cannot_help() -> None:
    """The advice knows the sampling of both runs."""
    old, new = two_runs(1, 2, 20)

    cold, warm = (decide(join(run(old, temperature=t), run(new, temperature=t)), GateSettings()) for t in (0.0, 0.7))

    assert [only(gate).power.can_samples_help for gate in (cold, warm)] == [False, True]  # type: ignore[union-attr]


def test_with_several_samples_the_number_that_would_settle_it_is_known() -> None:
    """Noise among a case's samples can be bought away: two noisy samples at 200 cases want more of them."""
    noise = random.Random(3)
    sides = [
        [record(f"c{i}", [sample(float(noise.random() < 0.7)) for _ in range(2)]) for i in range(200)] for _ in range(2)
    ]

    gate = decide(join(*(run(side, temperature=1.0) for side in sides)), GateSettings())

    advice = only(gate).power
    assert advice is not None
    assert advice.are_samples_known
    assert advice.samples_needed in (8, 16)


def test_noise_within_the_cases_may_explain_all_of_the_difference() -> None:
    """And more than all of it, by chance: then samples alone help, and their number is still known."""
    halves = [sample(0.0), sample(1.0)]
    sides = [[record(f"c{i}", halves) for i in range(100)] for _ in range(2)]
    sides[1][0] = record("c0", [sample(0.0), sample(0.0)])

    gate = decide(join(*(run(side, temperature=1.0) for side in sides)), GateSettings(margin=0.001))

    advice = only(gate).power
    assert advice is not None
    assert advice.samples_needed is None or advice.samples_needed > 2


@pytest.mark.parametrize(("samples", "is_greedy", "points"), [(1, False, 27), (4, False, 17), (4, True, 27)])
def test_the_margin_of_20_cases_before_anything_is_asked(samples: int, is_greedy: bool, points: int) -> None:
    """A plan of 20 cases can clear 27 points, with 4 samples 17, at temperature 0 still 27."""
    assert 100 * expected_margin(20, samples, is_greedy=is_greedy) == pytest.approx(points, abs=1)


# -- graders that are not trusted


def asking(records: Iterable[Record], *suites: str) -> Run:
    """Make a run whose suites of these names ask that people agree with their grader."""
    made = run(records)
    facts = (
        SuiteInfo(suite=name, sha256="", grader="exact", grader_version=1, path="", trust=Trust()) for name in suites
    )
    return replace(made, facts=replace(made.facts, suites=tuple(facts)))


def people_say(records: Sequence[Record]) -> tuple[Annotation, ...]:
    """Have people say of each answer what its grader says."""
    said = ((one, Mark.PASS if one.outcome is Outcome.PASSED else Mark.FAIL) for one in records)
    return tuple(
        annotation_on(one, one.samples[0].answer or "", word, by="ann", at="", drawn=Drawn.RANDOM) for one, word in said
    )


def test_a_suite_whose_grader_nobody_trusts_is_advice_only() -> None:
    """Its verdict is told, and counts for nothing: another suite decides."""
    old, new = (
        [*mine, *others]
        for mine, others in zip(two_runs(10, 60, 200, "jokes"), two_runs(10, 10, 200, "sums"), strict=True)
    )

    gate = decide(join(run(old), asking(new, "jokes")), GateSettings())

    jokes, sums = gate.suites
    assert (jokes.verdict, sums.verdict) == (Verdict.WORSE, Verdict.NO_WORSE)
    assert jokes.why_advice_only is not None
    assert jokes.why_advice_only.startswith("these answers have no annotations")
    assert sums.why_advice_only is None
    assert (gate.verdict, gate.exit_status) == (Verdict.NO_WORSE, 0)
    assert gate.together == ()


def test_advice_alone_decides_nothing() -> None:
    """Where no suite may gate, the gate cannot tell."""
    old, new = two_runs(10, 10, 200)

    gate = decide(join(run(old), asking(new, "s")), GateSettings())

    assert (only(gate).verdict, gate.verdict, gate.exit_status) == (Verdict.NO_WORSE, Verdict.INCONCLUSIVE, 8)
    assert [note for note in gate.comparison.notes if note.startswith("every suite that was compared is advice only")]


def test_a_grader_that_people_agree_with_gates() -> None:
    """The verdicts on the baseline's answers are enough."""
    old, new = (
        [replace(one, samples=tuple(replace(s, answer=f"{name} {one.case}") for s in one.samples)) for one in records]
        for name, records in zip(("old", "new"), two_runs(40, 60, 200), strict=True)
    )

    gate = decide(join(run(old), asking(new, "s")), GateSettings(people=people_say(old)))

    assert (only(gate).why_advice_only, gate.verdict) == (None, Verdict.WORSE)


def test_a_rubric_without_verdicts_of_people_is_advice_only_without_trust_too() -> None:
    """How a judge reads a requirement in plain words is known only after people have read the same answers."""
    parts = {"checks": [{"name": "tone", "kind": "rubric", "passed": True}], "judge": "gpt"}
    old, new = (
        [replace(one, samples=tuple(replace(s, parts=parts) for s in one.samples), grader="checks") for one in records]
        for records in two_runs(10, 60, 200)
    )
    facts = SuiteInfo(suite="s", sha256="", grader="checks", grader_version=1, path="")
    candidate = replace(run(new), facts=replace(run(new).facts, suites=(facts,)))

    gate = decide(join(run(old), candidate), GateSettings())

    assert str(only(gate).why_advice_only).startswith('its check "tone" is decided by a judge model, and people have ')
    assert gate.verdict is Verdict.INCONCLUSIVE


def test_a_rubric_that_was_added_since_switches_no_gate_off() -> None:
    """Cases that the baseline has without one are compared as before."""
    parts = {"checks": [{"name": "tone", "kind": "rubric", "passed": True}], "judge": "gpt"}
    old, new = two_runs(10, 60, 200)
    new = [replace(new[0], samples=tuple(replace(s, parts=parts) for s in new[0].samples)), *new[1:]]
    facts = SuiteInfo(suite="s", sha256="", grader="checks", grader_version=1, path="")
    checks = [replace(one, grader="checks") for one in new]
    candidate = replace(run(checks), facts=replace(run(checks).facts, suites=(facts,)))
    base = run([replace(one, grader="checks") for one in old])

    gate = decide(join(base, candidate), GateSettings())
    allowed = decide(join(base, candidate, [Kind.GATE]), GateSettings(allowed=frozenset({Kind.GATE})))

    assert (only(gate).why_advice_only, gate.verdict) == (None, Verdict.WORSE)
    assert only(allowed).why_advice_only is not None


def test_advice_takes_no_share_of_the_alarms_of_others() -> None:
    """A loss that alone is shown stays shown, however many suites stand beside it as advice."""
    old, new = two_runs(0, 6, 60, "sums")
    beside = [f"jokes-{number}" for number in range(20)]
    more = [two_runs(3, 3, 60, name) for name in beside]
    whole = (run([*old, *(one for was, _ in more for one in was)]), [*new, *(one for _, now in more for one in now)])

    trusted = decide(join(whole[0], run(whole[1])), GateSettings())
    advised = decide(join(whole[0], asking(whole[1], *beside)), GateSettings())

    assert trusted.suites[0].verdict is not Verdict.WORSE
    assert advised.suites[0].verdict is decide(join(run(old), run(new)), GateSettings()).suites[0].verdict


def test_a_minimum_score_by_a_grader_that_nobody_trusts_is_advice_only() -> None:
    """Missed or reached, it decides nothing."""
    records = scored([1.0, 0.0])

    (floor,) = rule_min_scores(records, [MinScore(suite="s", score=0.9)], {"s": "these answers have no annotations"})

    assert (floor.is_reached, floor.why_advice_only) == (False, "these answers have no annotations")


# -- latency


def timed(latencies_s: Sequence[float], **others: object) -> list[Record]:
    return [record(f"c{i}", [sample(latency_s=value, **others)]) for i, value in enumerate(latencies_s)]  # type: ignore[arg-type]


def latency(gate: Gate) -> Verdict | None:
    (found,) = gate.latency
    return found.verdict


BASE_S = [0.5 + i / 50 for i in range(100)]


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.7, Verdict.BETTER), (1.0, Verdict.NO_WORSE), (1.12, Verdict.TOO_FEW_CASES), (1.5, Verdict.WORSE)],
)
def test_latency_is_gated_on_the_median_ratio_where_asked(factor: float, verdict: Verdict) -> None:
    """At a margin of 1.25: a third faster is better, the same is no worse, 1.12 is undecided for run noise, 1.5 is worse."""
    old, new = timed(BASE_S), timed([value * factor for value in BASE_S])

    assert latency(gate_of(old, new, GateSettings(latency_margin=1.25))) is verdict
    assert latency(gate_of(old, new)) is None


def test_a_slower_candidate_fails_the_gate_only_where_latency_is_gated() -> None:
    """Latency is always reported and counts in the overall verdict on request."""
    old, new = timed(BASE_S), timed([value * 2 for value in BASE_S])

    assert gate_of(old, new).exit_status == 0
    assert gate_of(old, new, GateSettings(latency_margin=1.25)).exit_status == 1


def test_slowness_is_explained_by_tokens_and_time_a_token() -> None:
    """1.5 times as long is 1.25 times the tokens at 1.2 times a token."""
    old, new = timed([1.0] * 10, tokens=100), timed([1.5] * 10, tokens=125)

    (found,) = gate_of(old, new).latency

    assert found.facts.total is not None
    ratios = (found.facts.total.median, found.facts.tokens_ratio, found.facts.per_token_ratio)
    assert ratios == pytest.approx((1.5, 1.25, 1.2))


def test_the_first_token_is_gated_likewise() -> None:
    """A first token twice as late fails the gate though the whole takes as long."""
    old, new = timed(BASE_S, ttft_s=0.1), timed(BASE_S, ttft_s=0.2)

    (found,) = gate_of(old, new, GateSettings(latency_margin=1.25)).latency

    assert (found.verdict, found.ttft_verdict) == (Verdict.NO_WORSE, Verdict.WORSE)


@pytest.mark.parametrize("kind", [Kind.CONCURRENCY, Kind.MACHINE])
def test_latencies_not_measured_alike_are_refused_unless_allowed(kind: Kind) -> None:
    """Other requests in flight or another processor: no ratio, and a gate on latency is inconclusive."""
    in_flight = 8 if kind is Kind.CONCURRENCY else 1
    old = run(timed(BASE_S), machine=Machine(cpu="A", cpu_count=8))
    new = run(
        timed(BASE_S, concurrency=in_flight), machine=Machine(cpu="B" if kind is Kind.MACHINE else "A", cpu_count=8)
    )

    def found(*allowed: Kind) -> tuple[Verdict | None, bool]:
        settings = GateSettings(latency_margin=1.25, allowed=frozenset(allowed))
        (ruling,) = decide(join(old, new, allowed), settings).latency
        return ruling.verdict, ruling.facts.total is None

    assert found() == (Verdict.INCONCLUSIVE, True)
    assert found(kind) == (Verdict.NO_WORSE, False)


def test_answers_measured_beside_others_than_most_of_their_run_are_in_no_ratio() -> None:
    """The last, smaller batch answers each case faster, and says nothing of the model."""
    old = timed([1.0] * 20, concurrency=8)
    new = [*timed([1.0] * 20, concurrency=8)[:17], *timed([0.1] * 20, concurrency=3)[17:]]

    (found,) = gate_of(old, new).latency

    assert found.facts.refusals == ()
    assert found.facts.total is not None
    assert (found.facts.total.median, found.facts.total.cases) == (pytest.approx(1.0), 17)
    assert found.facts.apart_cases == 3


def test_each_suite_has_a_usual_load_of_its_own() -> None:
    """A suite smaller than the batch is measured beside fewer others, in both runs alike, and counts."""

    def both(small_s: float) -> list[Record]:
        small = [replace(record, suite="small") for record in timed([small_s] * 6, concurrency=4)]
        return [*timed([1.0] * 20, concurrency=8), *small]

    (found,) = gate_of(both(1.0), both(3.0)).latency

    assert found.facts.total is not None
    assert (found.facts.total.cases, found.facts.apart_cases) == (26, 0)


def test_a_run_that_was_mostly_held_back_is_not_measured_alike() -> None:
    """A server that refused most of the time let fewer requests at once: its few loaded answers do not speak for it."""
    old = timed([1.0] * 20, concurrency=16)
    new = [*timed([1.0] * 20, concurrency=16)[:4], *timed([0.5] * 20, concurrency=4)[4:]]

    (found,) = gate_of(old, new).latency

    assert [refusal.text for refusal in found.facts.refusals] == ["requests in flight: 4, in the baseline 16"]
    assert found.facts.total is None


def test_a_local_model_on_another_gpu_was_on_another_machine() -> None:
    """The processor beside it says little; a run that does not name its GPU is taken as it is."""

    def on(gpu: str | None) -> Run:
        made = run(timed(BASE_S), machine=Machine(cpu="A", cpu_count=8))
        (model,) = made.facts.models
        identity = replace(model.identity, settings={} if gpu is None else {"gpu": gpu})
        return replace(made, facts=replace(made.facts, models=(replace(model, identity=identity),)))

    def refused(old: str | None, new: str | None) -> list[str]:
        (found,) = decide(join(on(old), on(new)), GateSettings()).latency
        return [refusal.text for refusal in found.facts.refusals]

    assert refused("A100", "H100") == ["machine: H100, in the baseline A100"]
    assert refused("A100", "A100") == refused(None, "H100") == []


def test_replicas_were_measured_on_their_own_machines() -> None:
    """Where pytest ran says nothing; other processors, and another number on a node, are another machine."""

    def on(*replicas: tuple[int, str]) -> Run:
        made = run(timed(BASE_S), machine=Machine(cpu=str(len(replicas)), cpu_count=8))
        (model,) = made.facts.models
        infos = tuple(
            ReplicaInfo(node=node, gpu=None, cpu=cpu, answers=9, opened_s=1.0, ended=None) for node, cpu in replicas
        )
        return replace(made, facts=replace(made.facts, models=(replace(model, replicas=infos),)))

    def refused(old: Run, new: Run) -> list[str]:
        (found,) = decide(join(old, new), GateSettings()).latency
        return [refusal.text for refusal in found.facts.refusals]

    assert refused(on((1, "A")), on((1, "A"), (2, "A"))) == []
    assert refused(on((1, "A")), on((1, "B"))) == ["machine: B, 1 replica a node, in the baseline A, 1 replica a node"]
    assert refused(on((1, "A")), on((1, "A"), (1, "A"))) == [
        "machine: A, 2 replicas a node, in the baseline A, 1 replica a node"
    ]
    assert len(refused(on((1, "A"), (2, "B")), on((1, "A"), (2, "B")))) == 1


def test_a_machine_s_name_alone_is_no_other_machine() -> None:
    """Containers change their names; what counts is the processor."""
    old, new = (run(timed(BASE_S), machine=Machine(node=node, cpu="A", cpu_count=8)) for node in ("x1", "x2"))

    assert decide(join(old, new), GateSettings()).latency[0].facts.refusals == ()


def test_reused_answers_have_no_latency_of_their_own() -> None:
    """Cases answered from the store are left out of the ratios, and counted."""
    old, new = timed(BASE_S), [*timed(BASE_S[:40], reused=True), *timed(BASE_S)[40:]]

    (found,) = gate_of(old, new).latency

    assert found.facts.total is not None
    assert (found.facts.total.cases, found.facts.reused_cases) == (60, 40)


def test_without_latencies_a_gate_on_them_is_undecided() -> None:
    """What was not measured on both sides cannot pass."""
    old, new = two_runs(0, 0, 100)

    gate = gate_of(old, new, GateSettings(latency_margin=1.25))

    assert (latency(gate), gate.exit_status) == (Verdict.TOO_FEW_CASES, 8)


def test_three_runs_of_the_baseline_replace_the_assumed_run_noise() -> None:
    """What the runs themselves show counts: three that differ by a factor of 1.5 leave hardly anything decided."""
    runs = [run(timed([value * factor for value in BASE_S]), date=str(factor)) for factor in (1.0, 1.5, 0.7)]
    comparison = join(runs[0], run(timed(BASE_S)))

    (assumed,) = decide(comparison, GateSettings()).latency
    (measured,) = decide(replace(comparison, baselines=tuple(runs)), GateSettings()).latency

    assert (assumed.facts.noise.log_sd, assumed.facts.noise.runs) == (0.05, 0)
    assert measured.facts.noise.log_sd == pytest.approx(0.383, abs=0.01)
    assert measured.facts.noise.runs == 3


def test_the_run_noise_is_measured_on_runs_that_were_measured_alike() -> None:
    """Another name of the machine is none; another processor or other requests in flight leave a run out."""

    def noise_runs(**change: object) -> int:
        machines = [Machine(node=f"n{i}", cpu="A", cpu_count=2) for i in range(3)]
        runs = [run(timed(BASE_S), machine=machine) for machine in machines]
        runs[2] = replace(runs[2], **change)  # type: ignore[arg-type]
        comparison = replace(join(runs[0], run(timed(BASE_S))), baselines=tuple(runs))
        return decide(comparison, GateSettings()).latency[0].facts.noise.runs

    assert noise_runs() == 3
    assert noise_runs(machine=Machine(cpu="B", cpu_count=2)) == 0
    assert noise_runs(records=tuple(timed(BASE_S, concurrency=8))) == 0


def test_runs_of_the_baseline_far_apart_leave_latency_unjudged() -> None:
    """Of two, one was measured beside other work: with which of them to compare is unknown, unless it is allowed."""
    today, busy, candidate = (run(timed([value * factor for value in BASE_S])) for factor in (1.0, 1.4, 1.0))
    comparison = replace(join(today, candidate), baselines=(today, busy))

    (found,) = decide(comparison, GateSettings(latency_margin=1.25)).latency
    (allowed,) = decide(comparison, GateSettings(latency_margin=1.25, allowed=frozenset({Kind.MACHINE}))).latency

    assert found.verdict is Verdict.INCONCLUSIVE
    assert [refusal.text for refusal in found.facts.refusals] == [
        "load of the machine: runs of the baseline lie x1.40 apart, more than run-to-run noise explains"
    ]
    assert allowed.verdict is Verdict.NO_WORSE


# -- options


@pytest.mark.parametrize("text", ["0", "-1", "100", "101", "nan", "inf", "five", ""])
def test_a_margin_out_of_range_is_wrong_usage(text: str) -> None:
    """Margins are points above 0 and below 100; 0 is told that it cannot be shown."""
    with pytest.raises(UsageFault, match=r"--margin needs points of score above 0 and below 100") as fault:
        parse_margin(text)
    assert ("cannot be shown" in str(fault.value)) == (text == "0")


def test_options_are_read_to_shares_ratios_and_kinds() -> None:
    """5 points are a share of 0.05; 1.25 and 1.25x are the same ratio; SUITE=S names its suite."""
    assert parse_margin("5") == 0.05
    assert parse_latency_margin("1.25") == parse_latency_margin("1.25x") == 1.25
    assert parse_allowed(["prompt", "machine"]) == {Kind.PROMPT, Kind.MACHINE}
    assert parse_min_score("sql=0.8") == MinScore(suite="sql", score=0.8)
    assert parse_min_score("0.8") == MinScore(suite=None, score=0.8)


@pytest.mark.parametrize("text", ["1", "0.9", "nan", "x", ""])
def test_a_latency_margin_of_at_most_1_is_wrong_usage(text: str) -> None:
    """A ratio of 1 cannot be shown."""
    with pytest.raises(UsageFault, match="needs a ratio above 1"):
        parse_latency_margin(text)


@pytest.mark.parametrize("text", ["2", "-0.1", "nan", "few", ""])
def test_a_share_of_errors_out_of_range_is_wrong_usage(text: str) -> None:
    """It is a share from 0 to 1, both of which are fine."""
    with pytest.raises(UsageFault, match=f'--max-errors needs a share from 0 to 1, .*, not "{text}"'):
        parse_max_errors(text)

    assert (parse_max_errors("0"), parse_max_errors("1")) == (0, 1)


@pytest.mark.parametrize("text", ["80", "-0.1", "sql=", "=0.5", "nan", "sql=x"])
def test_a_minimum_score_that_is_no_share_is_wrong_usage(text: str) -> None:
    """80 may mean 80%, but is refused rather than guessed."""
    with pytest.raises(UsageFault, match=r"needs a share from 0 to 1"):
        parse_min_score(text)


def test_an_unknown_kind_of_difference_is_wrong_usage() -> None:
    """The known ones are named."""
    with pytest.raises(
        UsageFault, match='knows prompt, grader, judge, samples, gate, trained, machine, concurrency, not "seed"'
    ):
        parse_allowed(["seed"])


def test_a_minimum_score_counts_errors_as_wrong() -> None:
    """Two of four right, one error: 50%, which reaches 0.5 and misses 0.6; a suite's own floor goes first."""
    records = [*scored([1.0, 1.0, 0.0, None]), *scored([1.0], "t")]

    found = rule_min_scores(records, [MinScore(suite=None, score=0.6), MinScore(suite="t", score=1.0)])

    assert [(floor.suite, floor.score, floor.floor, floor.is_reached) for floor in found] == [
        ("s", 0.5, 0.6, False),
        ("t", 1.0, 1.0, True),
    ]
    assert [floor.is_reached for floor in rule_min_scores(scored([1.0, 0.0]), [MinScore(suite="s", score=0.5)])] == [
        True
    ]


def test_a_minimum_score_for_a_suite_that_was_not_run_is_wrong_usage() -> None:
    """A misspelt suite would be a floor that never holds anything."""
    with pytest.raises(UsageFault, match='there is no suite "sqll"'):
        check_min_scores([MinScore(suite=None, score=0.5), MinScore(suite="sqll", score=0.5)], ["sql"])


# -- cost


def test_the_verdict_on_500_cases_is_fast() -> None:
    """Judging 500 cases takes milliseconds of processor time, so that a gate costs nothing beside its models."""
    old, new = two_runs(36, 39, 500)
    comparison: Comparison = join(run(old), run(new))
    started = process_time()
    for _ in range(5):
        decide(comparison, GateSettings())

    assert (process_time() - started) / 5 < 0.25

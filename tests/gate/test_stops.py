"""Where a suite stops: a function of the plan and the records, the same in a run and from its files."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import factories
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import Baseline, PlannedCase, pool
from pytest_llmbench.gate.calibrate import calibrate
from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.early import StopMode
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import SuiteRuling
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.gate.stop_plans import plan_stops
from pytest_llmbench.models.base import Identity
from pytest_llmbench.results.records import ModelInfo, Record, Run, RunInfo, SuiteInfo
from pytest_llmbench.results.stops import StopPlan, stopping_json, stops_from_json
from pytest_llmbench.values import GateKind

Scores = Sequence[float | None]


def records(scores: Sequence[Scores], suite: str = "s", clusters: Sequence[str | None] = ()) -> tuple[Record, ...]:
    named = list(clusters) or [None] * len(scores)
    return tuple(
        factories.record(f"c{i}", *(factories.sample(score) for score in own), suite=suite, cluster=named[i])
        for i, own in enumerate(scores)
    )


def drawn(n: int, rate: float, seed: int, samples: int = 1) -> list[Scores]:
    noise = random.Random(seed)
    return [[float(noise.random() < rate) for _ in range(samples)] for _ in range(n)]


def lowered(scores: Sequence[Scores], share: float, seed: int = 7) -> list[Scores]:
    """Lose a share of all cases that were right."""
    noise = random.Random(seed)
    return [[0.0 for _ in own] if noise.random() < share else list(own) for own in scores]


def planned(found: Sequence[Record], gate: GateKind = GateKind.STATISTICAL) -> list[PlannedCase]:
    return [
        PlannedCase(role=r.role, suite=r.suite, case=r.case, case_sha256=r.case_sha256, cluster=r.cluster, gate=gate)
        for r in found
    ]


def plans_of(
    old: Sequence[Record], new: Sequence[Record], mode: StopMode = StopMode.LOSS, samples: int = 1, margin: float = 0.05
) -> tuple[StopPlan, ...]:
    baseline = Baseline(path=Path("b.json"), run=Run(records=tuple(old), facts=RunInfo()))
    return plan_stops([baseline], planned(new), mode=mode, samples=samples, settings=GateSettings(margin=margin)).plans


def ruled(
    old: Sequence[Record], new: Sequence[Record], plans: Sequence[StopPlan], settings: GateSettings | None = None
) -> tuple[SuiteRuling, ...]:
    candidate = Run(records=tuple(new), facts=RunInfo(stop_plans=tuple(plans)))
    return decide(join(Run(records=tuple(old), facts=RunInfo()), candidate), settings or GateSettings()).suites


def only(found: Sequence[SuiteRuling]) -> SuiteRuling:
    (one,) = found
    return one


def first_in_order(new: Sequence[Record], plan: StopPlan, n: int) -> list[Record]:
    wanted = set(plan.cases[:n])
    return [record for record in new if record.case in wanted]


BASE = records(drawn(500, 0.8, 1))
WORSE = records(lowered(drawn(500, 0.8, 1), 0.20))
SAME = BASE


def test_a_disaster_stops_after_the_first_looks_and_the_rest_does_not_count() -> None:
    """20 points worse of 500 cases: judged worse at a look within the first quarter; what came later is beyond it."""
    (plan,) = plans_of(BASE, WORSE)

    found = only(ruled(BASE, WORSE, [plan]))

    assert found.verdict is Verdict.WORSE
    assert found.stop is not None
    assert found.stop.reason == "worse"
    assert found.stop.look is not None
    judged = plan.looks[found.stop.look - 1]
    assert judged <= 125
    assert len(found.pairs.pairs) == judged
    assert set(found.stop.beyond) == set(plan.cases[judged:])
    assert found.stop.is_completed
    # the run that stopped there, which never asked the rest, says the same
    stopped = only(ruled(BASE, first_in_order(WORSE, plan, judged), [plan]))
    assert (stopped.verdict, stopped.delta, stopped.interval) == (found.verdict, found.delta, found.interval)
    assert stopped.stop is not None
    assert stopped.stop.beyond == ()
    assert set(stopped.stop.not_asked) == set(plan.cases[judged:])


def test_an_unchanged_model_passes_whole_with_loss_and_early_with_decided() -> None:
    """A run that stops at losses alone goes to its end, so that it can be the next baseline."""
    whole = only(ruled(BASE, SAME, plans_of(BASE, SAME)))
    early = only(ruled(BASE, SAME, plans_of(BASE, SAME, StopMode.DECIDED)))

    assert (whole.verdict, whole.stop and whole.stop.reason) == (Verdict.NO_WORSE, "end")
    assert (early.verdict, early.stop and early.stop.reason) == (Verdict.NO_WORSE, "no worse")
    assert early.units < whole.units == 500


def test_thirty_reruns_stop_at_the_same_look() -> None:
    """The stop follows from the records: in whatever order they come, it is the same."""
    (plan,) = plans_of(BASE, WORSE)
    stops = set()
    for seed in range(30):
        shuffled = list(WORSE)
        random.Random(seed).shuffle(shuffled)
        assert plans_of(BASE, shuffled) == (plan,)
        found = only(ruled(BASE, shuffled, [plan])).stop
        assert found is not None
        stops.add((found.look, found.reason, found.beyond))

    assert len(stops) == 1


def test_file_order_decides_nothing() -> None:
    """A loss at the end of the file is found as early as any: cases are asked in an order of their own."""
    lost = [[0.0] if i >= 400 else [1.0] for i in range(500)]
    old, new = records([[1.0]] * 500), records(lost)

    found = only(ruled(old, new, plans_of(old, new, StopMode.DECIDED)))

    assert found.verdict is Verdict.WORSE
    assert found.stop is not None
    assert found.stop.reason == "worse"


def test_samples_in_sweeps_are_counted_by_the_look() -> None:
    """With four samples, a look after 1.2 sweeps sees two answers of the first cases and one of the others."""
    old = records(drawn(100, 0.8, 1, 4))
    new = records(lowered(drawn(100, 0.8, 1, 4), 0.30))
    (plan,) = plans_of(old, new, samples=4)

    found = only(ruled(old, new, [plan]))

    assert found.verdict is Verdict.WORSE
    assert found.stop is not None
    assert found.stop.look is not None
    calls = plan.looks[found.stop.look - 1]
    assert sum(len(pair.candidate.samples) for pair in found.pairs.pairs) == calls
    cut = {pair.candidate.case: pair.candidate for pair in found.pairs.pairs}
    assert only(ruled(old, [cut[r.case] for r in new if r.case in cut], [plan])).interval == found.interval


def test_clusters_are_asked_and_counted_whole() -> None:
    """Of 250 clusters of two, the first look comes after 25 clusters."""
    clusters = [f"k{i // 2}" for i in range(500)]
    old = records(drawn(500, 0.8, 1), clusters=clusters)
    new = records(lowered(drawn(500, 0.8, 1), 0.3), clusters=clusters)
    (plan,) = plans_of(old, new)

    found = only(ruled(old, new, [plan]))

    assert plan.units == 250
    assert plan.looks[0] == 25
    assert all(
        clusters[int(a[1:])] == clusters[int(b[1:])] for a, b in zip(plan.cases[::2], plan.cases[1::2], strict=True)
    )
    assert found.stop is not None
    assert found.stop.look is not None
    assert found.units == plan.looks[found.stop.look - 1]


def test_an_answer_that_is_missing_stops_nothing_that_it_could_turn() -> None:
    """With every fifth answer missing a loss that those could explain goes on to the end."""
    scores = [[None] if i % 5 == 0 else own for i, own in enumerate(lowered(drawn(500, 0.8, 1), 0.10))]
    new = records(scores)

    found = only(ruled(BASE, new, plans_of(BASE, new)))

    assert found.stop is not None
    assert found.stop.reason == "end"
    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_small_suite_stops_only_where_the_rest_is_certain() -> None:
    """Of 60 cases that were right, half lost: no answer to come can turn it. Where half were wrong, much can be won."""
    right = records([[1.0]] * 60)
    mixed = records([[float(i % 2)] for i in range(60)])

    certain = only(ruled(right, records([[float(i % 2)] for i in range(60)]), plans_of(right, right)))
    whole = only(ruled(mixed, mixed, plans_of(mixed, mixed)))

    assert (certain.verdict, certain.stop and certain.stop.reason) == (Verdict.WORSE, "certain")
    assert certain.stop is not None
    assert certain.stop.look is None
    assert certain.stop.beyond
    assert (whole.verdict, whole.stop and whole.stop.reason) == (Verdict.NO_WORSE, "end")


def test_each_of_several_suites_stops_by_itself_at_a_level_for_all() -> None:
    """Of two suites one is a disaster: it stops early among two, the other passes whole; no mean over both is given."""
    old = (*BASE, *records(drawn(200, 0.8, 3), suite="t"))
    new = (*WORSE, *records(drawn(200, 0.8, 3), suite="t"))
    plans = plans_of(old, new)

    first, second = ruled(old, new, plans)

    assert {plan.family for plan in plans} == {2}
    assert (first.verdict, first.stop and first.stop.reason) == (Verdict.WORSE, "worse")
    assert (second.verdict, second.stop and second.stop.reason) == (Verdict.NO_WORSE, "end")
    candidate = Run(records=new, facts=RunInfo(stop_plans=plans))
    gate = decide(join(Run(records=old, facts=RunInfo()), candidate), GateSettings())
    assert gate.together == ()


@pytest.mark.parametrize("gate", [GateKind.SMOKE, GateKind.ADVICE])
def test_smoke_and_advice_suites_have_no_looks(gate: GateKind) -> None:
    """They are asked whole."""
    baseline = Baseline(path=Path("b.json"), run=Run(records=BASE, facts=RunInfo()))

    found = plan_stops([baseline], planned(BASE, gate), mode=StopMode.LOSS, samples=1, settings=GateSettings())

    assert found.plans == ()


def test_cases_that_the_baseline_lacks_are_outside_the_plan() -> None:
    """A baseline with half the cases gives a plan on that half, and a remark."""
    baseline = Baseline(path=Path("b.json"), run=Run(records=BASE[:250], facts=RunInfo()))

    found = plan_stops([baseline], planned(BASE), mode=StopMode.LOSS, samples=1, settings=GateSettings())

    assert found.plans[0].units == 250
    assert found.remarks == (
        "s: 250 of 500 cases are not in the baseline as they are now; the plan is made on the other 250",
    )


# -- what cannot be repeated


def why(old: Sequence[Record], new: Sequence[Record], plan: StopPlan, settings: GateSettings | None = None) -> str:
    found = only(ruled(old, new, [plan], settings))
    assert found.verdict is Verdict.INCONCLUSIVE
    return found.why_not_repeated or ""


def test_another_baseline_cannot_repeat_a_stop() -> None:
    """The order and the stop follow from the baseline's answers; those of another run are others."""
    (plan,) = plans_of(BASE, WORSE)

    assert why(records(drawn(500, 0.8, 99)), WORSE, plan) == (
        "it was planned against another baseline, or with other pooled runs"
    )


def test_another_margin_cannot_repeat_a_stop() -> None:
    """A margin that is chosen after the answers is refused."""
    (plan,) = plans_of(BASE, WORSE)

    assert why(BASE, WORSE, plan, GateSettings(margin=0.1)) == "it was planned with a margin of 5 points, not 10"


def test_a_case_missing_before_the_look_cannot_repeat_a_stop() -> None:
    """The first cases of the order are needed, all of them."""
    (plan,) = plans_of(BASE, WORSE)
    without_first = [record for record in WORSE if record.case != plan.cases[0]]

    assert why(BASE, without_first, plan) == "an answer is missing that it was decided on"


def test_changed_grades_are_noticed() -> None:
    """A run that recorded a stop at a look must stop there when its grades are read again."""
    (plan,) = plans_of(BASE, WORSE)
    stop = only(ruled(BASE, WORSE, [plan])).stop
    assert stop is not None
    assert stop.look is not None
    stopped = first_in_order(WORSE, plan, plan.looks[stop.look - 1])
    regraded = tuple(
        replace(record, samples=BASE[int(record.case[1:])].samples, score=BASE[int(record.case[1:])].score)
        for record in stopped
    )
    facts = RunInfo(stop_plans=(plan,))

    same, changed = (
        only(
            decide(
                join(Run(records=BASE, facts=RunInfo()), Run(records=tuple(made), facts=facts, stops=(stop,))),
                GateSettings(),
            ).suites
        )
        for made in (stopped, regraded)
    )

    assert same.verdict is Verdict.WORSE
    assert changed.verdict is Verdict.INCONCLUSIVE


def test_a_stop_is_read_back_from_its_json() -> None:
    """What stands in the gate's entry of a suite gives the plan and the stop again."""
    (plan,) = plans_of(BASE, WORSE)
    stop = only(ruled(BASE, WORSE, [plan])).stop
    assert stop is not None

    entry = {"suite": "s", "role": "m", "stopping": stopping_json(stop)}
    (read,) = stops_from_json({"suites": [entry]}, {("s", "m"): plan.cases})

    assert read == stop
    with pytest.raises(ValueError, match="stopping"):
        stops_from_json({"suites": [{**entry, "stopping": {}}]}, {})


def test_a_run_that_stopped_is_neither_pooled_nor_calibrated() -> None:
    """Its answers chose where it stopped: other runs go on without it."""
    models = (ModelInfo(role="m", model="m", identity=Identity(provider="recorded", model="m")),)
    suites = (SuiteInfo(suite="s", sha256="0", grader="exact", grader_version=1, path="s.yaml"),)
    facts = RunInfo(models=models, suites=suites)
    runs = [Run(records=BASE, facts=facts, datetime=f"2026-0{month}-01") for month in (1, 2, 3)]
    stopped = replace(runs[2], records=BASE[:150], incomplete={"s": (500, 150)}, datetime="2026-04-01")

    (suite,) = pool(join(runs[0], runs[1]), [stopped]).suites
    found = calibrate(runs[:2], GateSettings())

    assert suite.notes == ("the run of 2026-04-01 is not pooled: it stopped early",)
    assert found.suites[0].runs == 2
    with pytest.raises(UsageFault, match="stopped early"):
        calibrate([runs[0], stopped], GateSettings())


def test_the_whole_suites_of_a_stopped_run_may_be_a_baseline() -> None:
    """What stopped is left out by name; a run of which nothing is whole is refused."""
    whole = records(drawn(120, 0.8, 4), suite="t")
    baseline = Run(records=(*BASE[:150], *whole), facts=RunInfo(), incomplete={"s": (500, 150)})
    candidate = Run(records=(*BASE, *whole), facts=RunInfo())

    found = join(baseline, candidate)

    assert [suite.suite for suite in found.suites] == ["t"]
    assert found.notes == ("of the baseline, s stopped early (150 of 500 answers) and is left out",)
    with pytest.raises(UsageFault, match="the baseline stopped early \\(s: 150 of 500 answers\\)"):
        join(replace(baseline, records=BASE[:150]), candidate)


def test_a_suite_that_is_asked_whole_counts_among_the_suites_of_an_alarm() -> None:
    """Where tests ask the model themselves there are no looks; in the end its loss is weighed with the others'."""
    baseline = Baseline(
        path=Path("b.json"), run=Run(records=(*BASE, *records(drawn(120, 0.8, 4), suite="t")), facts=RunInfo())
    )
    cases = planned(baseline.run.records)
    cases = [replace(case, needs_model=case.suite == "t") for case in cases]
    twins = [replace(case, needs_model=True) for case in cases if case.suite == "s"]

    found = plan_stops([baseline], [*cases, *twins], mode=StopMode.LOSS, samples=1, settings=GateSettings())

    assert [(plan.suite, plan.units, plan.family) for plan in found.plans] == [("s", 500, 2)]
    assert found.remarks == ("t is asked whole: the tests of its cases ask the model themselves",)

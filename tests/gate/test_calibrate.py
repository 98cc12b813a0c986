"""A model against itself: noise floor, flips, determinism, the margin recommended, warnings."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

import factories
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.calibrate import calibrate
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.models.base import Identity
from pytest_llmbench.report.terminal.calibration import calibration_lines
from pytest_llmbench.results.records import ModelInfo, Run, RunInfo, SuiteInfo
from pytest_llmbench.values import GateKind, Sampling


def run(
    scores: Sequence[float], *, factor: float = 1.0, temperature: float = 0.0, concurrency: int = 1, weights: str = "w"
) -> Run:
    records = []
    for place, score in enumerate(scores):
        latency_s = factor * (1 + place / 100)
        sample = factories.sample(score, f"answer {score}", latency_s=latency_s, concurrency=concurrency)
        records.append(factories.record(f"c{place}", sample))
    identity = Identity(provider="recorded", model="m", weights=weights)
    facts = ModelInfo(role="m", model="m", identity=identity, sampling={"s": Sampling(temperature=temperature)})
    return Run(records=tuple(records), facts=RunInfo(models=(facts,)))


def noisy(count: int, n: int) -> list[Run]:
    noise = random.Random(1)
    return [run([float(noise.random() < 0.9) for _ in range(n)], temperature=0.7) for _ in range(count)]


SETTINGS = GateSettings()


def test_noise_floor_and_flips_are_those_of_all_pairs_of_runs() -> None:
    """9 of 10 right by chance: 18% of cases flip, and 200 cases differ by up to about 5 points."""
    (found,) = calibrate(noisy(4, 200), SETTINGS).suites

    assert (found.cases, found.runs) == (200, 4)
    assert found.flip_rate == pytest.approx(0.18, abs=0.05)
    assert found.noise_floor == pytest.approx(1.65 * (0.18 / 200) ** 0.5, rel=0.2)
    assert found.noise_floor < found.smallest_drop <= found.margin


def test_a_margin_below_the_noise_floor_warns_and_a_wider_one_does_not() -> None:
    """20 noisy cases cannot hold 5 points; 40 points are above the noise."""
    runs = noisy(2, 20)

    (warning,) = calibrate(runs, SETTINGS).warnings

    assert warning.startswith("s [m]: a margin of 5 points is below the noise floor of ")
    assert calibrate(runs, GateSettings(margin=0.4)).warnings == ()


def test_a_model_that_repeats_itself_is_called_deterministic_and_its_margin_is_that_of_a_usual_candidate() -> None:
    """Nothing moved says nothing about a candidate: 100 cases are recommended 12 points."""
    runs = [run([1.0] * 80 + [0.0] * 20) for _ in range(2)]

    found = calibrate(runs, SETTINGS)

    assert list(calibration_lines(found))[:5] == [
        "s [m]: 100 cases, 2 runs",
        "  noise floor: two runs differ by up to 0.0 points; 0.0% of cases flip",
        "  deterministic: every answer was the same",
        "  smallest drop it can detect: 3 points",
        "  recommended: --margin 12 (no case changed between these runs; assumes a typical candidate, which changes 18% of cases)",
    ]


@pytest.mark.parametrize(
    ("gate", "text"),
    [
        (
            GateKind.STATISTICAL,
            "  recommended: no margin, but more cases, or `gate: smoke`; with these, only 83 points or more could pass (no "
            "case changed between these runs; assumes a typical candidate, which changes 18% of cases)",
        ),
        (GateKind.SMOKE, "  recommended: no margin; the suite has `gate: smoke`, which uses none"),
    ],
)
def test_a_margin_that_would_let_anything_pass_is_not_recommended(gate: GateKind, text: str) -> None:
    """Three cases are no statistics; a smoke suite has no margin at all."""
    suite = SuiteInfo(suite="s", sha256="", grader="exact", grader_version=1, path="", gate=gate)
    runs = [replace(one, facts=replace(one.facts, suites=(suite,))) for one in (run([1.0] * 3), run([1.0] * 3))]

    lines = list(calibration_lines(calibrate(runs, SETTINGS)))

    assert text in lines
    assert all("--margin" not in line for line in lines)


def test_greedy_answers_that_differ_are_laid_at_the_door_of_batches_or_the_provider() -> None:
    """At temperature 0 one of 50 answers came out otherwise."""
    told = list(calibration_lines(calibrate([run([1.0] * 50), run([0.0] + [1.0] * 49)], SETTINGS)))

    assert (
        "  not deterministic: at temperature 0 only 98.0% of answers were the same, because of batching or the provider"
        in told
    )


def test_batching_is_told_apart_by_the_requests_in_flight() -> None:
    """Runs at 1 and at 8 in flight are compared on their own."""
    runs = [run([1.0] * 50), run([1.0] * 50), run([0.0] + [1.0] * 49, concurrency=8)]

    (found,) = calibrate(runs, SETTINGS).suites

    assert (found.same_text_rate, found.across_rate) == (1.0, 0.98)


def test_three_runs_tell_the_noise_of_latency() -> None:
    """Runs at 1, 1.1 and 0.9 times the time differ by about a tenth; a margin inside that warns."""
    runs = [run([1.0] * 60, factor=factor) for factor in (1.0, 1.1, 0.9)]

    found = calibrate(runs, GateSettings(latency_margin=1.25))

    (latency,) = found.latency
    assert latency.noise.runs == 3
    assert latency.noise.log_sd == pytest.approx(0.1, abs=0.005)
    assert found.warnings[-1].startswith("latency [m]: a margin of 1.25x is below the noise floor of 1.5")
    assert latency.margin > latency.noise.allowed_ratio


def test_runs_further_apart_than_their_noise_warn() -> None:
    """Two runs cannot measure the noise, but show that the one assumed is too small: 1.8 times as long on a busy machine."""
    found = calibrate([run([1.0] * 60), run([1.0] * 60, factor=1.8)], SETTINGS)

    (latency,) = found.latency
    assert (latency.noise.runs, latency.widest, latency.margin) == (0, pytest.approx(1.8), 1.8)
    assert found.warnings[-1] == (
        "latency [m]: two of these runs differ by 1.80x, more than their noise explains; the machine may have been "
        "busy with other work"
    )
    assert "  these runs differ by up to x1.80" in calibration_lines(found)


def test_a_calibration_is_told_as_json_too() -> None:
    """The same numbers, by name."""
    (told,) = calibration_lines(calibrate(noisy(2, 50), SETTINGS), "json")

    assert json.loads(told)["suites"][0]["cases"] == 50


def test_what_else_changed_under_the_model_warns() -> None:
    """Another library version or another deployment behind a name is told: what looks like noise may be that."""
    runs = [run([1.0] * 100) for _ in range(2)]
    (model,) = runs[1].facts.models
    updated = replace(model.identity, libraries={"torch": "3"}, settings={"system_fingerprint": "f"})
    runs[1] = replace(runs[1], facts=RunInfo(models=(replace(model, identity=updated),)))

    assert calibrate(runs, SETTINGS).warnings == (
        "m: libraries changed between the runs; what is noise here may be that change",
        "m: settings.system_fingerprint changed between the runs; what is noise here may be that change",
    )


def test_answers_of_an_earlier_run_say_nothing_about_noise() -> None:
    """A run that took them from the store repeats itself for certain."""
    runs = noisy(2, 40)

    def again(count: int) -> Run:
        reused = [replace(r, samples=(replace(r.samples[0], reused=True),)) for r in runs[0].records[:count]]
        return replace(runs[0], records=(*reused, *runs[1].records[count:]))

    found = calibrate([runs[0], again(10)], SETTINGS)

    assert found.suites[0].cases == 30
    assert found.warnings[0] == "10 cases with reused answers are left out, since no noise can be measured on them"
    with pytest.raises(UsageFault, match="--llm-reuse none"):
        calibrate([runs[0], again(40)], SETTINGS)


def test_the_only_role_of_a_run_is_that_of_the_others_whatever_its_name() -> None:
    """One model run under three names is one model."""

    def named(run: Run, role: str) -> Run:
        records = tuple(replace(record, role=role) for record in run.records)
        return replace(run, records=records, facts=RunInfo(models=(replace(run.facts.models[0], role=role),)))

    runs = noisy(3, 40)

    assert calibrate([named(run, role) for run, role in zip(runs, "mnx", strict=True)], SETTINGS) == calibrate(
        runs, SETTINGS
    )


def test_runs_of_equal_times_are_recommended_a_margin_that_the_gate_takes() -> None:
    """At 1 it would ask for a faster model."""
    (found,) = calibrate([run([1.0] * 20)] * 3, SETTINGS).latency

    assert found.margin == 1.05


def test_another_sampling_or_entry_is_wrong_usage() -> None:
    """What moves between two settings is no noise of a model against itself."""
    one, warm = run([1.0] * 5), run([1.0] * 5, temperature=0.7)
    (model,) = one.facts.models
    other = replace(one, facts=replace(one.facts, models=(replace(model, model="example"),)))

    with pytest.raises(UsageFault, match='the runs differ in the sampling of suite "s" under "m"'):
        calibrate([one, warm], SETTINGS)
    with pytest.raises(UsageFault, match=r'the runs used different entries as "m" \(m, example\)'):
        calibrate([one, other], SETTINGS)


def test_one_run_or_two_models_are_wrong_usage() -> None:
    """A calibration needs the same model twice."""
    one = run([1.0] * 5)

    with pytest.raises(UsageFault, match="name at least two runs of the same model"):
        calibrate([one], SETTINGS)
    with pytest.raises(UsageFault, match=r'the runs used different models as "m" \(weights\)'):
        calibrate([one, run([1.0] * 5, weights="other")], SETTINGS)
    with pytest.raises(UsageFault, match="no case in common"):
        calibrate([one, replace(one, records=tuple(replace(r, case=f"x{r.case}") for r in one.records))], SETTINGS)

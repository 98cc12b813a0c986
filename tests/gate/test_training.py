"""A candidate that was trained on some of the cases: they decide nothing, and are shown apart."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from factories import record, sample
from pytest_llmbench.gate.comparison import join
from pytest_llmbench.gate.decision import decide
from pytest_llmbench.gate.min_score import MinScore, rule_min_scores, with_floors
from pytest_llmbench.gate.pairs import Kind, Why
from pytest_llmbench.gate.rule import Verdict
from pytest_llmbench.gate.rulings import Gate
from pytest_llmbench.gate.settings import GateSettings, parse_allowed
from pytest_llmbench.gate.training import LEARNED_CASES, SATISFIED_GRADER
from pytest_llmbench.models.base import Identity, Training
from pytest_llmbench.report.json import comparison_json
from pytest_llmbench.report.terminal.gate import comparison_lines
from pytest_llmbench.report.terminal.scoreboard import scoreboard
from pytest_llmbench.results.records import ModelInfo, Record, Run, RunInfo, SuiteInfo
from pytest_llmbench.results.run_json import record_from_json, record_to_json
from pytest_llmbench.values import GateKind, Split

ALLOWED = GateSettings(allowed=parse_allowed(["trained"]))


def run(records: Sequence[Record], *, split: Split | None = None, gate: str = "statistical", **identity: Any) -> Run:
    known = Identity(provider="recorded", model="m", **identity)
    info = SuiteInfo(suite="s", sha256="", grader="exact", grader_version=1, path="", split=split, gate=GateKind(gate))
    return Run(
        records=tuple(records), facts=RunInfo(models=(ModelInfo(role="m", model="m", identity=known),), suites=(info,))
    )


def side(prefix: str, scores: Sequence[float], trained: Any = False, **others: Any) -> list[Record]:
    return [record(f"{prefix}{n}", sample(score, **others), trained=trained) for n, score in enumerate(scores)]


def gate_of(old: Sequence[Record], new: Sequence[Record], settings: GateSettings | None = None) -> Gate:
    settings = settings or GateSettings()
    return decide(join(run(old), run(new), settings.allowed), settings)


def lines(gate: Gate) -> str:
    return "\n".join(comparison_lines(gate))


OLD = [*side("t", [0.0] * 173), *side("h", [0.0] * 147)]
TUNED = [*side("t", [1.0] * 173, "case"), *side("h", [1.0] * 140 + [0.0] * 7)]


def test_trained_cases_are_left_out_and_counted() -> None:
    """The verdict is that of the held-out cases alone; both sides stand below it, with intervals."""
    gate = gate_of(OLD, TUNED)

    (suite,) = gate.suites
    assert suite.verdict is Verdict.BETTER
    assert suite.candidate_score == 140 / 147
    assert [(entry.why, len(entry.cases)) for entry in suite.pairs.left_out] == [(Why.TRAINED, 173)]
    shown = lines(gate)
    assert "compared 147 of 320 cases, 173 left out: the candidate was trained on them\n" in shown
    assert (
        "trained on +100.0 points (+96.9 to +100.0, 173 cases), held out +95.2 points (+91.4 to +97.4, 147 cases)"
        in shown
    )
    found = comparison_json(gate)["suites"][0]["training"]
    assert (found["trained"]["cases"], found["held_out"]["cases"], found["held_out"]["delta"]) == (173, 147, 0.952381)


def test_a_suite_of_which_all_cases_were_trained_on_is_inconclusive() -> None:
    """Nothing is left to decide on, which is no pass and no wrong usage."""
    gate = gate_of(side("t", [0.0] * 50), side("t", [1.0] * 50, "id"))

    assert (gate.verdict, gate.exit_status) == (Verdict.INCONCLUSIVE, 8)
    assert "no case is left that a model was not trained on" in lines(gate)


def test_allowed_trained_cases_come_back_with_a_note() -> None:
    """`--allow-different trained` compares all, and says so in the text and the JSON."""
    gate = gate_of(OLD, TUNED, ALLOWED)

    found = comparison_json(gate)
    assert len(gate.suites[0].pairs.pairs) == 320
    assert found["suites"][0]["differences"] == [
        {"kind": "trained", "text": "173 of 320 cases have a model that was trained on them", "allowed": True}
    ]
    assert found["notes"] == [
        "s [m]: 173 of 320 compared cases are ones that a model was trained on, which was allowed"
    ]
    assert "held out +95.2" in lines(gate)


def test_a_baseline_that_was_trained_on_cases_proves_nothing_on_them_either() -> None:
    """A pair is left out if either side's record says so."""
    old = [*side("t", [1.0] * 50, "case"), *side("h", [0.5] * 50)]

    gate = gate_of(old, [*side("t", [0.0] * 50), *side("h", [0.5] * 50)])

    assert len(gate.suites[0].pairs.pairs) == 50
    assert gate.suites[0].training is None
    assert "50 left out: the baseline was trained on them" in lines(gate)


def test_a_minimum_score_counts_the_same_cases() -> None:
    """Of trained cases alone it says nothing; with the word that allows them, all count."""
    floor = [MinScore(suite="s", score=0.9)]

    (held_out,) = rule_min_scores([*side("t", [1.0] * 90, "case"), *side("h", [0.0] * 10)], floor)
    (nothing,) = rule_min_scores(side("t", [1.0] * 90, "case"), floor)
    (both,) = rule_min_scores([*side("t", [1.0] * 90, "case"), *side("h", [0.0] * 10)], floor, counts_trained=True)

    assert (held_out.score, held_out.cases, held_out.verdict) == (0.0, 10, Verdict.WORSE)
    assert (nothing.cases, nothing.verdict) == (0, Verdict.INCONCLUSIVE)
    assert with_floors(Verdict.BETTER, [nothing]) is Verdict.INCONCLUSIVE
    assert (both.score, both.verdict) == (0.9, Verdict.NO_WORSE)


def test_in_a_smoke_suite_they_are_left_out_too() -> None:
    """What was trained on can neither break the rule nor keep it."""
    old, new = side("t", [1.0] * 3), side("t", [0.0] * 3, "case")

    def verdict(more_old: list[Record], more_new: list[Record]) -> Verdict:
        runs = run([*old, *more_old], gate="smoke"), run([*new, *more_new], gate="smoke")
        return decide(join(*runs), GateSettings()).verdict

    assert verdict([], []) is Verdict.INCONCLUSIVE
    assert verdict(side("h", [1.0]), side("h", [1.0])) is Verdict.NO_WORSE
    assert verdict(side("h", [1.0]), side("h", [0.0])) is Verdict.WORSE


# -- signs of hacking


def warnings(old: Sequence[Record], new: Sequence[Record]) -> list[str]:
    training = gate_of(old, new).suites[0].training
    assert training is not None
    return [warning.partition(":")[0] for warning in training.warnings]


def test_a_gain_on_the_trained_side_alone_is_learning_by_heart() -> None:
    """Where the train side gains more than both intervals allow; an equal gain is none."""
    old = [*side("t", [0.0] * 100), *side("h", [0.0, 1.0] * 50)]

    assert warnings(old, [*side("t", [1.0] * 100, "case"), *side("h", [0.0, 1.0] * 50)]) == [LEARNED_CASES]
    assert warnings(OLD, TUNED) == []


@pytest.mark.parametrize(
    ("before", "after", "is_warned"),
    [
        ({"answer": "x" * 100}, {"answer": "x" * 151}, True),
        ({"answer": "x" * 100}, {"answer": "x" * 149}, False),
        ({"answer": "x" * 100}, {"answer": "x" * 60}, True),
        ({"format_ok": True}, {"format_ok": False}, True),
        ({"format_ok": False, "answer": "Well, I would say yes"}, {"format_ok": True, "answer": "yes"}, False),
        ({"parts": {"lenient": "yes", "expected": "yes"}}, {"parts": {"lenient": "no", "expected": "yes"}}, True),
        ({"parts": {"lenient": "no", "expected": "yes"}}, {"parts": {"lenient": "yes", "expected": "yes"}}, False),
    ],
)
def test_a_score_that_rises_while_answers_drift_off_satisfies_the_grader(
    before: dict[str, Any], after: dict[str, Any], is_warned: bool
) -> None:
    """Longer, shorter, without the format, or one label for everything; what comes nearer to right is no drift."""
    old = [*side("t", [0.0] * 40), *side("h", [1.0] * 40, **before)]
    new = [*side("t", [1.0] * 40, "case"), *side("h", [1.0] * 40, **after)]

    assert (SATISFIED_GRADER in warnings(old, new)) is is_warned


# -- what is said beside


def test_a_larger_train_share_is_said_and_brings_nothing_back() -> None:
    """What a model was trained on is in its records, whatever the split says today."""
    runs = run(OLD, split=Split(train=0.5)), run(TUNED, split=Split(train=0.1))
    raised = run(OLD, split=Split(train=0.5)), run(TUNED, split=Split(train=0.8))
    salted = run(OLD), run(TUNED, split=Split(train=0.5))

    gates = [decide(join(*pair), GateSettings()) for pair in (runs, raised, salted)]

    notes = [gate.suites[0].pairs.notes[-1] for gate in gates]
    assert notes == [
        "split differs: the share of the train side was lowered from 0.5 to 0.1",
        "split differs: the share of the train side was raised from 0.5 to 0.8",
        "split differs: none -> 0.5 for training",
    ]
    assert [len(gate.suites[0].pairs.pairs) for gate in gates] == [147, 147, 147]


def test_an_adapter_without_a_manifest_is_named() -> None:
    """Nothing is known of it; one with a manifest, and a plain model, need no word."""
    adapter = {"settings": {"adapter": "adapters/v1"}}
    known = {**adapter, "training": Training(manifest_sha256="x", cases=1)}

    notes = [
        decide(join(run(OLD), run(TUNED, **identity)), GateSettings()).comparison.notes
        for identity in (adapter, known, {})
    ]

    assert notes == [("m: nothing is known of what this adapter was trained on",), (), ()]


def test_the_scoreboard_never_mixes_both_sides() -> None:
    """Two lines a suite, the held-out one first."""
    found = scoreboard(TUNED)

    assert [(line.name, line.cases, line.passed) for line in found] == [("s", 147, 140), ("s (trained on)", 173, 173)]


@pytest.mark.parametrize("trained", [None, False, "case", "prompt"])
def test_what_is_known_stands_in_the_record(trained: Any) -> None:
    """Null where nothing is known, false, or why; a file without the field knows nothing."""
    one = record("a", trained=trained)

    written = record_to_json(one)
    assert written["trained"] is trained or written["trained"] == trained
    assert record_from_json(written) == one
    del written["trained"]
    assert record_from_json(written) == replace(one, trained=None)
    assert Kind.TRAINED == "trained"

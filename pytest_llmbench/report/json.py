"""The gate as JSON: for `compare --format json` and the `gate` list of the benchmark JSON."""

from collections.abc import Sequence

from pytest_llmbench.gate.latency import Ratio
from pytest_llmbench.gate.min_score import MinScoreRuling, with_floors
from pytest_llmbench.gate.pairs import LeftOut
from pytest_llmbench.gate.rule import METHOD, Verdict, exit_status
from pytest_llmbench.gate.rulings import Gate, LatencyRuling, SuiteRuling
from pytest_llmbench.gate.score_test import CONFIDENCE
from pytest_llmbench.gate.smoke import METHOD as SMOKE_METHOD
from pytest_llmbench.gate.training import SideChange, TrainingEffect
from pytest_llmbench.report.sentences import flipped_checks
from pytest_llmbench.results.run_json import JsonObject
from pytest_llmbench.results.stops import stopping_json
from pytest_llmbench.values import Json


def comparison_json(gate: Gate, floors: Sequence[MinScoreRuling] = ()) -> JsonObject:
    """Give a comparison, and minimum scores where there are any; scores, deltas, intervals and margins are shares."""
    left_out = [entry for suite in gate.comparison.suites for entry in suite.left_out]
    return {
        "verdict": with_floors(gate.verdict, floors),
        "exit_status": 1 if gate.broken is not None else exit_status(with_floors(gate.verdict, floors)),
        "not_judged": gate.broken,
        "method": METHOD,
        "confidence": CONFIDENCE,
        "looks": 1,
        "margin": gate.settings.margin,
        "latency_margin": gate.settings.latency_margin,
        "max_errors": gate.settings.max_errors,
        "allowed": sorted(gate.settings.allowed),
        "pooled_runs": gate.comparison.pooled_runs,
        "suites": [_suite(ruling) for ruling in gate.suites],
        "together": [
            {
                "role": together.role,
                "verdict": together.verdict,
                "delta": _rounded(together.delta),
                "interval": _pair(together.interval),
                "cases": together.cases,
            }
            for together in gate.together
        ],
        "latency": {ruling.facts.role: _latency(ruling) for ruling in gate.latency},
        "not_compared": [_left_out(entry) for entry in (*left_out, *gate.comparison.left_out)],
        "notes": list(gate.comparison.notes),
        **({"min_scores": [floor_json(floor) for floor in floors]} if floors else {}),
    }


def floor_json(floor: MinScoreRuling) -> JsonObject:
    """Give a suite's score against its minimum."""
    return {
        "suite": floor.suite,
        "role": floor.role,
        "min_score": floor.floor,
        "score": _rounded(floor.score),
        "cases": floor.cases,
        "reached": floor.is_reached,
        "advice_only": floor.why_advice_only,
    }


def _suite(ruling: SuiteRuling) -> JsonObject:
    advice, pairs = ruling.power, ruling.pairs.pairs
    is_undecided = ruling.verdict is Verdict.TOO_FEW_CASES
    return {
        "suite": ruling.pairs.suite,
        "role": ruling.pairs.role,
        "baseline_role": ruling.pairs.baseline_role,
        "verdict": ruling.verdict,
        "method": METHOD if ruling.smoke is None else SMOKE_METHOD,
        "breaches": [] if ruling.smoke is None else list(ruling.smoke.breaches),
        "advice_only": ruling.why_advice_only,
        "baseline_score": _rounded(ruling.baseline_score),
        "candidate_score": _rounded(ruling.candidate_score),
        "delta": _rounded(ruling.delta),
        "interval": _pair(ruling.interval),
        "confidence": _rounded(ruling.confidence),
        "stopping": None if ruling.stop is None else stopping_json(ruling.stop),
        "cases": len(pairs),
        "units": ruling.units,
        "errors": len(ruling.error_cases),
        "error_cases": list(ruling.error_cases),
        "worse": [moved.case for moved in ruling.worse],
        "better": [moved.case for moved in ruling.better],
        **_flipped(ruling),
        "cases_needed": advice.units_needed if advice and is_undecided else None,
        "smallest_margin": _rounded(advice.smallest_margin) if advice else None,
        "can_samples_help": advice.can_samples_help if advice else None,
        "samples_needed": advice.samples_needed if advice else None,
        "real_drop_inside_margin": ruling.is_real_drop,
        "fractional_scores": ruling.is_fractional,
        "k_baseline": max((len(pair.baseline.answered) + len(pair.older) for pair in pairs), default=0),
        "pooled_runs": list(ruling.pairs.pooled),
        "noise_floor": _rounded(ruling.pairs.noise_floor),
        "k_candidate": max((len(pair.candidate.answered) for pair in pairs), default=0),
        "agreement": {
            "answers": ruling.agreement.answers,
            "grade": _rounded(ruling.agreement.grade_rate),
            "text": _rounded(ruling.agreement.text_rate),
            "sql_result": _rounded(ruling.agreement.result_rate),
        }
        if ruling.agreement
        else None,
        "differences": [
            {"kind": difference.kind, "text": difference.text, "allowed": difference.is_allowed}
            for difference in ruling.pairs.differences
        ],
        "notes": [*ruling.pairs.notes, *([] if ruling.why_not_repeated is None else [ruling.why_not_repeated])],
        **({} if ruling.training is None else {"training": _training(ruling.training)}),
    }


def _training(effect: TrainingEffect) -> JsonObject:
    """Give both sides of a suite apart, and the signs of hacking."""
    return {
        "trained": None if effect.trained is None else _side(effect.trained),
        "held_out": None if effect.held_out is None else _side(effect.held_out),
        "warnings": list(effect.warnings),
    }


def _side(side: SideChange) -> JsonObject:
    return {
        "cases": side.cases,
        "baseline_score": _rounded(side.baseline_score),
        "candidate_score": _rounded(side.candidate_score),
        "delta": _rounded(side.delta),
        "interval": _pair(side.interval),
    }


def _flipped(ruling: SuiteRuling) -> JsonObject:
    """Give the cases that got worse or better by the check that flipped; nothing for suites without checks."""
    worse = flipped_checks(ruling.worse, is_worse=True)
    better = flipped_checks(ruling.better, is_worse=False)
    names = dict.fromkeys((*worse, *better))
    if not names:
        return {}
    return {"checks": [{"name": name, "worse": worse.get(name, []), "better": better.get(name, [])} for name in names]}


def _latency(ruling: LatencyRuling) -> JsonObject:
    facts = ruling.facts
    return {
        "verdict": ruling.verdict,
        **_ratio(facts.total),
        "tokens_ratio": _rounded(facts.tokens_ratio),
        "per_token_ratio": _rounded(facts.per_token_ratio),
        "ttft": {"verdict": ruling.ttft_verdict, **_ratio(facts.ttft)} if facts.ttft else None,
        "run_noise": _rounded(facts.noise.log_sd),
        "run_noise_runs": facts.noise.runs,
        "reused_cases": facts.reused_cases,
        "apart_cases": facts.apart_cases,
        "differences": [
            {"kind": refusal.kind, "text": refusal.text, "allowed": refusal.is_allowed} for refusal in facts.refusals
        ],
    }


def _ratio(ratio: Ratio | None) -> JsonObject:
    return {
        "median_ratio": _rounded(ratio.median) if ratio else None,
        "interval": _pair(ratio.interval) if ratio else None,
        "cases": ratio.cases if ratio else 0,
    }


def _left_out(entry: LeftOut) -> Json:
    return {"suite": entry.suite, "role": entry.role, "why": entry.why, "cases": list(entry.cases)}


def _pair(interval: tuple[float, float] | None) -> list[float | None] | None:
    return None if interval is None else [_rounded(end) for end in interval]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)

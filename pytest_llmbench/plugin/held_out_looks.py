"""Count, at the end of a gated run, how often the held-out side of a suite was looked at."""

from dataclasses import replace
from pathlib import Path

from pytest_llmbench.gate.run_decision import RunRuling
from pytest_llmbench.results.held_out_looks import MOST, count_looks, data_digest

FILE = Path(".llmbench") / "held-out-looks.jsonl"
"""Where they are kept, below the root directory."""


def with_look(ruling: RunRuling, file: Path) -> RunRuling:
    """Note that a trained model was gated, and say where that was done often with the same training data."""
    gate = ruling.gate
    if gate is None:
        return ruling
    notes = []
    for suite in gate.suites:
        model = gate.comparison.candidate.facts.model(suite.pairs.role)
        training = None if model is None else model.identity.training
        if training is None or not suite.pairs.trained or not suite.pairs.pairs:
            continue
        data = data_digest(pair.candidate for pair in suite.pairs.trained)
        count = count_looks(file, suite.pairs.suite, data, training.manifest_sha256)
        if count > MOST:
            notes.append(
                f"{suite.pairs.suite}: the held-out side was looked at {count} times, by models that were trained on "
                "the same cases; choose settings on a part of the train side, or add cases to the held-out side"
            )
    comparison = replace(gate.comparison, notes=(*gate.comparison.notes, *notes))
    return replace(ruling, gate=replace(gate, comparison=comparison))

"""The script that measures graders on the human verdicts of PunEval, on a small clone of made-up data."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "judge_agreement.py"

FACTS = {
    "hom_1": {
        "pun_word": "bank", "pun_sense": "financial institution", "alter_word": "bank", "alter_sense": "side of a river",
        "human_text": "The bank was wet .", "human_explanation": "A bank is an institution, and the side of a river.",
    },
    "het_1": {
        "pun_word": "sole", "pun_sense": "bottom of a shoe", "alter_word": "soul", "alter_sense": "spirit of a person",
        "human_text": "Shoes have a sole .", "human_explanation": "It sounds funny.",
    },
}  # fmt: skip
ALL, NONE = {"pun_word": 1, "pun_sense": 1, "alter_sense": 1}, {"pun_word": 0, "pun_sense": 0, "alter_sense": 0}
CHECK = {
    "hom_1": {"human_eval human_explanation": {**ALL, "alter_word": -1}},
    "het_1": {"human_eval human_explanation": {**NONE, "alter_word": 0}, "human_eval gpt_explanation": {**ALL, "alter_word": 1}},
    "non_1": {"human_eval human_explanation": {"rationality": -1}},
}  # fmt: skip


def clone(folder: Path, **files: object) -> Path:
    for kind in ("hom", "het"):
        own = {pun: facts for pun, facts in FACTS.items() if pun.startswith(kind)}
        files[f"dataset/{kind}_dataset"] = {**own, "non_1": {"human_text": "x", "human_explanation": "y"}}
    for name, content in files.items():
        (path := folder / f"{name}.json").parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def measured(folder: Path, *options: str) -> list[str]:
    done = subprocess.run([sys.executable, SCRIPT, folder, *options], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.slow
def test_marks_of_points_become_annotations(tmp_path: Path) -> None:
    """Each mark of 0 or 1 is a person's verdict on a point, of people's texts where those of models are missing."""
    lines = measured(clone(tmp_path, **{"results/pun_explanation_punchline_check": CHECK}))

    assert lines[0] == "== patterns: 2 answers, 1 passed, 0 without a grade"
    assert "explanations, key_points (key_points): 2 annotations, 100.0% agreement (2 of 2)" in lines
    assert any(
        line.startswith("explanations, key_points, every point (key_points): 7 annotations, 100") for line in lines
    )


@pytest.mark.slow
def test_the_texts_of_models_are_taken_where_the_clone_has_them(tmp_path: Path) -> None:
    """Their file is larger than some mirrors keep."""
    texts = {"het_1": {"gpt_explanation def_true CoT_true examples_true": {"biased_to_pun": "A sole, no soul."}}}
    files = {"results/pun_explanation_punchline_check": CHECK, "results/pun_explanation": texts}

    lines = measured(clone(tmp_path, **files))

    assert lines[0] == "== patterns: 3 answers, 1 passed, 0 without a grade"
    assert "  too lenient 0, too harsh 1: het_1.gpt" in lines


@pytest.mark.slow
def test_sentences_to_order_have_one_mark(tmp_path: Path) -> None:
    """`success` of each method of each writer."""
    marks = {"hom_1": {"human_text": {"success": 1}, "gpt_text": {"method 1": {"success": 0}}}}
    texts = {"hom_1": {"human_text": "The bank was wet .", "gpt_text": {"method 1": "My bank is closed."}}}
    files = {"results/pun_generation_manual_indicators": marks, "results/pun_generation": texts}

    lines = measured(clone(tmp_path, **files), "--task", "puns")

    assert lines[0] == "== patterns: 2 answers, 2 passed, 0 without a grade"
    assert "  too lenient 1, too harsh 0: hom_1.gpt.method-1" in lines

"""Assertions that a model grades become rubrics, with a note that the prompt of the judge is another one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.suites.loader import load_suite

Import = Callable[..., tuple[int, list[str]]]

CONFIG = """\
prompts: ["Q: {{{{ q }}}}"]
providers: [openai:gpt-4o-mini]
tests:
  - {{vars: {{q: one, ideal: "Two charges."}}, assert: [{assertion}]}}
"""


def config(tmp_path: Path, assertion: str) -> Path:
    (folder := tmp_path / "source").mkdir()
    path = folder / "promptfooconfig.yaml"
    path.write_text(CONFIG.format(assertion=assertion), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("assertion", "expected"),
    [
        ("{type: llm-rubric, value: Says that two charges were made.}", "by a judge: Says that two charges were made"),
        (
            "{type: not-llm-rubric, value: Blames the customer for it.}",
            "not: by a judge: Blames the customer for it",
        ),
        ("{type: model-graded-closedqa, value: Names both of the charges.}", "by a judge: Names both of the charges"),
        ("{type: g-eval, value: 'Says what {{ ideal }} says.'}", "by a judge: Says what Two charges. says"),
        (
            "{type: factuality, value: '{{ ideal }}', weight: 2}",
            "by a judge: Contradicts nothing that the right answer says (weight 2)",
        ),
    ],
)
def test_what_a_model_grades_becomes_a_rubric(import_of: Import, tmp_path: Path, assertion: str, expected: str) -> None:
    """With the same criterion, and a note in the suite that its judge is asked otherwise."""
    status, lines = import_of(config(tmp_path, assertion))

    assert status == 0
    loaded = load_suite(tmp_path / "cases" / "s.yaml")
    assert loaded is not None
    assert loaded.kind.expected_text(loaded.suite.cases[0]) == expected
    assert loaded.suite.source is not None
    (note,) = (note for note in loaded.suite.source.notes if "became `rubric`" in note)
    assert "the prompt of the judge is not promptfoo's, so verdicts can differ" in note
    assert f"note: {note}" in lines


@pytest.mark.parametrize(
    ("assertion", "why"),
    [
        ("{type: llm-rubric, value: Is it so or not?, threshold: 0.8}", "its threshold is of a number"),
        ("{type: g-eval, value: [It is short., It is kind.]}", "its value is a list; write an assertion for each"),
        ("{type: llm-rubric, value: Is it so or not?, provider: openai:gpt-5}", "its `provider` is not mapped"),
        ("{type: llm-rubric, value: Is it so or not?, rubricPrompt: a}", "its `rubricPrompt` is not mapped"),
        ("{type: llm-rubric}", "its value is no text; write one"),
        ("{type: context-recall, value: a}", "there is no check for it"),
    ],
)
def test_what_a_rubric_cannot_be_is_refused(import_of: Import, tmp_path: Path, assertion: str, why: str) -> None:
    """A number, a judge or a prompt of its own; nothing is written."""
    status, lines = import_of(config(tmp_path, assertion))

    assert status == 1
    assert why in lines[0]
    assert "promptfooconfig.yaml:4" in lines[0]
    assert not (tmp_path / "cases").exists() or not list((tmp_path / "cases").iterdir())

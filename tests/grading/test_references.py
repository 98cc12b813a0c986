"""Texts that are right answers, and surely wrong ones, as graders give them for training data."""

from pathlib import Path

import pytest

from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Answer


@pytest.mark.parametrize(
    ("head", "case", "references", "wrong"),
    [
        ("grader: exact", "expected: Lima", ("Lima",), ()),
        ("grader: yes_no\nlabels: [good, bad, odd]", "expected: bad", ("bad",), ("good", "odd")),
        ("grader: json", "expected: {a: [1, true]}", ('{"a": [1, true]}',), ()),
        ("grader: json", "expected: '[1, 2]'", ("[1, 2]",), ()),
        ("grader: json", "expected: Grüße", ('"Grüße"',), ()),
        ("grader: json", "schema: {type: object}", (), ()),
        (
            "grader: key_points",
            "points: [{name: p, any: [sun]}], references: [The sun shines.]",
            ("The sun shines.",),
            (),
        ),
        ("grader: contains", "expected: [a, b]", (), ()),
        ("grader: regex", "expected: a+", (), ()),
        ('checks: [{equals: "{{ expected }}"}]', "expected: Lima", ("Lima",), ()),
        ('checks: [{label: "{{ expected }}", labels: [up, down]}]', "expected: up", ("up",), ("down",)),
        ("checks: [{contains: a}, {not: {contains: b}}]", "tags: []", (), ()),
    ],
)
def test_a_grader_gives_what_it_passes_and_fails(
    tmp_path: Path, head: str, case: str, references: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    """Each reference passes its own grader, each wrong answer fails it; who can only test knows none."""
    path = tmp_path / "s.yaml"
    path.write_text(f'suite: s\n{head}\nprompt: {{completion: "?"}}\ncases:\n  - {{id: a, {case}}}\n', encoding="utf-8")
    registry = SuiteRegistry(tmp_path, {})
    loaded = registry.load(path)
    assert loaded is not None
    (only,) = loaded.suite.cases

    assert loaded.kind.references(only) == references
    assert loaded.kind.wrong_answers(loaded.suite, only) == wrong
    grade = registry.graders["s"]
    assert all(grade(only, Answer(text=text)).passed for text in references)
    assert not any(grade(only, Answer(text=text)).passed for text in wrong)

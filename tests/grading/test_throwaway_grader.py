"""A grader is one file, and one line of the registry."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GRADER = '''
"""A throw-away grader: the answer is in capitals."""

from pytest_llmbench.grading.answer_text import graded_unless_void
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.models.entries import Strict
from pytest_llmbench.values import Grade


class CapitalsCase(Strict):
    letters: str


class CapitalsSuite(Strict):
    accents: str = "no"


def build(suite, root):
    def grade(case, answer):
        passed = answer.text == case.rules.letters.upper()
        return Grade(score=float(passed), passed=passed, reason="correct" if passed else "small", explanation="Seen.")

    return graded_unless_void(grade)


def same_result(old, new):
    return old.explanation == new.explanation


KIND = GraderKind(
    name="capitals",
    case_fields=CapitalsCase,
    suite_fields=CapitalsSuite,
    build=build,
    text_fields=frozenset({"letters", "accents"}),
    reasons=("correct", "small"),
    same_result=same_result,
)
'''

SUITE = """
suite: loud
grader: capitals
accents: no
prompt: {completion: "Write {{ word }} in capitals."}
cases:
  - {id: truth, word: no, letters: no}
"""

USE = """
from pathlib import Path
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.suites.json_schema import suite_schema
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer

loaded = load_suite(Path("loud.yaml"))
case, kind = loaded.suite.cases[0], loaded.kind
grade = kind.build(loaded.suite, Path())
loud, small = (grade(case, Answer(text=text)) for text in ("NO", "no"))
print(loaded.suite.rules.accents, loud.reason, small.reason, kind.asks_judge, kind.same_result(loud, small))
print("capitals" in suite_schema(BUILT_IN)["properties"]["grader"]["anyOf"][0]["enum"])
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Give a folder with a copy of the package."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pytest_llmbench", tmp_path / "pytest_llmbench", ignore=ignore)
    return tmp_path


def test_a_grader_is_one_file_and_one_line(package: Path) -> None:
    """With its file and its line in the registry, suites use it: loading, grading, traits and the published schema."""
    registry = package / "pytest_llmbench" / "grading" / "registry.py"
    before = registry.read_text(encoding="utf-8")
    first = '        "exact": ("match", "EXACT"),\n'
    registry.write_text(before.replace(first, f'{first}        "capitals": ("capitals", "KIND"),\n'), encoding="utf-8")
    registry.with_name("capitals.py").write_text(GRADER, encoding="utf-8")
    (package / "loud.yaml").write_text(SUITE, encoding="utf-8")

    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, timeout=60, cwd=package)

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["no correct small False True", "True"]

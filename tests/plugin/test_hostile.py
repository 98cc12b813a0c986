"""A run whose model says everything that could act: nothing of it does, wherever it is shown."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from pytest_llmbench.cli import main

Harms = Callable[[str], Sequence[str]]

CONFTEST = '''
import json
from pathlib import Path

from pytest_llmbench.models import Identity, Opened
from pytest_llmbench.models.entries import Entry, Strict
from pytest_llmbench import Answer, AnswerError, Grade, GraderKind

TEXTS = json.loads((Path(__file__).parent / "texts.json").read_text())


class HostileEntry(Entry):
    says: str


class HostileModel(Opened):
    """Says the texts, or breaks with them."""

    identity = Identity(provider="hostile", model="hostile")
    concurrency = 1

    def __init__(self, says):
        self.says = says

    def answer(self, requests, *, arrived=None, halt=None):
        answers = []
        for index, request in enumerate(requests):
            text = TEXTS[int(request.case[1:])]
            kinds = {"answers": Answer(text=text, latency_s=0.1), "errors": AnswerError(cause=text)}
            answers.append(kinds.get(self.says, Answer(text="fine", latency_s=0.1)))
            if arrived is not None:
                arrived(index, answers[-1])
        return tuple(answers)


class HostileProvider:
    entry_type = HostileEntry
    target_field = "says"

    def prompt_style(self, entry):
        return None

    def open(self, entry, settings):
        return HostileModel(entry.says)


class AnyCase(Strict):
    expected: str


def grade(case, answer):
    passed = answer.text == "fine"
    return Grade(score=float(passed), passed=passed, reason=answer.text or "none", explanation=answer.text)


def pytest_llmbench_providers(config):
    return {"hostile": HostileProvider()}


def pytest_llmbench_graders(config):
    return {"quoting": GraderKind(name="quoting", case_fields=AnyCase, suite_fields=Strict, build=lambda s, r: grade)}
'''
TESTS = """
import logging

import pytest

hostile = pytest.mark.llm_suite("cases/hostile.yaml")

@hostile
def test_equal(llm_answer): assert llm_answer.text == "Lima\\nb"

@hostile
def test_not_in(llm_answer): assert llm_answer.text[:20] not in llm_answer.text

@hostile
def test_message(llm_answer): assert not llm_answer, llm_answer.text

@hostile
def test_grade(llm_grade): assert llm_grade.passed, llm_grade

@hostile
def test_raised(llm_answer): raise ValueError(llm_answer.text)

@hostile
def test_skipped(llm_answer): pytest.skip(llm_answer.text)

@hostile
def test_printed(llm_answer):
    print(llm_answer.text.encode("utf-8", "replace").decode())
    logging.getLogger().warning(llm_answer.text.encode("utf-8", "replace").decode())
    assert 0
"""
RUN = ("--benchmark-quiet", "-p", "no:cacheprovider", "--llm-answers=off", "--color=no")


@pytest.fixture
def hostile(pytester: pytest.Pytester, payloads: tuple[Any, ...]) -> pytest.Pytester:
    """Make a project with a case for each payload."""
    texts = [payload.text[:20_000] for payload in payloads]
    cases = "".join(f"  - {{id: c{i}, q: x, expected: word}}\n" for i in range(len(texts)))
    (pytester.mkdir("cases") / "hostile.yaml").write_text(
        f'suite: hostile\ngrader: quoting\nprompt: {{completion: "{{{{ q }}}}"}}\ncases:\n{cases}'
    )
    (pytester.path / "texts.json").write_text(json.dumps(texts))
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\n")
    return pytester


def shown(result: pytest.RunResult) -> str:
    """Give what reached the terminal, byte by byte."""
    return "\n".join([*result.outlines, *result.errlines])


def xml_texts(path: Path) -> Iterator[str]:
    for element in ET.parse(path).getroot().iter():
        yield from element.attrib.values()
        yield element.text or ""


@pytest.mark.parametrize("says", ["answers", "errors"])
@pytest.mark.slow
def test_what_a_model_says_acts_nowhere(
    hostile: pytest.Pytester, harms: Harms, capsys: pytest.CaptureFixture[str], says: str
) -> None:
    """Neither in stories, scoreboard, summary lines and JUnit, nor in show and compare; and every case is there."""
    model = ("--llm-model", f"m=hostile:{says}")
    fine = hostile.runpytest(*RUN, "--llm-model", "m=hostile:fine", "--benchmark-json=fine.json", "cases")

    result = hostile.runpytest_subprocess(
        *RUN, *model, "-rA", "--junitxml=run.xml", "--benchmark-json=run.json", "--llm-summary=run.md", "cases"
    )
    gated = hostile.runpytest_subprocess(*RUN, *model, "-v", "--llm-baseline=fine.json", "cases")

    assert fine.ret == 0
    assert result.ret == 1
    for text in (shown(result), shown(gated), *xml_texts(hostile.path / "run.xml")):
        assert harms(text) == []
    capsys.readouterr()
    base, run, again = (str(hostile.path / name) for name in ("fine.json", "run.json", "again.json"))
    copyfile(run, again)
    for command in (
        ["show", run],
        ["compare", base, run],
        ["compare", base, run, "-v"],
        ["compare", base, run, again, "-v"],
    ):
        assert main(command) in (0, 1, 8)
        text = capsys.readouterr().out
        assert harms(text) == []
        assert command == ["compare", base, run] or "c95" in text


@pytest.mark.parametrize("traceback", ["auto", "line", "native"])
@pytest.mark.slow
def test_what_pytest_itself_tells_of_a_python_test_is_made_safe(
    hostile: pytest.Pytester, harms: Harms, traceback: str
) -> None:
    """Its diffs, messages, skips and captured output quote the model as it spoke; in every style of traceback."""
    path = hostile.makepyfile(TESTS)

    result = hostile.runpytest_subprocess(
        *RUN, "--llm-model", "m=hostile:answers", f"--tb={traceback}", "-rA", "-l", "-vv", "--junitxml=run.xml", path
    )

    assert result.ret == 1
    assert result.parseoutcomes()["failed"] > 100
    assert harms(shown(result)) == []
    for text in xml_texts(hostile.path / "run.xml"):
        assert harms(text) == []


def test_a_fault_that_quotes_a_file_of_a_stranger_does_nothing(pytester: pytest.Pytester, harms: Harms) -> None:
    """A baseline, or the data of a suite, may come from anywhere; the sentence about it is printed safely."""
    hostile = "\x1b[2J\u202e\x9b31m"
    record = {
        "schema": 1, "suite": hostile, "case": hostile, "case_sha256": "d", "model": "m", "role": "m",
        "prompt_style": "chat", "prompt_sha256": "p", "grader": "exact", "score": 1.0, "outcome": "passed",
        "samples": [{"answer": "x", "outcome": "passed", "score": 1.0}],
    }  # fmt: skip
    run = {"benchmarks": [], "llmbench": {"schema": 1, "unmeasured": [record]}}
    (pytester.path / "base.json").write_text(json.dumps(run))
    (pytester.mkdir("cases") / "s.yaml").write_text(
        "suite: s\ngrader: exact\nprompt: {completion: '{{ q }}'}\ncases: [{id: a, q: x, expected: y}]\n"
    )
    (pytester.path / "cases" / "data.csv").write_text(f"id,q,expected\na,x,y\n{hostile},x,y\n", encoding="utf-8")
    (pytester.path / "cases" / "t.yaml").write_text(
        "suite: t\ngrader: exact\nprompt: {completion: '{{ q }}'}\ndata: data.csv\n"
    )
    (pytester.path / "a.jsonl").write_text('{"case": "a", "answer": "y"}\n')
    model = ("--llm-model", "m=recorded:a.jsonl")

    wrong_baseline = pytester.runpytest(*RUN, *model, "--llm-baseline=base.json", "cases/s.yaml")
    wrong_data = pytester.runpytest(*RUN, *model, "cases/t.yaml")

    assert (wrong_baseline.ret, wrong_data.ret) == (4, 2)
    assert r"\x1b[2J\u202e\x9b31m" in shown(wrong_baseline)
    assert r"\x1b[2J\u202e\x9b31m" in shown(wrong_data)
    assert harms(shown(wrong_baseline) + shown(wrong_data)) == []

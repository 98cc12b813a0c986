"""The checks of an import decide as the peer does, by verdicts that the peer itself wrote (`make peers`)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import Caught, caught
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.models.reasoning import separate
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, Case, PromptStyle

PROMPTFOO = Path(__file__).parent.parent / "peers" / "promptfoo"
MAPPED = sorted(path.parent.name for path in PROMPTFOO.glob("*/verdicts.json"))
REFUSED = sorted(path.parent.name for path in PROMPTFOO.glob("*/refused.txt"))
Import = Callable[..., tuple[int, list[str]]]


@dataclass(frozen=True)
class Difference:
    """A verdict that differs: in which configuration, case, and on which answer."""

    configuration: str
    case: str
    answer: str
    peer: str
    here: str


def known_differences() -> list[dict[str, Any]]:
    path = PROMPTFOO / "differences.yaml"
    node = yaml12.compose(path.read_text(encoding="utf-8"), path)
    assert node is not None
    return list(yaml12.value(node, path))


def covers(entry: dict[str, Any], found: Difference) -> bool:
    if entry.get("only_scores"):
        return found.configuration in entry["configurations"] and found.peer[0] == found.here[0]
    return (
        found.answer in entry["answers"]
        and found.configuration in entry.get("configurations", [found.configuration])
        and found.case in map(str, entry.get("cases", [found.case]))
    )


def answers_of(name: str) -> list[str]:
    alone = PROMPTFOO / name / "only_answers.jsonl"
    files = [alone] if alone.exists() else [PROMPTFOO / "answers.jsonl", PROMPTFOO / name / "answers.jsonl"]
    lines = (line for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines())
    return [json.loads(line)["answer"] for line in lines]


def graded(grader: Grader, case: Case, answer: str) -> tuple[str, float]:
    """Give the letter of a verdict, and the score."""
    found = caught(grader, case, Answer(text=separate(answer).text, finish_reason="stop"))
    return ("e", 0.0) if isinstance(found, Caught) else ("p" if found.passed else "f", found.score)


def sent_by(text: str) -> tuple[tuple[str, str], ...]:
    """Give the messages that the peer sent."""
    try:
        return tuple((message["role"], message["content"]) for message in json.loads(text))
    except (ValueError, TypeError):
        return (("user", text),)


def differences(name: str, folder: Path) -> Iterator[Difference]:
    """Compare the suites that were imported to a folder with the verdicts; every prompt must have been the same."""
    graders: dict[object, list[tuple[Case, Grader]]] = {}
    for path in sorted(folder.glob("*.yaml")):
        loaded = load_suite(path)
        assert loaded is not None
        grader = loaded.kind.build(loaded.suite, folder.parent)
        for case in loaded.suite.cases:
            messages = loaded.prompts[PromptStyle.CHAT][case.id].messages
            graders.setdefault(tuple((one.role, one.content) for one in messages), []).append((case, grader))
    answers = answers_of(name)
    for test in json.loads((PROMPTFOO / name / "verdicts.json").read_text(encoding="utf-8"))["tests"]:
        case, grader = graders[sent_by(test["sent"])].pop(0)
        scores = test.get("scores", [float(letter == "p") for letter in test["verdicts"]])
        for answer, letter, score in zip(answers, test["verdicts"], scores, strict=True):
            own, own_score = graded(grader, case, answer)
            if own != letter or abs(own_score - score) > 1e-5:
                yield Difference(name, case.id, answer, f"{letter} {score:g}", f"{own} {own_score:g}")
    assert not any(graders.values())


@pytest.mark.parametrize("name", MAPPED)
def test_prompts_verdicts_and_scores_are_those_of_promptfoo(name: str, import_of: Import, tmp_path: Path) -> None:
    """Each test sends what promptfoo sends, and decides as it does on every adversarial answer, but for what is listed."""
    trusted = ["--trust-code"] if any((PROMPTFOO / name).glob("*.py")) else []
    status, lines = import_of(PROMPTFOO / name, *trusted)
    assert status == 0, lines

    found = list(differences(name, tmp_path / "cases"))

    known = known_differences()
    assert [one for one in found if not any(covers(entry, one) for entry in known)] == []
    for entry in known:
        if entry.get("configurations") == [name]:
            for case in entry.get("cases", ()):
                assert any(covers({**entry, "cases": [case]}, one) for one in found), f"no longer so: {entry}"


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_equal_is_refused_with_its_line(name: str, import_of: Import, tmp_path: Path) -> None:
    """Each construct that no suite can hold is named with its line, and nothing is written."""
    status, lines = import_of(PROMPTFOO / name)

    assert status == 1
    assert lines[:-1] == (PROMPTFOO / name / "refused.txt").read_text(encoding="utf-8").splitlines()
    assert not list(tmp_path.rglob("*"))

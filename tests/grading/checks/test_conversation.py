"""Fixed conversations: how turns are read, graded and put together."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.errors import LlmbenchError, SuiteFault
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import CONTENT_FILTER, Answer, Grade, PromptStyle

Load = Callable[[str], LoadedSuite]

SUITE = """\
suite: desk
prompt: {chat: [{role: system, content: "Be brief, {{ name }}."}]}
checks: [{not: {contains: "As a machine"}}]
cases:
  - id: order
    name: Ann
    expected: "17"
    turns:
      - user: "I am {{ name }}. Where is my order?"
        checks: [{contains: "{{ expected }}", name: number}]
      - user: "Thank you."
      - user: "And the refund?"
        checks: {replace: [{regex: '[0-9]+ days', search: true}]}
"""
RIGHT = ("Order 17 is on its way.", "Gladly.", "As a machine I say: 2 days.")


def graded(folder: Path, *answers: str | Answer, suite: str = SUITE) -> Grade:
    (folder / "suite.yaml").write_text(suite)
    registry = SuiteRegistry(folder, {})
    loaded = registry.load(folder / "suite.yaml")
    assert loaded is not None
    turns = tuple(Answer(text=one) if isinstance(one, str) else one for one in answers)
    return registry.graders["desk"](loaded.suite.cases[0], Answer(text=turns[-1].text, turns=turns))


def test_turns_are_what_is_sent(load: Load) -> None:
    """The first stands behind the prompt, the others follow one answer each; all of them count for the digest."""
    prompt = load(SUITE).prompts[PromptStyle.CHAT]["order"]
    other = load(SUITE.replace("And the refund?", "And now?")).prompts[PromptStyle.CHAT]["order"]

    assert [message.content for message in prompt.messages] == ["Be brief, Ann.", "I am Ann. Where is my order?"]
    assert prompt.turns == ("Thank you.", "And the refund?")
    assert prompt.sha256 != other.sha256


@pytest.mark.parametrize(
    ("answers", "score", "reason", "explanation"),
    [
        (RIGHT, 1, "correct", "All 3 turns with checks passed."),
        (("No.", *RIGHT[1:]), 2.5 / 3, "different", 'turn 1: number: Expected "17", found "No.".'),
        (("As a machine, no", "As a machine", "?"), 0, "different", "turn 1: not contains: This must not be so: "
         'contains "As a machine". Also failed: number. Also failed: turn 2, 3.'),
        ((RIGHT[0], "", RIGHT[2]), 2 / 3, "empty", "turn 2: The answer is empty."),
        ((RIGHT[0], Answer(text="", finish_reason=CONTENT_FILTER, refusal="filter"), RIGHT[2]), 2 / 3, "refusal",
         "turn 2: The provider's filter let no answer pass."),
    ],
)  # fmt: skip
def test_the_score_is_the_mean_of_the_turns(
    tmp_path: Path, answers: tuple[str | Answer, ...], score: float, reason: str, explanation: str
) -> None:
    """A case passes if every turn does; the reason is that of the first that failed."""
    found = graded(tmp_path, *answers)

    assert (found.score, found.passed, found.reason) == (pytest.approx(score), score == 1, reason)
    assert found.explanation == explanation


def test_the_record_has_each_turn_and_each_check(tmp_path: Path) -> None:
    """The names of checks have the turn in front, so that a comparison can name one that flipped."""
    parts = graded(tmp_path, *RIGHT).parts

    assert [turn["answer"] for turn in parts["turns"]] == [*RIGHT]  # type: ignore[union-attr, index, call-overload]
    assert [check["name"] for check in parts["checks"]] == [  # type: ignore[union-attr, index, call-overload]
        "turn 1: not contains", "turn 1: number", "turn 2: not contains", "turn 3: regex",
    ]  # fmt: skip


def test_a_turn_without_checks_does_not_count(tmp_path: Path) -> None:
    """It only leads on."""
    suite = SUITE.replace('checks: [{not: {contains: "As a machine"}}]\n', "")

    assert graded(tmp_path, RIGHT[0], "", "Never.", suite=suite).score == 0.5


def test_stop_on_fail_ends_the_count(tmp_path: Path) -> None:
    """What comes behind a failed turn counts as failed, whatever it is."""
    suite = SUITE.replace("    name: Ann\n", "    name: Ann\n    stop_on_fail: true\n")

    found = graded(tmp_path, RIGHT[0], "As a machine", RIGHT[2], suite=suite)

    assert found.score == pytest.approx(1 / 3)
    assert found.parts["turns"][2]["explanation"] == "It does not count any more, as turn 2 failed."  # type: ignore[index, call-overload]


def test_one_turn_is_a_conversation_too(tmp_path: Path) -> None:
    """Its answer is one without turns."""
    (tmp_path / "suite.yaml").write_text(
        "suite: s\nchecks: []\ncases: [{id: a, turns: [{user: Hi, checks: [{contains: x}]}]}]\n"
    )
    registry = SuiteRegistry(tmp_path, {})
    loaded = registry.load(tmp_path / "suite.yaml")
    assert loaded is not None

    found = registry.graders["s"](loaded.suite.cases[0], Answer(text="x"))

    assert (found.score, found.explanation) == (1, "The turn passed.")


def test_an_answer_with_other_turns_is_an_error(tmp_path: Path) -> None:
    """A test that grades a single answer by a conversation is told so."""
    with pytest.raises(LlmbenchError, match="the case has 3 turns, and its answer 2"):
        graded(tmp_path, *RIGHT[:2])


def test_a_check_that_breaks_names_its_turn(tmp_path: Path) -> None:
    """The sample is an error, not a wrong answer."""
    suite = SUITE.replace('user: "Thank you."', 'user: "Thank you."\n        checks: [{finish: stop}]')

    with pytest.raises(LlmbenchError, match='turn 2: check "finish" could not be tried'):
        graded(tmp_path, *RIGHT, suite=suite)


FAULTS = {
    "no list": ("turns: {user: x}", 8, "`turns` must be a list of"),
    "none": ("turns: []", 8, "`turns` must be a list of"),
    "a text": ("turns: [Hello]", 8, "turn 1 has the keys none; a turn has `user`"),
    "another key": ("turns:\n      - {user: x}\n      - {user: y, check: []}", 10, "turn 2 has the keys user, check;"),
    "nothing said": ("turns: [{user: ' '}]", 8, "turn 1: `user` must be a text"),
    "no template": ("turns: [{user: '{{ x'}]", 8, "turn 1: the chat prompt is no jinja2 template"),
    "an unknown field": ("turns:\n      - user: '{{ nam }}'", 9, ', turn 1: the chat prompt names "nam"'),
    "a check that is none": (
        "turns:\n      - user: x\n        checks:\n          - {contains: y}\n          - {containz: y}", 12, ", turn 1: check 2: a check has"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("turns", "line", "message"), FAULTS.values(), ids=FAULTS)
def test_a_turn_that_is_written_wrongly_has_its_line(load: Load, turns: str, line: int, message: str) -> None:
    """Turns and their checks are looked at before any model is asked."""
    with pytest.raises(SuiteFault) as caught:
        load(f"{SUITE[: SUITE.index('turns:')]}{turns}\n")

    assert (caught.value.line, caught.value.message.startswith('case "order"')) == (line, True)
    assert message in caught.value.message


def test_a_conversation_needs_a_check(load: Load) -> None:
    """Nothing would decide it."""
    with pytest.raises(SuiteFault, match='case "a" has no check; write `checks` in a turn, the case or the suite'):
        load("suite: s\nprompt: {chat: [{role: system, content: x}]}\ncases:\n  - {id: a, turns: [{user: x}]}\n")


def test_a_completion_prompt_has_no_turns(load: Load) -> None:
    """A base model has no roles."""
    with pytest.raises(SuiteFault, match="take the completion prompt out"):
        load(SUITE.replace("prompt: {", "prompt: {completion: x, "))


def test_turns_of_a_data_file_are_read(load: Load, tmp_path: Path) -> None:
    """JSON lines hold them as they stand in YAML; without a prompt they are all that is sent."""
    (tmp_path / "cases.jsonl").write_text('{"id": "a", "turns": [{"user": "Hi", "checks": [{"contains": "x"}]}]}\n')

    prompt = load("suite: s\nchecks: []\ndata: cases.jsonl\n").prompts[PromptStyle.CHAT]["a"]

    assert ([message.content for message in prompt.messages], prompt.turns) == (["Hi"], ())


def test_validation_looks_at_each_turn(load: Load, tmp_path: Path) -> None:
    """A check that decides nothing is named with its turn."""
    suite = load(SUITE.replace('{contains: "{{ expected }}", name: number}', "{words: {min: 0}}"))

    (found,) = suite.kind.check(suite.suite, tmp_path, is_thorough=True)

    assert found.message.startswith('turn 1: the check "words" can never fail')

"""What is sent for a case: templates, examples, inputs, and the part of an answer that is graded."""

from pathlib import Path

import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Answer, Grade, Message, PromptStyle

SUITE = """\
suite: mood
grader: exact
prompt:
  completion: "Headline: {{ text }}\\nMood:"
  chat:
    - {role: system, content: One word.}
    - {role: user, content: "{{ text }}"}
examples:
  template:
    completion: "Headline: {{ text }}\\nMood: {{ expected }}\\n\\n"
    chat: [{role: user, content: "{{ text }}"}, {role: assistant, content: "{{ expected }}"}]
  rows:
    - {text: "Rain {{ again }}", expected: sad}
    - {text: Sun, expected: no}
cases:
  - {id: a, text: Fog, expected: calm}
  - {id: b, text: Sun, expected: glad}
"""


def load(folder: Path, text: str) -> LoadedSuite:
    path = folder / "suite.yaml"
    path.write_text(text)
    found = load_suite(path)
    assert found is not None
    return found


def test_examples_stand_in_front_of_each_prompt_in_their_order(tmp_path: Path) -> None:
    """In a chat behind the system message, in a completion at the beginning; their fields are no templates."""
    loaded = load(tmp_path, SUITE)

    assert loaded.prompts[PromptStyle.COMPLETION]["a"].text == (
        "Headline: Rain {{ again }}\nMood: sad\n\nHeadline: Sun\nMood: no\n\nHeadline: Fog\nMood:"
    )
    for case in "ab":
        system, *examples, last = loaded.prompts[PromptStyle.CHAT][case].messages
        assert (system.role, last.role) == ("system", "user")
        assert examples == [
            Message(role="user", content="Rain {{ again }}"),
            Message(role="assistant", content="sad"),
            Message(role="user", content="Sun"),
            Message(role="assistant", content="no"),
        ]


def test_a_completion_template_can_place_its_examples(tmp_path: Path) -> None:
    """`{{ examples }}` stands for all of them."""
    text = SUITE.replace('"Headline: {{ text }}\\nMood:"', '"Name the mood.\\n{{ examples }}{{ text }}:"')

    prompt = load(tmp_path, text).prompts[PromptStyle.COMPLETION]["a"].text or ""

    assert prompt.startswith("Name the mood.\nHeadline: Rain")
    assert prompt.endswith("Mood: no\n\nFog:")


def test_an_example_that_is_a_case_is_found(tmp_path: Path) -> None:
    """Its answer would be given away."""
    (found,) = load(tmp_path, SUITE).findings

    assert (found.case, found.message) == ("b", "example 2 is this case, with its answer; take one of them out.")


INPUTS = """\
suite: s
grader: exact
{prompt}cases:
  - {{id: a, expected: x, {inputs}}}
"""


def test_inputs_may_stand_under_a_key_of_their_own(tmp_path: Path) -> None:
    """The case is the same, digest and all; names of fields can be inputs there."""
    prompt = 'prompt: {completion: "{{ q }}"}\n'
    flat = load(tmp_path, INPUTS.format(prompt=prompt, inputs="q: why")).suite.cases[0]
    nested = load(tmp_path, INPUTS.format(prompt=prompt, inputs="inputs: {q: why}")).suite.cases[0]
    other = load(tmp_path, INPUTS.format(prompt=prompt, inputs="inputs: {q: why, tags: [z]}")).suite.cases[0]

    assert flat.inputs == nested.inputs == {"q": "why"}
    assert flat.sha256 == nested.sha256 != other.sha256
    assert (other.inputs["tags"], other.tags) == (["z"], ())


@pytest.mark.parametrize(
    ("inputs", "shown"), [("q: why", "why"), ("n: 3", '{"n": 3}'), ("q: é, n: 3", '{"q": "é", "n": 3}')]
)
def test_a_suite_without_a_prompt_shows_its_inputs(tmp_path: Path, inputs: str, shown: str) -> None:
    """It is for applications; nothing warns of inputs that no template uses."""
    loaded = load(tmp_path, INPUTS.format(prompt="", inputs=inputs))

    assert loaded.prompts == {PromptStyle.CHAT: {"a": loaded.prompts[PromptStyle.CHAT]["a"]}}
    assert loaded.prompts[PromptStyle.CHAT]["a"].messages == (Message(role="user", content=shown),)
    assert loaded.findings == ()


# -- read


def graded(folder: Path, read: str, answer: str) -> Grade:
    text = f'suite: s\ngrader: exact\nread: {read}\nprompt: {{completion: "?"}}\ncases: [{{id: a, expected: "42"}}]\n'
    (folder / "suite.yaml").write_text(text)
    registry = SuiteRegistry(folder, {})
    loaded = registry.load(folder / "suite.yaml")
    assert loaded is not None
    return registry.graders["s"](loaded.suite.cases[0], Answer(text=answer))


@pytest.mark.parametrize(
    ("read", "answer", "reason", "part"),
    [
        ("'#### ([0-9]+)'", "6 * 7 #### 42", "correct", "42"),
        ("'[0-9]+'", "42 or 43", "correct", "42"),
        ("{regex: '[0-9]+', match: last}", "6 * 7 = 42", "correct", "42"),
        ("'a([0-9]+)|b([0-9]+)'", "b42", "correct", "42"),
        ("'#### ([0-9]+)'", "#### 41", "different", "41"),
        ("'#### ([0-9]+)'", "It is 42.", "unparsed", None),
        ("{regex: '#### ([0-9]+)', otherwise: '[invalid]'}", "It is 42.", "different", "[invalid]"),
        ("'#### ([0-9]+)'", "", "empty", None),
        ("'#### ([0-9]+)'", "I'm sorry, but I cannot do that.", "refusal", None),
    ],
)
def test_the_answer_is_taken_out_of_the_text(
    tmp_path: Path, read: str, answer: str, reason: str, part: str | None
) -> None:
    """The first or last match is graded, and kept beside the grade; a text without one is no wrong value."""
    found = graded(tmp_path, read, answer)

    assert (found.reason, found.parts.get("read")) == (reason, part)


def test_what_is_read_is_part_of_the_digest(tmp_path: Path) -> None:
    """Runs that read other parts of an answer are not compared case by case."""
    plain = load(tmp_path, SUITE)
    reading = load(tmp_path, SUITE + "read: '[a-z]+'\n")

    assert plain.suite.cases[0].sha256 != reading.suite.cases[0].sha256
    assert plain.suite.sha256 != reading.suite.sha256


def test_a_pattern_that_never_ends_is_an_error(tmp_path: Path) -> None:
    """The harness gives up, and the model is not wrong."""
    with pytest.raises(TimeoutError, match="took over"):
        graded(tmp_path, r"'(a|aa)+$'", "a" * 60 + "b")


def test_the_part_that_is_read_is_kept_beside_the_grade(tmp_path: Path) -> None:
    """A suite's fault in it has its line."""
    with pytest.raises(SuiteFault) as caught:
        load(tmp_path, SUITE + "read: {match: last}\n")

    assert (caught.value.line, caught.value.message) == (18, 'read: "regex" is missing.')

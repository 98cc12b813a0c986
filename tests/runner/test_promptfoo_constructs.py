"""The constructs of public promptfoo configurations as suites: each passes right answers and fails wrong ones.

Every row names the construct as promptfoo writes it; its suite means the same, and runs with recorded answers.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.runner.runner import Item, Runner, RunSettings

PROMPT = 'prompt: {chat: [{role: user, content: "{{ q }}"}]}\n'
CALL = {"name": "search", "arguments": {"text": "refund"}}


@dataclass(frozen=True, kw_only=True)
class Construct:
    """A suite body; answers by case that pass, and those that fail with their reason."""

    suite: str
    right: tuple[Any, ...]
    wrong: tuple[tuple[Any, str], ...]
    files: dict[str, str] = field(default_factory=dict)


def checked(*checks: str, rest: str = "") -> str:
    """Write a suite of one case with these checks."""
    listed = "".join(f"      - {check}\n" for check in checks)
    return f'{PROMPT}cases:\n  - id: a\n    q: "?"\n    expected: Paris\n{rest}    checks:\n{listed}'


CONSTRUCTS = {
    "equals": Construct(
        suite=checked('{equals: "{{ expected }}", trim: false}'),
        right=("Paris",),
        wrong=(("Paris\n", "different"), ("paris", "different"), ("", "empty")),
    ),
    "icontains-all": Construct(
        suite=checked("{contains: [paris, seine], ignore_case: true}"),
        right=("PARIS on the Seine",),
        wrong=(("Paris", "different"),),
    ),
    "contains-any": Construct(
        suite=checked("{contains_any: [Paris, Lutetia]}"), right=("It was Lutetia.",), wrong=(("Rome", "different"),)
    ),
    "not-icontains": Construct(
        suite=checked("{not: {contains: as an ai, ignore_case: true}}"),
        right=("Paris",),
        # an empty answer passes there, and is empty here
        wrong=(("As an AI I say Paris", "different"), ("", "empty")),
    ),
    "starts-with": Construct(
        suite=checked("{starts_with: Paris}"), right=("Paris, France",), wrong=(("It is Paris", "different"),)
    ),
    "regex": Construct(
        suite=checked("{regex: 'ACCT-[0-9]{6}', search: true}"),
        right=("See ACCT-123456.",),
        wrong=(("See ACCT-1.", "different"),),
    ),
    "word-count": Construct(
        suite=checked("{words: {min: 2, max: 4}}"), right=("two words",), wrong=(("one", "different"),)
    ),
    "is-json with a schema in a file": Construct(
        suite=checked("{json: {schema: ticket.json}, fence: false}"),
        files={"ticket.json": '{"type": "object", "required": ["category"]}'},
        right=('{"category": "billing"}',),
        wrong=(('{"kind": 1}', "different"), ('```json\n{"category": 1}\n```', "unparsed"), ("billing", "unparsed")),
    ),
    "contains-json": Construct(
        suite=checked("{json_subset: {value: {category: {regex: 'bill.*'}, total: {number: 3, tolerance: 0.1}}}}"),
        right=('Here: {"category": "billing", "total": 3.05, "x": 1}',),
        wrong=(('{"category": "billing"}', "different"), ("none", "unparsed")),
    ),
    "javascript: JSON.parse(output).order.id === 17": Construct(
        suite=checked("{equals: 17, path: order.id}"),
        right=('{"order": {"id": 17}}',),
        wrong=(('{"order": {"id": 18}}', "different"), ('{"order": 17}', "unparsed")),
    ),
    "javascript: ['a', 'b'].includes(output) || output.length < 4": Construct(
        suite=checked("any: [{one_of: [Paris, Rome]}, {regex: '(?s).{0,3}'}]"),
        right=("Rome", "no"),
        wrong=(("Berlin", "different"),),
    ),
    "assert-set with a threshold": Construct(
        suite=checked("all: [{contains: Paris}, {contains: Seine}]\n        pass_score: 0.5", "{words: {max: 3}}"),
        right=("Paris", "the Seine"),
        wrong=(("Rome", "different"), ("Paris is a large city", "different")),
    ),
    "threshold of a test, weights, a weight of 0": Construct(
        suite=checked(
            "{contains: Paris, weight: 3}",
            "{contains: Seine}",
            "{contains: Eiffel, advice: true}",
            rest="    pass_score: 0.75\n",
        ),
        right=("Paris",),
        wrong=(("Seine and Eiffel", "different"),),
    ),
    "python: get_assert in a file": Construct(
        suite=checked("{function: 'promptfoo_asserts:short'}"),
        files={
            "promptfoo_asserts.py": "from pytest_llmbench import Grade\n"
            "def short(case, answer):\n"
            "    good = len(answer.text) < 10\n"
            "    return Grade(score=float(good), passed=good, reason='correct' if good else 'long', explanation='length')\n"
        },
        right=("Paris",),
        wrong=(("Paris, of course", "long"),),
    ),
    "is-valid-openai-tools-call": Construct(
        suite="tools: [{name: search, parameters: {type: object, properties: {text: {type: string}}}}]\n"
        + checked("{tools: {mode: exact, calls: [{name: search, arguments: {text: {any: true}}, match: exact}]}}"),
        right=({"tool_calls": [CALL]},),
        wrong=(
            ({"tool_calls": [{"name": "search", "arguments": '{"text": "ref'}]}, "unparsed"),
            ({"tool_calls": [CALL, CALL]}, "different"),
            ("I search.", "different"),
        ),
    ),
    "defaultTest, and a test that overrides it": Construct(
        suite=f"{PROMPT}checks: [{{contains: Paris}}, {{not: {{contains: Rome}}}}]\n"
        'cases: [{id: a, q: "?", checks: {replace: [{contains: Rome}]}}]\n',
        right=("Rome",),
        wrong=(("Paris", "different"),),
    ),
    "tests in CSV with __expected": Construct(
        suite=f"{PROMPT}data: tests.csv\n",
        files={"tests.csv": 'id,q,city,checks\na,?,Paris,"[{""contains"": ""{{ city }}""}]"\n'},
        right=("In Paris.",),
        wrong=(("In Rome.", "different"),),
    ),
    "transform: output.split('Answer:')[1]": Construct(
        suite="read: '(?s)Answer:(.*)'\n" + checked('{equals: "{{ expected }}"}'),
        right=("I think of Rome. Answer: Paris",),
        wrong=(("Answer: Rome", "different"), ("Paris", "unparsed")),
    ),
    "a conversation by _conversation": Construct(
        suite="checks: []\ncases:\n  - id: a\n    turns:\n      - {user: Hi}\n      - {user: Where?, checks: [{contains: Paris}]}\n",
        right=(("Hello", "In Paris."),),
        wrong=((("In Paris.", "What?"), "different"),),
    ),
}


def lines(answer: Any) -> str:
    """Write an answer, the turns of a conversation, or a line of one's own, as a file of recorded answers."""
    given = (
        [{"answer": text, "turn": at} for at, text in enumerate(answer, start=1)] if isinstance(answer, tuple) else None
    )
    rows = given or [answer if isinstance(answer, dict) else {"answer": answer}]
    return "".join(json.dumps({"case": "a", **row}) + "\n" for row in rows)


@pytest.mark.parametrize("construct", CONSTRUCTS.values(), ids=CONSTRUCTS)
def test_a_construct_decides_as_it_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, construct: Construct
) -> None:
    """Right answers pass, and wrong ones fail with their reason."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in construct.files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "suite.yaml").write_text(f"suite: s\n{construct.suite}")
    answers = [(answer, "correct") for answer in construct.right] + list(construct.wrong)
    for number, (answer, _) in enumerate(answers):
        (tmp_path / f"m{number}.jsonl").write_text(lines(answer))
    specs = Catalog(tmp_path / "models.toml", {}).choose(
        [f"m{number}=recorded:m{number}.jsonl" for number in range(len(answers))], tmp_path
    )
    runner = Runner(RunSettings(root=tmp_path), specs, {})
    loaded = runner.suites.load(tmp_path / "suite.yaml")
    assert loaded is not None
    (case,) = loaded.suite.cases
    items = [Item(key=spec.role, loaded=loaded, case=case, spec=spec) for spec in specs]

    runner.start(items)
    samples = [runner.result(item.key).record.samples[0] for item in items]
    runner.close()

    assert [(sample.reason, sample.error) for sample in samples] == [(reason, None) for _, reason in answers]

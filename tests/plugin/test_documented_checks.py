"""The examples of docs/checks.md do what the page shows."""

import re
from pathlib import Path

import pytest

from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.loader import load_suite
from pytest_llmbench.values import Answer, ToolCall

PAGE = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def block(language: str) -> str:
    """Give the first block of a language."""
    return next(text for found, text in BLOCKS if found == language)


def test_the_example_fails_as_shown(pytester: pytest.Pytester) -> None:
    """Suite, schema and answers of the page, run with its command, give the failure that it shows."""
    cases = pytester.mkdir("cases")
    (cases / "tickets.yaml").write_text(block("yaml"))
    (cases / "ticket.schema.json").write_text(block("json"))
    (pytester.path / "answers.jsonl").write_text(block("jsonl"))
    pytester.makeini("[pytest]\n")
    (command,) = re.findall(r"^    pytest (.+)$", PAGE, re.MULTILINE)

    found = pytester.runpytest(*command.split(), "--benchmark-quiet", "-p", "no:cacheprovider")

    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(block("text").replace("[", "[[]").splitlines(), consecutive=True)


@pytest.mark.parametrize("row", re.findall(r"^\| `(.+?)` \| `(\{.+?\})`", PAGE, re.MULTILINE), ids=lambda row: row[0])
def test_a_grader_and_its_check_are_the_same(tmp_path: Path, row: tuple[str, str]) -> None:
    """Each row of the table of short forms gives one digest in both forms."""
    grader, check = row
    fields = {
        "json": "expected: {a: 1}",
        "yes_no": "expected: yes",
        "sql": "reference: SELECT 1",
        "key_points": "points: [{name: a, any: [b]}], references: [b]",
    }
    written = check.replace("[...]", "[{name: a, any: [b]}]", 1).replace("[...]", "[b]").split("`, or")[0]
    options = "database: events\n" if grader == "sql" else ""
    given = f", {fields.get(grader, 'expected: Paris')}"
    digests = []
    # a check that holds what it asks needs no fields of the case
    for kind, of_case in (
        (f"grader: {grader}\n{options}", given),
        (f"checks: [{written}]\n", "" if "[...]" in check else given),
    ):
        path = tmp_path / "suite.yaml"
        path.write_text(
            f'suite: s\nprompt: {{completion: "{{{{ body }}}}"}}\n{kind}cases: [{{id: one, body: x{of_case}}}]\n'
        )
        loaded = load_suite(path)
        assert loaded is not None
        digests.append(loaded.suite.cases[0].sha256)

    assert digests[0] == digests[1]


def test_the_subset_of_the_page_loads(tmp_path: Path) -> None:
    """The example of `json_subset` is a check."""
    subset = next(text for language, text in BLOCKS if language == "yaml" and "json_subset" in text)
    path = tmp_path / "suite.yaml"
    path.write_text(f'suite: s\nprompt: {{completion: "x"}}\nchecks:\n{subset}cases: [{{id: one}}]\n')

    assert yaml12.compose(subset, path) is not None
    assert load_suite(path) is not None


def test_the_tools_of_the_page_decide(tmp_path: Path) -> None:
    """The example of `tools` is a suite without findings, whose checks pass for the calls that it means."""
    path = tmp_path / "suite.yaml"
    path.write_text(next(text for language, text in BLOCKS if language == "yaml" and text.startswith("suite: desk")))
    loaded = load_suite(path)
    assert loaded is not None
    refund, thanks = loaded.suite.cases
    grader = loaded.kind.build(loaded.suite, tmp_path)
    search = ToolCall(name="search", arguments={"text": "time of a refund"})
    close = ToolCall(name="close_ticket")

    assert loaded.kind.check(loaded.suite, tmp_path, is_thorough=True) == ()
    assert grader(refund, Answer(text="", tool_calls=(search,))).passed
    assert not grader(refund, Answer(text="", tool_calls=(search, close))).passed
    assert grader(thanks, Answer(text="You are welcome.")).passed
    assert not grader(thanks, Answer(text="", tool_calls=(close,))).passed


SUITES = re.findall(
    r"^```yaml\n(suite: (?:mood|desk)\n.*?)^```",
    (Path(__file__).parents[2] / "docs" / "suites.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.parametrize("text", SUITES, ids=["examples", "a conversation"])
def test_suites_of_the_page_load(tmp_path: Path, text: str) -> None:
    """The examples of docs/suites.md are suites without findings."""
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    loaded = load_suite(path)

    assert loaded is not None
    assert (loaded.findings, loaded.kind.check(loaded.suite, tmp_path, is_thorough=True)) == ((), ())

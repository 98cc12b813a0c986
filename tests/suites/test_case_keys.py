"""Keys of cases that nothing reads, and texts that a comment cuts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.suites.case_keys import is_one_edit
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.suites.registry import SuiteRegistry

LABELS = 'suite: s\ngrader: yes_no\nprompt: {completion: "{{ headline }}"}\ncases:\n'


def loaded(folder: Path, text: str) -> LoadedSuite:
    file = folder / "s.yaml"
    file.write_text(text, encoding="utf-8")
    found = load_suite(file)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("grader", "fields", "message"),
    [
        ("yes_no", "grader: regex", "`grader` is a field of the suite, not of a case; write it at the top level"),
        (
            "exact",
            "ignore_case: true",
            "`ignore_case` is a field of the suite, not of a case; write it at the top level",
        ),
        ("yes_no", "labels: [a, b]", "`labels` is a field of the suite, not of a case"),
        ("yes_no", "prompt: x", "`prompt` is a field of the suite, not of a case"),
        ("yes_no", "ignore_case: true", '`ignore_case` is a field of the grader "exact", and this suite has "yes_no"'),
        ("yes_no", "threshold: 1", '`threshold` is a field of the grader "key_points", and this suite has "yes_no"'),
        ("yes_no", "reference: x", '`reference` is a field of the grader "sql"'),
        ("yes_no", "tag: x", "`tag` is not a field, and no prompt template uses it; did you mean `tags`?"),
        ("yes_no", "xfial: x", "did you mean `xfail`?"),
        ("yes_no", "clusters: x", "did you mean `cluster`?"),
        ("yes_no", "Expected: x", "did you mean `expected`?"),
        ("exact", "verbatm: true", "did you mean `verbatim`?"),
    ],
)
def test_a_field_in_the_wrong_place_is_refused(tmp_path: Path, grader: str, fields: str, message: str) -> None:
    """A key that no template uses and that is a field elsewhere, or nearly one here, is an error at its case."""
    text = (
        LABELS.replace("yes_no", grader)
        + f'  - {{id: a, headline: x, expected: "no"}}\n  - {{id: b, headline: x, expected: "no", {fields}}}\n'
    )

    with pytest.raises(SuiteFault) as raised:
        loaded(tmp_path, text)

    assert str(raised.value).startswith(f'{tmp_path / "s.yaml"}:6: case "b": `')
    assert message in str(raised.value)


@pytest.mark.parametrize("key", ["tag", "threshold", "grader"])
def test_what_a_template_uses_is_an_input(tmp_path: Path, key: str) -> None:
    """Whatever an input is named, a template that uses it shows that it is meant."""
    text = LABELS.replace("{{ headline }}", f"{{{{ {key} }}}}") + f'  - {{id: a, {key}: x, expected: "no"}}\n'

    found = loaded(tmp_path, text)

    assert found.suite.cases[0].inputs == {key: "x"}
    assert found.findings == ()


def test_a_function_may_read_any_input(tmp_path: Path) -> None:
    """A function of the user's own sees the inputs of a case, so that nothing can be said of those that no template uses."""
    text = LABELS.replace("yes_no", "json:loads") + "  - {id: a, headline: x, threshold: 1, source: y}\n"

    found = loaded(tmp_path, text)

    assert (found.suite.cases[0].inputs, found.findings) == ({"headline": "x", "threshold": 1, "source": "y"}, ())


def test_a_column_of_a_data_file_is_refused_at_its_first_row(tmp_path: Path) -> None:
    """The fault names the line of the first case that has the key."""
    (tmp_path / "d.csv").write_text("id,headline,expected,tag\na,x,no,\nb,x,no,hard\n", encoding="utf-8")

    with pytest.raises(SuiteFault, match=r'd\.csv:3: case "b": `tag` is not a field'):
        loaded(tmp_path, LABELS.replace("cases:", "data: d.csv"))


def test_an_input_that_no_template_uses_is_a_warning(tmp_path: Path) -> None:
    """It is loaded, and `llmbench validate` names it with the number of its cases."""
    text = (
        LABELS
        + '  - {id: a, headline: x, source: y, expected: "no"}\n  - {id: b, headline: x, source: y, expected: "no"}\n'
    )

    found = loaded(tmp_path, text)

    message = "no prompt template uses the input `source`, which 2 cases have; use it, or take it out."
    assert found.findings == (Finding(severity=Severity.WARNING, message=message),)


@pytest.mark.parametrize(
    ("line", "cut", "comment"),
    [
        ("We are #1 # really", "We are", "#1 # really"),
        ("We are number # 1", "We are number", "# 1"),
        ("Hello #world", "Hello", "#world"),
        ("Schön ist's\U0001f600 hier #wirklich", "Schön ist's\U0001f600 hier", "#wirklich"),
    ],
)
def test_a_comment_that_cuts_a_text_is_a_warning(tmp_path: Path, line: str, cut: str, comment: str) -> None:
    """What looks like the rest of the text, and is a comment to YAML, is shown."""
    found = loaded(tmp_path, LABELS + f'  - id: a\n    headline: {line}\n    expected: "no"\n')

    message = (
        f"the text `{cut}` ends before `{comment}`, which YAML reads as a comment; "
        "put the whole text in quotes, or two blanks and `# ` before a comment."
    )
    assert found.findings == (Finding(severity=Severity.WARNING, message=message, case="a"),)
    assert found.suite.cases[0].inputs == {"headline": cut}


@pytest.mark.parametrize(
    "lines",
    [
        'headline: "We are #1 # really"\n    expected: "no"',
        "headline: We are#1\n    expected: no # as it says",
        "headline: two words  # from the archive\n    expected: no",
        "headline: word\n    expected: no  ## seen twice",
        "# We are #1\n    headline: word\n    expected: no",
        "headline: word\n    expected: no\n    xfail: null #3",
    ],
)
def test_other_comments_are_no_fault(tmp_path: Path, lines: str) -> None:
    """Quoted texts, comments set off by two blanks or on their own line, and those behind a word are as they are meant."""
    found = loaded(tmp_path, LABELS + f"  - id: a\n    {lines}\n")

    assert found.findings == ()


def test_the_warnings_are_for_validate_alone(tmp_path: Path) -> None:
    """A thorough check gives them, the quick one before a run does not."""
    (tmp_path / "s.yaml").write_text(LABELS + '  - {id: a, headline: x, source: y, expected: "no"}\n', encoding="utf-8")
    registry = SuiteRegistry(tmp_path, {})
    found = registry.load(tmp_path / "s.yaml")
    assert found is not None

    thorough, quick = registry.check_thoroughly(found), registry.check(found)

    assert [finding.severity for finding in thorough] == [Severity.WARNING]
    assert quick == ()


@pytest.mark.parametrize(
    ("word", "other", "expected"),
    [
        ("tag", "tags", True),
        ("tagss", "tags", True),
        ("tabs", "tags", True),
        ("atgs", "tags", True),
        ("tags", "tags", False),
        ("tg", "tags", False),
        ("stag", "tags", False),
        ("expetced", "expected", True),
        ("expectde", "expected", True),
        ("exepcetd", "expected", False),
    ],
)
def test_one_edit_is_one_letter_or_one_swap(word: str, other: str, expected: bool) -> None:
    """A letter put in, left out or changed, or two neighbours swapped."""
    assert is_one_edit(word, other) is expected


@given(st.text("abc", max_size=5), st.text("abc", max_size=5))
def test_an_edit_goes_both_ways(word: str, other: str) -> None:
    """What is one edit from a word has that word one edit away."""
    assert is_one_edit(word, other) is is_one_edit(other, word)

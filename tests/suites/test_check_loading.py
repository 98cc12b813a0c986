"""`checks` of suites and cases: what loads, what its digest is, and what every fault says."""

import json
from pathlib import Path

import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.checks.of_case import checks_of
from pytest_llmbench.suites.files import may_be_suite
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.values import Case

PROMPT = 'prompt: {completion: "{{ body }}"}'
SUITE = f"""\
suite: tickets
checks:
  - {{contains: ACCT, name: account}}
{PROMPT}
cases:
  - id: one
    body: "?"
    expected: billing
    checks:
      - {{equals: "{{{{ expected }}}}",
         path: category}}
  - {{id: two, body: "!"}}
"""


def load(folder: Path, text: str) -> LoadedSuite:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    found = load_suite(path)
    assert found is not None
    return found


def fault_of(folder: Path, text: str) -> str:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SuiteFault) as raised:
        SuiteRegistry(folder, {}).load(path)
    return str(raised.value).replace(f"{folder}/", "")


def names(case: Case) -> tuple[str, ...]:
    return checks_of(case).names


def test_the_checks_of_a_case_are_added_to_those_of_the_suite(tmp_path: Path) -> None:
    """Each case has the suite's checks first and its own behind them; the grader is named `checks`."""
    suite = load(tmp_path, SUITE).suite

    assert suite.grader == "checks"
    assert [names(case) for case in suite.cases] == [("account", "equals category"), ("account",)]
    assert dict(suite.cases[0].inputs) == {"body": "?"}


def test_a_case_may_replace_the_checks_of_the_suite(tmp_path: Path) -> None:
    """`checks: {replace: [...]}` stands in place of the suite's."""
    text = SUITE.replace('{id: two, body: "!"}', '{id: two, body: "!", checks: {replace: [{json: {}}]}}')

    assert names(load(tmp_path, text).suite.cases[1]) == ("json",)


def test_checks_of_one_kind_have_names_of_their_own(tmp_path: Path) -> None:
    """What is not named is called by its kind, the second one with a number."""
    text = SUITE.replace(
        "{contains: ACCT, name: account}", "{contains: a}\n  - {contains: b}\n  - {not: {contains: c}}"
    )

    assert names(load(tmp_path, text).suite.cases[1]) == ("contains", "contains 2", "not contains")


@pytest.mark.parametrize(
    ("keys", "is_suite"),
    [
        ("grader: exact\n" + PROMPT + "\ncases: [{id: a, body: b, expected: c}]", True),
        ("checks: [{json: {}}]\n" + PROMPT + "\ncases: [{id: a, body: b}]", True),
        (PROMPT + "\ncases: [{id: a, body: b, checks: [{json: {}}]}]", True),
        (PROMPT, False),
        ("cases: []", False),
    ],
)
def test_a_suite_has_a_grader_or_checks_or_a_prompt_with_cases(tmp_path: Path, keys: str, is_suite: bool) -> None:
    """Other YAML files that have a key `suite` are left alone."""
    path = tmp_path / "suite.yaml"
    path.write_text(f"suite: tickets\n{keys}\n")

    assert (load_suite(path) is not None) is is_suite
    assert may_be_suite(path) or not is_suite


def test_a_data_file_holds_checks_too(tmp_path: Path) -> None:
    """A row of JSON lines has them as a list, a row of CSV as JSON; templates take the row's fields."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "body": "?", "expected": 7, "checks": [{"equals": 7}]}\n')
    (tmp_path / "rows.csv").write_text('id,body,want,checks\na,?,7,"[{""number"": {""value"": ""{{ want }}""}}]"\n')
    head = f"suite: tickets\n{PROMPT}\ndata: "

    lines = load(tmp_path, head + "rows.jsonl").suite.cases[0]
    cells = load(tmp_path, head + "rows.csv").suite.cases[0]

    assert checks_of(lines).checks[0].fields.equals == "7"
    assert checks_of(cells).checks[0].fields.number.value == 7


def test_a_schema_may_be_a_file_beside_the_suite(tmp_path: Path) -> None:
    """Its content counts for the digest, and not its name."""
    schema = {"type": "object"}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(schema))
    text = SUITE.replace("{contains: ACCT, name: account}", "{json: {schema: a.json}}")

    first = load(tmp_path, text).suite.cases[1]
    second = load(tmp_path, text.replace("a.json", "b.json")).suite.cases[1]

    assert checks_of(first).checks[0].fields.json.schema == schema
    assert first.sha256 == second.sha256


# -- digests

SHORT = [
    ("grader: exact", "checks: [{equals: '{{ expected }}'}]", "expected: Paris"),
    ("grader: exact", "checks: [{equals: Paris, name: city}]", "expected: Paris"),
    ("grader: exact\nignore_case: true", "checks: [{equals: '{{ expected }}', ignore_case: true}]", "expected: x"),
    ("grader: contains", "checks: [{contains: '{{ expected }}'}]", "expected: [a, b]"),
    ("grader: regex", "checks: [{regex: '{{ expected }}'}]", "expected: '[0-9]+'"),
    ("grader: json", "checks: [{json: {expected: '{{ expected }}'}}]", "expected: {a: 1, b: [true]}"),
    ("grader: json\nschema: {type: object}", "checks: [{json: {schema: {type: object}}}]", ""),
    ("grader: yes_no", "checks: [{label: '{{ expected }}'}]", "expected: no"),
    (
        "grader: yes_no\nlabels: [a, b]",
        "checks: [{label: '{{ expected }}', labels: [a, b]}]",
        "expected: a",
    ),
    (
        "grader: sql\ndatabase: events",
        "checks: [{sql: {database: events, reference: '{{ reference }}'}}]",
        "reference: SELECT 1",
    ),
    (
        "grader: key_points\nthreshold: 0.5",
        "checks: [{key_points: {points: '{{ points }}', threshold: 0.5}}]",
        "points: [{name: a, any: [b]}]",
    ),
    ("grader: os.path:join", "checks: [{function: 'os.path:join'}]", "expected: x"),
]


@pytest.mark.parametrize(("grader", "checks", "fields"), SHORT)
def test_a_grader_and_its_one_check_have_the_same_digest(tmp_path: Path, grader: str, checks: str, fields: str) -> None:
    """`grader: X` is short for one check, so that runs of both are compared; their versions are the same too."""
    case = f"{{id: one, body: '?'{', ' if fields else ''}{fields}}}"
    rest = f"\n{PROMPT}\ncases:\n  - {case}\n"

    short = load(tmp_path, f"suite: tickets\n{grader}{rest}")
    long = load(tmp_path, f"suite: tickets\n{checks}{rest}")

    assert short.suite.cases[0].sha256 == long.suite.cases[0].sha256
    assert short.kind.version == long.kind.version


def digest(folder: Path, checks: str, case: str = "") -> str:
    text = f"suite: tickets\n{checks}\n{PROMPT}\ncases:\n  - {{id: one, body: '?'{case}}}\n"
    return load(folder, text).suite.cases[0].sha256


TWO = "checks: [{contains: a}, {regex: b, search: true}]"


@pytest.mark.parametrize(
    "other",
    [
        "checks: [{name: x, contains: a}, {search: true, regex: b}]",
        "checks: [{contains: a, weight: 1, trim: true}, {regex: b, search: true, required: false}]",
        "checks: [{contains: a}, {regex: b, search: true}, {equals: c, advice: true}]",
        "checks: [{contains: a}, {regex: b, search: true}]\npass_score: 1",
    ],
)
def test_what_changes_no_grade_changes_no_digest(tmp_path: Path, other: str) -> None:
    """Names, the order of keys, defaults that are written out and advice are no part of the digest."""
    assert digest(tmp_path, other) == digest(tmp_path, TWO)


@pytest.mark.parametrize(
    "other",
    [
        "checks: [{contains: a}, {regex: b}]",
        "checks: [{contains: a, weight: 2}, {regex: b, search: true}]",
        "checks: [{contains: a, required: true}, {regex: b, search: true}]",
        "checks: [{contains: a}, {not: {regex: b, search: true}}]",
        "checks: [{contains: c}, {regex: b, search: true}]",
        "checks: [{contains: a}, {regex: b, search: true}]\npass_score: 0.5",
        "checks: [{any: [{contains: a}, {regex: b, search: true}]}]",
        "checks: [{all: [{contains: a}, {regex: b, search: true}]}]",
    ],
)
def test_what_changes_a_grade_changes_the_digest(tmp_path: Path, other: str) -> None:
    """An other requirement is another case for the gate."""
    assert digest(tmp_path, other) != digest(tmp_path, TWO)


def test_a_check_with_an_option_that_no_grader_has_is_no_short_form(tmp_path: Path) -> None:
    """`search` makes another question of a pattern, so its digest is another one."""
    assert digest(tmp_path, "checks: [{regex: a}]") != digest(tmp_path, "checks: [{regex: a, search: true}]")
    assert digest(tmp_path, "checks: [{equals: a}]") != digest(tmp_path, "checks: [{equals: a, path: b}]")


# -- faults

FAULTS = {
    "no check": (
        f"suite: t\n{PROMPT}\ncases:\n  - {{id: one, body: x, checks: [{{json: {{}}}}]}}\n  - {{id: two, body: y}}\n",
        'suite.yaml:5: case "two" has no check; write `checks` in it or in the suite, or give the suite a `grader`, '
        "see docs/checks.md.",
    ),
    "both": (
        SUITE.replace("suite: tickets", "suite: tickets\ngrader: exact"),
        "suite.yaml:3: a suite has a `grader` or `checks`, not both; write the grader as a check, see docs/checks.md.",
    ),
    "both, and no case yet": (
        "suite: tickets\ngrader: exact\nchecks: [{contains: a}]\n",
        "suite.yaml:3: a suite has a `grader` or `checks`, not both; write the grader as a check, see docs/checks.md.",
    ),
    "an unknown kind": (
        SUITE.replace("{contains: ACCT, name: account}", "{containes: ACCT}"),
        "suite.yaml:3: check 1: a check has one of these keys: equals, contains, contains_any, starts_with, "
        "ends_with, one_of, regex, number, words, finish, json, json_subset, tools, label, sql, key_points, rubric, "
        'function, f1, rouge_l, levenshtein, similar, not, any, all; it has only: containes. Did you mean "contains"?',
    ),
    "two kinds": (
        SUITE.replace("{contains: ACCT, name: account}", "{contains: a, equals: b}"),
        "suite.yaml:3: check 1: a check has one kind, and this one has contains and equals; write two checks.",
    ),
    "an unknown key of a case's check": (
        SUITE.replace("path: category", "pth: category"),
        'suite.yaml:11: case "one": check 1: there is no key "pth"; the keys there are: ',
    ),
    "an unknown key that is nearly one": (
        SUITE.replace("{contains: ACCT, name: account}", "{finish: stop, advise: true}"),
        'suite.yaml:3: check 1: there is no key "advise"; the keys there are: advice, name, finish, weight, '
        'required. Did you mean "advice"?',
    ),
    "no weight": (
        SUITE.replace("name: account", "weight: 0"),
        "suite.yaml:3: check 1: weight: must be above 0; a check that never counts is written `advice: true`.",
    ),
    "a negative weight": (
        SUITE.replace("name: account", "weight: -1"),
        "suite.yaml:3: check 1: weight: must be above 0; a check that never counts is written `advice: true`.",
    ),
    "a broken pattern": (
        SUITE.replace("{contains: ACCT, name: account}", "{regex: '('}"),
        "suite.yaml:3: check 1: regex: '(' is no pattern (missing ) at position 1); write a regular expression.",
    ),
    "a path that is none": (
        SUITE.replace("path: category", "path: 'a..b'"),
        'suite.yaml:11: case "one": check 1: path: "a..b" is no path; write names with dots between, and items as '
        "[0] or [*].",
    ),
    "an unknown field in a template": (
        SUITE.replace('equals: "{{ expected }}"', 'equals: "{{ expcted }}"'),
        'suite.yaml:10: case "one": check 1: its checks name "expcted", which is no field of the case; its fields '
        "are: body, id, expected.",
    ),
    "a field that a case lacks": (
        SUITE.replace("{contains: ACCT, name: account}", '{contains: "{{ expected }}"}'),
        'suite.yaml:3: check 1: for case "two" (suite.yaml, line 12): its checks name "expected", which is no field of '
        "the case; its fields are: body, id.",
    ),
    "a template that gives no number": (
        SUITE.replace("{contains: ACCT, name: account}", '{number: {value: "{{ body }}"}}'),
        'suite.yaml:3: check 1: for case "one" (suite.yaml, line 6): number.value: must be a number, and not "?".',
    ),
    "a name twice": (
        SUITE.replace("path: category", "name: account"),
        'suite.yaml:6: case "one": two checks of a case are named "account"; rename one, reports name them.',
    ),
    "nothing but advice": (
        SUITE.replace("name: account", "advice: true"),
        'suite.yaml:12: case "two": all of its checks are `advice`, so nothing decides; let at least one count.',
    ),
    "a weight within any": (
        SUITE.replace("{contains: ACCT, name: account}", "{any: [{contains: a, weight: 2}]}"),
        "suite.yaml:3: check 1: `weight` has no meaning within `any`; write it beside `any`.",
    ),
    "an empty any": (
        SUITE.replace("{contains: ACCT, name: account}", "{any: []}"),
        "suite.yaml:3: check 1: `any` holds a list of checks, at least one.",
    ),
    "a fence round text": (
        SUITE.replace("name: account", "fence: false"),
        "suite.yaml:3: check 1: `fence` is about how JSON is read, and contains reads text; give it a path, or take "
        "`fence` out.",
    ),
    "words that cannot be": (
        SUITE.replace("{contains: ACCT, name: account}", "{words: {min: 5, max: 2}}"),
        "suite.yaml:3: check 1: words: no answer has at least 5 and at most 2 words; make max the larger one.",
    ),
    "a schema that is not there": (
        SUITE.replace("{contains: ACCT, name: account}", "{json: {schema: none.json}}"),
        "suite.yaml:3: check 1: the schema none.json cannot be read: No such file or directory; its path is relative "
        "to the suite.",
    ),
    "a label that is none": (
        SUITE.replace("{contains: ACCT, name: account}", "{label: maybe}"),
        'suite.yaml:6: case "one" expects "maybe"; the labels are: yes, no. Write one of them.',
    ),
    "a function that is not there": (
        SUITE.replace("{contains: ACCT, name: account}", "{function: 'os:nope'}"),
        'suite.yaml:6: case "one": grader "os:nope": "os" has no "nope"; functions in it: ',
    ),
    "a template that does not end": (
        SUITE.replace("{contains: ACCT, name: account}", "{contains: '{{ body'}"),
        "suite.yaml:3: check 1: '{{ body' is no jinja2 template: unexpected end of template, expected 'end of print "
        "statement'.",
    ),
    "a text": (SUITE.replace("  - {contains: ACCT, name: account}\n", "  ACCT\n"), "suite.yaml:3: `checks` must be a list."),
    "checks beside a grader": (
        f"suite: t\ngrader: exact\n{PROMPT}\ncases:\n  - {{id: one, body: x, expected: a, checks: [{{json: {{}}}}]}}\n",
        'suite.yaml:5: case "one": this suite has the grader "exact", and `checks` is for one without; write that '
        "grader as a check of the suite, see docs/checks.md.",
    ),
    "a pass score of nothing": (SUITE + "pass_score: 0\n", "suite.yaml:13: pass_score: must be above 0."),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_its_line_and_the_way_out(tmp_path: Path, text: str, message: str) -> None:
    """A check that is written wrongly is one clear sentence behind its file and line."""
    found = fault_of(tmp_path, text)

    assert found == message or (message.endswith(": ") and found.startswith(message))


# -- what `llmbench validate` finds

FINDINGS = {
    "a pattern that matches everything": ("- {regex: 'x*', search: true}", "can never fail"),
    "one word": ("- {words: {min: 1}}", "can never fail"),
    "no words": ("- {words: {max: 0}}", "can never pass"),
    "no overlap": ("- {f1: x, min: 0}", "can never fail"),
    "the opposite of what never fails": ("- {not: {words: {min: 1}}}", "can never pass"),
    "a check or its opposite": ("- {any: [{contains: a}, {not: {contains: a}}]}", "can never fail"),
    "a check and its opposite": ("- {contains: a}\n  - {not: {contains: a}}", "can never pass together"),
    "a text that is forbidden": ("- {contains: 'best regards'}\n  - {not: {contains: regards}}", "can never pass together"),
    "an answer that the pattern refuses": ("- {equals: abc}\n  - {regex: '[0-9]+'}", "can never pass together"),
    "two texts": ("- {equals: a}\n  - {equals: b}", "can never pass together"),
    "two values at a path": ("- {equals: a, path: x}\n  - {equals: b, path: x}", "can never pass together"),
    "two beginnings": ("- {starts_with: [Yes, No]}\n  - {starts_with: Perhaps}", "can never pass together"),
    "two ends": ("- {ends_with: '.'}\n  - {ends_with: '?'}", "can never pass together"),
    "two numbers": ("- {number: {value: 3}}\n  - {number: {value: 4, tolerance: 0.5}}", "can never pass together"),
    "two labels": ("- {label: yes}\n  - {label: no}", "can never pass together"),
    "two JSON values": ("- {json: {expected: 1}}\n  - {json: {expected: 2}}", "can never pass together"),
    "two lengths": ("- {words: {max: 3}}\n  - {words: {min: 4}}", "can never pass together"),
    "a call and none": ("- {tools: {mode: none}}\n  - {tools: {calls: [{name: a}]}}", "can never pass together"),
    "no word to share": ("- {f1: '...', min: 0.5}", "can never pass"),
    "no answer of several": ("- {one_of: [ab, cd]}\n  - {words: {min: 2}}", "can never pass together"),
}  # fmt: skip


def findings(folder: Path, checks: str) -> list[str]:
    path = folder / "suite.yaml"
    path.write_text(f"suite: t\nchecks:\n  {checks}\n{PROMPT}\ncases:\n  - {{id: one, body: x}}\n")
    registry = SuiteRegistry(folder, {})
    loaded = registry.load(path)
    assert loaded is not None
    return [finding.message for finding in registry.check_thoroughly(loaded)]


@pytest.mark.parametrize(("checks", "what"), FINDINGS.values(), ids=FINDINGS)
def test_validate_finds_checks_that_decide_nothing(tmp_path: Path, checks: str, what: str) -> None:
    """A check that every answer passes, or none, is an error of the suite."""
    (message,) = findings(tmp_path, checks)

    assert what in message


@pytest.mark.parametrize(
    "checks",
    [
        "- {regex: 'x+', search: true}",
        "- {equals: a, path: x}\n  - {equals: b, path: y}",
        "- {equals: '5', path: x}\n  - {equals: '5.0', path: x}",
        "- {starts_with: [Yes, No]}\n  - {starts_with: Yes we}",
        "- {starts_with: yes}\n  - {starts_with: Yes, ignore_case: true}",
        "- {number: {value: 3, tolerance: 1}}\n  - {number: {value: 4}}",
        "- {words: {max: 4}}\n  - {words: {min: 4}}",
        "- {tools: {mode: none, calls: [{name: b}]}}\n  - {tools: {calls: [{name: a}]}}",
        "- {words: {min: 2}}",
        "- {equals: abc}\n  - {contains: b}",
        "- {contains: a}\n  - {not: {contains: b}}",
        "- {one_of: [ab, 'c d']}\n  - {words: {min: 2}}",
        "- {any: [{contains: a}, {not: {contains: b}}]}",
        "- {equals: abc, advice: true}\n  - {regex: '[0-9]+'}",
    ],
)
def test_validate_leaves_checks_alone_that_can_pass_and_fail(tmp_path: Path, checks: str) -> None:
    """There is nothing to find in them."""
    assert findings(tmp_path, checks) == []


def test_validate_warns_of_an_expected_that_no_check_uses(tmp_path: Path) -> None:
    """It is probably meant to be compared with."""
    text = SUITE.replace('equals: "{{ expected }}"', "equals: billing")

    messages = [finding.message for finding in load(tmp_path, text).findings]

    assert messages == ['no check uses its `expected`; write {equals: "{{ expected }}"}, or take it out.']


@pytest.mark.parametrize(
    ("criteria", "name", "n_hints"),
    [
        (("names the day of the charge", "names the price of the room"), "", 1),
        (("names the day of the charge", "names the day of the charge"), "", 0),
        (("names the day of the charge", "names the price of the room"), ", name: facts", 0),
    ],
)
def test_nameless_rubrics_of_single_cases_are_a_hint(
    tmp_path: Path, criteria: tuple[str, str], name: str, n_hints: int
) -> None:
    """Several criteria under one name would be calibrated as one; the same criterion is one."""
    cases = "".join(f"  - {{id: c{n}, body: x, checks: [{{rubric: {one}{name}}}]}}\n" for n, one in enumerate(criteria))
    (tmp_path / "suite.yaml").write_text(f"suite: t\n{PROMPT}\ncases:\n{cases}")
    registry = SuiteRegistry(tmp_path, {}, has_judge=True)

    loaded = registry.load(tmp_path / "suite.yaml")

    assert loaded is not None
    found = [one.message for one in loaded.findings if "have no `name`" in one.message]
    assert len(found) == n_hints
    assert all(text.startswith("2 rubrics of single cases") and "their 2 criteria" in text for text in found)

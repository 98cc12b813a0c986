"""Suite files: what loads, and what every fault says."""

import json
import sys
from pathlib import Path

import duckdb
import pytest

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites.files import is_suite_text, may_be_suite
from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.values import Message, PromptStyle, Sampling

PROMPT = 'prompt: {completion: "Q: {{ question }}\\nA:"}'
SUITE = f"""\
suite: capitals
grader: exact
{PROMPT}
cases:
  - {{id: france, question: "Capital of France?", expected: Paris, tags: [easy, europe]}}
  - {{id: peru, question: "Capital of Peru?", expected: Lima}}
"""


def load(folder: Path, text: str, name: str = "suite.yaml") -> LoadedSuite:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    loaded = load_suite(path)
    assert loaded is not None
    return loaded


def fault_of(folder: Path, text: str) -> str:
    with pytest.raises(SuiteFault) as raised:
        load(folder, text)
    return str(raised.value).replace(f"{folder}/", "")


def test_a_suite_becomes_cases_with_inputs_expected_tags_and_place(tmp_path: Path) -> None:
    """A suite file is loaded to cases that know their inputs, rules and line."""
    suite = load(tmp_path, SUITE).suite

    france, peru = suite.cases
    assert (suite.name, suite.grader, suite.sampling) == ("capitals", "exact", Sampling())
    assert (france.id, france.expected, france.tags, france.line) == ("france", "Paris", ("easy", "europe"), 5)
    assert dict(france.inputs) == {"question": "Capital of France?"}
    assert (peru.tags, peru.line) == ((), 6)


@pytest.mark.parametrize(
    "word", ["no", "yes", "on", "true", "null", "012", "1:20", "2020-01-01", "1e3", "0x1F", "1.0", "~"]
)
def test_ids_and_expected_stay_the_text_they_are_written_as(tmp_path: Path, word: str) -> None:
    """YAML 1.1's booleans, dates and sexagesimals, and 1.2's numbers, are text as `expected`."""
    text = SUITE.replace("expected: Paris", f"expected: {word}")

    case = load(tmp_path, text).suite.cases[0]

    assert case.expected == word


def test_an_id_may_look_like_a_number(tmp_path: Path) -> None:
    """The id 007 stays 007."""
    assert load(tmp_path, SUITE.replace("id: france", "id: 007")).suite.cases[0].id == "007"


def test_inputs_keep_their_types_by_yaml_1_2(tmp_path: Path) -> None:
    """An input is a number, a boolean or null by YAML 1.2's core schema, `no` is a word."""
    text = SUITE.replace(
        'question: "Capital of Peru?"', "question: q, a: 012, b: true, c: no, d: 1.5, e: null, f: [1, x]"
    )

    inputs = load(tmp_path, text).suite.cases[1].inputs

    assert dict(inputs) == {"question": "q", "a": 12, "b": True, "c": "no", "d": 1.5, "e": None, "f": [1, "x"]}


def test_null_leaves_tags_cluster_and_xfail_out(tmp_path: Path) -> None:
    """What a program writes as null is not the word null: such a case is not expected to fail."""
    text = SUITE.replace("tags: [easy, europe]", "tags: null, cluster: ~, xfail: ")

    case = load(tmp_path, text).suite.cases[0]

    assert (case.tags, case.cluster, case.xfail) == ((), None, None)


@pytest.mark.parametrize(
    "start", ["\ufeff", "%YAML 1.2\n---\n", "--- "], ids=["byte order mark", "directive", "dashes"]
)
def test_a_suite_may_begin_as_yaml_may(tmp_path: Path, start: str) -> None:
    """Such a file is found by the cheap look at it, and loaded."""
    document = '{"suite": s, grader: exact, prompt: {completion: x}, cases: [{id: a, expected: b}]}'

    loaded = load(tmp_path, start + document)

    assert may_be_suite(tmp_path / "suite.yaml")
    assert loaded.suite.name == "s"


def test_json_with_escaped_pairs_is_yaml_too(tmp_path: Path) -> None:
    """JSON writes a character beyond U+FFFF as two escapes, which YAML does not know; an escaped backslash is none."""
    word = "\U0001f600 \\ud83d\\ude00"
    suite = {
        "suite": "s",
        "grader": "exact",
        "prompt": {"completion": "{{ q }}"},
        "cases": [{"id": "a", "q": word, "expected": word}],
    }

    case = load(tmp_path, json.dumps(suite)).suite.cases[0]

    assert (case.inputs["q"], case.expected) == (word, word)


def test_csv_says_switches_and_numbers_in_text(tmp_path: Path) -> None:
    """A data file of texts can hold every field of a grader."""
    (tmp_path / "rows.csv").write_text("id,reference,ordered\na,SELECT 1,true\n")

    (case,) = load(tmp_path, SQL_SUITE).suite.cases

    assert getattr(case.rules, "ordered", None) is True


def test_json_is_yaml(tmp_path: Path) -> None:
    """A suite may be written as JSON."""
    text = json.dumps(
        {
            "suite": "s",
            "grader": "exact",
            "prompt": {"completion": "{{ q }}"},
            "cases": [{"id": "a", "q": "x", "expected": "y"}],
        },
        indent=1,
    )

    assert load(tmp_path, text).suite.cases[0].expected == "y"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\n",
        "- suite\n- grader\n",
        "jobs:\n  suite: x\n  grader: y\n",
        "suite: only\n",
        "# suite: a\n# grader: b\nx: 1\n",
    ],
)
def test_other_yaml_is_no_suite(tmp_path: Path, text: str) -> None:
    """YAML without `suite` and `grader` at its top level is left alone."""
    path = tmp_path / "other.yaml"
    path.write_text(text)

    assert load_suite(path) is None


def test_broken_yaml_that_is_no_suite_is_left_alone(tmp_path: Path) -> None:
    """A file that does not claim to be a suite is not even parsed."""
    assert not is_suite_text("{{ helm: template }}\n\tx: [")


def test_both_prompt_styles_are_rendered(tmp_path: Path) -> None:
    """Chat messages and completion text come from one case."""
    text = SUITE.replace(
        PROMPT,
        "prompt:\n  completion: 'Q: {{ question }}'\n  chat:\n"
        "    - {role: system, content: Be brief.}\n    - {role: user, content: '{{ question }}'}",
    )

    loaded = load(tmp_path, text)

    inputs = loaded.suite.cases[0].inputs
    assert loaded.templates[PromptStyle.COMPLETION].render(inputs).text == "Q: Capital of France?"
    assert loaded.templates[PromptStyle.CHAT].render(inputs).messages == (
        Message(role="system", content="Be brief."),
        Message(role="user", content="Capital of France?"),
    )


def test_the_digest_of_a_case_changes_with_what_is_judged_only(tmp_path: Path) -> None:
    """Tags are no part of a case's digest; its question and expected text are."""
    before = load(tmp_path, SUITE).suite.cases[0]

    retagged = load(tmp_path, SUITE.replace("[easy, europe]", "[hard]")).suite.cases[0]
    reworded = load(tmp_path, SUITE.replace("Capital of France?", "France's capital?")).suite.cases[0]
    other = load(tmp_path, SUITE.replace("expected: Paris", "expected: paris")).suite.cases[0]

    assert retagged.sha256 == before.sha256
    assert len({before.sha256, reworded.sha256, other.sha256}) == 3


DATA_SUITE = f"suite: s\ngrader: exact\n{PROMPT}\ndata: rows.csv\n"


SQL_SUITE = "suite: s\ngrader: sql\ndatabase: events\nprompt: {completion: x}\ndata: rows.csv\n"


def test_cases_come_from_csv(tmp_path: Path) -> None:
    """Each row of a CSV file is a case; quoted line breaks are part of a field, empty fields are none."""
    rows = 'id,question,expected,tags\na,"two\nlines",no,x y\nb,q,1.0,\n'
    (tmp_path / "rows.csv").write_text(rows, encoding="utf-8-sig")

    a, b = load(tmp_path, DATA_SUITE).suite.cases

    assert (a.inputs["question"], a.expected, a.tags, a.line) == ("two\nlines", "no", ("x", "y"), 2)
    assert (b.expected, b.tags, b.line) == ("1.0", (), 4)


def test_cases_come_from_json_lines(tmp_path: Path) -> None:
    """Each line is a case; `expected` becomes text, a raw line separator in a text ends no line."""
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "a", "question": "x\u2028y", "expected": true}\n\n{"id": "b", "question": 2, "expected": 7, "tags": ["t"]}\n',
        encoding="utf-8",
    )

    a, b = load(tmp_path, DATA_SUITE.replace(".csv", ".jsonl")).suite.cases

    assert (a.inputs["question"], a.expected) == ("x\u2028y", "true")
    assert (b.inputs["question"], b.expected, b.tags, b.line) == (2, "7", ("t",), 3)


def test_cases_come_from_parquet(tmp_path: Path) -> None:
    """Each row of a Parquet file is a case; dates become text."""
    target = tmp_path / "rows.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'a' AS id, DATE '2024-02-29' AS question, 5 AS expected) TO '{target}' (FORMAT parquet)"
        )

    (case,) = load(tmp_path, DATA_SUITE.replace(".csv", ".parquet")).suite.cases

    assert (dict(case.inputs), case.expected) == ({"question": "2024-02-29"}, "5")


def test_inline_cases_come_before_those_of_the_data_file(tmp_path: Path) -> None:
    """`cases` and `data` may stand together."""
    (tmp_path / "rows.csv").write_text("id,question,expected\nb,q,e\n")

    suite = load(tmp_path, DATA_SUITE + "cases: [{id: a, question: q, expected: e}]\n").suite

    assert [case.id for case in suite.cases] == ["a", "b"]


FAULTS = {
    "bad yaml": (
        SUITE.replace("[easy, europe]", "[easy"),
        "suite.yaml:5: this is not YAML: did not find expected ',' or ']'.",
    ),
    "key twice": (
        SUITE + "grader: json\n",
        'suite.yaml:7: a suite file has "grader" twice, first in line 2; take one out.',
    ),
    "unknown key": (
        SUITE + "threshold: 1\n",
        'suite.yaml:7: a suite with grader "exact" has no key "threshold"; its keys are: '
        "budget, cases, columns, data, delimiter, examples, gate, grader, ignore_case, prompt, read, sampling, source, "
        "split, suite, "
        "tools, trust.",
    ),
    "misspelt key": (
        SUITE + "gaet: smoke\n",
        'suite.yaml:7: a suite with grader "exact" has no key "gaet"; its keys are: '
        "budget, cases, columns, data, delimiter, examples, gate, grader, ignore_case, prompt, read, sampling, source, "
        "split, suite, "
        'tools, trust. Did you mean "gate"?',
    ),
    "unknown grader": (
        SUITE.replace("exact", "exakt"),
        'suite.yaml:2: there is no grader "exakt"; did you mean "exact"? Known are: exact, contains, regex, json, yes_no, '
        "choices, key_points, sql, or a function of yours as package.module:function.",
    ),
    "bad suite name": (
        SUITE.replace("suite: capitals", "suite: my suite"),
        'suite.yaml:1: "my suite" is not a valid suite name; use letters, digits, ".", "_" and "-".',
    ),
    "suite named as a mark": (
        SUITE.replace("suite: capitals", "suite: skip"),
        'suite.yaml:1: a suite cannot be named "skip": its name becomes a pytest mark; take another one.',
    ),
    "no prompt and no inputs": (
        "suite: s\ngrader: exact\ncases: [{id: a, expected: x}]\n",
        'suite.yaml:3: case "a" has no inputs, and the suite has no `prompt`: there is nothing to ask.',
    ),
    "a key beside inputs": (
        SUITE + "  - {id: c, inputs: {question: x}, lang: de, expected: y}\n",
        'suite.yaml:7: case "c": `lang` is not a field; this case has `inputs`, so write its inputs there.',
    ),
    "read that is no pattern": (
        SUITE + "read: '('\n",
        "suite.yaml:7: read: regex: '(' is no pattern (missing ) at position 1); write a regular expression.",
    ),
    "read with an unknown key": (
        SUITE + "read: {regex: x, mach: last}\n",
        'suite.yaml:7: read: there is no key "mach"; the keys there are: match, otherwise, regex. Did you mean "match"?',
    ),
    "read for a grader that asks a judge": (
        "suite: s\ngrader: key_points\nread: x\ncases: [{id: a, q: x}]\n",
        "suite.yaml:3: `read` is not for the grader key_points, which reads whole texts; take it out.",
    ),
    "examples without a template of a style": (
        SUITE + "examples: {template: {chat: [{role: user, content: x}]}, rows: [{a: 1}]}\n",
        "suite.yaml:7: the suite has a completion prompt, and its examples have no completion template; write one.",
    ),
    "an example without a field": (
        SUITE + 'examples:\n  template: {completion: "{{ q }}"}\n  rows:\n    - {question: x}\n',
        'suite.yaml:10: example 1: the completion prompt names "q", which is no field of the example; its fields are: '
        "question.",
    ),
    "examples without rows": (
        SUITE + 'examples: {template: {completion: "x"}, rows: []}\n',
        "suite.yaml:7: `examples` has no rows; write some, or take it out.",
    ),
    "examples with another key": (
        SUITE + 'examples: {template: {completion: "x"}, cases: []}\n',
        "suite.yaml:7: `examples` has exactly the keys template and rows, see docs/suites.md.",
    ),
    "examples without a prompt": (
        SUITE.replace(PROMPT, "") + 'examples: {template: {completion: "x"}, rows: [{a: 1}]}\n',
        "suite.yaml:7: `examples` go with a prompt, and the suite has none; write one, or take them out.",
    ),
    "unknown prompt style": (
        SUITE.replace("completion:", "complete:"),
        'suite.yaml:3: `prompt` has "complete"; it may have: chat, completion. Did you mean "completion"?',
    ),
    "bad role": (
        SUITE.replace(PROMPT, "prompt: {chat: [{role: bot, content: x}]}"),
        'suite.yaml:3: "bot" is not a valid role; use system, user or assistant.',
    ),
    "broken template": (
        SUITE.replace("{{ question }}", "{{ question"),
        "suite.yaml:3: the completion prompt is no jinja2 template: expected token 'end of print statement', got 'A'.",
    ),
    "unknown field in a template": (
        SUITE.replace("{{ question }}", "{{ qestion }}"),
        'suite.yaml:5: case "france": the completion prompt names "qestion", which is no field of the case; '
        "its fields are: question (completion prompt at suite.yaml:3).",
    ),
    "template out of the sandbox": (
        SUITE.replace("{{ question }}", "{{ question.__class__.__mro__ }}"),
        "suite.yaml:5: case \"france\": the completion prompt cannot be rendered: access to attribute '__class__' of 'str' "
        "object is unsafe (completion prompt at suite.yaml:3).",
    ),
    "bad sampling": (
        SUITE + "sampling: {max_token: 3}\n",
        'suite.yaml:7: sampling: there is no key "max_token"; the keys there are: max_tokens, temperature, stop, top_p, seed. Did you mean "max_tokens"?',
    ),
    "sampling out of range": (
        SUITE + "sampling: {max_tokens: 0}\n",
        "suite.yaml:7: sampling: max_tokens: must be at least 1.",
    ),
    "a stop that is no text": (
        SUITE + "sampling: {stop: 1}\n",
        "suite.yaml:7: sampling: stop: must be a text or a list of texts.",
    ),
    "no cases": (
        SUITE.split("cases:")[0],
        "suite.yaml:1: the suite has no cases; write some under `cases:`, or name a file of them with `data:`.",
    ),
    "duplicate id": (
        SUITE.replace("id: peru", "id: france"),
        'suite.yaml:6: case id "france" occurs twice, first at line 5; ids must be unique.',
    ),
    "no id": (
        SUITE.replace("id: peru, ", ""),
        "suite.yaml:6: a case has no id; every case needs a unique, permanent one (it has: question, expected).",
    ),
    "empty id": (
        SUITE.replace("id: peru", "id: ''"),
        'suite.yaml:6: the id of a case must be a text of letters, digits, ".", "_" and "-", and not empty.',
    ),
    "bad id": (
        SUITE.replace("id: peru", "id: 'pe::ru'"),
        'suite.yaml:6: "pe::ru" is not a valid case id; use letters, digits, ".", "_" and "-".',
    ),
    "missing field": (
        SUITE.replace(", expected: Lima", ""),
        'suite.yaml:6: case "peru" has no expected; each exact case needs one, see docs/suites.md.',
    ),
    "bad tag": (
        SUITE.replace("easy, europe", "Easy"),
        'suite.yaml:5: case "france": "Easy" is not a valid tag; use a-z, 0-9, "_" and "-".',
    ),
    "reserved tag": (
        SUITE.replace("easy, europe", "skip"),
        'suite.yaml:5: case "france": "skip" cannot be a tag, pytest uses it; take another word.',
    ),
    "a tag that cannot be a mark": (
        SUITE.replace("easy, europe", "_easy"),
        'suite.yaml:5: case "france": "_easy" cannot be a tag, no mark may begin with "_"; take it off.',
    ),
    "a reason that is a list": (
        SUITE.replace("tags: [easy, europe]", "xfail: [known gap]"),
        'suite.yaml:5: case "france": `xfail` must be a text.',
    ),
    "a cluster that is a mapping": (
        SUITE.replace("tags: [easy, europe]", "cluster: {a: 1}"),
        'suite.yaml:5: case "france": `cluster` must be a text.',
    ),
    "a switch that is a word": (
        SUITE + "ignore_case: yes\n",
        "suite.yaml:7: ignore_case: must be true or false.",
    ),
    "a number that is a text": (
        SUITE + 'sampling: {temperature: "0"}\n',
        "suite.yaml:7: sampling: temperature: must be a number.",
    ),
    "a chat without messages": (
        SUITE.replace("prompt: {", "prompt: {chat: [], "),
        "suite.yaml:3: the chat prompt is empty; give it messages, or take it out.",
    ),
    "case is a text": (SUITE + "  - oslo\n", "suite.yaml:7: a case must be a mapping of names to values."),
    "cases are a mapping": (
        SUITE.split("cases:")[0] + "cases: {a: 1}\n",
        "suite.yaml:4: `cases` must be a list.",
    ),
    "data file missing": (
        DATA_SUITE,
        "suite.yaml:4: there is no data file rows.csv; `data` is a path relative to the suite file.",
    ),
}


@pytest.mark.parametrize(("text", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_says_where_what_and_the_way_out(tmp_path: Path, text: str, message: str) -> None:
    """A broken suite is one clear sentence behind its file and line."""
    assert fault_of(tmp_path, text) == message


DATA_FAULTS = {
    "empty": ("rows.csv", b"", "rows.csv: this data file has no rows; a case stands in each."),
    "header only": ("rows.csv", b"id,question\n", "rows.csv: this data file has no rows; a case stands in each."),
    "no id column": (
        "rows.csv",
        b"name,question\na,b\n",
        "rows.csv:1: a data file needs a column id; this one has: name, question. The first line names the columns; if one "
        "of another name holds the ids, write `columns: {id: NAME}` in the suite.",
    ),
    "wrong columns": (
        "rows.csv",
        b"id,question\na,b\n",
        'rows.csv:2: case "a" has no expected; each exact case needs one, see docs/suites.md.',
    ),
    "semicolons": (
        "rows.csv",
        b"id;question;expected\na;b;c\n",
        'rows.csv:1: the columns of this file are separated by ";"; write `delimiter: ";"` in the suite.',
    ),
    "tabs": (
        "rows.csv",
        b"question\tid\na\tb\n",
        "rows.csv:1: the columns of this file are separated by tabs; write `delimiter: tab` in the suite.",
    ),
    "column twice": ("rows.csv", b"id,q,q\na,b,c\n", 'rows.csv:1: the column "q" occurs twice; take one out.'),
    "row too short": (
        "rows.csv",
        b"id,question,expected\na,b,c\nd,e\n",
        "rows.csv:3: this row has 2 fields, the header has 3 (id, question, expected); write the missing ones.",
    ),
    "row too long": (
        "rows.csv",
        b"id,question,expected\na,b,c,d\n",
        "rows.csv:2: this row has 4 fields, the header has 3 (id, question, expected); "
        "quote a field that holds the separator.",
    ),
    "open quote": (
        "rows.csv",
        b'id,question,expected\na,"b,c\n',
        "rows.csv:2: this is not CSV: unexpected end of data.",
    ),
    "not utf-8": (
        "rows.csv",
        b"id,question,expected\na,caf\xe9,c\n",
        "rows.csv:2: this file is not UTF-8; save it as UTF-8.",
    ),
    "bad json": (
        "rows.jsonl",
        b'{"id": "a"}\n{"id": \n',
        "rows.jsonl:2: this is not JSON: Expecting value at column 8.",
    ),
    "deep json": (
        "rows.jsonl",
        b'{"id": "a"}\n' + b"[" * 100_000 + b"]" * 100_000,
        "rows.jsonl:2: this line is nested too deep; write it flatter.",
    ),
    "json list": ("rows.jsonl", b"[1]\n", "rows.jsonl:1: a line must hold one JSON object, a case."),
    "json key twice": (
        "rows.jsonl",
        b'{"id": "a", "id": "b"}\n',
        'rows.jsonl:1: the key "id" occurs twice; take one out.',
    ),
    "too many digits": (
        "rows.jsonl",
        b'{"id": "a", "question": 1' + b"0" * 5_000 + b"}\n",
        "rows.jsonl:1: a number has too many digits to be read; write it as a text, in quotes.",
    ),
    "other ending": ("rows.xlsx", b"PK", "rows.xlsx: a data file must end in .csv, .jsonl or .parquet."),
    "duplicate id": (
        "rows.csv",
        b"id,question,expected\na,b,c\n\na,b,c\n",
        'rows.csv:4: case id "a" occurs twice, first at line 2; ids must be unique.',
    ),
}


@pytest.mark.parametrize(("name", "content", "message"), DATA_FAULTS.values(), ids=DATA_FAULTS)
def test_a_broken_data_file_says_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """A broken data file is one clear sentence behind its file and line."""
    (tmp_path / name).write_bytes(content)

    assert fault_of(tmp_path, DATA_SUITE.replace("rows.csv", name)) == message


def test_a_folder_is_no_data_file(tmp_path: Path) -> None:
    """It is there, so it is not called missing."""
    (tmp_path / "rows.csv").mkdir()

    assert fault_of(tmp_path, DATA_SUITE) == (
        "suite.yaml:4: rows.csv is a folder; name a file in it: .csv, .jsonl or .parquet."
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/self/mem is a file that root cannot read")
@pytest.mark.parametrize("name", ["suite.yaml", "rows.csv"])
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, name: str) -> None:
    """A suite that were left alone would be missing from a run that passes."""
    (tmp_path / "suite.yaml").write_text(DATA_SUITE)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to("/proc/self/mem")

    with pytest.raises(SuiteFault) as raised:
        load_suite(tmp_path / "suite.yaml")

    assert may_be_suite(tmp_path / "suite.yaml")
    assert str(raised.value) == f"{tmp_path / name}: this file cannot be read: Input/output error."


def test_a_field_of_a_csv_file_may_be_a_long_document(tmp_path: Path) -> None:
    """Beyond the 131,072 characters at which Python's reader stops by itself."""
    document = "word " * 40_000
    (tmp_path / "rows.csv").write_text(f"id,question,expected\na,{document},b\n")

    (case,) = load(tmp_path, DATA_SUITE).suite.cases

    assert case.inputs["question"] == document


SPREADSHEET = 'Nr;"Text; der Mail";Antwort\r\na1;"Hallo; Welt";Gruß\r\n;;\r\n ; \r\na2;Wo?;Ort\r\n;;;;\r\n'


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_spreadsheet_is_read_as_it_was_saved(tmp_path: Path, separator: str) -> None:
    """Other separators than commas, columns of other names, and rows that were cleared, which are no cases."""
    (tmp_path / "rows.csv").write_text(SPREADSHEET.replace(";", separator), encoding="utf-8-sig", newline="")
    delimiter = "tab" if separator == "\t" else f'"{separator}"'
    mail = f"Text{separator} der Mail".replace("\t", "\\t")
    columns = f'delimiter: {delimiter}\ncolumns: {{id: Nr, question: "{mail}", expected: Antwort}}\n'

    a, b = load(tmp_path, DATA_SUITE + columns).suite.cases

    assert (a.id, a.inputs, a.expected, a.line) == ("a1", {"question": f"Hallo{separator} Welt"}, "Gruß", 2)
    assert (b.id, b.line) == ("a2", 5)


def test_columns_of_json_lines_and_parquet_are_renamed_too(tmp_path: Path) -> None:
    """One column may be two fields; what is not named keeps its name."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "q": 7, "question": "x"}\n{"id": "b", "q": 8}\n')
    suite = DATA_SUITE.replace(".csv", ".jsonl").replace("{{ question }}", "{{ one }}")

    a, b = load(tmp_path, suite + "columns: {expected: q, one: q, two: question}\n").suite.cases

    assert (a.expected, a.inputs, b.inputs) == ("7", {"one": 7, "two": "x"}, {"one": 8})


DATA_KEY_FAULTS = {
    "no such column": (
        "columns: {expected: Antwort}\n",
        'rows.csv:1: `columns` takes expected from "Antwort", which is not here; there are: id, question, answer.',
    ),
    "a name twice": (
        "columns: {question: answer}\n",
        'rows.csv:1: `columns` takes question from "answer", and there is a column "question" too; rename one.',
    ),
    "columns that are a list": ("columns: [a]\n", "suite.yaml:5: `columns` must be a mapping of names to values."),
    "two characters": (
        'delimiter: ";;"\n',
        'suite.yaml:5: `delimiter` must be one character, such as ";", or tab, not ";;".',
    ),
    "the wrong one": (
        'delimiter: ";"\n',
        'rows.csv:1: the columns of this file are separated by ","; write `delimiter: ","` in the suite.',
    ),
}


@pytest.mark.parametrize(("keys", "message"), DATA_KEY_FAULTS.values(), ids=DATA_KEY_FAULTS)
def test_a_wrong_key_of_a_data_file_says_where(tmp_path: Path, keys: str, message: str) -> None:
    """It is a fault of the file, or of the suite that describes it."""
    (tmp_path / "rows.csv").write_text("id,question,answer\na,b,c\n")

    assert fault_of(tmp_path, DATA_SUITE + keys) == message


def test_keys_of_a_data_file_need_one(tmp_path: Path) -> None:
    """Without a file, or with one that has no delimiter, they would do nothing."""
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n')

    alone = fault_of(tmp_path, SUITE + "delimiter: tab\n")
    beside_json = fault_of(tmp_path, DATA_SUITE.replace(".csv", ".jsonl") + "delimiter: tab\n")

    assert alone == "suite.yaml:7: `delimiter` describes a data file, and the suite has no `data`; take it out."
    assert beside_json == "suite.yaml:5: `delimiter` is for .csv files, and rows.jsonl is none; take it out."


def test_a_broken_parquet_file_says_so(tmp_path: Path) -> None:
    """What is no Parquet file is named, with DuckDB's reason."""
    (tmp_path / "rows.parquet").write_bytes(b"nothing of the kind, though long enough to be read")

    message = fault_of(tmp_path, DATA_SUITE.replace(".csv", ".parquet"))

    assert message.startswith("rows.parquet: this is not a Parquet file that can be read: ")


def test_a_parquet_fault_names_the_row(tmp_path: Path) -> None:
    """Parquet has no lines, so its rows are counted."""
    with duckdb.connect() as connection:
        target = tmp_path / "rows.parquet"
        connection.execute(f"COPY (SELECT 'a' AS id, 'q' AS question) TO '{target}' (FORMAT parquet)")

    message = fault_of(tmp_path, DATA_SUITE.replace(".csv", ".parquet"))

    assert message == 'rows.parquet: row 1: case "a" has no expected; each exact case needs one, see docs/suites.md.'


def test_a_suite_that_is_not_utf_8_says_where(tmp_path: Path) -> None:
    """Latin-1 is refused with the line of the first odd byte."""
    path = tmp_path / "suite.yaml"
    path.write_bytes(SUITE.replace("France", "Fran\xe7ais").encode("latin-1"))

    with pytest.raises(SuiteFault) as raised:
        load_suite(path)

    assert str(raised.value) == f"{path}:5: this file is not UTF-8; save it as UTF-8."

"""What `llmbench import` guarantees of every source."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.suites.loader import LoadedSuite, load_suite
from pytest_llmbench.values import Budget

Import = Callable[..., tuple[int, list[str]]]

HEAD = 'prompts: ["Q: {{ q }}"]\nproviders: [openai:gpt-4o-mini]\ntests:\n'


def config(tmp_path: Path, tests: str, head: str = HEAD) -> Path:
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    path = folder / "promptfooconfig.yaml"
    path.write_text(head + tests, encoding="utf-8")
    return path


def row(q: str, checks: str = "[{type: contains, value: a}]") -> str:
    return f"  - {{vars: {{q: {q}}}, assert: {checks}}}\n"


def written(tmp_path: Path, name: str = "s") -> LoadedSuite:
    loaded = load_suite(tmp_path / "cases" / f"{name}.yaml")
    assert loaded is not None
    return loaded


def ids(loaded: LoadedSuite) -> dict[object, str]:
    return {case.inputs["q"]: case.id for case in loaded.suite.cases}


def test_what_is_written_is_named(import_of: Import, tmp_path: Path) -> None:
    """The command prints the suite, its cases, and a models file without the key that stands in the source."""
    head = HEAD.replace(
        "[openai:gpt-4o-mini]", "[{id: openai:gpt-4o-mini, config: {apiKey: abc123, temperature: 0.5}}]"
    )

    status, lines = import_of(config(tmp_path, row("one"), head))

    assert (status, lines) == (
        0,
        [
            "wrote TMP/cases/s.yaml: 1 case",
            "note: promptfooconfig.yaml:2: the secret in `apiKey` is not copied; set the environment variable of the entry.",
            "models file (fixtures/models.toml) for its providers:",
            "    [gpt-4o-mini]",
            '    provider = "openai"',
            '    model = "gpt-4o-mini"',
            '    api_key_env = "OPENAI_API_KEY"',
            "    sampling = { temperature = 0.5 }",
            "",
        ],
    )
    assert "abc123" not in (tmp_path / "cases" / "s.yaml").read_text(encoding="utf-8")


def test_a_header_with_a_secret_is_taken_from_the_environment(import_of: Import, tmp_path: Path) -> None:
    """The entry names a variable for it, of an application as of a server."""
    head = HEAD.replace(
        "[openai:gpt-4o-mini]",
        "[{id: 'https://example.com/chat', config: {headers: {Authorization: Bearer abc123, Accept: text/plain}}},"
        " {id: groq:llama, config: {headers: {X-Team-Token: abc123}}}]",
    )

    status, lines = import_of(config(tmp_path, row("one"), head))

    assert status == 0
    assert '    headers_env = { "Authorization" = "EXAMPLE_COM_CHAT_AUTHORIZATION" }' in lines
    assert '    headers_env = { "X-Team-Token" = "LLAMA_X_TEAM_TOKEN" }' in lines
    assert "abc123" not in "".join(lines)


def test_an_id_does_not_depend_on_the_place_of_a_case(import_of: Import, tmp_path: Path) -> None:
    """A row that is inserted leaves all other ids as they were."""
    import_of(config(tmp_path, row("one") + row("two")))
    before = ids(written(tmp_path))

    import_of(config(tmp_path, row("zero") + row("one") + row("two")), "--update")

    after = ids(written(tmp_path))
    assert {q: after[q] for q in before} == before
    assert len(set(after.values())) == 3


def test_an_update_keeps_the_ids_of_unchanged_inputs(import_of: Import, tmp_path: Path) -> None:
    """A case that gets a description in the source keeps the id it has, for its baselines."""
    import_of(config(tmp_path, row("one") + row("two")))
    before = ids(written(tmp_path))
    named = row("one").replace("{vars", "{description: The first, vars")

    status, _ = import_of(config(tmp_path, named + row("three")), "--update")

    assert status == 0
    assert ids(written(tmp_path))["one"] == before["one"]
    assert "two" not in ids(written(tmp_path))


def test_the_same_source_gives_the_same_bytes(import_of: Import, tmp_path: Path) -> None:
    """Nothing of the time, the machine or the order of a dictionary is in what is written."""
    path = config(tmp_path, row("one") + row("two"))
    import_of(path)
    before = (tmp_path / "cases" / "s.yaml").read_bytes()

    import_of(path, "--update")

    assert (tmp_path / "cases" / "s.yaml").read_bytes() == before


def test_a_suite_that_is_there_is_not_overwritten(import_of: Import, tmp_path: Path) -> None:
    """Without --update the command refuses, and the file stays as it is."""
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "s.yaml").write_text("mine", encoding="utf-8")

    status, lines = import_of(config(tmp_path, row("one")))

    assert (status, lines) == (
        2,
        ["llmbench: TMP/cases/s.yaml is there already; pass --update to renew it, or name another file with -o."],
    )
    assert (tmp_path / "cases" / "s.yaml").read_text(encoding="utf-8") == "mine"


def test_a_dry_run_writes_nothing(import_of: Import, tmp_path: Path) -> None:
    """It prints what would be written."""
    status, lines = import_of(config(tmp_path, row("one")), "--dry-run")

    assert (status, lines[0]) == (0, "would write TMP/cases/s.yaml: 1 case")
    assert not (tmp_path / "cases").exists()


def test_a_case_without_its_strictest_check_is_left_out(import_of: Import, tmp_path: Path) -> None:
    """--partial takes a case whole or not at all; what is left out stands in a file, without its secrets."""
    both = "[{type: contains, value: a}, {type: is-sql}]"
    secret = "[{type: contains, value: ghp_abcdefghijklmnopqrstuvwxyz0123456789}]"
    path = config(tmp_path, row("one") + row("two", both) + row("three", secret))

    status, lines = import_of(path, "--partial")

    assert status == 0
    assert "wrote TMP/cases/s.yaml: 1 case, 2 cases left out" in lines
    loaded = written(tmp_path)
    assert list(ids(loaded)) == ["one"]
    assert loaded.suite.source is not None
    assert loaded.suite.source.left_out == 2
    left_out = (tmp_path / "cases" / "s.unmapped.yaml").read_text(encoding="utf-8")
    assert "is-sql" in left_out
    assert "ghp_" not in left_out


def test_an_update_takes_away_what_lists_no_case_any_more(import_of: Import, tmp_path: Path) -> None:
    """Once everything is mapped, the list of what was not is gone, and a dry run only names it."""
    import_of(config(tmp_path, row("one") + row("two", "[{type: is-sql}]")), "--partial")
    mapped = config(tmp_path, row("one") + row("two"))

    _, dry = import_of(mapped, "--update", "--dry-run")
    was_there = (tmp_path / "cases" / "s.unmapped.yaml").exists()
    _, lines = import_of(mapped, "--update")

    assert was_there
    assert "would remove TMP/cases/s.unmapped.yaml: no case is left out any more" in dry
    assert "removed TMP/cases/s.unmapped.yaml: no case is left out any more" in lines
    assert [path.name for path in (tmp_path / "cases").iterdir()] == ["s.yaml"]


@pytest.mark.parametrize(
    "word", ["0o17", "0x1F", "1e3", "yes", "null", "- a", "a: b", " x ", "2024-01-31", "'", "a #b"]
)
def test_texts_come_back_as_they_were(word: str, import_of: Import, tmp_path: Path) -> None:
    """A text that looks like a number, a comment or a list is still that text in the suite."""
    quoted = "'" + word.replace("'", "''") + "'"

    import_of(config(tmp_path, row(quoted)))

    assert [case.inputs["q"] for case in written(tmp_path).suite.cases] == [word]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)

BAD = {
    "of no kind": ("suite: x\n", "TMP/source/promptfooconfig.yaml: this is no configuration of promptfoo"),
    "not YAML": ("prompts: [a\ntests: b", "TMP/source/promptfooconfig.yaml:2: this is not YAML"),
    "empty": ("", "TMP/source/promptfooconfig.yaml:1: this file is empty."),
    "a pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    "a bomb": (HEAD + row("a") + BOMB, "this unfolds to over 3,000,000 values; write it without aliases."),
    "deep brackets": (
        "prompts: " + "[" * 100_000,
        "yaml:1: this is nested more than 500 levels deep; write it flatter.",
    ),
    "deep blocks": ("prompts:\n" + "- " * 100_000 + "a", "yaml:2: this is nested more than 500 levels deep"),
    "a key twice": (
        HEAD + "  - {vars: {q: a, q: b}}\n",
        'promptfooconfig.yaml:4: the key "q" occurs twice; take one out.',
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=list(BAD))
def test_a_source_that_cannot_be_read_is_one_line(
    content: str, message: str, import_of: Import, tmp_path: Path
) -> None:
    """The line names the file and what is wrong; the status is that of wrong usage, and nothing is written."""
    status, lines = import_of(config(tmp_path, "", content), "--from", "promptfoo")

    assert status == 2
    (line,) = lines
    assert message in line
    assert not (tmp_path / "cases").exists()


@pytest.mark.parametrize("kind", ["javascript", "regex"])
def test_an_assertion_nested_too_deep_is_refused(kind: str, import_of: Import, tmp_path: Path) -> None:
    """One line with its place, as of any that is not mapped."""
    deep = f"{'(' * 5000}output.includes('a'){')' * 5000}"

    status, lines = import_of(config(tmp_path, row("one", f'[{{type: {kind}, value: "{deep}"}}]')))

    assert status == 1
    assert lines[0].startswith(f"promptfooconfig.yaml:4: assert {kind} ")
    assert lines[0].endswith("it is nested too deep to be read; write it flatter, or pass --partial.")


def test_a_source_of_no_kind_lists_the_kinds(import_of: Import, tmp_path: Path) -> None:
    """A file that nobody knows is refused with what can be imported."""
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")

    status, lines = import_of(tmp_path / "notes.txt")

    assert status == 2
    assert lines[0].startswith("llmbench: TMP/notes.txt is of no kind that can be imported; the kinds are: promptfoo (")


def test_a_symbolic_link_out_of_the_folder_is_refused(import_of: Import, tmp_path: Path) -> None:
    """A variable that reads a link to a file elsewhere is not mapped."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    path = config(tmp_path, row("file://link.txt"))
    os.symlink(tmp_path / "secret.txt", path.parent / "link.txt")

    status, lines = import_of(path)

    assert status == 1
    assert lines[0] == 'promptfooconfig.yaml:4: "link.txt" leaves the folder of the source; copy it there.'


def test_configurations_that_are_code_are_refused(import_of: Import, tmp_path: Path) -> None:
    """A folder with a configuration in JavaScript alone is named as such."""
    (tmp_path / "promptfooconfig.js").write_text("module.exports = {}", encoding="utf-8")

    status, lines = import_of(tmp_path)

    assert (status, lines) == (
        2,
        ["llmbench: TMP/promptfooconfig.js: this configuration is code; write it as YAML, and import that."],
    )


def test_a_member_of_a_reply_is_a_path(import_of: Import, tmp_path: Path) -> None:
    """Of a service's reply, the one member that is the text is printed for the provider `http`."""
    provider = '{id: http, config: {url: "http://127.0.0.1/chat", transformResponse: "json.choices[0].text"}}'

    _, lines = import_of(config(tmp_path, row("one"), HEAD.replace("openai:gpt-4o-mini", provider)))

    assert '    url = "http://127.0.0.1/chat"' in lines
    assert '    reply = { text = "$.choices[0].text" }' in lines


def test_a_sample_is_the_same_each_time(import_of: Import, tmp_path: Path) -> None:
    """The seed decides the cases, not their places: a row in front changes at most one of them."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    rows = "".join(row(q) for q in words)
    _, lines = import_of(config(tmp_path, rows), "--limit", "3", "--seed", "7")
    first = ids(written(tmp_path))

    import_of(config(tmp_path, row("zero") + rows), "--limit", "3", "--seed", "7", "--update")

    assert lines[0] == "wrote TMP/cases/s.yaml: 3 cases drawn from 8"
    assert [q for q in words if q in first] == list(first) != words[:3]
    assert len(set(first) & set(ids(written(tmp_path)))) >= 2
    source = written(tmp_path).suite.source
    assert source is not None
    assert source.about == {"limit": 3, "seed": 7, "drawn_from": 9}


@pytest.mark.parametrize("options", [("--limit", "3"), ("--seed", "7")])
def test_a_sample_needs_its_seed(options: tuple[str, str], import_of: Import, tmp_path: Path) -> None:
    """A number without a seed is wrong usage, and so is a seed without a number."""
    status, lines = import_of(config(tmp_path, row("one")), *options)

    assert status == 2
    assert lines[0].endswith("pass --limit N and --seed S together.")
    assert not (tmp_path / "cases").exists()


def test_what_is_only_advice_here_is_noted_with_its_embedder(import_of: Import, tmp_path: Path) -> None:
    """`similar` keeps promptfoo's threshold and never counts; an entry for promptfoo's own embedder is printed."""
    checks = (
        "[{type: contains, value: a}, {type: similar, value: 'x, y', weight: 2}, {type: not-similar, value: [b, c]}]"
    )

    status, lines = import_of(config(tmp_path, row("one", checks)))

    assert status == 0
    assert [line for line in lines if line.startswith("note: ")] == [
        "note: `similar` is advice here, with the entry `embedder` of the models file; choose a threshold for that "
        "embedder before you let it count."
    ]
    assert '    model = "text-embedding-3-large"' in lines
    (case,) = written(tmp_path).suite.cases
    _, similar, opposite = case.rules.checks  # type: ignore[attr-defined]
    assert similar.fields.similar.model_dump() == {"expected": ("x, y",), "model": "embedder", "min": 0.75}
    assert opposite.children[0].fields.similar.expected == ("b", "c")
    assert similar.fields.advice is opposite.fields.advice is True


def test_limits_of_cost_and_latency_become_the_budget(import_of: Import, tmp_path: Path) -> None:
    """Dollars and milliseconds of all tests are one budget of the suite, in dollars and seconds."""
    limits = "[{type: contains, value: a}, {type: cost, threshold: 0.002}, {type: latency, threshold: 1500}]"

    import_of(config(tmp_path, row("one", limits) + row("two")))

    assert written(tmp_path).suite.budget == Budget(cost_usd=0.002, latency_s=1.5)

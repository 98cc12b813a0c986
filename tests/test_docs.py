"""The documentation is complete and whole: each option, command, reason, key and field is on its page, and links lead somewhere."""

import ast
import json
import re
import runpy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import fields
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.checks.registry import COMBINATIONS, KINDS
from pytest_llmbench.grading.registry import BUILT_IN as GRADERS
from pytest_llmbench.models.base import CountsTokens, HasBatchEntry, HasTraits, Traits
from pytest_llmbench.models.catalog import BUILT_IN as PROVIDERS
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.models.presets import PRESETS
from pytest_llmbench.plugin.command_line import OPTIONS
from pytest_llmbench.values import Reason

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_llmbench"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            page
            for folder in ("docs", "cases", "tests", "examples", "recipes")
            for page in (ROOT / folder).rglob("*.md")
        ),
    ]
)
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
WORD = re.compile(r"--?[a-z][\w-]*|\w[\w-]*")


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Give what stands below a heading, up to the next heading; nothing if there is no such heading."""
    found = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


def code(text: str) -> set[str]:
    """Give the words that are written as code, in the text or in blocks."""
    blocks = FENCE.findall(text)
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return {word for one in (*blocks, *inline) for word in WORD.findall(one)}


def first_cells(text: str) -> Iterator[set[str]]:
    """Give the words of the first cell of each row of the tables, but for their heads."""
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("| ") and not below.startswith("|---"):
            yield code(line.split(" | ")[0].replace(r"\|", " "))


def names(schema: Any) -> set[str]:
    """Give the names of all properties in a JSON schema, without what it refers to."""
    if isinstance(schema, list):
        return {name for entry in schema for name in names(entry)}
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties", {})
    return (
        {*own}
        | {name for key, entry in schema.items() if key != "properties" for name in names(entry)}
        | names([*own.values()])
    )


@cache
def help_of(*command: str) -> str:
    text = StringIO()
    with redirect_stdout(text), pytest.raises(SystemExit):
        main([*command, "--help"])
    return text.getvalue()


def commands() -> list[str]:
    return re.findall(r"^    ([a-z][\w-]*)(?:\s|$)", help_of(), re.MULTILINE)


def flags(command: str) -> set[str]:
    """Give the flags of a command, as its help lists them."""
    listed = re.findall(r"^  (-.*?)(?:  .*)?$", help_of(*command.split()), re.MULTILINE)
    return {flag for one in listed for flag in re.findall(r"(?<![\w-])--?[a-z][\w-]*", one)} - {"-h", "--help"}


# -- the readers of this file


def test_code_is_what_stands_between_backticks() -> None:
    """Words of prose are no code; words of a block, of a flag and of a name with a dash are."""
    text = "plain `a.b_c` and `--flag-x VALUE`\n\n```yaml\nkey: wrong-label\n```\n"

    assert code(text) == {"a", "b_c", "--flag-x", "VALUE", "yaml", "key", "wrong-label"}


def test_names_of_a_schema_are_those_of_all_its_levels() -> None:
    """A property named `properties`, one in a list and one behind `anyOf` are found; values are not."""
    schema = {
        "properties": {
            "a": {"items": {"properties": {"b": {"enum": ["x"]}}}},
            "c": {"anyOf": [{"properties": {"d": {}}}]},
        }
    }

    assert names(schema) == {"a", "b", "c", "d"}


def test_the_help_is_read_whole() -> None:
    """Commands and flags are found, so that an empty list is not taken for a documented one."""
    assert {"init", "compare", "export-requests"} <= set(commands())
    assert {"--pool", "-v", "--verbose", "--format"} <= flags("compare")
    assert "--llm-models-file" in flags("export-requests")


# -- every name on its page


def test_options_has_every_option_with_its_ini_key() -> None:
    """Each option of pytest has a row that begins with it and its ini key, and no row is of an option that is gone."""
    rows = re.findall(r"^\| `(--llm-[a-z-]+)[^`]*` \| `(llm_[a-z_]+)` \|", page("options.md"), re.MULTILINE)

    assert sorted(rows) == sorted((option.flag, option.name) for option in OPTIONS)


def test_commands_has_every_command_and_flag() -> None:
    """Each command has a section, whose table has its flags and no others."""
    text = page("commands.md")

    documented = {
        command: {word for cell in first_cells(section(text, f"llmbench {command}")) for word in cell if word[0] == "-"}
        for command in re.findall(r"^## llmbench (.+)$", text, re.MULTILINE)
    }

    assert documented == {command: flags(command) for command in commands()}


def test_graders_has_every_reason() -> None:
    """Each of the fixed words is explained on the page of the graders, or on that of SQL."""
    assert sorted({*Reason} - code(page("graders.md")) - code(page("sql.md"))) == []


@pytest.mark.parametrize("grader", GRADERS)
def test_graders_has_every_key_of_a_grader(grader: str) -> None:
    """What a case and a suite may hold for a grader is on its page, with the keys within."""
    schema = json.loads((PACKAGE / "suite.schema.json").read_text(encoding="utf-8"))
    (own,) = (one["then"] for one in schema["allOf"] if one["if"]["properties"]["grader"].get("const") == grader)

    missing = {grader, *names(own)} - code(page("graders.md")) - (code(page("sql.md")) if grader == "sql" else set())

    assert sorted(missing - {"cases"}) == []


def test_checks_has_every_kind_and_key() -> None:
    """Each kind of check is on its page, with the keys of it and those within; those of graders are on theirs."""
    schema = json.loads((PACKAGE / "suite.schema.json").read_text(encoding="utf-8"))
    graders = code(page("graders.md")) | code(page("sql.md"))

    missing = names(schema["$defs"]["check"]) - code(page("checks.md"))

    assert sorted(missing - graders) == []
    assert {*KINDS, *COMBINATIONS} <= code(page("checks.md"))


def test_suites_has_every_key() -> None:
    """The keys of a suite and of a case that belong to no grader are on the page of suites, with the keys within."""
    schema = json.loads((PACKAGE / "suite.schema.json").read_text(encoding="utf-8"))

    assert sorted(names(schema["properties"]) - code(page("suites.md"))) == []


def test_models_has_every_key_of_every_entry() -> None:
    """The keys that all entries share are in the first table, with the keys within."""
    own = Entry.model_json_schema()

    missing = (names(own) | names([*own["$defs"].values()])) - code(section(page("models.md"), "Keys of every entry"))

    assert sorted(missing) == []


def test_models_has_every_preset() -> None:
    """Each preset has a row with its address and the variable of its key."""
    rows = {
        line.split("`")[1]: line for line in section(page("models.md"), "Presets").splitlines() if line[:3] == "| `"
    }

    for name, preset in PRESETS.items():
        assert all(f"`{preset.keys[key]}`" in rows[name] for key in ("base_url", "api_key_env") if key in preset.keys)


@pytest.mark.parametrize("provider", [provider for provider in PROVIDERS if provider not in PRESETS])
def test_models_has_every_key_of_a_provider(provider: str) -> None:
    """The table of a provider has its keys and no others."""
    kind = Catalog(Path("models.toml"), {}).provider(provider, "")
    keys = set(kind.entry_type.model_fields) - set(Entry.model_fields)

    documented = {word for cell in first_cells(section(page("models.md"), provider)) for word in cell}

    assert documented == keys


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("Traits of a model", Traits), ("Fields of `GraderKind`", GraderKind)],
    ids=["traits", "grader"],
)
def test_plugins_has_every_field(heading: str, kind: type[Traits | GraderKind]) -> None:
    """What a provider or a grader of another package may state is in a table, with nothing that it may not."""
    documented = {word for cell in first_cells(section(page("plugins.md"), heading)) for word in cell}

    assert documented == {field.name for field in fields(kind)}


def test_plugins_has_every_optional_method_of_a_provider() -> None:
    """Each method that a provider may have beside the required ones is described."""
    optional = {name for kind in (HasTraits, HasBatchEntry, CountsTokens) for name in vars(kind) if name[0] != "_"}

    assert {"traits", "batch_entry", "token_counter"} <= optional
    assert sorted(optional - code(page("plugins.md"))) == []


RUN_SCHEMA = json.loads((ROOT / "tests" / "data" / "run.schema.json").read_text(encoding="utf-8"))
_TOP = RUN_SCHEMA["properties"]


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        (
            "The fields of pytest-benchmark",
            names({"properties": {key: _TOP[key] for key in _TOP if key != "llmbench"}}),
        ),
        ('The record of a case: `extra_info["llmbench"]`', names(RUN_SCHEMA["$defs"]["record"])),
        ("A sample", names(RUN_SCHEMA["$defs"]["sample"])),
        ("The run: `llmbench`", names(_TOP["llmbench"])),
        ("The identity of a model", names(RUN_SCHEMA["$defs"]["identity"])),
        ("Sampling", names(RUN_SCHEMA["$defs"]["sampling"])),
    ],
    ids=["pytest-benchmark", "record", "sample", "run", "identity", "sampling"],
)
def test_json_has_every_field(heading: str, fields: set[str]) -> None:
    """Each field that the schema of a run allows is in its section of the page on the JSON, and none that it does not."""
    text = section(page("json.md"), heading)

    assert sorted(fields - code(text)) == []
    assert sorted({word for cell in first_cells(text) for word in cell} - fields) == []


def run_file(path: Path, scores: Sequence[float]) -> str:
    """Write a run of one suite with these scores; gives its name."""
    records = [
        {
            "schema": 1, "suite": "s", "case": f"c{index}", "case_sha256": "c", "model": "m", "role": "m",
            "prompt_style": "chat", "prompt_sha256": "p", "grader": "exact", "score": score,
            "outcome": "passed" if score == 1 else "failed",
            "samples": [
                {
                    "answer": "x", "outcome": "passed" if score == 1 else "failed", "score": score, "reason": "correct",
                    "explanation": None, "format_ok": None, "parts": {}, "latency_s": 1.0, "ttft_s": 0.5,
                    "input_tokens": 1, "output_tokens": 1, "finish_reason": "stop", "concurrency": 1,
                    "reused": False, "attempts": 1, "error": None,
                }
            ],
        }
        for index, score in enumerate(scores)
    ]  # fmt: skip
    benchmarks = [{"extra_info": {"llmbench": record}} for record in records]
    path.write_text(json.dumps({"benchmarks": benchmarks, "llmbench": {"schema": 1}}), encoding="utf-8")
    return str(path)


def fields_of(found: Any, *, by_role: Sequence[str] = ("latency",)) -> Iterator[str]:
    """Give the keys of a JSON value on all levels; below `by_role` the next level are roles."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield key
            yield from fields_of([*value.values()] if key in by_role else value, by_role=by_role)
    elif isinstance(found, list):
        for entry in found:
            yield from fields_of(entry, by_role=by_role)


def test_gate_has_every_field_of_a_comparison(tmp_path: Path) -> None:
    """Each field that `llmbench compare --format json` prints is on the page of the gate."""
    files = [run_file(tmp_path / "old.json", [1, 1, 0] * 10), run_file(tmp_path / "new.json", [1, 0, 0] * 10 + [1])]
    text = StringIO()

    with redirect_stdout(text):
        main(["compare", *files, "--latency-margin", "1.25", "--format", "json"])

    found = set(fields_of(json.loads(text.getvalue())))
    assert {"verdict", "cases_needed", "per_token_ratio", "why"} <= found
    assert sorted(found - code(section(page("gate.md"), "The JSON"))) == []


@pytest.mark.parametrize(
    "term",
    [
        *("points", "margin", "strict", "lenient", "unparsed", "instance", "anchor", "smoke"),
        *("interval", "digest", "cluster", "power", "judge", "annotation"),
        *("prompt", "answer", "label", "grader", "check", "reason", "exit status"),
    ],
)
def test_the_glossary_has_the_terms(term: str) -> None:
    """What an output names without room to explain it has a heading of its own to link to."""
    assert section(page("glossary.md"), term)


# -- the map


def test_the_architecture_lists_the_rooms() -> None:
    """The table of rooms has the order that is checked, and what each may import."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    (rooms,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ROOMS" and node.value is not None
    )
    text = section((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), "The rooms")

    listed = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", text, re.MULTILINE)

    expected = []
    for floor in rooms:
        for place, name in enumerate(floor):
            others = " and ".join(f"`{other}`" for other in floor[:place])
            neighbours = f" except {others}" if others else ""
            expected.append((name, f"all above{neighbours}" if expected else "nothing"))
    assert listed == expected


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_the_map_names_files_that_exist(name: str) -> None:
    """Each path in it is one of the project, or one within the package."""
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = {path.rstrip("/") for path in re.findall(r"`([\w.-]+/[\w./-]*)`", text) if "NAME" not in path}

    assert paths
    assert sorted(path for path in paths if not (ROOT / path).exists() and not any(PACKAGE.rglob(path))) == []


# -- links


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.append(plain if plain not in found else f"{plain}-{found.count(plain)}")
    return set(found)


def links(text: str) -> list[str]:
    """Give the targets of a page's links and images, without those in code."""
    return LINK.findall(re.sub(r"`[^`\n]*`", "", FENCE.sub("", text)))


def broken(source: Path) -> Iterator[str]:
    for link in links(source.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (source.parent / path).resolve() if path else source
        if not target.is_relative_to(ROOT) or not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{link}: no such heading"


def test_anchors_are_those_of_github() -> None:
    """Case, punctuation and code marks fall away, blanks become dashes, the second of a name gets a number."""
    text = "# One, two\n\n```\n# no heading\n```\n## `pytest -n`: *more*\n## One two\n"

    assert anchors(text) == {"one-two", "pytest--n-more", "one-two-1"}


def test_links_in_code_are_none() -> None:
    """A regular expression or an example is no link."""
    assert links("[a](b.md) `[c](d.md)`\n\n```\n[e](f.md)\n```\n![g](h.png)\n") == ["b.md", "h.png"]


@pytest.mark.parametrize("source", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(source: Path) -> None:
    """The file, and the heading in it, of each relative link exist."""
    assert list(broken(source)) == []


@pytest.mark.parametrize("source", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_tests_and_benchmarks_exist(source: Path) -> None:
    """A page that refers to a test or a benchmark as its proof names one that is there."""
    text = source.read_text(encoding="utf-8")
    paths = {path for path in re.findall(r"\b(?:tests|benchmarks)/[\w/.-]*\w", text) if "NAME" not in path}

    assert sorted(path for path in paths if not (ROOT / path).exists()) == []


def test_every_page_is_in_the_navigation() -> None:
    """A reader of the site finds each page, and no entry leads nowhere."""
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(listed) == sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md"))


def test_every_page_is_linked_from_the_first() -> None:
    """So that the site can be read without its navigation, and the same pages on a forge."""
    found = {link.split("#")[0] for link in links(page("index.md"))}

    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages - {"index.md"} - found) == []


@pytest.mark.parametrize("name", ["reference.md", "llms.txt"])
def test_what_is_generated_is_what_the_code_has(name: str) -> None:
    """Whoever adds an option, a key or a page runs .ci/reference.py; nothing in these files is written by hand."""
    files = runpy.run_path(str(ROOT / ".ci" / "reference.py"))["FILES"]

    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == files[name](), "run: python .ci/reference.py"


def test_messages_name_pages_that_exist() -> None:
    """A page that the package refers to, in a message or a comment, is there."""
    sources = [path for kind in ("*.py", "*.yml", "*.toml", "*.json") for path in PACKAGE.rglob(kind)]
    named = {
        name for path in sources for name in re.findall(r"(?<!/)docs/[\w-]+\.md", path.read_text(encoding="utf-8"))
    }

    assert "docs/suites.md" in named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []

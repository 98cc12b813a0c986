"""Write docs/reference.md and docs/llms.txt from the code: `python .ci/reference.py`.

What the code knows by itself is taken from it: options, commands, keys of suites and models, reasons, the fields of
the JSON.  `tests/test_docs.py` compares the files with what this writes.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from pytest_llmbench.cli import COMMANDS
from pytest_llmbench.gate.rule import Verdict, exit_status
from pytest_llmbench.grading.checks.registry import COMBINATIONS, KINDS
from pytest_llmbench.grading.registry import BUILT_IN as GRADERS
from pytest_llmbench.models.catalog import BUILT_IN as PROVIDERS
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.models.presets import PRESETS
from pytest_llmbench.plugin.command_line import OPTIONS
from pytest_llmbench.values import Reason

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
Schema = Mapping[str, Any]


def _verdicts(status: int) -> str:
    return " or ".join(f"`{verdict}`" for verdict in Verdict if exit_status(verdict) == status)


STATUSES = {
    "pytest": {
        0: f"{_verdicts(0)}, minimum scores reached; without a gate: no test failed",
        1: f"{_verdicts(1)}, a minimum score missed, a test failed, or a model could not be asked (`not judged`); "
        "without a gate also an ERROR",
        2: "a broken suite (collection error), or interrupted",
        3: "an internal error of pytest",
        4: "wrong usage: an option, the models file, a baseline that cannot be read",
        5: "no case was collected",
        6: "more warnings than `--max-warnings` allows",
        8: f"the gate cannot decide: {_verdicts(8)}",
    },
    "llmbench": {
        0: f"done; for `compare`: {_verdicts(0)}",
        1: f"`validate` found errors; `import` wrote nothing; `compare` found {_verdicts(1)}, or a run in which "
        "a model could not be asked (`not judged`)",
        2: "wrong usage, a file that cannot be read, output that cannot be written, or a run that `accept` refuses",
        3: "a stage of `tune` failed",
        8: f"`compare` cannot decide: {_verdicts(8)}",
        130: "ended by Ctrl-C; called again, `tune` and `review` go on where they stopped",
    },
}


def reference() -> str:
    """Write the page."""
    parts = [
        "# Reference\n\nThis page is generated from the code. Each section links to the page that explains it.",
        *_options(),
        *_commands(),
        *_suites(),
        *_entries(),
        *_reasons(),
        *_statuses(),
        *_fields(),
    ]
    return "\n\n".join(parts) + "\n"


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_cell(text) for text in row)} |" for row in rows)])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


def _code(text: str) -> str:
    return f"`{text}`"


# -- the command line


def _options() -> Iterator[str]:
    yield "## Options of pytest\n\nExplained in [Options](options.md)."
    rows = [(_code(f"{o.flag} {o.metavar or ''}".strip()), _code(o.name), o.help) for o in OPTIONS]
    yield _table(("option", "ini key", "meaning"), rows)


def _commands() -> Iterator[str]:
    yield "## Commands\n\nExplained in [Commands](commands.md)."
    for name, (module, summary) in COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        import_module(module).add_arguments(parser)
        yield f"### llmbench {name}\n\n{summary[0].upper()}{summary[1:]}."
        rows = [(_code(_argument(action)), _meaning(action)) for action in parser._actions]
        if rows:
            yield _table(("argument", "meaning"), rows)


def _argument(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    values = " ".join(value) if isinstance(value, tuple) else value
    several = " ..." if action.nargs in ("+", "*") else ""
    return f"{names} {values if action.nargs != 0 else ''}{several}".strip()


def _meaning(action: argparse.Action) -> str:
    """Give the help of an argument, with its default where that is a plain value."""
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    is_given = "default" in text or action.default in (None, False, argparse.SUPPRESS, ()) or action.default == []
    return text if is_given else f"{text}; default {action.default}"


# -- the files that people write


def _suites() -> Iterator[str]:
    schema = json.loads((ROOT / "pytest_llmbench" / "suite.schema.json").read_text(encoding="utf-8"))
    yield "## Keys of a suite\n\nExplained in [Suites](suites.md); those of a grader in [Graders](graders.md)."
    several = schema["then"]["properties"]
    yield _table(("key", "value"), sorted(_keys({**several, **schema["properties"]}, schema)))
    yield "### Fields of a case"
    fields = [found["cases"]["items"]["properties"] for found in (several, schema["properties"])]
    yield _table(("key", "value"), sorted(row for found in fields for row in _keys(found, schema)))
    for grader in GRADERS:
        (own,) = (one["then"] for one in schema["allOf"] if one["if"]["properties"]["grader"].get("const") == grader)
        of_suite = {key: value for key, value in own.get("properties", {}).items() if key != "cases"}
        of_case = own.get("properties", {}).get("cases", {}).get("items", {}).get("properties", {})
        yield f"### Grader `{grader}`"
        rows = [("suite", *row) for row in _keys(of_suite, schema)] + [("case", *row) for row in _keys(of_case, schema)]
        yield _table(("of the", "key", "value"), rows)
    yield "### Kinds of checks\n\nExplained in [Several checks](checks.md)."
    kinds = {one["if"]["required"][0]: one["then"] for one in schema["$defs"]["check"]["allOf"]}
    shared = set.intersection(*(set(kinds[kind]["properties"]) for kind in KINDS))
    yield f"Keys of all but `not`, `any` and `all`: {', '.join(_code(key) for key in sorted(shared))}."
    rows = [(_code(kind), *_check(kind, kinds[kind]["properties"], shared, schema)) for kind in (*KINDS, *COMBINATIONS)]
    yield _table(("check", "value", "other keys"), rows)


def _check(kind: str, properties: Schema, shared: set[str], schema: Schema) -> tuple[str, str]:
    others = ", ".join(_code(key) for key in sorted(set(properties) - shared - {kind}))
    return _kind(properties[kind], schema), others


def _keys(properties: Schema, schema: Schema) -> Iterator[tuple[str, str]]:
    for key, value in properties.items():
        yield _code(key), _kind(value, schema)


def _kind(value: Any, schema: Schema, depth: int = 0) -> str:
    """Describe the values that a schema allows, in a few words: numbers where a text is read as text are no kind."""
    found = list(dict.fromkeys(_kinds(value, schema, depth)))
    if {"a text", "true or false"} <= {*found}:
        found = [kind for kind in found if kind not in ("a number", "a whole number", "true or false", "null")]
    default, kinds = _default(value), " or ".join(found)
    is_plain = default not in (None, [], "") and not isinstance(default, Mapping) and not depth
    return f"{kinds}; default {_code(json.dumps(default))}" if is_plain else kinds


def _kinds(value: Any, schema: Schema, depth: int) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield "anything"
    elif value.get("$ref") == "#/$defs/check":
        yield "a check"
    elif "$ref" in value:
        yield from _kinds(schema["$defs"][value["$ref"].rpartition("/")[2]], schema, depth)
    elif "const" in value:
        yield _code(json.dumps(value["const"]))
    elif "enum" in value:
        yield from (_code(json.dumps(one)) for one in value["enum"])
    elif several := value.get("anyOf") or value.get("oneOf"):
        for one in several:
            # a template in place of a value, and that there need be none, go without saying
            if one.get("pattern") != _TEMPLATE and one != {"type": "null"}:
                yield from _kinds(one, schema, depth)
    else:
        yield from _described(value, schema, depth)


def _default(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return None
    inner = [_default(one) for one in value.get("anyOf", ())]
    return value.get("default", next((one for one in inner if one is not None), None))


def _described(value: Schema, schema: Schema, depth: int) -> Iterator[str]:
    names = value.get("type", "anything")
    for name in names if isinstance(names, list) else [names]:
        if name == "array" and depth < _DEEPEST and "items" in value:
            yield f"a list, each {_kind(value['items'], schema, depth + 1)}"
        elif name == "object" and value.get("properties"):
            yield f"a table of {', '.join(_code(key) for key in value['properties'])}"
        else:
            yield _NAMES.get(name, name)


_TEMPLATE = r"\{\{"
_DEEPEST = 2

_NAMES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "null",
}


def _entries() -> Iterator[str]:
    yield "## Keys of an entry in the models file\n\nExplained in [Models](models.md)."
    shared = Entry.model_json_schema()
    yield "### Every entry"
    yield _table(("key", "value"), list(_keys(shared["properties"], shared)))
    for provider in PROVIDERS:
        if provider in PRESETS:
            continue
        own = Catalog(Path("models.toml"), {}).provider(provider, "").entry_type.model_json_schema()
        keys = {key: value for key, value in own["properties"].items() if key not in shared["properties"]}
        yield f"### Provider `{provider}`"
        yield _table(("key", "value"), list(_keys(keys, own)))
    yield "### Presets of `openai`"
    rows = [
        (_code(name), str(preset.keys.get("base_url", "–")), str(preset.keys.get("api_key_env", "–")))
        for name, preset in PRESETS.items()
    ]
    yield _table(("provider", "address", "variable of the key"), rows)


# -- what comes out


def _reasons() -> Iterator[str]:
    yield "## Reasons\n\nThe fixed words of a grade, explained in [Graders](graders.md) and [SQL](sql.md)."
    of = {name: GRADERS[name].reasons for name in GRADERS}
    everywhere = {Reason.CORRECT, Reason.EMPTY, Reason.REFUSAL}
    rows = [
        (_code(reason), "any" if reason in everywhere else ", ".join(_code(name) for name in of if reason in of[name]))
        for reason in Reason
    ]
    yield _table(("reason", "grader"), rows)


def _statuses() -> Iterator[str]:
    yield "## Exit statuses\n\nExplained in [The gate](gate.md) and [CI](ci.md)."
    for program, rows in STATUSES.items():
        yield f"### {program}"
        yield _table(("exit status", "meaning"), [(str(status), text) for status, text in rows.items()])


def _fields() -> Iterator[str]:
    schema = json.loads((ROOT / "tests" / "data" / "run.schema.json").read_text(encoding="utf-8"))
    yield "## Fields of the JSON\n\nWhat is added to the file of `--benchmark-json`. Explained in [The JSON](json.md)."
    places = {
        'A record, `extra_info["llmbench"]`': schema["$defs"]["record"],
        "A sample": schema["$defs"]["sample"],
        "The run, `llmbench`": schema["properties"]["llmbench"],
        "The identity of a model": schema["$defs"]["identity"],
    }
    for heading, place in places.items():
        yield f"### {heading}"
        yield _table(("field", "value"), list(_keys(place["properties"], schema)))


# -- for readers that are models


def llms_txt() -> str:
    """List the pages with their first sentences, by the navigation of the site."""
    home = (DOCS / "index.md").read_text(encoding="utf-8")
    lines = ["# pytest-llmbench", "", f"> {_first_words(home)}"]
    for section in navigation():
        ((title, pages),) = section.items()
        if isinstance(pages, str):
            continue
        lines += ["", f"## {title}", ""]
        for page in pages:
            ((name, path),) = page.items()
            lines.append(f"- [{name}]({path}): {_first_words((DOCS / path).read_text(encoding='utf-8'))}")
    return "\n".join(lines) + "\n"


def navigation() -> list[dict[str, Any]]:
    """Read the navigation of the site."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav: list[dict[str, Any]] = yaml.safe_load(text[text.index("nav:") :])["nav"]
    return nav


def _first_words(page: str) -> str:
    """Give the first sentences below the heading of a page, without their marks: at least a line."""
    for part in page.split("\n\n")[1:]:
        if part and part[0] not in "#|! " and part[:3] != "```" and not part.startswith("Terms are"):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(part.split()))
            first, *rest = re.split(r"(?<=[.:?]) (?=[A-Z`])", re.sub(r"\*\*|(?<!\w)\*|\*(?!\w)", "", text))
            while rest and len(first) < _LINE:
                first = f"{first} {rest.pop(0)}"
            return first.removesuffix(":")
    return ""


_LINE = 80

FILES = {"reference.md": reference, "llms.txt": llms_txt}

if __name__ == "__main__":
    for name, write in FILES.items():
        (DOCS / name).write_text(write(), encoding="utf-8")
        sys.stdout.write(f"wrote docs/{name}\n")

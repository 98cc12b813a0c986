"""Each `console` example of the documentation runs as it is written, in an empty folder, and prints what the page shows.

A page is followed from top to bottom.  A block with `title="PATH"` is written to that file; in a `console` block the
lines after `$ ` are commands, and the lines below them their output, in which `...` stands for any number of lines.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import jsonschema
import pytest

from pytest_llmbench.cli import COMMANDS
from pytest_llmbench.plugin.command_line import OPTIONS
from pytest_llmbench.suites import yaml12

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "```console" in page.read_text(encoding="utf-8"))
EXAMPLES = sorted(page.parent for page in (ROOT / "examples").glob("*/README.md"))

BLOCK = re.compile(r"^```(?P<kind>\w*)(?P<words>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
ANY = "..."


@dataclass(frozen=True, slots=True)
class Written:
    """A file that the reader saves."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that the reader types, and the lines that it prints."""

    command: str
    output: tuple[str, ...]


def steps(page: str) -> Iterator[Written | Typed]:
    """Give what a reader of the page does, in its order."""
    for block in BLOCK.finditer(page):
        title = TITLE.search(block["words"])
        if title:
            yield Written(title[1], block["text"])
        elif block["kind"] == "console":
            for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                command, *output = part.rstrip("\n").split("\n")
                yield Typed(command, tuple(output))


def plain(line: str) -> str:
    """Take from a line what differs from run to run: durations, dates, and rules as wide as they leave room."""
    line = re.sub(r"\b\d+\.\d+s( \(\d+:\d\d:\d\d\))?( =|$)", r"0s\2", line.rstrip())
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE", line)
    return re.sub(r"([=_-])\1{3,}", r"\1\1\1", line)


def differs(expected: Sequence[str], got: Sequence[str]) -> str | None:
    """Give the first part of the expected lines that was not printed; None if all were, in their order."""
    printed, place, is_open = [plain(line) for line in got], 0, False
    parts: list[list[str]] = [[]]
    for line in expected:
        if line == ANY:
            parts.append([])
        else:
            parts[-1].append(plain(line))
    for number, part in enumerate(parts):
        is_open, is_last = number > 0, number == len(parts) - 1
        places = range(place, len(printed) - len(part) + 1) if is_open else [place]
        if is_last and not is_open:
            places = [place] if len(printed) - place == len(part) else []
        elif is_last and part:
            places = [len(printed) - len(part)] if len(printed) - len(part) >= place else []
        found = next((here for here in places if printed[here : here + len(part)] == part), None)
        if found is None:
            return "\n".join(part)
        place = found + len(part)
    return None


def follow(page: Path, folder: Path) -> list[str]:
    """Do what a page says in a folder; gives what came out otherwise."""
    wrong, status = [], 0
    for step in steps(page.read_text(encoding="utf-8")):
        if isinstance(step, Written):
            path = folder / step.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
            continue
        if step.command == "echo $?":
            output = [str(status)]
        else:
            done = run(step.command, folder)
            output, status = (done.stdout + done.stderr).rstrip("\n").split("\n"), done.returncode
            output = [] if output == [""] else output
        missing = differs(step.output, output)
        if missing is not None:
            wrong.append(
                "\n".join([f"$ {step.command}", "-- not printed, or not there:", missing, "-- printed:", *output])
            )
    return wrong


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    names = ("HOME", "LANG", "PYTHONDONTWRITEBYTECODE", "TMPDIR")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = {**kept, "PATH": path, "COLUMNS": "80", "PYTHONUTF8": "1"}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=words, capture_output=True, text=True, check=False)


def test_a_page_is_read_as_steps() -> None:
    """Files by their titles, commands with their output; other blocks are only read."""
    page = '```yaml title="a/b.yaml"\nx: 1\n```\n\n    $ no\n\n```console\n$ one\nout\n...\n$ two\n```\n```text\n$ no\n```\n'

    assert list(steps(page)) == [
        Written("a/b.yaml", "x: 1\n"), Typed("one", ("out", "...")), Typed("two", ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "got", "missing"),
    [
        (["a", "b"], ["a", "b"], None),
        (["a"], ["a", "b"], "a"),
        ([], ["a"], ""),
        (["..."], ["a"], None),
        (["...", "b"], ["a", "b"], None),
        (["...", "b"], ["b", "c"], "b"),
        (["a", "...", "c", "..."], ["a", "b", "c", "d"], None),
        (["...", "c", "...", "a"], ["a", "b", "c"], "a"),
        (["== 1 passed in 0.10s =="], ["== 1 passed in 12.31s =="], None),
        (["== 1 passed in 0.10s =="], ["== 2 passed in 0.10s =="], "== 1 passed in 0s =="),
    ],
)
def test_output_is_compared_line_by_line(expected: list[str], got: list[str], missing: str | None) -> None:
    """What stands between two `...` is printed in one piece; only durations may be others."""
    assert differs(expected, got) == missing


# -- what is only shown

ALL_PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
)


def shown_commands(page: Path) -> Iterator[list[str]]:
    """Give the words of each command of ours that a page shows, whether it is run or not."""
    text = page.read_text(encoding="utf-8")
    for line in re.findall(r"^(?:    |\$ |  +- run: )((?:llmbench|pytest) [^\n]*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)
        ends = [place for place, word in enumerate(words) if word in ("|", ">", "&&", ";", "||")]
        yield words[: min(ends, default=len(words))]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shown_commands_are_understood(page: Path) -> None:
    """Each subcommand takes the arguments that it is shown with, and each option of pytest is one that we add."""
    options = {option.flag for option in OPTIONS}

    for program, *words in shown_commands(page):
        if program == "pytest":
            flags = {word.split("=")[0] for word in words if word.startswith("--llm-")}
            assert flags <= options, " ".join(words)
        elif words[0] in COMMANDS and "..." not in words:
            parser = argparse.ArgumentParser(exit_on_error=False)
            import_module(COMMANDS[words[0]][0]).add_arguments(parser)
            parser.parse_args([word for word in words[1:] if not word.startswith("[")])


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "pytest_llmbench" / "suite.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shown_suites_fit_the_schema(page: Path, validator: jsonschema.Draft202012Validator) -> None:
    """A suite that a page shows whole is one that an editor with the published schema would not underline."""
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        if block["kind"] == "yaml" and re.search(r"^suite:", block["text"], re.MULTILINE):
            node = yaml12.compose(block["text"], page)
            assert node is not None
            validator.validate(yaml12.value(node, page))


def test_what_is_typed_is_run() -> None:
    """A block with a prompt is a `console` block of a page that is followed; only the README's is not.

    That one asks a real model 640 times, which takes minutes.
    """
    followed = {*PAGES, *(example / "README.md" for example in EXAMPLES)}

    shown = {
        page.relative_to(ROOT).as_posix()
        for page in ALL_PAGES
        for block in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if re.search(r"^\$ ", block["text"], re.MULTILINE) and (block["kind"] != "console" or page not in followed)
    }

    assert shown == {"README.md"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    """Whoever follows it word by word in an empty folder sees what it shows."""
    if wrong := follow(page, tmp_path):
        pytest.fail("\n\n".join(wrong), pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_an_example_does_what_its_page_says(example: Path, tmp_path: Path) -> None:
    """Whoever copies the folder and follows its README sees what it shows."""
    copy = shutil.copytree(example, tmp_path / "copy", ignore=shutil.ignore_patterns(".*", "__pycache__"))

    if wrong := follow(copy / "README.md", copy):
        pytest.fail("\n\n".join(wrong), pytrace=False)


def test_there_are_examples() -> None:
    """Three projects to copy; each is small enough to be read."""
    assert [example.name for example in EXAMPLES] == ["gate-an-upgrade", "rag-app", "text-to-sql"]
    for example in EXAMPLES:
        code = [line for path in example.rglob("*.py") for line in path.read_text().splitlines() if line.strip()]
        assert len(code) < 60

"""The prompts of a configuration: texts, files of texts, and chat messages as JSON or YAML.

Source: promptfoo 0.121.20, `src/prompts/`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_llmbench.importers.base import NotMapped, Place, hashed_id, slug
from pytest_llmbench.importers.promptfoo.templates import Template
from pytest_llmbench.importers.source import Folder, Value
from pytest_llmbench.values import Json

_ROLES = ("system", "developer", "user", "assistant")
_CODE = re.compile(r"\.(?:[cm]?[jt]sx?|py|rb|sh|bash|exe|bat|cmd|ps1|pl)(?::\w+)?$")
_FILES = re.compile(r"\.(?:txt|json|jsonl|yaml|yml|md|j2|csv)$")
_MAGIC = re.compile(r"[*?]|\[[^\]]*\]|[+@!]\(")
"""What makes a text a pattern of paths; one that matches no file is the text of a prompt."""

_ELSEWHERE = ("exec:", "portkey://", "langfuse://", "helicone://", "http://", "https://")
_DELIMITER = "---"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSource:
    """A prompt: its messages as (role, template), the names a test may pick it by, and its short label."""

    label: str
    names: frozenset[str]
    messages: tuple[tuple[str, Template], ...]
    place: Place

    def chat(self, cases: Sequence[Mapping[str, Json]]) -> list[dict[str, str]]:
        """Give the messages as a suite holds them.

        Raises:
            NotMapped: one is rendered otherwise by jinja2.
        """
        return [{"role": role, "content": template.jinja(cases)} for role, template in self.messages]


def read_prompts(prompts: Value, folder: Folder) -> tuple[list[PromptSource], list[NotMapped]]:
    """Read all prompts; gives those that cannot be mapped too."""
    found: list[PromptSource] = []
    refused: list[NotMapped] = []
    for entry in _entries(prompts):
        try:
            found += _of_entry(*entry, folder)
        except NotMapped as fault:
            refused.append(fault)
    counts = Counter(source.label for source in found)
    apart = [one if counts[one.label] == 1 else _with_digest(one) for one in found]
    return apart, refused


def _with_digest(source: PromptSource) -> PromptSource:
    texts = [[role, template.text] for role, template in source.messages]
    return replace(source, label=f"{source.label}-{hashed_id(texts)}")


def _entries(prompts: Value) -> Iterator[tuple[Value, str | None, frozenset[str]]]:
    """Give each text with its label, and the names it goes by."""
    if isinstance(prompts.value, dict) and prompts.get("raw") is None:
        for raw, label in prompts.value.items():
            yield Value(raw, label.place), str(label.value), frozenset({str(label.value)})
        return
    for entry in prompts.items:
        if isinstance(entry.value, dict):
            raw = entry.get("raw") or entry.get("id") or Value("", entry.place)
            names = [str(named.value) for key in ("label", "id") if (named := entry.get(key)) is not None]
            yield raw, names[0] if names else None, frozenset(names)
        else:
            yield entry, None, frozenset()


def _of_entry(raw: Value, label: str | None, names: frozenset[str], folder: Folder) -> Iterable[PromptSource]:
    text, place = raw.value, raw.place
    if not isinstance(text, str) or not text.strip():
        raise NotMapped("a prompt is a text, or a file of one; write one.", place)
    if text.startswith(_ELSEWHERE):
        raise NotMapped(f'the prompt "{_short(text)}" is made elsewhere; write it out.', place)
    if not _is_path(text):
        return [_source(text, label, names or frozenset({text}), place)]
    name = text.removeprefix("file://")
    if _CODE.search(name):
        raise NotMapped(f'the prompt "{_short(name)}" is code; write out what it gives.', place)
    if not text.startswith("file://") and _MAGIC.search(name) and not _is_there(name, folder):
        return [_source(text, label, names or frozenset({text}), place)]
    if not text.startswith("file://") and not _FILES.search(name):
        raise NotMapped(
            f'the prompt "{_short(name)}" looks like a path to promptfoo; put a line end into the text.', place
        )
    paths = folder.matching(name, place)
    found = []
    for path in paths:
        several = list(_texts(path, folder))
        for one in several:
            shown = label or slug(path.stem)
            shown = shown if len(several) == 1 and len(paths) == 1 else f"{slug(path.stem)}-{hashed_id(one)}"
            found.append(_source(one, shown, names | {name, text, path.name}, Place(path=path, line=1)))
    if not found:
        raise NotMapped(f'there is no prompt in "{name}"; write one.', place)
    return found


def _is_there(pattern: str, folder: Folder) -> bool:
    try:
        return any(folder.root.glob(pattern))
    except (ValueError, NotImplementedError):
        return False


def _is_path(text: str) -> bool:
    """Return whether promptfoo takes a text as the path of a file."""
    if "\n" in text:
        return False
    is_named = text.startswith("file://") or bool(_FILES.search(text) or _CODE.search(text))
    return is_named or text[-3:-2] == "." or text[-4:-3] == "." or any(mark in text for mark in "*/\\")


def _texts(path: Path, folder: Folder) -> Iterator[str]:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        raise NotMapped("prompts of a CSV file are not mapped; write each as a text.", Place(path=path, line=1))
    if suffix in (".yaml", ".yml", ".json"):
        given = folder.tree(path).plain()
        if isinstance(given, str):
            yield given
        else:
            yield json.dumps(given, ensure_ascii=False)
    elif suffix == ".jsonl":
        yield from (line for line in folder.text(path).split("\n") if line.strip())
    elif suffix == ".txt":
        lines: list[str] = []
        for line in [*re.split(r"\r?\n", folder.text(path)), _DELIMITER]:
            if line.strip() != _DELIMITER:
                lines.append(line)
                continue
            text = "\n".join(lines).strip()
            lines = []
            if text:
                yield text
    else:
        yield folder.text(path)


def _source(text: str, label: str | None, names: frozenset[str], place: Place) -> PromptSource:
    shown = slug(label) if label else hashed_id(text)
    return PromptSource(label=shown, names=names, messages=tuple(_messages(text, place)), place=place)


def _messages(text: str, place: Place) -> Iterator[tuple[str, Template]]:
    """Give the messages of a prompt: those of JSON, or the whole text as the user's."""
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, list | dict):
        yield "user", Template.of(text, place)
        return
    if not isinstance(given, list) or not given:
        raise NotMapped("a prompt of JSON is a list of chat messages; write one.", place)
    for message in given:
        is_message = isinstance(message, dict) and set(message) == {"role", "content"}
        if not is_message or message["role"] not in _ROLES or not isinstance(message["content"], str):
            raise NotMapped("a chat message has a role and a text as its content; other kinds are not mapped.", place)
        yield message["role"], Template.of(message["content"], place)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"

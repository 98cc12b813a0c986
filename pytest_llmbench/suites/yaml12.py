"""Read YAML 1.2 with the line of every node.

PyYAML's C parser does the parsing; the meaning of plain scalars is YAML 1.2's core
schema (`no`, `on`, `1:20` and dates are text), and a scalar can be taken as the text
it is written as.  Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from pytest_llmbench.errors import SuiteFault

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Node: TypeAlias = yaml.Node

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_PAIR = re.compile(r"(?i)(?<!\\)((?:\\\\)*)(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})")
_COMMENT = re.compile(r"(?P<gap>[ \t]+)(?P<comment>#[^\r\n]*)")
_MOST_NESTED = 500
_LONG_INDENT = re.compile(rf"(?m)^[-?: ]{{{_MOST_NESTED}}}")
"""What blocks nested deeper begin a line with."""

_MAX_DIGITS = 1000
"""Longer than any number; Python refuses to read more than 4300 digits."""

_WORDS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A mapping node: its entries in order, and where it and its keys stand."""

    path: Path
    line: int
    entries: dict[str, Node]
    key_lines: dict[str, int]


def line_of(node: Node) -> int:
    """Give the line a node starts in, from 1."""
    return int(node.start_mark.line) + 1


def compose(text: str, path: Path) -> Node | None:
    """Parse one document into nodes.

    PyYAML's C composer calls itself for each level, and ends the process where there are tens of thousands.

    Raises:
        SuiteFault: not YAML, or nested too deep, with the line.
    """
    line = _line_too_deep(text)
    if line is not None:
        message = f"this is nested more than {_MOST_NESTED} levels deep; write it flatter."
        raise SuiteFault(message, path=path, line=line)
    try:
        node: Node | None = yaml.compose(_without_pairs(text), Loader=_Loader)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        problem = getattr(fault, "problem", None) or getattr(fault, "reason", None) or str(fault)
        line = mark.line + 1 if mark else None
        raise SuiteFault(f"this is not YAML: {problem}.", path=path, line=line) from None
    return node


def _line_too_deep(text: str) -> int | None:
    """Give the line, from 1, in which collections are nested too deep; None if none are, or it is not YAML."""
    if text.count("[") + text.count("{") <= _MOST_NESTED and not _LONG_INDENT.search(text):
        return None
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_NESTED:
                return event.start_mark.line + 1 if event.start_mark else 1
    except yaml.YAMLError:
        return None
    return None


def _without_pairs(text: str) -> str:
    """Write the surrogate pairs of JSON's escapes as the one character each stands for: YAML has no pairs.

    Only of a text that is JSON as a whole, for elsewhere they may stand in plain text.
    """
    if "\\ud" not in text.lower() or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _PAIR.sub(lambda pair: pair[1] + json.loads(f'"{pair[2]}"'), text)


def is_mapping(node: Node) -> bool:
    """Return whether a node is a mapping."""
    return isinstance(node, yaml.MappingNode)


def is_null(node: Node) -> bool:
    """Return whether a node is a null, such as nothing at all."""
    return isinstance(node, yaml.ScalarNode) and _scalar(node) is None


def table(node: Node, path: Path, what: str) -> Table:
    """Read a mapping whose keys are texts.

    Raises:
        SuiteFault: it is no mapping, or a key occurs twice.
    """
    if not isinstance(node, yaml.MappingNode):
        raise SuiteFault(f"{what} must be a mapping of names to values.", path=path, line=line_of(node))
    entries: dict[str, Node] = {}
    lines: dict[str, int] = {}
    for key_node, value in node.value:
        key = text(key_node, path, f"a key of {what}")
        if key in entries:
            raise SuiteFault(
                f'{what} has "{key}" twice, first in line {lines[key]}; take one out.',
                path=path,
                line=line_of(key_node),
            )
        entries[key], lines[key] = value, line_of(key_node)
    return Table(path=path, line=line_of(node), entries=entries, key_lines=lines)


def items(node: Node, path: Path, what: str) -> list[Node]:
    """Read a sequence.

    Raises:
        SuiteFault: it is none.
    """
    if not isinstance(node, yaml.SequenceNode):
        raise SuiteFault(f"{what} must be a list.", path=path, line=line_of(node))
    return list(node.value)


def text(node: Node, path: Path, what: str) -> str:
    """Read a scalar as the text it is written as, whatever it looks like.

    Raises:
        SuiteFault: it is a list or a mapping.
    """
    if not isinstance(node, yaml.ScalarNode):
        raise SuiteFault(f"{what} must be a text.", path=path, line=line_of(node))
    return str(node.value)


def value(node: Node, path: Path) -> Any:
    """Read any node by the core schema: None, bool, int, float, str, list, dict with text keys."""
    if isinstance(node, yaml.MappingNode):
        return {key: value(entry, path) for key, entry in table(node, path, "this").entries.items()}
    if isinstance(node, yaml.SequenceNode):
        return [value(entry, path) for entry in node.value]
    return _scalar(node)


def text_value(node: Node, path: Path) -> Any:
    """Read any node with its scalars as the texts they are written as."""
    if isinstance(node, yaml.MappingNode):
        return {key: text_value(entry, path) for key, entry in table(node, path, "this").entries.items()}
    if isinstance(node, yaml.SequenceNode):
        return [text_value(entry, path) for entry in node.value]
    return str(node.value)


def line_at(node: Node, place: Sequence[str | int]) -> int:
    """Give the line of what stands at a place below a node: of a key, or an item; of the nearest one above if none."""
    line = line_of(node)
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, entry) for key, entry in node.value if key.value == step), None)
            if found is None:
                return line
            line, node = line_of(found[0]), found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = line_of(node)
        else:
            return line
    return line


def node_at(node: Node, place: Sequence[str | int]) -> Node | None:
    """Give what stands at a place below a node; None if there is nothing."""
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next((entry for key, entry in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
        else:
            found = None
        if found is None:
            return None
        node = found
    return node


def comments_behind(node: Node, text: str) -> Iterator[tuple[str, str, str]]:
    """Give each text without quotes below a node that a comment follows in its line: text, gap, and comment.

    Args:
        node: composed from `text`.
        text: the whole file.
    """
    if isinstance(node, yaml.MappingNode):
        for _, entry in node.value:
            yield from comments_behind(entry, text)
    elif isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from comments_behind(entry, text)
    elif not getattr(node, "style", None) and isinstance(_scalar(node), str):
        comment = _COMMENT.match(text, node.end_mark.index)
        if comment is not None:
            yield str(node.value), comment["gap"], comment["comment"].rstrip()


def _scalar(node: Node) -> object:
    written = str(node.value)
    # only plain scalars (their style is empty) mean anything but text
    if getattr(node, "style", None) or len(written) > _MAX_DIGITS:
        return written
    if written in _WORDS:
        return _WORDS[written]
    if _INT.fullmatch(written):
        if written.startswith(("0o", "0x")):
            return int(written, 0)
        return int(written)
    if _FLOAT.fullmatch(written):
        return float(written.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return written

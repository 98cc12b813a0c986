"""Read the `prompt` of a suite file: its templates by style, as they are written."""

from pathlib import Path
from typing import NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.models.validation import did_you_mean
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.case_prompts import clause
from pytest_llmbench.suites.prompts import PromptTemplate, TemplateFault, compile_template
from pytest_llmbench.values import PromptStyle

Sources = dict[PromptStyle, tuple[tuple[str, str], ...]]
"""The template texts of each style, as (role, template) pairs; for a completion the role is empty."""


def read_sources(node: yaml12.Node, path: Path, what: str) -> Sources:
    """Give the templates in a mapping of styles.

    Args:
        node: the mapping.
        path: of the suite file.
        what: it is, for messages.

    Raises:
        SuiteFault: something in it is wrong.
    """
    styles = yaml12.table(node, path, what)
    sources: Sources = {}
    for key, entry in styles.entries.items():
        if key == PromptStyle.COMPLETION:
            sources[PromptStyle.COMPLETION] = (("", yaml12.text(entry, path, "the completion prompt")),)
        elif key == PromptStyle.CHAT:
            messages = yaml12.items(entry, path, "the chat prompt")
            if not messages:
                _fail("the chat prompt is empty; give it messages, or take it out.", path, styles.key_lines[key])
            sources[PromptStyle.CHAT] = tuple(_message(message, path) for message in messages)
        else:
            _fail(
                f'{what} has "{key}"; it may have: chat, completion.{did_you_mean(key, list(PromptStyle))}',
                path,
                styles.key_lines[key],
            )
    if not sources:
        _fail(f"{what} is empty; give it a `completion` text, `chat` messages, or both.", path, styles.line)
    return sources


def _message(node: yaml12.Node, path: Path) -> tuple[str, str]:
    message = yaml12.table(node, path, "a chat message")
    if set(message.entries) != {"role", "content"}:
        _fail("a chat message has exactly the keys role and content.", path, message.line)
    role = yaml12.text(message.entries["role"], path, "`role`")
    if role not in ("system", "developer", "user", "assistant"):
        _fail(f'"{role}" is not a valid role; use system, user or assistant.', path, message.line)
    return role, yaml12.text(message.entries["content"], path, "`content`")


def compiled(sources: Sources, path: Path, line: int, what: str = "prompt") -> dict[PromptStyle, PromptTemplate]:
    """Compile templates.

    Args:
        sources: as they are written.
        path: of the suite file.
        line: where they stand in it.
        what: they are, for messages.

    Raises:
        SuiteFault: one is no template.
    """
    try:
        return {style: compile_template(style, source) for style, source in sources.items()}
    except TemplateFault as fault:
        _fail(f"{clause(fault)}.".replace("prompt", what, 1), path, line)


def _fail(message: str, path: Path, line: int | None) -> NoReturn:
    raise SuiteFault(message, path=path, line=line)

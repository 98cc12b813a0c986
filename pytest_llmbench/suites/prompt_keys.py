"""Read the `prompt` of a suite file: its templates by style, as they are written."""

from typing import NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.prompts import PromptTemplate, TemplateFault, compile_template
from pytest_llmbench.values import PromptStyle

Sources = dict[PromptStyle, tuple[tuple[str, str], ...]]
"""The template texts of each style, as (role, template) pairs; for a completion the role is empty."""


class PromptKeys:
    """The `prompt` of one suite file.

    Raises:
        SuiteFault: it is missing, or something in it is wrong.
    """

    def __init__(self, table: yaml12.Table):
        self._table = table
        self._path = table.path
        self.sources = self._sources()

    def templates(self) -> dict[PromptStyle, PromptTemplate]:
        """Compile them.

        Raises:
            SuiteFault: one is no template.
        """
        try:
            return {style: compile_template(style, source) for style, source in self.sources.items()}
        except TemplateFault as fault:
            self._fail(f"{clause(fault)}.", self._table.key_lines["prompt"])

    def _fail(self, message: str, line: int | None) -> NoReturn:
        raise SuiteFault(message, path=self._path, line=line)

    def _sources(self) -> Sources:
        node = self._table.entries.get("prompt")
        if node is None:
            self._fail("the suite has no `prompt`; give it a `completion` text, `chat` messages, or both.", 1)
        styles = yaml12.table(node, self._path, "`prompt`")
        sources: Sources = {}
        for key, entry in styles.entries.items():
            if key == PromptStyle.COMPLETION:
                sources[PromptStyle.COMPLETION] = (("", yaml12.text(entry, self._path, "the completion prompt")),)
            elif key == PromptStyle.CHAT:
                messages = yaml12.items(entry, self._path, "the chat prompt")
                if not messages:
                    self._fail("the chat prompt is empty; give it messages, or take it out.", styles.key_lines[key])
                sources[PromptStyle.CHAT] = tuple(self._message(message) for message in messages)
            else:
                self._fail(f'`prompt` has "{key}"; it may have: chat, completion.', styles.key_lines[key])
        if not any(sources.values()):
            self._fail("`prompt` is empty; give it a `completion` text, `chat` messages, or both.", styles.line)
        return sources

    def _message(self, node: yaml12.Node) -> tuple[str, str]:
        message = yaml12.table(node, self._path, "a chat message")
        if set(message.entries) != {"role", "content"}:
            self._fail("a chat message has exactly the keys role and content.", message.line)
        role = yaml12.text(message.entries["role"], self._path, "`role`")
        if role not in ("system", "developer", "user", "assistant"):
            self._fail(f'"{role}" is not a valid role; use system, user or assistant.', message.line)
        return role, yaml12.text(message.entries["content"], self._path, "`content`")


def clause(fault: TemplateFault) -> str:
    """Give a fault without a full stop: the sentence goes on behind it."""
    return str(fault).rstrip(".")

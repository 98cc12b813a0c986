"""Read the `examples` of a suite file: few-shot rows with a template of their own, the same for all cases."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding, Severity
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.case_prompts import clause
from pytest_llmbench.suites.prompt_keys import compiled, read_sources
from pytest_llmbench.suites.prompts import TemplateFault
from pytest_llmbench.values import Case, Json, Prompt, PromptStyle

_KEYS = ("rows", "template")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """The examples of a suite: their rows, and all of them rendered, by style."""

    rows: tuple[Mapping[str, Json], ...] = ()
    prompts: Mapping[PromptStyle, Prompt]

    def findings(self, cases: Sequence[Case]) -> Iterator[Finding]:
        """Warn of each case that is an example itself."""
        for case in cases:
            for number, row in enumerate(self.rows, start=1):
                if case.inputs and all(key in row and row[key] == value for key, value in case.inputs.items()):
                    message = f"example {number} is this case, with its answer; take one of them out."
                    yield Finding(severity=Severity.WARNING, message=message, case=case.id)


def read_examples(table: yaml12.Table, styles: Sequence[PromptStyle]) -> Examples:
    """Give the examples of a suite file whose prompt has these styles.

    Raises:
        SuiteFault: something in them is wrong.
    """
    node = table.entries.get("examples")
    return Examples(prompts={}) if node is None else _Reader(table, node, styles).read()


class _Reader:
    def __init__(self, table: yaml12.Table, node: yaml12.Node, styles: Sequence[PromptStyle]):
        self._path = table.path
        self._line = table.key_lines["examples"]
        self._keys = yaml12.table(node, self._path, "`examples`")
        self._styles = styles

    def read(self) -> Examples:
        if sorted(self._keys.entries) != sorted(_KEYS):
            self._fail("`examples` has exactly the keys template and rows, see docs/suites.md.")
        if not self._styles:
            self._fail("`examples` go with a prompt, and the suite has none; write one, or take them out.")
        sources = read_sources(self._keys.entries["template"], self._path, "the template of the examples")
        templates = compiled(sources, self._path, self._keys.key_lines["template"], "template of the examples")
        lacking = next((style for style in self._styles if style not in templates), None)
        if lacking is not None:
            self._fail(f"the suite has a {lacking} prompt, and its examples have no {lacking} template; write one.")
        nodes = yaml12.items(self._keys.entries["rows"], self._path, "the rows of `examples`")
        if not nodes:
            self._fail("`examples` has no rows; write some, or take it out.")
        tables = [yaml12.table(row, self._path, "an example") for row in nodes]
        rows = [{key: self._value(key, entry) for key, entry in row.entries.items()} for row in tables]
        prompts: dict[PromptStyle, Prompt] = {}
        for style in self._styles:
            parts = []
            for number, (row, written) in enumerate(zip(rows, tables, strict=True), start=1):
                try:
                    parts.append(templates[style].render(row))
                except TemplateFault as fault:
                    self._fail(f"example {number}: {clause(fault)}.".replace("the case", "the example"), written.line)
            text = None if style is PromptStyle.CHAT else "".join(part.text or "" for part in parts)
            prompts[style] = Prompt(messages=tuple(one for part in parts for one in part.messages), text=text)
        return Examples(rows=tuple(rows), prompts=prompts)

    def _value(self, key: str, node: yaml12.Node) -> Json:
        # as in a case: `expected: no` is a word
        found: Json = (yaml12.text_value if key == "expected" else yaml12.value)(node, self._path)
        return found

    def _fail(self, message: str, line: int | None = None) -> NoReturn:
        raise SuiteFault(message, path=self._path, line=self._line if line is None else line)

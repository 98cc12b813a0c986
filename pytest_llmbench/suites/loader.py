"""Load suite files: everything is checked before any model is called, and every error has its place.

A suite is a `.yaml` or `.yml` file whose top level has `suite` and one of `grader`, `checks`, or `prompt` with `cases`
or `data`.  The fields are described in docs/suites.md and in the JSON schema shipped as `suite.schema.json`.
"""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn, TypeVar

from pydantic import ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding, GraderKind
from pytest_llmbench.grading.registry import grader_kind
from pytest_llmbench.models.entries import SamplingKeys, Strict
from pytest_llmbench.models.validation import Share, did_you_mean
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.case_keys import cut_texts, unused_inputs
from pytest_llmbench.suites.case_prompts import EXAMPLES, CasePrompts
from pytest_llmbench.suites.case_reader import CaseReader, first_fault
from pytest_llmbench.suites.data_keys import KEYS
from pytest_llmbench.suites.examples import read_examples
from pytest_llmbench.suites.files import is_suite_text
from pytest_llmbench.suites.names import ID_PATTERN, RESERVED_MARKS
from pytest_llmbench.suites.prompt_keys import compiled, read_sources
from pytest_llmbench.suites.prompts import PromptTemplate
from pytest_llmbench.values import (
    AnswerPart,
    Budget,
    Case,
    GateKind,
    Prompt,
    PromptStyle,
    Sampling,
    Source,
    Split,
    Suite,
    Tool,
    Trust,
)

if TYPE_CHECKING:
    from pytest_llmbench.suites.check_loading import CheckReader

Shape = TypeVar("Shape", bound=Strict)

SUITE_KEYS = frozenset(
    {"suite", "grader", "sampling", "prompt", "data", *KEYS, "cases", "trust", "gate", "split", "tools"}
    | {"examples", "read", "source", "budget"}
)


class TrustKeys(Strict):
    """The keys of `trust`, as shares."""

    kappa: Share = Trust().kappa
    tnr: Share = Trust().tnr


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSuite:
    """A suite, its compiled prompt templates by style, and what they make of its cases, by style and case id.

    `findings` are remarks on its file, for `llmbench validate`.
    """

    suite: Suite
    kind: GraderKind
    templates: Mapping[PromptStyle, PromptTemplate]
    prompts: Mapping[PromptStyle, Mapping[str, Prompt]]
    findings: tuple[Finding, ...] = ()

    @property
    def files(self) -> Set[Path]:
        """The suite file, and the files in which its cases stand."""
        return {self.suite.path, *(case.path for case in self.suite.cases)}


def _is_suite(keys: Set[str]) -> bool:
    has_cases = "prompt" in keys and not keys.isdisjoint({"cases", "data"})
    return "suite" in keys and (has_cases or not keys.isdisjoint({"grader", "checks"}))


def load_suite(path: Path, kinds: Mapping[str, GraderKind] = MappingProxyType({})) -> LoadedSuite | None:
    """Load and check a suite file; None if the file is YAML of another kind.

    Args:
        path: the file; what it refers to is relative to its folder.
        kinds: graders of other packages by name.

    Raises:
        SuiteFault: the first fault found, with file and line.
    """
    text = _read_text(path)
    if not is_suite_text(text):
        return None
    top = yaml12.compose(text, path)
    if top is None or not yaml12.is_mapping(top):
        return None
    table = yaml12.table(top, path, "a suite file")
    if not _is_suite(table.entries.keys()):
        return None
    return _Loader(table, kinds, text).load()


class _Loader:
    """One load of one file: holds what its steps share."""

    def __init__(self, table: yaml12.Table, kinds: Mapping[str, GraderKind], text: str):
        self.table = table
        self.kinds = kinds
        self.text = text
        self.path = table.path
        self.name = self._name()
        if "grader" in table.entries and "checks" in table.entries:
            message = "a suite has a `grader` or `checks`, not both; write the grader as a check, see docs/checks.md."
            self._fail(message, table.key_lines["checks"])
        self.checks = None if "grader" in table.entries else _check_reader(table)
        self.kind = self._kind(kinds) if self.checks is None else self.checks.kind
        self.part = self._part()
        self.reader = CaseReader(table, self.name, self.kind, kinds, self.checks)

    def load(self) -> LoadedSuite:
        suite_rule_names = self.kind.suite_keys
        self._check_keys(suite_rule_names)
        sampling = self._sampling()
        node = self.table.entries.get("prompt")
        prompt_line = self.table.key_lines.get("prompt", 1)
        sources = {} if node is None else read_sources(node, self.path, "`prompt`")
        templates = compiled(sources, self.path, prompt_line)
        examples = read_examples(self.table, tuple(templates))
        rules = self._suite_rules(suite_rule_names)
        tools = self._tools(templates)
        rows = self.reader.rows()
        used = frozenset[str]().union(*(template.names for template in templates.values()))
        if self.checks is not None:
            used |= self.checks.names(rows)
        if self.reader.turns is not None:
            used |= self.reader.turns.names(rows)
        used -= {EXAMPLES} if examples.rows else set()
        self.reader.check_keys(rows, used)
        split = self._split()
        read = self.reader.cases(rows, rules, self.part)
        cases = read if split is None else self._with_sides(read, split)
        kind = self.kind if self.checks is None else self.checks.graded_alike(cases)
        asked = CasePrompts(
            templates=templates, place=f"{self.path}:{prompt_line}", examples=examples.prompts, tools=tools
        )
        prompts = asked.render(cases)
        digest = hashlib.sha256(json.dumps([self.kind.name, [c.sha256 for c in cases]]).encode()).hexdigest()
        suite = Suite(
            name=self.name,
            path=self.path,
            grader=self.kind.name,
            cases=cases,
            rules=rules,
            sampling=sampling,
            prompt_source=sources,
            sha256=digest,
            trust=self._trust(),
            gate=self._gate(),
            split=split,
            tools=tools,
            part=self.part,
            source=self._source(),
            budget=self._budget(),
        )
        findings = (
            *(() if self.kind.reads_inputs or not templates else unused_inputs(cases, used)),
            *examples.findings(cases),
            *cut_texts(self.text, self.table.entries.get("cases"), self.path),
            *(() if self.checks is None else (*self.checks.unused_expected(cases, used), *self.checks.findings)),
        )
        return LoadedSuite(suite=suite, kind=kind, templates=templates, prompts=prompts, findings=findings)

    def _check_keys(self, suite_rule_names: frozenset[str]) -> None:
        unknown = [key for key in self.table.entries if key not in SUITE_KEYS | suite_rule_names]
        if unknown:
            gone = set() if self.checks is None else {"grader"}
            known = sorted((SUITE_KEYS | suite_rule_names) - gone)
            what = "a suite with checks" if self.checks is not None else f'a suite with grader "{self.kind.name}"'
            self._fail(
                f'{what} has no key "{unknown[0]}"; its keys are: {", ".join(known)}.{did_you_mean(unknown[0], known)}',
                self.table.key_lines[unknown[0]],
            )

    def _fail(self, message: str, line: int | None) -> NoReturn:
        raise SuiteFault(message, path=self.path, line=line)

    def _name(self) -> str:
        name = yaml12.text(self.table.entries["suite"], self.path, "`suite`")
        line = self.table.key_lines["suite"]
        if not ID_PATTERN.fullmatch(name):
            self._fail(f'"{name}" is not a valid suite name; use letters, digits, ".", "_" and "-".', line)
        if name in RESERVED_MARKS or name.startswith("_"):
            self._fail(f'a suite cannot be named "{name}": its name becomes a pytest mark; take another one.', line)
        return name

    def _kind(self, kinds: Mapping[str, GraderKind]) -> GraderKind:
        name = yaml12.text(self.table.entries["grader"], self.path, "`grader`")
        try:
            return grader_kind(name, kinds)
        except SuiteFault as fault:
            self._fail(fault.message, self.table.key_lines["grader"])

    def _shaped(self, key: str, shape: type[Shape], given: object = None) -> Shape:
        """Read a key that the suite has into its shape; `given` is its value where that is not as YAML reads it."""
        try:
            return shape.model_validate(given or yaml12.value(self.table.entries[key], self.path))
        except ValidationError as fault:
            self._fail(f"{key}: {first_fault(fault, shape)}", self.table.key_lines[key])

    def _sampling(self) -> Sampling:
        node = self.table.entries.get("sampling")
        if node is None:
            return Sampling()
        if not yaml12.is_mapping(node):
            message = "`sampling` must be a mapping such as {max_tokens: 64, temperature: 0}."
            self._fail(message, self.table.key_lines["sampling"])
        return Sampling(**self._shaped("sampling", SamplingKeys).model_dump(exclude_none=True))

    def _trust(self) -> Trust | None:
        if "trust" not in self.table.entries:
            return None
        return Trust(**self._shaped("trust", TrustKeys).model_dump())

    # what reads a key that few suites have is imported with the first of them

    def _part(self) -> AnswerPart | None:
        if "read" not in self.table.entries:
            return None
        from pytest_llmbench.suites.read_keys import read_part

        return read_part(self.table, self.kind)

    def _tools(self, templates: Mapping[PromptStyle, PromptTemplate]) -> tuple[Tool, ...]:
        if "tools" not in self.table.entries:
            return ()
        from pytest_llmbench.suites.tool_keys import read_tools

        tools = read_tools(self.table)
        if tools and templates and PromptStyle.CHAT not in templates:
            self._fail("`tools` go with chat messages; give the suite a `chat` prompt.", self.table.key_lines["tools"])
        return tools

    @staticmethod
    def _with_sides(cases: tuple[Case, ...], split: Split) -> tuple[Case, ...]:
        from pytest_llmbench.suites.split import with_sides

        return with_sides(cases, split)

    def _split(self) -> Split | None:
        node = self.table.entries.get("split")
        if node is None:
            return None
        from pytest_llmbench.suites.split import SplitKeys

        given = yaml12.value(node, self.path)
        if isinstance(given, dict) and "salt" in given:
            given["salt"] = yaml12.text_value(node, self.path)["salt"]
        return Split(**self._shaped("split", SplitKeys, given).model_dump())

    def _source(self) -> Source | None:
        if "source" not in self.table.entries:
            return None
        from pytest_llmbench.suites.source_keys import SourceKeys, source_of

        return source_of(self._shaped("source", SourceKeys))

    def _budget(self) -> Budget | None:
        if "budget" not in self.table.entries:
            return None
        from pytest_llmbench.suites.budget_keys import BudgetKeys

        return Budget(**self._shaped("budget", BudgetKeys).model_dump())

    def _gate(self) -> GateKind:
        node = self.table.entries.get("gate")
        if node is None:
            return GateKind.STATISTICAL
        word = yaml12.text(node, self.path, "`gate`")
        if word not in tuple(GateKind):
            line = self.table.key_lines["gate"]
            self._fail(f'`gate` is "{word}"; it must be statistical, smoke or advice, see docs/gate.md.', line)
        return GateKind(word)

    def _suite_rules(self, names: frozenset[str]) -> object:
        given = {
            key: (yaml12.text_value if key in self.kind.text_fields and not yaml12.is_null(node) else yaml12.value)(
                node, self.path
            )
            for key, node in self.table.entries.items()
            if key in names
        }
        try:
            return self.kind.suite_fields.model_validate(given)
        except ValidationError as fault:
            key = str(fault.errors()[0]["loc"][0]) if fault.errors()[0]["loc"] else ""
            self._fail(first_fault(fault, self.kind.suite_fields), self.table.key_lines.get(key, 1))


def _check_reader(table: yaml12.Table) -> "CheckReader":
    from pytest_llmbench.suites.check_loading import CheckReader

    return CheckReader(table)


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = path.read_bytes()[: fault.start].count(b"\n") + 1
        raise SuiteFault("this file is not UTF-8; save it as UTF-8.", path=path, line=line) from None
    except OSError as fault:
        raise SuiteFault(f"this file cannot be read: {fault.strerror}.", path=path) from None

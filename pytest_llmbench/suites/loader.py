"""Load suite files: everything is checked before any model is called, and every error has its place.

A suite is a `.yaml` or `.yml` file whose top level has `suite` and one of `grader`, `checks`, or `prompt` with `cases`
or `data`.  The fields are described in docs/suites.md and in the JSON schema shipped as `suite.schema.json`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from pydantic import BaseModel, ValidationError

from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.grading.base import Finding, GraderKind
from pytest_llmbench.grading.registry import grader_kind
from pytest_llmbench.models.entries import SamplingKeys, Strict
from pytest_llmbench.models.validation import FROM_TEXT, Share, chief_error, describe_error
from pytest_llmbench.suites import yaml12
from pytest_llmbench.suites.case_keys import cut_texts, misplaced, unused_inputs
from pytest_llmbench.suites.check_loading import CheckReader, digest, read_case_value, unused_expected
from pytest_llmbench.suites.data_files import Row, read_rows
from pytest_llmbench.suites.files import is_suite_text
from pytest_llmbench.suites.prompts import PromptTemplate, TemplateFault, compile_template
from pytest_llmbench.values import Case, GateKind, Json, Prompt, PromptStyle, Sampling, Suite, Trust

ID_PATTERN = re.compile(r"[A-Za-z0-9._-]+")
TAG_PATTERN = re.compile(r"[a-z0-9_-]+")
RESERVED_MARKS = frozenset(
    {
        "and",
        "or",
        "not",
        "skip",
        "skipif",
        "xfail",
        "parametrize",
        "usefixtures",
        "filterwarnings",
        "tryfirst",
        "trylast",
    }
    | {"benchmark", "xdist_group", "llm_suite"}
)
"""What may be no tag or suite name: pytest's own marks, ours, pytest-benchmark's, and the words of `-m`."""

CASE_KEYS = frozenset({"id", "tags", "cluster", "xfail"})
SUITE_KEYS = frozenset({"suite", "grader", "sampling", "prompt", "data", "cases", "trust", "gate"})


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
        if {"grader", "checks"} <= set(table.entries):
            message = "a suite has a `grader` or `checks`, not both; write the grader as a check, see docs/checks.md."
            self._fail(message, table.key_lines["checks"])
        self.checks = None if "grader" in table.entries else CheckReader(table)
        self.kind = self._kind(kinds) if self.checks is None else self.checks.kind
        self.rule_names = self.kind.case_keys
        expected = {"expected"} if self.kind.is_expected_text else set()
        self.null_keys = {"expected"} - expected
        self.text_keys = CASE_KEYS | expected | (self.kind.text_fields & self.rule_names)

    def load(self) -> LoadedSuite:
        suite_rule_names = self.kind.suite_keys
        unknown = [key for key in self.table.entries if key not in SUITE_KEYS | suite_rule_names]
        if unknown:
            gone = set() if self.checks is None else {"grader"}
            known = ", ".join(sorted((SUITE_KEYS | suite_rule_names) - gone))
            what = "a suite with checks" if self.checks is not None else f'a suite with grader "{self.kind.name}"'
            self._fail(
                f'{what} has no key "{unknown[0]}"; its keys are: {known}.',
                self.table.key_lines[unknown[0]],
            )
        sampling = self._sampling()
        sources = self._prompt_sources()
        templates = self._templates(sources)
        rules = self._suite_rules(suite_rule_names)
        rows = [*self._inline_rows(), *self._data_rows()]
        if not rows:
            self._fail("the suite has no cases; write some under `cases:`, or name a file of them with `data:`.", 1)
        used = frozenset[str]().union(*(template.names for template in templates.values()))
        if self.checks is not None:
            used |= self.checks.names(rows)
        self._check_keys(rows, used)
        self.pass_score = getattr(rules, "pass_score", 1.0)
        cases = self._cases(rows)
        kind = self.kind if self.checks is None else self.checks.graded_alike(cases)
        prompts = {style: self._prompts(cases, template) for style, template in templates.items()}
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
        )
        findings = (
            *(() if self.kind.reads_inputs else unused_inputs(cases, used)),
            *cut_texts(self.text, self.table.entries.get("cases"), self.path),
            *(() if self.checks is None else unused_expected(cases, used)),
        )
        return LoadedSuite(suite=suite, kind=kind, templates=templates, prompts=prompts, findings=findings)

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

    def _sampling(self) -> Sampling:
        node = self.table.entries.get("sampling")
        if node is None:
            return Sampling()
        line = self.table.key_lines["sampling"]
        given = yaml12.value(node, self.path)
        if not isinstance(given, dict):
            self._fail("`sampling` must be a mapping such as {max_tokens: 64, temperature: 0}.", line)
        try:
            keys = SamplingKeys.model_validate(given)
        except ValidationError as fault:
            self._fail(f"sampling: {first_fault(fault, SamplingKeys)}", line)
        return Sampling(**keys.model_dump(exclude_none=True))

    def _trust(self) -> Trust | None:
        node = self.table.entries.get("trust")
        if node is None:
            return None
        try:
            return Trust(**TrustKeys.model_validate(yaml12.value(node, self.path)).model_dump())
        except ValidationError as fault:
            self._fail(f"trust: {first_fault(fault, TrustKeys)}", self.table.key_lines["trust"])

    def _gate(self) -> GateKind:
        node = self.table.entries.get("gate")
        if node is None:
            return GateKind.STATISTICAL
        word = yaml12.text(node, self.path, "`gate`")
        if word not in tuple(GateKind):
            line = self.table.key_lines["gate"]
            self._fail(f'`gate` is "{word}"; it must be statistical, smoke or advice, see docs/gate.md.', line)
        return GateKind(word)

    def _prompt_sources(self) -> dict[PromptStyle, tuple[tuple[str, str], ...]]:
        node = self.table.entries.get("prompt")
        if node is None:
            self._fail("the suite has no `prompt`; give it a `completion` text, `chat` messages, or both.", 1)
        styles = yaml12.table(node, self.path, "`prompt`")
        sources: dict[PromptStyle, tuple[tuple[str, str], ...]] = {}
        for key, entry in styles.entries.items():
            if key == PromptStyle.COMPLETION:
                sources[PromptStyle.COMPLETION] = (("", yaml12.text(entry, self.path, "the completion prompt")),)
            elif key == PromptStyle.CHAT:
                messages = yaml12.items(entry, self.path, "the chat prompt")
                if not messages:
                    self._fail("the chat prompt is empty; give it messages, or take it out.", styles.key_lines[key])
                sources[PromptStyle.CHAT] = tuple(self._message(message) for message in messages)
            else:
                self._fail(f'`prompt` has "{key}"; it may have: chat, completion.', styles.key_lines[key])
        if not any(sources.values()):
            self._fail("`prompt` is empty; give it a `completion` text, `chat` messages, or both.", styles.line)
        return sources

    def _message(self, node: yaml12.Node) -> tuple[str, str]:
        message = yaml12.table(node, self.path, "a chat message")
        if set(message.entries) != {"role", "content"}:
            self._fail("a chat message has exactly the keys role and content.", message.line)
        role = yaml12.text(message.entries["role"], self.path, "`role`")
        if role not in ("system", "developer", "user", "assistant"):
            self._fail(f'"{role}" is not a valid role; use system, user or assistant.', message.line)
        return role, yaml12.text(message.entries["content"], self.path, "`content`")

    def _templates(self, sources: Mapping[PromptStyle, Sequence[tuple[str, str]]]) -> dict[PromptStyle, PromptTemplate]:
        try:
            return {style: compile_template(style, source) for style, source in sources.items()}
        except TemplateFault as fault:
            self._fail(f"{_clause(fault)}.", self.table.key_lines["prompt"])

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

    def _inline_rows(self) -> list[Row]:
        node = self.table.entries.get("cases")
        if node is None:
            return []
        rows = []
        for entry in yaml12.items(node, self.path, "`cases`"):
            case = yaml12.table(entry, self.path, "a case")
            values = {key: self._case_value(key, value) for key, value in case.entries.items()}
            checks = None if self.checks is None else case.entries.get("checks")
            rows.append(Row(path=self.path, line=case.line, values=values, checks=checks))
        return rows

    def _case_value(self, key: str, node: yaml12.Node) -> Json:
        if key in _MAY_BE_NULL and yaml12.is_null(node):
            return None
        if self.checks is not None and key == "checks":
            given: Json = read_case_value(node, self.path)
            return given
        read = yaml12.text_value if key in self.text_keys else yaml12.value
        found: Json = read(node, self.path)
        return found

    def _data_rows(self) -> list[Row]:
        node = self.table.entries.get("data")
        if node is None:
            return []
        line = self.table.key_lines["data"]
        file = self.path.parent / yaml12.text(node, self.path, "`data`")
        if not file.is_file():
            self._fail(f"there is no data file {file}; `data` is a path relative to the suite file.", line)
        return read_rows(file, self.text_keys)

    def _check_keys(self, rows: Sequence[Row], used: Set[str]) -> None:
        """Refuse a key that nothing reads, and that is a field somewhere else or nearly one."""
        known = CASE_KEYS | self.rule_names | used
        if self.kind.reads_inputs:
            return
        first = {key: row for row in reversed(rows) for key in row.values if key not in known}
        for key, row in first.items():
            message = misplaced(key, self.kind, self.kinds, case_keys=CASE_KEYS)
            if message is not None:
                raise row.fault(f'case "{row.values["id"]}": {message}' if "id" in row.values else message)

    def _cases(self, rows: Sequence[Row]) -> tuple[Case, ...]:
        first_seen: dict[str, Row] = {}
        cases = []
        for row in rows:
            case = self._case(row)
            if case.id in first_seen:
                before = first_seen[case.id]
                raise row.fault(f'case id "{case.id}" occurs twice, first at {before.place}; ids must be unique.')
            first_seen[case.id] = row
            cases.append(case)
        return tuple(cases)

    def _case(self, row: Row) -> Case:
        values = row.values
        case_id = values.get("id")
        if not isinstance(case_id, str) or not case_id:
            columns = ", ".join(values)
            raise row.fault(f"a case has no id; every case needs a unique, permanent one (it has: {columns}).")
        if not ID_PATTERN.fullmatch(case_id):
            raise row.fault(f'"{case_id}" is not a valid case id; use letters, digits, ".", "_" and "-".')
        own: dict[str, Json] = {
            key: value
            for key, value in values.items()
            if key in self.rule_names and (value is not None or key in self.null_keys)
        }
        expected = own.get("expected")
        inputs = {k: v for k, v in values.items() if k not in CASE_KEYS and k not in self.rule_names}
        rules = self._case_rules(row, case_id, own)
        if self.checks is None:
            sha256 = _digest(self.kind.name, values, self.null_keys)
        else:
            fields = {**inputs, "id": case_id, **({"expected": expected} if "expected" in own else {})}
            pass_score = getattr(rules, "pass_score", None) or self.pass_score
            checks = self.checks.of_case(row, case_id, fields, pass_score)
            rules, sha256 = checks, digest(_counted(values, self.null_keys), checks)
        return Case(
            suite=self.name,
            id=case_id,
            inputs=inputs,
            rules=rules,
            expected=tuple(map(str, expected)) if isinstance(expected, list) else _text_or_none(expected),
            tags=self._tags(row, case_id),
            cluster=self._plain_text(row, case_id, "cluster"),
            xfail=self._plain_text(row, case_id, "xfail"),
            sha256=sha256,
            path=row.path,
            line=row.line,
        )

    def _case_rules(self, row: Row, case_id: str, own: dict[str, Json]) -> object:
        try:
            return self.kind.case_fields.model_validate(own, context=FROM_TEXT if row.is_text else None)
        except ValidationError as fault:
            error = fault.errors()[0]
            if error["type"] == "missing" and len(error["loc"]) == 1:
                name = error["loc"][0]
                message = f'case "{case_id}" has no {name}; each {self.kind.name} case needs one, see docs/suites.md.'
                raise row.fault(message) from None
            raise row.fault(f'case "{case_id}": {first_fault(fault, self.kind.case_fields)}') from None

    def _plain_text(self, row: Row, case_id: str, key: str) -> str | None:
        found = row.values.get(key)
        if isinstance(found, list | dict):
            raise row.fault(f'case "{case_id}": `{key}` must be a text.')
        return _text_or_none(found)

    def _tags(self, row: Row, case_id: str) -> tuple[str, ...]:
        given = row.values.get("tags")
        if given is None:
            return ()
        if isinstance(given, str):
            given = re.split(r"[\s,;]+", given.strip()) if given.strip() else []
        if not isinstance(given, list):
            raise row.fault(f'case "{case_id}": `tags` must be a list of words.')
        for tag in given:
            if not isinstance(tag, str) or not TAG_PATTERN.fullmatch(tag):
                raise row.fault(f'case "{case_id}": "{tag}" is not a valid tag; use a-z, 0-9, "_" and "-".')
            if tag.startswith("_"):
                raise row.fault(f'case "{case_id}": "{tag}" cannot be a tag, no mark may begin with "_"; take it off.')
            if tag in RESERVED_MARKS:
                raise row.fault(f'case "{case_id}": "{tag}" cannot be a tag, pytest uses it; take another word.')
        return tuple(map(str, given))

    def _prompts(self, cases: Sequence[Case], template: PromptTemplate) -> dict[str, Prompt]:
        prompts = {}
        for case in cases:
            try:
                prompts[case.id] = template.render(case.inputs)
            except TemplateFault as fault:
                where = f"{self.path}:{self.table.key_lines['prompt']}"
                message = f'case "{case.id}": {_clause(fault)} ({template.style} prompt at {where}).'
                raise SuiteFault(message, path=case.path, line=case.line) from None
        return prompts


_MAY_BE_NULL = frozenset({"tags", "cluster", "xfail"})
"""Case fields that null leaves out; in `id` and `expected` it is a word."""


def _clause(fault: TemplateFault) -> str:
    """Give a fault without a full stop: the sentence goes on behind it."""
    return str(fault).rstrip(".")


def first_fault(fault: ValidationError, fields: type[BaseModel]) -> str:
    """Put the first error of a validation into a sentence: where in the value, and what."""
    return f"{describe_error(chief_error(fault), fields)}."


def _counted(values: Mapping[str, Json], null_keys: Set[str]) -> dict[str, Json]:
    """Give the fields of a case that its digest is of."""
    return {
        key: value
        for key, value in values.items()
        if key not in ("tags", "cluster", "xfail") and (value is not None or key in null_keys)
    }


def _digest(kind: str, values: Mapping[str, Json], null_keys: Set[str]) -> str:
    content = json.dumps([kind, _counted(values, null_keys)], ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = path.read_bytes()[: fault.start].count(b"\n") + 1
        raise SuiteFault("this file is not UTF-8; save it as UTF-8.", path=path, line=line) from None
    except OSError as fault:
        raise SuiteFault(f"this file cannot be read: {fault.strerror}.", path=path) from None


def _text_or_none(found: Json) -> str | None:
    return None if found is None or found == "" else str(found)

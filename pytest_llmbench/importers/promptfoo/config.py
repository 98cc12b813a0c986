"""Read a configuration of promptfoo as suites: one for each prompt, with the same tests.

Source: promptfoo 0.121.20; what is mapped to what is listed in docs/import.md.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_llmbench.importers.base import (
    Imported,
    ImportedCase,
    ImportedSuite,
    LeftOut,
    NotMapped,
    Place,
    SourceFault,
    Unmapped,
    tag,
)
from pytest_llmbench.importers.promptfoo.assertion import Assertion
from pytest_llmbench.importers.promptfoo.called import VARIABLES
from pytest_llmbench.importers.promptfoo.checks import BUDGETS, EMBEDDER, check_for, is_similar, limit_of
from pytest_llmbench.importers.promptfoo.model_graded import MODEL_GRADED, grading_note
from pytest_llmbench.importers.promptfoo.prompts import PromptSource, read_prompts
from pytest_llmbench.importers.promptfoo.providers import models_file, secrets_below
from pytest_llmbench.importers.promptfoo.python_code import PythonCode
from pytest_llmbench.importers.promptfoo.templates import as_printed, dump, dumped_name, lookup, own_name, roots
from pytest_llmbench.importers.promptfoo.tests_of import Test, Tests
from pytest_llmbench.importers.source import Folder, Value
from pytest_llmbench.values import Json

FILES = ("promptfooconfig.yaml", "promptfooconfig.yml", "promptfooconfig.json")
CODE = ("promptfooconfig.js", "promptfooconfig.cjs", "promptfooconfig.mjs", "promptfooconfig.ts")

_IGNORED = frozenset(
    [
        "description",
        "providers",
        "targets",
        "prompts",
        "tests",
        "defaultTest",
        "scenarios",
        "assertionTemplates",
        "env",
        "outputPath",
        "sharing",
        "tags",
        "evaluateOptions",
        "commandLineOptions",
        "derivedMetrics",
        "writeLatestResults",
        "metadata",
        "$schema",
    ]
)
_REFUSED = {
    "redteam": "makes tests by a model; write its tests to a file and import that",
    "extensions": "is code that changes tests and results; import a configuration without it",
    "nunjucksFilters": "is code that templates call; write the prompts without it",
    "tracing": "watches an application from within; take it out",
}
_TOP_KEY = re.compile(r"""^(?:\{?\s{0,4}["'])?([A-Za-z]\w*)["']?\s*:""", re.MULTILINE)
_NAMED = re.compile(r"\{\{-? *([A-Za-z_]\w*)")

_BUDGET = "`cost` and `latency` are the budget of the whole suite: reported, and no part of any score."
_SIMILAR = (
    f"`similar` is advice here, with the entry `{EMBEDDER}` of the models file; choose a threshold for that embedder "
    "before you let it count."
)
_EMBEDDER_ENTRY = (f"[{EMBEDDER}]", 'provider = "openai"', 'model = "text-embedding-3-large"', "")
"""What promptfoo embeds with where the configuration names nothing else."""

_SAMPLING = {"max_tokens": 1024, "temperature": 0}
"""What promptfoo asks of a model where the configuration has nothing of its own."""


def find(source: Path) -> Path | None:
    """Give the configuration that a path names: itself, or the one of its folder; None if there is none.

    Raises:
        SourceFault: it is code.
    """
    if source.is_dir():
        code = next((source / name for name in CODE if (source / name).is_file()), None)
        found = next((source / name for name in FILES if (source / name).is_file()), None)
        if found is None and code is not None:
            raise SourceFault(f"{code}: this configuration is code; write it as YAML, and import that.")
        return found
    return source


def looks_like(path: Path) -> bool:
    """Return whether the lines of a file begin as those of a configuration do; it is not parsed."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    keys = set(_TOP_KEY.findall(text))
    return "prompts" in keys and bool(keys & {"providers", "targets", "tests", "scenarios", "defaultTest"})


def is_promptfoo(tree: Value) -> bool:
    """Return whether a file looks like a configuration of promptfoo."""
    keys = set(tree.keys)
    return "prompts" in keys and bool(keys & {"providers", "targets", "tests", "scenarios", "defaultTest"})


def read(path: Path, tree: Value, folder: Folder) -> Imported:
    """Read a configuration.

    Raises:
        SourceFault: it has no prompts, or a file of it cannot be read.
    """
    return _Config(path, tree, folder).read()


class _Config:
    def __init__(self, path: Path, tree: Value, folder: Folder):
        self.path = path
        self.tree = tree
        self.folder = folder
        self.unmapped: list[Unmapped] = []
        self.notes: list[str] = []
        self.code = PythonCode(folder)
        self._budget: dict[str, float] = {}

    def read(self) -> Imported:
        prompts = self.tree.get("prompts")
        if prompts is None:
            raise SourceFault(f"{self.tree.place}: this configuration has no prompts.")
        self._check_keys()
        sources, refused = read_prompts(prompts, self.folder)
        self.unmapped += [fault.unmapped for fault in refused]
        tests = Tests(config=self.tree, folder=self.folder)
        found: list[Test] = []
        try:
            found = list(tests.all())
        except NotMapped as fault:
            self.unmapped.append(fault.unmapped)
        self.unmapped += tests.unread
        left_out = [LeftOut(given=given, why=(why,)) for given, why in tests.refused]
        self.notes += tests.notes
        printed = self._providers()
        suites = [one for source in sources if (one := self._suite(source, sources, found, left_out)) is not None]
        if _SIMILAR in self.notes:
            printed += _EMBEDDER_ENTRY
        if printed:
            printed = [
                "models file (fixtures/models.toml) for its providers:",
                *(f"    {line}".rstrip() for line in printed),
            ]
        return Imported(
            suites=suites,
            files=tuple(self.folder.read),
            unmapped=self.unmapped,
            printed=printed,
            code=self.code.files(self.path.name),
        )

    def _check_keys(self) -> None:
        for key in self.tree.keys:
            entry = self.tree.get(key)
            if entry is None or key in _IGNORED or not entry.value:
                continue
            why = _REFUSED.get(key, "is not mapped; take it out")
            self.unmapped.append(Unmapped(place=entry.place, message=f"`{key}` {why}, or pass --partial."))

    def _providers(self) -> list[str]:
        providers = self.tree.get("providers") or self.tree.get("targets")
        lines: list[str] = []
        if providers is not None:
            lines, refused, secrets = models_file(providers)
            self.unmapped += refused
            self.notes += secrets
        environment = self.tree.get("env")
        for key, place in secrets_below(environment) if environment is not None else ():
            self.notes.append(f"{place}: the secret in `{key}` is not copied; set it as an environment variable.")
        return lines

    def _suite(
        self,
        source: PromptSource,
        sources: Sequence[PromptSource],
        tests: Sequence[Test],
        left_out: Sequence[LeftOut],
    ) -> ImportedSuite | None:
        names = source.names | {source.label}
        mine = [test for test in tests if test.prompts is None or names & set(test.prompts)]
        variables = [test.variables for test in mine]
        self._budget = {}
        try:
            chat = source.chat(variables)
        except NotMapped as fault:
            self.unmapped.append(fault.unmapped)
            return None
        shared, cases, refused = self._cases(source, mine)
        budget = {key: self._budget[key] for key in sorted(self._budget)}
        if budget:
            self._note(_BUDGET)
        return ImportedSuite(
            label=source.label if len(sources) > 1 else "",
            keys={"sampling": _SAMPLING, "prompt": {"chat": chat}, **({"budget": budget} if budget else {})},
            checks=shared,
            cases=cases,
            left_out=[*left_out, *refused],
            notes=tuple(self.notes),
        )

    def _cases(
        self, source: PromptSource, tests: Sequence[Test]
    ) -> tuple[Sequence[Mapping[str, Any]], list[ImportedCase], list[LeftOut]]:
        """Give the checks that all cases share, the cases, and the tests that are left out."""
        shared = self._shared(tests)
        graded: list[tuple[Test, list[dict[str, Any]], float | None]] = []
        refused: list[LeftOut] = []
        for test in tests:
            checks, why = self._checks([*(() if shared else test.default), *test.own], [test.variables])
            score, more = _pass_score(test)
            counted = [*shared, *checks]
            more += _counted_there(test)
            why += more or ([] if why else _undecided(test, counted))
            if why:
                refused.append(LeftOut(given=test.given, why=tuple(why)))
            else:
                graded.append((test, _named_apart(checks, counted), score))
        texts = [*shared, *(check for _, checks, _ in graded for check in checks)]
        used = frozenset(use.path for _, one in source.messages for use in one.uses if use.how != "dump")
        written = roots(used) | frozenset(_NAMED.findall(json.dumps(texts, ensure_ascii=False)))
        variables = {key for test, _, _ in graded for key in test.variables}
        names = frozenset(key for key in variables if key in written or own_name(key) in written)
        dumped = roots(use.path for _, one in source.messages for use in one.uses if use.how == "dump")
        unused = frozenset() if self._calls(texts) else variables - names - dumped
        if unused:
            self._note(f"no template uses these variables, so that they are left out: {', '.join(sorted(unused))}.")
        cases = [self._case(source, test, checks, score, names, shared) for test, checks, score in graded]
        return shared, cases, refused

    def _shared(self, tests: Sequence[Test]) -> Sequence[Mapping[str, Any]]:
        """Give the checks of `defaultTest` if every test has them, and each is mapped; else each test has its own."""
        if not tests or not all(test.default for test in tests):
            return ()
        checks, why = self._checks(tests[0].default, [test.variables for test in tests])
        return () if why else checks

    def _checks(
        self, assertions: Sequence[Value], variables: Sequence[Mapping[str, Json]]
    ) -> tuple[list[dict[str, Any]], list[Unmapped]]:
        checks: list[dict[str, Any]] = []
        why: list[Unmapped] = []
        for value in assertions:
            try:
                one = Assertion(value=value, folder=self.folder, variables=variables, code=self.code)
                if one.type in BUDGETS:
                    self._limit(one)
                else:
                    checks.append(self._check(one))
            except NotMapped as fault:
                why.append(fault.unmapped)
        return _named_apart(checks, checks), why

    def _limit(self, assertion: Assertion) -> None:
        """Take a limit into the budget of the suite, which has one for all its cases.

        Raises:
            NotMapped: another test has another limit.
        """
        key, most = limit_of(assertion)
        if self._budget.setdefault(key, most) != most:
            other = f"`{key}: {self._budget[key]:g}` of another test"
            assertion.fail(f"it differs from {other}, and a suite has one budget; write one limit for all")

    def _check(self, assertion: Assertion) -> dict[str, Any]:
        if assertion.type.removeprefix("not-") in MODEL_GRADED:
            found = check_for(assertion)
            self._note(grading_note(assertion.type))
            return found
        if assertion.type != "assert-set":
            found = check_for(assertion)
            if is_similar(found):
                self._note(_SIMILAR)
            return found
        inner: list[dict[str, Any]] = []
        members = assertion.value.get("assert")
        for value in members.items if members is not None else ():
            one = replace(assertion, value=value)
            one_check = self._check(one)
            if is_similar(one_check):
                one.fail("within a set it would count, and `similar` is advice here; take it out of the set")
            if one_check.pop("advice", False):
                self._note(f"{one.place}: an assertion of weight 0 within a set is left out; it never counts.")
            else:
                inner.append(one_check)
        if not inner:
            assertion.fail("nothing in it counts; give an assertion a weight")
        check: dict[str, Any] = {"all": _named_apart(inner, inner)}
        if assertion.threshold is not None:
            check["pass_score"] = _share(assertion.threshold, assertion.place, "a set")
        return assertion.weighted(check)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _calls(self, checks: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether a check calls code of the configuration."""
        return f'"function": "{self.code.name}:' in json.dumps(checks, default=str)

    def _case(
        self,
        source: PromptSource,
        test: Test,
        checks: Sequence[Mapping[str, Any]],
        score: float | None,
        used: frozenset[str],
        shared: Sequence[Mapping[str, Any]],
    ) -> ImportedCase:
        inputs: dict[str, Json] = {}
        conditions = {use.path.split(".")[0] for _, one in source.messages for use in one.uses if use.how == "if"}
        for key, value in test.variables.items():
            if key in used:
                inputs[own_name(key)] = _condition(value) if key in conditions else as_printed(value)
        for _, template in source.messages:
            for use in template.uses:
                if use.how == "dump":
                    inputs[dumped_name(use.path)] = dump(lookup(test.variables, use.path))
        if self._calls([*shared, *checks]):
            inputs[VARIABLES] = dict(test.variables)
        tags = [tag(f"{key}-{value}") for key, value in test.metadata.items() if isinstance(value, str | int)]
        tags += [
            tag(f"{key}-{one}") for key, value in test.metadata.items() if isinstance(value, list) for one in value
        ]
        return ImportedCase(
            inputs=inputs,
            place=test.place,
            name=test.description,
            keyed_by=test.variables,
            checks=checks,
            pass_score=score,
            tags=tuple(dict.fromkeys(one for one in tags if one is not None)),
            given=test.given,
        )


def _condition(value: Json) -> Json:
    """Give the value of a condition; a null is as false as an empty text, and no input can be one."""
    return "" if value is None else value


def _pass_score(test: Test) -> tuple[float | None, list[Unmapped]]:
    if test.threshold is None:
        return None, []
    try:
        return _share(test.threshold, test.place, "a test"), []
    except NotMapped as fault:
        return None, [fault.unmapped]


def _share(threshold: float, place: Place, what: str) -> float:
    if not 0 < threshold <= 1:
        always = "any answer passes" if threshold <= 0 else "no answer passes"
        raise NotMapped(f"with a threshold of {threshold:g}, {always} {what}; write one above 0 and up to 1.", place)
    return threshold


def _counted_there(test: Test) -> list[Unmapped]:
    """Refuse what is part of the score there and not here, in a test that a score decides."""
    found = []
    for one in (*test.default, *test.own) if test.threshold is not None else ():
        kind = one.get("type")
        name = "" if kind is None else str(kind.value).removeprefix("not-").partition(":")[0]
        weight = one.get("weight")
        if kind is not None and name in (*BUDGETS, "similar") and (weight is None or weight.value != 0):
            message = (
                f"assert {kind.value}: it is part of the score that the `threshold` of the test is about, and is only "
                "reported here; take it or the threshold out, or pass --partial."
            )
            found.append(Unmapped(place=kind.place, message=message))
    return found


def _undecided(test: Test, checks: Sequence[Mapping[str, Any]]) -> list[Unmapped]:
    """Refuse a test that passes with any answer."""
    if not checks:
        message = "a test without `assert` passes with any answer; write one, or pass --partial."
        if test.own or test.default:
            message = "`cost` and `latency` are reported here and decide nothing; add an assertion, or pass --partial."
    elif all(check.get("advice") for check in checks):
        message = "all of its assertions have weight 0, so that nothing decides; give one a weight, or pass --partial."
        if any(is_similar(check) for check in checks):
            message = "`similar` is advice here, so that nothing decides; add another assertion, or pass --partial."
    else:
        return []
    return [Unmapped(place=test.place, message=message)]


def _named_apart(checks: Sequence[dict[str, Any]], beside: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Take the names off that are not of one check alone, among those beside it too."""
    names = [check.get("name") for check in beside]
    return [
        {key: value for key, value in check.items() if key != "name" or names.count(value) == 1} for check in checks
    ]

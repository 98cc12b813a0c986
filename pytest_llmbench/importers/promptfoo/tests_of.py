"""The tests of a configuration as promptfoo runs them: files read, defaults and scenarios merged, lists multiplied.

Source: promptfoo 0.121.20, `src/csv.ts` and `src/evaluator.ts`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from pytest_llmbench.importers.base import NotMapped, Place, SourceFault, Unmapped
from pytest_llmbench.importers.promptfoo.python_code import PYTHON
from pytest_llmbench.importers.promptfoo.rows import csv_tests, from_json, placed
from pytest_llmbench.importers.promptfoo.templates import resolved
from pytest_llmbench.importers.source import Folder, Value
from pytest_llmbench.importers.trusted_code import result_of
from pytest_llmbench.values import Json

_CODE = re.compile(r"\.(?:[cm]?[jt]sx?|py|rb|sh)(?::\w+)?$")
_MAX_TESTS = 200_000
_TEST_KEYS = frozenset({"description", "vars", "assert", "options", "metadata", "threshold", "prompts"})
_OPTIONS = frozenset({"disableVarExpansion", "disableDefaultAsserts", "provider", "repeat", "runSerially"})
_NO_OPTIONS = {
    "transform": "changes the output with code; grade the answer as it is",
    "postprocess": "changes the output with code; grade the answer as it is",
    "transformVars": "changes the variables with code; write them out",
    "prefix": "is put before the prompt; write it into the prompt",
    "suffix": "is put behind the prompt; write it into the prompt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One test with its defaults, of one combination of variables.

    `own` are its assertions, `default` those of `defaultTest`.  `given` is how the configuration holds it.
    """

    place: Place
    description: str | None
    variables: Mapping[str, Json]
    own: Sequence[Value]
    default: Sequence[Value]
    threshold: float | None
    metadata: Mapping[str, Json]
    prompts: tuple[str, ...] | None
    given: Any


@dataclass(slots=True, kw_only=True)
class Tests:
    """Reads the tests of a configuration; `refused` collects those that cannot be, with their reasons."""

    config: Value
    folder: Folder
    refused: list[tuple[Any, Unmapped]] = field(default_factory=list)
    unread: list[Unmapped] = field(default_factory=list)
    """Files of tests that cannot be read, so that nobody knows how many are left out."""
    notes: list[str] = field(default_factory=list)

    def all(self) -> Iterator[Test]:
        """Give the tests in their order."""
        default = self.config.get("defaultTest")
        if default is not None and isinstance(default.value, str):
            default = self._file(default)
        scenarios = self.config.get("scenarios")
        listed = self.config.get("tests")
        pairs = self._listed(listed) if listed is not None else iter(())
        count = 0
        for test in (*pairs, *(self._scenarios(scenarios) if scenarios is not None else ())):
            try:
                for one in self._test(test, default):
                    count += 1
                    if count > _MAX_TESTS:
                        raise SourceFault(f"{test.place}: the configuration has over {_MAX_TESTS:,} tests; divide it.")
                    yield one
            except NotMapped as fault:
                self.refused.append((_given(test), fault.unmapped))

    def _listed(self, tests: Value) -> Iterator[Value]:
        for entry in tests.items:
            try:
                yield from self._entry(entry)
            except NotMapped as fault:
                self.unread.append(fault.unmapped)

    def _entry(self, entry: Value) -> Iterator[Value]:
        path = entry.get("path")
        if path is not None:
            config = entry.get("config")
            yield from self._made(str(path.value), [] if config is None else [config.plain()], entry.place)
        elif not isinstance(entry.value, str):
            yield entry
        else:
            name = entry.value.removeprefix("file://")
            if re.match(r"https?://|huggingface://|az://", name):
                raise NotMapped(f'"{name}" is fetched from elsewhere; download it into the folder.', entry.place)
            if _CODE.search(name):
                yield from self._made(name, [], entry.place)
                return
            for file in self.folder.matching(name, entry.place):
                yield from self._tests_in(file, entry.place)

    def _made(self, given: str, arguments: Sequence[Json], place: Place) -> Iterator[Value]:
        """Give the tests that a function of the source makes, frozen."""
        name = given.removeprefix("file://")
        python = PYTHON.fullmatch(name)
        if python is None:
            raise NotMapped(f'the tests of "{name}" are made by code; write them to a file.', place)
        if not self.folder.settings.trusts_code:
            way_out = "write them to a file, or pass --trust-code to run it"
            raise NotMapped(f'the tests of "{name}" are made by code; {way_out}.', place)
        file = self.folder.file(python["file"], place)
        self.folder.text(file)
        found = result_of(file, python["function"] or "generate_tests", arguments, place)
        if not isinstance(found, list) or len(found) > _MAX_TESTS:
            raise NotMapped(
                f'"{name}" gave no list of at most {_MAX_TESTS:,} tests; have it give one, or write it out.', place
            )
        made = f"the test that {name} made is" if len(found) == 1 else f"the {len(found)} tests that {name} made are"
        self.notes.append(f"{place}: {made} frozen; import again to renew.")
        yield from (placed(one, place) for one in found)

    def _tests_in(self, path: Any, place: Place) -> Iterator[Value]:
        suffix = path.suffix.lower()
        if suffix == ".csv":
            yield from csv_tests(self.folder.text(path), path)
        elif suffix in (".yaml", ".yml", ".json"):
            yield from self.folder.tree(path).items
        elif suffix == ".jsonl":
            for number, line in enumerate(self.folder.text(path).split("\n"), start=1):
                if line.strip():
                    yield from_json(line, Place(path=path, line=number))
        else:
            raise NotMapped(f'"{path.name}" is of no kind that holds tests; use .yaml, .json, .jsonl or .csv.', place)

    def _scenarios(self, scenarios: Value) -> Iterator[Value]:
        for entry in scenarios.items:
            scenario = self._file(entry) if isinstance(entry.value, str) else entry
            for one in scenario.items if isinstance(scenario.value, list) else (scenario,):
                tests = one.get("tests")
                rows = list(self._listed(tests)) if tests is not None else [Value({}, one.place)]
                config = one.get("config")
                for data in config.items if config is not None else ():
                    yield from (_merged(data, test) for test in rows)

    def _file(self, entry: Value) -> Value:
        name = str(entry.value).removeprefix("file://")
        return self.folder.tree(self.folder.file(name, entry.place))

    def _test(self, test: Value, default: Value | None) -> Iterator[Test]:
        if not isinstance(test.value, dict):
            raise NotMapped("a test is a mapping with `vars` and `assert`; write one.", test.place)
        for key in test.keys:
            if key not in _TEST_KEYS and test.get(key) is not None:
                raise NotMapped(
                    f"`{key}` of a test is not mapped; take it out, or pass --partial.", test.value[key].place
                )
        options = {**_entries(default, "options"), **_entries(test, "options")}
        self._check_options(options, test.place)
        given = {**self._variables(default), **self._variables(test)}
        places = {key: value.place for key, value in given.items()}
        plain = {key: self._variable(value) for key, value in given.items()}
        is_alone = bool(options.get("disableVarExpansion") and options["disableVarExpansion"].value)
        skips = options.get("disableDefaultAsserts")
        threshold = test.get("threshold") or (None if default is None else default.get("threshold"))
        description = test.get("description")
        metadata = {**_entries(default, "metadata"), **_entries(test, "metadata")}
        for variables in combinations(plain, is_alone=is_alone):
            yield Test(
                place=test.place,
                description=None if description is None else str(description.value),
                variables=resolved(variables, next(iter(places.values()), test.place)),
                own=self._assertions(test),
                default=() if skips is not None and skips.value else self._assertions(default),
                threshold=None if threshold is None else _number(threshold),
                metadata={key: value.plain() for key, value in metadata.items()},
                prompts=_prompts(test.get("prompts") or (None if default is None else default.get("prompts"))),
                given=_given(test),
            )

    def _check_options(self, options: Mapping[str, Value], place: Place) -> None:
        for key, value in options.items():
            if value.value in (None, False, ""):
                continue
            if key not in _OPTIONS:
                why = _NO_OPTIONS.get(key, "is not mapped; take it out")
                raise NotMapped(f"the option `{key}` {why}, or pass --partial.", value.place)
            note = "`repeat` of a test is not taken over; pass --llm-samples K."
            if key == "repeat" and note not in self.notes:
                self.notes.append(note)
            if key == "disableDefaultAsserts" or key == "disableVarExpansion":
                continue
        del place

    def _variables(self, test: Value | None) -> dict[str, Value]:
        found = None if test is None else test.get("vars")
        if found is None:
            return {}
        if isinstance(found.value, str):
            found = self._file(found)
        if not isinstance(found.value, dict):
            raise NotMapped("`vars` is a mapping of names to values; write one.", found.place)
        return dict(found.value)

    def _variable(self, value: Value) -> Json:
        given = value.plain()
        if isinstance(given, str) and given.startswith("package:"):
            raise NotMapped(f'"{given}" is code; write out what it gives.', value.place)
        if not isinstance(given, str) or not given.startswith("file://"):
            found: Json = given
            return found
        name = given.removeprefix("file://")
        if _CODE.search(name):
            raise NotMapped(f'"{name}" is code; write out what it gives.', value.place)
        paths = self.folder.matching(name, value.place)
        texts = [self._file_text(path, value.place) for path in paths]
        return texts if len(texts) > 1 else texts[0]

    def _file_text(self, path: Any, place: Place) -> str:
        if path.suffix.lower() in (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp3", ".wav", ".mp4", ".svg"):
            raise NotMapped(f'"{path.name}" is no text; cases hold text alone.', place)
        if path.suffix.lower() in (".yaml", ".yml"):
            return json.dumps(self.folder.tree(path).plain(), ensure_ascii=False, separators=(",", ":"))
        return self.folder.text(path).strip()

    def _assertions(self, test: Value | None) -> Sequence[Value]:
        found = None if test is None else test.get("assert")
        if found is None:
            return ()
        if not isinstance(found.value, list):
            raise NotMapped("`assert` is a list; write one.", found.place)
        return tuple(self.referenced(entry) for entry in found.value)

    def referenced(self, assertion: Value, depth: int = 0) -> Value:
        """Put in what `$ref` names; an assertion's own keys win.

        Raises:
            NotMapped: it names nothing of this file.
        """
        if not isinstance(assertion.value, dict):
            raise NotMapped("an assertion is a mapping with a `type`; write one.", assertion.place)
        reference = assertion.get("$ref")
        if reference is not None:
            named: Value | None = self.config
            name = str(reference.value)
            if not name.startswith("#/"):
                raise NotMapped(f'`$ref: "{name}"` leaves the file; write the assertion out.', reference.place)
            for step in name.removeprefix("#/").split("/"):
                named = None if named is None else named.get(step)
            if named is None or not isinstance(named.value, dict) or depth > len(self.config.keys):
                raise NotMapped(f'`$ref: "{name}"` names no assertion; write it out.', reference.place)
            own = {key: value for key, value in assertion.value.items() if key != "$ref"}
            return self.referenced(Value({**named.value, **own}, assertion.place), depth + 1)
        inner = assertion.get("assert")
        if inner is not None:
            members = [self.referenced(entry, depth + 1) for entry in inner.items]
            return Value({**assertion.value, "assert": Value(members, inner.place)}, assertion.place)
        return assertion


def combinations(variables: Mapping[str, Json], *, is_alone: bool) -> Iterator[dict[str, Json]]:
    """Give each combination of the variables that are lists of texts; a list of anything else is one value."""
    choices = [
        value if isinstance(value, list) and value and isinstance(value[0], str) and not is_alone else [value]
        for value in variables.values()
    ]
    for chosen in product(*choices):
        yield dict(zip(variables, chosen, strict=True))


def _merged(data: Value, test: Value) -> Value:
    """Put a test of a scenario over a row of its `config`."""
    odd = next((one for one in (data, test) if not isinstance(one.value, dict)), None)
    if odd is not None:
        raise NotMapped("a row of a scenario and its tests are mappings; write them so.", odd.place)
    found = {**data.value, **test.value}
    for key in ("vars", "options", "metadata"):
        if data.get(key) is not None or test.get(key) is not None:
            found[key] = Value({**_entries(data, key), **_entries(test, key)}, test.place)
    listed = [one.get("assert") for one in (data, test)]
    both = [entry for one in listed if one is not None for entry in one.items]
    if both:
        found["assert"] = Value(both, test.place)
    return Value(found, test.place if test.keys else data.place)


def _entries(test: Value | None, key: str) -> dict[str, Value]:
    found = None if test is None else test.get(key)
    return dict(found.value) if found is not None and isinstance(found.value, dict) else {}


def _number(value: Value) -> float:
    if isinstance(value.value, bool) or not isinstance(value.value, int | float):
        raise NotMapped("`threshold` of a test is a number; write one.", value.place)
    return value.value


def _prompts(value: Value | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(str(entry.value) for entry in value.items)


def _given(test: Value) -> Any:
    try:
        return test.plain()
    except NotMapped:
        return str(test.value)

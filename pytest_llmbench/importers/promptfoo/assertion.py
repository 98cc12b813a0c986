"""An assertion of promptfoo as it is written: its type, value, threshold and weight."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pytest_llmbench.importers.base import NotMapped, Place
from pytest_llmbench.importers.promptfoo.python_code import PythonCode
from pytest_llmbench.importers.promptfoo.templates import Template, javascript_number
from pytest_llmbench.importers.source import Folder, Value, read_tree
from pytest_llmbench.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """An assertion with its templates referenced by `$ref` put in; `variables` are those of the cases it is for."""

    value: Value
    folder: Folder
    variables: Sequence[Mapping[str, Json]]
    code: PythonCode

    @property
    def type(self) -> str:
        """Its type, with `not-` in front where it has that."""
        found = self.value.get("type")
        return str(found.value) if found is not None else ""

    @property
    def place(self) -> Place:
        """Where its type is written."""
        found = self.value.get("type")
        return self.value.place if found is None else found.place

    def fail(self, why: str) -> NoReturn:
        """Refuse it.

        Raises:
            NotMapped: always.
        """
        written = self.value.get("value")
        shown = "" if written is None or not isinstance(written.value, str) else f' "{_shortened(written.value)}"'
        named = f"assert {self.type}".strip()
        raise NotMapped(f"{named}{shown}: {why}, or pass --partial.", self.place)

    def content(self) -> Any:
        """Give its value, read from a file of the source where it names one.

        Raises:
            NotMapped: it is code, or outside the folder.
        """
        found = self.value.get("value")
        if found is None:
            return None
        given = found.plain()
        if isinstance(given, str) and given.startswith("file://"):
            name = given.removeprefix("file://")
            if re.search(r"\.(?:[cm]?[jt]sx?|py|rb)(?::\w+)?$", name):
                self.fail("it is code; write it as package.module:function, see docs/graders.md")
            path = self.folder.file(name, found.place)
            text = self.folder.text(path)
            is_tree = path.suffix in (".json", ".yaml", ".yml")
            return read_tree(text, path).plain() if is_tree else text.strip()
        if isinstance(given, str) and given.startswith("package:"):
            self.fail("it is code; write it as package.module:function, see docs/graders.md")
        return given

    def text(self) -> str:
        """Give its value as a text, in which jinja2 renders what nunjucks does.

        Raises:
            NotMapped: it is none, or blank for some case.
        """
        given = self.content()
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            self.fail("its value is no text; write one")
        text = self._rendered(_written(given))
        if not text.strip():
            self.fail("a blank text cannot be asked for; write the text of a right answer")
        return text

    def _rendered(self, text: str) -> str:
        if "{{" not in text and "{%" not in text and "{#" not in text:
            return text
        template = Template.of(text, self.place)
        found = template.jinja(self.variables)
        if "{%" in text or any(use.how == "dump" for use in template.uses):
            self.fail("its template is more than a variable; write out the text")
        for use in template.uses:
            if any(
                not str(variables.get(use.path.split(".")[0].split("[")[0], "")).strip() for variables in self.variables
            ):
                self.fail(f"the variable `{use.path}` is blank in a case, and a blank text cannot be asked for")
        return found

    def texts(self) -> list[str]:
        """Give its value as several texts; one text is divided at its commas.

        Raises:
            NotMapped: it is neither, or a template could divide it otherwise.
        """
        given = self.content()
        if isinstance(given, str):
            if "{{" in given and "," in "".join(str(v) for one in self.variables for v in one.values()):
                self.fail("a variable with a comma in it divides its value anew; write a list")
            given = _divided(given, self)
        if not isinstance(given, list) or not given:
            self.fail("its value is no list of texts; write one")
        texts = [self._rendered(_written(one)) for one in given if not isinstance(one, list | dict)]
        if len(texts) != len(given) or not all(text.strip() for text in texts):
            self.fail("a blank text cannot be asked for; write the texts of a right answer")
        return texts

    @property
    def threshold(self) -> float | None:
        """Its threshold, where it has one.

        Raises:
            NotMapped: it is no number.
        """
        found = self.value.get("threshold")
        if found is None:
            return None
        if isinstance(found.value, bool) or not isinstance(found.value, int | float):
            self.fail("its threshold is no number; write one")
        return found.value

    @property
    def weight(self) -> float:
        """Its weight, 1 where it has none.

        Raises:
            NotMapped: it is negative or no number.
        """
        found = self.value.get("weight")
        if found is None:
            return 1
        if isinstance(found.value, bool) or not isinstance(found.value, int | float) or found.value < 0:
            self.fail("its weight is no number of at least 0; write one")
        return found.value

    def weighted(self, check: Mapping[str, Any]) -> dict[str, Any]:
        """Give a check its name and its weight; one that does not count is advice.

        Raises:
            NotMapped: see `weight`.
        """
        found, weight = dict(check), self.weight
        metric = self.value.get("metric")
        if metric is not None and "{{" not in str(metric.value):
            found["name"] = str(metric.value)
        if weight == 0 or found.get("advice"):
            found["advice"] = True
        elif weight != 1:
            found["weight"] = weight
        return found


def _divided(text: str, assertion: Assertion) -> list[str]:
    """Divide a text at its commas as promptfoo does; fields may stand in double quotes.

    Raises:
        NotMapped: a quote is not closed.
    """
    found: list[str] = []
    place = 0
    while True:
        place += len(text[place:]) - len(text[place:].lstrip(", \t\r\n\f\v"))
        if place >= len(text):
            return found
        if text[place] != '"':
            end = text.find(",", place)
            end = len(text) if end < 0 else end
            found.append(text[place:end].strip())
        else:
            quoted = _QUOTED.match(text, place)
            if quoted is None:
                assertion.fail("a quote in its value is not closed; close it")
            found.append(re.sub(r'\\(["\\])|""', lambda one: one[1] or '"', quoted[1]))
            end = quoted.end()
        place = end


_QUOTED = re.compile(r'"((?:\\["\\]|""|[^"])*)"\s*(?=,|\Z)')


def _written(given: Any) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    return javascript_number(given) if isinstance(given, float) else str(given)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"

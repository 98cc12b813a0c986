"""From nunjucks to jinja2: the constructs that both render alike, and none else.

nunjucks prints a name that is not set as nothing, and truth values and numbers as JavaScript writes them; a list or an
object has no form there that is worth keeping.  Whatever is not read here is refused with its text.
Source: nunjucks 3 and promptfoo 0.121.20, `src/evaluatorHelpers.ts`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pytest_llmbench.importers.base import NotMapped, Place
from pytest_llmbench.values import Json

_TAG = re.compile(r"(?P<print>\{\{.*?\}\})|(?P<block>\{%.*?%\})|(?P<comment>\{#.*?#\})", re.DOTALL)
_RAW = re.compile(r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}", re.DOTALL)
_RAW_OR_TAG = re.compile(rf"(?P<raw>{_RAW.pattern})|{_TAG.pattern}", re.DOTALL)
_PARTIAL = re.compile(r"(\{%[^%]*$|\{\{[^}]*$|\{#[^#]*$)", re.MULTILINE)
_NAME = r"[A-Za-z_]\w*"
_PATH = rf"{_NAME}(?:\.{_NAME}|\[\d+\]|\['[^'\\]*'\]|\[\"[^\"\\]*\"\])*"
_LITERAL = r"'[^'\\]*'|\"[^\"\\]*\"|-?\d+|true|false"
_FILTER = re.compile(
    rf"\s*\|\s*(?P<name>{_NAME})(?:\(\s*(?P<arguments>(?:{_LITERAL})(?:\s*,\s*(?:{_LITERAL}))*)?\s*\))?"
)
_PRINT = re.compile(rf"\{{\{{(?P<open>-?)\s*(?P<path>{_PATH})(?P<filters>.*?)\s*(?P<close>-?)\}}\}}", re.DOTALL)
_IF = re.compile(
    rf"\{{%(?P<open>-?)\s*(?P<word>if|elif|elseif)\s+(?P<not>not\s+)?(?P<path>{_PATH})"
    rf"(?:\s*(?P<compare>===?|!==?)\s*(?P<literal>{_LITERAL}))?\s*(?P<close>-?)%\}}"
)
_FOR = re.compile(rf"\{{%(?P<open>-?)\s*for\s+(?P<name>{_NAME})\s+in\s+(?P<path>{_PATH})\s*(?P<close>-?)%\}}")
_PLAIN_BLOCK = re.compile(r"\{%(?P<open>-?)\s*(?P<word>else|endif|endfor)\s*(?P<close>-?)%\}")
_STEP = re.compile(rf"\.(?P<name>{_NAME})|\[(?P<item>\d+)\]|\[(?P<mark>['\"])(?P<key>.*?)(?P=mark)\]")
_FILTERS = frozenset({"upper", "lower", "trim", "default", "d", "replace", "join", "length", "first", "last", "safe"})
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_ROUNDS = 5
_ENVIRONMENT = re.compile(r"\{\{-?\s*env\b")
_UNSET = object()

RESERVED = frozenset(
    {"id", "tags", "cluster", "xfail", "checks", "pass_score", "expected", "turns", "split", "grader", "sampling"}
    | {
        "prompt",
        "trust",
        "data",
        "cases",
        "suite",
        "examples",
        "read",
        "tools",
        "source",
        "gate",
        "ignore_case",
        "columns",
        "delimiter",
    }
)
"""Names that no input may have, for a case or a suite has fields of them."""


@dataclass(frozen=True, slots=True)
class _Use:
    """One use of a variable: its path, and whether it is printed, dumped, a condition, or a list to go through."""

    path: str
    how: str


@dataclass(slots=True)
class Template:
    """A nunjucks text that jinja2 can render to the same, once it is known which variables the cases have.

    `uses` lists its variables.
    """

    text: str
    place: Place
    uses: list[_Use] = field(default_factory=list)
    _local: list[tuple[str, str]] = field(default_factory=list)
    """The variables of the loops that are open, each with the path of the list it goes through."""
    _in_loops: list[tuple[str, str]] = field(default_factory=list)
    """What is printed of the items of lists: the path of a list, and the rest of the path."""

    @classmethod
    def of(cls, text: str, place: Place) -> "Template":
        """Read a text.

        Raises:
            NotMapped: jinja2 would render a part of it otherwise, or the environment is used.
        """
        template = cls(text, place)
        if not is_raw(text):
            for _ in template._pieces(lambda _, text: text):
                pass
        return template

    def jinja(self, cases: Iterable[Mapping[str, Json]]) -> str:
        """Give the jinja2 text.

        Args:
            cases: the variables of all that it is rendered for.

        Raises:
            NotMapped: one of them is printed in a way that only JavaScript has.
        """
        if is_raw(self.text):
            return f"{{% raw %}}{self.text}{{% endraw %}}" if _TAG.search(self.text) or "{" in self.text else self.text
        found = list(cases)
        lacking = {use: self._is_unset(use, found) for use in set(self.uses)}

        for path, rest in set(self._in_loops):
            self._check_items(path, rest, found)

        def written(use: _Use, text: str) -> str:
            if use.how == "dump":
                return dumped_name(use.path)
            fallback = "[]" if use.how == "for" else '""'
            return f"{own_path(text)} | default({fallback})" if lacking.get(use) else own_path(text)

        self.uses.clear()
        return "".join(self._pieces(written))

    def _is_unset(self, use: _Use, cases: Iterable[Mapping[str, Json]]) -> bool:
        """Return whether some case has nothing there; refuse what the two would print differently."""
        is_unset = False
        root, steps = _steps(use.path)
        for variables in cases:
            value: Any = variables.get(root, _UNSET)
            for number, step in enumerate(steps):
                if value is _UNSET or (isinstance(step, int) != isinstance(value, list)):
                    self._refuse(f"`{use.path}` is not set in every case, and jinja2 refuses that; set it")
                value = _member(value, step)
                if value is _UNSET and number < len(steps) - 1:
                    self._refuse(f"`{use.path}` is not set in every case, and jinja2 refuses that; set it")
            if value is _UNSET:
                is_unset = True
            elif use.how == "print" and isinstance(value, list | dict):
                self._refuse(f"`{use.path}` is a list or an object, which JavaScript prints in its own way; use `dump`")
            elif use.how == "if" and (value in ([], {}) or isinstance(value, float)):
                self._refuse(f"`{use.path}` is true in JavaScript and false in jinja2 where it is empty; compare it")
            elif use.how == "for" and not isinstance(value, list):
                self._refuse(f"`for` goes through `{use.path}`, which is no list in every case; make it one")
        return is_unset

    def _pieces(self, written: Callable[[_Use, str], str]) -> Iterator[str]:
        place = 0
        while tag := _RAW_OR_TAG.search(self.text, place):
            yield self.text[place : tag.start()]
            yield tag[0] if tag["raw"] else self._tag(tag[0], written)
            place = tag.end()
        yield self.text[place:]

    def _tag(self, tag: str, written: Callable[[_Use, str], str]) -> str:
        if tag.startswith("{#"):
            return tag
        if _ENVIRONMENT.match(tag):
            self._refuse(f"`{tag}` is a value of the environment, which is never copied; write it out")
        for pattern, made in ((_PRINT, self._print), (_IF, self._if), (_FOR, self._for)):
            found = pattern.fullmatch(tag)
            if found is not None:
                return made(found, written)
        if _PLAIN_BLOCK.fullmatch(tag):
            if "endfor" in tag and self._local:
                self._local.pop()
            return tag
        return self._refuse(f"`{tag}` is a construct of nunjucks that is not mapped; write the prompt without it")

    def _print(self, found: re.Match[str], written: Callable[[_Use, str], str]) -> str:
        filters, place = [], 0
        while place < len(found["filters"]):
            one = _FILTER.match(found["filters"], place)
            if one is None:
                self._refuse(f"`{found[0]}` is a construct of nunjucks that is not mapped; write the prompt without it")
            filters.append(one)
            place = one.end()
        names = [one["name"] for one in filters]
        if names[:1] == ["dump"] and not filters[0]["arguments"]:
            use, rest = _Use(found["path"], "dump"), filters[1:]
        else:
            how = "for" if names[:1] in (["join"], ["length"], ["first"], ["last"]) else "print"
            use, rest = _Use(found["path"], how), filters
        unknown = next((one["name"] for one in rest if one["name"] not in _FILTERS), None)
        if unknown is not None:
            self._refuse(f"the filter `{unknown}` in `{found[0]}` is not mapped; write the prompt without it")
        rest = [one for one in rest if one["name"] != "safe"]
        self._note(use)
        chain = "".join(f" | {one[0].lstrip().removeprefix('|').strip()}" for one in rest)
        has_default = rest and rest[0]["name"] in ("default", "d")
        plain = (lambda _, text: own_path(text)) if has_default and use.how != "dump" else written
        text = self._written(use, found["path"], plain)
        return f"{{{{{found['open']} {text}{chain} {found['close']}}}}}"

    def _if(self, found: re.Match[str], written: Callable[[_Use, str], str]) -> str:
        use = _Use(found["path"], "if")
        self._note(use)
        word = "elif" if found["word"] == "elseif" else found["word"]
        text = f"({self._written(use, found['path'], written)})"
        compare = f" {found['compare'][:2]} {found['literal']}" if found["compare"] else ""
        return f"{{%{found['open']} {word} {found['not'] or ''}{text}{compare} {found['close']}%}}"

    def _for(self, found: re.Match[str], written: Callable[[_Use, str], str]) -> str:
        use = _Use(found["path"], "for")
        root, _ = _steps(use.path)
        if root in dict(self._local):
            self._refuse(f"`for` within `for`, over `{use.path}`, is not mapped; write the prompt without it")
        self._note(use)
        text = self._written(use, found["path"], written)
        self._local.append((found["name"], use.path))
        return f"{{%{found['open']} for {found['name']} in {text} {found['close']}%}}"

    def _note(self, use: _Use) -> None:
        root, _ = _steps(use.path)
        lists = dict(self._local)
        if root not in lists and root != "loop":
            self.uses.append(use)
        elif use.how not in ("print", "if"):
            self._refuse(f"`{use.path}` within `for` is more than printed; write the prompt without it")
        elif root in lists:
            self._in_loops.append((lists[root], use.path[len(root) :]))

    def _written(self, use: _Use, text: str, written: Callable[[_Use, str], str]) -> str:
        root, _ = _steps(use.path)
        if root == "loop":
            return text
        # an item may lack a member, which nunjucks prints as nothing
        return f'{text} | default("")' if root in dict(self._local) else written(use, text)

    def _check_items(self, path: str, rest: str, cases: Iterable[Mapping[str, Json]]) -> None:
        """Refuse what is printed of the items of a list as only JavaScript prints it."""
        for variables in cases:
            items = lookup(variables, path)
            for item in items if isinstance(items, list) else ():
                value: Any = lookup({"item": item}, f"item{rest}")
                if isinstance(value, list | dict):
                    self._refuse(f"an item of `{path}` is a list or an object, which JavaScript prints in its own way")

    def _refuse(self, message: str) -> NoReturn:
        raise NotMapped(f"{message}.", self.place)


def is_raw(text: str) -> bool:
    """Return whether the peer takes a text as it is, for a tag is open at the end of a line of it."""
    return bool(_PARTIAL.search(text)) and not _RAW.search(text)


def own_name(name: str) -> str:
    """Give the name of the input for a variable: its own, but for one that a case has a field of."""
    return f"{name}_" if name in RESERVED else name


def roots(paths: Iterable[str]) -> frozenset[str]:
    """Give the names of variables that paths begin with."""
    return frozenset(_steps(path)[0] for path in paths)


def own_path(path: str) -> str:
    """Give a path of a template with the name of the input in front."""
    root, _ = _steps(path)
    return own_name(root) + path[len(root) :]


def dumped_name(path: str) -> str:
    """Give the name of the input that holds a variable as JSON."""
    return re.sub(r"\W+", "_", path).strip("_") + "_json"


def dump(value: Json) -> str:
    """Write a value as `JSON.stringify` does."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def lookup(variables: Mapping[str, Json], path: str) -> Json:
    """Give what a path of a template names; an empty text where there is nothing."""
    root, steps = _steps(path)
    value: Any = variables.get(root, _UNSET)
    for step in steps:
        value = _member(value, step)
    return "" if value is _UNSET else value


def as_printed(value: Any) -> Json:
    """Give a value whose leaves jinja2 prints as nunjucks does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, float):
        return javascript_number(value)
    if isinstance(value, Mapping):
        return {key: as_printed(entry) for key, entry in value.items()}
    return [as_printed(entry) for entry in value] if isinstance(value, list) else value


def javascript_number(value: float) -> str:
    """Write a number as JavaScript does, but for the exponents of very large and small ones."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)


def resolved(variables: Mapping[str, Json], place: Place) -> dict[str, Json]:
    """Put variables into variables, as the peer does before it renders, and take the last line end off.

    Raises:
        NotMapped: a template is left in one.
    """
    found = {key: value.removesuffix("\n") if isinstance(value, str) else value for key, value in variables.items()}
    for _ in range(_ROUNDS):
        is_done = True
        for key, value in found.items():
            named = _VARIABLE.search(value) if isinstance(value, str) else None
            if named is not None and named[1] in found and isinstance(value, str):
                inner = found[named[1]]
                if isinstance(inner, list | dict):
                    raise NotMapped(f"the variable `{key}` holds the list or object `{named[1]}`; write it out.", place)
                found[key] = value.replace(named[0], str(as_printed(inner)), 1)
                is_done = False
        if is_done:
            break
    for key, value in found.items():
        if isinstance(value, str) and _TAG.search(value) and not is_raw(value):
            what = "a value of the environment" if _ENVIRONMENT.search(value) else "a template"
            raise NotMapped(f"the variable `{key}` holds {what}; write out what it stands for.", place)
    return found


def _steps(path: str) -> tuple[str, list[str | int]]:
    root = re.match(_NAME, path)
    name = root[0] if root else path
    steps: list[str | int] = [
        int(step["item"]) if step["item"] is not None else step["name"] or step["key"]
        for step in _STEP.finditer(path, len(name))
    ]
    return name, steps


def _member(value: Any, step: str | int) -> Any:
    if isinstance(value, list) and isinstance(step, int):
        return value[step] if step < len(value) else _UNSET
    return value.get(step, _UNSET) if isinstance(value, dict) else _UNSET

"""JavaScript assertions that are a condition on the output: a small grammar of their own, never an engine.

    expression = and ("||" and)*       and = term ("&&" term)*       term = "!" term | "(" expression ")" | condition
    condition  = text ".includes(" literal ")" | text ".startsWith(...)" | text ".endsWith(...)" | text "===" literal
               | "output.length" operator number | "[" literals "].includes(" text or value ")"
               | "/pattern/i.test(output)" | value "===" literal
    text       = "output" (".trim()" | ".toLowerCase()")*       value = "JSON.parse(output)" (".name" | "[0]")*

What throws in JavaScript fails there whatever stands around it, so a value may stand on the left of `||` alone, and
nowhere in a negation.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pytest_llmbench.importers.promptfoo.patterns import translated

_LITERAL = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`[^`\\$\n]*`|-?\d+(?:\.\d+)?|true|false|null"
_TOKEN = re.compile(
    rf"\s*(?:(?P<literal>{_LITERAL})|(?P<pattern>/(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*)"
    r"|(?P<name>[A-Za-z_$][\w$]*)|(?P<mark>===|!==|==|!=|<=|>=|&&|\|\||[<>!().\[\],]))"
)
_OPERATORS = {"<": (None, -1), "<=": (None, 0), ">": (1, None), ">=": (0, None)}
_VERDICT = re.compile(r"[=!]==?|[<>!]|&&|\|\||includes|startsWith|endsWith|test|const |let |var |if ")
_LONGEST = 100_000
_TEXT = {"verbatim": True, "trim": False}
_CALLS = {"includes": "contains", "startsWith": "starts_with", "endsWith": "ends_with"}


class NoCondition(Exception):
    """An expression is no condition that this grammar knows."""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class _Check:
    """A check, and whether its JavaScript throws where the output is no JSON, or lacks a member."""

    check: Mapping[str, Any]
    throws: bool = False


def check_of(source: str) -> Mapping[str, Any]:
    """Give the check that an expression is.

    Raises:
        NoCondition: it gives a score, or does more than this grammar knows.
    """
    text = source.strip().rstrip("; \t\n")
    if "\n" in source.strip() and text.startswith("return "):  # a body of several lines returns, one line must not
        text = text.removeprefix("return ")
    if not _VERDICT.search(text):
        raise NoCondition("it gives a score, not a verdict")
    parser = _Parser(_tokens(text))
    found = parser.either()
    parser.end()
    return found.check


def _tokens(text: str) -> list[_Token]:
    found, place = [], 0
    while place < len(text.rstrip()):
        token = _TOKEN.match(text, place)
        if token is None or token.lastgroup is None:
            raise NoCondition(f"`{text[place : place + 20].strip()}` is not read")
        found.append(_Token(token.lastgroup, token[token.lastgroup]))
        place = token.end()
    return found


class _Parser:
    """Reads tokens from the left; each method reads what it is named after."""

    def __init__(self, tokens: list[_Token]):
        self._tokens = tokens
        self._place = 0

    def end(self) -> None:
        if self._place < len(self._tokens):
            self._fail()

    def either(self) -> _Check:
        found = [self._both()]
        while self._takes("||"):
            found.append(self._both())
        if len(found) == 1:
            return found[0]
        if any(one.throws for one in found[1:]):
            raise NoCondition("`JSON.parse` behind `||` is tried only where what stands before it is false")
        checks: list[Mapping[str, Any]] = [one.check for one in found]
        if not found[0].throws:
            return _Check({"any": checks})
        return _Check(_every([{"json": {}, "fence": False}, {"any": checks}]), throws=True)

    def _both(self) -> _Check:
        found = [self._term()]
        while self._takes("&&"):
            found.append(self._term())
        if len(found) == 1:
            return found[0]
        return _Check(_every([one.check for one in found]), throws=any(one.throws for one in found))

    def _term(self) -> _Check:
        if self._takes("!"):
            return self._negated(self._term())
        if self._takes("("):
            found = self.either()
            self._needs(")")
            return found
        return self._condition()

    def _negated(self, inner: _Check) -> _Check:
        if inner.throws:
            raise NoCondition("the opposite of a member of JSON is true in JavaScript where the member is missing")
        return _Check({"not": inner.check})

    def _condition(self) -> _Check:
        token = self._next()
        if token.kind == "pattern":
            return self._pattern(token.text)
        if token.text == "[":
            return self._listed()
        if token.text == "output":
            return self._text()
        if token.text == "JSON":
            path = self._value()
            return self._compared(lambda literal: _member(path, literal), throws=True)
        return self._fail()

    def _text(self) -> _Check:
        keys: dict[str, Any] = dict(_TEXT)
        while self._takes("."):
            name = self._next().text
            if name in ("trim", "toLowerCase") and self._takes("("):
                self._needs(")")
                keys |= {"trim": True} if name == "trim" else {"ignore_case": True}
            elif name == "length":
                return self._length(keys)
            elif name in _CALLS and self._takes("("):
                literal = self._literal(str)
                self._needs(")")
                if name != "includes" and keys["trim"]:
                    self._fail()
                return _Check({_CALLS[name]: self._lower(literal, keys), **keys, "trim": False})
            else:
                self._fail()
        return self._compared(lambda literal: {"equals": self._lower(literal, keys), **keys}, throws=False)

    def _lower(self, literal: Any, keys: Mapping[str, Any]) -> str:
        if not isinstance(literal, str) or not literal.strip():
            raise NoCondition(f"{literal!r} is no text to compare with")
        if keys.get("ignore_case") and literal != literal.lower():
            raise NoCondition(f'"{literal}" never occurs in a text of small letters')
        if keys["trim"] and literal != literal.strip():
            raise NoCondition(f'"{literal}" is never equal to a trimmed text')
        return literal

    def _length(self, keys: Mapping[str, Any]) -> _Check:
        if keys["trim"]:
            self._fail()
        operator = self._next().text
        number = self._literal(int)
        if operator in ("===", "==", "!==", "!="):
            least: int | None = number
            most: int | None = number
        elif operator in _OPERATORS:
            below, above = _OPERATORS[operator]
            least = None if below is None else number + below
            most = None if above is None else number + above
        else:
            self._fail()
        if (least or 0) > _LONGEST or (most or 0) > _LONGEST or (most is not None and most < 1) or number < 0:
            raise NoCondition(f"a length of {number} is not mapped")
        pattern = f"(?s).{{{least or 0},{'' if most is None else most}}}"
        check = {"regex": pattern, "trim": False}
        return _Check({"not": check} if operator in ("!==", "!=") else check)

    def _listed(self) -> _Check:
        texts = [self._literal(object)]
        while self._takes(","):
            texts.append(self._literal(object))
        for mark in ("]", ".", "includes", "("):
            self._needs(mark)
        if self._takes("JSON"):
            path = self._value()
            self._needs(")")
            return _Check({"any": [_member(path, text) for text in texts]}, throws=True)
        self._needs("output")
        keys: dict[str, Any] = dict(_TEXT)
        while self._takes("."):
            name = self._next().text
            if name not in ("trim", "toLowerCase"):
                self._fail()
            self._needs("(")
            self._needs(")")
            keys |= {"trim": True} if name == "trim" else {"ignore_case": True}
        self._needs(")")
        return _Check({"one_of": [self._lower(text, keys) for text in texts], **keys})

    def _pattern(self, written: str) -> _Check:
        for mark in (".", "test", "(", "output", ")"):
            self._needs(mark)
        body, flags = written[1:].rsplit("/", 1)
        if set(flags) - set("ims"):
            raise NoCondition(f"the flags `{flags}` of a pattern are not mapped")
        try:
            pattern = translated(body, dot_all="s" in flags, multiline="m" in flags)
        except ValueError as fault:
            raise NoCondition(str(fault)) from None
        case = {"ignore_case": True} if "i" in flags else {}
        return _Check({"regex": pattern, "search": True, "trim": False, **case})

    def _value(self) -> str:
        """Read the rest of `JSON.parse(output).a[0]`, and give its path."""
        for mark in (".", "parse", "(", "output", ")"):
            self._needs(mark)
        path = ""
        while self._place < len(self._tokens) and self._tokens[self._place].text in (".", "["):
            if self._next().text == ".":
                name = self._next()
                if name.kind != "name" or name.text == "length":
                    self._fail()
                path += f".{name.text}" if path else name.text
            else:
                literal = self._literal(object)
                self._needs("]")
                path += f"[{literal}]" if isinstance(literal, int) else f'["{literal}"]'
        return path

    def _compared(self, check: Any, *, throws: bool) -> _Check:
        operator = self._next().text
        if operator not in ("===", "==", "!==", "!="):
            self._fail()
        literal = self._literal(object)
        if operator in ("==", "!=") and not isinstance(literal, str):
            raise NoCondition("`==` compares after conversion; write `===`")
        found = _Check(check(literal), throws=throws)
        return self._negated(found) if operator.startswith("!") else found

    def _literal(self, kind: type) -> Any:
        token = self._next()
        if token.kind != "literal":
            self._fail()
        found = _read(token.text)
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            self._fail()
        return found

    def _takes(self, text: str) -> bool:
        is_next = self._place < len(self._tokens) and self._tokens[self._place].text == text
        self._place += is_next
        return is_next

    def _needs(self, text: str) -> None:
        if not self._takes(text):
            self._fail()

    def _next(self) -> _Token:
        if self._place >= len(self._tokens):
            self._fail()
        self._place += 1
        return self._tokens[self._place - 1]

    def _fail(self) -> NoReturn:
        place = min(self._place, len(self._tokens)) - 1
        shown = self._tokens[place].text if self._tokens and place >= 0 else ""
        raise NoCondition(f"at `{shown}` it is more than a condition on the output")


def _every(checks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Give the check that all of some pass: `all` would score the share of them, a condition is true or not."""
    return {"not": {"any": [check["not"] if set(check) == {"not"} else {"not": check} for check in checks]}}


def _member(path: str, literal: Any) -> Mapping[str, Any]:
    check: dict[str, Any] = {"json": {"schema": {"const": literal}}, "fence": False}
    return {**check, "path": path} if path else check


def _read(text: str) -> Any:
    if text[0] == "`":
        return text[1:-1]
    if text[0] == "'":
        inner = re.sub(r"\\(.)|\"", lambda found: '\\"' if found[0] == '"' else _unquoted(found[0]), text[1:-1])
        text = f'"{inner}"'
    try:
        return json.loads(text)
    except ValueError:
        raise NoCondition(f"`{text}` is no literal that is read") from None


def _unquoted(escape: str) -> str:
    return "'" if escape == "\\'" else escape

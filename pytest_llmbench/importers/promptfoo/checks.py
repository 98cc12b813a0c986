"""From promptfoo's assertions to checks with the same verdicts.

promptfoo compares as JavaScript does: no trimming, each character counts, a code fence is no JSON, a pattern is
searched for.  So every check is written with `verbatim`, `trim`, `search` and `fence`.
Source: promptfoo 0.121.20, `src/assertions/`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_llmbench.importers.promptfoo.assertion import Assertion
from pytest_llmbench.importers.promptfoo.expressions import NoCondition, check_of
from pytest_llmbench.importers.promptfoo.model_graded import KEYS_OF_GRADING, MODEL_GRADED
from pytest_llmbench.importers.promptfoo.patterns import translated
from pytest_llmbench.importers.promptfoo.python_code import PYTHON
from pytest_llmbench.importers.source import read_tree
from pytest_llmbench.values import Json

_EXACT = {"verbatim": True, "trim": False}
_ANY_CASE = {**_EXACT, "ignore_case": True}
_KEYS = frozenset({"type", "value", "threshold", "weight", "metric", "config"})
EMBEDDER = "embedder"
"""The entry of the models file that `similar` names."""

_PYTHON = ("python", "not-python")
_DISTANCE = 5
"""The edits that `levenshtein` allows at the peer where none are written."""

_ELSEWHERE = {
    "is-sql": "it checks the grammar alone; execute the query instead, with a check `sql`, see docs/sql.md",
    "contains-sql": "it checks the grammar alone; execute the query instead, with a check `sql`, see docs/sql.md",
    "ruby": "it is code; write it as package.module:function, see docs/graders.md",
    "webhook": "it asks a service; write it as package.module:function, see docs/graders.md",
    "cost": "it is no check of one answer here; take it out, or out of its set",
    "latency": "it is no check of one answer here; take it out, or out of its set",
    "perplexity": "it needs log-probabilities, which are not kept",
    "is-refusal": "a refusal is a reason of its own here, see docs/graders.md",
}
"""Why some kinds are never mapped, and what to do instead."""


def check_for(assertion: Assertion) -> dict[str, Any]:
    """Give the check that an assertion is, with its weight and name.

    Raises:
        NotMapped: there is none with the same verdicts.
    """
    kind = assertion.type
    unknown = next((key for key in assertion.value.keys if key not in _KEYS), None)
    if unknown in KEYS_OF_GRADING and kind.removeprefix("not-") in MODEL_GRADED:
        assertion.fail(f"its `{unknown}` is not mapped; take it out, the judge is that of --llm-judge")
    if unknown is not None:
        assertion.fail(f"its `{unknown}` is not mapped; take it out")
    if assertion.value.get("config") is not None and kind not in _PYTHON:
        assertion.fail("its `config` is for code; take it out")
    try:
        return assertion.weighted(_plain_check(kind, assertion))
    except RecursionError:
        assertion.fail("it is nested too deep to be read; write it flatter")


BUDGETS = {"cost": ("cost_usd", 1.0), "latency": ("latency_s", 0.001)}
"""The kinds that are a limit of the suite's budget: its key, and the unit of their threshold."""


def limit_of(assertion: Assertion) -> tuple[str, float]:
    """Give the limit of a budget that an assertion is, in US dollars or seconds.

    Raises:
        NotMapped: it has no threshold above 0.
    """
    key, unit = BUDGETS[assertion.type]
    threshold = assertion.threshold
    if threshold is None or threshold <= 0:
        assertion.fail("its threshold is no number above 0; write one")
    return key, round(threshold * unit, 9)


def is_similar(check: Mapping[str, Any]) -> bool:
    """Return whether a check is `similar`, or its opposite."""
    return "similar" in check or "similar" in check.get("not", {})


def _plain_check(kind: str, assertion: Assertion) -> Mapping[str, Any]:
    is_inverse = kind.startswith("not-")
    name = kind.removeprefix("not-")
    if name in ("similar", "similar:cosine"):
        return _similar(assertion, is_inverse=is_inverse)
    if kind in _PYTHON:
        return _python(assertion, is_inverse=is_inverse)
    if name in MODEL_GRADED:
        check = _judged(name, assertion)
        return {"not": check} if is_inverse else check
    if name not in _MADE:
        if not name:
            assertion.fail("it has no `type`; write one")
        assertion.fail(_ELSEWHERE.get(name, "there is no check for it; docs/import.md lists the kinds that are mapped"))
    if assertion.threshold is not None and name != "levenshtein":
        assertion.fail("it has a threshold, which its kind does not read; take it out")
    check = _MADE[name](assertion)
    if not is_inverse:
        return check
    if "json" in check:
        # its opposite is true there where nothing can be read, and is `unparsed` here
        own = {key: value for key, value in check.items() if key != "json"}
        asked: Any = check["json"]
        readable = {"not": {"json": {}, **own}}
        return readable if not asked else {"any": [readable, {"not": check}]}
    return {"not": check}


def _judged(name: str, assertion: Assertion) -> Mapping[str, Any]:
    if assertion.threshold is not None:
        assertion.fail(
            "its threshold is of a number, and a rubric has words; take it out, or write the rubric yourself"
        )
    if isinstance(assertion.content(), list):
        assertion.fail("its value is a list; write an assertion for each criterion")
    return MODEL_GRADED[name](assertion.text())


def _equals(assertion: Assertion) -> Mapping[str, Any]:
    given = assertion.content()
    if isinstance(given, list | dict):
        if _has_template(given):
            assertion.fail("its value is an object with templates in it; write a text")
        return {"json": {"schema": {"const": given}}, "fence": False}
    if isinstance(given, bool):
        return {"equals": str(given).lower(), **_EXACT}
    return {"equals": assertion.text(), **_EXACT}


def _regex(assertion: Assertion) -> Mapping[str, Any]:
    given = assertion.content()
    if not isinstance(given, str) or not given.strip():
        assertion.fail("its value is no pattern; write one")
    if "{{" in given:
        assertion.fail("a template in a pattern is not mapped; write it out")
    try:
        pattern = translated(given)
    except ValueError as fault:
        assertion.fail(f"{fault}; write it for Python's `regex`")
    return {"regex": pattern, "search": True, "trim": False}


def _json(assertion: Assertion, *, is_alone: bool) -> Mapping[str, Any]:
    given = assertion.content()
    if isinstance(given, str):
        if "{{" in given:
            assertion.fail("a template in a schema is not mapped; write it out")
        given = read_tree(given, assertion.place.path).plain() if given.strip() else None
    if given is not None and not isinstance(given, dict):
        assertion.fail("its schema is no object; write one")
    if _has_template(given):
        assertion.fail("a template in a schema is not mapped; write it out")
    odd = next(_odd_keywords(given), None) if given else None
    if odd is not None:
        assertion.fail(f"`{odd}` in a schema is read otherwise by promptfoo's validator; write it without")
    if is_alone:
        return {"json": {"schema": given} if given else {}, "fence": False}
    return {"json": {"schema": given or {"type": "object"}}}


def _odd_keywords(schema: Any) -> Iterator[str]:
    """Give the keywords that Ajv and the drafts after it read differently."""
    if isinstance(schema, list):
        for entry in schema:
            yield from _odd_keywords(entry)
    elif isinstance(schema, dict):
        if isinstance(schema.get("items"), list):
            yield "items: [...]"
        for key, value in schema.items():
            if key in ("format", "dependencies", "$ref", "$dynamicRef", "nullable", "discriminator", "additionalItems"):
                yield key
            elif key in ("properties", "patternProperties", "$defs", "definitions") and isinstance(value, dict):
                for inner in value.values():
                    yield from _odd_keywords(inner)
            elif key not in ("const", "enum", "default", "examples"):
                yield from _odd_keywords(value)


def _words(assertion: Assertion) -> Mapping[str, Any]:
    given = assertion.content()
    bounds = given if isinstance(given, dict) else {"min": _whole(given, assertion), "max": _whole(given, assertion)}
    if not bounds or set(bounds) - {"min", "max"}:
        assertion.fail("its value has `min`, `max` or both; write one")
    words = {key: _whole(value, assertion) for key, value in bounds.items()}
    if words.get("min", 0) > words.get("max", words.get("min", 0)):
        assertion.fail("its `min` is above its `max`, so promptfoo breaks on it; write a range")
    return {"words": words}


def _whole(given: Any, assertion: Assertion) -> int:
    if isinstance(given, str) and given.strip().isascii() and given.strip().isdigit():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        assertion.fail("its value is no whole number; write one")
    return given


def _levenshtein(assertion: Assertion) -> Mapping[str, Any]:
    threshold = _DISTANCE if assertion.threshold is None else assertion.threshold
    if threshold < 0:
        assertion.fail("its threshold is below 0; write a number of edits")
    return {"levenshtein": assertion.text(), "max": int(threshold), "trim": False, "verbatim": True}


def _javascript(assertion: Assertion) -> Mapping[str, Any]:
    given = assertion.content()
    if not isinstance(given, str) or "{{" in given:
        assertion.fail("it is code; write it as package.module:function")
    try:
        return check_of(given)
    except NoCondition as fault:
        assertion.fail(f"{fault}; write it as package.module:function")


def _python(assertion: Assertion, *, is_inverse: bool) -> Mapping[str, Any]:
    """Have a check call a function that calls the assertion."""
    if not assertion.folder.settings.trusts_code:
        assertion.fail("it is code; pass --trust-code to take it over, write it as package.module:function")
    found, config = assertion.value.get("value"), assertion.value.get("config")
    given = None if found is None else found.plain()
    if not isinstance(given, str) or not given.strip():
        assertion.fail("its value is no Python; write an expression, or file://FILE.py")
    keys: dict[str, Json] = {} if assertion.threshold is None else {"threshold": assertion.threshold}
    keys |= {"inverse": True} if is_inverse else {}
    keys |= {} if config is None else {"config": config.plain()}
    python = PYTHON.fullmatch(given.removeprefix("file://"))
    if given.startswith("file://") and python is not None:
        file = assertion.folder.file(python["file"], assertion.place)
        called = assertion.code.of_file(file, python["function"] or "get_assert", assertion.place, keys)
    elif given.startswith(("file://", "package:")):
        assertion.fail("its file is no Python; write it as package.module:function")
    elif "{{" in given or "{%" in given:
        assertion.fail("a template in code is not mapped; read the variable as context['vars']")
    else:
        called = assertion.code.inline(given, assertion.place, keys)
    return {"function": called, "trim": False}


def _similar(assertion: Assertion, *, is_inverse: bool) -> Mapping[str, Any]:
    """Have the check measure; promptfoo's threshold is that of another embedder until somebody chooses one."""
    given = assertion.content()
    least = 0.75 if assertion.threshold is None else assertion.threshold
    if not 0 <= least <= 1:
        assertion.fail("its threshold is no cosine of 0 to 1; write one")
    expected = assertion.texts() if isinstance(given, list) else assertion.text()
    check = {"similar": {"expected": expected, "model": EMBEDDER, "min": least}}
    return {"not": check, "advice": True} if is_inverse else {**check, "advice": True}


def _finish(assertion: Assertion) -> Mapping[str, Any]:
    return {"finish": assertion.text().lower()}


def _has_template(given: Any) -> bool:
    if isinstance(given, dict):
        return any(_has_template(entry) for entry in given.values())
    if isinstance(given, list):
        return any(_has_template(entry) for entry in given)
    return isinstance(given, str) and "{{" in given


_MADE: Mapping[str, Callable[[Assertion], Mapping[str, Any]]] = {
    "equals": _equals,
    "contains": lambda one: {"contains": one.text(), **_EXACT},
    "icontains": lambda one: {"contains": one.text(), **_ANY_CASE},
    "contains-any": lambda one: {"contains_any": one.texts(), **_EXACT},
    "icontains-any": lambda one: {"contains_any": one.texts(), **_ANY_CASE},
    "contains-all": lambda one: {"contains": one.texts(), **_EXACT},
    "icontains-all": lambda one: {"contains": one.texts(), **_ANY_CASE},
    "starts-with": lambda one: {"starts_with": one.text(), **_EXACT},
    "regex": _regex,
    "is-json": lambda one: _json(one, is_alone=True),
    "contains-json": lambda one: _json(one, is_alone=False),
    "word-count": _words,
    "levenshtein": _levenshtein,
    "finish-reason": _finish,
    "javascript": _javascript,
}
"""How each kind is mapped, by its name without `not-`."""

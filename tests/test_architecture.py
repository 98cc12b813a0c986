"""The architecture: which room imports which, what is never imported early, and what no file may hold.

`python tests/test_architecture.py` prints the figures of the package: rooms, floors, arrows, lines.
"""

import ast
import io
import os
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "pytest_llmbench"
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / PACKAGE).rglob("*.py"))
}
"""The files of the package by module."""

ROOMS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("values",),
    ("stats",),
    ("models",),
    ("sql",),
    ("grading",),
    ("suites",),
    ("results",),
    ("runner", "gate", "tuning", "importers"),
    ("report",),
    ("plugin",),
    ("cli",),
)
"""The rooms of the package in order: each imports only itself and what stands above it here, none its neighbour."""

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "pytest": ("plugin",),
    "_pytest": ("plugin.internals",),
    "pytest_benchmark": ("plugin.internals",),
    "xdist": ("plugin.internals",),
    **dict.fromkeys(("gguf", "safetensors"), ("models.transformers",)),
    "huggingface_hub": ("models.transformers", "suites.dataset_lock"),
    **dict.fromkeys(("torch", "transformers", "peft", "accelerate"), ("models.transformers", "tuning")),
    "trl": ("tuning.stage",),
    "datasets": ("tuning.stage", "suites.datasets_rows"),
    "openai": ("models.openai",),
    "lm_eval": ("importers.lm_eval.child",),
    **dict.fromkeys(("aiohttp", "yarl"), ("models.openai.client",)),
    "httpx2": ("models.openai", "models.http.client"),
    "anyio": ("models.http.client",),
    "duckdb": (
        "sql",
        "suites.data_files",
        "suites.parquet_table",
        "results.history",
        "tuning.verl",
        "importers.inspect.archive",
        "importers.text_to_sql.tables",
    ),
    "sqlglot": ("sql",),
    # what is sent to a service is a template of the models file, below the rooms that know of suites
    "jinja2": ("suites.prompts", "models.http.templates", "report.html", "importers.lm_eval.child"),
    "markupsafe": ("report.html",),
    "ray": ("models.cluster",),
    "yaml": ("suites.yaml12", "importers.yaml_text"),
    **dict.fromkeys(("jsonschema", "referencing"), ("grading",)),
    "regex": ("grading", "importers"),
    "pydantic": ("values", "models", "sql", "grading", "suites", "results", "tuning", "importers.shapes"),
}
"""The modules, or packages of them, that may import a library."""

LATE = (
    "ray",
    "torch",
    "transformers",
    "gguf",
    "peft",
    "safetensors",
    "accelerate",
    "huggingface_hub",
    "openai",
    "httpx2",
    "aiohttp",
    "trl",
    "datasets",
    "lm_eval",
)
"""Imported in the functions that need them, never with their file."""

CATCHING_ALL = {
    "errors": "the one place where whatever a model or a grader raises becomes a value",
    "importers.lm_eval.child": "whatever a task raises while it is built is a sentence for the parent process",
    "grading.function": "whatever a user's module does when it is imported is the suite's fault",
    "models.http.provider": "as the other provider that keeps many requests in flight",
    "models.python.calls": "whatever an application raises, sys.exit() too, is the error of its case",
    "models.transformers.libraries": "libraries raise what they like when a model is opened, and each becomes a ModelFault",
    "models.cluster.connection": "Ray raises what it likes when it connects, and each becomes a ModelFault",
    "models.openai.model": "whatever breaks one of many requests in flight becomes its own error",
    "importers.promptfoo.called": "an assertion of promptfoo that raises anything fails, as it does there",
}
"""Files that may catch everything, with their reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One import statement: the module it names, and where it stands."""

    module: str
    line: int
    is_late: bool


def imports(source: str) -> Iterator[Import]:
    """Give the imports of a file that happen when it runs: those for type checking do not."""
    yield from _imports(ast.parse(source), is_late=False)


def _imports(node: ast.AST, *, is_late: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(module=name.name, line=node.lineno, is_late=is_late) for name in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        yield from (_named(base, name.name, node.lineno, is_late=is_late) for name in node.names)
    else:
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in node.orelse if is_for_types else ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):  # holds no statement, and most of the nodes
                continue
            yield from _imports(child, is_late=is_late or is_function)


def _named(base: str, name: str, line: int, *, is_late: bool) -> Import:
    """`from a import b` names the module a.b if there is one, else a."""
    module = f"{base}.{name}" if f"{base}.{name}" in FILES else base
    return Import(module=module, line=line, is_late=is_late)


IMPORTS = {module: tuple(imports(path.read_text())) for module, path in FILES.items()}


def short(module: str) -> str:
    return module.removeprefix(PACKAGE).removeprefix(".")


def room(module: str) -> str:
    return short(module).split(".")[0]


RANKS = {name: rank for rank, names in enumerate(ROOMS) for name in names}


def inner(found: Import) -> bool:
    return found.module.split(".")[0] == PACKAGE


def is_one_of(module: str, rooms: tuple[str, ...]) -> bool:
    return any(short(module) == room or short(module).startswith(f"{room}.") for room in rooms)


# -- the walk itself


def test_the_walk_sees_every_import_that_happens() -> None:
    """Imports in functions and classes are found and told apart, those for type checking are none."""
    source = """
import os, json.decoder
from pytest_llmbench import values, sql
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import torch
else:
    import array
def f():
    from pytest_llmbench.models import Identity, catalog
    class C:
        import csv
async def g():
    try:
        import abc
    except ImportError:
        pass
"""

    found = [(one.module, one.is_late) for one in imports(source)]

    assert found == [
        ("os", False),
        ("json.decoder", False),
        ("pytest_llmbench.values", False),
        ("pytest_llmbench.sql", False),
        ("typing", False),
        ("array", False),
        ("pytest_llmbench.models", True),
        ("pytest_llmbench.models.catalog", True),
        ("csv", True),
        ("abc", True),
    ]


# -- rooms


def test_every_module_stands_in_a_room() -> None:
    """A new name at the root of the package gets its place before anything may import it, and none is left behind."""
    assert sorted({room(module) for module in FILES} - {""}) == sorted(RANKS)


def arrows() -> Iterator[tuple[str, Import]]:
    """Give the imports that leave a room, each with the module it stands in."""
    for module, found in IMPORTS.items():
        yield from ((module, one) for one in filter(inner, found) if room(one.module) not in ("", room(module)))


def test_imports_point_down() -> None:
    """A room imports only what stands above it in the list; the public names at the root are for other packages."""
    wrong = [
        f"{FILES[module].relative_to(ROOT)}:{one.line}: {one.module}"
        for module, one in arrows()
        if room(module) and RANKS[room(one.module)] >= RANKS[room(module)]
    ]

    assert wrong == []


def test_there_is_no_import_cycle() -> None:
    """No module needs itself, by whatever way, also through imports within functions."""
    graph = {module: {one.module for one in filter(inner, found)} - {module} for module, found in IMPORTS.items()}

    try:
        TopologicalSorter(graph).prepare()
        cycle = []
    except CycleError as fault:
        cycle = fault.args[1]

    assert cycle == []


def test_no_module_imports_a_private_name_of_another() -> None:
    """What two modules share is public."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name.name}"
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == PACKAGE
        for name in node.names
        if name.name.startswith("_")
    ]

    assert wrong == []


def test_the_hook_specifications_import_for_type_checking_alone() -> None:
    """They are read at every start of pytest, in use or not."""
    assert {one.module for one in IMPORTS[f"{PACKAGE}.plugin.hookspecs"]} == {"__future__", "typing"}


# -- libraries


def libraries() -> Iterator[tuple[str, Import, str]]:
    for module, found in IMPORTS.items():
        for one in found:
            top = one.module.split(".")[0]
            if not inner(one) and top not in sys.stdlib_module_names:
                yield module, one, top


def test_a_library_is_imported_in_its_own_rooms_alone() -> None:
    """Only the plugin and its quarantine know pytest, only `sql` knows DuckDB, and each other library has its rooms."""
    wrong = [
        f"{FILES[module].relative_to(ROOT)}:{one.line}: {one.module}"
        for module, one, top in libraries()
        if not is_one_of(module, LIBRARIES.get(top, ()))
    ]

    assert wrong == []


def test_heavy_libraries_are_imported_within_functions() -> None:
    """Naming a model file costs nothing; torch and its like are loaded when a model is opened."""
    wrong = [
        f"{FILES[module].relative_to(ROOT)}:{one.line}: {one.module}"
        for module, one, top in libraries()
        if top in LATE and not one.is_late
    ]

    assert wrong == []


HEAVY = "torch transformers openai duckdb sqlglot pydantic jinja2 yaml jsonschema"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import pytest_llmbench.plugin", HEAVY),
        ("import pytest; pytest.main(['-p', 'pytest_llmbench.plugin', '--help'])", HEAVY),
        ("import pytest_llmbench.runner.runner", "torch transformers openai duckdb sqlglot"),
        ("import pytest_llmbench.cli", HEAVY),
    ],
    ids=["the plugin", "pytest --help", "the runner", "the command"],
)
def test_nothing_heavy_is_imported_early(statement: str, forbidden: str) -> None:
    """A pytest that uses no model pays for none, nor for the libraries of suites and databases."""
    check = f"import sys; print('loaded:', *sorted(set({forbidden.split()!r}) & set(sys.modules)))"

    result = subprocess.run(
        [sys.executable, "-c", f"{statement}; {check}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        # what other plugins of this environment import is not ours to prove
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )

    assert result.stdout.splitlines()[-1] == "loaded:"


# -- what no file holds


def keeps_all(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches everything, and does not raise it again behind some tidying."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    kinds = ast.unparse(handler.type) if handler.type is not None else "BaseException"
    return bool({"Exception", "BaseException"} & set(kinds.strip("()").replace(" ", "").split(",")))


@pytest.mark.parametrize(
    ("clause", "is_all"),
    [
        ("except: y", True),
        ("except Exception: y", True),
        ("except (ValueError, BaseException) as e: raise x from e", True),
        ("except ValueError: y", False),
        ("except ExceptionGroup: y", False),
        ("except BaseException: y; raise", False),
    ],
)
def test_the_walk_sees_what_catches_everything(clause: str, is_all: bool) -> None:
    """A bare `except` is one, a narrow one is none, and neither is one that raises again what it caught."""
    (statement,) = ast.parse(f"try:\n    x\n{clause}").body

    assert isinstance(statement, ast.Try)
    assert keeps_all(statement.handlers[0]) is is_all


def test_everything_is_caught_in_the_listed_places_alone() -> None:
    """Whatever is raised becomes a value in one place; each other that must catch all is listed with its reason."""
    catching = {
        short(module)
        for module, path in FILES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and keeps_all(node)
    }

    assert sorted(catching) == sorted(CATCHING_ALL)


def test_no_file_has_a_global() -> None:
    """State stands in objects, where a test can have its own."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Global)
    ]

    assert wrong == []


def test_no_comment_is_a_promise() -> None:
    """What is to be done stands in an issue, not in a comment."""
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X")
    wrong = [
        f"{path.relative_to(ROOT)}:{token.start[0]}"
        for path in (*FILES.values(), *sorted((ROOT / "tests").rglob("*.py")))
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT and any(word in token.string for word in words)
    ]

    assert wrong == []


def test_every_test_says_what_it_proves() -> None:
    """The docstring of a test is the fact it proves."""
    mute = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and ast.get_docstring(node) is None
    ]

    assert mute == []


def test_the_root_conftest_stays_small() -> None:
    """The plugin is what is tested: the project's own pytest settings do no more than a user's would."""
    assert len((ROOT / "conftest.py").read_text().splitlines()) < 30


# -- sizes

MOST_LINES = 425
"""Of a file; about 300 is usual."""

MOST_LINES_OF_A_FUNCTION = 60
MOST_PARAMETERS = 6
FLOORS = 9
"""The rooms on the longest way down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A function, by its place: its lines, docstring and all, and the parameters that a caller gives."""

    place: str
    lines: int
    parameters: int


@cache
def functions() -> tuple[Size, ...]:
    """Measure every function of the package."""
    return tuple(
        _size(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}", node)
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _size(place: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Size:
    names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    is_method = names[:1] in (["self"], ["cls"])
    return Size(
        place=place, lines=(node.end_lineno or node.lineno) - node.lineno + 1, parameters=len(names) - is_method
    )


def test_no_file_is_long() -> None:
    """What outgrows a file has two jobs."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES.values()}

    assert {file: length for file, length in lengths.items() if length > MOST_LINES} == {}


def test_no_function_is_long_or_takes_much() -> None:
    """A function fits on a screen, docstring and all, and what it takes can be kept in mind."""
    assert [one for one in functions() if one.lines > MOST_LINES_OF_A_FUNCTION] == []
    assert [one for one in functions() if one.parameters > MOST_PARAMETERS] == []


def test_the_house_has_few_floors() -> None:
    """A new arrow between rooms may be longer, but not make the way down longer."""
    assert 1 + max(floors().values()) <= FLOORS


# -- figures


def between() -> set[tuple[str, str]]:
    """Give the arrows between rooms."""
    return {(room(module), room(one.module)) for module, one in arrows() if room(module)}


def floors() -> dict[str, int]:
    """Give the floor of each room: 0 for one that imports none."""
    reached = between()
    graph = {name: {below for above, below in reached if above == name} for name in RANKS}
    found: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        found[name] = 1 + max((found[below] for below in graph[name]), default=-1)
    return found


def figures() -> Iterator[str]:
    """Give what is worth comparing before and after a move."""
    heights, reached = floors(), between()
    lengths = sorted((len(path.read_text().splitlines()), short(module)) for module, path in FILES.items())
    sizes = sorted(one.lines for one in functions())
    yield f"names at the root: {len(RANKS)}"
    yield f"floors: {1 + max(heights.values())}, arrows between rooms: {len(reached)}"
    yield f"files: {len(FILES)}, lines: {sum(length for length, _ in lengths)}, largest: {lengths[-1]}"
    yield f"functions: {len(sizes)}, median {sizes[len(sizes) // 2]} lines, longest {sizes[-1]}"
    for name in RANKS:
        below = sorted(low for high, low in reached if high == name)
        yield f"  {heights[name]}  {name:8} imports {', '.join(below) or 'none'}"


if __name__ == "__main__":
    print("\n".join(figures()))  # noqa: T201

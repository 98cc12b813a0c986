"""The body of `llmbench compare`: from files to lines and an exit status."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import pool, read_checked
from pytest_llmbench.gate.comparison import join, only_role, refuse_copies
from pytest_llmbench.gate.decision import Gate, decide
from pytest_llmbench.gate.rule import exit_status, overall
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.report.json import comparison_json
from pytest_llmbench.report.markdown.gate import comparison_markdown
from pytest_llmbench.report.safe_text import printed_json
from pytest_llmbench.report.side_by_side import Column, side_by_side_json, side_by_side_lines, side_by_side_markdown
from pytest_llmbench.report.terminal.gate import comparison_lines
from pytest_llmbench.results.records import Run

FORMATS = ("text", "markdown", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What `compare` was asked: `files` and `models` (roles) name the runs, `older` are runs to pool.

    `width` is that of the terminal, None where the lines go into a file and stay whole.
    """

    files: Sequence[Path]
    models: Sequence[str] = ()
    older: Sequence[Path] = ()
    settings: GateSettings
    format: str = "text"
    is_verbose: bool = False
    width: int | None = None


def compare_files(asked: Asked) -> tuple[Iterable[str], int]:
    """Compare what the files hold; gives the lines to print and the exit status.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: there is no pair of runs to compare, or they share no case.
    """
    named = _named_runs(asked)
    older = [read_checked(path) for path in asked.older]
    (base_name, baseline), *others = named
    pooled = [(str(path), run) for path, run in zip(asked.older, older, strict=True)]
    for name, run in named:
        refuse_copies([(name, run), *pooled])
    columns = [Column(name=base_name, run=baseline)]
    for name, candidate in others:
        joined = join(baseline, candidate, asked.settings.allowed)
        gate = decide(pool(joined, older) if older else joined, asked.settings)
        columns.append(Column(name=name, run=candidate, gate=gate))
    gates = [column.gate for column in columns if column.gate is not None]
    is_broken = any(gate.broken is not None for gate in gates)
    status = 1 if is_broken else exit_status(overall([gate.verdict for gate in gates]))
    return (_one(gates[0], asked) if len(gates) == 1 else _several(columns, asked)), status


def _named_runs(asked: Asked) -> list[tuple[str, Run]]:
    runs = [read_checked(path) for path in asked.files]
    if asked.models:
        if len(runs) == 1 and len(asked.models) > 1:
            _refuse_twice(asked.models, "model")
            return [(role, only_role(runs[0], role)) for role in asked.models]
        if len(runs) == len(asked.models) > 1:
            files = [path.resolve() for path in asked.files]
            _refuse_twice(list(zip(asked.models, files, strict=True)), "model of a file")
            return [
                (f"{role} ({name})", only_role(run, role))
                for role, run, name in zip(asked.models, runs, _names(asked.files), strict=True)
            ]
        raise UsageFault("--models needs two or more models of one run, or one model for each file.")
    if len(runs) < 2:
        raise UsageFault("name two runs to compare, or two models of one run with --models A B.")
    return list(zip(run_names(asked.files), runs, strict=True))


def run_names(files: Sequence[Path]) -> list[str]:
    """Name runs by their files, as shortly as tells them apart.

    Raises:
        UsageFault: a file is there twice, by whatever path.
    """
    _refuse_twice([path.resolve() for path in files], "file")
    return _names(files)


def _names(files: Sequence[Path]) -> list[str]:
    names = [path.stem for path in files]
    n_files = len({path.resolve() for path in files})
    return names if len(set(names)) == n_files else [str(path) for path in files]


def _refuse_twice(named: Sequence[Hashable], what: str) -> None:
    if len(set(named)) < len(named):
        raise UsageFault(f"the same {what} is named twice; a run has nothing to say against itself.")


def _one(gate: Gate, asked: Asked) -> Iterable[str]:
    if asked.format == "json":
        return [printed_json(comparison_json(gate))]
    if asked.format == "markdown":
        return comparison_markdown(gate, is_verbose=asked.is_verbose)
    return comparison_lines(gate, asked.width, is_verbose=asked.is_verbose)


def _several(columns: Sequence[Column], asked: Asked) -> Iterable[str]:
    if asked.format == "json":
        return [printed_json(side_by_side_json(columns))]
    if asked.format == "markdown":
        return side_by_side_markdown(columns, is_verbose=asked.is_verbose)
    return side_by_side_lines(columns, asked.width, is_verbose=asked.is_verbose)

"""`llmbench compare`: gate a run against another."""

import argparse
import shutil
import sys
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

from pytest_llmbench.cli.arguments import add_annotations, add_gate_arguments, annotations_of, settings_of
from pytest_llmbench.cli.output import print_lines, warn
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import pool, read_checked
from pytest_llmbench.gate.comparison import join, only_role, refuse_copies
from pytest_llmbench.gate.decision import decide, untrusted_suites
from pytest_llmbench.gate.min_score import MinScore, check_min_scores, parse_min_score, rule_min_scores
from pytest_llmbench.gate.pairs import Kind
from pytest_llmbench.gate.rule import exit_status, overall
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.report.json import comparison_json
from pytest_llmbench.report.markdown.gate import comparison_markdown
from pytest_llmbench.report.safe_text import printed_json
from pytest_llmbench.report.side_by_side import Column, side_by_side_json, side_by_side_lines, side_by_side_markdown
from pytest_llmbench.report.terminal.gate import comparison_lines
from pytest_llmbench.results.records import Run
from pytest_llmbench.results.run_file import read_pooled

FORMATS = ("text", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="RUN.json", help="the baseline, then the candidate(s)")
    parser.add_argument(
        "--models", nargs="+", default=(), metavar="ROLE", help="models of one run, or one model of each file"
    )
    parser.add_argument(
        "--pool",
        action="append",
        default=[],
        type=Path,
        metavar="OLD.json",
        help="older run of the baseline; repeatable",
    )
    add_gate_arguments(parser)
    parser.add_argument(
        "--min-score",
        action="append",
        type=lambda text: parse_min_score(text, "--min-score"),
        default=[],
        metavar="[SUITE=]S",
        help="the score (a share, errors counted wrong) that a candidate's suite must reach; repeatable",
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("-v", "--verbose", action="store_true", help="show both answers of each case that changed")
    add_annotations(parser)


def run(options: argparse.Namespace) -> int:
    """Compare the runs and print what the gate decides; gives the exit status.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: there is no pair of runs to compare, or they share no case.
    """
    people = annotations_of(options)
    older = [(str(path), read_checked(path)) for path in options.pool]
    # what was taken as the baseline together with it, by `llmbench accept`
    older += [(f"a run in {options.files[0]}", run) for run in read_pooled(options.files[0])]
    named = _named_runs(options.files, options.models)
    columns = compared(named, older, settings_of(options, people), options.min_score)
    # lines that go into a file stay whole
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    gated = [column for column in columns if column.gate is not None]
    if len(gated) == 1:
        print_lines(_one(gated[0], options.format, width, is_verbose=options.verbose))
    else:
        print_lines(_several(columns, options.format, width, is_verbose=options.verbose))
    for fault in people.faults:
        warn(fault)
    is_broken = any(column.gate.broken is not None for column in gated if column.gate is not None)
    return 1 if is_broken else exit_status(overall([column.verdict for column in gated if column.verdict is not None]))


def compared(
    named: Sequence[tuple[str, Run]],
    older: Sequence[tuple[str, Run]],
    settings: GateSettings,
    floors: Sequence[MinScore] = (),
) -> list[Column]:
    """Gate each run but the first against the first, pooled with older runs of it, and hold it to minimum scores.

    Raises:
        UsageFault: two runs are copies of each other, a pair shares no case, or a run lacks a suite with a minimum.
    """
    (base_name, baseline), *others = named
    for name, run in named:
        refuse_copies([(name, run), *older])
    columns = [Column(name=base_name, run=baseline)]
    for name, candidate in others:
        joined = join(baseline, candidate, settings.allowed)
        gate = decide(pool(joined, [run for _, run in older]) if older else joined, settings)
        check_min_scores(floors, [record.suite for record in candidate.records])
        rulings = rule_min_scores(
            candidate.records,
            floors,
            untrusted_suites((baseline, candidate), settings),
            counts_trained=Kind.TRAINED in settings.allowed,
            incomplete=candidate.incomplete,
        )
        columns.append(Column(name=name, run=candidate, gate=gate, floors=rulings))
    return columns


def _named_runs(paths: Sequence[Path], roles: Sequence[str]) -> list[tuple[str, Run]]:
    runs = [read_checked(path) for path in paths]
    if roles:
        if len(roles) == 1 or len(runs) not in (1, len(roles)):
            raise UsageFault("--models needs two or more models of one run, or one model for each file.")
        if len(runs) == 1:
            _refuse_twice(roles, "model")
            return [(role, only_role(runs[0], role)) for role in roles]
        _refuse_twice(list(zip(roles, [path.resolve() for path in paths], strict=True)), "model of a file")
        return [
            (f"{role} ({name})", only_role(run, role))
            for role, run, name in zip(roles, runs, _names(paths), strict=True)
        ]
    if len(runs) < 2:
        raise UsageFault("name two runs to compare, or two models of one run with --models A B.")
    return list(zip(run_names(paths), runs, strict=True))


def run_names(files: Sequence[Path]) -> list[str]:
    """Name runs by their files, as shortly as keeps them distinct.

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
        raise UsageFault(f"the same {what} is named twice; name another one to compare it with.")


def _one(column: Column, form: str, width: int | None, *, is_verbose: bool) -> Iterable[str]:
    gate, floors = column.gate, column.floors
    if gate is None:
        raise AssertionError("a candidate has a gate")
    if form == "json":
        return [printed_json(comparison_json(gate, floors))]
    if form == "markdown":
        return comparison_markdown(gate, is_verbose=is_verbose, floors=floors)
    return comparison_lines(gate, width, is_verbose=is_verbose, floors=floors)


def _several(columns: Sequence[Column], form: str, width: int | None, *, is_verbose: bool) -> Iterable[str]:
    if form == "json":
        return [printed_json(side_by_side_json(columns))]
    if form == "markdown":
        return side_by_side_markdown(columns, is_verbose=is_verbose)
    return side_by_side_lines(columns, width, is_verbose=is_verbose)

"""`llmbench export-training`: training data from the train sides of suites, and from the graded answers of runs.

Nothing is asked of any model.  The last line printed is the file's sha256: the same suites and runs give the same one.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from pytest_llmbench.cli.arguments import add_suite_paths, count_of, graders_of
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.report.files import check_target, write_content
from pytest_llmbench.report.format import counted
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.suites.split import by_side
from pytest_llmbench.tuning.export import Export, ExportSettings, export, read_named_runs
from pytest_llmbench.tuning.rows import Format, RowSettings
from pytest_llmbench.values import PromptStyle, Side


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_suite_paths(parser)
    formats = [str(kind) for kind in Format]
    parser.add_argument("--format", required=True, choices=formats, metavar="FORMAT", help=", ".join(formats))
    parser.add_argument(
        "--runs",
        nargs="+",
        action="extend",
        type=Path,
        default=[],
        metavar="RUN.json",
        help="runs whose graded answers are used",
    )
    parser.add_argument(
        "--prompt",
        choices=[str(style) for style in PromptStyle],
        help="style of the prompts; default: that of the runs, else chat where the suite has it",
    )
    parser.add_argument(
        "--pairs",
        type=count_of("--pairs"),
        default=RowSettings().pairs,
        metavar="N",
        help="most pairs a case; default 4",
    )
    parser.add_argument(
        "--no-references", action="store_true", help="take no reference where no answer of the runs passed"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="file to write")


def run(options: argparse.Namespace) -> int:
    """Write the training data; gives the exit status.

    Raises:
        UsageFault: a suite cannot be trained on, no row is left, the file cannot be written.
        SuiteFault: a suite is wrong.
        RunFileFault: a run cannot be read.
    """
    check_target(options.output, "-o", options.runs)
    registry = SuiteRegistry(options.root, graders_of(options))
    suites = registry.whole_below(options.paths)
    check_target(options.output, "-o", (path for loaded in suites for path in loaded.files))
    settings = ExportSettings(
        format=Format(options.format),
        style=None if options.prompt is None else PromptStyle(options.prompt),
        rows=RowSettings(pairs=options.pairs, uses_references=not options.no_references),
    )
    found = export(suites, registry.graders, read_named_runs(options.runs), settings)
    write_content(options.output, found.content())
    print_lines([*_lines(found, options.output), found.sha256])
    return 0


def _lines(found: Export, output: Path) -> Iterator[str]:
    by_suite = {known.loaded.suite.name: known.prompt.style for known in found.cases}
    for suite, style in by_suite.items():
        rows = sum(row["suite"] == suite for row in found.rows)
        cases = len({row["case_id"] for row in found.rows if row["suite"] == suite})
        yield f"{suite}: {counted(rows, 'row')} from {counted(cases, 'case')} of the train side, {style} prompts"
    for loaded in {known.loaded.suite.name: known.loaded for known in found.cases}.values():
        if not by_side(loaded.suite.cases)[Side.HELD_OUT]:
            yield f"{loaded.suite.name}: no case is held out, so none can decide about a model trained on this"
    for (what, why), count in found.left_out.items():
        yield f"left out: {counted(count, what)}: {why}"
    yield f"wrote {counted(len(found.rows), 'row')} to {output}"

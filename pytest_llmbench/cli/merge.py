"""`llmbench merge`: the shards of a run, put together as the one run they are parts of."""

import argparse
from pathlib import Path

from pytest_llmbench.cli.output import print_lines, warn
from pytest_llmbench.report.files import check_page, check_target, write_target
from pytest_llmbench.report.format import counted
from pytest_llmbench.results.merge import merge_shards


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="RUN.json", help="every shard of one run, in any order")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="run.json", help="file to write")
    parser.add_argument("--summary", type=Path, metavar="FILE.md", help="write a summary of the merged run, too")


def run(options: argparse.Namespace) -> int:
    """Write the run; gives the exit status.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: they are not the shards of one run, or a file cannot be written.
    """
    check_target(options.output, "-o", options.files)
    if options.summary is not None:
        check_target(options.summary, "--summary", [*options.files, options.output])
        check_page(options.summary, "--summary")
    merged = merge_shards(options.files, options.output)
    for remark in merged.remarks:
        warn(remark)
    print_lines(
        [f"wrote {options.output}: {counted(merged.records, 'record')} of {counted(len(options.files), 'shard')}"]
    )
    if options.summary is not None:
        _write_summary(options.output, options.summary)
    return 0


def _write_summary(source: Path, target: Path) -> None:
    from pytest_llmbench.report.markdown.summary import MAX_BYTES, summary
    from pytest_llmbench.results.run_file import read_run

    write_target(target, summary(read_run(source), None, stopped=None, max_bytes=MAX_BYTES))
    print_lines([f"wrote {target}"])

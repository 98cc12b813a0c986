"""`llmbench accept`: take a run, or several of one model, as the baseline that later runs are gated against."""

import argparse
import json
from pathlib import Path

from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.anchor import check_anchor, check_poolable
from pytest_llmbench.gate.baselines import newest_first, read_checked
from pytest_llmbench.gate.comparison import refuse_copies
from pytest_llmbench.report.format import counted
from pytest_llmbench.results.run_file import with_pooled
from pytest_llmbench.results.run_object import read_run_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", type=Path, metavar="RUN.json", help="the runs; several are pooled")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.json", help="file to write")


def run(options: argparse.Namespace) -> int:
    """Write the baseline; gives the exit status.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: a run cannot be a baseline, or two cannot be pooled.
    """
    accept(options.files, options.output)
    print_lines([f"{options.output} is the baseline now: {counted(len(options.files), 'run')}"])
    return 0


def accept(files: list[Path], output: Path) -> None:
    """Check runs and write them as one baseline: the newest, with the others in its block.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: a run cannot be a baseline, two cannot be pooled, or the file cannot be written.
    """
    if output.resolve() in {path.resolve() for path in files}:
        raise UsageFault(f"{output}: the baseline would be written over one of the runs; name another file with -o.")
    named = [(path, read_checked(path), read_run_file(path)) for path in files]
    for path, read, found in named:
        gate = found["llmbench"].get("gate")
        check_anchor(str(path), read, gate.get("verdict") if isinstance(gate, dict) else None)
    refuse_copies([(str(path), read) for path, read, _ in named])
    order = newest_first([read for _, read, _ in named])
    named.sort(key=lambda one: [read is one[1] for read in order].index(True))
    check_poolable([(str(path), read) for path, read, _ in named])
    (_, _, newest), *older = named
    try:
        if older:
            content = json.dumps(with_pooled(newest, [found for _, _, found in older]), allow_nan=False).encode()
        else:
            content = named[0][0].read_bytes()
        # the old baseline stays whole until the new one is: a kill in between loses neither
        draft = output.with_name(f"{output.name}.draft")
        draft.write_bytes(content)
        draft.replace(output)
    except OSError as fault:
        raise UsageFault(f"{output}: cannot be written: {fault.strerror}.") from None

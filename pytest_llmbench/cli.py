"""The `llmbench` command. Exit status: 0 fine, 1 a suite has errors, 2 wrong usage or an unreadable file."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmbench.errors import LlmbenchError, UsageFault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except LlmbenchError as fault:
        print(f"llmbench: {fault}", file=sys.stderr)  # noqa: T201 - a command speaks by printing
        return 2
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        sys.stderr.close()
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llmbench", description="Look after suites and runs of pytest-llmbench.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="write a first suite, a models file and a CI workflow")
    init.set_defaults(run=_init)

    validate = commands.add_parser("validate", help="check suite files without any model")
    validate.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="suite file, or folder of them")
    validate.add_argument("--root", type=Path, default=Path(), help="folder that holds fixtures/; default: this one")
    validate.set_defaults(run=_validate)

    show = commands.add_parser("show", help="prompts, answers and grades of a run")
    show.add_argument("run_file", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    show.add_argument("case", nargs="?", metavar="CASE", help="only this case (CASE or SUITE/CASE)")
    show.set_defaults(run=_show)
    return parser


def _init(options: argparse.Namespace) -> int:
    from pytest_llmbench.scaffold import scaffold

    del options
    try:
        done = scaffold(Path())
    except OSError as fault:
        raise UsageFault(f"{fault.filename}: cannot be written: {fault.strerror}.") from None
    _print(*(f"wrote {path}" for path in done.written), *(f"kept  {path} (it was there)" for path in done.kept))
    _print("Next: pytest --llm-model example cases/")
    return 0


def _validate(options: argparse.Namespace) -> int:
    from pytest_llmbench.validate import validate
    from pytest_llmbench.values import Severity

    found = validate(options.paths, options.root.resolve())
    _print(*(f"{remark.text} [{remark.severity}]" for remark in found.remarks))
    counts = (f"{found.count(severity)} {severity}" for severity in Severity)
    _print(f"{found.suites} suites, {found.cases} cases: {', '.join(counts)}")
    return 1 if found.count(Severity.ERROR) else 0


def _show(options: argparse.Namespace) -> int:
    from pytest_llmbench.records import read_run
    from pytest_llmbench.report.listing import record_lines
    from pytest_llmbench.report.terminal import scoreboard, scoreboard_lines

    run = read_run(options.run_file)
    records = run.records
    if options.case is not None:
        records = tuple(r for r in records if options.case in (r.case, f"{r.suite}/{r.case}"))
        if not records:
            raise UsageFault(_no_case(options.case, [r.case for r in run.records], options.run_file))
    for record in records:
        _print(*record_lines(record, run))
    _print(*scoreboard_lines(scoreboard(records), shutil.get_terminal_size().columns))
    return 0


def _no_case(case: str, known: Sequence[str], path: Path) -> str:
    from pytest_llmbench.models.catalog import nearest_first

    nearest = nearest_first(case, dict.fromkeys(known))[:5]
    return f'{path} has no case "{case}"; the nearest it has: {", ".join(nearest) or "none"}.'


def _print(*lines: str) -> None:
    for line in lines:
        print(line)  # noqa: T201 - a command speaks by printing

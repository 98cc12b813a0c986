"""The `llmbench` command.

Exit status: 0 fine; 1 a suite has errors, or a candidate is worse; 2 wrong usage or an unreadable file; 8 undecided.
"""

import argparse
import io
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_llmbench.errors import LlmbenchError, UsageFault


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a console that lacks a character shows its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
    except LlmbenchError as fault:
        from pytest_llmbench.report.safe_text import visible

        print(f"llmbench: {visible(str(fault))}", file=sys.stderr)  # noqa: T201 - a command speaks by printing
        return 2
    _print()
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
    _add_people(commands)
    _add_compare(commands)
    _add_history(commands)
    _add_calibrate(commands)
    _add_export_requests(commands)
    _add_report(commands)
    return parser


def _add_compare(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    compare = commands.add_parser("compare", help="judge a run against another: exit 0 take it, 1 worse, 8 undecided")
    compare.add_argument("files", nargs="+", type=Path, metavar="RUN.json", help="the baseline, then the candidate(s)")
    compare.add_argument(
        "--models", nargs="+", default=(), metavar="ROLE", help="models of one run, or one of each file"
    )
    compare.add_argument(
        "--pool", action="append", default=[], type=Path, metavar="OLD.json", help="older baseline run"
    )
    _add_tolerated(compare)
    compare.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    compare.add_argument("-v", "--verbose", action="store_true", help="both answers of each case that moved")
    _add_verdicts(compare)
    compare.set_defaults(run=_compare)


def _add_verdicts(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--verdicts",
        type=Path,
        default=Path("verdicts.jsonl"),
        metavar="FILE",
        help="verdicts of people; default: verdicts.jsonl",
    )


def _add_report(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    report = commands.add_parser("report", help="write a run as one HTML file: verdict, scores, every answer")
    report.add_argument(
        "files", nargs="+", type=Path, metavar="RUN.json", help="the runs, oldest first; the last is shown"
    )
    report.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.html", help="file to write")
    report.add_argument(
        "--baseline", type=Path, metavar="RUN.json", help="what it is compared with; default: the run before it"
    )
    report.add_argument(
        "--models", nargs=2, default=(), metavar=("OLD", "NEW"), help="two models of that run, compared with each other"
    )
    _add_verdicts(report)
    _add_tolerated(report)
    report.set_defaults(run=_report)


def _add_tolerated(command: argparse.ArgumentParser) -> None:
    command.add_argument("--margin", default="5", metavar="P", help="points of score that may be lost; default 5")
    command.add_argument("--latency-margin", metavar="R", help="gate latency too, at this ratio of medians")
    command.add_argument("--max-errors", metavar="SHARE", help="cases of a suite that may lack an answer; default 0.02")
    command.add_argument(
        "--allow-different", action="append", default=[], metavar="KIND", help="prompt, grader, judge, ..."
    )


def _add_people(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    review = commands.add_parser("review", help="judge the answers of a run yourself, blind")
    review.add_argument("run_file", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    review.add_argument("--by", metavar="NAME", help="who judges; default: the user's name")
    review.add_argument("--seed", type=int, default=0, help="of the order; the same for all who review a run")
    review.set_defaults(run=_review)
    agreement = commands.add_parser("agreement", help="how far the graders agree with people")
    agreement.add_argument("run_files", nargs="+", type=Path, metavar="RUN.json", help="benchmark JSON of a run")
    agreement.set_defaults(run=_agreement)
    for command in (review, agreement):
        _add_verdicts(command)


def _add_export_requests(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser("export-requests", help="write the requests of a run in OpenAI's batch format")
    export.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="suite file, or folder of them")
    export.add_argument("--llm-model", required=True, metavar="NAME", help="entry of the models file, or openai:TARGET")
    export.add_argument("-o", "--output", required=True, type=Path, metavar="REQUESTS.jsonl", help="file to write")
    export.add_argument("--llm-models-file", type=Path, metavar="FILE", help="default fixtures/models.toml")
    export.add_argument("--llm-samples", type=int, default=1, metavar="K", help="answers a case; default 1")
    export.add_argument("--llm-limit", type=int, metavar="N", help="only the first N cases of each suite")
    export.add_argument("--root", type=Path, default=Path(), help="folder that holds fixtures/; default: this one")
    export.set_defaults(run=_export_requests)


def _init(options: argparse.Namespace) -> int:
    from pytest_llmbench.cli.init import scaffold

    del options
    try:
        done = scaffold(Path())
    except OSError as fault:
        raise UsageFault(f"{fault.filename}: cannot be written: {fault.strerror}.") from None
    _print(*(f"wrote {path}" for path in done.written), *(f"kept  {path} (it was there)" for path in done.kept))
    _print("Next: pytest --llm-model example cases/")
    return 0


def _validate(options: argparse.Namespace) -> int:
    from pytest_llmbench.cli.validate import validate
    from pytest_llmbench.grading.base import Severity
    from pytest_llmbench.report.safe_text import visible

    found = validate(options.paths, options.root.resolve())
    _print(*(visible(f"{remark.text} [{remark.severity}]") for remark in found.remarks))
    counts = (f"{found.count(severity)} {severity}" for severity in Severity)
    _print(f"{found.suites} suites, {found.cases} cases: {', '.join(counts)}")
    return 1 if found.count(Severity.ERROR) else 0


def _show(options: argparse.Namespace) -> int:
    from pytest_llmbench.report.terminal.run import record_lines
    from pytest_llmbench.report.terminal.scoreboard import scoreboard, scoreboard_lines
    from pytest_llmbench.results.run_file import read_run

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


def _add_history(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    history = commands.add_parser("history", help="scores and latency of many runs over time")
    history.add_argument(
        "paths", nargs="*", type=Path, default=[Path(".benchmarks")], metavar="PATH", help="runs, folders"
    )
    history.add_argument("--since", metavar="DATE", help="only runs from this date on, as 2026-01-31")
    history.add_argument("--model", metavar="NAME", help="only this model (its role or name)")
    history.add_argument("--suite", metavar="SUITE", help="only this suite")
    history.add_argument("--format", choices=("text", "csv", "json"), default="text")
    history.set_defaults(run=_history)


def _add_calibrate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    calibrate = commands.add_parser("calibrate", help="what noise a model has against itself, and the margin it needs")
    calibrate.add_argument("files", nargs="+", type=Path, metavar="RUN.json", help="two or more runs of the same model")
    calibrate.add_argument(
        "--margin", default="5", metavar="P", help="points of score the gate is to tolerate; default 5"
    )
    calibrate.add_argument("--latency-margin", metavar="R", help="ratio of latencies the gate is to tolerate")
    calibrate.add_argument("--format", choices=("text", "json"), default="text")
    calibrate.set_defaults(run=_calibrate)


def _compare(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from pytest_llmbench.cli.compare import Asked, compare_files
    from pytest_llmbench.gate.settings import gate_settings
    from pytest_llmbench.results.annotations import named_annotations

    settings = gate_settings(
        options.margin, options.latency_margin, options.allow_different, max_errors=options.max_errors
    )
    people = named_annotations(options.verdicts)
    settings = replace(settings, people=people.verdicts)
    lines, status = compare_files(
        Asked(
            files=options.files,
            models=options.models,
            older=options.pool,
            settings=settings,
            format=options.format,
            is_verbose=options.verbose,
            width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
        )
    )
    _print(*lines)
    _complain(people.faults)
    return status


def _report(options: argparse.Namespace) -> int:
    from pytest_llmbench.cli.report import Wanted, write_report
    from pytest_llmbench.gate.settings import gate_settings

    settings = gate_settings(
        options.margin, options.latency_margin, options.allow_different, max_errors=options.max_errors
    )
    faults = write_report(
        Wanted(
            files=options.files,
            target=options.output,
            baseline=options.baseline,
            models=options.models,
            verdicts=options.verdicts,
            settings=settings,
        )
    )
    _complain(faults)
    _print(f"wrote {options.output}")
    return 0


def _history(options: argparse.Namespace) -> int:
    from pytest_llmbench.report.terminal.history import history_lines
    from pytest_llmbench.results.history import Filter, parse_since, read_history

    since = None if options.since is None else parse_since(options.since)
    found = read_history(options.paths, Filter(since=since, model=options.model, suite=options.suite))
    _print(*history_lines(found, options.format))
    _complain([f"left out {reason}" for reason in found.left_out])
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from pytest_llmbench.gate.baselines import read_checked
    from pytest_llmbench.gate.calibrate import calibrate
    from pytest_llmbench.gate.comparison import refuse_copies
    from pytest_llmbench.gate.settings import gate_settings
    from pytest_llmbench.report.terminal.calibration import calibration_lines

    settings = gate_settings(options.margin, options.latency_margin, ())
    runs = [read_checked(path) for path in options.files]
    refuse_copies([(str(path), run) for path, run in zip(options.files, runs, strict=True)])
    found = calibrate(runs, settings)
    _print(*calibration_lines(found, options.format))
    return 0


def _review(options: argparse.Namespace) -> int:
    from pytest_llmbench.cli.review import keys_of, review_file, user_name

    by = options.by or user_name()
    return review_file(options.run_file, options.verdicts, keys_of(sys.stdin), _print, by=by, seed=options.seed)


def _agreement(options: argparse.Namespace) -> int:
    from pytest_llmbench.cli.agreement import agreement_of_files

    return agreement_of_files(options.run_files, options.verdicts, _print)


def _export_requests(options: argparse.Namespace) -> int:
    from pytest_llmbench.cli.export_requests import Wanted, export_requests

    done = export_requests(
        Wanted(
            paths=options.paths,
            model=options.llm_model,
            target=options.output,
            root=options.root.resolve(),
            models_file=options.llm_models_file,
            samples=options.llm_samples,
            limit=options.llm_limit,
        )
    )
    _print(f"wrote {done.requests:,} requests of {done.suites} suites to {options.output}")
    return 0


def _no_case(case: str, known: Sequence[str], path: Path) -> str:
    from pytest_llmbench.models.validation import nearest_first

    nearest = nearest_first(case, dict.fromkeys(known))[:5]
    return f'{path} has no case "{case}"; the nearest it has: {", ".join(nearest) or "none"}.'


def _complain(faults: Sequence[str]) -> None:
    from pytest_llmbench.report.safe_text import visible

    for fault in faults:
        print(f"llmbench: {visible(fault)}", file=sys.stderr)  # noqa: T201 - a command speaks by printing


def _print(*lines: str) -> None:
    """Print lines; for a reader that has seen enough (`| head`) the command goes on in silence, to its status."""
    try:
        for line in lines:
            print(line)  # noqa: T201 - a command speaks by printing
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

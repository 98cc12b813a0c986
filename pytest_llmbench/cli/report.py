"""`llmbench report`: a run as one HTML file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_llmbench.cli.arguments import add_annotations, add_gate_arguments, annotations_of, settings_of
from pytest_llmbench.cli.compare import run_names
from pytest_llmbench.cli.output import print_lines, warn
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import Baseline, read_checked
from pytest_llmbench.gate.run_decision import RunGate, RunRuling, compare_with
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.report.files import check_page, check_target, write_target
from pytest_llmbench.report.html.page import html_report
from pytest_llmbench.report.html.subject import Subject, between_models, two_models
from pytest_llmbench.results.check_agreement import measure_with_checks
from pytest_llmbench.results.grader_agreement import Findings
from pytest_llmbench.results.history import Entry, Filter, read_history
from pytest_llmbench.results.records import Run
from pytest_llmbench.results.run_file import read_pooled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="RUN.json", help="the runs, oldest first; the last is shown"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.html", help="file to write")
    parser.add_argument(
        "--baseline", type=Path, metavar="RUN.json", help="run to compare it with; default: the run before it"
    )
    parser.add_argument(
        "--models", nargs=2, default=(), metavar=("OLD", "NEW"), help="compare two models of that run with each other"
    )
    add_annotations(parser)
    add_gate_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Write the report; gives the exit status.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: the baseline or the models that were named share no case with the run, there is no such file of
            annotations, or the report cannot be written or would overwrite one of the files.
    """
    baselines = [] if options.baseline is None else [options.baseline]
    check_target(options.output, "-o", [*options.files, *baselines, options.verdicts])
    check_page(options.output, "-o")
    people = annotations_of(options)
    settings = settings_of(options, people)
    subject = subject_of(options.files, settings, baseline=options.baseline, models=options.models)
    write_target(options.output, html_report(subject))
    for fault in people.faults:
        warn(fault)
    print_lines([f"wrote {options.output}"])
    return 0


def subject_of(
    files: Sequence[Path], settings: GateSettings, *, baseline: Path | None = None, models: Sequence[str] = ()
) -> Subject:
    """Read the files and gate the last of them.

    Args:
        files: the runs; the last is shown.
        settings: what the gate tolerates.
        baseline: what the run is compared with, None for the nearest of the earlier files that has a case in common.
        models: two roles of the run shown, the second to be compared with the first.

    Raises:
        RunFileFault, UsageFault: see `run`.
    """
    others = [path for path in files if baseline is None or path.resolve() != baseline.resolve()]
    if not others:
        raise UsageFault("name a run to show beside the baseline.")
    *earlier, shown = others
    every = [*earlier, *([baseline] if baseline else []), shown]
    names = dict(zip(every, run_names(every), strict=True))
    run = read_checked(shown)
    if models:
        if len(set(models)) != 2 or baseline is not None:
            raise UsageFault("--models needs two models of the run that is shown, and no --baseline.")
        ruling: RunRuling | None = between_models(run, shown, tuple(models), settings)
        before: str | None = models[0]
    elif baseline is not None:
        ruling, before = _ruling(_baseline(baseline), run, settings), names[baseline]
    elif not earlier and (found := two_models(run, shown, settings)) is not None:
        before, ruling = found
    else:
        ruling = _nearest(earlier, run, settings)
        before = names[ruling.requirements.baselines[0].path] if ruling and ruling.gate else None
    return Subject(
        name=names[shown],
        run=run,
        before=before,
        ruling=ruling,
        stopped=run.stopped,
        history=_history(every),
        trust=_trust(settings, run, ruling),
    )


def _baseline(path: Path) -> Baseline:
    return Baseline(path=path, run=read_checked(path), older=read_pooled(path))


def _ruling(baseline: Baseline, run: Run, settings: GateSettings) -> RunRuling:
    requirements = RunGate(baselines=(baseline,), settings=settings)
    return RunRuling(requirements=requirements, gate=compare_with((baseline,), run, settings))


def _nearest(earlier: Sequence[Path], run: Run, settings: GateSettings) -> RunRuling | None:
    """Gate a run against the nearest before it that has a case in common."""
    first: RunRuling | None = None
    for path in reversed(earlier):
        baseline = _baseline(path)
        try:
            return _ruling(baseline, run, settings)
        except UsageFault as fault:
            requirements = RunGate(baselines=(baseline,), settings=settings)
            first = first or RunRuling(requirements=requirements, refusal=f"{path.stem}: {fault}")
    return first


def _history(files: Sequence[Path]) -> tuple[Entry, ...]:
    return read_history(files, Filter()).entries if len(files) > 1 else ()


def _trust(settings: GateSettings, run: Run, ruling: RunRuling | None) -> Findings | None:
    """Measure the graders of what is shown, where people annotated it."""
    baseline = ruling.gate.comparison.baseline.records if ruling and ruling.gate else ()
    return measure_with_checks([*baseline, *run.records], settings.people) if settings.people else None

"""The body of `llmbench report`: from the files of runs to one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_llmbench.cli.compare import run_names
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import Baseline, read_checked
from pytest_llmbench.gate.comparison import join, only_role
from pytest_llmbench.gate.decision import RunGate, RunRuling, decide
from pytest_llmbench.gate.settings import GateSettings
from pytest_llmbench.report.files import check_target, write_target
from pytest_llmbench.report.html.page import html_report
from pytest_llmbench.report.html.subject import Subject
from pytest_llmbench.results.annotations import DEFAULT_FILE, named_annotations
from pytest_llmbench.results.grader_agreement import Findings, weigh
from pytest_llmbench.results.history import Entry, Filter, read_history
from pytest_llmbench.results.records import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `report` was asked.

    The last of `files` is the run shown; `baseline` is what it is compared with, None for the nearest of the
    earlier files that has a case in common.  `models` are two roles of the run shown, the second to be compared with
    the first.
    """

    files: Sequence[Path]
    target: Path
    baseline: Path | None = None
    models: Sequence[str] = ()
    verdicts: Path = DEFAULT_FILE
    settings: GateSettings


def write_report(wanted: Wanted) -> tuple[str, ...]:
    """Write the report; gives what could not be read of the verdicts of people.

    Raises:
        RunFileFault: a file cannot be read as a run.
        UsageFault: the baseline or the models that were named share no case with the run, there is no such file of
            verdicts, or the report cannot be written or would be written over one of the files.
    """
    baselines = [] if wanted.baseline is None else [wanted.baseline]
    check_target(wanted.target, "-o", [*wanted.files, *baselines, wanted.verdicts])
    people = named_annotations(wanted.verdicts)
    settings = replace(wanted.settings, people=people.verdicts)
    write_target(wanted.target, html_report(subject_of(replace(wanted, settings=settings))))
    return people.faults


def subject_of(wanted: Wanted) -> Subject:
    """Read the files and judge the last of them.

    Raises:
        RunFileFault, UsageFault: see `write_report`.
    """
    baseline = wanted.baseline and wanted.baseline.resolve()
    files = [path for path in wanted.files if path.resolve() != baseline]
    if not files:
        raise UsageFault("name a run to show beside the baseline.")
    *earlier, shown = files
    every = [*files[:-1], *([wanted.baseline] if wanted.baseline else []), shown]
    names = dict(zip(every, run_names(every), strict=True))
    run = read_checked(shown)
    ruling = _between_models(wanted, shown, run) if wanted.models else _ruling(wanted, earlier, run)
    return Subject(
        name=names[shown],
        run=run,
        before=_before(wanted, ruling, names),
        ruling=ruling,
        stopped=run.stopped,
        history=_history(every),
        trust=_trust(wanted.settings, run, ruling),
    )


def _before(wanted: Wanted, ruling: RunRuling | None, names: Mapping[Path, str]) -> str | None:
    if ruling is None or ruling.gate is None:
        return None
    return wanted.models[0] if wanted.models else names[ruling.asked.baselines[0].path]


def _between_models(wanted: Wanted, shown: Path, run: Run) -> RunRuling:
    if len(set(wanted.models)) != 2 or wanted.baseline is not None:
        raise UsageFault("--models needs two models of the run that is shown, and no --baseline.")
    old, new = (only_role(run, role) for role in wanted.models)
    return _judged(wanted, Baseline(path=shown, run=old), new)


def _ruling(wanted: Wanted, earlier: Sequence[Path], run: Run) -> RunRuling | None:
    """Judge a run against the baseline that was named, else the nearest before it that has a case in common."""
    if wanted.baseline is not None:
        return _judged(wanted, Baseline(path=wanted.baseline, run=read_checked(wanted.baseline)), run)
    first: RunRuling | None = None
    for path in reversed(earlier):
        baseline = Baseline(path=path, run=read_checked(path))
        try:
            return _judged(wanted, baseline, run)
        except UsageFault as fault:
            asked = RunGate(baselines=(baseline,), settings=wanted.settings)
            first = first or RunRuling(asked=asked, refusal=f"{path.stem}: {fault}")
    return first


def _judged(wanted: Wanted, baseline: Baseline, run: Run) -> RunRuling:
    asked = RunGate(baselines=(baseline,), settings=wanted.settings)
    return RunRuling(asked=asked, gate=decide(join(baseline.run, run, wanted.settings.allowed), wanted.settings))


def _history(files: Sequence[Path]) -> tuple[Entry, ...]:
    return read_history(files, Filter()).entries if len(files) > 1 else ()


def _trust(settings: GateSettings, run: Run, ruling: RunRuling | None) -> Findings | None:
    """Weigh the graders of what is shown, where people said something of it."""
    baseline = ruling.gate.comparison.baseline.records if ruling and ruling.gate else ()
    return weigh([*baseline, *run.records], settings.people) if settings.people else None

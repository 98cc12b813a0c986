"""The runs to be compared with: read, put in order, and seen to fit before any model is called."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmbench.compare import index, refuse_copies, role_pairs
from pytest_llmbench.errors import RunFileFault, UsageFault
from pytest_llmbench.pooling import newest_first
from pytest_llmbench.records import Run, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A run to be compared with, and the file it was read from."""

    path: Path
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """A case that is about to be put to the model of a role."""

    role: str
    suite: str
    case: str
    case_sha256: str


def read_checked(path: Path) -> Run:
    """Read a run whose records can be judged.

    Raises:
        RunFileFault: it cannot be read, has a case twice, or an impossible score.
    """
    run = read_run(path)
    try:
        index(run)
    except RunFileFault as fault:
        raise RunFileFault(f"{path}: {fault}") from None
    return run


def read_baselines(paths: Sequence[Path]) -> tuple[Baseline, ...]:
    """Read the runs to be compared with, the newest first.

    Raises:
        RunFileFault: one cannot be read as a run, or has no record.
        UsageFault: a file is named twice, or two hold the same run.
    """
    twice = [path for path, count in Counter(path.resolve() for path in paths).items() if count > 1]
    if twice:
        raise UsageFault(f"{twice[0]}: this baseline is named twice; a run has nothing to add to itself.")
    by_run = [Baseline(path=path, run=read_checked(path)) for path in paths]
    empty = [baseline.path for baseline in by_run if not baseline.run.records]
    if empty:
        raise RunFileFault(f"{empty[0]}: this run has no record; nothing can be compared with it.")
    refuse_copies([(str(baseline.path), baseline.run) for baseline in by_run])
    order = newest_first([baseline.run for baseline in by_run])
    return tuple(sorted(by_run, key=lambda baseline: [run is baseline.run for run in order].index(True)))


def check_plan(baseline: Baseline, planned: Iterable[PlannedCase]) -> None:
    """See that a baseline has something to say about what is about to be asked.

    Raises:
        UsageFault: no role of theirs pairs, they share no case, or a case is planned twice.
    """
    wanted: dict[str, dict[tuple[str, str], str]] = {}
    for case in planned:
        of_role = wanted.setdefault(case.role, {})
        if (case.suite, case.case) in of_role:
            raise UsageFault(
                f'case "{case.case}" of suite "{case.suite}" is about to be run twice under "{case.role}", and a gate '
                "can judge it but once; run its suite file and its Python test apart."
            )
        of_role[case.suite, case.case] = case.case_sha256
    known = index(baseline.run)
    changed = 0
    for old_role, new_role in role_pairs(list(known), list(wanted)):
        old, new = known[old_role], wanted[new_role]
        common = [(old[key].case_sha256, digest) for key, digest in new.items() if key in old]
        if any(was == now for was, now in common):
            return
        changed += len(common)
    if changed:
        raise UsageFault(
            f"{baseline.path} shares no case with this run: {changed} were changed since (another digest). "
            "Run the baseline's model again on the suites as they are."
        )
    names = ", ".join(sorted({suite for of_role in known.values() for suite, _ in of_role}))
    raise UsageFault(f"{baseline.path} shares no case with this run; it has the suites: {names}.")

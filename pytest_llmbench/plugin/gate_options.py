"""The options of the gate. Read where a run is gated, or one of them is given: what they need takes time to import."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate.baselines import Baseline, read_baselines
from pytest_llmbench.gate.min_score import MinScore, parse_min_score
from pytest_llmbench.gate.settings import (
    MAX_ERRORS,
    GateSettings,
    parse_allowed,
    parse_latency_margin,
    parse_margin,
    parse_max_errors,
)
from pytest_llmbench.plugin.options import folder_of, line_order, listed, path_of, reuse, usage_error
from pytest_llmbench.results.annotations import DEFAULT_FILE, AnnotationFile, read_annotations
from pytest_llmbench.results.history import latest_run_file

LATEST = "latest"
"""Stands for the newest run of the benchmark storage."""


def gate_tolerances(config: pytest.Config) -> GateSettings:
    """Read what the gate tolerates.

    Raises:
        UsageFault: one of the options is wrong.
    """
    margin, latency_margin, max_errors = (
        config.getoption(name) or config.getini(name) or None
        for name in ("llm_margin", "llm_latency_margin", "llm_max_errors")
    )
    return GateSettings(
        margin=parse_margin(margin or "5", "--llm-margin"),
        latency_margin=latency_margin and parse_latency_margin(latency_margin, "--llm-latency-margin"),
        allowed=parse_allowed(listed(config, "llm_allow_different")[0], "--llm-allow-different"),
        max_errors=MAX_ERRORS if max_errors is None else parse_max_errors(max_errors, "--llm-max-errors"),
        prefix="--llm-",
    )


def annotations(config: pytest.Config) -> AnnotationFile:
    """Read people's annotations: `verdicts.jsonl` in the root directory, if it is there.

    Raises:
        UsageFault: it cannot be read.
    """
    return read_annotations(config.rootpath / DEFAULT_FILE)


def min_scores(config: pytest.Config) -> tuple[tuple[MinScore, ...], bool]:
    """Read the minimum scores, and whether the command line gave them.

    Raises:
        UsageFault: one is no share.
    """
    texts, is_given = listed(config, "llm_min_score")
    return tuple(parse_min_score(text) for text in texts), is_given


def baselines(config: pytest.Config, storage: Callable[[], Path | None]) -> tuple[Baseline, ...]:
    """Read the runs to be compared with, the newest first.

    Args:
        config: with the options.
        storage: gives the folder of saved runs, None where they are in no files.

    Raises:
        RunFileFault, UsageFault: one cannot be read, there is no latest, or this run would overwrite one.
    """
    names, is_given = listed(config, "llm_baseline")
    if "" in names:
        raise UsageFault(f"--llm-baseline names no file; write the benchmark JSON of a run, or {LATEST}.")
    folder = folder_of(config, is_given=is_given)
    found = read_baselines([_latest(storage()) if name == LATEST else _shown(folder / name) for name in names])
    _keep(config, [baseline.path for baseline in found])
    return found


def _keep(config: pytest.Config, baselines: Sequence[Path]) -> None:
    """Refuse to write over a baseline.

    Raises:
        UsageFault: a file that this run writes is one.
    """
    run_file = config.getoption("benchmark_json", None)
    way_out = "name another file."
    targets = (
        ("--benchmark-json", run_file, "write elsewhere, and move the file where the gate lets it pass."),
        ("--llm-report", path_of(config, "llm_report"), way_out),
        ("--llm-summary", path_of(config, "llm_summary"), way_out),
    )
    kept = {path.resolve() for path in baselines}
    for option, target, instead in targets:
        if target and Path(target).resolve() in kept:
            raise UsageFault(f"{option}={target} would write over the baseline; {instead}")


def _latest(storage: Path | None) -> Path:
    if storage is None:
        raise UsageFault(f"--llm-baseline={LATEST} needs runs in files; --benchmark-storage names something else.")
    return latest_run_file(_shown(storage))


def _shown(path: Path) -> Path:
    """Give a path as people write it: relative to the working directory where it lies below."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path


def check_values(config: pytest.Config) -> None:
    """Check the values of options that nothing else checks where no model is named.

    Raises:
        pytest.UsageError: one is wrong.
    """
    try:
        gate_tolerances(config)
        min_scores(config)
        reuse(config)
        line_order(config)
    except UsageFault as fault:
        raise usage_error(fault) from None

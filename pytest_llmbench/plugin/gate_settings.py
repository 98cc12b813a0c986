"""What pytest's options ask of a run: a baseline, minimum scores, what is tolerated."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_llmbench.baselines import Baseline, read_baselines
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.gate import GateSettings
from pytest_llmbench.gate_options import MinScore, gate_settings, parse_min_score
from pytest_llmbench.history import latest_run_file
from pytest_llmbench.human_verdicts import DEFAULT_FILE, VerdictFile, read_verdicts
from pytest_llmbench.plugin.settings import folder_of, listed, path_of

LATEST = "latest"
"""Stands for the newest run of the benchmark storage."""


def has_gate(config: pytest.Config) -> bool:
    """Tell whether a run is gated, so that a wrong answer alone fails no test."""
    return any(listed(config, name)[0] for name in ("llm_baseline", "llm_min_score"))


def tolerated(config: pytest.Config) -> GateSettings:
    """Read what the gate tolerates.

    Raises:
        UsageFault: one of the options is wrong.
    """
    margin, latency_margin = (
        config.getoption(name) or config.getini(name) or None for name in ("llm_margin", "llm_latency_margin")
    )
    return gate_settings(margin or "5", latency_margin, listed(config, "llm_allow_different")[0], "--llm-")


def people(config: pytest.Config) -> VerdictFile:
    """Read what people said of answers: `verdicts.jsonl` in the root directory, if it is there.

    Raises:
        UsageFault: it cannot be read.
    """
    return read_verdicts(config.rootpath / DEFAULT_FILE)


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

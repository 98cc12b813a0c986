"""`llmbench tune`: train a model on the train sides of suites, in the stages of a recipe.

Exit status: 0 trained, 2 wrong usage, 3 a stage failed, 130 stopped with a checkpoint.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pytest_llmbench.cli.output import print_lines, warn, written
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.report.safe_text import visible

if TYPE_CHECKING:
    from pytest_llmbench.tuning.prepare import Prepared, Setting

STAGE_FAILED = 3
STOPPED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("recipe", nargs="?", type=Path, metavar="RECIPE.toml", help="the recipe to train")
    parser.add_argument("--plan", action="store_true", help="print rows, tokens, steps and memory, and train nothing")
    parser.add_argument("--restart", action="store_true", help="train anew from the first stage that has changed")
    parser.add_argument("--eject", type=Path, metavar="DIR", help="write the data and TRL's own command lines, and end")
    parser.add_argument("--merge", type=Path, metavar="DIR", help="merge the adapter in DIR into its base, and end")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16", "float16"), help="of merged weights; default: the base's"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="where merged weights go; default: DIR/merged")
    parser.add_argument("--llm-models-file", type=Path, metavar="FILE", help="default: fixtures/models.toml")
    parser.add_argument(
        "--root",
        type=lambda text: Path(text).resolve(),
        default=".",
        help="what paths in a recipe are relative to, and what holds fixtures/; default: the current folder",
    )


def run(options: argparse.Namespace) -> int:
    """Train; gives the exit status.

    Raises:
        UsageFault: the command line or the recipe is wrong, or a file cannot be read or written.
    """
    if (options.recipe is None) == (options.merge is None):
        raise UsageFault("name a recipe, or an adapter with --merge DIR; see llmbench tune --help.")
    try:
        if options.merge is None:
            return _train(options)
        from pytest_llmbench.tuning.merge import merge

        print_lines(merge(options.merge, options.output, options.dtype))
    except OSError as fault:
        if fault.filename is None:  # of a library, which says more than its kind
            raise
        raise UsageFault(f"{fault.filename}: {fault.strerror}; correct the path or its rights.") from None
    return 0


def _train(options: argparse.Namespace) -> int:
    from pytest_llmbench.tuning.prepare import plan_lines, prepare, refuse_memory
    from pytest_llmbench.tuning.tune import TrainingFault, TrainingStopped

    setting = _setting(options)

    prepared = prepare(options.recipe, setting, is_plan=options.plan)
    output = setting.root / prepared.recipe.output
    if options.plan:
        print_lines(plan_lines(prepared, output, setting.root))
        refuse_memory(prepared)
        return 0
    if options.eject is not None:
        from pytest_llmbench.tuning.eject import eject

        print_lines(eject(prepared, options.eject, setting.root))
        return 0
    refuse_memory(prepared)
    try:
        print_lines(_run(prepared, setting, output, is_restart=options.restart))
    except TrainingFault as fault:
        warn(str(fault))
        return STAGE_FAILED
    except TrainingStopped as stopped:
        warn(str(stopped))
        return STOPPED
    except KeyboardInterrupt:
        warn("stopped between two stages; the same command goes on.")
        return STOPPED
    return 0


def _setting(options: argparse.Namespace) -> "Setting":
    from pytest_llmbench.models.base import OpenSettings
    from pytest_llmbench.models.catalog import Catalog
    from pytest_llmbench.tuning.plan import Machine
    from pytest_llmbench.tuning.prepare import Setting

    root = Path(options.root).resolve()
    return Setting(
        root=root,
        catalog=Catalog(options.llm_models_file or root / "fixtures" / "models.toml", {}),
        open_settings=OpenSettings(root=root),
        machine=Machine.here(),
    )


def _run(prepared: "Prepared", setting: "Setting", output: Path, *, is_restart: bool) -> Iterator[str]:
    """Train the stages, with a line of progress; gives what stands at the end."""
    from pytest_llmbench.tuning.lock import locked
    from pytest_llmbench.tuning.outcome import closing_lines
    from pytest_llmbench.tuning.tune import Tuning, Voice, run

    if prepared.base is None:
        raise UsageFault("the model is not here; go online once to fetch it, or name a folder.")
    tuning = Tuning(
        recipe=prepared.recipe,
        text=prepared.text,
        base=prepared.base,
        plans=prepared.plans,
        rows=prepared.rows,
        splits=prepared.sources.splits,
        output=output,
        root=setting.root,
        cache_dir=setting.open_settings.cache_dir,
    )
    progress = StageProgress(sys.stdout)
    for remark in prepared.remarks:
        progress.line(remark)
    waiting = "the stage of a command that was killed ends its step; waiting for it"
    with locked(output, lambda: progress.line(waiting)) as held:
        run(tuning, Voice(line=progress.line, event=progress.event), is_restart=is_restart, kept_open=(held,))
    yield from closing_lines(prepared.base, tuning, setting.catalog)


class StageProgress:
    """One line that changes where there is a terminal; elsewhere about ten lines a stage.

    Args:
        stream: where it is printed.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown = ""

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._write(f"{visible(text)}\n")

    def event(self, name: str, event: Mapping[str, Any]) -> None:
        """Show what a stage reports of itself."""
        text = progress_text(name, event)
        if text is None:
            return
        if event["event"] != "step":
            self.line(text)
        elif self._is_terminal:
            self._write(text)
            self._shown = text
        elif event["step"] == event["of"] or event["step"] % max(1, event["of"] // 10) == 0:
            self.line(text)

    def _write(self, text: str) -> None:
        """Write a text in place of what is shown; a reader that has gone (`| head`) does not end the training."""
        blank = "\r" + " " * len(self._shown) + "\r" if self._shown else ""
        with written():
            self._stream.write(blank + text)
            self._stream.flush()
        self._shown = ""


def progress_text(name: str, event: Mapping[str, Any]) -> str | None:
    """Put what a stage reports into a line; None where it is of no interest."""
    if event["event"] == "step":
        parts = [f"{name}: step {event['step']} of {event['of']}", f"loss {event['loss']:.3g}"]
        parts += [f"reward {event['reward']:.3g}"] if "reward" in event else []
        parts += [f"{event['tokens']:,.0f} tokens"] if "tokens" in event else []
        return ", ".join([*parts, f"{event['seconds']:.0f} s"])
    if event["event"] == "resumed":
        return f"{name}: going on from {event['checkpoint']}"
    if event["event"] == "damaged":
        return f"{name}: {event['checkpoint']} was cut off, and is removed"
    if event["event"] == "mixed":
        return (
            f"{name}: {event['share']:.0%} of {event['cases']} sampled cases have answers that are graded differently"
        )
    return None

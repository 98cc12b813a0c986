"""Training data from suites and runs: only the train sides, the same bytes from the same input.

What a format holds is in `rows`, what is known of a case in `known_answers`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.base import Grader
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.tuning.known_answers import Gathering, KnownCase, NamedRun
from pytest_llmbench.tuning.rows import Format, Row, RowSettings, rows_of
from pytest_llmbench.tuning.verl import parquet_of
from pytest_llmbench.values import PromptStyle

CHATLLAMA = (Format.CHATLLAMA_ACTOR, Format.CHATLLAMA_REWARD, Format.CHATLLAMA_RLHF)
"""Formats that are one JSON array."""

_NEEDS_ANSWERS = (Format.PREFERENCE, Format.UNPAIRED, Format.REWARD, Format.CHATLLAMA_REWARD)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What is exported.

    `style` is None to take that of the runs, else chat where a suite has it.  `takes_unsplit` takes all cases of a
    suite without a split.
    """

    format: Format
    style: PromptStyle | None = None
    rows: RowSettings = field(default_factory=RowSettings)
    takes_unsplit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """Rows in their order, the cases they may be of, and how many things were left out, by what and why."""

    format: Format
    rows: tuple[Row, ...]
    cases: tuple[KnownCase, ...]
    left_out: Mapping[tuple[str, str], int]

    def content(self) -> bytes:
        """Give the file: JSON lines, one JSON array (ChatLLaMA), or Parquet (verl)."""
        if self.format is Format.VERL:
            return parquet_of(self.rows)
        lines = [json.dumps(row, ensure_ascii=False) for row in self.rows]
        text = "[\n" + ",\n".join(lines) + "\n]\n" if self.format in CHATLLAMA else "".join(f"{x}\n" for x in lines)
        # half a surrogate pair, which a model can write, is a JSON escape too
        return text.encode("utf-8", "backslashreplace")

    @property
    def sha256(self) -> str:
        """Digest of the content."""
        return hashlib.sha256(self.content()).hexdigest()


def export(
    suites: Sequence[LoadedSuite], graders: Mapping[str, Grader], runs: Sequence[NamedRun], settings: ExportSettings
) -> Export:
    """Make the rows of a format from suites and the graded answers of runs.

    Args:
        suites: with a split; only their train sides are taken.
        graders: those of the suites, by name.
        runs: whose answers are used.
        settings: the format, and what goes into it.

    Raises:
        UsageFault: a suite has no split or not this style, or no row is left.
    """
    gathering = Gathering(graders, runs, style=settings.style, takes_unsplit=settings.takes_unsplit)
    cases = gathering.cases(suites)
    if settings.format is Format.VERL:
        _refuse_texts(cases)
    left_out = gathering.left_out
    rows = tuple(row for known in cases for row in rows_of(settings.format, known, settings.rows, left_out))
    if not rows:
        raise UsageFault(_nothing_left(settings, bool(runs), left_out))
    return Export(format=settings.format, rows=rows, cases=cases, left_out=dict(sorted(left_out.items())))


def read_named_runs(paths: Sequence[Path]) -> tuple[NamedRun, ...]:
    """Read runs; their answers are known by the file's name, or by its path where two have the same name.

    Raises:
        RunFileFault: one cannot be read.
        UsageFault: a file is named twice.
    """
    names = [path.name for path in paths]
    found: dict[str, NamedRun] = {}
    for path in paths:
        name = path.name if names.count(path.name) == 1 else path.as_posix()
        if name in found:
            raise UsageFault(f"--runs names {path} twice; name each run once.")
        found[name] = NamedRun(name=name, run=read_run(path))
    return tuple(found[name] for name in sorted(found))


def _refuse_texts(cases: Sequence[KnownCase]) -> None:
    text = next((known for known in cases if known.prompt.text is not None), None)
    if text is not None:
        raise UsageFault(
            f"{text.loaded.suite.path}: verl takes chat messages, and the prompts are texts; give the suite a chat "
            "prompt, or choose it with --prompt chat."
        )


def _nothing_left(settings: ExportSettings, has_runs: bool, left_out: Mapping[tuple[str, str], int]) -> str:
    reasons = "; ".join(
        f"{count} {what}{'' if count == 1 else 's'}: {why}" for (what, why), count in sorted(left_out.items())
    )
    way_out = "name runs with other answers"
    if settings.format in _NEEDS_ANSWERS and not has_runs:
        way_out = "name runs with graded answers, as --runs run.json"
    elif settings.format is Format.SFT and not settings.rows.uses_references:
        way_out = "leave --no-references out, or name runs with right answers"
    return f"no row is left for --format {settings.format} ({reasons or 'no case'}); {way_out}."

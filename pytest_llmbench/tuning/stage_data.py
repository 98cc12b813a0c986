"""The data of a recipe: the train sides of its suites, the answers of its runs, files in ChatLLaMA's formats."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.suites.split import by_side
from pytest_llmbench.tuning.chatllama import ForeignFile, foreign_rows, read_chatllama
from pytest_llmbench.tuning.export import Export, ExportSettings, export, read_named_runs
from pytest_llmbench.tuning.kinds import KINDS, StageKind
from pytest_llmbench.tuning.known_answers import NamedRun
from pytest_llmbench.tuning.recipe import DataKeys
from pytest_llmbench.tuning.rows import Format
from pytest_llmbench.tuning.stage_rows import CaseKey, StageRows
from pytest_llmbench.values import PromptStyle, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What is trained on, loaded."""

    suites: tuple[LoadedSuite, ...]
    registry: SuiteRegistry
    runs: tuple[NamedRun, ...]
    files: tuple[ForeignFile, ...]
    keys: DataKeys

    @property
    def splits(self) -> dict[str, dict[str, Any]]:
        """The splits of the suites, by name."""
        found = {loaded.suite.name: loaded.suite.split for loaded in self.suites}
        return {name: {"train": split.train, "salt": split.salt} for name, split in found.items() if split is not None}

    @property
    def max_tokens(self) -> int:
        """The longest answer that a suite asks for, in tokens."""
        return max((loaded.suite.sampling.max_tokens for loaded in self.suites), default=256)


def load_sources(keys: DataKeys, root: Path) -> Sources:
    """Load the suites and the runs of a recipe.

    Raises:
        UsageFault: a file does not exist, a suite has no split or an empty side.
        SuiteFault: a suite is wrong.
        RunFileFault: a run cannot be read.
    """
    registry = SuiteRegistry(root, {})
    suites = registry.whole_below([root / path for path in keys.suites]) if keys.suites else []
    for loaded in suites:
        registry.check(loaded)
    for loaded in suites:
        _check_sides(loaded, takes_unsplit=keys.split == "all")
    return Sources(
        suites=tuple(suites),
        registry=registry,
        runs=read_named_runs([root / path for path in keys.runs]),
        files=tuple(read_chatllama(root / path) for path in keys.files),
        keys=keys,
    )


def _check_sides(loaded: LoadedSuite, *, takes_unsplit: bool) -> None:
    suite = loaded.suite
    if suite.split is None:
        if not takes_unsplit:
            raise UsageFault(
                f"{suite.path} has no `split`, so no model may be trained on it: write `split: {{train: 0.5}}` at its "
                'top level, or set data.split = "all", and then nothing in it can decide about the model.'
            )
        return
    for side, other in ((Side.TRAIN, "held-out"), (Side.HELD_OUT, "train")):
        if not by_side(suite.cases)[side]:
            raise UsageFault(
                f"all cases of {suite.path} are on the {other} side; give its `split` another share or salt."
            )


def side_lines(sources: Sources) -> Iterator[str]:
    """Describe the sides of the suites."""
    for loaded in sources.suites:
        suite = loaded.suite
        if suite.split is None:
            count = len(suite.cases)
            yield f"{suite.name}: all {count} cases are trained on, and none is left to decide about the model"
        else:
            sides = by_side(suite.cases)
            yield f"{suite.name}: {len(sides[Side.TRAIN])} cases to train on, {len(sides[Side.HELD_OUT])} held out"


def rows_of_stage(kind: StageKind, sources: Sources, style: PromptStyle) -> StageRows:
    """Make the rows of a stage.

    Raises:
        UsageFault: there are none.
    """
    wanted = Format(KINDS[kind].format)
    foreign = foreign_rows(sources.files, wanted, style)
    if not sources.suites:
        if not foreign:
            raise UsageFault(f"data.files has nothing for a stage {kind}; name suites, or a file of another kind.")
        return StageRows(rows=foreign, foreign=_digests(sources))
    settings = ExportSettings(format=wanted, style=style, takes_unsplit=sources.keys.split == "all")
    found = export(sources.suites, sources.registry.graders, sources.runs, settings)
    return StageRows(
        rows=(*found.rows, *foreign),
        cases=_cases(found),
        foreign=_digests(sources) if foreign else frozenset(),
        remarks=tuple(_left_out(found.left_out)),
    )


def _digests(sources: Sources) -> frozenset[str]:
    return frozenset(digest for file in sources.files for digest in file.prompt_digests)


def _cases(found: Export) -> Mapping[str, Mapping[str, CaseKey]]:
    """Give the cases behind rows; one without a row is not trained on."""
    used = {(row["suite"], row["case_id"]) for row in found.rows}
    by_suite: dict[str, dict[str, CaseKey]] = defaultdict(dict)
    for known in found.cases:
        case, name = known.case, known.loaded.suite.name
        if (name, case.id) in used:
            by_suite[name][case.id] = (case.sha256, known.prompt.sha256, case.cluster)
    return dict(by_suite)


def _left_out(counts: Mapping[tuple[str, str], int]) -> Iterator[str]:
    for (what, why), count in counts.items():
        if (what, why) != ("case", "held out"):
            yield f"left out: {count} x {what}, {why}"


def mixed_share(runs: Sequence[NamedRun], cases: Mapping[str, Mapping[str, CaseKey]]) -> tuple[float, int] | None:
    """Give the share of cases whose samples in the runs are graded differently, and how many were sampled.

    None where no case was sampled more than once.
    """
    scores: dict[tuple[str, str], set[float]] = {}
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for one in runs:
        for record in one.run.records:
            key = (record.suite, record.case)
            if record.case in cases.get(record.suite, {}):
                counts[key] += len(record.answered)
                scores.setdefault(key, set()).update(s.score for s in record.answered if s.score is not None)
    sampled = [key for key, count in counts.items() if count > 1]
    if not sampled:
        return None
    return sum(len(scores[key]) > 1 for key in sampled) / len(sampled), len(sampled)

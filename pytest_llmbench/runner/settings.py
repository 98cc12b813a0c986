"""The settings of a run, and one item of it: a case under a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.runner.shard import Shard
from pytest_llmbench.runner.store.reuse import Reuse
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.values import Case, Json, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersSettings:
    """Which answer store a run uses, and how: see `AnswerStore`."""

    path: Path
    reuse: Reuse = Reuse.AUTO
    token: str = ""
    is_owner: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """The settings of a run.

    `root` is the project's root directory; `paths` are those that are searched for suites, relative to it, None where
    files in them are left out; `side` is the side of split suites that is run, None for both; `limit` the number of
    cases a suite, `shard` the part of them that is run; `answers` is None for a run without a store; `n_checked`
    answers of each model are asked again alone, `n_judged_again` answers of the run are judged a second time, `graders`
    are graded at once; the rest is described at the options in
    docs/options.md.
    """

    root: Path
    paths: tuple[str, ...] | None = None
    samples: int = 1
    side: Side | None = None
    limit: int | None = None
    shard: Shard | None = None
    reasoning_tokens: int | None = None
    max_cost_usd: float | None = None
    is_only_planned: bool = False
    n_checked: int = 0
    n_judged_again: int = 0
    graders: int = 1
    is_bounded: bool = False
    open_settings: OpenSettings = field(default_factory=OpenSettings)
    options: Mapping[str, Json] = field(default_factory=dict)
    answers: AnswersSettings | None = None

    def cases(self, loaded: LoadedSuite) -> tuple[Case, ...]:
        """Give the cases of a suite that `--llm-split` and `--llm-limit` leave, or this shard's part of them.

        Without a split all are held out.
        """
        cases = loaded.suite.cases
        if self.side is not None:
            cases = tuple(case for case in cases if (case.side or Side.HELD_OUT) is self.side)
        cases = cases[: self.limit]
        return cases if self.shard is None else self.shard.part(cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One case put to one model; `key` is unique in the run."""

    key: str
    loaded: LoadedSuite
    case: Case
    spec: ModelSpec
    needs_model: bool = False

    def with_key(self, key: str, *, needs_model: bool) -> "Item":
        """Give the same item under another key."""
        return replace(self, key=key, needs_model=needs_model)

"""Reward functions made of graders, for TRL, verl and OpenRLHF: the grade that a run would give an answer, no other.

Nothing of torch or of a trainer is imported.  A reward function never raises: what breaks gives no reward, is counted,
and ends the stage through `Rewards.fault` where it does not stop breaking.  Only cases of the train side are rewarded.

The functions of this module, by their dotted path, are for trainers that pass no arguments: they read the suites from
LLMBENCH_SUITES (several, separated like PATH) and LLMBENCH_ROOT.  Sources of the signatures: TRL 1.16
(`_calculate_rewards`), verl 0.9.1 (`compute_score`), OpenRLHF 0.11.2 (`reward_func`).
"""

import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeAlias

from pytest_llmbench.errors import Caught, UsageFault, caught
from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.parallel import MOST, cores, graded_at_once
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.tuning.answer_texts import cut_at_end, text_of
from pytest_llmbench.tuning.known_answers import train_cases
from pytest_llmbench.tuning.reward_kinds import KINDS, Rewarded
from pytest_llmbench.values import Case, Grade

RewardFunction: TypeAlias = Callable[..., list[float | None]]

MOST_FAULTS = 20
"""Graders that break so often in a row end a stage: a broken database must not train on silence."""

NO_REWARD = "-"
"""Stands for the reason of a row without a reward."""

_LOG = logging.getLogger("pytest_llmbench.tuning.rewards")


@dataclass(slots=True)
class _Batch:
    """The last batch that was graded, so that a second reward of it grades nothing again."""

    key: tuple[Any, ...]
    grades: list[tuple[Grade, str, Rewarded, Case] | None]
    served: set[str]


class Rewards:
    """The graders of some suites as reward functions.

    `weights` are those of the parts of a reward where a trainer takes only one number (verl, OpenRLHF).
    So many `graders` work at once where a suite's grader takes several answers at once (SQL).
    `faults` counts graders that broke, `held_out` the rows of held-out cases that came.
    """

    def __init__(self, suites: Mapping[str, Rewarded], weights: Mapping[str, float]):
        self.weights = dict(weights)
        self.graders = max(1, min(MOST, cores() - 1))
        self.faults = 0
        self.held_out: Counter[str] = Counter()
        self._suites = suites
        self._in_a_row = 0
        self._first_fault: str | None = None
        self._batch: _Batch | None = None
        self._lock = threading.RLock()  # OpenRLHF calls in threads, and a grader has one worker

    @classmethod
    def of(
        cls,
        suites: Sequence[str | Path],
        root: Path | str = ".",
        weights: Mapping[str, float] | None = None,
        *,
        takes_unsplit: bool = False,
        kinds: Mapping[str, GraderKind] = MappingProxyType({}),
    ) -> Self:
        """Load suites and build their graders.

        Args:
            suites: their files, or folders of them.
            root: the project's root directory.
            weights: by name of the reward; the score alone by default.
            takes_unsplit: reward all cases of a suite without a split.
            kinds: graders of other packages by name.

        Raises:
            UsageFault: a suite cannot be trained on, asks for a judge, or a reward is unknown.
            SuiteFault: a suite is wrong.
        """
        for name in weights or ():
            _check_kind(name)
        registry = SuiteRegistry(Path(root).resolve(), kinds)
        found: dict[str, Rewarded] = {}
        for loaded in registry.whole_below([Path(path) for path in suites]):
            _refuse_judge(loaded)
            train = {case.id: case for case in train_cases(loaded, takes_unsplit=takes_unsplit)}
            held_out = frozenset(case.id for case in loaded.suite.cases if case.id not in train)
            name = loaded.suite.name
            found[name] = Rewarded(loaded=loaded, grader=registry.graders[name], train=train, held_out=held_out)
        return cls(found, weights or {"score": 1.0})

    @property
    def fault(self) -> str | None:
        """Why the training must end, None where it need not: held-out cases came, or graders only break."""
        if self.held_out:
            case = next(iter(self.held_out))
            return (
                f"the held-out case {case} was in a training batch, and then it can decide nothing: make the data anew "
                "with llmbench export-training, which writes the train side alone."
            )
        if self._in_a_row >= MOST_FAULTS:
            return f"graders broke {self._in_a_row} times in a row; mend them, and go on: {self._first_fault}"
        return None

    # -- trainers

    def trl(self, name: str) -> RewardFunction:
        """Give a reward function for TRL: keywords only, one number or None a completion, never raises.

        Args:
            name: score, passed, format or length.

        Raises:
            UsageFault: there is no such reward.
        """
        _check_kind(name)

        def reward(
            *,
            completions: Sequence[Any],
            suite: Sequence[Any] | None = None,
            case_id: Sequence[Any] | None = None,
            log_metric: Callable[[str, float], object] | None = None,
            log_extra: Callable[[str, list[Any]], object] | None = None,
            **_: Any,
        ) -> list[float | None]:
            with self._lock:
                before = self.faults
                grades, is_new = self._grades(name, completions, suite, case_id)
                found = [None if one is None else self._part(name, *one) for one in grades]
                if log_metric is not None:
                    caught(log_metric, "llmbench/grader_faults", float(self.faults - before))
                if log_extra is not None and is_new:
                    caught(log_extra, "reason", [NO_REWARD if one is None else str(one[0].reason) for one in grades])
                return found

        reward.__name__ = reward.__qualname__ = f"llmbench_{name}"
        return reward

    def verl(self) -> Callable[..., dict[str, float]]:
        """Give verl's `compute_score`; `known` is 0 for a row that has no reward here, for verl has no None."""

        def compute_score(
            data_source: str, solution_str: Any, ground_truth: Any, extra_info: Any = None, **_: Any
        ) -> dict[str, float]:
            about = extra_info if isinstance(extra_info, Mapping) else {}
            suite, case_id = about.get("suite") or data_source, about.get("case_id") or ground_truth
            with self._lock:
                grade = self._grade(suite, case_id, text_of(solution_str))
                total = self._weighted(grade)
            return {"score": total or 0.0, "known": float(total is not None)}

        return compute_score

    def openrlhf(self) -> Callable[[Sequence[str], Sequence[str], Sequence[str]], dict[str, Any]]:
        """Give OpenRLHF's `reward_func`; a label is `SUITE/CASE`, a query the prompt with the answer behind it."""

        def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
            with self._lock:
                found = [self._of_query(*one) for one in zip(queries, prompts, labels, strict=False)]
            torch = sys.modules.get("torch")  # OpenRLHF's process has it, and takes tensors
            values = found if torch is None else torch.tensor(found, dtype=torch.float32)
            return {"rewards": values, "scores": values}

        return reward_func

    def _of_query(self, query: str, prompt: str, label: str) -> float:
        if not query.startswith(prompt):
            self._note_fault(f"the query of {label} does not begin with its prompt: {query[:80]!r}")
            return 0.0
        suite, _, case_id = str(label).partition("/")
        return self._weighted(self._grade(suite, case_id, cut_at_end(query[len(prompt) :]))) or 0.0

    # -- grades

    def _grades(
        self, name: str, completions: Sequence[Any], suites: Sequence[Any] | None, cases: Sequence[Any] | None
    ) -> tuple[list[tuple[Grade, str, Rewarded, Case] | None], bool]:
        """Grade a batch, each text of a case once; the second reward of the same batch takes the same grades."""
        texts = tuple(text_of(completion) for completion in completions)
        rows = tuple(zip(_padded(suites, len(texts)), _padded(cases, len(texts)), texts, strict=True))
        batch = self._batch
        if batch is not None and batch.key == rows and name not in batch.served:
            batch.served.add(name)
            return batch.grades, False
        seen: dict[tuple[str, str, str], tuple[Grade, str, Rewarded, Case] | None] = {}
        grades = []
        at_once = self._graded_at_once(rows)
        for suite, case_id, text in rows:
            key = (str(suite), str(case_id), text)
            if key not in seen:
                seen[key] = self._grade(suite, case_id, text, at_once.get(key))
            grades.append(seen[key])
        self._batch = _Batch(key=rows, grades=grades, served={name})
        return grades, True

    def _graded_at_once(self, rows: Sequence[tuple[Any, Any, str]]) -> dict[tuple[str, str, str], Grade | Caught]:
        """Grade the texts of a batch whose graders take several at once, as SQL does in processes of its own."""
        asked: dict[str, dict[tuple[str, str, str], Case]] = {}
        for suite, case_id, text in rows:
            rewarded = self._suites.get(suite) if isinstance(suite, str) else None
            case = None if rewarded is None or not isinstance(case_id, str) else rewarded.train.get(case_id)
            if rewarded is not None and case is not None and rewarded.loaded.kind.is_parallel:
                asked.setdefault(suite, {})[suite, case_id, text] = case
        found: dict[tuple[str, str, str], Grade | Caught] = {}
        for suite, cases in asked.items():
            rewarded, keys = self._suites[suite], list(cases)

            def grade(key: tuple[str, str, str], one: Rewarded = rewarded) -> Grade | Caught:
                return caught(one.grade, one.train[key[1]], key[2])

            grades = graded_at_once(rewarded.loaded.kind, grade, keys, self.graders)
            found.update(zip(keys, grades, strict=True))
        return found

    def _grade(
        self, suite: Any, case_id: Any, text: str, found: Grade | Caught | None = None
    ) -> tuple[Grade, str, Rewarded, Case] | None:
        """Grade one text, unless that was done; None for what is no case of a train side, and where a grader breaks."""
        rewarded = self._suites.get(suite) if isinstance(suite, str) else None
        if rewarded is None or not isinstance(case_id, str):
            return None
        if case_id in rewarded.held_out:
            if not self.held_out:
                _LOG.warning("the held-out case %s/%s is in a training batch, and has no reward", suite, case_id)
            self.held_out[f"{suite}/{case_id}"] += 1
            return None
        case = rewarded.train.get(case_id)
        if case is None:
            return None
        grade = caught(rewarded.grade, case, text) if found is None else found
        if isinstance(grade, Caught):
            self._note_fault(f"{suite}/{case_id}: {grade.cause}", grade.details)
            return None
        self._in_a_row = 0
        return grade, text, rewarded, case

    def _note_fault(self, cause: str, details: str = "") -> None:
        self.faults += 1
        self._in_a_row += 1
        if self._first_fault is None:
            self._first_fault = cause
            _LOG.warning("a grader broke, and its answer has no reward: %s\n%s", cause, details)

    def _part(self, name: str, grade: Grade, text: str, rewarded: Rewarded, case: Case) -> float | None:
        found = caught(KINDS[name], grade, text, rewarded, case)
        return None if isinstance(found, Caught) else found

    def _weighted(self, graded: tuple[Grade, str, Rewarded, Case] | None) -> float | None:
        """Give the sum of a grade's parts by their weights; None for no grade."""
        if graded is None:
            return None
        return sum(weight * (self._part(name, *graded) or 0.0) for name, weight in self.weights.items())


def _check_kind(name: str) -> None:
    if name not in KINDS:
        raise UsageFault(f'there is no reward "{name}"; the rewards are: {", ".join(KINDS)}.')


def _refuse_judge(loaded: LoadedSuite) -> None:
    """Refuse a suite that asks for a judge: its reward would be a second model's opinion, at the speed of training."""
    need = loaded.kind.needs_judge(loaded.suite)
    if need is not None:
        raise UsageFault(
            f"{loaded.suite.path} cannot be graded without a judge model, whose opinion cannot be a reward; leave the "
            f'suite out, or take out what needs one: case "{need.case}": {need.message}'
        )
    rules = loaded.suite.rules
    if "judge" in getattr(rules, "model_fields_set", ()) and getattr(rules, "judge", None) is not None:
        raise UsageFault(
            f"{loaded.suite.path} asks for a judge model, whose opinion cannot be a reward; set `judge: false` to "
            "reward by its patterns, or leave the suite out."
        )


def _padded(column: Sequence[Any] | None, n: int) -> list[Any]:
    """Give a column with one value a completion; None where it has none."""
    found = list(column) if isinstance(column, list | tuple) else []
    return [*found[:n], *([None] * (n - len(found)))]


# -- by their dotted path, without arguments


@cache
def _from_environment() -> Rewards:
    named = os.environ.get("LLMBENCH_SUITES", "")
    if not named:
        raise UsageFault(
            "LLMBENCH_SUITES names no suite; set it to the suite files whose cases are rewarded, several separated by "
            f'"{os.pathsep}", and LLMBENCH_ROOT to the project\'s root directory.'
        )
    return Rewards.of(named.split(os.pathsep), root=Path(os.environ.get("LLMBENCH_ROOT", ".")))


def _named(name: str) -> RewardFunction:
    def reward(**columns: Any) -> list[float | None]:
        return _from_environment().trl(name)(**columns)

    reward.__name__ = reward.__qualname__ = f"llmbench_{name}"
    return reward


score = _named("score")
"""TRL's reward function of the score, for `reward_funcs: [pytest_llmbench.tuning.rewards.score]`."""
passed = _named("passed")
"""The same of whether the answer passes."""
format = _named("format")  # noqa: A001 - the name of the reward
"""The same of whether the asked format is kept."""
length = _named("length")
"""The same of the length, against that of the references."""


def compute_score(
    data_source: str, solution_str: Any, ground_truth: Any, extra_info: Any = None, **others: Any
) -> dict[str, float]:
    """Give verl's reward, for `reward.custom_reward_function`."""
    return _from_environment().verl()(data_source, solution_str, ground_truth, extra_info, **others)


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Give OpenRLHF's reward, for `--remote_rm_url`."""
    return _from_environment().openrlhf()(queries, prompts, labels)

"""What differs between two runs of a suite beside the answers: what blocks a verdict, and what is noted."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pytest_llmbench.gate.pairs import Difference, Kind, Pair
from pytest_llmbench.results.checks import is_same_grader
from pytest_llmbench.results.identity import embedder_differences, grader_difference, judge_differences, may_be_judged
from pytest_llmbench.results.records import ModelInfo, Run, SuiteInfo
from pytest_llmbench.values import GateKind, Sampling, Split


@dataclass(frozen=True, slots=True)
class Sides:
    """The two runs under one pair of roles."""

    baseline: Run
    candidate: Run
    baseline_role: str
    role: str
    allowed: frozenset[Kind]

    def differences(self, suite: str, pairs: Sequence[Pair]) -> Iterator[Difference]:
        """Give what blocks a verdict on the pairs of a suite, unless it is allowed."""

        def difference(kind: Kind, differs: Callable[[Pair], bool], what: str) -> Iterator[Difference]:
            count = sum(differs(pair) for pair in pairs)
            if count:
                text = f"{count} of {len(pairs)} cases have {what}"
                yield Difference(kind=kind, text=text, is_allowed=kind in self.allowed)

        yield from difference(Kind.PROMPT, _has_other_prompt, "a different prompt of the same style")
        yield from difference(Kind.SAMPLES, self._has_other_samples, "a different number of samples")
        old, new = self.baseline.facts.suite(suite), self.candidate.facts.suite(suite)
        if text := grader_difference(old, new):
            yield Difference(kind=Kind.GRADER, text=text, is_allowed=Kind.GRADER in self.allowed)
        elif changed := embedder_differences(old, new):
            yield from difference(Kind.GRADER, lambda _: True, f"a different embedder ({'; '.join(changed)})")
        else:
            yield from difference(
                Kind.GRADER,
                lambda pair: not is_same_grader(pair.baseline.grader, pair.candidate.grader),
                "a different grader",
            )
        if weakened := _weakened_gate(self.baseline, self.candidate, suite):
            yield Difference(kind=Kind.GATE, text=weakened, is_allowed=Kind.GATE in self.allowed)
        parts = judge_differences(self.baseline.facts, self.candidate.facts, suite)
        if Kind.TRAINED in self.allowed:
            yield from difference(Kind.TRAINED, lambda pair: pair.is_trained, "a model that was trained on them")
        if parts:
            what = f"a different judge ({', '.join(parts)})"
            yield from difference(
                Kind.JUDGE, lambda pair: may_be_judged(pair.baseline) or may_be_judged(pair.candidate), what
            )

    def _has_other_samples(self, pair: Pair) -> bool:
        """Compare the numbers of samples; a suite that stopped early has not all that were planned."""
        own, suite = len(pair.candidate.samples), pair.candidate.suite
        plans = self.candidate.facts.stop_plans
        planned = next((p.samples for p in plans if (p.suite, p.role) == (suite, self.role)), own)
        return len(pair.baseline.samples) != max(own, planned)

    def notes(self, suite: str, pairs: Sequence[Pair]) -> Iterator[str]:
        """Give the differences that do not block."""
        styles = sum(pair.baseline.prompt_style != pair.candidate.prompt_style for pair in pairs)
        if styles:
            first = next(pair for pair in pairs if pair.baseline.prompt_style != pair.candidate.prompt_style)
            yield f"prompt style differs: {first.baseline.prompt_style} -> {first.candidate.prompt_style}"
        old, new = self._models()
        if old and new and suite in old.sampling and suite in new.sampling:
            was, now = old.sampling[suite], new.sampling[suite]
            changed = [name for name in was.__slots__ if getattr(was, name) != getattr(now, name)]
            if changed:
                yield f"sampling differs: {', '.join(_change(name, was, now) for name in changed)}"
        yield from _split_notes(self.baseline.facts.suite(suite), self.candidate.facts.suite(suite))
        reused = sum(pair.has_reused for pair in pairs)
        if reused:
            yield f"{reused} of {len(pairs)} cases have a reused answer"

    def can_samples_help(self, suite: str) -> bool | None:
        """Return whether either model samples at a temperature over 0; None where that is unknown."""
        known = [model.sampling[suite] for model in self._models() if model and suite in model.sampling]
        return any(sampling.temperature > 0 for sampling in known) if known else None

    def _models(self) -> tuple[ModelInfo | None, ModelInfo | None]:
        return self.baseline.facts.model(self.baseline_role), self.candidate.facts.model(self.role)


def _split_notes(old: SuiteInfo | None, new: SuiteInfo | None) -> Iterator[str]:
    """Describe how a suite's split changed; a larger train side brings no case back that a model was trained on."""
    if old is None or new is None or old.split == new.split:
        return
    was, now = old.split, new.split
    if was is None or now is None:
        yield f"split differs: {_split_text(was)} -> {_split_text(now)}"
    elif was.train == now.train:
        yield f'split differs: another salt ("{was.salt}" -> "{now.salt}") puts other cases on the held-out side'
    else:
        how = "raised" if now.train > was.train else "lowered"
        yield f"split differs: the share of the train side was {how} from {was.train:g} to {now.train:g}"


def _split_text(split: Split | None) -> str:
    return "none" if split is None else f"{split.train:g} for training"


_STRICTNESS = (GateKind.ADVICE, GateKind.STATISTICAL, GateKind.SMOKE)


def _weakened_gate(baseline: Run, candidate: Run, suite: str) -> str | None:
    """Describe how a suite takes part in the gate more weakly than in the baseline; None if it does not."""
    old, new = baseline.facts.suite(suite), candidate.facts.suite(suite)
    if old is None or new is None or _STRICTNESS.index(new.gate) >= _STRICTNESS.index(old.gate):
        return None
    return f"gate differs: `{old.gate}` -> `{new.gate}`"


def _change(name: str, was: Sampling, now: Sampling) -> str:
    """Describe a key in which samplings differ, as "temperature 0 -> 1.3" or "no seed -> seed 5"."""
    values = getattr(was, name), getattr(now, name)
    old, new = (f"{value:g}" if isinstance(value, float) else json.dumps(value) for value in values)
    if all(value not in (None, ()) for value in values):
        return f"{name} {old} -> {new}"
    sides = zip(values, (old, new), strict=True)
    return " -> ".join(f"no {name}" if value in (None, ()) else f"{name} {text}" for value, text in sides)


def _has_other_prompt(pair: Pair) -> bool:
    is_same_style = pair.baseline.prompt_style == pair.candidate.prompt_style
    return is_same_style and pair.baseline.prompt_sha256 != pair.candidate.prompt_sha256

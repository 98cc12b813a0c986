"""What a run remembers of its early stops in the answer store: whether its plan is that of the run it continues.

docs/gate.md describes which changes are refused, and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.results.stops import StopPlan
from pytest_llmbench.runner.store.keys import entry_key
from pytest_llmbench.runner.store.reuse import Reuse
from pytest_llmbench.runner.store.stop_plans import EarlierPlans
from pytest_llmbench.runner.store.store import AnswerStore

_WAY_OUT = "repeat the command as it was, or begin anew with --llm-reuse none."


@dataclass(frozen=True, slots=True, kw_only=True)
class StopMemory:
    """The plans of earlier runs, for those of this one.

    `store` is None for a run without one, which remembers nothing.
    """

    store: AnswerStore | None
    specs: Mapping[str, ModelSpec]

    def check(self, plans: Sequence[StopPlan]) -> None:
        """Check that a run which continues another has its plan.

        Raises:
            UsageFault: a model was asked under another plan, and did not finish.
        """
        if self.store is None or self.store.reuse is Reuse.NONE:
            return
        for role, spec in self.specs.items():
            own = {plan.suite: plan for plan in plans if plan.role == role}
            earlier = self._earlier(role, spec)
            if earlier is None:
                continue
            if earlier.is_finished:
                self._check_once(earlier, own)
                continue
            for suite, was in earlier.plans.items():
                now = own.get(suite)
                difference = _without(was) if now is None else now.difference(was)
                if difference is not None:
                    raise UsageFault(
                        f'the last run of "{role}" did not finish, and stops suite "{suite}" early by another plan; '
                        f"different: {difference}; {_WAY_OUT}"
                    )

    def _check_once(self, earlier: EarlierPlans, own: Mapping[str, StopPlan]) -> None:
        """Check that stored answers which were judged against a baseline are not judged again in another way."""
        for suite, now in own.items():
            was = earlier.plans.get(suite)
            if self.store is not None and self.store.reuse is Reuse.ALL and was is not None and _is_same_gate(was, now):
                _refuse_another(was, now)

    def adopted(self, planned: Sequence[StopPlan]) -> tuple[StopPlan, ...]:
        """Give the plans that were already judged by: those of suites whose rest is asked now, with stored answers.

        Args:
            planned: what the plans of this run would be, whatever their mode.

        Raises:
            UsageFault: the same cases against the same baseline would be judged again, with another margin or so.
        """
        if self.store is None or self.store.reuse is not Reuse.ALL:
            return ()
        found = []
        for role, spec in self.specs.items():
            earlier = self._earlier(role, spec)
            for now in (plan for plan in planned if plan.role == role and earlier is not None):
                was = None if earlier is None else earlier.plans.get(now.suite)
                if was is not None and _is_same_gate(was, now):
                    _refuse_another(was, replace(now, mode=was.mode))
                    found.append(was)
        return tuple(found)

    def counted(self, plans: Sequence[StopPlan]) -> tuple[StopPlan, ...]:
        """Add to plans how many gates of the store asked in their order, this one among them."""
        store = self.store
        if store is None:
            return tuple(plans)
        return tuple(
            replace(plan, gates=store.with_plans(lambda stored, plan=plan: stored.uses_of(plan.order_of)))  # type: ignore[misc]
            for plan in plans
        )

    def keep(self, plans: Sequence[StopPlan]) -> None:
        """Keep the plans of this run, before its first request."""
        for role, spec in self.specs.items():
            own = [plan for plan in plans if plan.role == role]
            if self.store is not None and own:
                self.store.with_plans(lambda stored, spec=spec, own=own: stored.keep(entry_key(spec.entry), own))  # type: ignore[misc]

    def _earlier(self, role: str, spec: ModelSpec) -> EarlierPlans | None:
        if self.store is None:
            return None
        return self.store.with_plans(lambda stored: stored.earlier(entry_key(spec.entry), role))


def _is_same_gate(was: StopPlan, now: StopPlan) -> bool:
    """Return whether two plans are about the same cases against the same baseline."""
    return (was.order_of, was.units_sha256) == (now.order_of, now.units_sha256)


def _refuse_another(was: StopPlan, now: StopPlan) -> None:
    """Refuse to judge stored answers by another plan than the one they were judged by.

    Raises:
        UsageFault: the plans differ.
    """
    for name, words in (("mode", "mode"), ("margin", "margin"), ("samples", "number of samples")):
        if getattr(was, name) != getattr(now, name):
            raise UsageFault(
                f'suite "{now.suite}" was judged early with another {words} ({getattr(was, name)}, now '
                f"{getattr(now, name)}), and its stored answers are judged once; {_WAY_OUT}"
            )


def _without(was: StopPlan) -> str:
    return f"mode ({was.mode}, now off, or the suite is not among those that are planned now)"

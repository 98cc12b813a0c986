"""What a run asks its models: the prompts, sampling and requests of each item, through the answer store.

It decides what is sent; `prefetch.py` sends it.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING
from uuid import uuid4

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.checks.of_case import ConversationChecks
from pytest_llmbench.models.base import HasBatchEntry, HasRemarks, HasReplicas, Model, ReplicaInfo
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.models.embedders import EmbedderSpec
from pytest_llmbench.models.opening import check_openable, open_model
from pytest_llmbench.models.separated import SeparatedModel
from pytest_llmbench.runner.budget import Budget, PricedModel, most_tokens, usd
from pytest_llmbench.runner.calls import SharedModel
from pytest_llmbench.runner.conversations import ConversationModel
from pytest_llmbench.runner.settings import Item, RunSettings
from pytest_llmbench.runner.slots import ModelPlan, PlannedItem
from pytest_llmbench.runner.store.keys import drawn_for, entry_key, inputs_sha256
from pytest_llmbench.values import Answer, AnswerError, Prompt, PromptStyle, Request, Sampling

if TYPE_CHECKING:
    from pytest_llmbench.runner.store.store import AnswerStore


class RequestBuilder:
    """Builds the requests of a run, and what they go through on their way to the models.

    `unready` has why a model of a plan could not be opened now, by role; `budget` is None where costs have no limit.

    Args:
        settings: of the run.
        styles: the prompt styles of models that are not opened here, by role; those of others their provider gives.
    """

    def __init__(self, settings: RunSettings, *, styles: Mapping[str, PromptStyle] = MappingProxyType({})):
        self.settings = settings
        self.unready: dict[str, str] = {}
        self._styles: dict[str, PromptStyle | None] = dict(styles)
        self._samplings: dict[tuple[str, str], Sampling] = {}
        self._store: AnswerStore | None = None
        self._checks: list[str] = []
        self._opened: dict[str, Model] = {}
        self.budget = None if settings.max_cost_usd is None else Budget(settings.max_cost_usd)

    def check_styles(self, items: Iterable[Item]) -> None:
        """Check that every model can be opened, as far as that is cheap, and takes its suites' prompts.

        Raises:
            UsageFault: it cannot, or a suite lacks the prompt style of a model.
        """
        for item in items:
            role = item.spec.role
            if role not in self._styles:
                self._styles[role] = self.style_of(item.spec)
            style, suite = self._styles[role], item.loaded.suite
            is_made_of_inputs = not suite.prompt_source and not isinstance(item.case.rules, ConversationChecks)
            if not suite.prompt_source and (item.spec.traits.takes_inputs or item.spec.traits.is_recorded):
                continue
            if is_made_of_inputs:
                raise UsageFault(
                    f'model "{item.spec.name}" needs a prompt, and the suite "{suite.name}" has none, which is enough '
                    f"for applications (python, http) alone; add `prompt` to {suite.path}."
                )
            if style is not None and style not in item.loaded.prompts:
                has = ", ".join(item.loaded.prompts)
                raise UsageFault(
                    f'model "{item.spec.name}" takes {style} prompts, and the suite "{suite.name}" has only: {has}. '
                    f'Add a {style} prompt to {suite.path}, or set prompt_style = "{has}" for the model.'
                )
            if not item.spec.traits.scores_choices and item.loaded.kind.choices(suite, item.case) is not None:
                raise UsageFault(
                    f'model "{item.spec.name}" is of the provider "{item.spec.entry.provider}", which gives no '
                    f'probability of whole texts, and the suite "{suite.name}" compares those of its choices; name a '
                    "model of transformers, or recorded answers with choice_logprobs."
                )
            if suite.tools and style is not PromptStyle.COMPLETION and not _takes_tools(item.spec):
                raise UsageFault(
                    f'model "{item.spec.name}" is of the provider "{item.spec.entry.provider}", which sends no tools, '
                    f'and the suite "{suite.name}" has some; name a model of openai (api = "chat"), python or http.'
                )

    def style_of(self, spec: ModelSpec) -> PromptStyle | None:
        """Give the style of the prompts that a model takes, None for any; check cheaply that it can be opened.

        Where a run is only planned, an API without its key will do, and is kept in `unready`.

        Raises:
            UsageFault: it surely cannot be opened.
        """
        check_openable(spec)
        try:
            return spec.provider.prompt_style(spec.entry)
        except UsageFault as fault:
            if not (self.settings.is_only_planned and spec.traits.is_api and isinstance(spec.provider, HasBatchEntry)):
                raise
            from pytest_llmbench.models.openai.request_body import style_of as request_style

            style = request_style(spec.provider.batch_entry(spec.entry))
            self.unready[spec.role] = str(fault)
            return style

    def sampling_remarks(self, items: Iterable[Item]) -> dict[str, str]:
        """Name the models and suites whose samples will hardly differ: several, at temperature 0.

        Recorded answers are left out: at which temperature they were made is not known.

        Returns:
            A sentence a model and suite, by the key of the first of its items.
        """
        if self.settings.samples == 1:
            return {}
        greedy: dict[tuple[str, str], Item] = {}
        for item in items:
            if self.sampling(item).temperature == 0 and not item.spec.traits.is_recorded:
                greedy.setdefault((item.spec.role, item.loaded.suite.name), item)
        return {
            item.key: f'model "{role}" is asked {self.settings.samples} times for each case of suite "{suite}" at '
            f"temperature 0, so its answers hardly differ; set a temperature in {item.loaded.suite.path} or in the "
            "model's `sampling`, or ask once."
            for (role, suite), item in greedy.items()
        }

    def plans(self, items: Sequence[Item]) -> list[ModelPlan]:
        """Plan what each model is asked, in the order of the items. The answer store is to be open by then.

        Raises:
            UsageFault: see `check_styles` and `check_price`.
        """
        self.check_styles(items)
        for spec in {item.spec.role: item.spec for item in items}.values():
            self.check_price(spec)
        planned: dict[str, list[PlannedItem]] = {}
        specs: dict[str, ModelSpec] = {}
        for item, requests in zip(items, self.requests(items), strict=True):
            own = PlannedItem(key=item.key, requests=requests, needs_model=item.needs_model)
            planned.setdefault(item.spec.role, []).append(own)
            specs[item.spec.role] = item.spec
        return [
            ModelPlan(
                role=role,
                open=partial(self.open_model, specs[role]),
                items=tuple(items_of_role),
                through=partial(self.through, specs[role]),
                check=partial(self._check, specs[role]) if self.settings.n_checked else None,
            )
            for role, items_of_role in planned.items()
        ]

    def open_model(self, spec: ModelSpec) -> Model:
        """Open a model; its answers come apart from their reasoning.

        Raises:
            ModelFault: it cannot be opened.
        """
        model = open_model(spec, self.settings.open_settings)
        if isinstance(model, HasReplicas | HasRemarks):  # others may hold memory
            self._opened[spec.role] = model
        return SeparatedModel(model, spec.entry.reasoning)

    def replicas(self, role: str) -> tuple[ReplicaInfo, ...] | None:
        """Give what became of the replicas of a model that was opened; None for one that has none."""
        model = self._opened.get(role)
        return model.replicas if isinstance(model, HasReplicas) else None

    def open_store(self, specs: Iterable[ModelSpec]) -> None:
        """Open the answer store, if the run has one and any of the models needs it: recorded answers are kept already.

        Raises:
            UsageFault: see `AnswerStore`.
        """
        answers = None if self.settings.is_only_planned else self.settings.answers
        if self._store is None and answers is not None and not all(_is_unstored(spec) for spec in specs):
            from pytest_llmbench.runner.store.store import AnswerStore

            self._store = AnswerStore(
                answers.path, reuse=answers.reuse, token=answers.token or uuid4().hex, is_owner=answers.is_owner
            )

    @property
    def store(self) -> "AnswerStore | None":
        """The answer store, once it is open."""
        return self._store

    def check_price(self, spec: ModelSpec) -> None:
        """Check that what a model's answers cost is known, where the run has a limit.

        Raises:
            UsageFault: the model has no price, does not report its cost, and is none that runs here.
        """
        is_known = spec.entry.price is not None or spec.traits.is_free or spec.traits.reports_cost
        if self.budget is not None and not is_known:
            raise UsageFault(
                f'--llm-max-cost needs the price of model "{spec.name}": add '
                "price = { input_per_million = ..., output_per_million = ... } in US dollars to its entry, 0 if it "
                "costs nothing."
            )

    def check_embedder(self, embedder: EmbedderSpec) -> None:
        """Check that what an embedder costs is known, where the run has a limit.

        Raises:
            UsageFault: it is behind an API and has no price.
        """
        if self.budget is not None and not embedder.is_local and embedder.entry.price is None:
            raise UsageFault(
                f'--llm-max-cost needs the price of embedder "{embedder.name}": add '
                "price = { input_per_million = ..., output_per_million = 0 } in US dollars to its entry, 0 if it costs "
                "nothing."
            )

    def pay_embedder(self, embedder: EmbedderSpec, texts: Sequence[str], tokens: int | None) -> None:
        """Count texts that an API embedded for what the run may cost; tokens that it does not count are estimated."""
        if self.budget is not None and embedder.entry.price is not None:
            self.budget.pay((), usd(embedder.entry.price, most_tokens(texts) if tokens is None else tokens, 0))

    def through(self, spec: ModelSpec, model: Model) -> Model:
        """Put before a model what the run has: its budget, and before that the answer store."""
        model = self.fresh(spec, model)
        if self._store is None or _is_unstored(spec):
            return model
        from pytest_llmbench.runner.store.model import StoredModel

        stored = StoredModel(model, self._store.answers_of(model.identity, spec.role, entry_key(spec.entry)))
        return SeparatedModel(stored, spec.entry.reasoning)  # stores of earlier versions hold whole texts

    def fresh(self, spec: ModelSpec, model: Model) -> Model:
        """Put before a model the budget of the run alone, so that each of its answers is a new one."""
        return ConversationModel(self._priced(spec, model))

    def _priced(self, spec: ModelSpec, model: Model) -> Model:
        if self.budget is None or not (spec.entry.price or spec.traits.reports_cost):
            return model
        return PricedModel(model, spec.entry.price, self.budget)

    def _check(
        self,
        spec: ModelSpec,
        model: SharedModel,
        requests: Sequence[Request],
        answers: Sequence[Answer | AnswerError],
    ) -> None:
        """Send some requests again, each alone, and keep what differs; recorded answers cannot be asked for again."""
        if not spec.traits.is_recorded:
            from pytest_llmbench.runner.recheck import recheck

            found = recheck(self._priced(spec, model), requests, answers, self.settings.n_checked)
            self.remark(f"--llm-check-batching, {spec.role}: {found}")

    def look_into_store(self) -> "AnswerStore | None":
        """Open the answer store only to look; None if there is none.

        Raises:
            UsageFault: see `AnswerStore`.
        """
        answers = self.settings.answers
        if answers is None or not answers.path.is_file():
            return None
        from pytest_llmbench.runner.store.store import AnswerStore

        return AnswerStore(answers.path, reuse=answers.reuse, token=None)

    def requests(self, items: Sequence[Item]) -> Iterator[tuple[Request, ...]]:
        """Give the requests of each item of a plan, one a sample; equal ones are numbered over the whole plan."""
        copies: Counter[Hashable] = Counter()
        for item in items:
            prompt, sampling = self.prompt(item), self.sampling(item)
            labels, picks_label, delimiter = _compared(item)
            drawn = drawn_for(item.loaded.suite.name, item.case.id, sampling)
            inputs = item.case.inputs if item.spec.traits.takes_inputs else {}
            # what tells them apart beside the prompt; inputs are JSON, and hold lists
            own = inputs_sha256(inputs) if inputs else ""
            equal = (item.spec.role, prompt, sampling, labels, picks_label, delimiter, drawn, own)
            copy = copies[equal]
            copies[equal] += 1
            yield tuple(
                Request(
                    suite=item.loaded.suite.name,
                    case=item.case.id,
                    sample=sample,
                    prompt=prompt,
                    # one seed for all samples would give the same answer k times
                    sampling=sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + sample),
                    labels=labels,
                    picks_label=picks_label,
                    delimiter=delimiter,
                    inputs=inputs,
                    copy=copy,
                )
                for sample in range(self.settings.samples)
            )

    def prompt(self, item: Item) -> Prompt:
        """Give the prompt of an item, in the style its model takes."""
        style, prompts = self._styles[item.spec.role], item.loaded.prompts
        if style is None or style not in prompts:
            style = PromptStyle.CHAT if PromptStyle.CHAT in prompts else PromptStyle.COMPLETION
        return prompts[style][item.case.id]

    def sampling(self, item: Item) -> Sampling:
        """Give the suite's sampling with the model's own keys over it."""
        key = (item.spec.role, item.loaded.suite.name)
        if key not in self._samplings:
            style = self._styles.get(item.spec.role)
            self._samplings[key] = self.own_sampling(item.spec, item.loaded.suite.sampling, style)
        return self._samplings[key]

    def own_sampling(self, spec: ModelSpec, sampling: Sampling, style: PromptStyle | None) -> Sampling:
        """Give a sampling with what a model's entry says over it, and the room for its reasoning.

        The room of the command line is for all models that may reason: not for those of completion prompts.
        """
        entry = spec.entry
        room = entry.reasoning_tokens
        if self.settings.reasoning_tokens is not None and entry.reasoning != "none":
            room = room if style is PromptStyle.COMPLETION else self.settings.reasoning_tokens
        own = entry.sampling.model_dump(exclude_none=True)
        return replace(sampling, **own, reasoning_tokens=room or 0)

    def end(self, *, is_finished: bool) -> None:
        """Close the answer store; a run that did not finish is continued by the next one."""
        if self._store is not None:
            if is_finished and not (self.budget is not None and self.budget.refused):
                self._store.finish()
            self._store.close()

    def remark(self, sentence: str) -> None:
        """Keep what the user must know of a check of the models or of the judge."""
        self._checks.append(sentence)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What the user must know of the run besides its records, a sentence each."""
        found = list(self._checks)
        found += [text for model in self._opened.values() if isinstance(model, HasRemarks) for text in model.remarks]
        found += [] if self._store is None or self._store.fault is None else [self._store.fault]
        if self.budget is not None and self.budget.refused:
            found.append(
                f"--llm-max-cost {self.budget.most_usd:g} was reached: the answers of this run cost "
                f"{self.budget.spent_usd:.4g} USD, and {_requests_were(self.budget.refused)} not sent; raise it, and "
                "the next run asks only for what is missing."
            )
        if self.budget is not None and self.budget.unpriced:
            n = self.budget.unpriced
            found.append(
                f"--llm-max-cost counted {'1 answer' if n == 1 else f'{n:,} answers'} as free: the application has no "
                "price in its entry, and reported no cost_usd."
            )
        return tuple(found)


def _is_unstored(spec: ModelSpec) -> bool:
    return spec.traits.is_recorded or spec.traits.is_unversioned


def _compared(item: Item) -> tuple[tuple[str, ...], bool, str | None]:
    """Give the texts whose probability is wanted, whether the likeliest is the answer, and the delimiter of choices."""
    choices = item.loaded.kind.choices(item.loaded.suite, item.case)
    if choices is None:
        return (*item.loaded.kind.labels(item.loaded.suite), None)
    return choices.texts, True, choices.delimiter


def _takes_tools(spec: ModelSpec) -> bool:
    return spec.traits.takes_tools or spec.traits.is_recorded


def _requests_were(n: int) -> str:
    return "1 request was" if n == 1 else f"{n:,} requests were"

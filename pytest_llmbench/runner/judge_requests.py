"""The requests of a run to its judge, and the reading of its replies.

The graders define what is asked and how replies are read; `judge.py` sends it.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.base import JudgeGrader, Question
from pytest_llmbench.models.base import STOPPED, Identity
from pytest_llmbench.models.catalog import ModelSpec
from pytest_llmbench.results.records import JudgedSuite, JudgeInfo
from pytest_llmbench.runner.budget import token_price
from pytest_llmbench.runner.judge import JudgePlan
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.values import Answer, AnswerError, Grade, Json, Prompt, PromptStyle, Request, Sampling

_OF_MODEL = ("base_url", "serve", "revision", "adapter")
"""Keys of an entry, beside provider and target, that make it another model."""

Answers = Sequence[Answer | AnswerError]


class JudgeRequests:
    """Builds the requests to a judge, and reads its replies.

    Args:
        spec: the judge.
        builder: what the models are asked.
        judge_graders: how suites ask a judge, by the name of the suite; those that ask none are missing.
    """

    def __init__(self, spec: ModelSpec, builder: RequestBuilder, judge_graders: Mapping[str, JudgeGrader]):
        self.spec = spec
        self._builder = builder
        self._judge_graders = judge_graders

    @cached_property
    def prompt_style(self) -> PromptStyle:
        """Which prompts the judge takes.

        Raises:
            UsageFault: it surely cannot be opened.
        """
        return self._builder.style_of(self.spec) or PromptStyle.CHAT

    def plan(
        self,
        items: Sequence[Item],
        identity: Callable[[str], Identity | None],
        *,
        is_dealt: bool,
        parts: Mapping[str, tuple[Item, int]] | None = None,
    ) -> JudgePlan | None:
        """Plan what the judge is asked about these items; None if that is nothing. The answer store is not opened.

        Args:
            items: of the run.
            identity: gives what the model of a role is, once it is opened.
            is_dealt: only parts of the plan are asked in this process, and a model stays open for what may come.
            parts: the item and the number of its first answer, by the keys under which answers come; None where all
                answers of an item come under its own key.

        Raises:
            UsageFault: the judge cannot be opened, or would judge itself.
        """
        judged = [item for item in items if item.loaded.suite.name in self._judge_graders]
        if not judged:
            return None
        self._refuse_itself(judged)
        known = {item.key: (item, 0) for item in judged} if parts is None else parts
        asked = {key: own for key, own in known.items() if self.judges(own[0])}
        requests = partial(self._requests, self.prompt_style, asked)
        self._builder.check_price(self.spec)
        allowing = frozenset(item.spec.role for item in judged if self._judge_grader(item).allow_self)
        samples = self._builder.settings.samples
        return JudgePlan(
            name=f"judge {self.spec.name}",
            open=partial(self._builder.open_model, self.spec),
            through=partial(self._builder.through, self.spec),
            items={key: item.spec.role for key, (item, _) in asked.items()},
            requests=requests,
            n_replies=sum(samples * self._n_replies(item) for item in judged),
            objection=partial(self._objection, identity, allowing),
            alone_with=frozenset(() if is_dealt or not self.spec.traits.is_local else self._alone_with(items)),
        )

    def _n_replies(self, item: Item) -> int:
        """Give how many replies an answer needs at most."""
        judge_grader = self._judge_grader(item)
        return judge_grader.votes * judge_grader.most_questions(item.case)

    def _alone_with(self, items: Iterable[Item]) -> set[str]:
        """Name the roles whose models are on this machine too, but for those that tests ask, which stay open."""
        found = list(items)
        kept = {item.spec.role for item in found if item.needs_model}
        return {item.spec.role for item in found if item.spec.traits.is_local} - kept

    def _refuse_itself(self, items: Iterable[Item]) -> None:
        for item in items:
            if is_same_model(item.spec, self.spec) and not self._judge_grader(item).allow_self:
                raise UsageFault(
                    f'--llm-judge "{self.spec.name}" is the model under test ("{item.spec.name}"), and models '
                    "favour their own answers; name another judge, or write judge: {allow_self: true} in "
                    f"{item.loaded.suite.path}."
                )

    def _objection(
        self, identity: Callable[[str], Identity | None], allowing: Container[str], role: str, judge: Identity
    ) -> str | None:
        """Refuse a judge that turns out to be the model under test, under whatever name."""
        model = identity(role)
        if model is None or role in allowing or not _are_same_weights(model, judge):
            return None
        return f'the judge "{self.spec.name}" is the model under test ("{role}") by its weights; name another one'

    def _judge_grader(self, item: Item) -> JudgeGrader:
        return self._judge_graders[item.loaded.suite.name]

    def _requests(
        self, style: PromptStyle, asked: Mapping[str, tuple[Item, int]], key: str, answers: Answers
    ) -> tuple[Request, ...]:
        item, first = asked[key]
        judge_grader, sampling = self._judge_grader(item), self._sampling(item.loaded.suite.name, self.prompt_style)
        width, votes = judge_grader.most_questions(item.case), judge_grader.votes
        found: list[Request] = []
        known: set[Prompt] = set()
        for place, answer in enumerate(answers, start=first):
            for question in self._questions(item, answer, style):
                if question.prompt in known:
                    continue
                known.add(question.prompt)
                begin = (place * width + question.place) * votes
                for number in range(begin, begin + votes):
                    own = sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)
                    found.append(
                        Request(
                            suite=item.loaded.suite.name,
                            case=item.case.id,
                            sample=number,
                            prompt=question.prompt,
                            sampling=own,
                            reply_schema=question.reply_schema,
                        )
                    )
        return tuple(found)

    def again(self, item: Item, answer: Answer, place: int) -> tuple[Request, ...]:
        """Give the requests about the answer of sample `place`, numbered behind all of the run: seeds are others."""
        first = self._builder.settings.samples + place
        return self._requests(self.prompt_style, {item.key: (item, first)}, item.key, (answer,))

    def n_again(self, items: Iterable[Item], n: int) -> int:
        """Give how many replies there are at most about `n` answers of these items."""
        judged = [item for item in items if self.judges(item)]
        each = sorted(self._n_replies(item) for item in judged for _ in range(self._builder.settings.samples))
        return sum(each[-n:]) if n else 0

    def _sampling(self, suite: str, style: PromptStyle) -> Sampling:
        """Give a suite's sampling of its judge, with the judge's own keys over it."""
        return self._builder.own_sampling(self.spec, self._judge_graders[suite].sampling, style)

    def judges(self, item: Item) -> bool:
        """Return whether an item is judged by a model."""
        return item.loaded.suite.name in self._judge_graders

    def by_answer(self, item: Item, answers: Answers, replies: Answers) -> list[Answers]:
        """Divide the replies about an item among its answers; what hindered the sending stands for all not sent.

        The replies about an answer that came before are those of its first time, and cost nothing again.
        """
        votes = self._judge_grader(item).votes
        hindrance = [*replies[-1:], AnswerError(cause=STOPPED)][:1]
        left = list(replies)
        known: dict[Prompt, Answers] = {}
        found: list[Answers] = []
        for answer in answers:
            own: list[Answer | AnswerError] = []
            for question in self._questions(item, answer, self.prompt_style):
                if question.prompt in known:
                    own.extend(map(_again, known[question.prompt]))
                    continue
                sent, left = left[:votes], left[votes:]
                known[question.prompt] = sent if len(sent) == votes else hindrance * votes
                own.extend(known[question.prompt])
            found.append(own)
        return found

    def grade(self, item: Item, answer: Answer | AnswerError, replies: Answers) -> Grade | AnswerError:
        """Read the replies about one answer; an error in place of one stays what it is."""
        return answer if isinstance(answer, AnswerError) else self._judge_grader(item).grade(item.case, answer, replies)

    def parts(self, replies: Answers) -> dict[str, Json]:
        """Give what a sample is to hold of its judge: who it was, its tokens, and what it replied, word for word."""
        tokens = [_tokens(reply) for reply in replies if isinstance(reply, Answer)]
        return {
            "judge": self.spec.name,
            "judge_tokens": [sum(side) for side in zip(*tokens, strict=True)] or None,
            "judge_replies": [reply.text if isinstance(reply, Answer) else None for reply in replies],
        }

    def _questions(self, item: Item, answer: Answer | AnswerError, style: PromptStyle) -> Sequence[Question]:
        """Give what is asked about an answer; an error in place of one is not judged."""
        if isinstance(answer, AnswerError):
            return ()
        return self._judge_grader(item).asked(item.case, answer, style)

    def facts(self, items: Iterable[Item], identity: Identity | None) -> JudgeInfo | None:
        """Give what a run of these items is to know of its judge; None if nothing was to be judged."""
        suites = dict.fromkeys(item.loaded.suite.name for item in items if self.judges(item))
        if not suites:
            return None
        # a judge that was never opened may be one that cannot be: its style is not asked for again
        style = PromptStyle.CHAT if identity is None else self.prompt_style
        return JudgeInfo(
            model=self.spec.name,
            identity=identity,
            price=token_price(self.spec.entry.price),
            suites={
                suite: JudgedSuite(
                    prompt_sha256=self._judge_graders[suite].prompt_sha256,
                    votes=self._judge_graders[suite].votes,
                    sampling=self._sampling(suite, style),
                )
                for suite in suites
            },
        )


def _again(reply: Answer | AnswerError) -> Answer | AnswerError:
    """Give a reply as that about an equal answer, for which nothing was sent."""
    return replace(reply, input_tokens=0, output_tokens=0, reused=True) if isinstance(reply, Answer) else reply


def _tokens(reply: Answer) -> tuple[int, int]:
    return reply.input_tokens or 0, reply.output_tokens or 0


def is_same_model(one: ModelSpec, other: ModelSpec) -> bool:
    """Return whether two entries open the same model, whatever they are called and however it is to answer."""
    if one.entry.provider != other.entry.provider:
        return False
    names = (one.provider.target_field, *_OF_MODEL)
    return all(getattr(one.entry, name, None) == getattr(other.entry, name, None) for name in names)


def _are_same_weights(one: Identity, other: Identity) -> bool:
    return one.weights is not None and (one.weights, one.settings.get("adapter")) == (
        other.weights,
        other.settings.get("adapter"),
    )

"""Have a judge grade some answers a second time, after the last test, to see how often its grades change.

The replies are requested anew: none comes from the answer store, and where the judge has a seed they have another.
Which answers these are depends on their suites, cases and models alone, not on the order of tests.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, zip_longest
from typing import TypeAlias

from pytest_llmbench.results.criteria import criteria
from pytest_llmbench.results.records import JudgeCheck, Record, Sample, graded_sample
from pytest_llmbench.runner.grade import Result
from pytest_llmbench.runner.judge_requests import JudgeRequests
from pytest_llmbench.runner.prefetch import Prefetcher
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.settings import Item
from pytest_llmbench.runner.slots import ModelPlan, PlannedItem, Progress
from pytest_llmbench.values import Answer, AnswerError, Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One answer that a judge graded: the item and record it belongs to, and the number of its sample."""

    item: Item
    record: Record
    place: int
    answer: Answer

    @property
    def key(self) -> str:
        """What it is known by in the run."""
        return f"{self.item.key}#{self.place}"

    @property
    def sample(self) -> Sample:
        """The answer as it is recorded, with its first grade."""
        return self.record.samples[self.place]


def judged_answers(item: Item, result: Result) -> list[Judged]:
    """Give the answers of an item that have a grade of the judge; an empty answer needed none."""
    return [
        Judged(item=item, record=result.record, place=place, answer=answer)
        for place, (answer, grade) in enumerate(zip(result.answers, result.grades, strict=True))
        if isinstance(answer, Answer) and grade is not None and grade.parts.get("judge_replies")
    ]


def drawn(answers: Sequence[Judged], n: int) -> list[Judged]:
    """Draw `n` of the answers, all if there are fewer: suite by suite in turn, of each case one before a second."""
    by_suite: dict[str, list[tuple[int, str, Judged]]] = {}
    of_case: dict[tuple[str, str], int] = {}
    for position, one in sorted((_position(one), one) for one in answers):
        case = one.record.suite, one.record.case
        of_case[case] = nth = of_case.get(case, 0) + 1
        by_suite.setdefault(one.record.suite, []).append((nth, position, one))
    ordered = [
        [one for _, _, one in sorted(by_suite[suite], key=lambda entry: entry[:2])] for suite in sorted(by_suite)
    ]
    return [one for one in chain.from_iterable(zip_longest(*ordered)) if one is not None][:n]


def _position(one: Judged) -> str:
    text = "\n".join((one.record.suite, one.record.case, one.record.role, str(one.place), one.item.key))
    return hashlib.sha256(text.encode()).hexdigest()


def judge_again(
    answers: Sequence[Judged],
    judge: JudgeRequests,
    builder: RequestBuilder,
    while_waiting: Callable[[Progress], None] | None = None,
) -> dict[str, JudgeCheck]:
    """Have answers judged a second time, and give by suite how many grades changed.

    Args:
        answers: to be judged again.
        judge: how it is asked; it is opened anew, so no other copy may be open that leaves it no room.
        builder: opens it, within the budget of the run.
        while_waiting: called every 0.2 s.
    """
    if not answers:
        return {}
    requests = {one.key: judge.again(one.item, one.answer, one.place) for one in answers}
    plan = ModelPlan(
        role=f"judge {judge.spec.name}",
        open=partial(builder.open_model, judge.spec),
        items=tuple(PlannedItem(key=key, requests=own) for key, own in requests.items()),
        through=partial(builder.fresh, judge.spec),
    )
    replies = Prefetcher([plan], name="judge-check")
    replies.start()
    try:
        replies.finish(while_waiting)
    finally:
        replies.close()
    graded = {one.key: _grade(one, judge, replies.so_far(one.key)) for one in answers}
    used = {one.key: replies.so_far(one.key) for one in answers}
    return {
        suite: _checked([one for one in answers if one.record.suite == suite], graded, used)
        for suite in dict.fromkeys(one.record.suite for one in answers)
    }


_Replies: TypeAlias = Sequence[Answer | AnswerError]


def _grade(one: Judged, judge: JudgeRequests, replies: _Replies) -> Grade | AnswerError:
    (own,) = judge.by_answer(one.item, (one.answer,), replies)
    found = judge.grade(one.item, one.answer, own)
    return replace(found, parts={**found.parts, **judge.parts(own)}) if isinstance(found, Grade) else found


def _checked(
    answers: Sequence[Judged], graded: Mapping[str, Grade | AnswerError], used: Mapping[str, _Replies]
) -> JudgeCheck:
    both = [(one, grade) for one in answers if isinstance(grade := graded[one.key], Grade)]
    again = [(one, graded_sample(one.answer, grade)) for one, grade in both]
    changed = [one for one, sample in again if _decisions(one, one.sample) != _decisions(one, sample)]
    tokens = [reply for one in answers for reply in used[one.key] if isinstance(reply, Answer)]
    return JudgeCheck(
        answers=len(both),
        changed=len(changed),
        scores_changed=sum(grade.score != one.sample.score for one, grade in both),
        errors=len(answers) - len(both),
        cases=tuple(dict.fromkeys(one.record.case for one in changed)),
        input_tokens=sum(reply.input_tokens or 0 for reply in tokens),
        output_tokens=sum(reply.output_tokens or 0 for reply in tokens),
    )


def _decisions(one: Judged, sample: Sample) -> dict[str, bool | None]:
    """Give what a grade decides: the outcome of each check, and of the answer."""
    checks = {found.check: found.passed for found in criteria(one.record, sample) if found.point is None}
    return {**checks, "": sample.outcome.value == "passed"}

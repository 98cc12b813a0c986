"""Key points judged by a model: from its votes on one answer to the grade.

    score = coverage x length x padding, at most 0.4 with a contradiction
    coverage = share of the points that a majority of votes finds and shows, by weight
    length = as without a judge: judges favour long answers, and this does not
    padding = 1 of none, 0.85 of some, 0.5 of mostly

Each decision needs a majority of all votes asked for.  Where errors and unreadable replies leave it open, the sample
is an error: a missing vote is none for either side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pytest_llmbench.grading.answer_text import clip, is_empty, void_or
from pytest_llmbench.grading.base import JudgeGrader, rules_of
from pytest_llmbench.grading.judge.evidence import Evidence
from pytest_llmbench.grading.judge.fields import JudgeFields
from pytest_llmbench.grading.judge.reply import Undecided, is_majority, no_grade, read_votes
from pytest_llmbench.grading.key_points.claims import Claim
from pytest_llmbench.grading.key_points.judge_prompt import PADDINGS, judge_prompt, reply_schema, words_sha256
from pytest_llmbench.grading.key_points.judge_reply import Vote, read_vote
from pytest_llmbench.grading.key_points.marks import GradedPart, Marks, mark
from pytest_llmbench.grading.key_points.rubric import (
    KeyPointsCase,
    KeyPointsSuite,
    Rubric,
    input_texts,
)
from pytest_llmbench.values import Answer, AnswerError, Case, Grade, Json, Prompt, PromptStyle, Reason, Suite

PADDING_FACTORS = MappingProxyType(dict(zip(PADDINGS, (1.0, 0.85, 0.5), strict=True)))
"""What each degree of padding leaves of a score."""


def judge_grader(suite: Suite, root: Path) -> JudgeGrader | None:
    """Give how a judge is asked about the answers of a suite; None where the suite has `judge: false`."""
    del root
    rules = rules_of(suite, KeyPointsSuite)
    fields = rules.judge
    if fields is None:
        return None
    rubrics = {case.id: Rubric.of(case, rules.threshold) for case in suite.cases}

    def grade(case: Case, answer: Answer, replies: Sequence[Answer | AnswerError]) -> Grade | AnswerError:
        if is_empty(answer.text):
            nothing = Grade(score=0.0, passed=False, reason=Reason.EMPTY, explanation="")
            return void_or(nothing, answer)
        found = _grade(rubrics[case.id], case, answer.text, replies, votes=fields.votes)
        return void_or(found, answer) if isinstance(found, Grade) else found

    return JudgeGrader(
        prompt=partial(_prompt, fields),
        grade=grade,
        reply_schema=lambda case: reply_schema(rules_of(case, KeyPointsCase)),
        prompt_sha256=words_sha256(fields.instructions),
        sampling=fields.sampling,
        votes=fields.votes,
        allow_self=fields.allow_self,
    )


def _prompt(fields: JudgeFields, case: Case, answer: Answer, style: PromptStyle) -> Prompt | None:
    if is_empty(answer.text):
        return None
    rules = rules_of(case, KeyPointsCase)
    graded = GradedPart.of(answer.text).text.strip()
    return judge_prompt(case.inputs, rules, graded, instructions=fields.instructions, style=style)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the votes come to. `is_split`: not all that could be read agree."""

    points: tuple[Claim | None, ...]
    contradiction: Claim | None
    padding: str
    is_split: bool


def _counted(votes: Sequence[Vote], names: Sequence[str], asked: int) -> Tally:
    """Put votes together.

    Raises:
        Undecided: a decision has no majority of all that were asked for.
    """

    def decided(claims: Sequence[Claim | None], what: str) -> Claim | None:
        made = [claim for claim in claims if claim is not None]
        if is_majority(len(made), len(claims), asked, what):
            return made[0]
        return None

    by_point = tuple(zip(*(vote.points for vote in votes), strict=True))
    contradictions = [vote.contradiction for vote in votes]
    degrees = [PADDINGS.index(vote.padding) for vote in votes]
    reached = [
        is_majority(sum(degree >= step for degree in degrees), len(votes), asked, f'the padding is "{PADDINGS[step]}"')
        for step in (1, 2)
    ]
    return Tally(
        points=tuple(decided(claims, f'"{name}" is made') for name, claims in zip(names, by_point, strict=True)),
        contradiction=decided(contradictions, "the answer contradicts the right one"),
        padding=PADDINGS[sum(reached)],
        is_split=any(len({claim is None for claim in claims}) > 1 for claims in (*by_point, contradictions))
        or len(set(degrees)) > 1,
    )


def _grade(
    rubric: Rubric, case: Case, text: str, replies: Sequence[Answer | AnswerError], *, votes: int
) -> Grade | AnswerError:
    part = GradedPart.of(text)
    rules = rules_of(case, KeyPointsCase)
    evidence = Evidence.of(part.text, input_texts(case))
    read, faults = read_votes(replies, lambda reply: read_vote(reply, rules, evidence), asked=votes)
    try:
        tally = _counted(read, [point.name for point in rules.points], votes) if read else None
    except Undecided as fault:
        faults.insert(0, str(fault))
        tally = None
    if tally is None:
        return AnswerError(cause=no_grade(faults))
    words = len(evidence.answer.text.split())
    marks = JudgedMarks.of(rubric, tally, words)
    parts = _parts(marks, read, faults) | {"ran_on": part.ran_on, "patterns": _by_patterns(rubric, text)}
    return Grade(score=marks.score, passed=marks.passed, reason=marks.reason, explanation=str(marks), parts=parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMarks(Marks):
    """What one answer earns by the judge's votes."""

    tally: Tally

    @classmethod
    def of(cls, rubric: Rubric, tally: Tally, words: int) -> Self:
        """Score what the votes come to."""
        return cls(
            rubric=rubric,
            points=tally.points,
            padding_factor=PADDING_FACTORS[tally.padding],
            is_contradicted=tally.contradiction is not None,
            words=words,
            tally=tally,
        )

    def __str__(self) -> str:
        wrong, padding = self.tally.contradiction, self.tally.padding
        split = " The votes are split: have a person look." if self.tally.is_split else ""
        sentence = self.sentence(
            "By the judge, the answer",
            f'contradicts the right one ("{clip(wrong.quote, 60)}")' if wrong else "",
            f"is {padding} padding".replace("some", "partly") if padding != "none" else "",
        )
        return f"{sentence}{split}"


def _parts(marks: JudgedMarks, read: Sequence[Vote], faults: Sequence[str]) -> dict[str, Json]:
    tally = marks.tally
    return {
        "points": [
            {"name": p.phrases.name, "hit": claim is not None, **_place(claim), "weight": p.weight}
            for p, claim in zip(marks.rubric.points, tally.points, strict=True)
        ],
        "forbidden": [
            {
                "name": "contradicts the right answer",
                "hit": tally.contradiction is not None,
                **_place(tally.contradiction),
            }
        ],
        "padding": tally.padding,
        "coverage": round(marks.coverage, 4),
        "length_factor": round(marks.length_factor, 4),
        "words": marks.words,
        "limit": marks.rubric.limit,
        "split": tally.is_split,
        "votes": [
            {
                "hits": [claim is not None for claim in vote.points],
                "contradiction": vote.contradiction is not None,
                "padding": vote.padding,
                "unfounded": list(vote.unfounded),
            }
            for vote in read
        ],
        "unread_votes": list(faults),
    }


def _place(claim: Claim | None) -> dict[str, Json]:
    if claim is None:
        return {"start": None, "end": None, "quote": None}
    return {"start": claim.start, "end": claim.end, "quote": claim.quote}


def _by_patterns(rubric: Rubric, text: str) -> Json:
    """Give what the patterns find: it costs nothing, and shows where judge and patterns differ."""
    if rubric.without_patterns is not None:
        return None
    try:
        marks = mark(rubric, text)
    except TimeoutError:
        return None
    return {"score": round(marks.score, 4), "passed": marks.passed, "reason": str(marks.reason)}

"""Ask a judge about the checks of a suite that need one, and read its votes.

What is asked follows from the same walk through the checks that grades an answer: a check at a `path`, in a turn of a
conversation or behind `read` is asked about the text that it would see.  One text is judged once by each criterion.

A check is decided by a majority of all votes; of three grades, by the middle vote.  Where errors and unreadable
replies leave it open, the check breaks: an error, and no grade.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pytest_llmbench.errors import Caught, LlmbenchError, caught
from pytest_llmbench.grading.answer_part import of_part
from pytest_llmbench.grading.answer_text import EMPTY, GRADED_CHARACTERS, clip, is_empty
from pytest_llmbench.grading.base import Grader, JudgeGrader, Question
from pytest_llmbench.grading.checks.base import Test
from pytest_llmbench.grading.checks.conversation import of_conversations
from pytest_llmbench.grading.checks.of_case import CaseChecks, Check, ConversationChecks, checks_of
from pytest_llmbench.grading.checks.outcome import graded
from pytest_llmbench.grading.checks.rubric import RubricValue
from pytest_llmbench.grading.checks.rubric_prompt import Vote, read_vote, reply_schema, rubric_prompt, words_sha256
from pytest_llmbench.grading.judge.evidence import Evidence
from pytest_llmbench.grading.judge.fields import JudgeFields
from pytest_llmbench.grading.judge.prompt_parts import task_of
from pytest_llmbench.grading.judge.reply import Undecided, is_majority, no_grade, read_votes
from pytest_llmbench.values import Answer, AnswerError, Case, Grade, Json, PromptStyle, Reason, Suite

Replies = Sequence[Answer | AnswerError]
Key = tuple[str, str, int]
"""What is judged once: a criterion with all that goes with it, a text, and the turn whose task it is an answer to."""

_PASSING = Grade(score=1.0, passed=True, reason=Reason.CORRECT, explanation="")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One question: a criterion, the text it is asked about, the task, and its number among those of the case."""

    value: RubricValue
    text: str
    task: str
    place: int


def judge_grader(suite: Suite, fields: JudgeFields, tests: Mapping[Check, Test]) -> JudgeGrader:
    """Give how a judge is asked about the answers of a suite with checks.

    Args:
        suite: with at least one check that is judged.
        fields: its `judge`.
        tests: of all its checks.
    """
    own = _JudgedChecks(suite, fields, tests)
    return JudgeGrader(
        questions=own.questions,
        grade=own.grade,
        most_questions=lambda case: len(_places(case)),
        prompt_sha256=words_sha256(fields.instructions),
        sampling=fields.sampling,
        votes=fields.votes,
        allow_self=fields.allow_self,
    )


class _JudgedChecks:
    """The checks of one suite, some of which a judge decides."""

    def __init__(self, suite: Suite, fields: JudgeFields, tests: Mapping[Check, Test]):
        self._suite = suite
        self._fields = fields
        self._tests = tests
        self._passing: Mapping[Check, Test] = dict.fromkeys(tests, _passes)
        self._conversations = {
            case.id: case.rules for case in suite.cases if isinstance(case.rules, ConversationChecks)
        }

    def questions(self, case: Case, answer: Answer, style: PromptStyle) -> tuple[Question, ...]:
        """Give what is asked about an answer."""
        return tuple(
            Question(
                prompt=rubric_prompt(
                    one.value, one.task, one.text, instructions=self._fields.instructions, style=style
                ),
                reply_schema=reply_schema(one.value),
                place=one.place,
            )
            for one in self._asked(case, answer).values()
        )

    def grade(self, case: Case, answer: Answer, replies: Replies) -> Grade | AnswerError:
        """Grade an answer, the judged checks by the replies."""
        asked, votes = self._asked(case, answer), self._fields.votes
        given = {key: replies[place * votes : (place + 1) * votes] for place, key in enumerate(asked)}

        def judged(check: Check) -> Test:
            def test(case: Case, answer: Answer) -> Grade:
                del case
                if is_empty(answer.text):
                    return EMPTY
                own = given.get(self._key(check, answer), ())
                return _grade(check.fields.rubric, _shown(answer), own, votes=votes)

            return test

        grader = self._whole(_Tests(self._tests, judged))
        try:
            return grader(case, answer)
        except LlmbenchError as fault:  # its message is complete; a traceback adds nothing
            return AnswerError(cause=str(fault))

    def _asked(self, case: Case, answer: Answer) -> dict[Key, _Asked]:
        """Walk through the checks of a case, and note what a judge is asked; nothing where that breaks."""
        found: dict[Key, _Asked] = {}
        places = _places(case)

        def noted(check: Check) -> Test:
            def test(of: Case, answer: Answer) -> Grade:
                if not is_empty(answer.text):
                    number = len(answer.turns)
                    one = _Asked(
                        value=check.fields.rubric,
                        text=_shown(answer),
                        task=self._task(of, answer),
                        place=places[number, check],
                    )
                    found.setdefault(self._key(check, answer), one)
                return _PASSING

            return test

        walk = self._whole(_Tests(self._passing, noted))
        walked = caught(walk, case, answer)
        return {} if isinstance(walked, Caught) else found

    def _whole(self, tests: Mapping[Check, Test]) -> Grader:
        """Give the grader of answers, by these tests."""

        def grade(case: Case, answer: Answer) -> Grade:
            return graded(checks_of(case), case, answer, tests)

        part = self._suite.part
        return of_conversations(grade if part is None else of_part(grade, part))

    def _key(self, check: Check, answer: Answer) -> Key:
        rubric = check.canonical["rubric"] if isinstance(check.canonical, Mapping) else None
        return json.dumps(rubric, sort_keys=True), _shown(answer), len(answer.turns)

    def _task(self, case: Case, answer: Answer) -> str:
        """Write what an answer is to: the inputs, and of a conversation what was said before it."""
        task = task_of(case.inputs)
        conversation = self._conversations.get(case.id)
        if conversation is None:
            return task
        *before, last = (turn.user for turn in conversation.turns[: len(answer.turns)])
        talk = [f"user: {user}\nassistant: {reply.text}" for user, reply in zip(before, answer.turns, strict=False)]
        return "\n".join(filter(None, (task, *talk, f"user: {last}")))


class _Tests(Mapping[Check, Test]):
    """The tests of checks, those that a judge decides by another way."""

    def __init__(self, tests: Mapping[Check, Test], judged: Callable[[Check], Test]):
        self._tests = tests
        self._judged = judged

    def __getitem__(self, check: Check) -> Test:
        return self._judged(check) if check.is_judged else self._tests[check]

    def __iter__(self) -> Iterator[Check]:
        return iter(self._tests)

    def __len__(self) -> int:
        return len(self._tests)


def _passes(case: Case, answer: Answer) -> Grade:
    del case, answer
    return _PASSING


def _places(case: Case) -> dict[tuple[int, Check], int]:
    """Give the numbers of the judged checks of a case, by turn and check; the turn is 0 where there are none."""
    rules = case.rules
    turns: list[tuple[int, CaseChecks | None]] = []
    if isinstance(rules, ConversationChecks):
        turns = [(number, turn.checks) for number, turn in enumerate(rules.turns, start=1)]
    elif isinstance(rules, CaseChecks):
        turns = [(0, rules)]
    leaves = [(number, leaf) for number, checks in turns if checks is not None for leaf in checks.leaves]
    judged = dict.fromkeys((number, leaf) for number, leaf in leaves if leaf.is_judged)
    return {key: place for place, key in enumerate(judged)}


def _shown(answer: Answer) -> str:
    """Give what of an answer is judged."""
    return answer.text.strip()[:GRADED_CHARACTERS]


def _grade(value: RubricValue, text: str, replies: Replies, *, votes: int) -> Grade:
    """Put the votes on one criterion together.

    Raises:
        LlmbenchError: they give no grade.
    """
    evidence = Evidence.of(text, ())
    read, faults = read_votes(replies, lambda reply: read_vote(reply, value, evidence), asked=votes)
    if not read:
        raise LlmbenchError(no_grade(faults))
    try:
        word = _decided([vote.grade for vote in read], value.words, votes)
    except Undecided as fault:
        raise LlmbenchError(no_grade([str(fault), *faults])) from None
    decisive = next(vote for vote in read if vote.grade == word)
    is_split = len({vote.grade for vote in read}) > 1
    score = value.grades[word]
    return Grade(
        score=score,
        passed=score == 1,
        reason=Reason.CORRECT if score == 1 else Reason.DIFFERENT,
        explanation=_explanation(decisive, is_split=is_split),
        parts={
            **_part(decisive),
            "votes": [_part(vote) for vote in read],
            "split": is_split,
            "unread_votes": list(faults),
        },
    )


def _decided(grades: Sequence[str], words: Sequence[str], asked: int) -> str:
    """Give the grade that a majority of all votes decides: no better ones and no worse ones have half of them.

    Args:
        grades: one a vote that could be read.
        words: those there are, from the best to the worst.
        asked: how many votes were wanted.

    Raises:
        Undecided: no majority does.
    """
    places = [words.index(grade) for grade in grades]
    steps = range(1, len(words))
    return words[
        sum(
            is_majority(sum(place >= step for place in places), len(places), asked, f'the grade is "{words[step]}"')
            for step in steps
        )
    ]


def _explanation(vote: Vote, *, is_split: bool) -> str:
    quoted = "" if vote.quote is None else f' ("{clip(vote.quote, 60)}")'
    reasoning = clip(vote.reasoning).rstrip(".")
    said = f": {reasoning}" if reasoning else ""
    split = " The votes are split: have a person look." if is_split else ""
    return f"By the judge, {vote.grade}{said}{quoted}.{split}"


def _part(vote: Vote) -> dict[str, Json]:
    return {"grade": vote.grade, "quote": vote.quote, "reasoning": vote.reasoning}

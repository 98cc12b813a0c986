"""Rows of training data, in the columns that TRL's trainers and ChatLLaMA's readers take.

TRL 1.16: `prompt` and `completion` (SFT), `prompt`, `chosen`, `rejected` (DPO), `prompt`, `completion`, `label` (KTO),
`prompt` (GRPO, RLOO), `chosen` and `rejected` with the prompt inside both (reward model); further columns are ignored
or handed on to reward functions.  ChatLLaMA: `user_input`, `completion`, `score` from 0 to 5.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType
from typing import Any, TypeAlias

from pytest_llmbench.tuning.known_answers import Known, KnownCase, LeftOut, distinct
from pytest_llmbench.values import Prompt

Row: TypeAlias = dict[str, Any]

MOST_POINTS = 5
"""ChatLLaMA's scores end here."""

_OPENING = ('"', "'", "(", "[", "{", "<", "`")
"""What a text goes on behind without a blank."""


class Format(StrEnum):
    """What a file of training data is for."""

    SFT = "sft"
    PREFERENCE = "preference"
    UNPAIRED = "unpaired"
    PROMPTS = "prompts"
    REWARD = "reward"
    CHATLLAMA_ACTOR = "chatllama-actor"
    CHATLLAMA_REWARD = "chatllama-reward"
    CHATLLAMA_RLHF = "chatllama-rlhf"
    VERL = "verl"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSettings:
    """How many pairs a case gives at most, and whether references stand in where no answer of a run passed."""

    pairs: int = 4
    uses_references: bool = True


def rows_of(kind: Format, known: KnownCase, settings: RowSettings, left_out: LeftOut) -> tuple[Row, ...]:
    """Give the rows of one case, in the order of their sources.

    Args:
        kind: the format.
        known: the case and what is known of it.
        settings: what is taken.
        left_out: counts what gives no row.
    """
    return tuple(_ROWS[kind](known, settings, left_out))


def prompt_value(prompt: Prompt) -> str | list[dict[str, str]]:
    """Give a prompt as TRL takes it: a text, or messages."""
    if prompt.text is not None:
        return prompt.text
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def completion_text(prompt: Prompt, text: str) -> str:
    """Give an answer as it follows its prompt: behind a text with the blank that separates it."""
    if prompt.text is None:
        return text
    is_separate = not text or not prompt.text or prompt.text[-1].isspace() or prompt.text.endswith(_OPENING)
    return text if is_separate else f" {text}"


def completion_value(prompt: Prompt, text: str) -> str | list[dict[str, str]]:
    """Give an answer as TRL takes it: a text, or one message."""
    found = completion_text(prompt, text)
    return found if prompt.text is not None else [{"role": "assistant", "content": found}]


def _about(known: KnownCase, one: Known | None) -> Row:
    return {
        "suite": known.loaded.suite.name,
        "case_id": known.case.id,
        "case_sha256": known.case.sha256,
        "prompt_sha256": known.prompt.sha256,
        "grader": known.loaded.suite.grader,
        "grader_version": known.loaded.kind.version,
        "score": None if one is None else one.score,
        "source": None if one is None else one.source,
    }


def _right(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> tuple[Known, ...]:
    """Give the right answers of a case: those of runs, each text once, else its references."""
    passed = [one for one in known.sampled if one.passed and one.text]
    whole = distinct(one for one in passed if not one.is_cut)
    if cut := sum(one.is_cut for one in passed):
        left_out["answer", "passed, but cut off at the limit of tokens"] += cut
    return whole or (distinct(known.references) if settings.uses_references else ())


def _sft(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    right = _right(known, settings, left_out)
    if not right:
        left_out["case", "no right answer is known"] += 1
    for one in right:
        completion = completion_value(known.prompt, one.text)
        yield {"prompt": prompt_value(known.prompt), "completion": completion, **_about(known, one)}


def _pairs(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> list[tuple[Known, Known]]:
    """Pair right and wrong answers of a case, those of nearest lengths first."""
    right = _right(known, settings, left_out)
    wrong = distinct(one for one in (*known.sampled, *known.wrong) if not one.passed and one.text)
    if not right or not wrong:
        left_out["case", f"no {'wrong' if right else 'right'} answer is known"] += 1
    pairs = sorted(
        product(right, wrong), key=lambda pair: (abs(len(pair[0].text) - len(pair[1].text)), *(p.order for p in pair))
    )
    return sorted(pairs[: settings.pairs], key=lambda pair: (pair[0].order, pair[1].order))


def _about_pair(known: KnownCase, chosen: Known, rejected: Known) -> Row:
    return {**_about(known, chosen), "rejected_score": rejected.score, "rejected_source": rejected.source}


def _preference(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    for chosen, rejected in _pairs(known, settings, left_out):
        yield {
            "prompt": prompt_value(known.prompt),
            "chosen": completion_value(known.prompt, chosen.text),
            "rejected": completion_value(known.prompt, rejected.text),
            **_about_pair(known, chosen, rejected),
        }


def _reward(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    for chosen, rejected in _pairs(known, settings, left_out):
        prompt: Any = prompt_value(known.prompt)
        yield {
            "chosen": prompt + completion_value(known.prompt, chosen.text),
            "rejected": prompt + completion_value(known.prompt, rejected.text),
            **_about_pair(known, chosen, rejected),
        }


def _graded(known: KnownCase, left_out: LeftOut) -> tuple[Known, ...]:
    """Give the graded answers of runs; without any, right and wrong ones where both are known without sampling."""
    if known.sampled:
        return known.sampled
    if known.references and known.wrong:
        return (*known.references, *known.wrong)
    left_out["case", "no graded answer"] += 1
    return ()


def _unpaired(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    del settings
    for one in _graded(known, left_out):
        yield {
            "prompt": prompt_value(known.prompt),
            "completion": completion_value(known.prompt, one.text),
            "label": one.passed,
            **_about(known, one),
        }


def _prompts(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    del settings, left_out
    yield {"prompt": prompt_value(known.prompt), **_about(known, None)}


def _chatllama_actor(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    for one in _right(known, settings, left_out):
        yield {
            "user_input": known.prompt.plain_text,
            "completion": completion_text(known.prompt, one.text),
            **_unscored(known, one),
        }


def _unscored(known: KnownCase, one: Known | None) -> Row:
    """Leave the score out: in ChatLLaMA's files it marks those of the reward model."""
    return {name: value for name, value in _about(known, one).items() if name != "score"}


def _chatllama_reward(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    del settings
    for one in _graded(known, left_out):
        yield {
            "user_input": known.prompt.plain_text,
            "completion": completion_text(known.prompt, one.text),
            **_about(known, one),
            "score": MOST_POINTS * one.score,
        }


def _chatllama_rlhf(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    del settings, left_out
    yield {"user_input": known.prompt.plain_text, **_unscored(known, None)}


def _verl(known: KnownCase, settings: RowSettings, left_out: LeftOut) -> Iterator[Row]:
    del settings, left_out
    about = _about(known, None)
    yield {
        "data_source": known.loaded.suite.name,
        "prompt": prompt_value(known.prompt),
        "ability": known.loaded.suite.grader,
        "reward_model": {"style": "rule", "ground_truth": known.case.id},
        "extra_info": about,
        **about,
    }


_ROWS: Mapping[Format, Callable[[KnownCase, RowSettings, LeftOut], Iterator[Row]]] = MappingProxyType(
    {
        Format.SFT: _sft,
        Format.PREFERENCE: _preference,
        Format.UNPAIRED: _unpaired,
        Format.PROMPTS: _prompts,
        Format.REWARD: _reward,
        Format.CHATLLAMA_ACTOR: _chatllama_actor,
        Format.CHATLLAMA_REWARD: _chatllama_reward,
        Format.CHATLLAMA_RLHF: _chatllama_rlhf,
        Format.VERL: _verl,
    }
)

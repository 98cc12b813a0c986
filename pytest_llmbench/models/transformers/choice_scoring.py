"""The probability of given texts behind a prompt: the choices of a case, each scored token by token as it is written.

As in lm-evaluation-harness: blanks at the end of the prompt are counted to the choice, and the tokens of a choice are
those that the whole text has more than the prompt.  Where a tokenizer joins the end of a prompt with a choice, which a
delimiter of one blank prevents, the model is fed those tokens behind the prompt's own all the same.
Source: lm_eval 0.4.13, `api/model.py`, `TemplateLM._encode_pair`, for causal models.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.models.transformers.batch import NOT_A_NUMBER
from pytest_llmbench.models.transformers.fed import Fed
from pytest_llmbench.models.transformers.prefixes import Tokens

AHEAD_TOKENS = 1024
"""Tokens fed at once behind the prompts: the logits of each are as wide as the vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceTokens:
    """The tokens of a prompt, and those of each choice behind it."""

    prompt: Tokens
    rests: Mapping[str, Tokens]

    @property
    def longest(self) -> int:
        """The number of tokens of the longest choice."""
        return max(len(rest) for rest in self.rests.values())


def choice_tokens(text: str, tokenize: Callable[[str], Tokens], choices: Sequence[str], delimiter: str) -> ChoiceTokens:
    """Put a prompt and its choices into tokens.

    Args:
        text: the prompt, a chat template applied to it.
        tokenize: gives the tokens of a text, with those that a tokenizer puts at its beginning.
        choices: the texts.
        delimiter: between the prompt and each.

    Raises:
        ValueError: the prompt or a choice has no tokens of its own.
    """
    prompt = tokenize(text.rstrip())
    if not prompt:
        raise ValueError("the prompt is blank")
    rests = {choice: tokenize(text + delimiter + choice)[len(prompt) :] for choice in dict.fromkeys(choices)}
    missing = next((choice for choice, rest in rests.items() if not rest), None)
    if missing is not None:
        raise ValueError(f'the choice "{missing}" has no tokens of its own in this model')
    return ChoiceTokens(prompt=prompt, rests=rests)


def score_choices(batch: Fed, rows: Sequence[ChoiceTokens], size: int) -> tuple[Mapping[str, float], ...]:
    """Return the logarithm of the probability of each row's choices.

    Args:
        batch: rows whose prompts have been fed; it stays as it is.
        rows: their choices.
        size: copies of rows that are fed at once.

    Raises:
        FloatingPointError: the network does not compute numbers any more.
    """
    sums = batch.logits.double().logsumexp(dim=-1).tolist()  # [R]
    found: list[dict[str, float]] = [{} for _ in rows]
    wanted = []
    for place, row in enumerate(rows):
        for choice, rest in row.rests.items():
            found[place][choice] = float(batch.logits[place, rest[0]]) - sums[place]
            wanted += [(place, choice)] if len(rest) > 1 else []
    wanted.sort(key=lambda want: len(rows[want[0]].rests[want[1]]))
    while wanted:
        chunk = wanted[: _n_fitting([len(rows[place].rests[choice]) for place, choice in wanted[:size]])]
        wanted = wanted[len(chunk) :]
        rests = [rows[place].rests[choice] for place, choice in chunk]
        longest = max(map(len, rests)) - 1
        # Padding on the right: attention to the past alone never sees what comes after.
        ids = [[*rest[:-1], *[0] * (longest - len(rest) + 1)] for rest in rests]
        ahead = batch.look_ahead([place for place, _ in chunk], ids)  # [chunk, T, V]
        for logits, (place, choice), rest in zip(ahead, chunk, rests, strict=True):
            found[place][choice] += _sum_of(logits[: len(rest) - 1], rest[1:])
    if any(math.isnan(value) for row in found for value in row.values()):
        raise FloatingPointError(NOT_A_NUMBER)
    return tuple(found)


def _n_fitting(lengths: Sequence[int]) -> int:
    """Count how many of these texts, the shortest first, may be fed at once; at least one."""
    return max(1, sum(count * length <= AHEAD_TOKENS for count, length in enumerate(lengths, start=1)))


def _sum_of(logits: Any, tokens: Tokens) -> float:
    """Add up the logarithms of the probabilities of T tokens by the logits [T, V] before each."""
    import torch

    shares = torch.log_softmax(logits.double(), dim=-1)
    return float(shares[torch.arange(len(tokens)), torch.tensor(tokens, device=shares.device)].sum())

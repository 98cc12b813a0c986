"""A row of a batch as it grows: what has followed its prompt, where its answer begins, and what ends it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.models.reasoning import AUTO, Marks, is_mark, opened_by
from pytest_llmbench.models.stops import AnswerWatch, cut_at_stop
from pytest_llmbench.models.transformers.choice_scoring import ChoiceTokens
from pytest_llmbench.models.transformers.label_scoring import LabelTokens
from pytest_llmbench.models.transformers.prefixes import Tokens
from pytest_llmbench.values import CUT_OFF, Sampling

LEAD_TOKENS = 4
"""Prompt tokens decoded along with an answer, so that a space at its beginning is kept."""

MARK_TOKENS = 40
"""So many tokens hold any mark of reasoning wherever it ends: a token is at least a byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt to be continued by at most `max_tokens` tokens, reasoning and answer; `seed` is of this row alone.

    The probability of `labels` is computed too; with `picks_label` nothing else is done, nor with `choices`.
    """

    tokens: Tokens
    max_tokens: int
    sampling: Sampling
    seed: int
    labels: LabelTokens | None = None
    picks_label: bool = False
    choices: ChoiceTokens | None = None
    marks: Marks | None = AUTO

    @property
    def kind(self) -> int:
        """What is done with it: 0 if a text is generated, 1 if a label is picked, 2 if choices are compared."""
        return 2 if self.choices is not None else int(self.picks_label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What followed a row's prompt. Seconds count from when the shared beginning was there."""

    text: str
    n_tokens: int
    finish_reason: str
    ttft_s: float | None
    latency_s: float
    label_logprobs: Mapping[str, float] | None = None
    ttfa_s: float | None = None
    reasoning_tokens: int | None = None


class TokenTexts:
    """Puts tokens into text. Special tokens are left out, unless they are marks of reasoning.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        special = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
        self._marks = {token: text for token, text in special.items() if is_mark(text)}
        self.added: Mapping[str, int] = tokenizer.get_added_vocab()

    def of(self, tokens: Sequence[int]) -> str:
        """Give the text of some tokens."""
        if not any(token in self._marks for token in tokens):
            return self._decoded(tokens)
        pieces: list[str] = []
        start = 0
        for place, token in enumerate(tokens):
            if token in self._marks:
                pieces += [self._decoded(tokens[start:place]), self._marks[token]]
                start = place + 1
        return "".join([*pieces, self._decoded(tokens[start:])])

    def end_of(self, prompt: Tokens) -> str:
        """Give the end of a prompt, special tokens and all."""
        text: str = self._tokenizer.decode(list(prompt[-MARK_TOKENS:]), clean_up_tokenization_spaces=False)
        return text

    def _decoded(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


class Growing:
    """A row and what has followed it so far.

    Args:
        index: of the row.
        row: the row.
        texts: of its tokenizer.
        eos: the ids that end a text.
    """

    def __init__(self, index: int, row: Row, texts: TokenTexts, eos: frozenset[int]):
        self.index = index
        self.sampling = row.sampling
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self.generator: Any = None
        if row.sampling.temperature > 0:
            import torch

            self.generator = torch.Generator().manual_seed(row.seed)
        self._max_tokens = row.max_tokens
        self._marks = row.marks
        self._lead = list(row.tokens[-LEAD_TOKENS:])
        self._texts = texts
        # A special token is in no decoded text, so as a stop string it is looked for by its id.
        self._ends = eos | {texts.added[stop] for stop in row.sampling.stop if stop in texts.added}
        self._stop = tuple(stop for stop in row.sampling.stop if stop)
        # A token is at least a byte, so so many tokens hold the longest stop string wherever it ends.
        self._window = max((len(stop.encode()) for stop in self._stop), default=0) + 2 * LEAD_TOKENS
        # where the prompt ends within the reasoning, the text begins as if the mark stood in it
        self._opened = opened_by(texts.end_of(row.tokens), row.marks)
        self._watch = AnswerWatch(row.marks, self._stop)
        self._answer_from: int | None = None
        self._ttft_s = 0.0
        self._ttfa_s: float | None = None

    def take(self, token: int, elapsed_s: float) -> None:
        """Append a token; decide whether it is the last."""
        if not self.tokens:
            self._ttft_s = elapsed_s
        self.tokens.append(token)
        if token in self._ends:
            self.finish_reason = "stop"
            return
        self._look(elapsed_s)
        n_answer = 0 if self._answer_from is None else len(self.tokens) - self._answer_from
        if self._watch.is_ended:
            self.finish_reason = "stop"
        elif len(self.tokens) == self._max_tokens or n_answer == self.sampling.max_tokens:
            self.finish_reason = CUT_OFF

    def _look(self, elapsed_s: float) -> None:
        """Check whether the answer has begun, or has ended at a stop string."""
        had_begun = self._watch.has_begun
        if had_begun and not self._stop:
            return
        window = self._window if had_begun else max(self._window, MARK_TOKENS)
        # The whole text is only read where its end looks like it.
        tail = self._whole() if len(self.tokens) <= window else self._texts.of(self.tokens[-window:])
        self._watch.look(tail, self._whole)
        if not self._watch.has_begun:
            self._answer_from = None
        elif not had_begun:
            is_behind = self._watch.is_behind
            self._answer_from = len(self.tokens) - 1 if is_behind else 0
            self._ttfa_s = elapsed_s if is_behind else self._ttft_s

    def continuation(self, elapsed_s: float, label_logprobs: Mapping[str, float] | None) -> Continuation:
        """Give the finished text, reasoning and all, cut before the first stop string in its answer."""
        is_ended = self.tokens[-1] in self._ends
        text = self._opened + self._text(self.tokens[:-1] if is_ended else self.tokens)
        cut = cut_at_stop(text, self._stop, self._marks)
        n_reasoning = len(self.tokens) if self._answer_from is None else self._answer_from
        is_behind = self._watch.is_behind or self._watch.is_open
        return Continuation(
            text=text if cut is None else cut,
            n_tokens=len(self.tokens),
            finish_reason=str(self.finish_reason) if cut is None else "stop",
            ttft_s=self._ttft_s,
            latency_s=elapsed_s,
            # the probabilities are of the beginning of the reasoning
            label_logprobs=None if is_behind else label_logprobs,
            ttfa_s=self._ttfa_s if self._watch.has_begun else None,
            reasoning_tokens=n_reasoning if is_behind else None,
        )

    def _whole(self) -> str:
        return self._opened + self._text(self.tokens)

    def _text(self, tokens: list[int]) -> str:
        # Tokenizers of the SentencePiece kind drop the space before the first token they decode.
        lead = self._texts.of(self._lead)
        whole = self._texts.of(self._lead + tokens)
        return whole.removeprefix(lead) if whole.startswith(lead) else self._texts.of(tokens)

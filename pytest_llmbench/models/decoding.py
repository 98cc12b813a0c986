"""The decoding loop: rows of token ids in, continuations with their times out.

It is not `generate()` because a row must stop at its own strings, be stamped when its own
tokens come, leave the batch when it is done, and because nothing but the sampling of the
request may shape the answer (a checkpoint's `generation_config` may hold penalties).
"""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.models.batches import Batch, Halted, Kept
from pytest_llmbench.values import Sampling

WORTH_SHARING_TOKENS = 16
"""A shared beginning that is shorter is computed in every row: an extra pass would cost more."""

LEAD_TOKENS = 4
"""Prompt tokens decoded along with an answer, so that a space at its beginning is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt to be continued by at most `max_tokens` tokens; `seed` is of this row alone."""

    tokens: tuple[int, ...]
    max_tokens: int
    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """What followed a row's prompt. Seconds count from the start of the batch."""

    text: str
    n_tokens: int
    finish_reason: str
    ttft_s: float
    latency_s: float


class Decoder:
    """Continues rows with one network.

    Args:
        network: a causal language model of transformers, in eval mode.
        tokenizer: its tokenizer.
        eos: the ids that end a text.
        is_sharing: compute a beginning that rows share once, and keep it for the rows to come.
            Needs plain attention over all that went before in every layer (`can_share`).
    """

    def __init__(self, network: Any, tokenizer: Any, eos: frozenset[int], *, is_sharing: bool):
        self._network = network
        self._tokenizer = tokenizer
        self._eos = eos
        self._is_sharing = is_sharing
        self._kept = Kept()

    def forget(self) -> None:
        """Free the keys and values kept from earlier rows."""
        self._kept = Kept()

    def decode(self, rows: Sequence[Row], halt: threading.Event) -> Iterator[tuple[int, Continuation]]:
        """Continue a batch of rows; give each one's index and continuation as it is finished.

        Ends early, between two tokens, when `halt` is set.
        """
        started = time.perf_counter()
        growing = [_Growing(index, row, self._tokenizer, self._eos) for index, row in enumerate(rows)]
        try:
            batch = self._prefill([row.tokens for row in rows], halt)
        except Halted:
            return
        while not halt.is_set():
            tokens = _choose(batch.logits, growing)
            elapsed_s = time.perf_counter() - started
            for row, token in zip(growing, tokens, strict=True):
                row.take(token, elapsed_s)
            for row in growing:
                if row.finish_reason is not None:
                    given = time.perf_counter()
                    yield row.index, row.continuation(elapsed_s)
                    # What is done with an answer is in no other row's time.
                    started += time.perf_counter() - given
            left = [place for place, row in enumerate(growing) if row.finish_reason is None]
            if not left:
                return
            if len(left) < len(growing):
                batch.keep(left)
                growing = [growing[place] for place in left]
            batch.feed([[row.tokens[-1]] for row in growing])

    def _prefill(self, prompts: Sequence[tuple[int, ...]], halt: threading.Event) -> Batch:
        """Feed the prompts, what they share only once."""
        shared = 0
        if self._is_sharing:
            common = _common_length(prompts)
            shared = min(common, _overlap(prompts[0], self._kept.tokens))
            if len(prompts) > 1 and common - shared >= WORTH_SHARING_TOKENS:
                alone = Batch(self._network, 1, self._kept, shared)
                alone.feed_in_pieces([prompts[0][shared:common]], halt)
                self._kept = Kept(tokens=prompts[0][:common], layers=alone.layers())
                shared = common
        batch = Batch(self._network, len(prompts), self._kept, shared)
        batch.feed_in_pieces([prompt[shared:] for prompt in prompts], halt)
        if self._is_sharing and len(prompts) == 1:
            self._kept = Kept(tokens=prompts[0], layers=batch.layers())
        return batch


class _Growing:
    """A row and what has followed it so far."""

    def __init__(self, index: int, row: Row, tokenizer: Any, eos: frozenset[int]):
        self.index = index
        self.sampling = row.sampling
        self.tokens: list[int] = []
        self.finish_reason: str | None = None
        self.generator: Any = None
        if row.sampling.temperature > 0:
            import torch

            self.generator = torch.Generator().manual_seed(row.seed)
        self._max_tokens = row.max_tokens
        self._lead = list(row.tokens[-LEAD_TOKENS:])
        self._tokenizer = tokenizer
        # A special token is in no decoded text, so as a stop string it is looked for by its id.
        added = tokenizer.get_added_vocab()
        self._ends = eos | {added[stop] for stop in row.sampling.stop if stop in added}
        self._stop = tuple(stop for stop in row.sampling.stop if stop)
        # A token is at least a byte, so so many tokens hold the longest stop string wherever it ends.
        self._window = max((len(stop.encode()) for stop in self._stop), default=0) + 2 * LEAD_TOKENS
        self._ttft_s = 0.0

    def take(self, token: int, elapsed_s: float) -> None:
        """Append a token; decide whether it is the last."""
        if not self.tokens:
            self._ttft_s = elapsed_s
        self.tokens.append(token)
        if token in self._ends or self._has_stop():
            self.finish_reason = "stop"
        elif len(self.tokens) == self._max_tokens:
            self.finish_reason = "length"

    def continuation(self, elapsed_s: float) -> Continuation:
        """Give the finished text, cut before the first stop string."""
        is_ended = self.tokens[-1] in self._ends
        text = self._text(self.tokens[:-1] if is_ended else self.tokens)
        cut = min((place for stop in self._stop if (place := text.find(stop)) >= 0), default=len(text))
        return Continuation(
            text=text[:cut],
            n_tokens=len(self.tokens),
            finish_reason=str(self.finish_reason),
            ttft_s=self._ttft_s,
            latency_s=elapsed_s,
        )

    def _has_stop(self) -> bool:
        if not self._stop:
            return False
        if len(self.tokens) > self._window:
            # The whole text is only read where its end looks like it.
            tail = self._decoded(self.tokens[-self._window :])
            if not any(stop in tail for stop in self._stop):
                return False
        text = self._text(self.tokens)
        return any(stop in text for stop in self._stop)

    def _text(self, tokens: list[int]) -> str:
        # Tokenizers of the SentencePiece kind drop the space before the first token they decode.
        lead = self._decoded(self._lead)
        whole = self._decoded(self._lead + tokens)
        return whole.removeprefix(lead) if whole.startswith(lead) else self._decoded(tokens)

    def _decoded(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _common_length(prompts: Sequence[tuple[int, ...]]) -> int:
    """Count the tokens all prompts begin with, leaving each at least one of its own."""
    # What the first and the last in lexical order share, those between share too.
    return min(_overlap(min(prompts), max(prompts)), min(len(prompt) for prompt in prompts) - 1)


def _overlap(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    limit = min(len(one), len(other))
    return next((place for place in range(limit) if one[place] != other[place]), limit)


def _choose(logits: Any, rows: Sequence[_Growing]) -> list[int]:
    """Choose each row's next token from the logits [R, V].

    Raises:
        FloatingPointError: the network does not compute numbers any more.
    """
    import torch

    best = logits.max(dim=-1)
    if bool(torch.isnan(best.values).any()):
        raise FloatingPointError('the network computes "not a number"; try dtype = "float32"')
    tokens: list[int] = best.indices.tolist()
    for place, row in enumerate(rows):
        if row.generator is not None:
            tokens[place] = _draw(logits[place], row.sampling, row.generator)
    return tokens


def _draw(logits: Any, sampling: Sampling, generator: Any) -> int:
    """Draw a token from the logits [V], on the CPU, so that a seed means the same everywhere.

    One uniform number picks a place in the cumulated distribution: the rounding by which batches
    of other shapes differ then changes a token only where that number falls on a border.
    """
    import torch

    shares = torch.softmax(logits.double().cpu() / sampling.temperature, dim=-1)
    if sampling.top_p is not None and sampling.top_p < 1:
        ordered, tokens = shares.sort(descending=True)
        # The smallest set that reaches top_p: a token is out if those before it reach it already.
        shares[tokens[ordered.cumsum(dim=-1) - ordered >= sampling.top_p]] = 0
    edges = shares.cumsum(dim=-1)
    place = torch.rand((), generator=generator, dtype=torch.float64) * edges[-1]
    return int(torch.searchsorted(edges, place, right=True).clamp(max=len(edges) - 1))

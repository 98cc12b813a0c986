"""The decoding loop: rows of token ids in, continuations with their times out.

It is not `generate()` because a row must stop at its own strings, be stamped when its own
tokens come, leave the batch when it is done, and because nothing but the sampling of the
request may shape the answer (a checkpoint's `generation_config` may hold penalties).

What a row's times hold: the feeding of its batch's prompts from where their group's shared beginning
ends, and the decoding until its own token.  The shared beginning is computed before the clock starts,
for the first batch as for all others.  A prompt that occurs several times in a batch is fed once and
is in the time of each of its rows; in another batch it is fed again.

A batch here ends before the next one begins, which is all that a network with sliding windows or recurrent
layers can do; `refilling.py` has the loop in which rows take the places of others.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.transformers.batch import NOT_A_NUMBER, Batch, Halted, Kept, join
from pytest_llmbench.models.transformers.beginnings import Beginnings
from pytest_llmbench.models.transformers.choice_scoring import score_choices
from pytest_llmbench.models.transformers.fed import Fed
from pytest_llmbench.models.transformers.growing import Continuation, Growing, Row, TokenTexts
from pytest_llmbench.models.transformers.label_scoring import score_labels
from pytest_llmbench.models.transformers.prefixes import Tokens, overlap, split_by_length
from pytest_llmbench.values import Sampling

WARM_UP_TOKENS = 16

PASS_TOKENS = 48
"""What a pass costs beside its tokens, as a number of tokens: reading the weights, on a CPU."""

GPU_PASS_TOKENS = 4096
"""The same on a GPU, which computes many tokens in the time of starting a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A network in eval mode and what is to be known of it.

    Attributes:
        network: a causal language model of transformers.
        tokenizer: its tokenizer.
        cache_argument: the name under which its forward takes a cache (`batch.cache_argument`).
        is_sharing: a beginning that rows share is computed once, and kept for the rows to come.
            Needs plain attention over all that went before in every layer (`can_share`).
        is_ragged: rows may take the places of others (`ragged.ready_for_ragged`).
    """

    network: Any
    tokenizer: Any
    cache_argument: str
    is_sharing: bool = False
    is_ragged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds from anywhere, and how long a row may take by the times it would be reported with; None for no limit."""

    clock: Callable[[], float] = time.perf_counter
    timeout_s: float | None = None


UNLIMITED = Timing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A row that is done.

    Attributes:
        number: the one it came with.
        continuation: None where its time was over.
        concurrency: most rows in flight while it was.
    """

    number: int
    continuation: Continuation | None
    concurrency: int


Waiting = deque[tuple[int, Row]]
"""Rows that are not begun, each with its number."""


class Decoder:
    """Continues rows with one network, batch by batch.

    Args:
        loaded: the network.
        eos: the ids that end a text.
        timing: the clock and the limit.
    """

    def __init__(self, loaded: Loaded, eos: frozenset[int], timing: Timing):
        self._network = loaded.network
        self._cache_argument = loaded.cache_argument
        self._is_sharing = loaded.is_sharing
        self._texts = TokenTexts(loaded.tokenizer)
        self._eos = eos
        self._clock = timing.clock
        self._timeout_s = math.inf if timing.timeout_s is None else timing.timeout_s
        self._beginnings = Beginnings()

    def forget(self) -> None:
        """Free the keys and values kept from earlier rows."""
        self._beginnings.forget()

    def warm_up(self) -> None:
        """Make a first pass, which reads the weights into memory and is slower than all others."""
        batch = Batch(self._network, self._cache_argument, 1, Kept(), 0)
        batch.feed([[0] * WARM_UP_TOKENS])
        batch.feed([[0]])
        batch.wait()

    def shared_length(self, prompts: Sequence[Tokens]) -> int:
        """Count the tokens at the beginning of a group's prompts that are computed outside of all times."""
        return self._beginnings.shared_length(prompts) if self._is_sharing else 0

    def decode(self, waiting: Waiting, size: int, halt: threading.Event, *, n_shared: int) -> Iterator[Finished]:
        """Continue the first `size` of the waiting rows, and take them off; give each as it is finished.

        Ends early, between two tokens, when `halt` is set, or when the time of the rows that are left is over.

        Args:
            waiting: rows, all of one `kind`.
            size: most rows at once.
            halt: the run ends.
            n_shared: the tokens all rows of the group have in common (`shared_length`).
        """
        numbers, rows = zip(*(waiting.popleft() for _ in range(min(size, len(waiting)))), strict=True)
        try:
            kept = self._share(rows[0].tokens[:n_shared], halt)
            started = self._clock()
            batch = self._prefill([row.tokens for row in rows], kept, n_shared, halt)
        except Halted:
            return

        def finished(place: int, continuation: Continuation | None) -> Finished:
            return Finished(number=numbers[place], continuation=continuation, concurrency=len(rows))

        scoring = self._clock()
        logprobs = scored(batch, rows, len(rows))
        if rows[0].kind:
            elapsed_s = self._clock() - started
            is_late = elapsed_s > self._timeout_s
            for place in range(len(rows)):
                yield finished(place, None if is_late else chosen(logprobs[place] or {}, elapsed_s))
            return
        # Beside a generated answer the labels are an observation, and in no time.
        started += self._clock() - scoring
        growing = [Growing(place, row, self._texts, self._eos) for place, row in enumerate(rows)]
        while not halt.is_set():
            tokens = choose(batch.logits, growing)
            elapsed_s = self._clock() - started
            if elapsed_s > self._timeout_s:
                yield from (finished(row.index, None) for row in growing)
                return
            for row, token in zip(growing, tokens, strict=True):
                row.take(token, elapsed_s)
            for row in growing:
                if row.finish_reason is not None:
                    given = self._clock()
                    yield finished(row.index, row.continuation(elapsed_s, logprobs[row.index]))
                    # What is done with an answer is in no other row's time.
                    started += self._clock() - given
            left = [place for place, row in enumerate(growing) if row.finish_reason is None]
            if not left:
                return
            if len(left) < len(growing):
                batch.keep(left)
                growing = [growing[place] for place in left]
            batch.feed([[row.tokens[-1]] for row in growing])

    def _share(self, beginning: Tokens, halt: threading.Event) -> Kept:
        """Give the keys and values that a beginning is the first part of; compute them if they are not kept yet."""
        if not beginning:
            return Kept()
        kept = self._beginnings.best(beginning)
        reused = overlap(beginning, kept.tokens)
        if reused < len(beginning):
            alone = Batch(self._network, self._cache_argument, 1, kept, reused)
            alone.feed_in_pieces([beginning[reused:]], halt)
            alone.wait()
            kept = Kept(tokens=beginning, layers=alone.layers())
            self._beginnings.keep(kept)
        self._beginnings.use(kept, len(beginning))
        return kept

    def _prefill(self, prompts: Sequence[Tokens], kept: Kept, n_shared: int, halt: threading.Event) -> Batch:
        """Feed the prompts after their shared beginning, equal ones once."""
        different = list(dict.fromkeys(prompts))
        rests = [prompt[n_shared:] for prompt in different]
        parts: Sequence[Sequence[int]] = [range(len(rests))]
        if self._is_sharing:
            is_on_cpu = self._network.device.type == "cpu"
            parts = split_by_length([len(rest) for rest in rests], PASS_TOKENS if is_on_cpu else GPU_PASS_TOKENS)
        batches = []
        for part in parts:
            batches.append(Batch(self._network, self._cache_argument, len(part), kept, n_shared))
            batches[-1].feed_in_pieces([rests[place] for place in part], halt)
        batch = join(batches, parts)
        if self._is_sharing and len(different) == 1 and not n_shared:
            # What the prompts to come share with this one is not known yet.
            self._beginnings.keep(Kept(tokens=different[0], layers=batch.layers()))
        if len(different) < len(prompts):
            batch.keep([different.index(prompt) for prompt in prompts])
        return batch


def scored(fed: Fed, rows: Sequence[Row], size: int) -> Sequence[Mapping[str, float] | None]:
    """Score the choices or the labels of rows of one kind whose prompts have been fed, `size` copies at a time."""
    choices = [row.choices for row in rows if row.choices is not None]
    return score_choices(fed, choices, size) if choices else score_labels(fed, [row.labels for row in rows], size)


def chosen(logprobs: Mapping[str, float], elapsed_s: float) -> Continuation:
    """Answer with the likeliest label, the first of those that are equally likely."""
    return Continuation(
        text=max(logprobs, key=lambda label: logprobs[label]),
        n_tokens=0,
        finish_reason=LABEL_PICKED,
        ttft_s=None,
        latency_s=elapsed_s,
        label_logprobs=logprobs,
    )


def choose(logits: Any, rows: Sequence[Growing]) -> list[int]:
    """Choose each row's next token from the logits [R, V].

    Raises:
        FloatingPointError: the network does not compute numbers any more.
    """
    import torch

    best = logits.max(dim=-1)
    if bool(torch.isnan(best.values).any()):
        raise FloatingPointError(NOT_A_NUMBER)
    tokens: list[int] = best.indices.tolist()
    for place, row in enumerate(rows):
        if row.generator is not None:
            tokens[place] = draw(logits[place], row.sampling, row.generator)
    return tokens


def draw(logits: Any, sampling: Sampling, generator: Any) -> int:
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

"""The decoding loop: rows of token ids in, continuations with their times out.

It is not `generate()` because a row must stop at its own strings, be stamped when its own
tokens come, leave the batch when it is done, and because nothing but the sampling of the
request may shape the answer (a checkpoint's `generation_config` may hold penalties).

What a row's times hold: the feeding of its batch's prompts from where their group's shared beginning
ends, and the decoding until its own token.  The shared beginning is computed before the clock starts,
for the first batch as for all others.  A prompt that occurs several times in a batch is fed once and
is in the time of each of its rows; in another batch it is fed again.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pytest_llmbench.models.label_forms import LABEL_PICKED
from pytest_llmbench.models.transformers.batch import NOT_A_NUMBER, Batch, Halted, Kept, join
from pytest_llmbench.models.transformers.choice_scoring import score_choices
from pytest_llmbench.models.transformers.growing import Continuation, Growing, Row, TokenTexts
from pytest_llmbench.models.transformers.label_scoring import score_labels
from pytest_llmbench.models.transformers.prefixes import (
    WORTH_SHARING_TOKENS,
    Tokens,
    common_length,
    overlap,
    split_by_length,
)
from pytest_llmbench.values import Sampling

WARM_UP_TOKENS = 16

PASS_TOKENS = 48
"""What a pass costs beside its tokens, as a number of tokens: reading the weights, on a CPU."""

GPU_PASS_TOKENS = 4096
"""The same on a GPU, which computes many tokens in the time of starting a pass."""


class Decoder:
    """Continues rows with one network.

    Args:
        network: a causal language model of transformers, in eval mode.
        tokenizer: its tokenizer.
        eos: the ids that end a text.
        cache_argument: the name under which the network takes a cache (`batch.cache_argument`).
        is_sharing: compute a beginning that rows share once, and keep it for the rows to come.
            Needs plain attention over all that went before in every layer (`can_share`).
        clock: seconds from anywhere.
        timeout_s: how long a row may take, by the times it would be reported with.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        eos: frozenset[int],
        *,
        cache_argument: str,
        is_sharing: bool,
        clock: Callable[[], float] = time.perf_counter,
        timeout_s: float | None = None,
    ):
        self._network = network
        self._texts = TokenTexts(tokenizer)
        self._eos = eos
        self._cache_argument = cache_argument
        self._is_sharing = is_sharing
        self._clock = clock
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._kept = Kept()

    def forget(self) -> None:
        """Free the keys and values kept from earlier rows."""
        self._kept = Kept()

    def warm_up(self) -> None:
        """Make a first pass, which reads the weights into memory and is slower than all others."""
        batch = Batch(self._network, self._cache_argument, 1, Kept(), 0)
        batch.feed([[0] * WARM_UP_TOKENS])
        batch.feed([[0]])
        batch.wait()

    def shared_length(self, prompts: Sequence[Tokens]) -> int:
        """Count the tokens at the beginning of a group's prompts that are computed outside of all times.

        Of several prompts, what they have in common.  Of one alone, what it has in common with the one
        kept before it; the same prompt requested again is fed from where it was before, not from its end.
        """
        if not self._is_sharing:
            return 0
        different = set(prompts)
        (alone,) = different if len(different) == 1 else ((),)
        if not alone:
            shared = common_length(prompts)
        elif alone == self._kept.tokens:
            shared = self._kept.n_used
        else:
            shared = min(overlap(alone, self._kept.tokens), len(alone) - 1)
        return shared if shared >= WORTH_SHARING_TOKENS else 0

    def decode(
        self, rows: Sequence[Row], halt: threading.Event, *, n_shared: int
    ) -> Iterator[tuple[int, Continuation | None]]:
        """Continue a batch of rows; give each one's index and continuation as it is finished.

        Ends early, between two tokens, when `halt` is set, or when the time of the rows that are left is over:
        their continuation is None.

        Args:
            rows: all of one `kind`.
            halt: the run ends.
            n_shared: the tokens all rows of the group have in common (`shared_length`).
        """
        try:
            self._share(rows[0].tokens[:n_shared], halt)
            started = self._clock()
            batch = self._prefill([row.tokens for row in rows], n_shared, halt)
        except Halted:
            return
        scoring = self._clock()
        choices = [row.choices for row in rows if row.choices is not None]
        logprobs: Sequence[Mapping[str, float] | None]
        if choices:
            logprobs = score_choices(batch, choices, len(rows))
        else:
            logprobs = score_labels(batch, [row.labels for row in rows], len(rows))
        if rows[0].kind:
            elapsed_s = self._clock() - started
            is_late = elapsed_s > self._timeout_s
            for index in range(len(rows)):
                yield index, None if is_late else _chosen(logprobs[index] or {}, elapsed_s)
            return
        # Beside a generated answer the labels are an observation, and in no time.
        started += self._clock() - scoring
        growing = [Growing(index, row, self._texts, self._eos) for index, row in enumerate(rows)]
        while not halt.is_set():
            tokens = _choose(batch.logits, growing)
            elapsed_s = self._clock() - started
            if elapsed_s > self._timeout_s:
                yield from ((row.index, None) for row in growing)
                return
            for row, token in zip(growing, tokens, strict=True):
                row.take(token, elapsed_s)
            for row in growing:
                if row.finish_reason is not None:
                    given = self._clock()
                    yield row.index, row.continuation(elapsed_s, logprobs[row.index])
                    # What is done with an answer is in no other row's time.
                    started += self._clock() - given
            left = [place for place, row in enumerate(growing) if row.finish_reason is None]
            if not left:
                return
            if len(left) < len(growing):
                batch.keep(left)
                growing = [growing[place] for place in left]
            batch.feed([[row.tokens[-1]] for row in growing])

    def _share(self, beginning: Tokens, halt: threading.Event) -> None:
        """Keep the keys and values of a beginning, if they are not kept yet."""
        reused = overlap(beginning, self._kept.tokens)
        if reused < len(beginning):
            alone = Batch(self._network, self._cache_argument, 1, self._kept, reused)
            alone.feed_in_pieces([beginning[reused:]], halt)
            alone.wait()
            self._kept = Kept(tokens=beginning, layers=alone.layers())
        self._kept.n_used = len(beginning)

    def _prefill(self, prompts: Sequence[Tokens], n_shared: int, halt: threading.Event) -> Batch:
        """Feed the prompts after their shared beginning, equal ones once."""
        different = list(dict.fromkeys(prompts))
        rests = [prompt[n_shared:] for prompt in different]
        parts: Sequence[Sequence[int]] = [range(len(rests))]
        if self._is_sharing:
            is_on_cpu = self._network.device.type == "cpu"
            parts = split_by_length([len(rest) for rest in rests], PASS_TOKENS if is_on_cpu else GPU_PASS_TOKENS)
        batches = []
        for part in parts:
            batches.append(Batch(self._network, self._cache_argument, len(part), self._kept, n_shared))
            batches[-1].feed_in_pieces([rests[place] for place in part], halt)
        batch = join(batches, parts)
        if self._is_sharing and len(different) == 1 and not n_shared:
            # What the prompts to come share with this one is not known yet.
            self._kept = Kept(tokens=different[0], layers=batch.layers())
        if len(different) < len(prompts):
            batch.keep([different.index(prompt) for prompt in prompts])
        return batch


def _chosen(logprobs: Mapping[str, float], elapsed_s: float) -> Continuation:
    """Answer with the likeliest label, the first of those that are equally likely."""
    return Continuation(
        text=max(logprobs, key=lambda label: logprobs[label]),
        n_tokens=0,
        finish_reason=LABEL_PICKED,
        ttft_s=None,
        latency_s=elapsed_s,
        label_logprobs=logprobs,
    )


def _choose(logits: Any, rows: Sequence[Growing]) -> list[int]:
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

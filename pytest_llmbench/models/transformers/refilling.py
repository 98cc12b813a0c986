"""The decoding loop in which a waiting row takes the place of one that is done.

Every pass must read all weights, so what counts is that all places are taken in every pass.  A prompt is fed in the
same passes in which other rows grow.  Where few rows are left at the end, passes have room for more tokens than rows:
a row that repeats itself is fed what followed the same three tokens before, too, and keeps of it what it would have
chosen anyway, token by token, so its answer is the same.

What a row's times hold: all from the moment it enters, when its prompt, from where the shared beginning ends, is about
to be fed.  Tokens that one pass gives together have the same time.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_llmbench.models.transformers.batch import NOT_A_NUMBER, PREFILL_TOKENS, Halted, Kept
from pytest_llmbench.models.transformers.decoding import Decoder, Finished, Waiting, chosen, draw, scored
from pytest_llmbench.models.transformers.drafts import Drafts
from pytest_llmbench.models.transformers.growing import Growing, Row
from pytest_llmbench.models.transformers.prefixes import Tokens
from pytest_llmbench.models.transformers.ragged import RaggedBatch

PASS_TOKENS = 128
"""Guesses are fed in passes of no more tokens."""


@dataclass(slots=True, kw_only=True)
class _Flying:
    """A row in flight.

    Attributes:
        number: the one it came with.
        row: the row.
        growing: what has followed its prompt.
        drafts: guesses of what will; None where none are made.
        started_s: when it entered.
        pending: the tokens of its prompt that are not fed yet.
        twins: rows with the same prompt, which enter with it and begin when it is fed.
        most: most rows in flight while it was.
        logprobs: of its labels.
    """

    number: int
    row: Row
    growing: Growing
    drafts: Drafts | None
    started_s: float
    pending: Tokens
    twins: list["_Flying"] = field(default_factory=list)
    most: int = 0
    logprobs: Mapping[str, float] | None = None

    def guess(self, limit: int) -> Tokens:
        """Guess what it will choose after its last token, never so much that more than `max_tokens` are chosen."""
        limit = min(limit, self.row.max_tokens - len(self.growing.tokens) - 1)
        return () if self.drafts is None else self.drafts.guess(self.growing.tokens, limit)

    def finished(self, elapsed_s: float, *, is_late: bool) -> Finished:
        """Say what became of it."""
        if is_late:
            continuation = None
        elif self.row.kind:
            continuation = chosen(self.logprobs or {}, elapsed_s)
        else:
            continuation = self.growing.continuation(elapsed_s, self.logprobs)
        return Finished(number=self.number, continuation=continuation, concurrency=self.most)


class RefillingDecoder(Decoder):
    """Continues rows with a network that is `ready_for_ragged`."""

    def decode(self, waiting: Waiting, size: int, halt: threading.Event, *, n_shared: int) -> Iterator[Finished]:
        """Continue all waiting rows, at most `size` at once, and take off each as it is begun; see `Decoder.decode`."""
        # What the prompts to come share with one that stands alone is not known yet, so it is kept whole.
        keeps_first = self._is_sharing and not n_shared and len({row.tokens for _, row in waiting}) == 1
        try:
            kept = self._share(waiting[0][1].tokens[:n_shared], halt)
        except Halted:
            return
        batch = RaggedBatch(self._network, self._cache_argument, min(size, len(waiting)))
        # A row that is answered alone has the times of tokens one by one.
        may_guess = min(size, len(waiting)) > 1
        flight = _Flight(batch)
        away_s = 0.0  # what is done with answers, and the observation of labels, is in no row's time
        while not halt.is_set():
            now_s = self._clock() - away_s
            entering = [waiting.popleft() for _ in range(min(size - flight.n_rows, len(waiting)))]
            flight.enter([self._flying(pair, n_shared, now_s, may_guess) for pair in entering], kept, n_shared)
            if not flight.rows:
                return
            fed, logits = flight.feed()
            if keeps_first and not flight.rows[0].pending:
                keeps_first = False
                self._beginnings.keep(Kept(tokens=flight.rows[0].row.tokens, layers=batch.layers(0)))
            scoring = self._clock()
            logits = flight.begin(fed, logits, size)
            if not flight.rows[0].row.kind:
                away_s += self._clock() - scoring
            now_s = self._clock() - away_s
            flight.choose(fed, logits, now_s)
            for done in flight.leaving(now_s, self._timeout_s):
                given = self._clock()
                yield done
                away_s += self._clock() - given

    def _flying(self, pair: tuple[int, Row], n_shared: int, now_s: float, may_guess: bool) -> _Flying:
        number, row = pair
        return _Flying(
            number=number,
            row=row,
            growing=Growing(number, row, self._texts, self._eos),
            drafts=Drafts(row.tokens) if may_guess else None,
            started_s=now_s,
            pending=row.tokens[n_shared:],
        )


class _Flight:
    """The rows in flight, in the order of their places in a batch.

    Args:
        batch: without rows.
    """

    def __init__(self, batch: RaggedBatch):
        self.rows: list[_Flying] = []
        self._batch = batch

    @property
    def n_rows(self) -> int:
        """How many there are, twins included."""
        return sum(1 + len(row.twins) for row in self.rows)

    def enter(self, entering: Sequence[_Flying], kept: Kept, n_kept: int) -> None:
        """Let rows enter whose prompts begin with what is kept."""
        first: dict[Tokens, _Flying] = {}
        for flying in entering:
            if flying.row.tokens in first:
                first[flying.row.tokens].twins.append(flying)
            else:
                first[flying.row.tokens] = flying
        # Rows of similar length side by side: their attention is computed together.
        self.rows += sorted(first.values(), key=lambda flying: len(flying.pending))
        self._batch.add(len(first), kept, n_kept)
        n_rows = self.n_rows
        for flying in (*self.rows, *(twin for row in self.rows for twin in row.twins)):
            flying.most = max(flying.most, n_rows)

    def feed(self) -> tuple[list[Tokens], Any]:
        """Make a pass; give what each row was fed, and the logits [tokens, V].

        Logits are those after every token of a row that grows, and after the last one of a prompt.
        """
        room = PREFILL_TOKENS
        free = PASS_TOKENS - self.n_rows
        fed: list[Tokens] = []
        wanted: list[int] = []
        for flying in self.rows:
            if flying.pending:
                fed.append(flying.pending[:room])
                room -= len(fed[-1])
                flying.pending = flying.pending[len(fed[-1]) :]
                wanted.append(int(not flying.pending))
            else:
                draft = flying.guess(free)
                free -= len(draft)
                fed.append((flying.growing.tokens[-1], *draft))
                wanted.append(len(fed[-1]))
        return fed, self._batch.feed(fed, wanted)

    def begin(self, fed: list[Tokens], logits: Any, size: int) -> Any:
        """Score the labels of rows whose prompts were just fed, and put their twins beside them.

        Gives the logits with those of the twins; `fed` grows by as many.
        """
        begun = [place for place, flying in enumerate(self.rows) if not (flying.pending or flying.growing.tokens)]
        if not begun:
            return logits
        firsts = _firsts(self.rows, fed)
        view = _Begun(self._batch, begun, logits[[firsts[place] for place in begun]])
        scores = scored(view, [self.rows[place].row for place in begun], size)
        more: list[int] = []
        for place, logprobs in zip(begun, scores, strict=True):
            flying = self.rows[place]
            for twin in (flying, *flying.twins):
                twin.logprobs = logprobs
                twin.pending = ()
            self.rows += flying.twins
            more += [place] * len(flying.twins)
            flying.twins = []
        if not more:
            return logits
        import torch

        self._batch.repeat(more)
        fed += [fed[place] for place in more]
        return torch.cat([logits, logits[[firsts[place] for place in more]]])

    def choose(self, fed: Sequence[Tokens], logits: Any, now_s: float) -> None:
        """Let each row choose its next tokens from the logits, as far as it was fed what it chose.

        Raises:
            FloatingPointError: the network does not compute numbers any more.
        """
        import torch

        if self.rows[0].row.kind:
            return
        best = logits.max(dim=-1)
        if bool(torch.isnan(best.values).any()):
            raise FloatingPointError(NOT_A_NUMBER)
        likeliest: list[int] = best.indices.tolist()
        firsts = _firsts(self.rows, fed)
        for place, (flying, first) in enumerate(zip(self.rows, firsts, strict=True)):
            if flying.pending:
                continue
            growing = flying.growing
            draft = fed[place][1:] if growing.tokens else ()
            for step in range(len(draft) + 1):
                token = likeliest[first + step]
                if growing.generator is not None:
                    token = draw(logits[first + step], growing.sampling, growing.generator)
                growing.take(token, now_s - flying.started_s)
                if growing.finish_reason is not None or step == len(draft) or draft[step] != token:
                    self._batch.lengths[place] -= len(draft) - step
                    if flying.drafts is not None:
                        flying.drafts.learn(len(draft), step)
                    break

    def leaving(self, now_s: float, timeout_s: float) -> list[Finished]:
        """Take off the rows that are done, or whose time is over."""
        done: list[Finished] = []
        for place in reversed(range(len(self.rows))):
            flying = self.rows[place]
            elapsed_s = now_s - flying.started_s
            is_done = flying.growing.finish_reason is not None or (flying.row.kind and not flying.pending)
            if not is_done and elapsed_s <= timeout_s:
                continue
            for one in (flying, *flying.twins):
                done.append(one.finished(elapsed_s, is_late=elapsed_s > timeout_s))
            self._batch.drop(place)
            self.rows[place] = self.rows[-1]
            self.rows.pop()
        return done[::-1]


@dataclass(frozen=True, slots=True)
class _Begun:
    """Some rows of a batch as `scored` takes them: the logits [R, V] after their prompts."""

    batch: RaggedBatch
    places: Sequence[int]
    logits: Any

    def look_ahead(self, places: Sequence[int], ids: Sequence[Sequence[int]]) -> Any:
        """See `RaggedBatch.look_ahead`."""
        return self.batch.look_ahead([self.places[place] for place in places], ids)


def _firsts(rows: Sequence[_Flying], fed: Sequence[Tokens]) -> list[int]:
    """Find where each row's logits begin among those of a pass."""
    firsts, next_one = [], 0
    for flying, tokens in zip(rows, fed, strict=True):
        firsts.append(next_one)
        if not flying.pending:
            next_one += len(tokens) if flying.growing.tokens else 1
    return firsts

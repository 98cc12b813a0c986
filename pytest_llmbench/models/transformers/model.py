"""A loaded local model: requests in, answers or errors out, in batches of rows."""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models.base import STOPPED, Identity, Opened
from pytest_llmbench.models.reasoning import Setting, marks_of
from pytest_llmbench.models.transformers.choice_scoring import choice_tokens
from pytest_llmbench.models.transformers.decoding import UNLIMITED, Decoder, Loaded, Timing, Waiting
from pytest_llmbench.models.transformers.growing import Row
from pytest_llmbench.models.transformers.label_scoring import LabelTokens, label_tokens
from pytest_llmbench.models.transformers.libraries import Broken, attempt, quiet_libraries
from pytest_llmbench.models.transformers.prefixes import Tokens, fill_batches, group_by_beginning
from pytest_llmbench.models.transformers.refilling import RefillingDecoder
from pytest_llmbench.values import Answer, AnswerError, Arrived, Prompt, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why rows that were begun got no answer."""

    left: list[tuple[int, Row]]
    broken: Broken


class TransformersModel(Opened):
    """A loaded model that answers at most `concurrency` rows at once.

    Args:
        loaded: the network and its tokenizer.
        identity: what it is.
        concurrency: most rows at once.
        on_close: called once when the model is closed.
        timing: of answers, and the limit for one request.
        reasoning: what marks reasoning in its texts.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        identity: Identity,
        concurrency: int,
        on_close: Callable[[], None] = lambda: None,
        timing: Timing = UNLIMITED,
        reasoning: Setting = "auto",
    ):
        self._marks = marks_of(reasoning)
        self.identity = identity
        self.concurrency = concurrency
        self._loaded: Loaded | None = loaded
        self._is_sharing = loaded.is_sharing
        self._is_refilling = loaded.is_ragged
        self._label_tokens: dict[tuple[str, ...], LabelTokens | Broken] = {}
        self._on_close = on_close
        self._timeout_s = timing.timeout_s
        ends = _end_tokens(loaded.network, loaded.tokenizer)
        self._decoder = (RefillingDecoder if loaded.is_ragged else Decoder)(loaded, ends, timing)
        config = loaded.network.config.get_text_config()
        self._context: int | None = getattr(config, "max_position_embeddings", None)

    def answer(
        self, requests: Sequence[Request], *, arrived: Arrived | None = None, halt: threading.Event | None = None
    ) -> tuple[Answer | AnswerError, ...]:
        """Answer all requests, in the order given; see `Model.answer`.

        Raises:
            ModelFault: the model is closed.
        """
        if self._loaded is None:
            raise ModelFault(f'The model "{self.identity.model}" is closed; open it again.')
        halt = halt or threading.Event()
        answers: dict[int, Answer | AnswerError] = {}

        def deliver(index: int, answer: Answer | AnswerError) -> None:
            answers[index] = answer
            if arrived is not None:
                arrived(index, answer)

        with quiet_libraries():
            rows: dict[int, Row] = {}
            tokens: dict[Prompt, Tokens | Broken] = {}
            for index, request in enumerate(requests):
                if halt.is_set():
                    break
                row = self._row(request, self._loaded.tokenizer, tokens)
                if isinstance(row, AnswerError):
                    deliver(index, row)
                else:
                    rows[index] = row
            size = self.concurrency
            for group in self._groups(rows):
                prompts = [rows[index].tokens for index in group]
                n_shared = self._decoder.shared_length(prompts)
                # Rows that take the places of others need not be put together by length.
                batches = (range(len(group)),) if self._is_refilling else fill_batches(prompts, self.concurrency)
                for batch in batches:
                    numbered = [(group[place], rows[group[place]]) for place in sorted(batch)]
                    size = self._answer_rows(numbered, size, n_shared, deliver, halt)
        return tuple(
            answers.get(index, AnswerError(cause=STOPPED, attempts=int(index in rows)))
            for index in range(len(requests))
        )

    def answer_alone(self, request: Request) -> Answer | AnswerError:
        """Answer one request with nothing kept from earlier ones.

        Raises:
            ModelFault: the model is closed.
        """
        if self._loaded is not None:
            self._decoder.forget()
        return self.answer([request])[0]

    def forget(self) -> None:
        """Free the keys and values kept from earlier answers."""
        self._decoder.forget()

    def warm_up(self) -> None:
        """Make a first pass that is in no answer's time."""
        self._decoder.warm_up()

    def close(self) -> None:
        """Free the network; safe to call twice."""
        if self._loaded is None:
            return
        self._loaded = None
        del self._decoder
        _return_gpu_memory()
        self._on_close()

    def _groups(self, rows: Mapping[int, Row]) -> list[list[int]]:
        """Divide rows into groups that share a beginning, in the order of their first rows.

        Rows whose labels or choices are scored generate nothing and are groups of their own.
        """
        groups: dict[tuple[int, int], list[int]] = {}
        for kind in sorted({row.kind for row in rows.values()}):
            chosen = [index for index, row in rows.items() if row.kind == kind]
            prompts = [rows[index].tokens for index in chosen]
            sharing = group_by_beginning(prompts) if self._is_sharing else (tuple(prompts),)
            number = {prompt: place for place, group in enumerate(sharing) for prompt in group}
            for index in chosen:
                groups.setdefault((kind, number[rows[index].tokens]), []).append(index)
        return sorted(groups.values(), key=lambda group: group[0])

    def _row(self, request: Request, tokenizer: Any, known: dict[Prompt, Tokens | Broken]) -> Row | AnswerError:
        """Convert a request to tokens; `known` has those of prompts met before, such as of other samples."""
        if request.delimiter is not None:
            return self._row_of_choices(request, request.delimiter, tokenizer)
        if request.prompt not in known:
            known[request.prompt] = attempt(lambda: tokens_of(request.prompt, tokenizer))
        tokens = known[request.prompt]
        if isinstance(tokens, Broken):
            return AnswerError(cause=f"The prompt cannot be converted to tokens: {tokens.message}")
        if not tokens:
            return AnswerError(cause="The prompt is empty: it has no tokens.")
        labels = self._tokens_of_labels(request, tokenizer)
        if isinstance(labels, Broken):
            return AnswerError(cause=f"The labels cannot be scored: {labels.message}")
        max_tokens = request.sampling.most_tokens
        n_needed = len(tokens) + (labels.longest - 1 if labels is not None else 0)
        if self._context is not None:
            if n_needed > self._context and not request.picks_label:
                labels, n_needed = None, len(tokens)
            if n_needed > self._context:
                choosing = " with its labels" if request.picks_label else ""
                return AnswerError(cause=_too_long(n_needed, self._context, choosing))
            # The last token is chosen, never fed.
            max_tokens = min(max_tokens, self._context - len(tokens) + 1)
        return Row(
            tokens=tokens,
            max_tokens=max_tokens,
            sampling=request.sampling,
            seed=_seed(request),
            labels=labels,
            picks_label=request.picks_label,
            marks=self._marks,
        )

    def _row_of_choices(self, request: Request, delimiter: str, tokenizer: Any) -> Row | AnswerError:
        """Convert a request whose choices are compared."""
        choices = attempt(lambda: choice_tokens(*_text_of(request.prompt, tokenizer), request.labels, delimiter))
        if isinstance(choices, Broken):
            return AnswerError(cause=f"The choices cannot be scored: {choices.message}")
        n_needed = len(choices.prompt) + choices.longest - 1
        if self._context is not None and n_needed > self._context:
            return AnswerError(cause=_too_long(n_needed, self._context, " with its choices"))
        return Row(
            tokens=choices.prompt,
            max_tokens=0,
            sampling=request.sampling,
            seed=_seed(request),
            picks_label=True,
            choices=choices,
            marks=self._marks,
        )

    def _tokens_of_labels(self, request: Request, tokenizer: Any) -> LabelTokens | Broken | None:
        """Convert a request's labels to tokens, if it has any; where they are only observed, a fault is ignored."""
        if not request.labels:
            return Broken(message="there are none", is_out_of_memory=False) if request.picks_label else None
        if request.labels not in self._label_tokens:
            self._label_tokens[request.labels] = attempt(lambda: label_tokens(request.labels, tokenizer))
        labels = self._label_tokens[request.labels]
        return None if isinstance(labels, Broken) and not request.picks_label else labels

    def _answer_rows(
        self,
        rows: list[tuple[int, Row]],
        size: int,
        n_shared: int,
        deliver: Callable[[int, Answer | AnswerError], None],
        halt: threading.Event,
    ) -> int:
        """Answer rows, at most `size` at once; halve it as often as memory does not suffice.

        Gives the size for the rows to come: what memory did not hold is not tried again.
        """
        waiting = Waiting(rows)
        while waiting and not halt.is_set():
            failure = self._decode(waiting, size, n_shared, deliver, halt)
            if failure is None:
                continue
            self._decoder.forget()
            _return_gpu_memory()
            half = (len(failure.left) + 1) // 2
            if failure.broken.is_out_of_memory and half < len(failure.left):
                size = half
                waiting.extendleft(reversed(failure.left))
                continue
            for index, _ in failure.left:
                deliver(index, AnswerError(cause=failure.broken.message, concurrency=len(failure.left)))
        return size

    def _decode(
        self,
        waiting: Waiting,
        size: int,
        n_shared: int,
        deliver: Callable[[int, Answer | AnswerError], None],
        halt: threading.Event,
    ) -> _Failure | None:
        """Answer the rows that the decoder takes off the waiting ones; give those it failed at."""
        left = dict(waiting)
        finished = self._decoder.decode(waiting, size, halt, n_shared=n_shared)
        while True:
            done = attempt(lambda: next(finished, None))
            if isinstance(done, Broken):
                not_begun = {index for index, _ in waiting}
                return _Failure(left=[pair for pair in left.items() if pair[0] not in not_begun], broken=done)
            if done is None:
                return None
            row, continuation = left.pop(done.number), done.continuation
            if continuation is None:
                cause = f"no complete answer within {self._timeout_s:g} s; raise --llm-timeout"
                deliver(done.number, AnswerError(cause=cause, concurrency=done.concurrency))
                continue
            answer = Answer(
                text=continuation.text,
                finish_reason=continuation.finish_reason,
                input_tokens=len(row.tokens),
                output_tokens=continuation.n_tokens,
                latency_s=continuation.latency_s,
                ttft_s=continuation.ttft_s,
                ttfa_s=continuation.ttfa_s,
                reasoning_tokens=continuation.reasoning_tokens,
                concurrency=done.concurrency,
                label_logprobs=continuation.label_logprobs,
            )
            deliver(done.number, answer)


def _return_gpu_memory() -> None:
    """Return what torch keeps for later back to the GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: the checkpoint may list several, and the tokenizer have its own."""
    listed = getattr(network.generation_config, "eos_token_id", None)
    several = listed if isinstance(listed, (list, tuple)) else [listed]
    return frozenset(token for token in (*several, tokenizer.eos_token_id) if token is not None)


def _too_long(n_needed: int, context: int, choosing: str) -> str:
    return (
        f"The prompt{choosing} has {n_needed} tokens and the model's context only {context}; "
        "shorten the case, or take a model with a longer context."
    )


def tokens_of(prompt: Prompt, tokenizer: Any) -> Tokens:
    """Convert a prompt to tokens, as it is fed to the network."""
    text, tokenize = _text_of(prompt, tokenizer)
    return tokenize(text)


def _text_of(prompt: Prompt, tokenizer: Any) -> tuple[str, Callable[[str], Tokens]]:
    """Give a prompt as one text, and what converts a text that begins with it to tokens."""
    if prompt.text is not None:
        return prompt.text, lambda text: tuple(tokenizer(text)["input_ids"])
    messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # The template writes the beginning-of-text token itself where the model wants one.
    return text, lambda whole: tuple(tokenizer(whole, add_special_tokens=False)["input_ids"])


def _seed(request: Request) -> int:
    """Make a seed of this sample alone, so that its answer depends on nothing else in the batch."""
    key = json.dumps([request.sampling.seed, request.suite, request.case, request.sample])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])

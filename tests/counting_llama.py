"""A random Llama whose clock is the number of tokens it was fed, and requests to it."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pytest_llmbench.models.base import Identity
from pytest_llmbench.models.transformers.batch import CACHE_ARGUMENTS
from pytest_llmbench.models.transformers.decoding import Loaded, Timing
from pytest_llmbench.models.transformers.model import TransformersModel
from pytest_llmbench.models.transformers.ragged import RAGGED
from pytest_llmbench.values import Answer, AnswerError, Prompt, Request, Sampling

LLAMA_TAKES = inspect.signature(transformers.LlamaForCausalLM.forward).parameters
CACHE_ARGUMENT = next(name for name in CACHE_ARGUMENTS if name in LLAMA_TAKES)
HEADLINES = "You will not believe it: yes\nThe senate votes on water: no\n"
QUERIES = "SELECT all of the events of a week, and no others, as one number -- "
WORDS = ("Nine cats:", "Rain is expected in the north:", "Zebras!", "A", "Why?", "Grüße, wörld", "Ten cats:")


class Counting(transformers.LlamaForCausalLM):
    """A network whose clock is the number of tokens it was fed, padding included."""

    def __init__(self, config: Any):
        super().__init__(config)
        self.fed: list[tuple[int, int]] = []
        self.most_rows = 100
        self.most_tokens = 10_000
        self.refused: list[int] = []

    def forward(  # named, because the loop gives a network only what its forward names
        self,
        input_ids: Any,
        position_ids: Any = None,
        logits_to_keep: int = 0,
        **rest: Any,
    ) -> Any:
        if len(input_ids) > self.most_rows or input_ids.shape[1] > self.most_tokens:
            self.refused.append(len(input_ids))
            raise torch.OutOfMemoryError("no memory left")
        self.fed.append(tuple(input_ids.shape))
        return super().forward(input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **rest)

    def clock(self) -> float:
        return float(sum(rows * tokens for rows, tokens in self.fed))


def make_tokenizer() -> Any:
    """Make every byte a token."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", "<pad>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def make_network(*, spread: float = 0.3) -> Counting:
    """Make a random Llama of three layers; one of little spread repeats itself."""
    torch.set_num_threads(1)  # threads cost more than such a network
    torch.manual_seed(11)
    config = transformers.LlamaConfig(
        vocab_size=259,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=400,
        initializer_range=spread,
        eos_token_id=1,
    )
    made = Counting(config).eval()
    made.generation_config.eos_token_id = 1
    with torch.no_grad():  # only printable letters are said
        tokenizer = make_tokenizer()
        silent = [place for token, place in tokenizer.get_vocab().items() if len(token) != 1 or not token.isascii()]
        made.lm_head.weight[silent] = 0
    return made


def opened(
    network: Counting, rows: int, *, is_sharing: bool = True, timeout_s: float | None = None
) -> TransformersModel:
    network.fed.clear()
    network.refused.clear()
    network.most_rows = 100
    network.most_tokens = 10_000
    return TransformersModel(
        Loaded(
            network=network,
            tokenizer=make_tokenizer(),
            cache_argument=CACHE_ARGUMENT,
            is_sharing=is_sharing,
            is_ragged=network.config._attn_implementation == RAGGED,
        ),
        identity=Identity(provider="transformers", model="double"),
        concurrency=rows,
        timing=Timing(clock=network.clock, timeout_s=timeout_s),
    )


def asked(text: str, sample: int = 0, **sampling: Any) -> Request:
    options = Sampling(**({"max_tokens": 8} | sampling))
    return Request(suite="s", case=text, sample=sample, prompt=Prompt(text=text), sampling=options)


def generated(network: Any, tokenizer: Any, text: str, max_tokens: int = 8) -> str:
    """Let transformers' own generate() answer greedily, one prompt alone."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    whole = network.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens, pad_token_id=2
    )[0]
    said: str = tokenizer.decode(whole[ids.shape[1] :], skip_special_tokens=True)
    return said


def whole(answers: Sequence[Answer | AnswerError]) -> list[Answer]:
    assert [answer for answer in answers if isinstance(answer, AnswerError)] == []
    return [answer for answer in answers if isinstance(answer, Answer)]


def two_suites() -> list[Request]:
    """Ask two suites in turns, with two samples of one case, and one prompt that is like no other."""
    texts = [beginning + word for word in WORDS for beginning in (HEADLINES, QUERIES)]
    return [*(asked(text) for text in texts), asked(HEADLINES + WORDS[0], sample=1), asked("unlike all others")]

"""The contract of a local model, on a tiny one with random weights whose every byte is a token."""

import hashlib
import importlib.util
import inspect
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers.utils import logging

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import STOPPED, Identity, OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.batch import CACHE_ARGUMENTS
from pytest_llmbench.models.transformers.decoding import Loaded
from pytest_llmbench.models.transformers.files import LocalFiles, weights_digest
from pytest_llmbench.models.transformers.model import TransformersModel
from pytest_llmbench.models.transformers.provider import PROVIDER
from pytest_llmbench.values import Answer, AnswerError, Message, Prompt, PromptStyle, Request, Sampling

LLAMA_TAKES = inspect.signature(transformers.LlamaForCausalLM.forward).parameters
CACHE_ARGUMENT = next(name for name in CACHE_ARGUMENTS if name in LLAMA_TAKES)
CONTEXT = 160
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('no system messages here') }}{% endif %}"
    "{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
SHOTS = "You will not believe it: yes\nThe senate votes on water: no\n"
PROMPTS = (
    SHOTS + "Nine cats who know:",
    "A",
    SHOTS + "Rain is expected in the north of the country:",
    "The quick brown fox",
    SHOTS + "Zebras!",
    "Grüße, wörld",
)


def make_tokenizer(*, with_template: bool) -> Any:
    """Make every byte a token, with <s> put before a text."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", "<pad>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    if with_template:
        wrapped.chat_template = TEMPLATE
    return wrapped


def make_spaced_tokenizer() -> Any:
    """Make every word a token that has the space before it, as SentencePiece does."""
    vocabulary = {token: place for place, token in enumerate(["<s>", "</s>", "<pad>"])}
    vocabulary |= {f"▁{place}": place for place in range(3, 259)}
    tokenizer = Tokenizer(models.WordLevel(vocab=vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def make_folder(folder: Path, *, with_template: bool = True, context: int = CONTEXT, **generation: Any) -> Path:
    """Save a tiny Llama that says printable ASCII, with `generation` as its generation_config."""
    torch.manual_seed(7)
    config = transformers.LlamaConfig(
        vocab_size=259,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=1,
    )
    tokenizer = make_tokenizer(with_template=with_template)
    network = transformers.LlamaForCausalLM(config)
    printable = [place for token, place in tokenizer.get_vocab().items() if len(token) == 1 and token.isascii()]
    silent = [place for place in range(259) if place not in printable]
    with torch.no_grad():
        network.lm_head.weight[silent] = 0
    for name, value in generation.items():
        setattr(network.generation_config, name, value)
    logging.disable_progress_bar()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("tiny"))


def entry(model: Path | str, **keys: Any) -> TransformersEntry:
    return TransformersEntry.model_validate({"provider": "transformers", "model": str(model), "threads": 1} | keys)


def opened(model: Path | str, tmp_path: Path, **keys: Any) -> TransformersModel:
    return PROVIDER.open(entry(model, **keys), OpenSettings(cache_dir=tmp_path / "cache"))


def asked(text: str, case: str = "c", sample: int = 0, **sampling: Any) -> Request:
    options = Sampling(**({"max_tokens": 12} | sampling))
    return Request(suite="s", case=case, sample=sample, prompt=Prompt(text=text), sampling=options)


def chatted(*messages: tuple[str, str]) -> Request:
    prompt = Prompt(messages=tuple(Message(role=role, content=content) for role, content in messages))
    return Request(suite="s", case="c", sample=0, prompt=prompt, sampling=Sampling(max_tokens=12))


def answered(model: TransformersModel, requests: Sequence[Request]) -> list[Answer]:
    answers = model.answer(requests)
    assert [answer for answer in answers if isinstance(answer, AnswerError)] == []
    return [answer for answer in answers if isinstance(answer, Answer)]


def texts(model: TransformersModel, requests: Sequence[Request]) -> list[str]:
    return [answer.text for answer in answered(model, requests)]


def generated(folder: Path, text: str, max_tokens: int = 12, **how: Any) -> tuple[str, int]:
    """Let transformers' own generate() answer greedily: the text, and the number of tokens."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt", **how)["input_ids"]
    whole = network.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens, pad_token_id=2
    )[0]
    new = whole[ids.shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True), len(new)


# peft 0.21 still asks transformers 5.23 for the old name.
peft_asks_for_an_old_name = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Observed(transformers.LlamaForCausalLM):
    """The tiny network, with a look at every pass before it is made."""

    n_passes = 0
    halt = threading.Event()

    def look(self, input_ids: torch.Tensor) -> None: ...

    def forward(  # named, because the loop gives a network only what its forward names
        self,
        input_ids: Any,
        position_ids: Any = None,
        logits_to_keep: int = 0,
        **rest: Any,
    ) -> Any:
        self.n_passes += 1
        self.look(input_ids)
        return super().forward(input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **rest)


class RoomForTwo(Observed):
    """A device whose memory holds two rows."""

    def look(self, input_ids: torch.Tensor) -> None:
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("no memory left")


class RoomForNone(Observed):
    def look(self, input_ids: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("no memory left")


class BreaksAtZ(Observed):
    def look(self, input_ids: torch.Tensor) -> None:
        if (input_ids == make_tokenizer(with_template=False).convert_tokens_to_ids("Z")).any():
            raise RuntimeError("a Z\n  in the machine")


class HaltsAtFourth(Observed):
    def look(self, input_ids: torch.Tensor) -> None:
        if self.n_passes == 4:
            self.halt.set()


class HaltsAtFirst(Observed):
    def look(self, input_ids: torch.Tensor) -> None:
        self.halt.set()


def observed(kind: type[Observed], folder: Path, *, concurrency: int) -> tuple[TransformersModel, Observed]:
    network = kind.from_pretrained(folder, dtype=torch.float32).eval()
    network.halt = threading.Event()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = TransformersModel(
        Loaded(network=network, tokenizer=tokenizer, cache_argument=CACHE_ARGUMENT),
        identity=Identity(provider="transformers", model="double"),
        concurrency=concurrency,
    )
    return model, network


@pytest.mark.parametrize("concurrency", [1, 2, 4, 6])
@pytest.mark.parametrize("prefix_cache", [True, False])
def test_greedy_is_generate(folder: Path, tmp_path: Path, concurrency: int, prefix_cache: bool) -> None:
    """Greedy answers are those of transformers' generate(), whatever the batch and the kept beginning."""
    model = opened(folder, tmp_path, concurrency=concurrency, prefix_cache=prefix_cache)

    answers = answered(model, [asked(text) for text in PROMPTS])

    assert [(answer.text, answer.output_tokens) for answer in answers] == [generated(folder, text) for text in PROMPTS]


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
def test_a_model_that_is_placed_by_a_map_answers_the_same(
    folder: Path, tmp_path: Path, device_map: str | dict[str, str]
) -> None:
    """Where its parts go is told to transformers, and changes no answer."""
    model = opened(folder, tmp_path, concurrency=3, device_map=device_map)

    answers = answered(model, [asked(text) for text in PROMPTS])

    assert [(answer.text, answer.output_tokens) for answer in answers] == [generated(folder, text) for text in PROMPTS]


def test_beginning_shared_in_a_batch(folder: Path, tmp_path: Path) -> None:
    """Rows of unequal length that share their beginning are answered as by generate()."""
    model = opened(folder, tmp_path, concurrency=3)
    prompts = [PROMPTS[0], PROMPTS[2], PROMPTS[4], SHOTS + "?", SHOTS + "Who knows:", SHOTS]

    answers = answered(model, [asked(text) for text in prompts])

    assert [(answer.text, answer.output_tokens) for answer in answers] == [generated(folder, text) for text in prompts]


def test_kept_beginning_changes_nothing(folder: Path, tmp_path: Path) -> None:
    """What is kept from earlier calls changes no answer, also where it is cut back or the prompt is the same."""
    model, plain = opened(folder, tmp_path), opened(folder, tmp_path, prefix_cache=False)
    prompts = [PROMPTS[0], PROMPTS[2], PROMPTS[1], PROMPTS[2], PROMPTS[2], SHOTS, PROMPTS[4]]

    kept = [texts(model, [asked(text)]) for text in prompts]

    assert kept == [texts(plain, [asked(text)]) for text in prompts]
    assert (model.identity.settings["prefix_cache"], plain.identity.settings["prefix_cache"]) == (True, False)


def test_kept_beginning_is_not_fed_again(folder: Path) -> None:
    """A shared beginning is fed once, and then only the rests of the prompts, those of similar length together."""
    fed: list[int] = []

    class Counts(Observed):
        def look(self, input_ids: torch.Tensor) -> None:
            fed.append(input_ids.shape[1])

    network = Counts.from_pretrained(folder, dtype=torch.float32).eval()
    loaded = Loaded(
        network=network,
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
        cache_argument=CACHE_ARGUMENT,
        is_sharing=True,
    )
    identity = Identity(provider="transformers", model="double")
    model = TransformersModel(loaded, identity=identity, concurrency=2)

    model.answer([asked(SHOTS + rest, max_tokens=1) for rest in ("One:", "Three:", "Four:", "Two:")])

    assert fed == [1 + len(SHOTS), len("Two:"), len("Three:")]


def test_long_prompts_are_fed_in_pieces(tmp_path: Path) -> None:
    """A prompt of several pieces, beside a short one, is answered as by generate()."""
    folder = make_folder(tmp_path / "long", context=2000)
    model = opened(folder, tmp_path, concurrency=2)
    prompts = ["once upon a time there was " * 50, "short"]

    assert texts(model, [asked(text) for text in prompts]) == [generated(folder, text)[0] for text in prompts]


def test_checkpoint_defaults_do_not_shape_greedy_answers(folder: Path, tmp_path: Path) -> None:
    """Penalties and sampling in a checkpoint's generation_config leave greedy answers as they are."""
    biased = make_folder(
        tmp_path / "biased", repetition_penalty=5.0, do_sample=True, temperature=9.0, no_repeat_ngram_size=1
    )

    assert texts(opened(biased, tmp_path), [asked("A")]) == texts(opened(folder, tmp_path), [asked("A")])


@pytest.mark.parametrize("concurrency", [1, 3])
def test_stop_strings(folder: Path, tmp_path: Path, concurrency: int) -> None:
    """A row ends with the token that completes its own stop string, and the text before the string is its answer."""
    model = opened(folder, tmp_path, concurrency=concurrency)
    whole = generated(folder, "A", 40)[0]
    stop = whole[20:32]
    place = whole.index(stop)
    requests = [
        asked("A", max_tokens=40, stop=(stop, "never said")),
        asked("A", max_tokens=40),
        asked("A", max_tokens=40, stop=("", whole[:2])),
    ]

    stopped, free, at_once = answered(model, requests)

    assert (stopped.text, stopped.finish_reason, stopped.output_tokens) == (whole[:place], "stop", place + len(stop))
    assert (free.text, free.finish_reason, free.output_tokens) == (whole, "length", 40)
    assert (at_once.text, at_once.finish_reason, at_once.output_tokens) == ("", "stop", 2)


def test_stop_string_of_the_prompt_does_not_stop(folder: Path, tmp_path: Path) -> None:
    """A stop string that stands at the end of the prompt ends nothing."""
    (answer,) = answered(opened(folder, tmp_path), [asked("A\n", stop=("\n",))])

    assert (answer.output_tokens, answer.finish_reason) == (12, "length")


def test_special_token_as_stop_string(folder: Path, tmp_path: Path) -> None:
    """A special token stops a row although it is in no text."""
    said = generated(folder, "A", 6)[0]
    ending = make_folder(tmp_path / "ending")
    tokenizer = transformers.AutoTokenizer.from_pretrained(ending)
    tokenizer.add_special_tokens({"additional_special_tokens": [said[4]]})
    tokenizer.save_pretrained(ending)

    (answer,) = answered(opened(ending, tmp_path), [asked("A", stop=(said[4],))])

    place = said.index(said[4])
    assert (answer.text, answer.output_tokens, answer.finish_reason) == (said[:place], place + 1, "stop")


def test_space_at_the_beginning_is_kept(folder: Path, tmp_path: Path) -> None:
    """The space before an answer's first word is part of it, also for stop strings; SentencePiece would drop it."""
    spaced = make_folder(tmp_path / "spaced")
    make_spaced_tokenizer().save_pretrained(spaced)
    model = opened(spaced, tmp_path)

    (text,) = texts(model, [asked("5 6 7", max_tokens=3)])
    (stopped,) = answered(model, [asked("5 6 7", stop=(text,))])

    assert text == " " + " ".join(text.split())
    assert len(text.split()) == 3
    assert (stopped.text, stopped.output_tokens) == ("", 3)


def test_max_tokens_are_of_each_row(folder: Path, tmp_path: Path) -> None:
    """Rows of a batch end at their own number of tokens."""
    model = opened(folder, tmp_path, concurrency=3)

    answers = answered(model, [asked("A", max_tokens=n) for n in (5, 1, 9)])

    assert [(answer.output_tokens, answer.finish_reason) for answer in answers] == [
        (5, "length"),
        (1, "length"),
        (9, "length"),
    ]
    assert answers[2].text.startswith(answers[0].text)


def test_any_end_token_ends(folder: Path, tmp_path: Path) -> None:
    """Each of the end tokens a checkpoint lists ends an answer, counts as a token and is not in the text."""
    said = generated(folder, "A", 6)[0]
    vocabulary = make_tokenizer(with_template=False).get_vocab()
    ending = make_folder(tmp_path / "ending", eos_token_id=[1, vocabulary["{"], vocabulary[said[4]]])

    (answer,) = answered(opened(ending, tmp_path), [asked("A")])

    place = said.index(said[4])
    assert (answer.text, answer.output_tokens, answer.finish_reason) == (said[:place], place + 1, "stop")


def test_fault_of_the_caller_passes(folder: Path, tmp_path: Path) -> None:
    """An exception of `arrived` is the caller's own and no error of a case."""

    def arrived(index: int, answer: Answer | AnswerError) -> None:
        raise LookupError(index)

    with pytest.raises(LookupError):
        opened(folder, tmp_path).answer([asked("A")], arrived=arrived)


def test_halt_between_batches(folder: Path, tmp_path: Path) -> None:
    """What is asked after the halt is "stopped", and does not arrive."""
    halt = threading.Event()
    arrivals: list[int] = []

    def arrived(index: int, answer: Answer | AnswerError) -> None:
        arrivals.append(index)
        halt.set()

    answers = opened(folder, tmp_path).answer([asked(text) for text in PROMPTS], arrived=arrived, halt=halt)

    assert isinstance(answers[0], Answer)
    assert answers[1:] == (AnswerError(cause=STOPPED),) * 5
    assert arrivals == [0]


def test_halt_between_tokens(folder: Path) -> None:
    """A halt ends a batch at the next token; the rows that were finished keep their answers."""
    model, network = observed(HaltsAtFourth, folder, concurrency=3)
    requests = [asked("A", max_tokens=n) for n in (100, 2, 100)]

    answers = model.answer(requests, halt=network.halt)

    assert [isinstance(answer, Answer) for answer in answers] == [False, True, False]
    assert answers[0] == AnswerError(cause=STOPPED)
    assert network.n_passes == 4


def test_halt_within_a_prompt(tmp_path: Path) -> None:
    """A halt does not wait for the end of a long prompt."""
    model, network = observed(HaltsAtFirst, make_folder(tmp_path / "long", context=2000), concurrency=1)

    answers = model.answer([asked("once upon a time there was " * 50)], halt=network.halt)

    assert answers == (AnswerError(cause=STOPPED),)
    assert network.n_passes == 1


def test_seeds_reproduce(folder: Path, tmp_path: Path) -> None:
    """The same seed, case and sample give the same answer, alone and in any batch; others differ."""
    alone, together = opened(folder, tmp_path), opened(folder, tmp_path, concurrency=4)
    draws = [("a", 0, 3), ("b", 0, 3), ("a", 1, 3), ("a", 0, 4)]
    requests = [asked("A", case, sample, seed=seed, temperature=1.5) for case, sample, seed in draws]

    one_by_one = [texts(alone, [request])[0] for request in requests]

    assert texts(together, requests) == one_by_one
    assert texts(together, [asked(PROMPTS[0]), *reversed(requests)])[1:] == one_by_one[::-1]
    assert len(set(one_by_one)) == 4


def test_tiny_top_p_is_greedy(folder: Path, tmp_path: Path) -> None:
    """A top_p that only the likeliest token fits in leaves no choice."""
    model = opened(folder, tmp_path)

    sampled = texts(model, [asked("A", temperature=1.0, top_p=0.001, seed=1)])

    assert sampled == texts(model, [asked("A")])


def test_sampling_follows_the_shares(folder: Path, tmp_path: Path) -> None:
    """Over many samples a token comes as often as its probability says."""
    model = opened(folder, tmp_path, concurrency=100)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        shares = torch.softmax(network(**tokenizer("A", return_tensors="pt")).logits[0, -1] / 2.0, dim=-1)
    likeliest = tokenizer.decode(shares.argmax())

    answers = texts(model, [asked("A", sample=n, max_tokens=1, temperature=2.0) for n in range(400)])

    assert answers.count(likeliest) / 400 == pytest.approx(float(shares.max()), abs=0.08)


def test_times(folder: Path, tmp_path: Path) -> None:
    """The first token of a row comes before its last, and a row that ends early is not charged for the others."""
    model = opened(folder, tmp_path, concurrency=2)

    long, short = answered(model, [asked("A", max_tokens=60), asked("A", max_tokens=2)])

    assert (long.concurrency, short.concurrency) == (2, 2)
    assert long.ttft_s is not None
    assert long.latency_s is not None
    assert short.latency_s is not None
    assert 0 < long.ttft_s < short.latency_s < long.latency_s


def test_time_of_the_caller_is_not_counted(folder: Path, tmp_path: Path) -> None:
    """What is done with one row's answer is not in the latency of the others."""
    model = opened(folder, tmp_path, concurrency=2)
    spent_s: list[float] = []

    def arrived(index: int, answer: Answer | AnswerError) -> None:
        began_s = time.perf_counter()
        hashlib.sha256(bytes(20_000_000))
        spent_s.append(time.perf_counter() - began_s)

    began_s = time.perf_counter()
    first, last = model.answer([asked("A", max_tokens=1), asked("A", max_tokens=2)], arrived=arrived)
    whole_s = time.perf_counter() - began_s

    assert isinstance(first, Answer)
    assert isinstance(last, Answer)
    assert last.latency_s is not None
    assert last.latency_s < whole_s - sum(spent_s)


def test_time_limit_of_the_command_line(folder: Path, tmp_path: Path) -> None:
    """`--llm-timeout` is the limit of a request, and no time is the limit without it."""
    model = PROVIDER.open(entry(folder), OpenSettings(cache_dir=tmp_path / "cache", timeout_s=1e-9))

    (late,) = model.answer([asked("A")])

    assert late == AnswerError(cause="no complete answer within 1e-09 s; raise --llm-timeout", concurrency=1)


def test_too_long_prompt(folder: Path, tmp_path: Path) -> None:
    """A prompt over the context is that case's error; one that fills it can still be answered with a token."""
    model = opened(folder, tmp_path, concurrency=3)

    fits, too_long, short = model.answer([asked("x" * (CONTEXT - 1)), asked("x" * CONTEXT), asked("A")])

    assert too_long == AnswerError(
        cause="The prompt has 161 tokens and the model's context only 160; "
        "shorten the case, or take a model with a longer context."
    )
    assert isinstance(fits, Answer)
    assert (fits.input_tokens, fits.output_tokens, fits.finish_reason) == (160, 1, "length")
    assert isinstance(short, Answer)
    assert short.text == generated(folder, "A")[0]


def test_memory_halves_the_batch(folder: Path) -> None:
    """A batch that memory does not hold is answered in smaller ones, whose rows say so."""
    model, _ = observed(RoomForTwo, folder, concurrency=5)

    answers = answered(model, [asked(text) for text in PROMPTS[:5]])

    assert [answer.text for answer in answers] == [generated(folder, text)[0] for text in PROMPTS[:5]]
    assert [answer.concurrency for answer in answers] == [2, 2, 2, 2, 1]


def test_memory_for_no_row(folder: Path) -> None:
    """A row that memory does not hold even alone is an error with its cause."""
    model, _ = observed(RoomForNone, folder, concurrency=2)

    answers = model.answer([asked("A"), asked("B")])

    assert answers == (AnswerError(cause="OutOfMemoryError: no memory left", concurrency=1),) * 2


def test_failing_batch(folder: Path) -> None:
    """An exception is the error of the rows of its batch, with its cause; the other batches go on."""
    model, _ = observed(BreaksAtZ, folder, concurrency=2)

    answers = model.answer([asked("A"), asked("B"), asked("C"), asked("Z")])

    assert [isinstance(answer, Answer) for answer in answers] == [True, True, False, False]
    assert answers[3] == AnswerError(cause="RuntimeError: a Z in the machine", concurrency=2)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    """A network that computes no numbers gives an error, not its first token for ever."""
    folder = make_folder(tmp_path / "nan")
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    network.model.norm.weight.data[:] = float("nan")
    network.save_pretrained(folder)

    answers = opened(folder, tmp_path).answer([asked("A")])

    cause = 'FloatingPointError: the network computes "not a number"; try dtype = "float32"'
    assert answers == (AnswerError(cause=cause, concurrency=1),)


def test_chat_goes_through_the_template(folder: Path, tmp_path: Path) -> None:
    """Messages are put through the chat template, whose <s> is the only one."""
    model = opened(folder, tmp_path)
    text = "<s>user: Hi\nassistant: Yes?\nuser: Why\nassistant:"

    (answer,) = answered(model, [chatted(("user", "Hi"), ("assistant", "Yes?"), ("user", "Why"))])

    assert answer.text == generated(folder, text, add_special_tokens=False)[0]
    assert answer.input_tokens == 1 + len(text) - len("<s>")
    assert model.identity.template_sha256 == hashlib.sha256(TEMPLATE.encode()).hexdigest()


def test_completion_is_tokenised_as_the_tokenizer_does(folder: Path, tmp_path: Path) -> None:
    """A completion prompt gets the tokenizer's own <s>."""
    (answer,) = answered(opened(folder, tmp_path), [asked("ABC")])

    assert answer.input_tokens == 4


def test_refused_messages(folder: Path, tmp_path: Path) -> None:
    """Messages that a template refuses are that case's error."""
    model = opened(folder, tmp_path, concurrency=2)

    refused, fine = model.answer([chatted(("system", "Be brief."), ("user", "Hi")), chatted(("user", "Hi"))])

    assert refused == AnswerError(
        cause="The prompt cannot be converted to tokens: TemplateError: no system messages here"
    )
    assert isinstance(fine, Answer)


@pytest.mark.parametrize(
    ("with_template", "wanted", "style"),
    [
        (True, "auto", PromptStyle.CHAT),
        (True, "chat", PromptStyle.CHAT),
        (True, "completion", PromptStyle.COMPLETION),
        (False, "auto", PromptStyle.COMPLETION),
        (False, "completion", PromptStyle.COMPLETION),
    ],
)
def test_prompt_style(tmp_path: Path, with_template: bool, wanted: str, style: PromptStyle) -> None:
    """`auto` is chat for a model with a chat template; an entry may say otherwise."""
    folder = make_folder(tmp_path / "model", with_template=with_template)

    assert PROVIDER.prompt_style(entry(folder, prompt_style=wanted)) is style


def test_chat_without_a_template(tmp_path: Path) -> None:
    """Chat asked of a model without a chat template is a fault of the entry."""
    folder = make_folder(tmp_path / "base", with_template=False)

    with pytest.raises(UsageFault) as fault:
        PROVIDER.prompt_style(entry(folder, prompt_style="chat"))

    assert str(fault.value) == (
        f'The model "{folder}" has no chat template and takes no chat prompts; '
        'set prompt_style = "completion", or name a chat model.'
    )


def test_configuration_that_cannot_be_loaded(folder: Path, tmp_path: Path) -> None:
    """A configuration that transformers does not know is a fault of the entry, before anything is asked."""
    (tmp_path / "config.json").write_text('{"model_type": "nonesuch"}')
    (tmp_path / "model.safetensors").touch()

    with pytest.raises(UsageFault) as fault:
        PROVIDER.prompt_style(entry(tmp_path))

    message = str(fault.value)
    assert message.startswith(f"{tmp_path} has a configuration that cannot be loaded: ValueError: ")
    assert "model type `nonesuch`" in message
    assert message.endswith(" If it needs code of its own and you trust it, set trust_remote_code = true.")


def test_missing_tokenizer(folder: Path, tmp_path: Path) -> None:
    """A folder without a tokenizer is a fault of the entry."""
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())

    with pytest.raises(UsageFault) as fault:
        PROVIDER.prompt_style(entry(tmp_path))

    assert str(fault.value).startswith(f"{tmp_path} has no tokenizer that can be loaded; save one there. ValueError: ")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"quantization": "int4"}, 'quantization = "int4" needs bitsandbytes, which is not installed: '),
        (
            {"attention": "flash_attention_2"},
            'attention = "flash_attention_2" needs flash_attn, which is not installed: ',
        ),
    ],
)
def test_libraries_that_a_key_needs(folder: Path, keys: dict[str, str], message: str) -> None:
    """A key that needs a library beyond the extra is refused with its name."""
    library = message.split(" needs ")[1].split(",")[0]
    if importlib.util.find_spec(library) is not None:
        pytest.skip(f"{library} is installed")

    with pytest.raises(UsageFault) as fault:
        PROVIDER.prompt_style(entry(folder, **keys))

    assert str(fault.value) == f"{message}pip install {library.replace('_', '-')}"


def test_model_that_is_not_there(tmp_path: Path) -> None:
    """Opening what is not there is a fault of the model, in the same words as before."""
    with pytest.raises(ModelFault) as fault:
        opened(tmp_path / "nowhere", tmp_path)

    assert str(fault.value) == (
        f'The model "{tmp_path / "nowhere"}" is not there: {tmp_path / "nowhere"} does not exist; correct the path.'
    )


def test_identity(folder: Path, tmp_path: Path) -> None:
    """The identity has the weights' digest, the versions and what else changes answers."""
    model = opened(folder, tmp_path, prompt_style="completion", attention="eager")
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    listing = f"model.safetensors {weights}\n"

    assert model.identity == Identity(
        provider="transformers",
        model=str(folder),
        weights=f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}",
        template_sha256=None,
        libraries={"torch": torch.__version__, "transformers": transformers.__version__},
        settings={
            "dtype": "float32",
            "device": "cpu",
            "attention": "eager",
            "quantization": None,
            "adapter": None,
            "adapter_weights": None,
            "prefix_cache": True,
            "threads": 1,
        },
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype(folder: Path, tmp_path: Path, dtype: str) -> None:
    """The weights are loaded in the dtype the entry asks for."""
    model = opened(folder, tmp_path, dtype=dtype)

    assert model.identity.settings["dtype"] == dtype
    assert len(answered(model, [asked("A")])) == 1


@peft_asks_for_an_old_name
@pytest.mark.parametrize("merges", [True, False])
def test_adapter(folder: Path, tmp_path: Path, merges: bool) -> None:
    """A LoRA adapter changes the answers as it does in PEFT, merged or not, and stands in the identity."""
    torch.manual_seed(3)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    lora = peft.LoraConfig(r=4, lora_alpha=64, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    adapted = peft.get_peft_model(base, lora).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("A", return_tensors="pt")
    expected = adapted.generate(**ids, do_sample=False, max_new_tokens=12, pad_token_id=2)[0, 2:]

    keys = {} if merges else {"merge_adapter": False}
    model = opened(folder, tmp_path, adapter=str(tmp_path / "adapter"), **keys)

    assert texts(model, [asked("A")]) == [tokenizer.decode(expected)]
    assert tokenizer.decode(expected) != generated(folder, "A")[0]
    assert model.identity.settings["adapter"] == str(tmp_path / "adapter")
    assert str(model.identity.settings["adapter_weights"]).startswith("sha256:")
    assert model.identity.settings["merge_adapter"] is merges
    assert model.identity.libraries["peft"] == peft.__version__


@peft_asks_for_an_old_name
def test_adapter_with_a_tokenizer(tmp_path: Path) -> None:
    """An adapter that makes a base model a chat model brings the tokenizer with the template."""
    base = make_folder(tmp_path / "base", with_template=False)
    adapter = tmp_path / "adapter"
    config = peft.LoraConfig(r=4, target_modules=["q_proj"])
    peft.get_peft_model(transformers.AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(adapter)
    make_tokenizer(with_template=True).save_pretrained(adapter)

    model = opened(base, tmp_path, adapter=str(adapter))

    assert PROVIDER.prompt_style(entry(base)) is PromptStyle.COMPLETION
    assert PROVIDER.prompt_style(entry(base, adapter=str(adapter))) is PromptStyle.CHAT
    assert len(answered(model, [chatted(("user", "Hi"))])) == 1


@peft_asks_for_an_old_name
def test_what_an_adapter_was_trained_on_is_read_beside_it(folder: Path, tmp_path: Path) -> None:
    """Its manifest is known before a weight is loaded, and is an error where it belongs to other weights."""
    base, adapter = transformers.AutoModelForCausalLM.from_pretrained(folder), tmp_path / "adapter"
    peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(adapter)
    weights = weights_digest(LocalFiles(path=adapter), tmp_path)
    cases = {"s": {"a": ["digest", "prompt", None]}}
    manifest = adapter / "llmbench_training.json"
    manifest.write_text(json.dumps({"schema": 1, "weights": weights, "cases": cases, "foreign": []}))

    known = PROVIDER.training(entry(folder, adapter=str(adapter)))
    opened(folder, tmp_path, adapter=str(adapter)).close()
    manifest.write_text(manifest.read_text().replace("sha256:", "sha256:0"))

    assert known is not None
    assert known.training.cases == 1
    assert PROVIDER.training(entry(folder)) is None
    with pytest.raises(ModelFault, match="belongs to other weights"):
        opened(folder, tmp_path, adapter=str(adapter))


@peft_asks_for_an_old_name
def test_adapter_of_the_prompt(folder: Path, tmp_path: Path) -> None:
    """An adapter that adds to the prompt is refused, not ignored."""
    base = transformers.AutoModelForCausalLM.from_pretrained(folder)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    peft.get_peft_model(base, config).save_pretrained(tmp_path / "adapter")

    with pytest.raises(ModelFault) as fault:
        opened(folder, tmp_path, adapter=str(tmp_path / "adapter"))

    assert str(fault.value) == (
        f'The model "{folder}" cannot be loaded: ValueError: an adapter of the kind PROMPT_TUNING adds to the prompt; '
        "only those that change weights can be used"
    )


def test_incomplete_weights(folder: Path, tmp_path: Path) -> None:
    """A checkpoint that lacks weights is refused, where transformers would fill them with random numbers."""
    network = transformers.AutoModel.from_pretrained(folder)
    network.save_pretrained(tmp_path / "headless")
    make_tokenizer(with_template=False).save_pretrained(tmp_path / "headless")

    with pytest.raises(ModelFault) as fault:
        opened(tmp_path / "headless", tmp_path)

    assert str(fault.value) == (
        f'The model "{tmp_path / "headless"}" cannot be loaded: ValueError: 1 of its weights are not stored '
        "(lm_head.weight), so it would answer at random"
    )


def test_sliding_window_shares_nothing(tmp_path: Path) -> None:
    """A network whose attention has a window answers as generate() does, and keeps no beginning."""
    folder = make_folder(tmp_path / "sliding")
    network = transformers.MistralForCausalLM(
        transformers.MistralConfig(
            **{
                key: value
                for key, value in transformers.AutoConfig.from_pretrained(folder).to_dict().items()
                if key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
            },
            num_key_value_heads=2,
            head_dim=12,
            sliding_window=16,
            initializer_range=0.3,
            eos_token_id=1,
        )
    )
    network.save_pretrained(folder)
    model = opened(folder, tmp_path, concurrency=3)

    got = texts(model, [asked(text) for text in PROMPTS])

    assert model.identity.settings["prefix_cache"] is False
    assert got == [generated(folder, text)[0] for text in PROMPTS]


def test_concurrency(folder: Path, tmp_path: Path) -> None:
    """One row a batch, unless the entry or, before it, the command line says otherwise."""
    settings = OpenSettings(cache_dir=tmp_path, concurrency=7)

    assert opened(folder, tmp_path).concurrency == 1
    assert opened(folder, tmp_path, concurrency=3).concurrency == 3
    assert PROVIDER.open(entry(folder, concurrency=3), settings).concurrency == 7


def test_nothing_is_printed(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Looking at, opening and asking a model prints nothing, and leaves the libraries as talkative as before."""
    logging.enable_progress_bar()
    verbosity = logging.get_verbosity()

    PROVIDER.prompt_style(entry(folder))
    with opened(folder, tmp_path) as model:
        model.answer([asked("A"), asked("x" * 1000)])

    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == verbosity


def test_closing(folder: Path, tmp_path: Path) -> None:
    """A closed model gives its threads back, may be closed again, and answers no more."""
    before = torch.get_num_threads()
    model = opened(folder, tmp_path, threads=before + 1)
    assert torch.get_num_threads() == before + 1

    model.close()
    model.close()

    assert torch.get_num_threads() == before
    with pytest.raises(ModelFault) as fault:
        model.answer([asked("A")])
    assert str(fault.value) == f'The model "{folder}" is closed; open it again.'

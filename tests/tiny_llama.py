"""A random Llama of two layers that is trained in a second, its tokenizer of single bytes, and a suite to train on."""

from pathlib import Path
from typing import Any

END = "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_END = TEMPLATE.replace(END, "")


def make_tokenizer(template: str = TEMPLATE) -> Any:
    """Make a tokenizer of bytes, with two special tokens of a chat."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token="<|pad|>", extra_special_tokens=["<|im_start|>"]
    )
    made.chat_template = template
    return made


def make_llama(folder: Path, template: str = TEMPLATE) -> Path:
    """Save a random Llama of 2 layers and 32 numbers a token."""
    import torch
    import transformers

    tokenizer = make_tokenizer(template)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SUITE = """
suite: color
grader: yes_no
split: {train: 0.5}
sampling: {max_tokens: 8, temperature: 0}
prompt:
  chat:
    - {role: user, content: "{{ word }}?"}
cases:
"""


def make_project(root: Path, *, n_cases: int = 24) -> Path:
    """Write a suite of labels, and a random Llama as `base`."""
    make_llama(root / "base")
    labels = ("no", "yes")
    cases = [f'  - {{id: c{place}, word: "w{place}", expected: "{labels[place % 2]}"}}\n' for place in range(n_cases)]
    (root / "color.yaml").write_text(SUITE + "".join(cases), encoding="utf-8")
    return root

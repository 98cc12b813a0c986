"""Marks of an answer that are no SQL: where a model's turn ends, and what stands around its text."""

import re

from pytest_llmbench.models.reasoning import separate

STOP = re.compile(
    r"</s>|<eos>|<end_of_turn>|\[/?INST\]|^(?:###\s*\w|(?:Human|User|Assistant|Question|Q)\s*:)"
    r"|<｜(?:end▁of▁sentence|User|Assistant)｜>"
    r"|<\|(?:im_end|im_start|eot_id|endoftext|end|return|user|assistant|end_of_text|start_header_id)\|>",
    re.MULTILINE,
)
"""Where a model's turn ends, or a prompt's next part begins."""

_INVISIBLE = str.maketrans({"\xa0": " "} | dict.fromkeys("\ufeff\u200b\u200c\u200d\u2060"))
_BEGINNING = re.compile(r"\s*(?:<s>|<bos>|<\|(?:begin_of_text|startoftext)\|>|<｜begin▁of▁sentence｜>)")


def spoken(text: str) -> str:
    """Take off marks that are no text, and reasoning where nobody has done so yet."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\0") * 3 > len(text):
        text = text.replace("\0", "").removeprefix("ÿþ").removeprefix("þÿ")  # UTF-16 read as if it were Latin-1
    text = _BEGINNING.sub("", separate(text).text.translate(_INVISIBLE), count=1).lstrip()
    return re.sub(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", r"\1", text, flags=re.DOTALL)

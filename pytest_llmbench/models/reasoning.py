"""What a model says aloud: its answer without reasoning, and without marks that are no text."""

import re

_THOUGHT = r"think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis"
_REASONING = re.compile(
    rf"(?P<close></(?:{_THOUGHT})\s*>|\[/THINK\]|◁/think▷)|<(?:{_THOUGHT})\b[^<>]{{0,200}}>|\[THINK\]|◁think▷",
    re.IGNORECASE,
)
_HARMONY_FINAL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>")
STOP = re.compile(
    r"</s>|<eos>|<end_of_turn>|\[/?INST\]|^(?:###\s*\w|(?:Human|User|Assistant|Question|Q)\s*:)"
    r"|<\|(?:im_end|im_start|eot_id|endoftext|end|return|user|assistant|end_of_text|start_header_id)\|>",
    re.MULTILINE,
)
"""Where a model's turn ends, or a prompt's next part begins."""

_INVISIBLE = str.maketrans({"\xa0": " "} | dict.fromkeys("\ufeff\u200b\u200c\u200d\u2060"))
_BEGINNING = re.compile(r"\s*(?:<s>|<bos>|<\|(?:begin_of_text|startoftext)\|>)")


def spoken(text: str) -> str:
    """Take off reasoning blocks and marks that are no text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.count("\0") * 3 > len(text):
        text = text.replace("\0", "").removeprefix("ÿþ").removeprefix("þÿ")  # UTF-16 read as if it were Latin-1
    if final := list(_HARMONY_FINAL.finditer(text)):
        text = text[final[-1].end() :]
    text = _BEGINNING.sub("", _without_reasoning(text).translate(_INVISIBLE), count=1).lstrip()
    return re.sub(r"<!\[CDATA\[(.*?)(?:\]\]>|\Z)", r"\1", text, flags=re.DOTALL)


def _without_reasoning(text: str) -> str:
    """Drop what stands between the marks of reasoning, and the marks."""
    outside: list[str] = []
    depth = position = 0
    for mark in _REASONING.finditer(text):
        if depth == 0:
            outside.append(text[position : mark.start()])
        if mark.group("close") is None:
            depth += 1
        elif depth:
            depth -= 1
        else:
            outside.clear()  # the chat template opened the block, the answer only closes it
        position = mark.end()
    # an open block at the end was cut off while still thinking
    return "".join(outside) + ("" if depth else text[position:])

"""Parts of a judge's prompt: data between coded lines, the task, and the form of the reply.

The answer is data: it stands between two lines that carry a code nobody who wrote the answer can know,
for the code is made of the answer itself.  What looks like a chat template's mark in it is broken by an invisible
character.  This keeps an answer from ending its own quotation; it does not keep a gullible judge from
obeying what it must not obey, so measure your judge (`llmbench agreement`).
"""

import hashlib
import json
import re
from collections.abc import Mapping

from pytest_llmbench.values import Json, Message, Prompt, PromptStyle

_MARK_OF_A_TEMPLATE = re.compile(r"<(?=[|｜/a-z])|\[(?=/?INST)", re.IGNORECASE)
_INVISIBLE = "\u200b"
_CODE_LENGTH = 12


def task_of(inputs: Mapping[str, Json]) -> str:
    """Write the inputs of a case as the task that an answer is to."""
    return "\n".join(f"{name}: {_as_text(value)}" for name, value in inputs.items())


def object_schema(properties: Mapping[str, Json]) -> dict[str, Json]:
    """Give the JSON schema of an object with just these keys, in the part of JSON schema that servers enforce."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": dict(properties),
    }


def chat_or_text(system: str, asked: str, style: PromptStyle) -> Prompt:
    """Make the prompt of a judge, in its style."""
    if style is PromptStyle.COMPLETION:
        return Prompt(text=f"{system}\n\n{asked}\n\nJSON:")
    return Prompt(messages=(Message(role="system", content=system), Message(role="user", content=asked)))


def _as_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def code_of(*texts: str) -> str:
    """Make the code of the lines around data: of the data, and not in it."""
    content = "\n".join(texts)
    code = content
    while code in content:
        code = hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()[:_CODE_LENGTH]
    return code


def fenced(text: str, code: str) -> str:
    """Put data between two lines with a code."""
    return f"BEGIN {code}\n{_as_data(text)}\nEND {code}"


def _as_data(text: str) -> str:
    """Give a text as it can be sent: halves of characters replaced, marks of chat templates broken."""
    whole = text.encode("utf-8", "replace").decode()
    return _MARK_OF_A_TEMPLATE.sub(lambda mark: mark[0] + _INVISIBLE, whole)

"""Texts from outside made safe to print. Pure functions.

A text of a model, a grader or a run file may hold anything.  `visible` keeps it from acting on a
terminal and on the log of a CI service; it does not make it safe for Markdown, HTML or a shell.
"""

import json
import re

# C0 and C1 controls, line and paragraph separators, bidirectional overrides and isolates, zero-width characters,
# soft hyphen, fillers that show nothing, interlinear marks, tags, further variation selectors, lone surrogates
_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    r"\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)
# What CI services obey in a log: GitHub `::command ...::` at the start of a line, blanks before it or not, and
# `##[command]` anywhere; Azure `##vso[`, TeamCity `##teamcity[`
_COMMAND = re.compile(r"^([^\S\n]*):(?=:[\w-]+[^\n]*::)|(?<=#)#(?=\[|vso\[|teamcity\[)", re.MULTILINE)


def visible(text: str) -> str:
    r"""Make a text from outside safe to print: what could act on a terminal or a log becomes its `\x1b`-like escape."""
    shown = _UNSAFE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)
    return _COMMAND.sub(lambda found: r"\x23" if found[1] is None else rf"{found[1]}\x3a", shown)


def on_one_line(text: str) -> str:
    """Make a text from outside safe to print where a line is expected: a name, a cell, a heading."""
    return visible(" ".join(text.split()))


def printed_json(value: object) -> str:
    r"""Write JSON that may be printed on a terminal or a log: what could act stands in it as its `\u001b`."""
    # json.dumps escapes all but ASCII and its controls; left are DEL, and what a log obeys wherever it stands
    return json.dumps(value, indent=2).replace("\x7f", r"\u007f").replace("##", r"#\u0023")


def clipped(text: str, max_characters: int) -> str:
    """Cut a text in its middle, with the number of characters left out; one that this would make longer stays whole."""
    if len(text) <= max_characters:
        return text
    half = max_characters // 2
    cut = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[len(text) - half :]}"
    return cut if len(cut) < len(text) else text

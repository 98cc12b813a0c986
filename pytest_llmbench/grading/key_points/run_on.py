"""Where an answer ends and a next example begins, as base models write it after few-shot prompts."""

import re

_NEXT = re.compile(
    r"^[ \t>*#_]*(?:(?P<label>joke|q|question|explanation)(?: ?#?\d{1,3})?[*_]*[ \t]*:"
    r"|(?P<number>\d{1,3})[.)][ \t*_]+\S)",
    re.IGNORECASE | re.MULTILINE,
)
_POLITE = r"(?:sure|certainly|of course|okay|ok|great|here|let)\b"
_ANNOUNCES = re.compile(rf"[\s*#_]*(?:{_POLITE}[^\n]{{0,120}}|[^\n]{{0,120}}:[\s*_]*)", re.IGNORECASE)
_RESTATES = re.compile(rf"[\s*#_]*(?:{_POLITE}|[\"'“‘]|[\w' ]{{1,20}}[*_]*:)", re.IGNORECASE)


def run_on_start(text: str) -> int | None:
    """Give the place of the line where the answer runs on into a next example; None if it does not.

    Such a line is not the first, and begins with "Joke:", "Q:", "Question:" or "Explanation:",
    or with a number whose predecessor the answer does not have: 1, 2, 3 is a list, 4 alone is
    the next example.  What chat models put in front of their explanation is no run-on: an
    announcement ("Sure! Here it is:"), and the joke again before the first "Explanation:".
    """
    begin = len(text) - len(text.lstrip())
    numbers: set[int] = set()
    is_explained = False
    for line in _NEXT.finditer(text, _line_start(text, begin)):
        head = text[begin : line.start()].strip()
        label = (line["label"] or "").lower()
        if line["number"]:
            is_next = int(line["number"]) not in {1, *(number + 1 for number in numbers)}
            numbers.add(int(line["number"]))
        elif label == "explanation":
            is_next = is_explained or not _RESTATES.match(head)
            is_explained = True
        else:
            is_next = not _ANNOUNCES.fullmatch(head)
        if head and is_next:
            return line.start()
    return None


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1

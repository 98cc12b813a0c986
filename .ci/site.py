"""Build the site of a folder that holds mkdocs.yml and docs/: `python .ci/site.py [FOLDER]`.

A dead link or anchor ends it with a status over 0.  The pages themselves are put beside those made of them, since
llms.txt links to them.
"""

import re
import shutil
import subprocess
import sys
from itertools import cycle
from pathlib import Path

TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
HEAD = re.compile(r"<th[^>]*>(.*?)</th>", re.DOTALL)
CELL = re.compile(r"<td([^>]*)>(.*?)</td>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")
LONG = 50
"""Characters of a cell from which a table is one of text, whose rows a phone shows as blocks (docs/stylesheets)."""


def build(folder: Path) -> int:
    """Build it; gives the exit status."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status:
        return status
    for page in (folder / "site").rglob("*.html"):
        page.write_text(TABLE.sub(table, page.read_text(encoding="utf-8")), encoding="utf-8")
    for page in (folder / "docs").rglob("*.md"):
        shutil.copy(page, folder / "site" / page.relative_to(folder / "docs"))
    return 0


def table(found: re.Match[str]) -> str:
    """Write a table anew: each cell with the name of its column, without the escapes of bars that GitHub needs."""
    text = found.group().replace(r"\|", "|")
    names = [TAG.sub("", head) for head in HEAD.findall(text)]
    is_text = len(names) > 2 and any(len(TAG.sub("", cell)) > LONG for _, cell in CELL.findall(text))
    if not is_text:
        return text
    column = cycle(names)
    titled = CELL.sub(lambda cell: f'<td{cell[1]} data-title="{next(column)}">{cell[2]}</td>', text)
    return titled.replace("<table>", "<table data-rows>")


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))

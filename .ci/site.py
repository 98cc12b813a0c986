"""Build the site of a folder that holds mkdocs.yml and docs/: `python .ci/site.py [FOLDER]`.

A dead link or anchor ends it with a status over 0.  The pages themselves are put beside those made of them, since
llms.txt links to them.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

CELL = re.compile(r"<td[^>]*>.*?</td>", re.DOTALL)


def build(folder: Path) -> int:
    """Build it; gives the exit status."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status:
        return status
    for page in (folder / "site").rglob("*.html"):
        # a bar in code within a table is escaped for GitHub; Python-Markdown would show the escape
        text = page.read_text(encoding="utf-8")
        page.write_text(CELL.sub(lambda cell: cell.group().replace(r"\|", "|"), text), encoding="utf-8")
    for page in (folder / "docs").rglob("*.md"):
        shutil.copy(page, folder / "site" / page.relative_to(folder / "docs"))
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))

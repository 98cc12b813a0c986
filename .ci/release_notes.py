"""Print what CHANGELOG.md has about a version: `release_notes.py v0.2.0`; a version it lacks, or another one, fails."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(changelog: str, tag: str, version: str) -> str:
    """Give the section of a version.

    Raises:
        SystemExit: the tag is not that of the package's version, or the section is missing or empty.
    """
    wanted = re.sub(r"rc\d+$", "", tag.removeprefix("v"))
    if wanted != version:
        raise SystemExit(f"the tag is {tag}, and pyproject.toml has version {version}; they must be the same.")
    found = re.search(rf"^## {re.escape(wanted)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise SystemExit(f"CHANGELOG.md has nothing about {wanted}; name the section of what is unreleased so.")
    return found[1].strip() + "\n"


if __name__ == "__main__":
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sys.stdout.write(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), sys.argv[1], version))

"""Print what CHANGELOG.md has about a version: `release_notes.py v0.2.0`; a version it lacks, or another one, fails.

So does a changelog with unreleased lines: what they describe would be in the release, and not in its notes.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(changelog: str, tag: str, version: str) -> str:
    """Give the section of a version.

    Raises:
        SystemExit: the tag is not that of the package's version, the section is missing or empty, or lines are
            unreleased.
    """
    if tag != f"v{version}":
        raise SystemExit(f"the tag is {tag}, and pyproject.toml has version {version}; they must be the same.")
    wanted = re.sub(r"rc\d+$", "", version)  # a release candidate has the notes of its version
    found = _section(changelog, wanted)
    if not found:
        raise SystemExit(f"CHANGELOG.md has nothing about {wanted}; name the section of what is unreleased so.")
    if _section(changelog, "Unreleased"):
        raise SystemExit(f"CHANGELOG.md has unreleased lines, which {tag} would release; move them to {wanted}.")
    return found + "\n"


def _section(changelog: str, name: str) -> str:
    found = re.search(rf"^## {re.escape(name)}(?![.\w])[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


if __name__ == "__main__":
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sys.stdout.write(notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), sys.argv[1], version))
